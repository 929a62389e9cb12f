//! NIST SP 800-108 (Rev. 1, §4.1) in counter mode with HMAC-SHA-256 and a 32-bit counter before the fixed input.

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::id::{GroupId, KeyId, RootKeyId};
use crate::record::Family;

/// Derives `out.len()` bytes from `key` and the fixed input. Output beyond one HMAC block takes another counter.
pub fn derive(key: &hmac::Key, fixed: &[u8], out: &mut [u8]) {
    let mut counter = 0u32;
    for block in out.chunks_mut(32) {
        // At most a few blocks are ever asked for; a wrapped counter would repeat output, so it must not.
        counter = counter.saturating_add(1);
        let output = Zeroizing::new(prf(key, &[&counter.to_be_bytes(), fixed]));
        block.copy_from_slice(&output[..block.len()]);
    }
}

/// The pseudorandom function under all derivations: HMAC-SHA-256 (FIPS 198-1) of the parts put together.
#[inline]
pub(crate) fn prf(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0u8; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// [`prf`] of one part, without the copies that `prf` makes of the prepared state and of the output: they are felt
/// where a call is short.
#[inline]
pub(crate) fn prf_to(key: &hmac::Key, input: &[u8], out: &mut [u8; 32]) -> Result<(), Unspecified> {
    hmac::sign_to_buffer(key, input, out).map(|_| ())
}

/// Label, 00, context, length in bits: the fixed input of SP 800-108 §4.
#[must_use]
pub fn fixed_input(label: &[u8], context: &[u8], len_bits: u32) -> Vec<u8> {
    [label, &[0], context, &len_bits.to_be_bytes()].concat()
}

fn id16(key: &hmac::Key, label: &[u8], context: &[u8]) -> [u8; 16] {
    let mut out = [0u8; 16];
    derive(key, &fixed_input(label, context, 128), &mut out);
    out
}

/// The id of a key: 16 bytes derived from its material, group and family. Equal ids mean equal keys.
#[must_use]
pub fn key_id(group: GroupId, family: Family, material: &[u8; 32]) -> KeyId {
    key_id_of(&hmac::Key::new(hmac::HMAC_SHA256, material), group, family)
}

pub(crate) fn key_id_of(key: &hmac::Key, group: GroupId, family: Family) -> KeyId {
    let mut context = Zeroizing::new([0u8; 17]);
    context[..16].copy_from_slice(group.as_bytes());
    context[16] = family.as_byte();
    KeyId(id16(key, b"dkm key id", context.as_slice()))
}

/// The id of a root key, derived from its bytes and the group it wraps for.
#[must_use]
pub fn root_key_id(group: GroupId, root: &[u8; 32]) -> RootKeyId {
    RootKeyId(id16(&hmac::Key::new(hmac::HMAC_SHA256, root), b"dkm root id", group.as_bytes()))
}

#[cfg(test)]
mod tests;
