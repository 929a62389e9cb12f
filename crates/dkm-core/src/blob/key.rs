//! A key of a group, ready to protect and unprotect.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{BlobError, COMMITMENT_LEN, HEADER_LEN, Header};
use crate::context::Context;
use crate::id::{GroupId, KeyId};
use crate::kdf;
use crate::record::Family;
use crate::suite::Cipher;

/// A key of a group with its HMAC state prepared, so that each blob costs two HMACs over two SHA-256 blocks each.
///
/// The prepared state is secret and is erased when dropped; it lies in ordinary memory of the cryptographic library.
pub struct BlobKey {
    id: KeyId,
    group: GroupId,
    family: Family,
    hmac: hmac::Key,
}

impl BlobKey {
    /// Prepares a key.
    #[must_use]
    pub fn new(group: GroupId, family: Family, material: &[u8; 32]) -> Self {
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, material);
        Self { id: kdf::key_id_of(&hmac, group, family), group, family, hmac }
    }

    /// The key's id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The key's group.
    #[must_use]
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// AEAD key and commitment of one blob: SP 800-108, label = suite number, context = header ‖ SHA-256(context).
    pub(super) fn derive(
        &self,
        header: &Header,
        header_bytes: &[u8],
        context: &Context,
    ) -> Result<(Cipher, [u8; COMMITMENT_LEN]), BlobError> {
        if header.group() != self.group {
            return Err(BlobError::WrongGroup { found: header.group(), expected: self.group });
        }
        if header.key() != self.id {
            return Err(BlobError::WrongKey { found: header.key(), expected: self.id });
        }
        if self.family != Family::Native {
            return Err(BlobError::ForeignFamily { key: self.id });
        }
        // Counter 4 ‖ label 2 ‖ 00 ‖ H 76 ‖ context hash 32 ‖ length 4 = 119 bytes: two blocks with HMAC's padding.
        let mut input = [0u8; 4 + 2 + 1 + HEADER_LEN + 32 + 4];
        input[4..6].copy_from_slice(&header.suite().number().to_be_bytes());
        input[7..7 + HEADER_LEN].copy_from_slice(header_bytes);
        input[7 + HEADER_LEN..39 + HEADER_LEN].copy_from_slice(context.hash().as_bytes());
        input[39 + HEADER_LEN..].copy_from_slice(&512u32.to_be_bytes());
        let mut key = Zeroizing::new([0u8; 32]);
        let mut commitment = [0u8; COMMITMENT_LEN];
        input[3] = 1;
        let first = kdf::prf_to(&self.hmac, &input, &mut key);
        input[3] = 2;
        let second = kdf::prf_to(&self.hmac, &input, &mut commitment);
        // An HMAC always has room for its output, and all suites take 32-byte keys, which is what is derived.
        let aead = first
            .and(second)
            .and_then(|()| Cipher::new(header.suite(), &key))
            .map_err(|_| BlobError::UnknownSuite { suite: header.suite().number() })?;
        Ok((aead, commitment))
    }
}

impl fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobKey({})", self.id)
    }
}
