//! Protect and unprotect.

use std::io::{Read, Seek, Write};
use std::sync::Arc;

use dkm_core::blob::{
    BlobError, BlobKey, ChunkCipher, Header, PREFIX_LEN, SeekingReader, blob_id, read_full,
};
use dkm_core::member::{ProtectRefusal, UnprotectRefusal};
use dkm_core::ring::Ring;
use dkm_core::{Context, Digest, KeyId, Plaintext};

use super::snapshot::{CachedKey, Protecting, Use};
use super::unknown::Lookup;
use super::watched::Watched;
use super::{Engine, Need};
use crate::journal::EventKind;
use crate::view::no_key;
use crate::{Error, Result, stream};

/// A handle's leave to open blobs of compromised keys.
#[derive(Debug, Clone)]
pub(crate) struct Override {
    /// Why, for the journal.
    pub(crate) reason: String,
}

/// What a stream came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streamed {
    /// The blob's id.
    pub blob_id: Digest,
    /// Its key.
    pub key: KeyId,
    /// Bytes of the plaintext.
    pub plaintext_len: u64,
    /// Bytes of the blob.
    pub blob_len: u64,
}

/// What became of a blob that was to be protected anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reprotected {
    /// It has the key and the suite that protect now: nothing to do.
    Current,
    /// The new blob.
    Renewed(Vec<u8>),
}

impl Engine {
    fn header(&self, protecting: &Protecting) -> Result<Header> {
        let mut salt = [0u8; 32];
        // From the system for every blob, so that neither a fork nor a restored snapshot of this process repeats one. It
        // takes half the time of the cryptographic library's generator, which asks the processor for more each time.
        getrandom::fill(&mut salt)
            .map_err(|e| Error::Internal(format!("the system gives no randomness: {e}")))?;
        Ok(Header::new(protecting.suite, self.group, protecting.id, salt, protecting.chunk_size)?)
    }

    /// A new blob.
    pub(crate) fn protect(&self, context: &Context, plaintext: &[u8]) -> Result<Vec<u8>> {
        let snapshot = self.current(self.parts.clock.now());
        let protecting = snapshot.protecting.as_ref().map_err(|refusal| self.why_no_key(refusal))?;
        let header = self.header(protecting)?;
        Ok(dkm_core::blob::seal(protecting.key.ready(self.group), &header, context, plaintext)?)
    }

    /// A new blob in memory that is there.
    pub(crate) fn protect_into(&self, context: &Context, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let snapshot = self.current(self.parts.clock.now());
        let protecting = snapshot.protecting.as_ref().map_err(|refusal| self.why_no_key(refusal))?;
        let header = self.header(protecting)?;
        Ok(dkm_core::blob::seal_into(protecting.key.ready(self.group), &header, context, plaintext, out)?)
    }

    /// The plaintext of a blob in memory that is there.
    pub(crate) fn unprotect_into(
        &self,
        context: &Context,
        blob: &[u8],
        out: &mut Plaintext,
        overriding: Option<&Override>,
    ) -> Result<()> {
        let opened =
            self.with_key(blob, overriding, |key| Ok(dkm_core::blob::open_into(key, context, blob, out)?));
        if opened.is_err() {
            *out = Plaintext::default();
        }
        opened
    }

    /// A new blob on a writer.
    pub(crate) fn protect_stream(
        &self,
        context: &Context,
        reader: impl Read + Send,
        writer: impl Write,
    ) -> Result<Streamed> {
        let cipher = {
            let snapshot = self.current(self.parts.clock.now());
            let protecting = snapshot.protecting.as_ref().map_err(|refusal| self.why_no_key(refusal))?;
            let header = self.header(protecting)?;
            ChunkCipher::sealing(protecting.key.ready(self.group), &header, context)?
        };
        let mut writer = Watched::new(writer, || self.may_protect());
        let sealed = stream::seal(&cipher, reader, &mut writer);
        let plaintext_len = sealed.map_err(|error| writer.cause(error))?;
        streamed(&cipher, plaintext_len)
    }

