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

    /// Makes it `len` bytes long, to be overwritten; what they are until then is not specified. Memory is taken only
    /// if there is too little, and nothing of the former content stays in memory given up or beyond the new end.
    pub fn resize(&mut self, len: usize) {
        if len > self.0.capacity() {
            // Memory that grows may move, and leave a copy behind; dropping the former one erases it.
            *self = Self::zeroed(len);
            return;
        }
        if let Some(beyond) = self.0.get_mut(len..) {
            erase(beyond);
        }
        self.0.resize(len, 0);
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
        use zeroize::Zeroize as _;
        erase(&mut self.0);
        // What a longer content left behind the present one.
        let spare = self.0.spare_capacity_mut();
        if !spare.is_empty() {
            spare.zeroize();
        }
    }
}

fn erase(bytes: &mut [u8]) {
    // A masked store of no bytes to a vector's dangling address can cost a processor more than the erasing of 1 KiB.
    if !bytes.is_empty() {
        zeroize::zeroize_bytes(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plaintext_that_is_used_again_keeps_its_memory_and_nothing_beyond_its_end() {
        let mut plaintext = Plaintext::from(vec![7; 100]);
        let place = plaintext.as_ptr();
        for len in [40, 0, 100, 99] {
            plaintext.resize(len);
            assert_eq!((plaintext.len(), plaintext.as_ptr()), (len, place));
            // Had it not been erased, it would come back here.
            plaintext.resize(100);
            assert!(plaintext[len..].iter().all(|byte| *byte == 0), "{len}");
            plaintext.fill(7);
        }
        plaintext.resize(101);
        assert_eq!(*plaintext, [0; 101]);
    }

    #[test]
    fn debug_shows_no_content() {
        assert_eq!(format!("{:?}", Plaintext::from(b"secret".to_vec())), "Plaintext(6 bytes)");
    }
}
