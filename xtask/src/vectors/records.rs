//! records.json: records of every kind and their one encoding.

mod fields;

use anyhow::{Context as _, Result, ensure};
use dkm_core::policy::{Policy, Wrap};
use dkm_core::record::{
    ApprovalLevel, BreakGlass, Change, ElevationRules, ExposedRecord, Family, GroupRecord, KeyRecord,
    Material, Origin, Person, PolicyRecord, Purpose, Record, RosterRecord, RosterSignature, StatusRecord,
    WrappedMaterial,
};
use dkm_core::{Digest, KeyId, kdf};

use super::Topic;
use super::fixed::{self, GROUP, REPOSITORY, WHEN_MS};
use super::json::Json;

/// Digests that belong to names, sorted as records want them.
pub(crate) fn digests(names: &[&str]) -> Vec<Digest> {
    let mut list: Vec<Digest> = names.iter().map(|name| Digest(fixed::bytes32(name))).collect();
    list.sort_unstable();
    list
}

pub(crate) fn group() -> GroupRecord {
    GroupRecord {
        name: "mail-tokens".into(),
        created_at_ms: WHEN_MS,
        repository: REPOSITORY,
        roster_genesis: None,
        description: None,
    }
}

pub(crate) fn policy(version: u32, previous: Vec<Digest>) -> PolicyRecord {
    PolicyRecord { version, previous, created_at_ms: WHEN_MS, policy: Policy::for_directory() }
}

pub(crate) fn roster() -> RosterRecord {
    let person = |id: &str, key: &str, accounts: &[&str]| Person {
        id: id.into(),
        keys: vec![format!("ssh-ed25519 {key} {id}")],
        accounts: accounts.iter().map(|a| (*a).to_owned()).collect(),
    };
    RosterRecord {
        version: 1,
        previous: Vec::new(),
        created_at_ms: WHEN_MS,
        persons: vec![
            person("alice", "AAAAC3NzaC1lZDI1NTE5AAAAIA", &["S-1-5-21-1-2-3-1104", "uid:1000"]),
            person("bob", "AAAAC3NzaC1lZDI1NTE5AAAAIB", &["uid:1001"]),
            person("carol", "AAAAC3NzaC1lZDI1NTE5AAAAIC", &[]),
        ],
        levels: vec![
            ApprovalLevel {
                name: "security".into(),
                approvers: vec!["alice".into(), "bob".into()],
                quorum: 2,
            },
            ApprovalLevel { name: "legal".into(), approvers: vec!["carol".into()], quorum: 1 },
        ],
        change_delay_ms: 86_400_000,
        signatures: Vec::new(),
        elevation: None,
    }
}

/// Everything that can be asked for.
pub(crate) fn elevation() -> ElevationRules {
    let level = |name: &str, approver: &str| ApprovalLevel {
        name: name.into(),
        approvers: vec![approver.into()],
        quorum: 1,
    };
    ElevationRules {
        duration_max_ms: 14_400_000,
        untouched_ms: 86_400_000,
        activation_window_ms: 3_600_000,
        revokers: vec!["bob".into(), "carol".into()],
        direct: Some(vec![level("privacy", "bob")]),
        break_glass: Some(BreakGlass {
            levels: vec![level("on call", "alice")],
            duration_max_ms: 3_600_000,
            review_within_ms: 259_200_000,
            direct: true,
        }),
    }
}

pub(crate) fn key() -> KeyRecord {
    KeyRecord {
        id: kdf::key_id(GROUP, Family::Native, &fixed::material()),
        family: Family::Native,
        origin: Origin::Rolled,
        created_at_ms: WHEN_MS,
        activates_at_ms: WHEN_MS,
        predecessor: None,
        attempt: 0,
        material: Material::Plain(fixed::material().into()),
        guid: None,
    }
}

/// A key after the first one, with other material.
pub(crate) fn successor() -> KeyRecord {
    KeyRecord {
        id: kdf::key_id(GROUP, Family::Native, &fixed::other_material()),
        activates_at_ms: WHEN_MS + 3_600_000,
        predecessor: Some(key().id),
        attempt: 2,
        material: Material::Plain(fixed::other_material().into()),
        ..key()
    }
}

