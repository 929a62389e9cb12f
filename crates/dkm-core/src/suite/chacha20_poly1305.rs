//! Suite 2: ChaCha20-Poly1305 (RFC 8439) with 12-byte nonces and 16-byte tags.

use aws_lc_rs::aead;

/// Number in headers and policies.
pub(super) const NUMBER: u16 = 2;
/// Common name.
pub(super) const NAME: &str = "ChaCha20-Poly1305";

/// The primitive.
pub(super) fn algorithm() -> &'static aead::Algorithm {
    &aead::CHACHA20_POLY1305
}
