//! `dkm doctor`

mod lacking;

use clap::Args;
use dkm::blocking::{Client, Group};
use dkm::{ErrorKind, View};
use dkm_core::plan::Plan;
use dkm_core::policy::Wrap;
use serde::Serialize;
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::shell::Shell;
use crate::terminal::{BAD, BOLD, CARE, GOOD, count, styled};
use crate::{duration, key_argument, warning};

/// Check the repository and its groups: what is wrong, and what to do
///
/// Looks at every group that this account may read, or at the one given with --group. Changes nothing but what any use
/// of a group may: a key that is due is made. The exit code is 0 if there are no errors, warnings or not; otherwise that
/// of the worst error, in the order 1, 5, 4, 3, 6, 7.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm doctor --json")]
pub(crate) struct Arguments {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Ok,
    Warning,
    Error,
}

#[derive(Debug, Clone, Serialize)]
struct Check {
    group: Option<String>,
    name: &'static str,
    level: Level,
    /// For an error, the kind that decides the exit code.
    kind: Option<&'static str>,
    message: String,
    advice: Option<String>,
    #[serde(skip)]
    rank: Option<ErrorKind>,
}

/// Worst first.
const WORST: [ErrorKind; 6] = [
    ErrorKind::Internal,
    ErrorKind::Corrupt,
    ErrorKind::Denied,
    ErrorKind::NotFound,
    ErrorKind::Unavailable,
    ErrorKind::Refused,
];

#[derive(Debug, Default)]
struct Report {
    group: Option<String>,
    checks: Vec<Check>,
}

impl Report {
    fn add(&mut self, name: &'static str, level: Level, message: String, advice: Option<String>) {
        let group = self.group.clone();
        self.checks.push(Check { group, name, level, kind: None, message, advice, rank: None });
    }

    fn ok(&mut self, name: &'static str, message: impl Into<String>) {
        self.add(name, Level::Ok, message.into(), None);
    }

    fn warning(&mut self, name: &'static str, message: impl Into<String>, advice: impl Into<String>) {
        self.add(name, Level::Warning, message.into(), Some(advice.into()));
    }

    fn error(&mut self, name: &'static str, failure: Failure) {
        let group = self.group.clone();
        self.checks.push(Check {
            group,
            name,
            level: Level::Error,
            kind: Some(failure.kind.as_str()),
            message: failure.message,
            advice: failure.advice,
            rank: Some(failure.kind),
        });
    }

    fn exit_code(&self) -> Option<u8> {
        let kinds: Vec<ErrorKind> = self.checks.iter().filter_map(|check| check.rank).collect();
        let worst = WORST.into_iter().find(|kind| kinds.contains(kind)).or(kinds.first().copied());
        worst.map(ErrorKind::exit_code)
    }
}

pub(crate) fn run(_: &Arguments, shell: &Shell) -> Result {
    let mut report = Report::default();
    examine(&mut report, shell)?;
    let exit_code = report.exit_code();
    let value = json!({"healthy": exit_code.is_none(), "checks": report.checks});
    shell.terminal.result(&value, || text(&report))?;
    exit_code.map_or(Ok(()), |code| Err(Failure::silent(code)))
}

fn examine(report: &mut Report, shell: &Shell) -> Result {
    let location = shell.location()?;
    let client = match shell.client() {
        Ok(client) => client,
        Err(failure) => {
            report.error("repository", failure);
            return Ok(());
        }
    };
    let groups = match client.groups() {
        Ok(groups) => groups,
        Err(error) => {
            report.error("repository", error.into());
            return Ok(());
        }
    };
    report.ok("repository", format!("{location}, with {} that you may read", count(groups.len(), "group")));
    if shell.names_a_group()? {
        match shell.group_of(&client, None) {
            Ok(group) => examine_group(report, &group),
            Err(failure) => report.error("group", failure),
        }
        return Ok(());
    }
    for summary in groups {
        examine_named(report, &client, &summary);
    }
    Ok(())
}

fn examine_named(report: &mut Report, client: &Client, summary: &dkm::blocking::GroupSummary) {
    report.group = Some(summary.name.clone());
    match client.group(&summary.id.to_string()) {
        Ok(group) => examine_group(report, &group),
        Err(error) => report.error("group", error.into()),
    }
}

