//! A plaintext in memory: erased when dropped, and never shown.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// Bytes that were or will be protected. Erased when dropped; `Debug` shows their number only.
///
/// `Zeroizing<Vec<u8>>` would show them in `Debug`, and erases byte by byte, which takes longer than decryption.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Plaintext(Vec<u8>);

impl Plaintext {
    /// So many zero bytes, to be overwritten.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        Self(vec![0; len])
    }
}

impl From<Vec<u8>> for Plaintext {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Plaintext {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Plaintext {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl AsRef<[u8]> for Plaintext {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plaintext({} bytes)", self.0.len())
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        zeroize::zeroize_bytes(&mut self.0);
        // What a longer content left behind the present one.
        use zeroize::Zeroize as _;
        self.0.spare_capacity_mut().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", Plaintext::from(b"secret".to_vec())), "Plaintext(6 bytes)");
    }
}
