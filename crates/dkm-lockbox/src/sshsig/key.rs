//! Public keys as OpenSSH writes them in one line: `type base64 [comment]`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::SignatureError;
use super::wire::Reader;

/// Longest line that is taken for a key.
const LINE_LEN_MAX: usize = 4096;

/// The kinds of keys that may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// `ssh-ed25519`, RFC 8709.
    Ed25519([u8; 32]),
    /// `ecdsa-sha2-nistp256`, RFC 5656: an uncompressed point.
    P256([u8; 65]),
    /// `sk-ssh-ed25519@openssh.com`, with the application that the authenticator signs for.
    SkEd25519([u8; 32], Vec<u8>),
    /// `sk-ecdsa-sha2-nistp256@openssh.com`; passkeys are such keys, their application is the relying party's id.
    SkP256([u8; 65], Vec<u8>),
}

/// A public key that may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub(super) kind: Kind,
    /// Its encoding, RFC 4253 §6.6, by which signatures name it.
    pub(super) blob: Vec<u8>,
}

fn bytes<const N: usize>(found: &[u8]) -> Result<[u8; N], SignatureError> {
    found.try_into().map_err(|_| SignatureError::Malformed("a key has another length than its type"))
}

impl PublicKey {
    /// Reads the encoding of a key.
    pub(super) fn parse(blob: &[u8]) -> Result<Self, SignatureError> {
        let mut reader = Reader::new(blob);
        let point = |reader: &mut Reader<'_>| match reader.string()? {
            b"nistp256" => bytes(reader.string()?),
            _ => Err(SignatureError::Malformed("a key is on another curve than its type")),
        };
        let kind = match reader.text()? {
            "ssh-ed25519" => Kind::Ed25519(bytes(reader.string()?)?),
            "ecdsa-sha2-nistp256" => Kind::P256(point(&mut reader)?),
            "sk-ssh-ed25519@openssh.com" => {
                let key = bytes(reader.string()?)?;
                Kind::SkEd25519(key, reader.string()?.to_vec())
            }
            "sk-ecdsa-sha2-nistp256@openssh.com" => {
                let key = point(&mut reader)?;
                Kind::SkP256(key, reader.string()?.to_vec())
            }
            other => return Err(SignatureError::KeyType(printable(other))),
        };
        reader.end()?;
        Ok(Self { kind, blob: blob.to_vec() })
    }

    /// Reads a line; what stands behind the key is a comment.
    pub(super) fn from_line(line: &str) -> Result<Self, SignatureError> {
        if line.len() > LINE_LEN_MAX || line.contains(['\n', '\r']) {
            return Err(SignatureError::Malformed("a public key is not one line of at most 4096 bytes"));
        }
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(encoded)) = (words.next(), words.next()) else {
            return Err(SignatureError::Malformed("a public key is not «type base64»"));
        };
        let blob =
            STANDARD.decode(encoded).map_err(|_| SignatureError::Malformed("a public key is not base64"))?;
        if Reader::new(&blob).text().ok() != Some(name) {
            return Err(SignatureError::KeyType(printable(name)));
        }
        Self::parse(&blob)
    }
}

/// A name from elsewhere, fit for an error message.
fn printable(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}