pub(crate) fn status(change: Change, purpose: Purpose) -> StatusRecord {
    StatusRecord {
        key: key().id,
        change,
        purpose,
        reason: "left the company".into(),
        epoch: 1,
        answers: Vec::new(),
        when_ms: WHEN_MS,
    }
}

pub(crate) fn exposed() -> ExposedRecord {
    ExposedRecord {
        from_ms: WHEN_MS,
        until_ms: WHEN_MS + 3_600_000,
        who: "alice".into(),
        grant: "g-17".into(),
    }
}

fn groups() -> Vec<(&'static str, Record)> {
    vec![
        ("group-least", Record::Group(group())),
        (
            "group-everything",
            Record::Group(GroupRecord {
                name: "a.b_c-0".into(),
                roster_genesis: Some(Digest(fixed::bytes32("genesis"))),
                description: Some("Refresh tokens\n\tof connected accounts: Z\u{fc}rich".into()),
                ..group()
            }),
        ),
        (
            "group-limits",
            Record::Group(GroupRecord {
                name: "n".repeat(128),
                created_at_ms: u64::MAX,
                description: Some("d".repeat(1024)),
                ..group()
            }),
        ),
    ]
}

fn policies() -> Vec<(&'static str, Record)> {
    let default = Policy::for_directory();
    let everything = Policy {
        refresh_jitter_permille: 1000,
        min_replicas: 16,
        suite: 3,
        chunk_size: 1 << 20,
        unprotect_suites: vec![1, 3],
        overdue_refuse_after_ms: Some(0),
        archive_recipients: vec!["age1aaaa".into(), "ssh-ed25519 AAAA".into()],
        archive_before_use: true,
        wrap: Wrap::None,
        owners: Some(vec!["uid:0".into()]),
        creators: Some(Vec::new()),
        ..default.clone()
    };
    let least = Policy {
        replication_bound_ms: 0,
        clock_skew_ms: 0,
        refresh_interval_ms: 100,
        refresh_jitter_permille: 15,
        io_deadline_ms: 1,
        activation_delay_ms: 103,
        lead_window_ms: 1,
        rotation_period_ms: 105,
        offline_grace_ms: 102,
        destroy_grace_ms: 0,
        cooling_off_ms: 203,
        chunk_size: 4096,
        suite: 2,
        ..default.clone()
    };
    let with = |policy, record: PolicyRecord| Record::Policy(PolicyRecord { policy, ..record });
    vec![
        ("policy-first", with(default.clone(), policy(1, Vec::new()))),
        ("policy-everything", with(everything, policy(2, digests(&["policy a"])))),
        ("policy-lowest-numbers", with(least, policy(u32::MAX, digests(&["policy a"])))),
        ("policy-follows-sixteen", with(default, policy(3, digests(&SIXTEEN)))),
    ]
}

/// Sixteen names.
const SIXTEEN: [&str; 16] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];

fn keys() -> Vec<(&'static str, Record)> {
    let wrapped = |root, nonce: usize, ciphertext: usize| {
        Material::Wrapped(WrappedMaterial {
            root: kdf::root_key_id(GROUP, &fixed::bytes32(root)),
            nonce: fixed::counting(nonce),
            ciphertext: fixed::counting(ciphertext),
        })
    };
    let windows = kdf::key_id(GROUP, Family::Windows, &fixed::material());
    vec![
        ("key-first", Record::Key(key())),
        ("key-successor", Record::Key(successor())),
        ("key-restored", Record::Key(KeyRecord { origin: Origin::Restored, ..successor() })),
        (
            "key-imported-windows",
            Record::Key(KeyRecord {
                id: windows,
                family: Family::Windows,
                origin: Origin::Imported,
                guid: Some(fixed::KEY_GUID),
                ..key()
            }),
        ),
        ("key-wrapped", Record::Key(KeyRecord { material: wrapped("root key", 12, 48), ..successor() })),
        ("key-wrapped-limits", Record::Key(KeyRecord { material: wrapped("root key", 64, 4096), ..key() })),
        (
            "key-wrapped-without-nonce",
            Record::Key(KeyRecord { material: wrapped("root key", 0, 512), ..key() }),
        ),
        (
            "key-greatest-numbers",
            Record::Key(KeyRecord {
                created_at_ms: u64::MAX,
                activates_at_ms: u64::MAX,
                attempt: u32::MAX,
                predecessor: Some(KeyId([0xff; 16])),
                ..key()
            }),
        ),
    ]
}

