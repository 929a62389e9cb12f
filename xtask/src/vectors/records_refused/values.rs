//! Records in their canonical encoding whose values are outside their limits.

use dkm_core::policy::{DURATION_MAX_MS, Policy};
use dkm_core::record::{
    BreakGlass, Change, ElevationRules, ExposedRecord, Family, GroupRecord, KeyRecord, PolicyRecord, Purpose,
    Record, RosterRecord, RosterSignature, StatusRecord,
};

use super::super::fixed::{GROUP, KEY_GUID, WHEN_MS};
use super::super::json::Json;
use super::super::raw::cbor;
use super::super::records;
use super::case;

/// The fields of a sound status record, written by hand.
pub(super) fn status_fields() -> Vec<(u64, Vec<u8>)> {
    vec![
        (0, cbor::bytes(records::key().id.as_bytes())),
        (1, cbor::number(1)),
        (2, cbor::number(0)),
        (3, cbor::text("reason")),
        (4, cbor::number(1)),
        (5, cbor::array(&[])),
        (6, cbor::number(WHEN_MS)),
    ]
}

pub(super) fn cases() -> Vec<Json> {
    let all =
        [groups(), policies(), chains(), rosters(), elevations(), levels(), keys(), statuses(), exposures()]
            .concat();
    all.into_iter().map(|(name, record)| case(name, &record.encode(GROUP), "invalid")).collect()
}

