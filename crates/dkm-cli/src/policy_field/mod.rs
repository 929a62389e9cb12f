//! The fields of a policy: how people write them, what they mean, and what a change of one does to what is there.

mod table;

use dkm_core::policy::{Policy, PolicyError};
use serde_json::{Map, Value};

pub(crate) use table::FIELDS;

use crate::duration;
use crate::failure::{Failure, Result};

/// One field.
pub(crate) struct Field {
    /// Its name, as in `dkm policy set`.
    pub(crate) name: &'static str,
    /// Its name in JSON: with the unit, where there is one.
    pub(crate) json_name: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// What it must be.
    pub(crate) must: &'static str,
    /// What a change does to keys and blobs that are there.
    pub(crate) effect: &'static str,
    show: fn(&Policy) -> String,
    json: fn(&Policy) -> Value,
    set: fn(&mut Policy, &str) -> Result<(), String>,
}

impl Field {
    /// The value, so that `dkm policy set` reads the same.
    pub(crate) fn show(&self, policy: &Policy) -> String {
        (self.show)(policy)
    }

    /// Sets the value.
    pub(crate) fn set(&self, policy: &mut Policy, text: &str) -> Result {
        (self.set)(policy, text).map_err(|why| {
            Failure::usage(format!("{}: {why}", self.name))
                .help(format!("{}: {}; {}", self.name, self.meaning, self.must))
        })
    }
}

/// Applies `key=value` pairs to a policy, and checks what comes out.
pub(crate) fn apply(policy: &mut Policy, pairs: &[(String, String)]) -> Result {
    for (name, value) in pairs {
        let field = FIELDS.iter().find(|field| field.name == name).ok_or_else(|| {
            let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
            Failure::usage(format!("a policy has no field {name:?}"))
                .help(format!("the fields are {}", names.join(", ")))
        })?;
        field.set(policy, value)?;
    }
    policy.validate().map_err(|error| {
        Failure::usage(in_words(&error))
            .help("dkm policy show tells each field's limits; several can be set at once")
    })
}

/// What is wrong with a policy, with durations as people write them.
fn in_words(error: &PolicyError) -> String {
    let PolicyError::Field { field, found, must } = error else { return error.to_string() };
    let is_duration = FIELDS.iter().any(|f| f.name == *field && f.json_name.ends_with("_ms"));
    let found = found.parse().ok().filter(|_| is_duration).map_or_else(|| found.clone(), duration::format);
    let mut words: Vec<String> = Vec::new();
    for word in must.split(' ') {
        let number = words.last().and_then(|last| last.parse().ok());
        match number.filter(|_| word.trim_end_matches(',') == "ms") {
            Some(ms) => {
                words.pop();
                words.push(format!("{}{}", duration::format(ms), &word["ms".len()..]));
            }
            None => words.push(word.to_owned()),
        }
    }
    format!("the policy is refused: {field} would be {found}; it must be {}", words.join(" "))
}

/// The policy with its JSON names, durations in milliseconds.
pub(crate) fn json(policy: &Policy) -> Value {
    Value::Object(
        FIELDS.iter().map(|field| (field.json_name.to_owned(), (field.json)(policy))).collect::<Map<_, _>>(),
    )
}

#[cfg(test)]
mod tests {
    use dkm_core::policy::Wrap;

    use super::*;

    #[test]
    fn every_field_reads_what_it_shows() {
        let mut other = Policy::for_directory();
        other.min_replicas = 3;
        other.overdue_refuse_after_ms = Some(60_000);
        other.archive_recipients = vec!["age1a".to_owned(), "ssh-ed25519 AAAA me".to_owned()];
        other.owners = Some(vec!["uid:1".to_owned()]);
        other.creators = Some(vec!["uid:1".to_owned(), "uid:2".to_owned()]);
        other.wrap = Wrap::None;
        other.archive_before_use = true;
        other.suite = 3;
        for policy in [Policy::for_directory(), other] {
            let mut read = Policy::for_directory();
            for field in FIELDS {
                field.set(&mut read, &field.show(&policy)).unwrap();
            }
            assert_eq!(read, policy);
        }
    }

    #[test]
    fn no_field_of_the_policy_is_forgotten() {
        // A field that is added must be added here too: this stops to compile.
        let Policy {
            rotation_period_ms: _,
            lead_window_ms: _,
            activation_delay_ms: _,
            refresh_interval_ms: _,
            refresh_jitter_permille: _,
            io_deadline_ms: _,
            replication_bound_ms: _,
            clock_skew_ms: _,
            offline_grace_ms: _,
            min_replicas: _,
            suite: _,
            chunk_size: _,
            unprotect_suites: _,
            overdue_refuse_after_ms: _,
            archive_recipients: _,
            archive_before_use: _,
            destroy_grace_ms: _,
            cooling_off_ms: _,
            wrap: _,
            owners: _,
            creators: _,
        } = Policy::for_directory();
        assert_eq!(FIELDS.len(), 21);
        assert_eq!(json(&Policy::for_directory()).as_object().unwrap().len(), FIELDS.len());
    }

    #[test]
    fn bad_values_say_what_is_expected() {
        for (name, value, expected) in [
            ("rotation_period", "90", "90d, 1h30m"),
            ("suite", "rot13", "aes-256-gcm"),
            ("chunk_size", "1KiB", "64KiB"),
            ("wrap", "tin-foil", "root-key"),
            ("archive_before_use", "perhaps", "true or false"),
            ("min_replicas", "many", "a number"),
            ("colour", "red", "no field"),
            (
                "rotation_period",
                "1h",
                "rotation_period would be 1h; it must be at least 7d1h2m30s = lead_window",
            ),
            ("refresh_interval", "1ms", "at least 100ms"),
        ] {
            let pair = [(name.to_owned(), value.to_owned())];
            let failure = apply(&mut Policy::for_directory(), &pair).unwrap_err();
            assert!(failure.message.contains(expected), "{}", failure.message);
            assert_eq!(failure.exit_code, 2);
        }
    }
}
