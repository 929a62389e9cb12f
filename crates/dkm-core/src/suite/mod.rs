//! Suites: numbered, complete choices of algorithms. Nothing is negotiated: policy picks for protect, the header says
//! for unprotect.

mod aes_256_gcm;
mod aes_256_gcm_siv;
mod chacha20_poly1305;
mod cipher;

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead;

pub(crate) use cipher::{Cipher, NONCE_LEN, TAG_LEN};

/// A suite: AEAD for the chunks; the key derivation is SP 800-108 with HMAC-SHA-256 in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Suite {
    /// 1: AES-256-GCM (NIST SP 800-38D). The default.
    #[default]
    Aes256Gcm,
    /// 2: ChaCha20-Poly1305 (RFC 8439), for machines without AES instructions.
    ChaCha20Poly1305,
    /// 3: AES-256-GCM-SIV (RFC 8452), resistant to repeated nonces.
    Aes256GcmSiv,
}

impl Suite {
    /// All suites.
    pub const ALL: [Self; 3] = [Self::Aes256Gcm, Self::ChaCha20Poly1305, Self::Aes256GcmSiv];

    /// The number in headers and policies.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Aes256Gcm => aes_256_gcm::NUMBER,
            Self::ChaCha20Poly1305 => chacha20_poly1305::NUMBER,
            Self::Aes256GcmSiv => aes_256_gcm_siv::NUMBER,
        }
    }

    /// The suite with this number; none for a number that this program does not know.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    /// The algorithm's common name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm => aes_256_gcm::NAME,
            Self::ChaCha20Poly1305 => chacha20_poly1305::NAME,
            Self::Aes256GcmSiv => aes_256_gcm_siv::NAME,
        }
    }

    fn algorithm(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes256Gcm => aes_256_gcm::algorithm(),
            Self::ChaCha20Poly1305 => chacha20_poly1305::algorithm(),
            Self::Aes256GcmSiv => aes_256_gcm_siv::algorithm(),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not the name or number of a suite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a suite: expected aes-256-gcm (1), chacha20-poly1305 (2) or aes-256-gcm-siv (3)")]
pub struct ParseSuiteError;

impl FromStr for Suite {
    type Err = ParseSuiteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|s| s.as_str().eq_ignore_ascii_case(&lower) || s.number().to_string() == lower)
            .ok_or(ParseSuiteError)
    }
}
