//! What a call is made of: the primitives that the format asks for, each alone.

use anyhow::{Result, anyhow};
use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::{hmac, rand};

use crate::measure::{Effort, compare, plain};
use crate::raw::Raw;
use crate::report::{Section, spread, spread_time};

/// Length of the key derivation's fixed input with its counter, in bytes (docs/format.md).
const FIXED_INPUT: usize = 119;

pub(crate) fn parts(effort: Effort) -> Result<Section> {
    let mut raw = Raw::new(1024)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let input = [7; FIXED_INPUT];
    let (mut salt, mut salt_elsewhere, mut output) = ([0; 32], [0; 32], [0; 32]);
    rand::fill(&mut salt_elsewhere).map_err(|_| anyhow!("no randomness"))?;
    getrandom::fill(&mut salt)?;
    let [raw, salt, salt_elsewhere, hmac, prepare] = compare(
        effort,
        [
            plain(move || raw.seal().expect("the primitive works")),
            plain(move || getrandom::fill(&mut salt).expect("it worked before")),
            plain(move || rand::fill(&mut salt_elsewhere).expect("it worked before")),
            plain(|| hmac::sign_to_buffer(&key, &input, &mut output).map(|_| ()).expect("there is room")),
            plain(|| UnboundKey::new(&AES_256_GCM, &[7; 32]).map(LessSafeKey::new)),
        ],
    );
    let mut section = Section::new(
        "Where the time of a small call goes",
        "The primitives that the format asks for, each alone: those of aws-lc-rs, and the system's randomness. Protect \
         needs one salt, two HMACs for the blob's own key and its commitment, a prepared AEAD key, and the seal; \
         unprotect all but the salt. They set a lower bound on a call that no other code of ours can change: a blob \
         has a key and a commitment of its own, and salts are never taken from a store, which a fork or a restored \
         snapshot would use twice. The salt comes from the system; aws-lc's own generator \
         stands beside it for comparison.",
        ["primitive", "time", "times raw", "how often"],
    );
    let least = |times: &[(&crate::measure::Times, f64)]| {
        times.iter().map(|(times, often)| times.per(&raw).median * often).sum::<f64>()
    };
    let protect = least(&[(&salt, 1.0), (&hmac, 2.0), (&prepare, 1.0), (&raw, 1.0)]);
    let unprotect = least(&[(&hmac, 2.0), (&prepare, 1.0), (&raw, 1.0)]);
    for (name, times, often) in [
        ("32 bytes of randomness from the system", &salt, "protect: 1"),
        ("32 bytes of randomness from aws-lc", &salt_elsewhere, "0"),
        ("HMAC-SHA-256 of 119 bytes, key ready", &hmac, "2"),
        ("AES-256-GCM key made ready", &prepare, "1"),
        ("AES-256-GCM seal of 1 KiB", &raw, "1"),
    ] {
        section.row([name.into(), spread_time(times), spread(times.per(&raw)), often.into()]);
    }
    section.row(["all that protect needs".into(), String::new(), format!("{protect:.2}"), String::new()]);
    section.row(["all that unprotect needs".into(), String::new(), format!("{unprotect:.2}"), String::new()]);
    Ok(section)
}
