//! What `dkm group repair-access` and `dkm group replace-readers` have in common.

use std::ops::ControlFlow;

use dkm::ErrorKind;
use dkm::journal::EventKind;
use dkm_ad::repair::{Deviant, Done, Limits, Plan, RepairError, Report, Task, carry_out, plan};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::shell::Shell;
use crate::terminal::count;

/// What is to be done, and how it is recorded.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) task: Task,
    pub(crate) limits: Limits,
    pub(crate) event: EventKind,
    pub(crate) reason: &'a str,
    pub(crate) dry_run: bool,
}

pub(crate) fn run(order: &Order<'_>, shell: &Shell) -> Result {
    let repository = shell.active_directory("")?;
    let group = shell.group_id(None)?;
    // Read first: what can't be done at all is not recorded, and what is recorded says how much it is.
    let plan = plan(&repository, group, &order.task, order.limits)?;
    for creator in &plan.creators_outside {
        let message =
            format!("{creator} adds keys, and is not in the new readers group: it can't read what it makes");
        let advice = "put it into that group, and give it a fresh ticket, before or soon after";
        shell.terminal.warn("creator-outside", &message, Some(advice));
    }
    if order.dry_run {
        let ldif = plan.ldif();
        shell.terminal.result(&json!({"plan": plan, "ldif": ldif}), || told(&plan))?;
        shell.terminal.note("Nothing was changed. By hand: ldapmodify -Y GSSAPI -H ldap://DC -f FILE");
        return Ok(());
    }
    let detail = match plan.replaced.as_slice() {
        [] => format!("{} of {} differ", plan.deviants.len(), count(plan.objects, "object")),
        replaced => format!("{} instead of {}", plan.readers, replaced.join(", ")),
    };
    shell.record(order.event, group, order.reason, detail)?;
    let mut bar = Progress::of_items(&shell.terminal, "changing");
    let report = carry_out(&repository, group, &order.task, order.limits, &mut |written| {
        bar.items(written, None);
        ControlFlow::Continue(())
    })?;
    drop(bar);
    warn(&report, shell);
    shell.terminal.result(&report, || text(&report))?;
    shell.terminal.note("Next: take this account out of the recovery group, then dkm group audit");
    if report.controllers.iter().any(|done| !done.left.is_empty()) {
        return Err(Failure::silent(ErrorKind::Denied.exit_code()));
    }
    Ok(())
}

/// The plan in LDIF; what is not in it, in comments.
fn told(plan: &Plan) -> String {
    let mut out = format!(
        "# Group {} on {}: {} of {} differ.\n",
        plan.group,
        plan.controller,
        plan.deviants.len(),
        count(plan.objects, "object")
    );
    for deviant in &plan.deviants {
        out.push_str(&format!("# {}\n", named(deviant)));
        out.extend(deviant.deviations.iter().map(|deviation| format!("#   {deviation}\n")));
    }
    out.extend(plan.unread.iter().map(|dn| format!("# not read, so not compared: {dn}\n")));
    out.push('\n');
    out.push_str(&plan.ldif());
    out
}

fn named(deviant: &Deviant) -> String {
    let key = deviant.key.as_ref().map_or_else(String::new, |key| format!(" (key {key})"));
    format!("{}{key}", deviant.dn)
}

fn text(report: &Report) -> String {
    let mut out = match report.replaced.as_slice() {
        [] => String::new(),
        replaced => format!(
            "Group {} is read by members of {}, and no more by those of {}.\n",
            report.group,
            report.readers,
            replaced.join(", ")
        ),
    };
    for done in report.controllers.iter().filter(|done| done.failure.is_none()) {
        out.push_str(&on_one(done));
    }
    out
}

fn on_one(done: &Done) -> String {
    let mut out = format!(
        "On {}: {} of {} differed; {} written.\n",
        done.controller,
        done.deviants.len(),
        count(done.objects, "object"),
        count(done.written, "change")
    );
    for deviant in &done.deviants {
        out.push_str(&format!("  {}\n", named(deviant)));
        out.extend(deviant.deviations.iter().map(|deviation| format!("    {deviation}\n")));
    }
    out.extend(done.refusals_kept.iter().map(|refusal| format!("  A refusal stays: {refusal}\n")));
    out.extend(done.left.iter().map(|left| format!("  Not put right: {left}\n")));
    out
}

fn warn(report: &Report, shell: &Shell) {
    for done in &report.controllers {
        if let Some(why) = &done.failure {
            let advice = "what was done on another domain controller comes there by replication; run it again to be sure";
            shell.terminal.warn("not-everywhere", &format!("{}: {why}", done.controller), Some(advice));
        }
    }
    let open: std::collections::BTreeSet<_> = report
        .controllers
        .iter()
        .flat_map(|done| &done.deviants)
        .filter(|deviant| deviant.was_open)
        .map(named)
        .collect();
    if !open.is_empty() {
        let open: Vec<_> = open.into_iter().collect();
        let message = format!("these were open to others, who may know what is in them: {}", open.join("; "));
        let advice =
            "make a new key: dkm key roll --fresh; if it may have been copied: dkm key compromise KEY-ID";
        shell.terminal.warn("was-open", &message, Some(advice));
    }
}

impl From<RepairError> for Failure {
    fn from(error: RepairError) -> Self {
        let message = error.to_string();
        let (kind, advice) = match error {
            RepairError::Repository(error) => return error.into(),
            RepairError::NotInRecovery { .. } => (
                ErrorKind::Denied,
                "have an administrator put this account into it for as long as this takes, fetch a fresh ticket \
                 (kdestroy, then kinit), and run it again; nothing was changed",
            ),
            RepairError::Unfinished { .. } => (
                ErrorKind::Refused,
                "finish that first: dkm group replace-readers --to GROUP, with that group",
            ),
            RepairError::NoReaders { .. } => (
                ErrorKind::Usage,
                "name a domain-local security group that was made for it; nothing was changed",
            ),
            RepairError::LeftBehind { .. } => (
                ErrorKind::Refused,
                "an administrator can take ownership of what no client needs and delete it; --leave-behind goes on \
                 without it; run it again afterwards",
            ),
            _ => (ErrorKind::Unavailable, "run it again: it goes on where it was"),
        };
        Self::new(kind, message).help(advice)
    }
}