type Named = Vec<(&'static str, Record)>;

fn groups() -> Named {
    let with = |change: fn(&mut GroupRecord)| {
        let mut record = records::group();
        change(&mut record);
        Record::Group(record)
    };
    vec![
        ("group-name-empty", with(|r| r.name.clear())),
        ("group-name-of-129-bytes", with(|r| r.name = "n".repeat(129))),
        ("group-name-in-upper-case", with(|r| r.name = "Mail".into())),
        ("group-name-with-a-space", with(|r| r.name = "mail tokens".into())),
        ("group-name-not-ascii", with(|r| r.name = "z\u{fc}rich".into())),
        ("group-description-of-1025-bytes", with(|r| r.description = Some("d".repeat(1025)))),
        ("group-description-with-escape", with(|r| r.description = Some("\u{1b}[31mred".into()))),
        ("group-description-with-c1-control", with(|r| r.description = Some("a\u{9b}b".into()))),
    ]
}

fn policies() -> Named {
    let with = |change: fn(&mut Policy)| {
        let mut record = records::policy(1, Vec::new());
        change(&mut record.policy);
        Record::Policy(record)
    };
    vec![
        (
            "policy-rotation-too-short",
            with(|p| p.rotation_period_ms = p.lead_window_ms + p.activation_delay_ms),
        ),
        ("policy-rotation-beyond-a-hundred-years", with(|p| p.rotation_period_ms = DURATION_MAX_MS + 1)),
        ("policy-lead-window-too-short", with(|p| p.lead_window_ms = 20 * p.replication_bound_ms - 1)),
        (
            "policy-activation-delay-too-short",
            with(|p| p.activation_delay_ms = p.activation_delay_min_ms() - 1),
        ),
        ("policy-refresh-interval-of-99-ms", with(|p| p.refresh_interval_ms = 99)),
        ("policy-jitter-of-1001", with(|p| p.refresh_jitter_permille = 1001)),
        ("policy-io-deadline-0", with(|p| p.io_deadline_ms = 0)),
        ("policy-replication-bound-greatest", with(|p| p.replication_bound_ms = u64::MAX)),
        (
            "policy-grace-shorter-than-refresh-and-deadline",
            with(|p| p.offline_grace_ms = p.offline_grace_min_ms() - 1),
        ),
        ("policy-cooling-off-too-short", with(|p| p.cooling_off_ms = p.cooling_off_min_ms() - 1)),
        ("policy-cooling-off-beyond-a-hundred-years", with(|p| p.cooling_off_ms = u64::MAX)),
        (
            "policy-overdue-beyond-a-hundred-years",
            with(|p| p.overdue_refuse_after_ms = Some(DURATION_MAX_MS + 1)),
        ),
        ("policy-17-replicas", with(|p| p.min_replicas = 17)),
        ("policy-suite-0", with(|p| p.suite = 0)),
        ("policy-suite-4", with(|p| (p.suite, p.unprotect_suites) = (4, vec![1, 4]))),
        ("policy-own-suite-not-accepted", with(|p| p.unprotect_suites = vec![2, 3])),
        ("policy-suites-unsorted", with(|p| p.unprotect_suites = vec![2, 1])),
        ("policy-suite-twice", with(|p| p.unprotect_suites = vec![1, 1])),
        ("policy-17-suites", with(|p| p.unprotect_suites = (1..=17).collect())),
        ("policy-chunk-size-8192", with(|p| p.chunk_size = 8192)),
        ("policy-chunk-size-0", with(|p| p.chunk_size = 0)),
        ("policy-recipients-unsorted", with(|p| p.archive_recipients = vec!["b".into(), "a".into()])),
        ("policy-recipient-twice", with(|p| p.archive_recipients = vec!["a".into(), "a".into()])),
        ("policy-recipient-empty", with(|p| p.archive_recipients = vec![String::new()])),
        ("policy-recipient-of-1025-bytes", with(|p| p.archive_recipients = vec!["r".repeat(1025)])),
        ("policy-65-owners", with(|p| p.owners = Some((0..65).map(|i| format!("uid:{:03}", i)).collect()))),
        ("policy-owners-unsorted", with(|p| p.owners = Some(vec!["uid:2".into(), "uid:1".into()]))),
        ("policy-creator-empty", with(|p| p.creators = Some(vec![String::new()]))),
        ("policy-archive-before-use-without-recipients", with(|p| p.archive_before_use = true)),
    ]
}

fn keys() -> Named {
    let key = |family, guid| Record::Key(KeyRecord { family, guid, ..records::key() });
    vec![
        ("key-of-the-native-family-with-guid", key(Family::Native, Some(KEY_GUID))),
        ("key-of-the-windows-family-without-guid", key(Family::Windows, None)),
    ]
}

fn chains() -> Named {
    let policy = |version, previous| Record::Policy(PolicyRecord { ..records::policy(version, previous) });
    let two = records::digests(&["policy a", "policy b"]);
    let reversed: Vec<_> = two.iter().rev().copied().collect();
    let names: Vec<String> = (0..17).map(|i| format!("policy {i}")).collect();
    let seventeen = records::digests(&names.iter().map(String::as_str).collect::<Vec<_>>());
    vec![
        ("chain-version-0", policy(0, Vec::new())),
        ("chain-version-1-that-follows", policy(1, two[..1].to_vec())),
        ("chain-version-2-that-follows-nothing", policy(2, Vec::new())),
        ("chain-previous-unsorted", policy(2, reversed)),
        ("chain-previous-twice", policy(2, vec![two[0], two[0]])),
        ("chain-previous-seventeen", policy(2, seventeen)),
        ("chain-roster-version-0", Record::Roster(RosterRecord { version: 0, ..records::roster() })),
    ]
}

fn with_roster(change: impl FnOnce(&mut RosterRecord)) -> Record {
    let mut record = records::roster();
    change(&mut record);
    Record::Roster(record)
}

fn with_elevation(change: impl FnOnce(&mut ElevationRules)) -> Record {
    let mut rules = records::elevation();
    change(&mut rules);
    with_roster(|r| r.elevation = Some(rules))
}

fn with_emergency(change: impl FnMut(&mut BreakGlass)) -> Record {
    with_elevation(|rules| rules.break_glass.iter_mut().take(1).for_each(change))
}

fn elevations() -> Named {
    vec![
        ("elevation-of-no-duration", with_elevation(|r| r.duration_max_ms = 0)),
        ("elevation-untouched-0", with_elevation(|r| r.untouched_ms = 0)),
        ("elevation-without-activation-window", with_elevation(|r| r.activation_window_ms = 0)),
        ("elevation-revokers-unsorted", with_elevation(|r| r.revokers.reverse())),
        ("elevation-revoker-who-is-nobody", with_elevation(|r| r.revokers.push("zoe".into()))),
        (
            "elevation-direct-level-of-a-name-that-is-taken",
            with_elevation(|r| r.direct.iter_mut().flatten().for_each(|l| l.name = "legal".into())),
        ),
        (
            "elevation-direct-level-without-quorum",
            with_elevation(|r| r.direct.iter_mut().flatten().for_each(|l| l.quorum = 0)),
        ),
        ("elevation-direct-without-levels", with_elevation(|r| r.direct = Some(Vec::new()))),
        ("elevation-emergency-without-levels", with_emergency(|r| r.levels.clear())),
        (
            "elevation-emergency-level-twice",
            with_emergency(|r| r.levels = [r.levels.clone(), r.levels.clone()].concat()),
        ),
        ("elevation-emergency-of-no-duration", with_emergency(|r| r.duration_max_ms = 0)),
        ("elevation-emergency-direct-where-nothing-is", with_elevation(|r| r.direct = None)),
    ]
}

fn rosters() -> Named {
    let signature = |person: &str| RosterSignature { person: person.into(), signature: "S".into() };
    vec![
        ("roster-persons-unsorted", with_roster(|r| r.persons.swap(0, 1))),
        ("roster-person-twice", with_roster(|r| r.persons[1].id = "alice".into())),
        ("roster-person-without-id", with_roster(|r| r.persons[0].id.clear())),
        ("roster-person-id-of-129-bytes", with_roster(|r| r.persons[2].id = "z".repeat(129))),
        ("roster-key-of-two-persons", with_roster(|r| r.persons[1].keys = r.persons[0].keys.clone())),
        (
            "roster-key-of-two-persons-with-another-comment",
            with_roster(|r| r.persons[1].keys = vec![format!("{} bob's", r.persons[0].keys[0])]),
        ),
        (
            "roster-key-twice-with-another-comment",
            with_roster(|r| {
                let key = r.persons[0].keys[0].clone();
                r.persons[0].keys = vec![key.clone(), format!("{key} again")];
            }),
        ),
        (
            "roster-account-of-two-persons",
            with_roster(|r| r.persons[1].accounts = r.persons[0].accounts.clone()),
        ),
        ("roster-keys-unsorted", with_roster(|r| r.persons[2].keys = vec!["z".into(), "a".into()])),
        (
            "roster-17-keys-of-a-person",
            with_roster(|r| r.persons[2].keys = (0..17).map(|i| format!("key {i:02}")).collect()),
        ),
        ("roster-accounts-unsorted", with_roster(|r| r.persons[0].accounts.reverse())),
        (
            "roster-257-persons",
            with_roster(|r| {
                let persons = (0..257).map(|i| {
                    let (id, keys, accounts) = (format!("p{i:03}"), Vec::new(), Vec::new());
                    dkm_core::record::Person { id, keys, accounts }
                });
                r.persons = persons.collect();
                r.levels.clear();
            }),
        ),
        (
            "roster-signatures-unsorted",
            with_roster(|r| r.signatures = vec![signature("bob"), signature("alice")]),
        ),
        ("roster-signature-twice", with_roster(|r| r.signatures = vec![signature("bob"), signature("bob")])),
    ]
}

fn levels() -> Named {
    vec![
        ("level-quorum-0", with_roster(|r| r.levels[0].quorum = 0)),
        ("level-quorum-beyond-its-approvers", with_roster(|r| r.levels[0].quorum = 3)),
        ("level-without-approvers", with_roster(|r| r.levels[1].approvers.clear())),
        ("level-approvers-unsorted", with_roster(|r| r.levels[0].approvers.reverse())),
        ("level-approver-unknown", with_roster(|r| r.levels[1].approvers = vec!["mallory".into()])),
        ("level-name-twice", with_roster(|r| r.levels[1].name = "security".into())),
        ("level-name-empty", with_roster(|r| r.levels[1].name.clear())),
        (
            "level-seventeen",
            with_roster(|r| {
                let level = r.levels[1].clone();
                r.levels = (0..17).map(|i| level_named(&level, i)).collect();
            }),
        ),
    ]
}

fn level_named(level: &dkm_core::record::ApprovalLevel, number: u32) -> dkm_core::record::ApprovalLevel {
    dkm_core::record::ApprovalLevel { name: format!("level {number}"), ..level.clone() }
}

fn statuses() -> Named {
    let with = |change, purpose| Record::Status(records::status(change, purpose));
    let answers = |answers| {
        let status = records::status(Change::Resumed, Purpose::Ordinary);
        Record::Status(StatusRecord { answers, ..status })
    };
    let two = records::digests(&["a", "b"]);
    let reason = |reason: String| {
        Record::Status(StatusRecord { reason, ..records::status(Change::Suspended, Purpose::Ordinary) })
    };
    vec![
        ("status-cooling-off-that-resumes", with(Change::Resumed, Purpose::CoolingOff)),
        ("status-cooling-off-that-destroys", with(Change::Destroyed, Purpose::CoolingOff)),
        ("status-in-use-that-suspends", with(Change::Suspended, Purpose::InUse)),
        ("status-in-use-that-deactivates", with(Change::Deactivated, Purpose::InUse)),
        ("status-answers-unsorted", answers(vec![two[1], two[0]])),
        ("status-answers-twice", answers(vec![two[0], two[0]])),
        ("status-reason-of-4097-bytes", reason("r".repeat(4097))),
        ("status-reason-with-zero-byte", reason("a\0b".into())),
        ("status-reason-with-carriage-return", reason("a\rb".into())),
    ]
}

fn exposures() -> Named {
    let with = |change: fn(&mut ExposedRecord)| {
        let mut record = records::exposed();
        change(&mut record);
        Record::Exposed(record)
    };
    vec![
        ("exposed-ends-as-it-begins", with(|r| r.until_ms = r.from_ms)),
        ("exposed-ends-before-it-begins", with(|r| r.until_ms = r.from_ms - 1)),
        ("exposed-who-of-257-bytes", with(|r| r.who = "w".repeat(257))),
        ("exposed-grant-of-257-bytes", with(|r| r.grant = "g".repeat(257))),
        ("exposed-grant-with-control", with(|r| r.grant = "g\u{7f}".into())),
    ]
}
