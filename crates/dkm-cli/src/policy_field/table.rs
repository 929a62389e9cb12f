//! The table of fields.

use dkm_core::Suite;
use dkm_core::policy::{CHUNK_SIZES, Wrap};
use serde_json::json;

use super::Field;
use crate::duration;

const NEXT_ROLL: &str = "counts from the next key on; keys that are there are judged by it too";
const AT_REFRESH: &str = "counts for each client from its next refresh on";
const NEW_BLOBS: &str = "new blobs only; what is there stays as it is until re-protected (dkm reprotect)";

macro_rules! duration_field {
    ($name:literal, $field:ident, $meaning:literal, $must:literal, $effect:expr) => {
        Field {
            name: $name,
            json_name: concat!($name, "_ms"),
            meaning: $meaning,
            must: $must,
            effect: $effect,
            show: |policy| duration::format(policy.$field),
            json: |policy| json!(policy.$field),
            set: |policy, text| {
                policy.$field = duration::parse(text)?;
                Ok(())
            },
        }
    };
}

/// All fields, in the order in which they are shown.
pub(crate) const FIELDS: &[Field] = &[
    duration_field!(
        "rotation_period",
        rotation_period_ms,
        "how long a key protects before its successor takes over",
        "at least lead_window + activation_delay + io_deadline + 2 × clock_skew",
        "moves the end of the key that protects now; a key past its end is replaced by the next client that works"
    ),
    duration_field!(
        "lead_window",
        lead_window_ms,
        "how long before the latest moment clients begin to make the successor",
        "at least 20 × replication_bound",
        AT_REFRESH
    ),
    duration_field!(
        "activation_delay",
        activation_delay_ms,
        "from a key's creation to its first use, so that every client has read it by then",
        "at least replication_bound + refresh_interval × (1 + refresh_jitter) + 2 × io_deadline + 2 × clock_skew",
        NEXT_ROLL
    ),
    duration_field!(
        "refresh_interval",
        refresh_interval_ms,
        "how often a client reads the repository",
        "at least 100ms",
        AT_REFRESH
    ),
    Field {
        name: "refresh_jitter",
        json_name: "refresh_jitter_permille",
        meaning: "spread of the refresh interval, in thousandths of it",
        must: "0 to 1000",
        effect: AT_REFRESH,
        show: |policy| policy.refresh_jitter_permille.to_string(),
        json: |policy| json!(policy.refresh_jitter_permille),
        set: |policy, text| number(text).map(|number| policy.refresh_jitter_permille = number),
    },
    duration_field!(
        "io_deadline",
        io_deadline_ms,
        "deadline of one put or one read-back",
        "at least 1ms",
        AT_REFRESH
    ),
    duration_field!(
        "replication_bound",
        replication_bound_ms,
        "the longest that a record takes from one replica to all others",
        "whatever the storage keeps; 0 where there is one copy",
        AT_REFRESH
    ),
    duration_field!(
        "clock_skew",
        clock_skew_ms,
        "how far a clock may be from the repository's",
        "any duration",
        AT_REFRESH
    ),
    duration_field!(
        "offline_grace",
        offline_grace_ms,
        "how long a client that reaches no replica goes on with what it has",
        "at least refresh_interval × (1 + refresh_jitter) + io_deadline",
        "counts for each client from its next refresh on; longer also means that destruction waits longer"
    ),
    Field {
        name: "min_replicas",
        json_name: "min_replicas",
        meaning: "from how many replicas a client must have read a key before it protects with it",
        must: "0 (two, or one where there is one) to 16",
        effect: "counts at once; a key read from fewer replicas stops protecting until it is read from enough",
        show: |policy| match policy.min_replicas {
            0 => "0 (automatic)".to_owned(),
            n => n.to_string(),
        },
        json: |policy| json!(policy.min_replicas),
        set: |policy, text| number(text).map(|number| policy.min_replicas = number),
    },
    Field {
        name: "suite",
        json_name: "suite",
        meaning: "algorithms that protect",
        must: "aes-256-gcm, chacha20-poly1305 or aes-256-gcm-siv, and one of unprotect_suites",
        effect: NEW_BLOBS,
        show: |policy| suite_name(policy.suite),
        json: |policy| json!(suite_name(policy.suite)),
        set: |policy, text| suite(text).map(|suite| policy.suite = suite),
    },
    Field {
        name: "chunk_size",
        json_name: "chunk_size",
        meaning: "plaintext bytes of a chunk, the least that is authenticated by itself",
        must: "4KiB, 16KiB, 64KiB, 256KiB or 1MiB",
        effect: NEW_BLOBS,
        show: |policy| chunk_size_name(policy.chunk_size),
        json: |policy| json!(policy.chunk_size),
        set: |policy, text| {
            let found = CHUNK_SIZES.iter().find(|size| {
                size.to_string() == text || chunk_size_name(**size).eq_ignore_ascii_case(text.trim())
            });
            policy.chunk_size = *found.ok_or("expected 4KiB, 16KiB, 64KiB, 256KiB or 1MiB")?;
            Ok(())
        },
    },
    Field {
        name: "unprotect_suites",
        json_name: "unprotect_suites",
        meaning: "suites of blobs that are opened",
        must: "names joined by commas, suite among them",
        effect: "blobs of a suite that is taken out are not opened any more; re-protect them before",
        show: |policy| policy.unprotect_suites.iter().map(|n| suite_name(*n)).collect::<Vec<_>>().join(","),
        json: |policy| json!(policy.unprotect_suites.iter().map(|n| suite_name(*n)).collect::<Vec<_>>()),
        set: |policy, text| {
            let mut suites = items(text).iter().map(|item| suite(item)).collect::<Result<Vec<_>, _>>()?;
            suites.sort_unstable();
            suites.dedup();
            policy.unprotect_suites = suites;
            Ok(())
        },
    },
    Field {
        name: "overdue_refuse_after",
        json_name: "overdue_refuse_after_ms",
        meaning: "how long past its end a key without successor goes on protecting",
        must: "a duration, or never: then clients warn and go on",
        effect: "counts at once; clients whose key is overdue for longer stop protecting",
        show: |policy| policy.overdue_refuse_after_ms.map_or_else(|| "never".to_owned(), duration::format),
        json: |policy| json!(policy.overdue_refuse_after_ms),
        set: |policy, text| {
            policy.overdue_refuse_after_ms =
                if text == "never" { None } else { Some(duration::parse(text)?) };
            Ok(())
        },
    },
    Field {
        name: "archive_recipients",
        json_name: "archive_recipients",
        meaning: "who can open archives: age (age1…) or SSH public keys",
        must: "keys joined by commas, at most 64; none for nobody",
        effect: "archives from now on; those that were made before stay readable to whom they were sealed to",
        show: |policy| names_or(&policy.archive_recipients, "none"),
        json: |policy| json!(policy.archive_recipients),
        set: |policy, text| {
            policy.archive_recipients = names(text, "none");
            Ok(())
        },
    },
    Field {
        name: "archive_before_use",
        json_name: "archive_before_use",
        meaning: "seal every new key to archive_recipients before it is used",
        must: "true or false; true needs archive_recipients, and clients that know an archive folder",
        effect: "new keys only; export the keys that are there with dkm archive export",
        show: |policy| policy.archive_before_use.to_string(),
        json: |policy| json!(policy.archive_before_use),
        set: |policy, text| {
            policy.archive_before_use = text.parse().map_err(|_| "expected true or false")?;
            Ok(())
        },
    },
    duration_field!(
        "destroy_grace",
        destroy_grace_ms,
        "how long a key must have been archived, beyond what clients may lag, before it may be destroyed",
        "any duration",
        "counts at once, for keys that wait too"
    ),
    duration_field!(
        "cooling_off",
        cooling_off_ms,
        "how long a key stays suspended before it is destroyed; any use calls the destruction off",
        "at least offline_grace + refresh_interval × (1 + jitter) + replication_bound + 2 × clock_skew",
        "counts at once, for keys that cool off too"
    ),
    Field {
        name: "wrap",
        json_name: "wrap",
        meaning: "how key material lies in the repository",
        must: "root-key (wrapped under a root key elsewhere) or none",
        effect: "new keys only; keys that are there stay as they were written",
        show: |policy| wrap_name(policy.wrap).to_owned(),
        json: |policy| json!(wrap_name(policy.wrap)),
        set: |policy, text| {
            policy.wrap = match text {
                "root-key" => Wrap::RootKey,
                "none" => Wrap::None,
                _ => return Err("expected root-key or none".to_owned()),
            };
            Ok(())
        },
    },
    Field {
        name: "owners",
        json_name: "owners",
        meaning: "whose control records count, such as uid:1000",
        must: "principals joined by commas; any for whom the repository lets",
        effect: "counts at once, for records that are there too: who is left out has no say any more",
        show: |policy| optional_names(policy.owners.as_ref()),
        json: |policy| json!(policy.owners),
        set: |policy, text| {
            policy.owners = (text != "any").then(|| names(text, ""));
            Ok(())
        },
    },
    Field {
        name: "creators",
        json_name: "creators",
        meaning: "whose keys protect, such as uid:1000",
        must: "principals joined by commas; any for whom the repository lets",
        effect: "counts at once, for keys that are there too: those by others stop protecting and still open",
        show: |policy| optional_names(policy.creators.as_ref()),
        json: |policy| json!(policy.creators),
        set: |policy, text| {
            policy.creators = (text != "any").then(|| names(text, ""));
            Ok(())
        },
    },
];