    /// The plaintext of a blob.
    pub(crate) fn unprotect(
        &self,
        context: &Context,
        blob: &[u8],
        overriding: Option<&Override>,
    ) -> Result<Plaintext> {
        self.with_key(blob, overriding, |key| Ok(dkm_core::blob::open(key, context, blob)?))
    }

    /// The plaintext of a blob, chunk by chunk on a writer.
    pub(crate) fn unprotect_stream(
        &self,
        context: &Context,
        mut reader: impl Read + Send,
        writer: impl Write,
        overriding: Option<&Override>,
    ) -> Result<Streamed> {
        let mut prefix = [0u8; PREFIX_LEN];
        let len = read_full(&mut reader, &mut prefix)?;
        let prefix = &prefix[..len];
        let cipher =
            self.with_key(prefix, overriding, |key| Ok(ChunkCipher::opening(key, context, prefix)?))?;
        let mut writer = Watched::new(writer, || self.may_open());
        let opened = stream::open(&cipher, reader, &mut writer);
        let plaintext_len = opened.map_err(|error| writer.cause(error))?;
        streamed(&cipher, plaintext_len)
    }

    /// A blob to read ranges from.
    pub(crate) fn open_seekable<R: Read + Seek>(
        &self,
        context: &Context,
        mut reader: R,
        overriding: Option<&Override>,
    ) -> Result<SeekingReader<R>> {
        let mut prefix = [0u8; PREFIX_LEN];
        let io = |e: std::io::Error| BlobError::Io(e.to_string());
        reader.rewind().map_err(io)?;
        let len = read_full(&mut reader, &mut prefix)?;
        self.with_key(&prefix[..len], overriding, |key| Ok(SeekingReader::new(reader, key, context)?))
    }

    /// Whether a blob has another key or suite than those that protect now.
    pub(crate) fn is_outdated(&self, header: &Header) -> Result<bool> {
        let snapshot = self.current(self.parts.clock.now());
        let protecting = snapshot.protecting.as_ref().map_err(|refusal| self.why_no_key(refusal))?;
        Ok(header.key() != protecting.id || header.suite() != protecting.suite)
    }

    /// The blob under the key and suite that protect now.
    pub(crate) fn reprotect(
        &self,
        context: &Context,
        blob: &[u8],
        overriding: Option<&Override>,
    ) -> Result<Reprotected> {
        if !self.is_outdated(&Header::parse(blob)?)? {
            return Ok(Reprotected::Current);
        }
        let plaintext = self.unprotect(context, blob, overriding)?;
        self.protect(context, &plaintext).map(Reprotected::Renewed)
    }

    /// Does something with the key of the blob that begins with these bytes, if it may be used.
    ///
    /// The key is borrowed from the snapshot: counting its users would be a line of memory that all threads write.
    fn with_key<T>(
        &self,
        blob: &[u8],
        overriding: Option<&Override>,
        work: impl FnOnce(&BlobKey) -> Result<T>,
    ) -> Result<T> {
        let header = Header::parse(blob)?;
        if header.group() != self.group {
            return Err(BlobError::WrongGroup { found: header.group(), expected: self.group }.into());
        }
        let snapshot = self.current(self.parts.clock.now());
        if let Some(refusal) = &snapshot.closed {
            return Err(refusal.clone().into());
        }
        if !snapshot.suites.contains(&u32::from(header.suite().number())) {
            return Err(Error::SuiteForbidden { suite: header.suite() });
        }
        if let Some(Use::Open(key)) = snapshot.keys.get(&header.key()) {
            return work(key.ready(self.group));
        }
        let known = snapshot.keys.contains_key(&header.key());
        drop(snapshot);
        if !known {
            self.look_for(header.key())?;
        }
        let key = self.key_with_conditions(&header, blob, overriding)?;
        work(key.ready(self.group))
    }

