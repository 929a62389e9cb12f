//! The thread that refreshes a group and makes keys that are due.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::engine::{Engine, Need};

/// Wakes at least so often to see whether it is time, in milliseconds: a clock that was set forward is noticed.
const WAKE_MAX_MS: u64 = 60_000;

#[derive(Debug, Default)]
struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
}

/// A running thread; it ends when this is dropped.
pub(crate) struct Background {
    stop: Arc<Stop>,
}

impl Background {
    /// Starts the thread; none if the system gives none, which is told: calls then find their keys as old as they are.
    pub(crate) fn start(engine: &Arc<Engine>) -> Option<Self> {
        let stop = Arc::new(Stop::default());
        let (weak, own) = (Arc::downgrade(engine), stop.clone());
        let thread =
            std::thread::Builder::new().name("dkm-refresh".to_owned()).spawn(move || run(&weak, &own));
        match thread {
            Ok(_) => Some(Self { stop }),
            Err(error) => {
                tracing::error!(%error, "no thread for refreshing a group: it works until its offline grace ends");
                None
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        *self.stop.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.changed.notify_all();
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}

fn run(engine: &Weak<Engine>, stop: &Stop) {
    loop {
        let Some(alive) = engine.upgrade() else { return };
        let wait_ms = alive.wait_for_refresh_ms();
        drop(alive);
        let asked = stop.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = Duration::from_millis(wait_ms.clamp(1, WAKE_MAX_MS));
        let (asked, _) = stop
            .changed
            .wait_timeout_while(asked, wait, |asked| !*asked)
            .unwrap_or_else(PoisonError::into_inner);
        if *asked {
            return;
        }
        drop(asked);
        let Some(alive) = engine.upgrade() else { return };
        // Whatever holds keys and root keys is others' code. If it panics, the next reading may go better; without this
        // thread the group would end with its offline grace.
        let work = || {
            if alive.is_refresh_due() && alive.refresh(Need::Any).is_ok() {
                alive.drive();
            }
        };
        // All that panics may leave half-done is replaced by the next reading.
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("refreshing a group panicked; it is tried again");
            alive.put_off_refresh();
        }
    }
}
