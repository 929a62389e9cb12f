//! The keys of a ring over time, drawn in the terminal.

use dkm::View;
use dkm_core::Timestamp;
use dkm_core::ring::{KeyState, RingKey};

use crate::key_argument::short;
use crate::shape::Span;
use crate::terminal::{BAD, CARE, FAINT, GOOD, styled};
use crate::when;

/// Columns of the bars.
const WIDTH: u64 = 48;
/// Most keys that are drawn: the newest.
const KEYS_MAX: usize = 40;

/// One key's life.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Life {
    label: String,
    state: KeyState,
    created: Timestamp,
    /// From when to when it protects; open while nobody knows its end.
    protects: Option<(Timestamp, Option<Timestamp>)>,
}

/// Draws the newest keys of a group.
pub(crate) fn draw(view: &View) -> String {
    let skipped = view.ring.keys.len().saturating_sub(KEYS_MAX);
    let lives: Vec<Life> = view.ring.keys[skipped..].iter().map(|key| life(key, view)).collect();
    let mut out = lines(&lives, view.now);
    if skipped > 0 {
        out.push_str(&format!("{skipped} older keys are not drawn\n"));
    }
    out
}

fn life(key: &RingKey, view: &View) -> Life {
    Life {
        label: short(key.id()),
        state: key.state(view.now),
        created: key.attested.created,
        // An end that lies ahead is only expected, and would squeeze what has happened.
        protects: Span::of(key, view).map(|span| {
            (span.since, span.until.filter(|until| *until <= view.now || key.superseded_at.is_some()))
        }),
    }
}

fn lines(lives: &[Life], now: Timestamp) -> String {
    let Some(start) = lives.iter().map(|life| life.created).min() else { return "no keys\n".to_owned() };
    let marks = lives.iter().filter_map(|life| life.protects).flat_map(|(since, until)| [Some(since), until]);
    let latest = marks.flatten().chain([now]).max().unwrap_or(now).max(start.plus(1));
    // Some of what is expected next, so that a change that has just happened is seen.
    let end = latest.plus((latest.since(start) / 6).max(1));
    let mut out = format!("{:12}  {:<24}{:>24}\n", "", when::second(start), when::second(end));
    for life in lives {
        let edge = |column| at(column, start, end);
        let bar: String = (0..WIDTH).map(|column| cell(life, edge(column), edge(column + 1), now)).collect();
        let style = style(life.state);
        out.push_str(&format!("{}  {}  {}\n", life.label, styled(style, bar), styled(style, life.state)));
    }
    let before = (0..WIDTH).filter(|column| at(column + 1, start, end) <= now).count();
    out.push_str(&format!("{:12}  {}↑ now\n", "", " ".repeat(before)));
    let legend = "· waits  █ protects  ▒ will protect  ░ archived: opens only  × compromised or destroyed";
    out.push_str(&format!("{:12}  {}\n", "", styled(FAINT, legend)));
    out
}

/// The time at a column's left edge.
fn at(column: u64, start: Timestamp, end: Timestamp) -> Timestamp {
    // A hundred years are below 2^42 ms: the product stays far from 2^64.
    start.plus(end.since(start).saturating_mul(column) / WIDTH)
}

fn cell(life: &Life, from: Timestamp, to: Timestamp, now: Timestamp) -> char {
    let over = if life.state >= KeyState::Compromised { '×' } else { '░' };
    if to <= life.created {
        return ' ';
    }
    let Some((since, until)) = life.protects else { return over };
    if to <= since {
        '·'
    } else if until.is_some_and(|until| from >= until) {
        over
    } else if from > now {
        '▒'
    } else {
        '█'
    }
}

fn style(state: KeyState) -> clap::builder::styling::Style {
    match state {
        KeyState::Active => GOOD,
        KeyState::PreActive | KeyState::Suspended => CARE,
        KeyState::Deactivated => FAINT,
        KeyState::Compromised | KeyState::Destroyed => BAD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(label: &str, state: KeyState, created: u64, protects: Option<(u64, Option<u64>)>) -> Life {
        let protects = protects.map(|(since, until)| (Timestamp(since), until.map(Timestamp)));
        Life { label: format!("{label:12}"), state, created: Timestamp(created), protects }
    }

    fn plain(lives: &[Life], now: u64) -> Vec<String> {
        let drawn = lines(lives, Timestamp(now));
        anstream::adapter::strip_str(&drawn).to_string().lines().map(str::to_owned).collect()
    }

    fn bars(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| line.chars().skip(14).take(48).collect()).collect()
    }

    fn run(parts: &[(char, usize)]) -> String {
        parts.iter().flat_map(|(c, n)| std::iter::repeat_n(*c, *n)).collect()
    }

    #[test]
    fn keys_follow_each_other() {
        // With a sixth of what is to come, each column is 100 ms.
        let now = 4110;
        let lives = [
            life("a", KeyState::Deactivated, 0, Some((0, Some(2000)))),
            life("b", KeyState::Active, 1000, Some((2000, None))),
            life("c", KeyState::Compromised, 1000, Some((2000, Some(3000)))),
            life("d", KeyState::Deactivated, 3000, None),
        ];
        let lines = plain(&lives, now);
        let bars = bars(&lines[1..5]);
        assert_eq!(bars[0], run(&[('█', 21), ('░', 27)]));
        assert_eq!(bars[1], run(&[(' ', 10), ('·', 10), ('█', 22), ('▒', 6)]));
        assert_eq!(bars[2], run(&[(' ', 10), ('·', 10), ('█', 11), ('×', 17)]));
        assert_eq!(bars[3], run(&[(' ', 30), ('░', 18)]));
        assert!(lines[0].contains("1970-01-01T00:00:00Z") && lines[0].ends_with("1970-01-01T00:00:04Z"));
        assert_eq!(lines[5].trim(), "↑ now");
        assert!(lines[6].contains("waits"));
    }

    #[test]
    fn a_key_that_waits_is_drawn_up_to_its_beginning_and_on() {
        let lives = [
            life("a", KeyState::Active, 0, Some((0, Some(4114)))),
            life("b", KeyState::PreActive, 2000, Some((4114, None))),
        ];
        let bars = bars(&plain(&lives, 2000)[1..3]);
        assert!(bars[0].starts_with('█') && bars[0].contains("█▒") && bars[0].ends_with('░'), "{}", bars[0]);
        assert!(
            bars[1].starts_with("   ") && bars[1].contains("··▒") && bars[1].ends_with('▒'),
            "{}",
            bars[1]
        );
    }

    #[test]
    fn no_keys_and_no_time_are_drawn_too() {
        assert_eq!(plain(&[], 5), ["no keys"]);
        let one = [life("a", KeyState::Active, 5, Some((5, None)))];
        assert!(plain(&one, 5)[1].contains('█'));
    }
}
