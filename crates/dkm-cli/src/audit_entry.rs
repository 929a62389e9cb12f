//! Entries of an audit log for people and programs.

use dkm_audit::Entry;
use dkm_audit::tree::Leaf;
use serde_json::{Value, json};

use crate::audit_log::EVIDENCE;
use crate::failure::{Failure, Result};
use crate::{columns, when};

/// Headings of a table of entries.
pub(crate) const HEADINGS: [&str; 7] = ["ENTRY", "TIME", "WHO", "WHAT", "PHASE", "GRANT", "MORE"];

/// An entry and its leaf.
pub(crate) struct Found {
    pub(crate) leaf: Leaf,
    pub(crate) entry: Entry,
}

impl Found {
    /// Reads a leaf.
    pub(crate) fn read(leaf: Leaf) -> Result<Self> {
        let entry = Entry::decode(&leaf.bytes).map_err(|error| {
            Failure::new(dkm::ErrorKind::Corrupt, format!("entry {}: {error}", leaf.index)).help(EVIDENCE)
        })?;
        Ok(Self { leaf, entry })
    }

    /// Index, hash of the leaf, and the entry as it stands in the log.
    pub(crate) fn json(&self) -> Value {
        let entry: Value = serde_json::from_slice(&self.leaf.bytes).unwrap_or_default();
        json!({"index": self.leaf.index, "leaf": self.leaf.hash.to_string(), "entry": entry})
    }

    /// One row of a table.
    pub(crate) fn row(&self) -> Vec<String> {
        let entry = &self.entry;
        let phase = match entry.phase.intent() {
            Some(intent) => format!("{} of {intent}", entry.phase.as_str()),
            None => entry.phase.as_str().to_owned(),
        };
        let more = [
            entry.group.map(|group| format!("group {group}")),
            entry.key.map(|key| format!("key {key}")),
            entry.blob.map(|blob| format!("blob {blob}")),
            entry.size.map(|size| format!("{size} bytes")),
            entry.reason.as_ref().map(|reason| format!("{:?}", reason.as_str())),
            entry.detail.as_ref().map(ToString::to_string),
            entry.next_key.as_ref().map(|key| format!("next key {key}")),
        ];
        vec![
            self.leaf.index.to_string(),
            when::precise(entry.time),
            entry.actor.to_string(),
            entry.action.to_string(),
            phase,
            entry.grant.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            more.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ]
    }

    /// The entry as one line for people.
    pub(crate) fn line(&self) -> String {
        let mut row = self.row();
        row.retain(|cell| !cell.is_empty() && cell != "-");
        format!("{}\n", row.join("  "))
    }
}

/// Entries under their headings.
pub(crate) fn table(found: &[Found]) -> String {
    columns::table(&HEADINGS, &found.iter().map(Found::row).collect::<Vec<_>>())
}
