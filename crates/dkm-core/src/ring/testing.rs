//! Builders for records as a repository shows them.

use super::{Observed, Ring};
use crate::id::{Digest, GroupId, KeyId, RepositoryId};
use crate::kdf;
use crate::policy::Policy;
use crate::record::{
    Change, ExposedRecord, Family, GroupRecord, KeyRecord, Material, Origin, PolicyRecord, Purpose, Record,
    StatusRecord,
};
use crate::safeguards::Safeguards;
use crate::slot::{Attestation, Principal};
use crate::time::{DAY_MS, Timestamp};

pub(crate) const GROUP: GroupId = GroupId([7; 16]);
pub(crate) const REPOSITORY: RepositoryId = RepositoryId([3; 16]);
/// When the group of the tests was made.
pub(crate) const T0: Timestamp = Timestamp(1_000 * DAY_MS);

pub(crate) fn attested(creator: &str, created: Timestamp) -> Attestation {
    Attestation { creator: Principal(creator.to_owned()), created, template_ok: true }
}

/// The record in its own room and slot, made by `uid:0`.
pub(crate) fn seen(record: Record, created: Timestamp) -> Observed {
    Observed {
        room: record.room(),
        name: record.slot(GROUP, 0),
        digest: Digest::of(&record.encode(GROUP)),
        record,
        attested: attested("uid:0", created),
        verified: true,
        public: crate::record::PublicPart::NotKept,
    }
}

pub(crate) fn group() -> Observed {
    let record = GroupRecord {
        name: "mail-tokens".into(),
        created_at_ms: T0.0,
        repository: REPOSITORY,
        roster_genesis: None,
        description: None,
    };
    seen(Record::Group(record), T0)
}

/// Version 1 of the policy: the directory's default, changed.
pub(crate) fn policy(change: impl FnOnce(&mut Policy)) -> Observed {
    policy_after(&[], 1, T0, change)
}

pub(crate) fn policy_after(
    previous: &[&Observed],
    version: u32,
    created: Timestamp,
    change: impl FnOnce(&mut Policy),
) -> Observed {
    let mut policy = Policy::for_directory();
    change(&mut policy);
    policy.validate().unwrap();
    let mut previous: Vec<Digest> = previous.iter().map(|p| p.digest).collect();
    previous.sort_unstable();
    seen(Record::Policy(PolicyRecord { version, previous, created_at_ms: created.0, policy }), created)
}

pub(crate) fn material(n: u8) -> [u8; 32] {
    [n; 32]
}

pub(crate) fn key_id(n: u8) -> KeyId {
    kdf::key_id(GROUP, Family::Native, &material(n))
}

/// Key `n`, made by `uid:0`: the group's first unless changed, and then in the slot that the change gives.
pub(crate) fn key(n: u8, created: Timestamp, change: impl FnOnce(&mut KeyRecord)) -> Observed {
    let mut record = KeyRecord {
        id: key_id(n),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: created.0,
        activates_at_ms: created.0,
        predecessor: None,
        attempt: 0,
        material: Material::Plain(material(n).into()),
        guid: None,
    };
    change(&mut record);
    let mut seen = seen(Record::Key(record.clone()), created);
    record.material = Material::None;
    seen.record = Record::Key(record);
    seen
}

/// Key `n` as the successor of key `predecessor`, active after the default activation delay with its margin.
pub(crate) fn successor(n: u8, predecessor: u8, created: Timestamp) -> Observed {
    let policy = Policy::for_directory();
    key(n, created, |record| {
        record.predecessor = Some(key_id(predecessor));
        record.activates_at_ms += policy.activation_delay_ms + policy.creation_margin_ms();
    })
}

pub(crate) fn status(n: u8, change: Change, created: Timestamp, answers: &[&Observed]) -> Observed {
    status_for(n, change, Purpose::Ordinary, created, answers)
}

pub(crate) fn status_for(
    n: u8,
    change: Change,
    purpose: Purpose,
    created: Timestamp,
    answers: &[&Observed],
) -> Observed {
    let mut digests: Vec<Digest> = answers.iter().map(|seen| seen.digest).collect();
    digests.sort_unstable();
    let epoch = answers
        .iter()
        .filter_map(|seen| match &seen.record {
            Record::Status(status) => Some(status.epoch + 1),
            _ => None,
        })
        .max()
        .unwrap_or(0);
    let record = StatusRecord {
        key: key_id(n),
        change,
        purpose,
        reason: String::new(),
        epoch,
        answers: digests,
        when_ms: created.0,
    };
    seen(Record::Status(record), created)
}

pub(crate) fn exposed(from: Timestamp, until: Timestamp) -> Observed {
    let record =
        ExposedRecord { from_ms: from.0, until_ms: until.0, who: "alice".into(), grant: "g-17".into() };
    seen(Record::Exposed(record), from)
}

pub(crate) fn ring(records: &[Observed], now: Timestamp) -> Ring {
    Ring::derive(records, now, Safeguards::ALL)
}
