//! Requests as they are when the server starts: read from the database, and compared with the audit log.

use std::collections::BTreeMap;

use dkm_audit::entry::{Entry, Phase};
use dkm_core::{Digest, GroupId, RequestId, Timestamp};
use dkm_lockbox::{Lockbox, Record};

use super::State;
use crate::actions::Action;
use crate::audit::{Audit, Mismatch};
use crate::store::Store;
use crate::store::elevations::{self, Row};

/// The requests of each group, and the time that was seen.
#[derive(Debug, Default)]
pub struct Boxes {
    groups: BTreeMap<GroupId, Lockbox>,
    highest: Timestamp,
}

/// What the log says of a record: where it stands in the request's life, and its digest.
#[derive(Debug, PartialEq, Eq)]
struct Announced {
    request: RequestId,
    number: u64,
    digest: Digest,
}

fn announced(entry: &Entry) -> Option<Announced> {
    let action = Action::named(entry.action.as_str())?;
    if !action.is_elevation() {
        return None;
    }
    let mut words = entry.detail.as_ref()?.as_str().split(' ').skip(1);
    let (Some("record"), Some(number), Some("sha256"), Some(digest), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    let request = entry.grant.as_ref()?.as_str().parse().ok()?;
    Some(Announced { request, number: number.parse().ok()?, digest: digest.parse().ok()? })
}

impl Boxes {
    /// Reads the requests. Every stored record must be the one that its leaf announced, and every one that was
    /// acknowledged must be stored.
    ///
    /// # Errors
    /// [`Mismatch::Elevation`] for the first that is not so; the database or the log can't be read.
    pub fn load(store: &Store, audit: &Audit) -> Result<Self, Mismatch> {
        let rows = store.read(elevations::all).map_err(|error| Mismatch::Unreadable(error.to_string()))?;
        let mut intents: BTreeMap<u64, Announced> = BTreeMap::new();
        let mut acknowledged: BTreeMap<u64, (RequestId, u64)> = BTreeMap::new();
        let mut highest = Timestamp(0);
        audit.scan(0, |index, entry| {
            highest = highest.max(entry.time);
            // What was before a recovery is gone, and that is on record.
            if entry.action.as_str() == Action::Recover.as_str() {
                intents.clear();
                acknowledged.clear();
            }
            match (entry.phase, announced(entry)) {
                (Phase::Intent, Some(announced)) => {
                    intents.insert(index, announced);
                }
                (Phase::Success { intent }, Some(announced)) => {
                    acknowledged.insert(intent, (announced.request, announced.number));
                }
                _ => {}
            }
            Ok(())
        })?;
        for Row { request, number, record, leaf, .. } in &rows {
            let found = Announced { request: *request, number: *number, digest: Digest::of(record) };
            if intents.get(leaf) != Some(&found) {
                let why = "it was not announced there";
                return Err(Mismatch::Elevation { request: *request, number: *number, why });
            }
            acknowledged.remove(leaf);
        }
        if let Some((request, number)) = acknowledged.into_values().next() {
            return Err(Mismatch::Elevation { request, number, why: "it was acknowledged, and is missing" });
        }
        let mut boxes = Self { groups: BTreeMap::new(), highest };
        for row in rows {
            let lockbox = boxes.groups.entry(row.group).or_default();
            let unreadable = Mismatch::Elevation {
                request: row.request,
                number: row.number,
                why: "it can't be read, or does not follow the one before",
            };
            let Ok(record) = Record::decode(&row.record) else { return Err(unreadable) };
            if (record.request, record.number) != (row.request, row.number) || lockbox.apply(&record).is_err()
            {
                return Err(unreadable);
            }
            boxes.highest = boxes.highest.max(record.event.at());
        }
        Ok(boxes)
    }

    /// What the server works with.
    #[must_use]
    pub(crate) fn into_state(self) -> State {
        State::new(self.groups, self.highest)
    }
}
