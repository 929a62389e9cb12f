//! What JSON results are made of in several commands. Field names are stable; times are RFC 3339, in UTC.

use dkm::blocking::Group;
use dkm::{NewKey, Streamed, View};
use dkm_core::Timestamp;
use dkm_core::ring::RingKey;
use serde::Serialize;

use crate::when;

/// A group, named.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GroupShape {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl GroupShape {
    pub(crate) fn of(group: &Group) -> Self {
        Self { id: group.id().to_string(), name: group.name() }
    }
}

/// What a call on a stream came to.
#[derive(Debug, Serialize)]
pub(crate) struct StreamShape {
    pub(crate) group: GroupShape,
    pub(crate) key: String,
    pub(crate) blob_id: String,
    pub(crate) plaintext_len: u64,
    pub(crate) blob_len: u64,
    /// The file written; none for stdout.
    pub(crate) output: Option<String>,
}

impl StreamShape {
    pub(crate) fn of(group: &Group, streamed: &Streamed, output: Option<&std::path::Path>) -> Self {
        Self {
            group: GroupShape::of(group),
            key: streamed.key.to_string(),
            blob_id: streamed.blob_id.to_string(),
            plaintext_len: streamed.plaintext_len,
            blob_len: streamed.blob_len,
            output: output.map(|path| path.display().to_string()),
        }
    }
}

/// A key that was made, or waits.
#[derive(Debug, Serialize)]
pub(crate) struct NewKeyShape {
    pub(crate) key: String,
    pub(crate) activates_at: String,
    /// Whether it had been made before.
    pub(crate) was_there: bool,
}

impl From<&NewKey> for NewKeyShape {
    fn from(new: &NewKey) -> Self {
        Self {
            key: new.key.to_string(),
            activates_at: when::precise(new.activates_at),
            was_there: new.was_there,
        }
    }
}

/// A key of the ring.
#[derive(Debug, Serialize)]
pub(crate) struct KeyShape {
    pub(crate) id: String,
    pub(crate) state: &'static str,
    /// Whether it is the one that protects now.
    pub(crate) protecting: bool,
    pub(crate) created: String,
    pub(crate) creator: String,
    pub(crate) activates: String,
    /// From when to when it protects, as far as is known; none for a key that never does.
    pub(crate) protects_since: Option<String>,
    pub(crate) protects_until: Option<String>,
    pub(crate) predecessor: Option<String>,
    pub(crate) origin: &'static str,
    /// What Windows calls it; only a key that was imported from there has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) windows_guid: Option<String>,
    pub(crate) exposed: bool,
    /// Whether its material gives its id.
    pub(crate) verified: bool,
    /// Whether this account may not read its material, and all else is what the repository shows of it.
    pub(crate) withheld: bool,
    /// Why it may never protect.
    pub(crate) distrust: Option<String>,
    /// Until when it cools off before its destruction.
    pub(crate) cooling_off_until: Option<String>,
    pub(crate) reason: Option<String>,
}

impl KeyShape {
    pub(crate) fn of(key: &RingKey, view: &View) -> Self {
        let span = Span::of(key, view);
        let cooling = key.status.cooling_off_since.filter(|_| key.status.destroyed.is_none());
        Self {
            id: key.id().to_string(),
            state: key.state(view.now).as_str(),
            protecting: view.protects_for_members() == Some(key.id()),
            created: when::precise(key.attested.created),
            creator: key.attested.creator.0.clone(),
            activates: when::precise(key.activation()),
            protects_since: span.map(|span| when::precise(span.since)),
            protects_until: span.and_then(|span| span.until).map(when::precise),
            predecessor: key.record.predecessor.map(|id| id.to_string()),
            origin: match key.record.origin {
                dkm_core::record::Origin::Rolled => "rolled",
                dkm_core::record::Origin::Restored => "restored",
                dkm_core::record::Origin::Imported => "imported",
            },
            windows_guid: key.record.guid.map(|guid| guid.to_string()),
            exposed: key.is_exposed(view.now),
            verified: key.verified,
            withheld: key.is_withheld(),
            distrust: key.distrust.as_ref().map(ToString::to_string),
            cooling_off_until: cooling.map(|since| when::precise(since.plus(view.policy.cooling_off_ms))),
            reason: key.status.reason.clone(),
        }
    }
}

/// From when to when a key protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) since: Timestamp,
    pub(crate) until: Option<Timestamp>,
}

impl Span {
    /// None for a key that never protects.
    pub(crate) fn of(key: &RingKey, view: &View) -> Option<Self> {
        if key.distrust.is_some() {
            return None;
        }
        let since = key.activation();
        let status = &key.status;
        let stops = [key.superseded_at, status.deactivated, status.compromised, status.destroyed];
        let end = || Some(key.end(&view.policy)).filter(|end| *end > view.now);
        Some(Self { since, until: stops.into_iter().flatten().min().or_else(end) }).filter(|span| {
            // Ended before it began: compromised while it waited.
            span.until.is_none_or(|until| until > since)
        })
    }
}
