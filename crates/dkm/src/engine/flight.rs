//! Single flight: however many threads want the repository read, it is read once for all of them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::repository::RepositoryError;

/// Reading flights, numbered from 1.
#[derive(Debug, Default)]
pub(super) struct Flight {
    state: Mutex<State>,
    landed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    started: u64,
    finished: u64,
    /// Threads that wait for a flight to land.
    waiting: usize,
    /// What went wrong on the flight that finished last.
    fault: Option<RepositoryError>,
}

/// Which flight's result is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// One that has started already will do.
    Any,
    /// One that starts after the call: what was written before the call is then seen.
    Fresh,
}

impl Flight {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every point where a thread could have panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the flight that is in the air, if there is one; whether there was.
    pub(super) fn join(&self) -> bool {
        let mut state = self.lock();
        let wanted = state.started;
        let was_in_the_air = state.finished < wanted;
        while state.finished < wanted {
            state.waiting += 1;
            state = self.landed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        was_in_the_air
    }

    /// Runs `read`, or waits for another thread's run that satisfies `need`, and returns its outcome.
    ///
    /// # Errors
    /// As `read` says.
    pub(super) fn fly(
        &self,
        need: Need,
        read: impl FnOnce() -> Result<(), RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let mut state = self.lock();
        let running = state.started > state.finished;
        let wanted = match need {
            Need::Any if running => state.started,
            Need::Any | Need::Fresh => state.started + 1,
        };
        loop {
            if state.finished >= wanted {
                return state.fault.clone().map_or(Ok(()), Err);
            }
            if state.started == state.finished {
                break;
            }
            state.waiting += 1;
            state = self.landed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        state.started += 1;
        let number = state.started;
        drop(state);
        // Landed even if `read` panics: nobody waits for a dead thread.
        let ended_early = RepositoryError::Unavailable {
            location: "the repository".to_owned(),
            why: "reading it ended early by a fault of this program".to_owned(),
        };
        let mut landing = Landing { flight: self, number, fault: Some(ended_early) };
        let result = read();
        landing.fault = result.as_ref().err().cloned();
        result
    }
}

struct Landing<'a> {
    flight: &'a Flight,
    number: u64,
    fault: Option<RepositoryError>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut state = self.flight.lock();
        state.finished = self.number;
        state.fault = self.fault.take();
        drop(state);
        self.flight.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn callers_that_come_while_a_flight_is_in_the_air_share_one() {
        let flight = Flight::default();
        let (runs, inside, go) = (AtomicU32::new(0), Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                flight.fly(Need::Any, || {
                    runs.fetch_add(1, Ordering::SeqCst);
                    inside.wait();
                    go.wait();
                    Ok(())
                })
            });
            inside.wait();
            let waiting: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        flight.fly(Need::Any, || {
                            runs.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        })
                    })
                })
                .collect();
            while flight.lock().waiting < 8 {
                std::thread::yield_now();
            }
            go.wait();
            for thread in waiting {
                assert!(thread.join().unwrap().is_ok());
            }
        });
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_fresh_flight_starts_after_the_call() {
        let flight = Flight::default();
        let (inside, go) = (Barrier::new(2), Barrier::new(2));
        let fresh = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                flight.fly(Need::Any, || {
                    inside.wait();
                    go.wait();
                    Ok(())
                })
            });
            inside.wait();
            let late = scope.spawn(|| {
                flight.fly(Need::Fresh, || {
                    fresh.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
            });
            go.wait();
            assert!(late.join().unwrap().is_ok());
        });
        assert_eq!(fresh.load(Ordering::SeqCst), 1, "the flight in the air was not fresh");
    }

    #[test]
    fn a_fault_is_told_to_all_and_a_panic_strands_nobody() {
        let flight = Flight::default();
        let fault = flight.fly(Need::Any, || Err(RepositoryError::Invalid("x".into()))).unwrap_err();
        assert_eq!(fault.to_string(), "x");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| flight.fly(Need::Any, || panic!("as a broken repository would")));
            assert!(thread.join().is_err());
        });
        let told = flight.lock().fault.clone().unwrap();
        assert!(told.to_string().contains("ended early"), "whoever waited does not take it for a reading");
        assert!(flight.fly(Need::Fresh, || Ok(())).is_ok());
    }
}
