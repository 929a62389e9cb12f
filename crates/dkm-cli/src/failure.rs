//! What the command says when it fails: what happened, how to recover, and the exit code.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dkm::ErrorKind;
use serde_json::{Value, json};

/// A result of the command.
pub(crate) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why the command ends without having done what was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    pub(crate) advice: Option<String>,
    /// Nothing is to be said: it has been, or the reader of our output has gone.
    pub(crate) silent: bool,
    pub(crate) exit_code: u8,
}

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), advice: None, silent: false, exit_code: kind.exit_code() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Ends the command with an exit code and without a word.
    pub(crate) fn silent(exit_code: u8) -> Self {
        Self { silent: true, exit_code, ..Self::new(ErrorKind::Unavailable, "the output was closed") }
    }

    /// A file that can't be used. `what` is such as "can't read".
    pub(crate) fn file(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let shown = path.display();
        let failure = Self::new(io_kind(error), format!("{what} {shown}: {}", reason(error)));
        match error.kind() {
            std::io::ErrorKind::NotFound => failure.help("check the name"),
            std::io::ErrorKind::PermissionDenied => {
                failure.help("check the permissions of the file and its folder")
            }
            std::io::ErrorKind::StorageFull => failure.help("free some space, then run it again"),
            _ => failure,
        }
    }

    /// Adds how to recover.
    #[must_use]
    pub(crate) fn help(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Puts what was being done before the message.
    #[must_use]
    pub(crate) fn during(mut self, what: impl Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The form that `--json` writes to stderr.
    pub(crate) fn json(&self) -> Value {
        json!({"error": {
            "kind": self.kind.as_str(),
            "message": self.message,
            "advice": self.advice,
            "exit_code": self.exit_code,
        }})
    }
}

impl From<dkm::Error> for Failure {
    fn from(error: dkm::Error) -> Self {
        let message = match &error {
            // In the words of this command's own files.
            dkm::Error::Io { what, path, source } => Self::file(what, path, source).message,
            other => other.to_string(),
        };
        Self { advice: error.advice(), ..Self::new(error.kind(), message) }
    }
}

impl From<dkm::repository::RepositoryError> for Failure {
    fn from(error: dkm::repository::RepositoryError) -> Self {
        dkm::Error::from(error).into()
    }
}

/// Runs a command; a panic in it becomes an internal error, with its exit code and in the form that was asked for.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let place = Arc::new(Mutex::new(None));
    let noted = place.clone();
    std::panic::set_hook(Box::new(move |info| {
        // The place only: a message could hold anything.
        let at = info.location().map(ToString::to_string);
        noted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(at.unwrap_or_default());
    }));
    let done = catch_unwind(AssertUnwindSafe(work));
    drop(std::panic::take_hook());
    done.unwrap_or_else(|_| {
        let at = place.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        Err(Failure::internal(format!("a fault of this program, at {at}"))
            .help("please report it; nothing secret is in this message"))
    })
}

fn io_kind(error: &std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        std::io::ErrorKind::IsADirectory | std::io::ErrorKind::NotADirectory => ErrorKind::Usage,
        _ => ErrorKind::Unavailable,
    }
}

/// The system's words without the error's number, which helps nobody.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_in_plain_words_and_with_the_right_exit_code() {
        let missing = std::io::Error::from_raw_os_error(2);
        let failure = Failure::file("can't read", Path::new("/x"), &missing);
        assert_eq!(failure.message, "can't read /x: no such file or directory");
        assert_eq!(failure.exit_code, 3);
        let full = Failure::file("can't write", Path::new("/x"), &std::io::Error::from_raw_os_error(28));
        assert_eq!((full.exit_code, full.message.contains("os error")), (6, false));
    }

    #[test]
    fn a_panic_is_an_internal_error_that_tells_the_place_only() {
        let failure = guarded::<()>(|| panic!("with a secret")).unwrap_err();
        assert_eq!((failure.kind, failure.exit_code), (ErrorKind::Internal, 1));
        assert!(failure.message.contains("failure.rs:") && !failure.message.contains("secret"));
        assert_eq!(guarded(|| Ok(7)), Ok(7));
    }

    #[test]
    fn json_has_the_documented_fields() {
        let failure = Failure::usage("no").help("yes");
        assert_eq!(
            failure.json().to_string(),
            r#"{"error":{"advice":"yes","exit_code":2,"kind":"usage","message":"no"}}"#
        );
    }
}