fn examine_group(report: &mut Report, group: &Group) {
    report.group = Some(group.name());
    let view = match group.view() {
        Ok(view) => view,
        Err(error) => return report.error("group", error.into()),
    };
    replicas(report, &view);
    clock(report, &view);
    protecting(report, &view);
    rollover(report, &view);
    root_keys(report, &view);
    destructions(report, &view);
    records(report, &view);
    lacking::check(report, group, &view);
    access(report, &view);
    policy(report, &view);
    match &view.memory.warning {
        Some(why) => {
            report.warning("memory", why.clone(), "keys in memory could reach the disk; protection works")
        }
        None => report.ok("memory", "keys are locked in memory and kept out of core dumps"),
    }
}

fn replicas(report: &mut Report, view: &View) {
    for replica in &view.replicas {
        if let Some(error) = &replica.error {
            report.error(
                "replicas",
                Failure::from(error.clone()).during(format!("replica {}", replica.number)),
            );
        }
    }
    let read = view.replicas.iter().filter(|replica| replica.error.is_none()).count();
    let needed = view.policy.replicas_needed(view.replicas.len());
    if view.replicas.len() == 1 || needed == 1 {
        report.warning(
            "replicas",
            format!("{read} of {} read; keys are used after they were read from one", view.replicas.len()),
            "one copy is all there is: back up the repository, and keep an archive (dkm archive export)",
        );
    } else {
        report.ok(
            "replicas",
            format!("{read} of {} read; keys are read from {needed} before use", view.replicas.len()),
        );
    }
}

fn clock(report: &mut Report, view: &View) {
    if let Some(off_ms) = view.clock_off_ms {
        let message = format!("this machine's clock is {} from the repository's", duration::about(off_ms));
        let failure = Failure::new(ErrorKind::Refused, message);
        return report
            .error("clock", failure.help("set the clock: until then nothing is protected and no key made"));
    }
    if view.replicas.iter().any(|replica| replica.clock.is_some()) {
        report.ok(
            "clock",
            format!("within {} of the repository's", duration::format(view.policy.clock_skew_ms)),
        );
    } else {
        report.ok("clock", "the repository has no clock of its own to compare with");
    }
}

fn protecting(report: &mut Report, view: &View) {
    // Owners and auditors need not protect anything: what counts is what members do.
    if let Some(key) = view.protects_for_members().filter(|key| view.protecting.as_ref() != Ok(key)) {
        let key = key_argument::short(key);
        return report.ok("key", format!("{key} protects for members; this account may not read it"));
    }
    match (&view.protecting, view.why_not_protecting()) {
        (_, Some(error)) => report.error("key", Failure::from(error).during("nothing can be protected")),
        (Ok(key), None) => report.ok("key", format!("{} protects", key_argument::short(*key))),
        (Err(_), None) => {}
    }
}

fn rollover(report: &mut Report, view: &View) {
    let mut fine = true;
    for warning in
        warning::of(view).iter().filter(|warning| matches!(warning.kind, "rollover" | "overdue" | "no-key"))
    {
        fine = false;
        report.warning("rollover", warning.message.clone(), warning.advice.unwrap_or_default());
    }
    if !fine {
        return;
    }
    let waiting = view.ring.keys.iter().find(|key| key.may_ever_protect() && key.activation() > view.now);
    match (waiting, view.plan) {
        (Some(key), _) => report.ok(
            "rollover",
            format!(
                "{} takes over {}",
                key_argument::short(key.id()),
                crate::when::relative(key.activation(), view.now)
            ),
        ),
        (None, Plan::Nothing { until }) if until > view.now => {
            report.ok("rollover", format!("nothing to do for {}", duration::about(until.since(view.now))));
        }
        _ => report.ok("rollover", "nothing to do"),
    }
}

fn root_keys(report: &mut Report, view: &View) {
    let withheld = view.ring.keys.iter().filter(|key| key.is_withheld()).count();
    if withheld > 0 {
        let all = count(view.ring.keys.len(), "key");
        return report.ok(
            "root-key",
            format!("{withheld} of {all} are shown without their material: only a member can tell whether they open"),
        );
    }
    for (key, fault) in &view.key_faults {
        let failure = Failure::new(fault.kind(), format!("key {key} can't be opened: {fault}"));
        let advice = "put the root key back from its backup (DKM_ROOT_KEYS names its folder), or restore the key from \
                      an archive: dkm archive restore";
        report.error("root-key", failure.help(advice));
    }
    if !view.key_faults.is_empty() {
        return;
    }
    if view.ring.keys.is_empty() && !view.rights.read {
        return report.ok("root-key", "there is no key yet");
    }
    let opened = view.ring.keys.iter().filter(|key| key.verified).count();
    report.ok("root-key", format!("{opened} of {} keys open", view.ring.keys.len()));
}