fn statuses() -> Vec<(&'static str, Record)> {
    let after = |names: &[&str], epoch, status: StatusRecord| {
        Record::Status(StatusRecord { answers: digests(names), epoch, ..status })
    };
    vec![
        ("status-suspended", Record::Status(status(Change::Suspended, Purpose::Ordinary))),
        ("status-resumed", after(&["suspended"], 2, status(Change::Resumed, Purpose::Ordinary))),
        ("status-deactivated", after(&["a", "b", "c"], 24, status(Change::Deactivated, Purpose::Ordinary))),
        ("status-compromised", Record::Status(status(Change::Compromised, Purpose::Ordinary))),
        ("status-destroyed", after(&["cooling off"], 256, status(Change::Destroyed, Purpose::Ordinary))),
        ("status-cooling-off", Record::Status(status(Change::Suspended, Purpose::CoolingOff))),
        ("status-in-use", after(&["cooling off"], 65_536, status(Change::Resumed, Purpose::InUse))),
        (
            "status-without-reason",
            Record::Status(StatusRecord {
                reason: String::new(),
                epoch: 0,
                when_ms: 0,
                ..status(Change::Suspended, Purpose::Ordinary)
            }),
        ),
    ]
}

fn rosters() -> Vec<(&'static str, Record)> {
    let signed = RosterRecord {
        version: 2,
        previous: digests(&["genesis"]),
        signatures: vec![
            RosterSignature { person: "alice".into(), signature: "-----BEGIN SSH SIGNATURE-----\nA".into() },
            RosterSignature { person: "bob".into(), signature: "-----BEGIN SSH SIGNATURE-----\nB".into() },
        ],
        ..roster()
    };
    let elevated = RosterRecord { elevation: Some(elevation()), ..roster() };
    let least = ElevationRules { revokers: Vec::new(), direct: None, break_glass: None, ..elevation() };
    let signed_with_elevation = RosterRecord { elevation: Some(least), ..signed.clone() };
    let empty = RosterRecord { persons: Vec::new(), levels: Vec::new(), change_delay_ms: 0, ..roster() };
    vec![
        ("roster-genesis", Record::Roster(roster())),
        ("roster-signed", Record::Roster(signed)),
        ("roster-empty", Record::Roster(empty)),
        ("roster-elevation", Record::Roster(elevated)),
        ("roster-elevation-signed", Record::Roster(signed_with_elevation)),
    ]
}

fn exposures() -> Vec<(&'static str, Record)> {
    let limits =
        ExposedRecord { from_ms: 0, until_ms: u64::MAX, who: "w".repeat(256), grant: "g".repeat(256) };
    let shortest = ExposedRecord { from_ms: 0, until_ms: 1, who: String::new(), grant: String::new() };
    vec![
        ("exposed", Record::Exposed(exposed())),
        ("exposed-limits", Record::Exposed(limits)),
        ("exposed-shortest", Record::Exposed(shortest)),
    ]
}

pub(crate) fn topic() -> Result<Topic> {
    let all = [groups(), policies(), rosters(), keys(), statuses(), exposures()].concat();
    let mut cases = Vec::new();
    for (name, record) in all {
        let bytes = record.encode(GROUP);
        let read = Record::decode(&bytes).with_context(|| name.to_owned())?;
        ensure!(read == (GROUP, record.clone()), "{name} does not read back");
        let mut fields = vec![
            ("name", Json::text(name)),
            ("kind", Json::text(record.kind_name())),
            ("group", Json::hex(GROUP.as_bytes())),
            ("fields", fields::of(&record)),
            ("room", Json::text(record.room().as_str())),
            ("slot", Json::text(record.slot(GROUP, 0).as_str())),
            ("digest", Json::hex(Digest::of(&bytes).as_bytes())),
            ("record", Json::bytes(&bytes)),
        ];
        if let Record::Roster(roster) = &record {
            fields.push(("signed_bytes", Json::bytes(roster.signed_bytes(GROUP))));
        }
        cases.push(Json::Object(fields));
    }
    Ok(Topic {
        name: "records",
        about: "Records of every kind: what they say, their bytes, room, digest and first slot (docs/format.md 6 and 7)",
        cases,
    })
}
