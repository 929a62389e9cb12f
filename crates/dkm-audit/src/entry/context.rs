//! How a context stands in the log.

use std::fmt;

use aws_lc_rs::hmac;
use dkm_core::{Context, GroupId};
use zeroize::Zeroizing;

use crate::note::KeyError;

/// The key under which one log recognises contexts: without it nobody can guess a context from its entry. Keep it as
/// long as the log, and apart from it.
pub struct ContextKey(Zeroizing<[u8; 32]>);

impl ContextKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self(bytes))
    }

    /// The key with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The key's bytes, to keep them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA-256 over a label, the group's id and the context's canonical encoding.
    #[must_use]
    pub fn mac(&self, group: GroupId, context: &Context) -> ContextMac {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice()));
        mac.update(b"dkm audit context\0");
        mac.update(group.as_bytes());
        mac.update(&context.encode());
        let mut out = [0u8; 32];
        out.copy_from_slice(mac.sign().as_ref());
        ContextMac(out)
    }
}

impl fmt::Debug for ContextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContextKey(..)")
    }
}

/// A context as it stands in an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextMac(pub(super) [u8; 32]);

impl fmt::Display for ContextMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContextMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