/// Keys that are to be destroyed: in time for whoever needs one.
fn destructions(report: &mut Report, view: &View) {
    for key in view.ring.keys.iter().filter(|key| key.status.destroyed.is_none()) {
        let Some(since) = key.status.cooling_off_since else { continue };
        let until = crate::when::relative(since.plus(view.policy.cooling_off_ms), view.now);
        let key = key_argument::short(key.id());
        if view.rights.create {
            let message =
                format!("{key} is to be destroyed {until}; opening anything that it protects calls it off");
            report.warning(
                "destruction",
                message,
                "dkm key usage and dkm reprotect find and renew what it protects",
            );
        } else {
            let message = format!(
                "{key} is to be destroyed {until}; this account may not add keys, so its use would not call it off"
            );
            report.warning(
                "destruction",
                message,
                "whoever needs the key has to ask the group's owner: dkm key resume",
            );
        }
    }
    for (key, why) in &view.uses_not_noted {
        let message = format!("{key} was used and is to be destroyed, which could not be called off: {why}");
        let failure = Failure::new(ErrorKind::Denied, message);
        report.error("destruction", failure.help("ask the group's owner at once: dkm key resume"));
    }
}

fn records(report: &mut Report, view: &View) {
    let before = report.checks.len();
    for alarm in &view.alarms {
        let failure = Failure::new(ErrorKind::Corrupt, alarm.to_string());
        report.error(
            "records",
            failure.help("records never change: somebody interfered, or a replica was set back"),
        );
    }
    for finding in &view.ring.findings {
        report.warning(
            "records",
            finding.to_string(),
            "look who wrote it: the repository attests the author",
        );
    }
    for unread in &view.unread {
        report.warning(
            "records",
            unread.clone(),
            "a newer version of dkm may have written it; otherwise it is damaged",
        );
    }
    if report.checks.len() == before {
        report.ok(
            "records",
            format!("{}, nothing strange among the records", count(view.ring.keys.len(), "key")),
        );
    }
}

fn access(report: &mut Report, view: &View) {
    let alarming: Vec<_> = view.access.iter().filter(|line| line.alarming).collect();
    for line in &alarming {
        let failure = Failure::new(
            ErrorKind::Refused,
            format!("{}: {}, which is wider than it should be", line.who, line.may),
        );
        report.error(
            "access",
            failure.help("correct owner, group and mode, and roll the key if others may have read it"),
        );
    }
    if alarming.is_empty() {
        let lines: Vec<String> =
            view.access.iter().map(|line| format!("{}: {}", line.who, line.may)).collect();
        report.ok("access", lines.join("; "));
    }
}

fn policy(report: &mut Report, view: &View) {
    let before = report.checks.len();
    let policy = &view.policy;
    if policy.archive_recipients.is_empty() {
        report.warning(
            "policy",
            "nobody can open an archive: without one, losing the root key or the repository loses everything protected",
            "dkm policy set archive_recipients=age1…, then dkm archive export",
        );
    }
    if policy.wrap == Wrap::None {
        report.warning(
            "policy",
            "new keys lie in the repository unwrapped, so a copy of it opens everything",
            "dkm policy set wrap=root-key",
        );
    }
    if report.checks.len() == before {
        report.ok("policy", "archives have recipients, and keys are wrapped");
    }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut group = None;
    for check in &report.checks {
        if check.group != group {
            group.clone_from(&check.group);
            out.push_str(&format!(
                "\n{}\n",
                styled(BOLD, format!("group {}", group.clone().unwrap_or_default()))
            ));
        }
        let (mark, style) = match check.level {
            Level::Ok => ("ok     ", GOOD),
            Level::Warning => ("warning", CARE),
            Level::Error => ("error  ", BAD),
        };
        out.push_str(&format!("{}  {:<10}  {}\n", styled(style, mark), check.name, check.message));
        if let Some(advice) = &check.advice {
            out.push_str(&format!("{:21}{}: {advice}\n", "", styled(BOLD, "help")));
        }
    }
    let number = |level| report.checks.iter().filter(|check| check.level == level).count();
    out.push_str(&format!(
        "\n{}, {}\n",
        count(number(Level::Error), "error"),
        count(number(Level::Warning), "warning")
    ));
    out
}