fn number(text: &str) -> Result<u32, String> {
    // Shown as "0 (automatic)".
    text.split(' ').next().unwrap_or_default().parse().map_err(|_| "expected a number".to_owned())
}

fn suite(text: &str) -> Result<u32, String> {
    text.parse::<Suite>().map(|suite| u32::from(suite.number())).map_err(|error| error.to_string())
}

fn suite_name(number: u32) -> String {
    let known = u16::try_from(number).ok().and_then(Suite::from_number);
    known.map_or_else(|| format!("{number} (unknown)"), |suite| suite.as_str().to_ascii_lowercase())
}

fn chunk_size_name(bytes: u32) -> String {
    if bytes >= 1 << 20 { format!("{}MiB", bytes >> 20) } else { format!("{}KiB", bytes >> 10) }
}

const fn wrap_name(wrap: Wrap) -> &'static str {
    match wrap {
        Wrap::None => "none",
        Wrap::RootKey => "root-key",
    }
}

fn items(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn names(text: &str, nobody: &str) -> Vec<String> {
    if text == nobody {
        return Vec::new();
    }
    let mut names: Vec<String> = items(text).into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn names_or(names: &[String], nobody: &str) -> String {
    if names.is_empty() { nobody.to_owned() } else { names.join(",") }
}

fn optional_names(names: Option<&Vec<String>>) -> String {
    names.map_or_else(|| "any".to_owned(), |names| names.join(","))
}
