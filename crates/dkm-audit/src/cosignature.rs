//! What a witness signs ([C2SP tlog-cosignature](https://c2sp.org/tlog-cosignature), version 1, Ed25519).

use crate::note::{NoteSignature, VerifierKey};

/// Latest time that a cosignature can carry, in seconds since the Unix epoch.
pub(crate) const SECONDS_MAX: u64 = i64::MAX.cast_unsigned();

pub(crate) fn message(text: &str, seconds: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes()
}

/// The time at which a witness has cosigned `text`, in seconds since the Unix epoch; `None` if it has not.
pub(crate) fn verify(key: &VerifierKey, text: &str, signature: &NoteSignature) -> Option<u64> {
    let (seconds, signature) = signature.signature.split_first_chunk()?;
    let seconds = u64::from_be_bytes(*seconds);
    (seconds <= SECONDS_MAX && key.verifies(&message(text, seconds), signature)).then_some(seconds)
}
