//! `dkm key list`

use clap::Args;
use dkm::{KeyFault, View};
use dkm_core::ring::{KeyState, RingKey};
use serde_json::json;

use crate::failure::Result;
use crate::key_argument::short;
use crate::shape::{GroupShape, KeyShape, Span};
use crate::shell::Shell;
use crate::terminal::{BAD, BOLD, CARE, FAINT, GOOD, styled};
use crate::{columns, timeline, warning, when};

/// List a group's keys, oldest first
///
/// Ids are shortened; every command that destroys nothing takes them so. --json shows whole ids.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm key list --group mail
  dkm key list --timeline")]
pub(crate) struct Arguments {
    /// Draw when each key protected
    #[arg(long)]
    timeline: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let group = shell.group()?;
    let view = group.view()?;
    warning::about(&shell.terminal, &view);
    let keys: Vec<KeyShape> = view.ring.keys.iter().map(|key| KeyShape::of(key, &view)).collect();
    let erased: Vec<_> = view
        .ring
        .tombstones
        .iter()
        .map(|(id, status)| {
            json!({"id": id.to_string(), "destroyed": status.destroyed.map(when::precise), "reason": status.reason})
        })
        .collect();
    let value = json!({
        "group": GroupShape::of(&group),
        "protecting_key": view.protects_for_members().map(|id| id.to_string()),
        "keys": keys,
        "erased": erased,
    });
    shell.terminal.result(&value, || if arguments.timeline { timeline::draw(&view) } else { table(&view) })
}

/// The keys as a table.
pub(crate) fn table(view: &View) -> String {
    let mut rows: Vec<Vec<String>> = view.ring.keys.iter().map(|key| row(key, view)).collect();
    for (id, status) in &view.ring.tombstones {
        let when = status.destroyed.map_or_else(|| "-".to_owned(), when::second);
        let blank = || "-".to_owned();
        rows.push(vec![
            short(*id),
            styled(BAD, "destroyed"),
            blank(),
            blank(),
            when,
            blank(),
            "erased".to_owned(),
        ]);
    }
    let headings = ["KEY", "STATE", "CREATED", "PROTECTS SINCE", "PROTECTS UNTIL", "PREDECESSOR", "NOTES"];
    columns::table(&headings, &rows)
}

fn row(key: &RingKey, view: &View) -> Vec<String> {
    let span = Span::of(key, view);
    let blank = || "-".to_owned();
    let ahead = |until: dkm_core::Timestamp| {
        let text = when::second(until);
        // What lies ahead is only expected.
        if until > view.now { styled(FAINT, text) } else { text }
    };
    let protecting = view.protects_for_members() == Some(key.id());
    let id = short(key.id());
    vec![
        if protecting { styled(BOLD, id) } else { id },
        state(key.state(view.now)),
        when::second(key.attested.created),
        span.map_or_else(blank, |span| when::second(span.since)),
        span.and_then(|span| span.until).map_or_else(blank, ahead),
        key.record.predecessor.map_or_else(blank, short),
        notes(key, view, protecting).join(", "),
    ]
}

fn notes(key: &RingKey, view: &View, protecting: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if protecting {
        notes.push("protects now".to_owned());
    }
    if key.is_exposed(view.now) {
        notes.push(styled(CARE, "exposed"));
    }
    if let (Some(since), None) = (key.status.cooling_off_since, key.status.destroyed) {
        let until = since.plus(view.policy.cooling_off_ms);
        notes.push(styled(CARE, format!("to be destroyed {}", when::relative(until, view.now))));
    }
    match &key.distrust {
        Some(dkm_core::ring::Distrust::NotRolled) => {
            notes.push(match key.record.guid {
                Some(guid) => format!("Windows key {guid}"),
                None => "restored or imported".to_owned(),
            });
        }
        Some(why) => notes.push(styled(BAD, format!("never protects: {why}"))),
        None => {}
    }
    match view.key_faults.get(&key.id()) {
        Some(fault @ KeyFault::Withheld) => notes.push(styled(FAINT, fault)),
        Some(fault) => notes.push(styled(BAD, format!("can't be opened: {fault}"))),
        None => {}
    }
    notes
}

/// A state in its colour.
pub(crate) fn state(state: KeyState) -> String {
    let style = match state {
        KeyState::Active => GOOD,
        KeyState::PreActive | KeyState::Suspended => CARE,
        KeyState::Deactivated => FAINT,
        KeyState::Compromised | KeyState::Destroyed => BAD,
    };
    styled(style, state)
}
