//! Suite 3: AES-256-GCM-SIV (RFC 8452) with 12-byte nonces and 16-byte tags.

use aws_lc_rs::aead;

/// Number in headers and policies.
pub(super) const NUMBER: u16 = 3;
/// Common name.
pub(super) const NAME: &str = "AES-256-GCM-SIV";

/// The primitive.
pub(super) fn algorithm() -> &'static aead::Algorithm {
    &aead::AES_256_GCM_SIV
}
