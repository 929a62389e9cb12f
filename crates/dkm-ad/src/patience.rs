//! A time limit for what has none of its own: the system's resolver of names, and the Kerberos library, which waits ten
//! seconds and more for a domain controller that takes connections and doesn't answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What the work's own limits get to come first with, because they know better what was waited for.
const MARGIN: Duration = Duration::from_millis(250);
/// Most pieces of work that are waited for, or were given up and have not ended yet.
const WAITING_MAX: usize = 256;

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// One piece of work that goes on.
struct Waiting;

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What came of the work, unless it takes longer than this; then it is left to itself, and what comes of it is dropped.
///
/// # Errors
/// It takes too long, or too much work that was given up has not ended yet.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let before = WAITING.fetch_add(1, Ordering::Relaxed);
    let waiting = Waiting;
    if before >= WAITING_MAX {
        return Err(format!("{before} earlier attempts to connect have not come to an end"));
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("dkm-ad sign-in".to_owned())
        .spawn(move || {
            let _waiting = waiting;
            let _ = sender.send(work());
        })
        .map_err(|error| format!("no thread can be started: {error}"))?;
    receiver.recv_timeout(limit + MARGIN).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => {
            "its name could not be looked up, or Kerberos gave no ticket, in time: a domain controller may hang".to_owned()
        }
        mpsc::RecvTimeoutError::Disconnected => "signing in ended without a word".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_ends_is_returned_and_work_that_does_not_is_left() {
        assert_eq!(within(Duration::from_secs(60), || 7), Ok(7));
        let (ends, until) = mpsc::channel::<()>();
        let (says, said) = mpsc::channel();
        let late = within(Duration::ZERO, move || {
            let _ = until.recv();
            let _ = says.send("ended");
        });
        assert!(late.unwrap_err().contains("in time"));
        drop(ends);
        assert_eq!(said.recv(), Ok("ended"));
    }
}
