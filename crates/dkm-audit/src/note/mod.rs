//! Signed notes ([C2SP signed-note](https://c2sp.org/signed-note)): text, an empty line, signature lines.
//!
//! One note has one encoding here: what does not encode back to the same bytes is refused.

mod key;
mod signer;
#[cfg(test)]
mod tests;

use base64::prelude::{BASE64_STANDARD, Engine};

pub use key::{KEY_NAME_LEN_MAX, KeyError, KeyKind, KeyName, NoteKeyId, VerifierKey};
pub use signer::{LogKey, WitnessKey};

/// Longest note, in bytes. Sixteen post-quantum signatures fit.
pub const NOTE_LEN_MAX: usize = 256 * 1024;
/// Most signatures of a note.
pub const SIGNATURES_MAX: usize = 64;
/// Longest signature, in bytes, without the key id.
pub const SIGNATURE_LEN_MAX: usize = 8 * 1024;

const DASH: &str = "\u{2014} ";

/// Why bytes are not a note, or signatures do not make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Longer than [`NOTE_LEN_MAX`].
    #[error("the note is longer than {NOTE_LEN_MAX} bytes")]
    TooLong,
    /// Not UTF-8, or with a control character other than a newline.
    #[error("the note is not plain text")]
    NotText,
    /// The text does not end with a newline, or there is no empty line before the signatures.
    #[error("the note has no text that ends with a newline and an empty line")]
    NoText,
    /// No signature, or more than [`SIGNATURES_MAX`].
    #[error("the note has no signature, or more than {SIGNATURES_MAX}")]
    BadCount,
    /// A line after the text is no signature.
    #[error("signature line {line} of the note is malformed")]
    BadSignature {
        /// Number of the line, from 1.
        line: usize,
    },
    /// Two signatures by one key.
    #[error("signature line {line} of the note is by a key that has signed already")]
    Twice {
        /// Number of the line, from 1.
        line: usize,
    },
}

/// A signature line. The text that it signs is trusted only once a [`VerifierKey`] has verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key that claims to have signed.
    pub name: KeyName,
    /// Id of the key that claims to have signed.
    pub id: NoteKeyId,
    /// The signature, as its key's kind has it.
    pub signature: Vec<u8>,
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        let (id, signature) = bytes.split_first_chunk()?;
        if signature.is_empty() || signature.len() > SIGNATURE_LEN_MAX {
            return None;
        }
        Some(Self {
            name: name.parse().ok()?,
            id: NoteKeyId(u32::from_be_bytes(*id)),
            signature: signature.to_vec(),
        })
    }

    fn line(&self) -> String {
        let bytes = [&self.id.0.to_be_bytes()[..], &self.signature].concat();
        format!("{DASH}{} {}\n", self.name, BASE64_STANDARD.encode(bytes))
    }
}

/// A text and its signatures, none of which is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Puts signatures under a text.
    ///
    /// # Errors
    /// What keeps the two from being a note.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        check_text(&text)?;
        let note = Self { text, signatures };
        note.check()?;
        Ok(note)
    }

    /// Reads a note.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_LEN_MAX {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::NotText)?;
        // The text ends at the last empty line, and keeps its own newline.
        let end = note.rfind("\n\n").ok_or(NoteError::NoText)?;
        let (text, signatures) = (&note[..=end], &note[end + 2..]);
        check_text(text)?;
        let mut parsed = Vec::new();
        for (at, line) in signatures.split_inclusive('\n').enumerate() {
            if at == SIGNATURES_MAX {
                return Err(NoteError::BadCount);
            }
            let signature = line.strip_suffix('\n').and_then(NoteSignature::parse);
            parsed.push(signature.ok_or(NoteError::BadSignature { line: at + 1 })?);
        }
        let note = Self { text: text.to_owned(), signatures: parsed };
        note.check()?;
        Ok(note)
    }

    fn check(&self) -> Result<(), NoteError> {
        if self.signatures.is_empty() || self.signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::BadCount);
        }
        for (at, signature) in self.signatures.iter().enumerate() {
            if signature.signature.is_empty() || signature.signature.len() > SIGNATURE_LEN_MAX {
                return Err(NoteError::BadSignature { line: at + 1 });
            }
            let same = |other: &NoteSignature| (&other.name, other.id) == (&signature.name, signature.id);
            if self.signatures.iter().take(at).any(same) {
                return Err(NoteError::Twice { line: at + 1 });
            }
        }
        if self.encode().len() > NOTE_LEN_MAX { Err(NoteError::TooLong) } else { Ok(()) }
    }

    /// The note's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let signatures: String = self.signatures.iter().map(NoteSignature::line).collect();
        format!("{}\n{signatures}", self.text).into_bytes()
    }

    /// The text that is signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, in the order of their lines.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The signature that claims to be by `key`.
    #[must_use]
    pub fn by(&self, key: &VerifierKey) -> Option<&NoteSignature> {
        self.signatures.iter().find(|signature| signature.name == *key.name() && signature.id == key.id())
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::NoText);
    }
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') { Err(NoteError::NotText) } else { Ok(()) }
}
