//! Making archives.

use std::collections::BTreeMap;
use std::io::Write;

use dkm_core::archive::{Archive, ArchiveEntry, ArchivedRecord};
use dkm_core::record::{KeyRecord, Material, Record, RecordError};
use dkm_core::ring::Observed;
use dkm_core::{Attestation, Digest, GroupId, KeyId, Principal, RepositoryId, Room, SlotName, Timestamp};

use super::parse_recipients;
use super::seal::seal;
use crate::blocking::Group;
use crate::engine::{Engine, whoami};
use crate::journal::EventKind;
use crate::reading::{KeyMaterial, open_record};
use crate::repository::{Replica, RepositoryError};
use crate::{Error, Result};

/// What an export came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportSummary {
    /// Keys in the archive.
    pub keys: usize,
    /// All records in it, keys included.
    pub records: usize,
    /// Recipients, any one of whom opens it.
    pub recipients: usize,
    /// Keys that are **not** in it, because their material could not be opened, and why.
    pub left_out: Vec<(KeyId, String)>,
    /// Records that are not in it, because they are malformed or not served, and why.
    pub malformed: Vec<(SlotName, String)>,
    /// Replicas that were not read, and why: a record that only they hold is not in it.
    pub unread: Vec<(usize, RepositoryError)>,
}

/// Releases every key of a group into an archive, sealed to `recipients`; if there are none, to the policy's.
///
/// The release is recorded before the first byte is written. The records are read anew from every replica.
///
/// # Errors
/// No recipient, or one that can't be read; no replica answers; the journal can't be written; `out` fails, and what was
/// written by then is no archive.
pub fn export(group: &Group, recipients: &[String], out: impl Write) -> Result<ExportSummary> {
    let engine = group.engine();
    let policy;
    let recipients = if recipients.is_empty() {
        policy = engine.policy()?;
        policy.archive_recipients.as_slice()
    } else {
        recipients
    };
    if recipients.is_empty() {
        return Err(Error::Refused {
            what: "exporting an archive".to_owned(),
            why: "it has no recipients, and the policy names none".to_owned(),
            advice: "give --recipient age1… or an SSH public key, or set archive_recipients in the policy"
                .to_owned(),
        });
    }
    let recipients = parse_recipients(recipients)?;
    if !engine.rights().read {
        return Err(Error::NoRight { what: "exporting an archive".to_owned(), right: crate::view::READ });
    }
    let collected = Collected::from(engine)?;
    let archive = Archive {
        repository: collected.repository,
        group: engine.group,
        name: engine.name(),
        exported_at_ms: engine.parts.clock.now().0,
        entries: collected.entries,
    };
    let is_key = |e: &ArchiveEntry| matches!(e.record, ArchivedRecord::Known(Record::Key(_)));
    let summary = ExportSummary {
        keys: archive.entries.iter().filter(|e| is_key(e)).count(),
        records: archive.entries.len(),
        recipients: recipients.count(),
        left_out: collected.left_out,
        malformed: collected.malformed,
        unread: collected.unread,
    };
    let plain = archive.encode()?;
    let to: Vec<String> = recipients.names().collect();
    let detail = format!("{} keys to {}", summary.keys, to.join(", "));
    engine.record(EventKind::ArchiveExported, None, None, |event| event.detail = Some(detail))?;
    seal(&recipients, &plain, out)?;
    Ok(summary)
}

/// An archive of one key that nobody has used yet, sealed.
pub(crate) fn seal_escrow(
    recipients: &[String],
    repository: RepositoryId,
    group: GroupId,
    name: &str,
    key: KeyRecord,
) -> Result<Vec<u8>> {
    let recipients = parse_recipients(recipients)?;
    let attested = Attestation {
        creator: Principal(whoami()),
        created: Timestamp(key.created_at_ms),
        // There is no repository yet to say otherwise.
        template_ok: true,
    };
    let plain = Archive::escrow(repository, group, name, key, attested).encode()?;
    let mut sealed = Vec::with_capacity(plain.len() + 1024);
    seal(&recipients, &plain, &mut sealed)?;
    Ok(sealed)
}

/// Everything that all replicas hold of a group, with plain material.
pub(super) struct Collected {
    pub(super) repository: RepositoryId,
    pub(super) entries: Vec<ArchiveEntry>,
    /// The same as a ring is derived from it; keys that did not open are here, and not among the entries.
    pub(super) observed: Vec<Observed>,
    pub(super) left_out: Vec<(KeyId, String)>,
    pub(super) malformed: Vec<(SlotName, String)>,
    pub(super) unread: Vec<(usize, RepositoryError)>,
}

