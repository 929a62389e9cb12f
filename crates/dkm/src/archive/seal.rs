//! The seal: `age` around an archive's plaintext (age-encryption.org/v1, not armored).

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use age::DecryptError;
use dkm_core::archive::{ARCHIVE_LEN_MAX, ArchiveError};
use zeroize::Zeroizing;

use super::{Identities, Recipients};
use crate::{Error, Result};

/// Longest header of a sealed archive, in bytes. 64 recipients with RSA keys of 16 384 bits take less than 200 KiB.
const HEADER_LEN_MAX: u64 = 256 << 10;
/// Most stanzas of a header: twice as many as an archive of ours has recipients, for decoys between them.
const STANZAS_MAX: usize = 128;
/// Begins every `age` file.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// Seals `plain` to all recipients. Nothing is written before the recipients were found good.
pub(crate) fn seal(recipients: &Recipients, plain: &[u8], out: impl Write) -> Result<()> {
    let encryptor = age::Encryptor::with_recipients(recipients.as_dyn())
        .map_err(|error| Error::Invalid(format!("the recipients can't be used: {error}")))?;
    let write = || -> io::Result<()> {
        let mut writer = encryptor.wrap_output(out)?;
        writer.write_all(plain)?;
        writer.finish()?.flush()
    };
    write().map_err(|error| Error::io("can't write", std::path::Path::new("the archive"), error))
}

/// What is under a seal.
pub(super) fn open(reader: impl Read, identities: &Identities) -> Result<Zeroizing<Vec<u8>>> {
    // Sealing adds the header, a nonce, and a tag to each chunk of 64 KiB.
    let len_max = ARCHIVE_LEN_MAX as u64 + (ARCHIVE_LEN_MAX as u64 >> 11) + HEADER_LEN_MAX;
    let mut reader = BufReader::new(reader.take(len_max));
    // Read here first: age's parser begins anew at each line, and takes minutes for half a megabyte of short ones.
    let header = header(&mut reader)?;
    let decryptor = age::Decryptor::new_buffered(header.as_slice().chain(reader)).map_err(unsealed)?;
    if decryptor.is_scrypt() {
        return Err(refused(
            "it is sealed with a passphrase",
            "open it with age -d, and seal it to a recipient",
        ));
    }
    let plain = decryptor.decrypt(identities.as_dyn()).map_err(unsealed)?;
    read_secret(plain, ARCHIVE_LEN_MAX).map_err(|error| match error.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::Other => {
            ArchiveError::Malformed(format!("the seal is broken: {error}")).into()
        }
        _ => Error::io("can't read", std::path::Path::new("the archive"), error),
    })
}

/// The header, to the end of the line with its MAC: nothing in it is secret.
fn header(reader: &mut impl BufRead) -> Result<Vec<u8>> {
    let malformed =
        || ArchiveError::Malformed("it is not sealed with age, or its header is damaged".to_owned());
    let mut header = Vec::new();
    let mut stanzas = 0;
    let mut reader = reader.take(HEADER_LEN_MAX);
    loop {
        let start = header.len();
        let read = reader.read_until(b'\n', &mut header);
        read.map_err(|error| Error::io("can't read", std::path::Path::new("the archive"), error))?;
        let line = header.get(start..).unwrap_or_default();
        if !line.ends_with(b"\n") || (start == 0 && line != MAGIC) {
            return Err(malformed().into());
        }
        stanzas += usize::from(line.starts_with(b"-> "));
        if stanzas > STANZAS_MAX {
            return Err(malformed().into());
        }
        if line.starts_with(b"--- ") {
            return Ok(header);
        }
    }
}

fn refused(why: &str, advice: &str) -> Error {
    Error::Refused { what: "opening the archive".to_owned(), why: why.to_owned(), advice: advice.to_owned() }
}

fn unsealed(error: DecryptError) -> Error {
    match error {
        DecryptError::NoMatchingKeys => refused(
            "none of the identities opens it",
            "give the identity of one of its recipients; dkm archive inspect shows of what kind they are",
        ),
        DecryptError::Io(error) if !is_malformed(&error) => {
            Error::io("can't read", std::path::Path::new("the archive"), error)
        }
        DecryptError::UnknownFormat | DecryptError::InvalidHeader | DecryptError::Io(_) => {
            ArchiveError::Malformed("it is not sealed with age, or its header is damaged".to_owned()).into()
        }
        error => ArchiveError::Malformed(format!("the seal is broken: {error}")).into(),
    }
}

