//! What a brokered grant opens.

use dkm_core::{Context, Digest};
use minicbor::{Decode, Encode};

use super::RequestError;

/// Most blobs that a scope names.
pub const BLOBS_MAX: usize = 256;

/// What a brokered grant opens. A blob must fit all that is given: its id one of the `blobs`, unless there are none, and
/// its context must hold all the `context` pairs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Scope {
    /// Ids of blobs, sorted and distinct.
    #[n(0)]
    pub blobs: Vec<Digest>,
    /// Pairs that a blob's context must hold.
    #[cbor(n(1), with = "as_bytes")]
    pub context: Context,
    /// How many blobs may be opened in all.
    #[n(2)]
    pub count_max: u64,
    /// How many bytes of plaintext may be given out in all.
    #[n(3)]
    pub bytes_max: u64,
}

impl Scope {
    pub(super) fn check(&self) -> Result<(), RequestError> {
        let fail = |why: &str| Err(RequestError { field: "scope", why: why.to_owned() });
        if self.blobs.is_empty() && self.context.is_empty() {
            return fail("names neither blobs nor context: it would be everything");
        }
        if self.blobs.len() > BLOBS_MAX {
            return fail("names more than 256 blobs");
        }
        if !self.blobs.is_sorted_by(|a, b| a < b) {
            return fail("names its blobs unsorted, or one twice");
        }
        if self.count_max == 0 || self.bytes_max == 0 {
            return fail("allows nothing: its count and bytes must be at least 1");
        }
        Ok(())
    }

    /// Whether a blob is in the scope.
    #[must_use]
    pub fn covers(&self, blob: Digest, context: &Context) -> bool {
        let named = self.blobs.is_empty() || self.blobs.binary_search(&blob).is_ok();
        named && self.context.pairs().all(|(key, value)| context.value(key) == Some(value))
    }
}

/// A context in CBOR: its own encoding, as bytes.
mod as_bytes {
    use dkm_core::Context;
    use minicbor::decode::Error as DecodeError;
    use minicbor::encode::{Error as EncodeError, Write};
    use minicbor::{Decoder, Encoder};

    pub(super) fn encode<C, W: Write>(
        context: &Context,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.bytes(&context.encode())?.ok()
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Context, DecodeError> {
        Context::decode(d.bytes()?).map_err(|_| DecodeError::message("not a context"))
    }
}
