//! Records: what happened to a request, as it is stored and logged.

use dkm_core::{Digest, RequestId, Timestamp};
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::answer::Answer;
use crate::offline::{Submission, Usage};
use crate::refusal::Refusal;
use crate::request::{Request, RequestError};

/// Version of the records that this program writes.
pub const RECORD_VERSION: u8 = 1;
/// Longest record, in bytes.
pub const RECORD_LEN_MAX: usize = 64 * 1024;

/// Something that happened to a request, and is never undone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[non_exhaustive]
#[cbor(flat)]
pub enum Event {
    /// It was made; this comes first.
    #[n(1)]
    Requested {
        /// The request.
        #[n(0)]
        request: Box<Request>,
        /// Who brought it, if it came by file.
        #[n(1)]
        submitted: Option<Submission>,
    },
    /// An approver answered.
    #[n(2)]
    Answered {
        /// When.
        #[n(0)]
        at: Timestamp,
        /// What he said.
        #[n(1)]
        answer: Answer,
    },
    /// The requester wants it no more.
    #[n(3)]
    Withdrawn {
        /// When.
        #[n(0)]
        at: Timestamp,
    },
    /// Access begins.
    #[n(4)]
    Activated {
        /// When.
        #[n(0)]
        at: Timestamp,
        /// When it ends.
        #[n(1)]
        until: Timestamp,
    },
    /// Access, or the request for it, is ended early.
    #[n(5)]
    Revoked {
        /// When.
        #[n(0)]
        at: Timestamp,
        /// The person who ended it.
        #[n(1)]
        by: String,
    },
    /// A blob is about to be opened under the grant.
    #[n(6)]
    Opened {
        /// When.
        #[n(0)]
        at: Timestamp,
        /// The blob.
        #[n(1)]
        blob: Digest,
        /// Bytes of plaintext.
        #[n(2)]
        bytes: u64,
    },
    /// More of a blob that was opened is about to be given out.
    #[n(7)]
    Continued {
        /// When.
        #[n(0)]
        at: Timestamp,
        /// The blob.
        #[n(1)]
        blob: Digest,
        /// Bytes of plaintext.
        #[n(2)]
        bytes: u64,
    },
    /// It was found to have ended by itself.
    #[n(8)]
    Ended {
        /// When that was found.
        #[n(0)]
        at: Timestamp,
        /// By what.
        #[n(1)]
        how: Ending,
    },
    /// Somebody has looked at what was done in an emergency.
    #[n(9)]
    Reviewed {
        /// When.
        #[n(0)]
        at: Timestamp,
        /// The person who did.
        #[n(1)]
        by: String,
    },
    /// Somebody says what was done by it while the server did not answer. Nothing more is given by it then.
    #[n(10)]
    UsedOffline {
        /// When that was told.
        #[n(0)]
        at: Timestamp,
        /// What was done.
        #[n(1)]
        usage: Usage,
        /// The answers that were there for it.
        #[n(2)]
        answers: Vec<Answer>,
    },
}

/// How a request or a grant ends without anybody doing anything to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Ending {
    /// It was not approved in time.
    #[n(0)]
    Expired,
    /// It was approved and not activated in time.
    #[n(1)]
    Lapsed,
    /// The policy or the roster is another than when it was made.
    #[n(2)]
    Void,
    /// Its time is over.
    #[n(3)]
    Finished,
    /// Its records are not what steps would have written.
    #[n(4)]
    Invalid,
}

impl Event {
    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Requested { request, submitted: None } => request.made,
            Self::Requested { submitted: Some(submitted), .. } => submitted.at,
            Self::Answered { at, .. }
            | Self::Withdrawn { at }
            | Self::Activated { at, .. }
            | Self::Revoked { at, .. }
            | Self::Opened { at, .. }
            | Self::Continued { at, .. }
            | Self::Ended { at, .. }
            | Self::Reviewed { at, .. }
            | Self::UsedOffline { at, .. } => *at,
        }
    }

    /// What happened, in a word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        use crate::statement::Decision;
        match self {
            Self::Requested { .. } => "requested",
            Self::Answered { answer: Answer { decision: Decision::Approve, .. }, .. } => "approved",
            Self::Answered { answer: Answer { decision: Decision::Deny, .. }, .. } => "denied",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Activated { .. } => "activated",
            Self::Revoked { .. } => "revoked",
            Self::Opened { .. } => "opened",
            Self::Continued { .. } => "continued",
            Self::Ended { .. } => "ended",
            Self::Reviewed { .. } => "reviewed",
            Self::UsedOffline { .. } => "used-offline",
        }
    }
}

/// An event and its place. Of one request and number there is one record: whoever stores a second one loses, and looks
/// again at what the first one says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The request that it belongs to.
    pub request: RequestId,
    /// Its number among the request's records, from 0.
    pub number: u64,
    /// What happened.
    pub event: Event,
}

/// Why bytes are not a record that this program can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Written by a newer program.
    #[error("record version {version} is not known to this program; upgrade it to read the record")]
    UnknownVersion {
        /// Version found.
        version: u64,
    },
    /// Not a record, or of an event that only a newer program knows.
    #[error("record is malformed, or of a newer program: {0}")]
    Malformed(String),
    /// More than [`RECORD_LEN_MAX`] bytes.
    #[error("record of {0} bytes is larger than the limit of {RECORD_LEN_MAX}")]
    TooLarge(usize),
    /// The same content has another, canonical encoding.
    #[error("record is not in its canonical encoding")]
    NotCanonical,
}

impl Record {
    /// The canonical encoding: the CBOR array `[version, request id, number, event]`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let mut e = Encoder::new(&mut out);
        // Writing to a Vec cannot fail, and no encoder of ours returns an error of its own.
        let _ = (|| -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
            e.array(4)?.u8(RECORD_VERSION)?.bytes(self.request.as_bytes())?.u64(self.number)?;
            self.event.encode(&mut e, &mut ())
        })();
        out
    }

    /// That it is one that can be read again.
    pub(crate) fn must_fit(&self) -> Result<(), Refusal> {
        let len = self.encode().len();
        if len <= RECORD_LEN_MAX {
            return Ok(());
        }
        let why = format!("would be a record of {len} bytes; at most {RECORD_LEN_MAX} are allowed");
        Err(Refusal::Request(RequestError { field: "file", why }))
    }

    /// Reads a record. Its signature is not looked at here, but whenever the state that it leads to is asked for.
    ///
    /// # Errors
    /// [`RecordError`]: too large, of an unknown version, malformed, or not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_LEN_MAX {
            return Err(RecordError::TooLarge(bytes.len()));
        }
        let bad = |e: minicbor::decode::Error| RecordError::Malformed(e.to_string());
        let mut d = Decoder::new(bytes);
        let len = d.array().map_err(bad)?;
        let version = d.u64().map_err(bad)?;
        if version != u64::from(RECORD_VERSION) {
            return Err(RecordError::UnknownVersion { version });
        }
        if len != Some(4) {
            return Err(RecordError::Malformed("expected an array of 4".to_owned()));
        }
        let request = RequestId::decode(&mut d, &mut ()).map_err(bad)?;
        let number = d.u64().map_err(bad)?;
        let record = Self { request, number, event: d.decode().map_err(bad)? };
        if record.encode() == bytes { Ok(record) } else { Err(RecordError::NotCanonical) }
    }
}

#[cfg(test)]
mod tests;