fn is_malformed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::Other)
}

/// Reads to the end. A buffer that grows is copied and erased, not moved.
fn read_secret(mut reader: impl Read, len_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0u8; 64 << 10]);
    let mut len = 0;
    loop {
        if len == bytes.len() {
            if len > len_max {
                return Err(io::Error::new(ErrorKind::InvalidData, "it is longer than an archive can be"));
            }
            let mut longer = Zeroizing::new(vec![0u8; len * 2]);
            longer[..len].copy_from_slice(&bytes);
            bytes = longer;
        }
        match reader.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// What a sealed archive shows without an identity.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Sealing {
    /// Of what kind the recipients are, in order: `X25519`, `ssh-ed25519`, `ssh-rsa`. Who they are is not shown, by
    /// design of the format.
    pub recipients: Vec<String>,
}

/// Reads the outside of a sealed archive. Needs no identity, and says nothing about what is inside.
///
/// # Errors
/// It is not sealed with `age`, or can't be read.
pub fn inspect(reader: impl Read) -> Result<Sealing> {
    let malformed = || Error::from(ArchiveError::Malformed("it is not sealed with age".to_owned()));
    let mut reader = BufReader::new(reader.take(HEADER_LEN_MAX));
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        let read = reader.read_until(b'\n', line);
        read.map_err(|error| Error::io("can't read", std::path::Path::new("the archive"), error))
    };
    next(&mut line)?;
    if line != MAGIC {
        return Err(malformed());
    }
    let mut recipients = Vec::new();
    loop {
        if next(&mut line)? == 0 || !line.ends_with(b"\n") {
            return Err(malformed());
        }
        if line.starts_with(b"--- ") {
            return Ok(Sealing { recipients });
        }
        let Some(stanza) = line.strip_prefix(b"-> ") else { continue };
        let kind = stanza.split(|b| b.is_ascii_whitespace()).next().unwrap_or_default();
        // Decoys that implementations put between the recipients, so that readers don't forget to expect unknown ones.
        if !kind.ends_with(b"-grease") {
            recipients.push(String::from_utf8_lossy(kind).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_whole_up_to_the_limit() {
        for len in [0, 1, 65_535, 65_536, 65_537, 300_000] {
            let bytes: Vec<u8> = (0..len).map(|i: u32| i.to_le_bytes()[0]).collect();
            assert_eq!(*read_secret(bytes.as_slice(), 1 << 20).unwrap(), bytes);
        }
        assert!(read_secret(io::repeat(1), 1 << 20).is_err());
    }

    #[test]
    fn a_header_without_end_is_refused_before_it_is_parsed() {
        let identities = Identities::default();
        let stanza = b"-> X25519 AAAA\nAAAA\n";
        let endless = stanza.iter().copied().cycle().take(64 << 20).collect::<Vec<_>>();
        let error = open(MAGIC.chain(endless.as_slice()), &identities).unwrap_err();
        assert!(error.to_string().contains("header"), "{error}");
        let many = [MAGIC, &stanza.repeat(STANZAS_MAX + 1), b"--- mac\n"].concat();
        assert!(header(&mut many.as_slice()).is_err());
        let few = [MAGIC, &stanza.repeat(STANZAS_MAX), b"--- mac\n"].concat();
        assert_eq!(header(&mut [few.as_slice(), b"payload"].concat().as_slice()).unwrap(), few);
        assert!(open(b"age-encryption.org/v1".as_slice(), &identities).is_err());
        assert!(open(b"x\n--- \n".as_slice(), &identities).is_err());
    }

    #[test]
    fn the_outside_tells_kinds_only_and_ends() {
        let header = "age-encryption.org/v1\n-> X25519 abc\nbody\n-> x-grease 1\n\n-> ssh-rsa x\nbody\nbody\n--- mac\npayload";
        assert_eq!(inspect(header.as_bytes()).unwrap().recipients, ["X25519", "ssh-rsa"]);
        for text in [
            "",
            "x",
            "age-encryption.org/v1\n",
            "age-encryption.org/v1\n-> X25519 a\nb\n",
            "age-encryption.org/v2\n--- x\n",
        ] {
            assert!(inspect(text.as_bytes()).is_err(), "{text:?}");
        }
        let endless = MAGIC.chain(io::repeat(b'\n'));
        assert!(inspect(endless).is_err());
    }
}
