//! The only place that writes to the terminal: results to stdout, everything else to stderr.
//!
//! Colours reach a terminal only: `anstream` takes them out elsewhere, and where `NO_COLOR` is set.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{IsTerminal, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;

use crate::failure::{Failure, Result};

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const CARE: Style = AnsiColor::Yellow.on_default();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();

/// Text in a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A number of things: "1 key", "2 keys", "2 entries".
pub(crate) fn count(number: impl Display, thing: &str) -> String {
    let number = number.to_string();
    match thing.strip_suffix('y') {
        _ if number == "1" => format!("1 {thing}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o']) => format!("{number} {stem}ies"),
        _ if thing.ends_with('s') => format!("{number} {thing}es"),
        _ => format!("{number} {thing}s"),
    }
}

/// A word as a shell reads it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Where output goes, and in which form.
#[derive(Debug)]
pub(crate) struct Terminal {
    json: bool,
    quiet: bool,
    warned: RefCell<BTreeSet<String>>,
}

impl Terminal {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, warned: RefCell::default() }
    }

    /// Whether results are to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether somebody watches stderr who may be shown progress.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.json && !self.quiet && std::io::stderr().is_terminal()
    }

    /// A result: text for people, or the value in JSON.
    pub(crate) fn result<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> Result {
        if self.json { self.text(&compact(value)?) } else { self.text(&text()) }
    }

    /// What is told of a call whose data went to stdout: in JSON a line on stderr, for people nothing.
    pub(crate) fn summary_beside_data<T: Serialize>(&self, value: &T) -> Result {
        if self.json && !self.quiet {
            to_stderr(&compact(value)?);
        }
        Ok(())
    }

    /// Lines on stdout.
    pub(crate) fn text(&self, text: &str) -> Result {
        let mut out = anstream::stdout().lock();
        let written = out.write_all(text.as_bytes());
        let ended = if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") };
        written.and(ended).and_then(|()| out.flush()).map_err(|error| {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                // The reader has seen enough.
                Failure::silent(0)
            } else {
                Failure::file("can't write to", std::path::Path::new("stdout"), &error)
            }
        })
    }

    /// Something that helps a person on, not needed by programs.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.json && !self.quiet {
            to_stderr(&styled(FAINT, text));
        }
    }

    /// Something that a person must see before he decides, on stderr whatever else is asked for.
    pub(crate) fn show(&self, text: &str) {
        to_stderr(text.trim_end_matches('\n'));
    }

    /// A question to the person at the terminal, who answers behind it.
    pub(crate) fn ask(&self, question: &str) {
        let mut stderr = anstream::stderr().lock();
        // Where stderr is closed there is nobody to ask: nothing will be typed.
        let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
    }

    /// Something that somebody should look after. The same is said once.
    pub(crate) fn warn(&self, kind: &str, message: &str, advice: Option<&str>) {
        if self.quiet || !self.warned.borrow_mut().insert(message.to_owned()) {
            return;
        }
        if self.json {
            let value = json!({"warning": {"kind": kind, "message": message, "advice": advice}});
            to_stderr(&escaped(&value.to_string()));
            return;
        }
        to_stderr(&format!("{}: {message}", styled(CARE.bold(), "warning")));
        if let Some(advice) = advice {
            to_stderr(&format!("  {}: {advice}", styled(BOLD, "help")));
        }
    }

    /// Why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.silent {
            return;
        }
        if self.json {
            to_stderr(&escaped(&failure.json().to_string()));
            return;
        }
        to_stderr(&format!("{}: {}", styled(BAD, "error"), failure.message));
        if let Some(advice) = &failure.advice {
            to_stderr(&format!("  {}: {advice}", styled(BOLD, "help")));
        }
    }
}

fn compact<T: Serialize>(value: &T) -> Result<String> {
    let json = serde_json::to_string(value);
    json.map(|json| escaped(&json)).map_err(|e| Failure::internal(format!("can't write JSON: {e}")))
}

/// JSON that says the same and moves no terminal, whatever others have put into its texts: what can't be seen, or shows text
/// in another order, is written as its escape.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if dkm_lockbox::is_deceptive(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

fn to_stderr(text: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_moves_no_terminal_and_says_the_same() {
        for text in ["a\u{9b}2Jb", "a\u{202e}b", "\u{e0041}", "\r\n\t\u{7f}", "Grüße 😀"] {
            let json = compact(&json!({"text": text})).unwrap();
            assert!(!json.chars().any(dkm_lockbox::is_deceptive), "{json:?}");
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read["text"], text);
        }
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(shell_word("dir:/a/b"), "dir:/a/b");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word(""), "''");
        assert_eq!((count(1, "key"), count(2, "key")), ("1 key".to_owned(), "2 keys".to_owned()));
        assert_eq!((count(1, "entry"), count(0, "entry")), ("1 entry".to_owned(), "0 entries".to_owned()));
    }
}
