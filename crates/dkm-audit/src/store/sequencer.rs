//! The thread that writes: whatever waits goes into one batch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::figures::Counters;
use super::publisher::Publisher;
use super::state::State;
use super::{BATCH_MAX, Error, Receipt};
use crate::note::{LogKey, VerifierKey};
use crate::witness::{When, Witnesses};

type Done = Box<dyn FnOnce(Result<Receipt, Error>) + Send>;

/// What waits for the sequencer.
pub(super) enum Work {
    Append { entry: Vec<u8>, done: Done },
    Rotate { next: Box<LogKey>, entry: Vec<u8>, done: Done },
    Witness { witnesses: Witnesses, done: Box<dyn FnOnce(Result<(), Error>) + Send> },
}

/// What was acknowledged last.
pub(super) struct Published {
    pub(super) note: Arc<[u8]>,
    pub(super) key: VerifierKey,
    /// What enough witnesses have cosigned last, since the log was opened.
    pub(super) published: Option<Arc<[u8]>>,
}

impl Published {
    pub(super) fn of(state: &State) -> Self {
        Self { note: state.told(), key: state.key().public().clone(), published: None }
    }
}

/// The thread that has checkpoints cosigned which were acknowledged before.
struct Witnessing {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
}

pub(super) fn run(
    mut state: State,
    work: &Receiver<Work>,
    published: &Arc<Mutex<Published>>,
    counters: &Counters,
) {
    let mut witnessing: Option<Witnessing> = None;
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
                alone => next = Some(alone),
            }
        }
        if !entries.is_empty() {
            append(&mut state, published, counters, (&entries, waiting));
        }
        match next.take() {
            Some(Work::Rotate { next, entry, done }) => {
                rotate(&mut state, published, *next, entry, done);
            }
            Some(Work::Witness { witnesses, done }) => {
                done(witness(&mut state, &mut witnessing, published, witnesses));
            }
            _ => {}
        }
        if let Some(witnessing) = &witnessing {
            // A wake-up that waits already is as good as another.
            let _ = witnessing.wake.try_send(());
        }
        next = work.recv().ok();
    }
    if let Some(Witnessing { wake, thread }) = witnessing {
        drop(wake);
        let _ = thread.join();
    }
}

fn witness(
    state: &mut State,
    witnessing: &mut Option<Witnessing>,
    published: &Arc<Mutex<Published>>,
    witnesses: Witnesses,
) -> Result<(), Error> {
    if state.is_witnessed() || witnessing.is_some() {
        return Err(Error::Witnessed);
    }
    let when = witnesses.when();
    let publisher = Publisher::new(state.root(), witnesses);
    match when {
        When::BeforeRelease => state.witness(publisher),
        When::BeforePublication => {
            let (wake, woken) = sync_channel(1);
            let shared = Arc::clone(published);
            let named = std::thread::Builder::new().name("dkm-witness".to_owned());
            let thread = named.spawn(move || publisher.run(&woken, &shared));
            let thread = thread.map_err(|error| Error::io(state.root(), error))?;
            *witnessing = Some(Witnessing { wake, thread });
        }
    }
    Ok(())
}

fn append(
    state: &mut State,
    published: &Mutex<Published>,
    counters: &Counters,
    (entries, waiting): (&[Vec<u8>], Vec<Done>),
) {
    let committed = state.commit(entries);
    counters.synced(state.syncs());
    match committed {
        Ok(receipts) => {
            counters.committed(entries.len());
            publish(state, published);
            waiting.into_iter().zip(receipts).for_each(|(done, receipt)| tell(done, Ok(receipt)));
        }
        Err(error) => {
            counters.refused();
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
    let mut published = published.lock().unwrap_or_else(PoisonError::into_inner);
    let last = published.published.take();
    *published = Published::of(state);
    published.published = state.published().or(last);
}

fn tell(done: Done, receipt: Result<Receipt, Error>) {
    // A caller that panics must not take the log down for all others.
    if catch_unwind(AssertUnwindSafe(|| done(receipt))).is_err() {
        tracing::error!("a writer to the audit log has panicked");
    }
}
