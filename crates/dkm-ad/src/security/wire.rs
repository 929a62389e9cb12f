//! Little-endian fields, read with bounds and never with a panic.

use super::DescriptorError;

/// The `N` bytes of `bytes` at `at`.
pub(super) fn array<const N: usize>(
    what: &'static str,
    bytes: &[u8],
    at: usize,
) -> Result<[u8; N], DescriptorError> {
    let have = bytes.len().saturating_sub(at);
    at.checked_add(N)
        .and_then(|end| bytes.get(at..end))
        .and_then(|field| field.try_into().ok())
        .ok_or(DescriptorError::Truncated { what, at, need: N, have })
}

/// A 16-bit number.
pub(super) fn u16_at(what: &'static str, bytes: &[u8], at: usize) -> Result<u16, DescriptorError> {
    array(what, bytes, at).map(u16::from_le_bytes)
}

/// A 32-bit number.
pub(super) fn u32_at(what: &'static str, bytes: &[u8], at: usize) -> Result<u32, DescriptorError> {
    array(what, bytes, at).map(u32::from_le_bytes)
}
