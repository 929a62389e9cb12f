mod files;
mod lines;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use dkm_core::blob::{BlobKey, ChunkCipher, PREFIX_LEN, open_stream, read_full, seal_stream};
use dkm_core::member::UnprotectRefusal;
use dkm_core::record::Family;
use dkm_core::{KeyId, Suite};

use super::*;

const GROUP: GroupId = GroupId([7; 16]);

/// Called with each blob before it is renewed.
type Hook = Box<dyn Fn(&Header) + Send + Sync>;

/// A group with an old, a compromised and a new key.
struct Ring {
    old: BlobKey,
    compromised: BlobKey,
    new: BlobKey,
    hook: Option<Hook>,
    /// What every call answers instead of doing its work.
    fault: Mutex<Option<fn() -> Error>>,
}

impl Ring {
    fn new() -> Self {
        let key = |number| BlobKey::new(GROUP, Family::Native, &[number; 32]);
        Self { old: key(1), compromised: key(2), new: key(3), hook: None, fault: Mutex::new(None) }
    }

    fn blob(&self, key: &BlobKey, context: &Context, plaintext: &[u8]) -> Vec<u8> {
        dkm_core::blob::seal(key, &header(key.id()), context, plaintext).unwrap()
    }

    fn old_blob(&self, plaintext: &[u8]) -> Vec<u8> {
        self.blob(&self.old, &context(), plaintext)
    }

    fn key(&self, id: KeyId) -> Result<&BlobKey> {
        if id == self.compromised.id() {
            return Err(UnprotectRefusal::Compromised { key: id }.into());
        }
        let found = [&self.old, &self.new].into_iter().find(|key| key.id() == id);
        found.ok_or_else(|| UnprotectRefusal::UnknownKey { key: id }.into())
    }

    fn may(&self) -> Result<()> {
        self.fault.lock().unwrap().map_or(Ok(()), |fault| Err(fault()))
    }

    /// Asserts that a file holds a blob of the new key, and returns what it protects.
    fn renewed(&self, path: &Path) -> Vec<u8> {
        self.opened(&self.new, &fs::read(path).unwrap())
    }

    fn opened(&self, key: &BlobKey, blob: &[u8]) -> Vec<u8> {
        dkm_core::blob::open(key, &context(), blob).unwrap().to_vec()
    }
}

fn header(key: KeyId) -> Header {
    let mut salt = [0; 32];
    aws_lc_rs::rand::fill(&mut salt).unwrap();
    Header::new(Suite::Aes256Gcm, GROUP, key, salt, 65_536).unwrap()
}

fn context() -> Context {
    Context::new().with("app", "mail").unwrap()
}

impl Renewer for Ring {
    fn id(&self) -> GroupId {
        GROUP
    }

    fn is_outdated(&self, header: &Header) -> Result<bool> {
        self.may()?;
        Ok(header.key() != self.new.id())
    }

    fn renew(&self, context: &Context, blob: &[u8]) -> Result<Reprotected> {
        let header = Header::parse(blob)?;
        if let Some(hook) = &self.hook {
            hook(&header);
        }
        let plaintext = dkm_core::blob::open(self.key(header.key())?, context, blob)?;
        Ok(Reprotected::Renewed(self.blob(&self.new, context, &plaintext)))
    }

    fn open(
        &self,
        context: &Context,
        mut from: &mut (dyn Read + Send),
        mut to: &mut dyn Write,
    ) -> Result<()> {
        let mut prefix = [0; PREFIX_LEN];
        read_full(&mut from, &mut prefix)?;
        let header = Header::parse(&prefix)?;
        if let Some(hook) = &self.hook {
            hook(&header);
        }
        let cipher = ChunkCipher::opening(self.key(header.key())?, context, &prefix)?;
        open_stream(&cipher, &mut from, &mut to)?;
        Ok(())
    }

    fn seal(
        &self,
        context: &Context,
        mut from: &mut (dyn Read + Send),
        mut to: &mut dyn Write,
    ) -> Result<()> {
        let cipher = ChunkCipher::sealing(&self.new, &header(self.new.id()), context)?;
        seal_stream(&cipher, &mut from, &mut to)?;
        Ok(())
    }
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
