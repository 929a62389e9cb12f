//! `dkm audit search`

use clap::Args;
use dkm_audit::Entry;
use dkm_audit::entry::{Action, GrantRef};
use dkm_audit::tile::TILE_WIDTH;
use dkm_audit::tree::Tree;
use dkm_core::{GroupId, KeyId, Timestamp};
use serde_json::json;

use crate::audit_entry::{self, Found};
use crate::audit_log::LogArguments;
use crate::duration;
use crate::failure::Result;
use crate::shell::Shell;
use crate::terminal::count;
use crate::when;

/// Search an audit log; every entry that is looked at is proved to be in it
///
/// Shows entries that meet all conditions. The checkpoint is verified first, then each entry against it. Whoever wrote the
/// log decides what stands in it: that nothing is found proves only that nothing was recorded.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Times are as 2026-03-01T12:00:00Z, or so long ago, as 36h or 30d. They are those of the writer's clock.

Exit codes:
  0  searched, whether something was found or not
  3  there is no log
  5  the log is damaged, forged, rolled back or forked
  6  the log can't be read

Examples:
  dkm audit search /var/lib/dkmd/audit --keys log.keys --who alice --after 7d
  dkm audit search /var/lib/dkmd/audit --keys log.keys --grant 4f1c9a0e5b7d42d3a1c8e6f09b2d7a54 --json")]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    conditions: Conditions,
    /// Show at most so many, the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

/// What an entry must be.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Conditions")]
struct Conditions {
    /// By somebody whose name contains this, whatever its case
    #[arg(long, value_name = "TEXT")]
    who: Option<String>,
    /// Of this action, such as unprotect
    #[arg(long, value_name = "ACTION")]
    what: Option<Action>,
    /// In this phase: intent, success, failure, denied or recorded
    #[arg(long, value_name = "PHASE", value_parser = ["intent", "success", "failure", "denied", "recorded"])]
    phase: Option<String>,
    /// Under this grant; a grant has the reference of its request
    #[arg(long, visible_alias = "request", value_name = "REFERENCE")]
    grant: Option<GrantRef>,
    /// On the group with this id. --group and DKM_GROUP do not count here: a log may tell of groups that no repository has
    #[arg(long, value_name = "ID")]
    group_id: Option<GroupId>,
    /// On the key with this id
    #[arg(long, value_name = "ID")]
    key_id: Option<KeyId>,
    /// At this time or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    after: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<Timestamp>,
    /// With this in its reason or detail, whatever its case
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

/// A point in time, or how long ago it was.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(time.as_millisecond())
            .map(Timestamp)
            .map_err(|_| format!("{text:?} is before 1970"));
    }
    duration::parse(text).map(|ago_ms| when::now().minus(ago_ms)).map_err(|_| {
        format!("{text:?} is neither a time such as 2026-03-01T12:00:00Z nor a duration such as 36h")
    })
}

