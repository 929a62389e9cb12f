//! A record's fields by name, as the cases show them. Absent optional fields are absent.

use dkm_core::Digest;
use dkm_core::policy::Policy;
use dkm_core::record::{
    ApprovalLevel, BreakGlass, ElevationRules, Family, KeyRecord, Material, Record, RosterRecord,
    StatusRecord,
};

use super::super::json::Json;

/// Numbers of enumerations stand as numbers, as in the record.
pub(super) fn of(record: &Record) -> Json {
    Json::Object(match record {
        Record::Group(r) => {
            let mut fields = vec![
                ("name", Json::text(&r.name)),
                ("created_at_ms", Json::from(r.created_at_ms)),
                ("repository", Json::hex(r.repository.as_bytes())),
            ];
            fields.extend(r.roster_genesis.map(|digest| ("roster_genesis", Json::hex(digest.as_bytes()))));
            fields.extend(r.description.as_ref().map(|text| ("description", Json::text(text))));
            fields
        }
        Record::Policy(r) => vec![
            ("version", Json::from(r.version)),
            ("previous", digests(&r.previous)),
            ("created_at_ms", Json::from(r.created_at_ms)),
            ("policy", Json::Object(policy(&r.policy))),
        ],
        Record::Roster(r) => roster(r),
        Record::Key(r) => key(r),
        Record::Status(r) => status(r),
        Record::Exposed(r) => vec![
            ("from_ms", Json::from(r.from_ms)),
            ("until_ms", Json::from(r.until_ms)),
            ("who", Json::text(&r.who)),
            ("grant", Json::text(&r.grant)),
        ],
    })
}

fn digests(list: &[Digest]) -> Json {
    Json::List(list.iter().map(|digest| Json::hex(digest.as_bytes())).collect())
}

fn policy(p: &Policy) -> Vec<(&'static str, Json)> {
    let mut fields = vec![
        ("rotation_period_ms", Json::from(p.rotation_period_ms)),
        ("lead_window_ms", Json::from(p.lead_window_ms)),
        ("activation_delay_ms", Json::from(p.activation_delay_ms)),
        ("refresh_interval_ms", Json::from(p.refresh_interval_ms)),
        ("refresh_jitter_permille", Json::from(p.refresh_jitter_permille)),
        ("io_deadline_ms", Json::from(p.io_deadline_ms)),
        ("replication_bound_ms", Json::from(p.replication_bound_ms)),
        ("clock_skew_ms", Json::from(p.clock_skew_ms)),
        ("offline_grace_ms", Json::from(p.offline_grace_ms)),
        ("min_replicas", Json::from(p.min_replicas)),
        ("suite", Json::from(p.suite)),
        ("chunk_size", Json::from(p.chunk_size)),
        ("unprotect_suites", Json::List(p.unprotect_suites.iter().map(|suite| Json::from(*suite)).collect())),
    ];
    fields.extend(p.overdue_refuse_after_ms.map(|ms| ("overdue_refuse_after_ms", Json::from(ms))));
    fields.extend([
        ("archive_recipients", Json::texts(&p.archive_recipients)),
        ("archive_before_use", Json::Bool(p.archive_before_use)),
        ("destroy_grace_ms", Json::from(p.destroy_grace_ms)),
        ("cooling_off_ms", Json::from(p.cooling_off_ms)),
        ("wrap", number(p.wrap as u32)),
    ]);
    fields.extend(p.owners.as_ref().map(|names| ("owners", Json::texts(names))));
    fields.extend(p.creators.as_ref().map(|names| ("creators", Json::texts(names))));
    fields
}

fn number(value: u32) -> Json {
    Json::from(value)
}

fn roster(r: &RosterRecord) -> Vec<(&'static str, Json)> {
    let persons = r.persons.iter().map(|person| {
        Json::object([
            ("id", Json::text(&person.id)),
            ("keys", Json::texts(&person.keys)),
            ("accounts", Json::texts(&person.accounts)),
        ])
    });
    let signatures = r.signatures.iter().map(|signature| {
        Json::object([
            ("person", Json::text(&signature.person)),
            ("signature", Json::text(&signature.signature)),
        ])
    });
    let mut fields = vec![
        ("version", Json::from(r.version)),
        ("previous", digests(&r.previous)),
        ("created_at_ms", Json::from(r.created_at_ms)),
        ("persons", Json::List(persons.collect())),
        ("levels", levels(&r.levels)),
        ("change_delay_ms", Json::from(r.change_delay_ms)),
        ("signatures", Json::List(signatures.collect())),
    ];
    fields.extend(r.elevation.as_ref().map(|rules| ("elevation", elevation(rules))));
    fields
}

fn levels(list: &[ApprovalLevel]) -> Json {
    let level = |level: &ApprovalLevel| {
        Json::object([
            ("name", Json::text(&level.name)),
            ("approvers", Json::texts(&level.approvers)),
            ("quorum", Json::from(level.quorum)),
        ])
    };
    Json::List(list.iter().map(level).collect())
}

fn elevation(rules: &ElevationRules) -> Json {
    let mut fields = vec![
        ("duration_max_ms", Json::from(rules.duration_max_ms)),
        ("untouched_ms", Json::from(rules.untouched_ms)),
        ("activation_window_ms", Json::from(rules.activation_window_ms)),
        ("revokers", Json::texts(&rules.revokers)),
    ];
    fields.extend(rules.direct.as_ref().map(|list| ("direct", levels(list))));
    fields.extend(rules.break_glass.as_ref().map(|rules| ("break_glass", break_glass(rules))));
    Json::Object(fields)
}

fn break_glass(rules: &BreakGlass) -> Json {
    Json::object([
        ("levels", levels(&rules.levels)),
        ("duration_max_ms", Json::from(rules.duration_max_ms)),
        ("review_within_ms", Json::from(rules.review_within_ms)),
        ("direct", Json::Bool(rules.direct)),
    ])
}

fn key(r: &KeyRecord) -> Vec<(&'static str, Json)> {
    let material = match &r.material {
        Material::None => Json::Null,
        Material::Plain(bytes) => Json::hex(bytes.as_slice()),
        Material::Wrapped(wrapped) => Json::object([
            ("root_key_id", Json::hex(wrapped.root.as_bytes())),
            ("nonce", Json::hex(&wrapped.nonce)),
            ("ciphertext", Json::hex(&wrapped.ciphertext)),
        ]),
    };
    let mut fields = vec![
        ("id", Json::hex(r.id.as_bytes())),
        ("family", number(u32::from(Family::as_byte(r.family)))),
        ("origin", number(r.origin as u32)),
        ("created_at_ms", Json::from(r.created_at_ms)),
        ("activates_at_ms", Json::from(r.activates_at_ms)),
    ];
    fields.extend(r.predecessor.map(|id| ("predecessor", Json::hex(id.as_bytes()))));
    fields.extend([("attempt", Json::from(r.attempt)), ("material", material)]);
    fields.extend(r.guid.map(|guid| ("guid", Json::hex(guid.as_bytes()))));
    fields
}

fn status(r: &StatusRecord) -> Vec<(&'static str, Json)> {
    vec![
        ("key", Json::hex(r.key.as_bytes())),
        ("change", number(r.change as u32)),
        ("purpose", number(r.purpose as u32)),
        ("reason", Json::text(&r.reason)),
        ("epoch", Json::from(r.epoch)),
        ("answers", digests(&r.answers)),
        ("when_ms", Json::from(r.when_ms)),
    ]
}