impl Collected {
    /// Reads every replica on a fresh connection.
    pub(super) fn from(engine: &Engine) -> Result<Self> {
        let mut all = Gathered::default();
        let mut unread = Vec::new();
        let mut repository = None;
        for number in 0..engine.parts.repository.replicas() {
            let read = engine.parts.repository.connect(number).and_then(|mut replica| {
                repository = Some(replica.repository());
                all.read(engine, replica.as_mut())
            });
            match read {
                Ok(()) => {}
                // Decided by a replica that knows: no key is released on the word of the others.
                Err(error @ RepositoryError::Denied { .. }) => return Err(error.into()),
                Err(error) => unread.push((number, error)),
            }
        }
        let (Some(repository), true) = (repository, unread.len() < engine.parts.repository.replicas()) else {
            let fault = unread.into_iter().next().map(|(_, error)| Error::Repository(error));
            return Err(fault.unwrap_or_else(|| Error::Internal("a repository without replicas".to_owned())));
        };
        // A key that opened on one replica is not missing because it did not on another.
        let opened: Vec<KeyId> = all.entries.values().filter_map(|(entry, _)| key_of(entry)).collect();
        all.left_out.retain(|id, _| !opened.contains(id));
        let (entries, observed): (Vec<_>, Vec<_>) = all.entries.into_values().unzip();
        Ok(Self {
            repository,
            entries,
            observed: observed.into_iter().flatten().chain(all.closed.into_values()).collect(),
            left_out: all.left_out.into_iter().collect(),
            malformed: all.malformed.into_iter().collect(),
            unread,
        })
    }
}

fn key_of(entry: &ArchiveEntry) -> Option<KeyId> {
    match &entry.record {
        ArchivedRecord::Known(Record::Key(key)) => Some(key.id),
        _ => None,
    }
}

/// Where a record lies, and which it is.
type At = (Room, SlotName, Digest);

#[derive(Default)]
struct Gathered {
    entries: BTreeMap<At, (ArchiveEntry, Option<Observed>)>,
    closed: BTreeMap<At, Observed>,
    left_out: BTreeMap<KeyId, String>,
    malformed: BTreeMap<SlotName, String>,
}

impl Gathered {
    fn read(&mut self, engine: &Engine, replica: &mut dyn Replica) -> Result<(), RepositoryError> {
        let repository = replica.repository();
        for room in Room::ALL {
            for entry in replica.list(engine.group, room)? {
                let stored = match replica.get(engine.group, room, &entry) {
                    Ok(stored) => stored,
                    // Shredded between list and get.
                    Err(RepositoryError::NotFound { .. }) => continue,
                    // Its author keeps it to himself, or it is no record: the others must not be lost over it.
                    Err(RepositoryError::Unreadable { name, why, .. }) => {
                        tracing::warn!(group = %engine.group, slot = %name, %why, "not in the archive");
                        self.malformed.insert(entry.name.clone(), why);
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let at = (room, entry.name.clone(), Digest::of(&stored.bytes));
                let kept = |record| ArchiveEntry {
                    room,
                    slot: entry.name.clone(),
                    attested: stored.attested.clone(),
                    record,
                };
                let read =
                    open_record(repository, engine.group, room, &entry, &stored, engine.parts.roots.as_ref());
                match read {
                    Ok(read) => {
                        let observed = read.observed.as_ref().clone();
                        match with_material(&observed.record, read.material) {
                            Some(record) => {
                                let known = kept(ArchivedRecord::Known(record));
                                self.entries.insert(at, (known, Some(observed)));
                            }
                            None => {
                                if let Record::Key(key) = &observed.record {
                                    let why = read.fault.map(|fault| fault.to_string());
                                    let why =
                                        why.unwrap_or_else(|| "its material does not give its id".to_owned());
                                    self.left_out.insert(key.id, why);
                                }
                                self.closed.insert(at, observed);
                            }
                        }
                    }
                    // For a newer program that reads the archive some day.
                    Err(why @ (RecordError::UnknownKind { .. } | RecordError::UnknownVersion { .. })) => {
                        let unknown = kept(ArchivedRecord::Unknown { bytes: stored.bytes.clone(), why });
                        self.entries.insert(at, (unknown, None));
                    }
                    Err(why) => {
                        self.malformed.insert(entry.name.clone(), why.to_string());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The record as it goes into an archive; none for a key that did not open.
fn with_material(record: &Record, material: Option<KeyMaterial>) -> Option<Record> {
    match (record, material) {
        (Record::Key(key), Some(material)) => {
            Some(Record::Key(KeyRecord { material: Material::Plain(material.bytes), ..key.clone() }))
        }
        (Record::Key(_), None) => None,
        (record, _) => Some(record.clone()),
    }
}
