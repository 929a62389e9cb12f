//! What somebody should look after, told on stderr by every command that works with a group.

use dkm::{KeyFault, View};
use dkm_core::plan::Plan;

use crate::terminal::Terminal;
use crate::{duration, when};

/// Something about a group that needs looking after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    /// A stable name, for programs.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) advice: Option<&'static str>,
}

fn warning(kind: &'static str, message: String, advice: &'static str) -> Warning {
    Warning { kind, message, advice: Some(advice) }
}

/// Tells everything that is wrong with a group.
pub(crate) fn about(terminal: &Terminal, view: &View) {
    for warning in of(view) {
        terminal.warn(warning.kind, &warning.message, warning.advice);
    }
}

/// Everything that is wrong with a group.
pub(crate) fn of(view: &View) -> Vec<Warning> {
    let mut found = Vec::new();
    for alarm in &view.alarms {
        let advice =
            "records never change: somebody interfered, or a replica was set back; dkm doctor tells more";
        found.push(warning("alarm", alarm.to_string(), advice));
    }
    if let Some(off_ms) = view.clock_off_ms {
        let message = format!(
            "this machine's clock is {} from the repository's: no protecting, no new keys",
            duration::about(off_ms)
        );
        found.push(warning("clock", message, "set the clock"));
    }
    for (key, why) in &view.uses_not_noted {
        let message =
            format!("key {key} was used and is to be destroyed, which could not be called off: {why}");
        let advice = "ask the group's owner at once: dkm key resume; otherwise what it protects is lost";
        found.push(warning("use-not-noted", message, advice));
    }
    if let Some(fault) = &view.rollover_fault {
        found.push(warning(
            "rollover",
            format!("a new key is due and was not made: {fault}"),
            "dkm doctor tells more",
        ));
    }
    match view.plan {
        Plan::Overdue { since, turn } => {
            let since = when::relative(since, view.now);
            let message = format!("the group's next key should have been made {since}");
            let advice = match turn {
                Some(_) => "a client makes it when it is its turn; dkm key roll makes it now",
                None => {
                    "this account may not make keys: one that may has to work with the group, or run dkm key roll"
                }
            };
            found.push(warning("overdue", message, advice));
        }
        Plan::NoKey if view.ring.keys.is_empty() => {
            let message = "the group has no key yet".to_owned();
            let advice = "the first creator that opens it makes one, once every replica answers";
            found.push(warning("no-key", message, advice));
        }
        Plan::NoKey => {
            let message = "the group has no key that protects".to_owned();
            let is_withheld = |fault: &KeyFault| *fault == KeyFault::Withheld;
            let advice = if view.key_faults.values().all(is_withheld) {
                "dkm key list shows the states; dkm key resume or dkm key roll"
            } else {
                "keys can't be opened; dkm doctor tells which, and why"
            };
            found.push(warning("no-key", message, advice));
        }
        Plan::Nothing { .. } | Plan::CreateKey { .. } => {}
    }
    for replica in &view.replicas {
        if let Some(error) = &replica.error {
            let message = format!("replica {} was not read: {error}", replica.number);
            found.push(warning("replica", message, "dkm doctor tells more"));
        }
    }
    if let Some(why) = &view.memory.warning {
        found.push(Warning { kind: "memory", message: why.clone(), advice: None });
    }
    found
}
