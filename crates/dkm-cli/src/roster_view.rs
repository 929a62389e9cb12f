//! A roster in words, and what a version of it changes.

use std::collections::BTreeSet;

use dkm::Rosters;
use dkm_core::Digest;
use dkm_core::record::{ApprovalLevel, RosterRecord};
use dkm_core::roster::{Roster, RosterVersion};
use dkm_lockbox::{shown, verify_roster};
use serde_json::{Value, json};

use crate::duration;
use crate::terminal::count;

/// A name that others have chosen, as one word that can't pass for more.
fn quoted(name: &str) -> String {
    format!("{:?}", shown(name))
}

/// A roster, one fact a line: what stands in two rosters is the same line in both.
pub(crate) fn lines(roster: &Roster) -> Vec<String> {
    let mut out = Vec::new();
    for person in &roster.persons {
        let id = quoted(&person.id);
        out.push(format!("person {id}"));
        out.extend(person.accounts.iter().map(|account| format!("person {id}: account {}", quoted(account))));
        out.extend(person.keys.iter().map(|key| format!("person {id}: key {}", quoted(key))));
    }
    out.extend(levels("level", &roster.levels));
    out.push(format!("a change of the roster waits {}", duration::format(roster.change_delay_ms)));
    let Some(rules) = &roster.elevation else {
        out.push("nobody may ask for access".to_owned());
        return out;
    };
    out.push(format!("access lasts at most {}", duration::format(rules.duration_max_ms)));
    out.push(format!("a request must be approved within {}", duration::format(rules.untouched_ms)));
    out.push(format!("access must begin within {}", duration::format(rules.activation_window_ms)));
    out.extend(rules.revokers.iter().map(|id| format!("{} may end access", quoted(id))));
    match &rules.direct {
        Some(direct) => out.extend(levels("direct access, further level", direct)),
        None => out.push("direct access is not given".to_owned()),
    }
    match &rules.break_glass {
        Some(emergency) => {
            out.extend(levels("emergency, level", &emergency.levels));
            let longest = duration::format(emergency.duration_max_ms);
            out.push(format!("emergency: access lasts at most {longest}"));
            let review = duration::format(emergency.review_within_ms);
            out.push(format!("emergency: to be reviewed within {review}"));
            out.push(format!("emergency: direct access {}", if emergency.direct { "too" } else { "not" }));
        }
        None => out.push("there is no way for emergencies".to_owned()),
    }
    out
}

fn levels(what: &str, levels: &[ApprovalLevel]) -> Vec<String> {
    let line = |(place, level): (usize, &ApprovalLevel)| {
        let approvers: Vec<String> = level.approvers.iter().map(|id| quoted(id)).collect();
        format!("{what} {} {}: {} of {}", place + 1, quoted(&level.name), level.quorum, approvers.join(", "))
    };
    levels.iter().enumerate().map(line).collect()
}

/// What is different in a roster: lines that are gone, and lines that are new.
pub(crate) fn changes(before: &Roster, after: &Roster) -> (Vec<String>, Vec<String>) {
    let (before, after) = (lines(before), lines(after));
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.iter().collect(), after.iter().collect());
    let only = |lines: &[String], other: &BTreeSet<&String>| -> Vec<String> {
        lines.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    (only(&before, &new), only(&after, &old))
}

/// Lines of a difference, as `diff` marks them.
pub(crate) fn difference((gone, new): &(Vec<String>, Vec<String>)) -> String {
    let gone = gone.iter().map(|line| format!("- {line}\n"));
    gone.chain(new.iter().map(|line| format!("+ {line}\n"))).collect()
}

/// The levels of a version that a record's signatures do not satisfy, each with how many people it lacks and who may sign.
pub(crate) fn lacking(
    rosters: &Rosters,
    record: &RosterRecord,
    follows: &RosterVersion,
) -> Vec<(String, String)> {
    let signers = follows.roster.signers(record, rosters.group, &verify_roster);
    let missing = follows.roster.missing(&signers);
    missing
        .map(|level| {
            let have = level.approvers.iter().filter(|id| signers.contains(id.as_str())).count();
            let have = u32::try_from(have).unwrap_or(u32::MAX);
            let may = level.approvers.iter().filter(|id| !signers.contains(id.as_str()));
            let may: Vec<String> = may.map(|id| shown(id)).collect();
            let lacks = count(level.quorum.saturating_sub(have), "signature");
            (shown(&level.name), format!("{lacks} of {}", may.join(", ")))
        })
        .collect()
}

/// The versions that a record follows, as far as they count.
pub(crate) fn followed<'a>(rosters: &'a Rosters, record: &RosterRecord) -> Vec<&'a RosterVersion> {
    let is_followed = |version: &&RosterVersion| record.previous.contains(&version.digest);
    rosters.chain.versions().iter().filter(is_followed).collect()
}

/// A roster in JSON.
pub(crate) fn json(roster: &Roster) -> Value {
    let level = |level: &ApprovalLevel| json!({"name": level.name, "approvers": level.approvers, "quorum": level.quorum});
    let levels = |levels: &[ApprovalLevel]| levels.iter().map(level).collect::<Vec<_>>();
    let people: Vec<_> = roster
        .persons
        .iter()
        .map(|person| json!({"id": person.id, "accounts": person.accounts, "keys": person.keys}))
        .collect();
    json!({
        "people": people,
        "levels": levels(&roster.levels),
        "change_delay_ms": roster.change_delay_ms,
        "elevation": roster.elevation.as_ref().map(|rules| json!({
            "longest_ms": rules.duration_max_ms,
            "approve_within_ms": rules.untouched_ms,
            "activate_within_ms": rules.activation_window_ms,
            "revokers": rules.revokers,
            "direct": rules.direct.as_deref().map(levels),
            "emergency": rules.break_glass.as_ref().map(|rules| json!({
                "levels": levels(&rules.levels),
                "longest_ms": rules.duration_max_ms,
                "review_within_ms": rules.review_within_ms,
                "direct": rules.direct,
            })),
        })),
    })
}

/// Digests as texts.
pub(crate) fn texts(digests: &[Digest]) -> Vec<String> {
    digests.iter().map(ToString::to_string).collect()
}