impl Conditions {
    fn met_by(&self, entry: &Entry) -> bool {
        fn same<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        let within = |wanted: Option<&String>, found: Option<&str>| {
            wanted.is_none_or(|wanted| {
                found.is_some_and(|found| found.to_lowercase().contains(&wanted.to_lowercase()))
            })
        };
        let reason = entry.reason.as_ref().map(dkm_audit::entry::Reason::as_str);
        let detail = entry.detail.as_ref().map(dkm_audit::entry::Detail::as_str);
        let text = self.text.as_ref();
        within(self.who.as_ref(), Some(entry.actor.as_str()))
            && same(self.what.as_ref(), Some(&entry.action))
            && self.phase.as_ref().is_none_or(|phase| phase == entry.phase.as_str())
            && same(self.grant.as_ref(), entry.grant.as_ref())
            && same(self.group_id.as_ref(), entry.group.as_ref())
            && same(self.key_id.as_ref(), entry.key.as_ref())
            && self.after.is_none_or(|after| entry.time >= after)
            && self.before.is_none_or(|before| entry.time < before)
            && (text.is_none() || within(text, reason) || within(text, detail))
    }
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let log = &arguments.log;
    let source = log.source(shell)?;
    let head = log.head(&source)?;
    let checkpoint = &head.checkpoint;
    let tree = Tree::new(&source, checkpoint);
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let mut found = std::collections::VecDeque::new();
    let mut matched = 0u64;
    for bundle in 0..checkpoint.size.div_ceil(TILE_WIDTH) {
        for leaf in tree.bundle(bundle).map_err(|error| log.fault(&error))? {
            let this = Found::read(leaf)?;
            if !arguments.conditions.met_by(&this.entry) {
                continue;
            }
            matched += 1;
            if found.len() == limit {
                found.pop_front();
            }
            found.push_back(this);
        }
    }
    log.remember(&head, shell)?;
    let found: Vec<Found> = found.into();
    let value = json!({
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "matched": matched,
        "entries": found.iter().map(Found::json).collect::<Vec<_>>(),
    });
    shell.terminal.result(&value, || {
        let told = format!("{} of {} found.\n", matched, count(checkpoint.size, "entry"));
        if found.is_empty() { told } else { format!("{}{told}", audit_entry::table(&found)) }
    })?;
    if matched > u64::from(arguments.limit) {
        let message = format!("{matched} entries meet the conditions; the newest {limit} are shown");
        shell.terminal.warn("truncated", &message, Some("ask for less, or for more with --limit"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dkm_audit::entry::Phase;

    use super::*;

    fn entry() -> Entry {
        let mut entry = Entry::new(
            Timestamp(5000),
            "CORP\\Alice".parse().unwrap(),
            "unprotect".parse().unwrap(),
            Phase::Denied,
        );
        entry.grant = Some("g1".parse().unwrap());
        entry.group = Some(GroupId([1; 16]));
        entry.reason = Some("Ticket 77".parse().unwrap());
        entry
    }

    #[test]
    fn an_entry_must_meet_every_condition() {
        let any = Conditions::default();
        let met = |conditions: &Conditions| conditions.met_by(&entry());
        assert!(met(&any));
        let who = |text: &str| Conditions { who: Some(text.to_owned()), ..Conditions::default() };
        assert!(met(&who("alice")) && !met(&who("bob")));
        let text = |text: &str| Conditions { text: Some(text.to_owned()), ..who("corp") };
        assert!(met(&text("ticket 7")) && !met(&text("ticket 8")));
        let what = |action: &str| Conditions { what: Some(action.parse().unwrap()), ..Conditions::default() };
        assert!(met(&what("unprotect")) && !met(&what("protect")));
        let grant = |grant: &str| Conditions { grant: Some(grant.parse().unwrap()), ..what("unprotect") };
        assert!(met(&grant("g1")) && !met(&grant("g")));
        let phase = |phase: &str| Conditions { phase: Some(phase.to_owned()), ..Conditions::default() };
        assert!(met(&phase("denied")) && !met(&phase("intent")));
        let group = |id: u8| Conditions { group_id: Some(GroupId([id; 16])), ..Conditions::default() };
        assert!(met(&group(1)) && !met(&group(2)));
        let key = Conditions { key_id: Some(KeyId([1; 16])), ..Conditions::default() };
        assert!(!met(&key));
        let times = |after: u64, before: u64| Conditions {
            after: Some(Timestamp(after)),
            before: Some(Timestamp(before)),
            ..Conditions::default()
        };
        assert!(met(&times(5000, 5001)) && !met(&times(5001, 9000)) && !met(&times(0, 5000)));
    }

    #[test]
    fn times_are_points_or_so_long_ago() {
        assert_eq!(time("1970-01-01T00:00:05Z"), Ok(Timestamp(5000)));
        assert!(time("1h").unwrap() < when::now());
        assert!(time("1969-01-01T00:00:00Z").is_err() && time("yesterday").unwrap_err().contains("36h"));
    }
}
