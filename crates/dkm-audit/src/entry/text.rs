//! Bounded texts. None can hide or fake a line of what prints it: no control characters, no reversal of direction.

use std::fmt;
use std::str::FromStr;

/// Why a text does not fit its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} has 1 to {max} bytes of {alphabet}")]
pub struct TextError {
    what: &'static str,
    max: usize,
    alphabet: &'static str,
}

const PLAIN: &str = "text without control characters";
const LINES: &str = "text without control characters but newlines and tabs";

fn is_plain(c: char) -> bool {
    let separates_lines = matches!(c, '\u{2028}' | '\u{2029}');
    let turns_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !separates_lines && !turns_direction
}

fn is_in_lines(c: char) -> bool {
    is_plain(c) || matches!(c, '\n' | '\t')
}

fn is_in_action(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn is_in_reference(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-')
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $allowed:ident, $alphabet:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Longest text, in bytes.
            pub const LEN_MAX: usize = $max;

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                if text.is_empty() || text.len() > $max || !text.chars().all($allowed) {
                    return Err(TextError { what: $what, max: $max, alphabet: $alphabet });
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! lossy {
    ($name:ident, $allowed:ident) => {
        impl $name {
            /// What can be kept of any text, so that nothing goes unrecorded for the way it is written: forbidden
            /// characters become U+FFFD, what is too long is cut, and nothing becomes U+FFFD too.
            #[must_use]
            pub fn lossy(text: &str) -> Self {
                let mut kept = String::new();
                for c in text.chars() {
                    let c = if $allowed(c) { c } else { char::REPLACEMENT_CHARACTER };
                    if kept.len() + c.len_utf8() > Self::LEN_MAX {
                        break;
                    }
                    kept.push(c);
                }
                if kept.is_empty() {
                    kept.push(char::REPLACEMENT_CHARACTER);
                }
                Self(kept)
            }
        }
    };
}

text!(
    /// Who acts, as the system that authenticated it names it: `uid:1000`, `CORP\mail-svc`.
    Actor, "an actor", 256, is_plain, PLAIN
);
lossy!(Actor, is_plain);
text!(
    /// What is done: `unprotect`, `key-released`.
    Action, "an action", 64, is_in_action, "a-z, 0-9 and -"
);
text!(
    /// Reference to a grant.
    GrantRef, "a grant's reference", 128, is_in_reference, "letters, digits and . _ : -"
);
text!(
    /// Why something is done, in the words of who does it.
    Reason, "a reason", 4096, is_in_lines, LINES
);
lossy!(Reason, is_in_lines);
text!(
    /// More on an entry, in the words of the program.
    Detail, "a detail", 1024, is_plain, PLAIN
);
lossy!(Detail, is_plain);

impl Action {
    /// The log changes its key: the entry names the next one.
    #[must_use]
    pub fn log_key_rotated() -> Self {
        Self("log-key-rotated".to_owned())
    }

    /// Another system has recorded it; `what` is of the action's own alphabet, and short.
    pub(crate) fn ingested(what: &'static str) -> Self {
        Self(format!("ingested-{what}"))
    }

    /// The log goes on although it is not what its last checkpoint outside said.
    #[must_use]
    pub fn log_recovered() -> Self {
        Self("log-recovered".to_owned())
    }
}