    #[cold]
    fn key_with_conditions(
        &self,
        header: &Header,
        blob: &[u8],
        overriding: Option<&Override>,
    ) -> Result<Arc<CachedKey>> {
        let id = header.key();
        let snapshot = self.snapshot.load();
        if let Some(refusal) = &snapshot.closed {
            return Err(refusal.clone().into());
        }
        match snapshot.keys.get(&id) {
            Some(Use::Open(key)) => Ok(key.clone()),
            Some(Use::Notice(key)) => {
                self.notice_use(id);
                Ok(key.clone())
            }
            Some(Use::Compromised(key, notice)) => {
                let Some(leave) = overriding else {
                    return Err(UnprotectRefusal::Compromised { key: id }.into());
                };
                let blob = blob.first_chunk::<PREFIX_LEN>().map(blob_id);
                self.record(EventKind::OverrideUsed, Some(id), Some(&leave.reason), |event| {
                    event.blob = blob
                })?;
                if *notice {
                    self.notice_use(id);
                }
                Ok(key.clone())
            }
            Some(Use::Refused(refusal)) => Err(self.why_not_opened(refusal)),
            None => Err(UnprotectRefusal::UnknownKey { key: id }.into()),
        }
    }

    #[cold]
    fn why_no_key(&self, refusal: &ProtectRefusal) -> Error {
        let now = self.parts.clock.now();
        let state = self.state();
        no_key(refusal, state.member.ring(), (&state.faults, state.root_key_fault.as_ref()), now)
    }

    /// A key that could not be opened says little; why it could not, says what to put right.
    fn why_not_opened(&self, refusal: &UnprotectRefusal) -> Error {
        let fault = match refusal {
            UnprotectRefusal::NotVerified { key } => self.state().faults.get(key).cloned(),
            _ => None,
        };
        fault.map_or_else(|| refusal.clone().into(), Error::from)
    }

    /// Whether a call would find what it needs in memory: to protect, or to open this blob.
    pub(crate) fn is_at_hand(&self, blob: Option<&[u8]>) -> bool {
        let snapshot = self.snapshot.load();
        let fresh = self.parts.clock.now() < snapshot.until;
        let known = blob.is_none_or(|blob| {
            Header::parse(blob).map_or(true, |header| {
                matches!(snapshot.keys.get(&header.key()), Some(Use::Open(_) | Use::Refused(_)))
            })
        });
        fresh && known
    }

    /// Reads the repository because of an unknown key id, unless that was just done for it or for too many others.
    #[cold]
    fn look_for(&self, key: KeyId) -> Result<()> {
        let unknown = || UnprotectRefusal::UnknownKey { key }.into();
        self.look_for_any(key, |ring| ring.key(key).is_some(), unknown)
    }

    /// As [`Engine::look_for`], of whatever `found` finds on the ring, and a name for it among the unknown ids.
    pub(super) fn look_for_any(
        &self,
        name: KeyId,
        found: impl Fn(&Ring) -> bool,
        unknown: impl Fn() -> Error,
    ) -> Result<()> {
        let now = self.parts.clock.now();
        // In a statement of its own: the state must not be locked while another thread's reading is waited for.
        let lookup = self.state().unknown.ask(name, now);
        match lookup {
            Lookup::InVain => return Err(unknown()),
            Lookup::Wait if self.flight.join() => return Ok(()),
            Lookup::Wait => return Err(unknown()),
            Lookup::Read => {}
        }
        let read = self.refresh(Need::Fresh);
        let mut state = self.state();
        if !found(state.member.ring()) {
            state.unknown.remember(name);
        }
        drop(state);
        Ok(read?)
    }
}

fn streamed(cipher: &ChunkCipher, plaintext_len: u64) -> Result<Streamed> {
    let prefix = cipher.prefix();
    let layout = dkm_core::blob::Layout::of_plaintext(plaintext_len, cipher.chunk_size())?;
    Ok(Streamed {
        blob_id: blob_id(prefix),
        key: Header::parse(prefix)?.key(),
        plaintext_len,
        blob_len: layout.blob_len(),
    })
}
