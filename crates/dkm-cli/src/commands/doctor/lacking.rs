//! Whether replicas hold the same.

use dkm::blocking::Group;
use dkm::{ErrorKind, KeyFate, View};

use super::Report;
use crate::failure::Failure;
use crate::key_argument;
use crate::terminal::count;

/// What one replica has and another lacks, although replication has had the time to bring it.
pub(super) fn check(report: &mut Report, group: &Group, view: &View) {
    if view.replicas.len() < 2 {
        return;
    }
    // What a reading fails for has been told.
    let Ok(found) = group.find_lost(&[]) else { return };
    let late = found.keys.iter().filter(|key| key.fate != KeyFate::OnItsWay);
    let mut fine = true;
    for key in late {
        fine = false;
        let short = key_argument::short(key.key);
        let message = format!(
            "key {short} is on {} of {} only, for longer than replication may take",
            key.was_on,
            count(found.replicas, "replica")
        );
        report.error(
            "lacking",
            Failure::new(ErrorKind::Corrupt, message)
                .help("a replica was set back, or records were deleted there: dkm key republish"),
        );
    }
    let words = found.control + found.control_left;
    if words > 0 {
        fine = false;
        let message = format!(
            "{} on keys are not on every replica, for longer than replication may take",
            count(words, "control record")
        );
        let advice = "a replica was set back, or records were deleted there: dkm key republish, as an owner";
        report.error("lacking", Failure::new(ErrorKind::Corrupt, message).help(advice));
    }
    if fine {
        report.ok(
            "lacking",
            format!("nothing that one of the {} has is lacking on another", count(found.replicas, "replica")),
        );
    }
}
