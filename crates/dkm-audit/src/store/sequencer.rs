//! The thread that writes: whatever waits goes into one batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use super::state::State;
use super::{BATCH_MAX, Error, Receipt};
use crate::note::{LogKey, VerifierKey};

type Done = Box<dyn FnOnce(Result<Receipt, Error>) + Send>;

/// What waits for the sequencer.
pub(super) enum Work {
    Append { entry: Vec<u8>, done: Done },
    Rotate { next: Box<LogKey>, entry: Vec<u8>, done: Done },
}

/// What was acknowledged last.
pub(super) struct Published {
    pub(super) note: Arc<[u8]>,
    pub(super) key: VerifierKey,
}

impl Published {
    pub(super) fn of(state: &State) -> Self {
        Self { note: state.note(), key: state.key().public().clone() }
    }
}

pub(super) fn run(mut state: State, work: &Receiver<Work>, published: &Mutex<Published>) {
    let mut next = work.recv().ok();
    while let Some(first) = next.take() {
        let (mut entries, mut waiting) = (Vec::new(), Vec::new());
        let mut taken = Some(first);
        while let Some(item) = taken.take() {
            match item {
                Work::Append { entry, done } => {
                    entries.push(entry);
                    waiting.push(done);
                    if entries.len() < BATCH_MAX {
                        taken = work.try_recv().ok();
                    }
                }
                rotate @ Work::Rotate { .. } => next = Some(rotate),
            }
        }
        if !entries.is_empty() {
            append(&mut state, published, &entries, waiting);
        }
        if let Some(Work::Rotate { next, entry, done }) = next.take() {
            rotate(&mut state, published, *next, entry, done);
        }
        next = work.recv().ok();
    }
}

fn append(state: &mut State, published: &Mutex<Published>, entries: &[Vec<u8>], waiting: Vec<Done>) {
    match state.commit(entries) {
        Ok(receipts) => {
            publish(state, published);
            waiting.into_iter().zip(receipts).for_each(|(done, receipt)| tell(done, Ok(receipt)));
        }
        Err(error) => {
            tracing::error!(%error, entries = entries.len(), "the audit log has refused a batch");
            waiting.into_iter().for_each(|done| tell(done, Err(error.clone())));
        }
    }
}

fn rotate(state: &mut State, published: &Mutex<Published>, next: LogKey, entry: Vec<u8>, done: Done) {
    let rotated = state.rotate(entry, next);
    if rotated.is_ok() {
        publish(state, published);
    }
    tell(done, rotated);
}

fn publish(state: &State, published: &Mutex<Published>) {
    *published.lock().unwrap_or_else(PoisonError::into_inner) = Published::of(state);
}

fn tell(done: Done, receipt: Result<Receipt, Error>) {
    // A caller that panics must not take the log down for all others.
    if catch_unwind(AssertUnwindSafe(|| done(receipt))).is_err() {
        tracing::error!("a writer to the audit log has panicked");
    }
}
