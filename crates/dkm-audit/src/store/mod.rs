//! The log in a folder: many writers, one sequencer, group commit.
//!
//! # Life of an entry
//!
//! 1. A caller submits it. It waits in a bounded queue; a full queue refuses at once.
//! 2. The sequencer takes all that wait, up to [`BATCH_MAX`], appends them to the tree, and writes the new tiles and
//!    bundles: each to a temporary file, made durable, renamed into place, the folders made durable.
//! 3. It signs a checkpoint that covers the batch, and makes that durable in the same way. From here on the entries are in the log.
//! 4. It gives the checkpoint to the [`Anchor`], outside the log.
//! 5. Only then is each caller told: index, inclusion proof, checkpoint.
//!
//! A log with witnesses ([`Log::witness`]) also has the checkpoint cosigned, and keeps what enough of them have cosigned as
//! `published`: between 4 and 5, or after 5, as [`When`](crate::witness::When) says. They are asked after the checkpoint is
//! durable, since they never cosign a tree that does not extend it.
//!
//! An error anywhere on the way is every caller's of that batch: nothing was acknowledged. Before the next batch the
//! sequencer reads what is on disk, as if the log were opened anew.
//!
//! # A change of the log's key
//!
//! The last entry under the old key has the action `log-key-rotated` and names the next key. The checkpoint right after
//! it is signed by both keys, and is kept as `handover/SIZE` for ever. Later checkpoints are signed by the new key
//! alone. Who trusts an old key follows the handovers; the old key signs nothing beyond its handover.

mod anchor;
mod edge;
mod error;
mod figures;
mod files;
mod load;
mod publisher;
mod sequencer;
mod state;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use dkm_core::{Digest, Timestamp};

use crate::checkpoint::Checkpoint;
use crate::entry::{Action, Actor, Detail, Entry, Phase, Reason};
use crate::merkle::{leaf_hash, verify_inclusion};
use crate::note::{LogKey, VerifierKey};
use crate::source::DirectorySource;
use crate::tree::TreeError;
use crate::trust::{Trust, Verified};
use crate::witness::Witnesses;

pub use anchor::{Anchor, FileAnchor};
pub use error::Error;
use figures::Counters;
pub use figures::Figures;
pub(crate) use load::{CHECKPOINT, HANDOVER, handover_path};
pub use publisher::PUBLISHED;
use sequencer::{Published, Work};
use state::State;

/// Most entries that wait for the sequencer.
pub const QUEUE_MAX: usize = 4096;
/// Most entries that one checkpoint adds.
pub const BATCH_MAX: usize = 1024;

/// What an entry's writer gets once the entry is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The entry's place in the log, from 0.
    pub index: u64,
    /// The entry's bytes: the leaf.
    pub entry: Vec<u8>,
    /// Hash of the entry's leaf.
    pub leaf: Digest,
    /// Proof that the leaf is in the checkpoint's tree.
    pub proof: Vec<Digest>,
    /// A signed checkpoint that covers the entry.
    pub checkpoint: Arc<[u8]>,
}

impl Receipt {
    /// Verifies that the log has taken this entry.
    ///
    /// # Errors
    /// What is wrong with the checkpoint or the proof.
    pub fn verify(&self, trust: &Trust, entry: &Entry) -> Result<Verified, Error> {
        let verified = trust.verify(&self.checkpoint)?;
        let Checkpoint { size, root, .. } = &verified.checkpoint;
        let leaf = leaf_hash(&entry.encode()?);
        verify_inclusion(&leaf, self.index, *size, root, &self.proof).map_err(TreeError::from)?;
        Ok(verified)
    }
}

/// An open log. Clones are the same log, which is closed when the last one is dropped.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    root: PathBuf,
    queue: Option<SyncSender<Work>>,
    sequencer: Option<JoinHandle<()>>,
    published: Arc<Mutex<Published>>,
    counters: Arc<Counters>,
}

impl Log {
    /// Makes a log in a folder, which may be there but holds no log. The key's name becomes the log's origin.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::NoAnchor`] if the anchor holds another log's checkpoint; a file system that fails.
    pub fn create(root: &Path, key: LogKey, anchor: Box<dyn Anchor>) -> Result<Self, Error> {
        State::create(root, key, anchor).and_then(|state| Self::start(root, state))
    }

    /// Opens a log for writing. What a writer that died has left half-written is removed.
    ///
    /// # Errors
    /// [`Error::Behind`], [`Error::Forked`] or [`Error::NoAnchor`] if the log is not what its last checkpoint outside
    /// says: only [`Log::recover`] opens it then. [`Error::Retired`] for a key that was replaced, and others.
    pub fn open(root: &Path, key: LogKey, anchor: Box<dyn Anchor>) -> Result<Self, Error> {
        let mut state = State::open(root, key, anchor)?;
        state.anchored()?;
        state.tidy()?;
        Self::start(root, state)
    }

    /// Opens a log that is not what its last checkpoint outside says, and records that it was opened so, by whom and
    /// why, before anything else. A log that is in order is opened as [`Log::open`] does, and nothing is recorded.
    ///
    /// What was lost stays provable: whoever holds a later checkpoint finds that the log does not extend it. Copy the
    /// folder first: files beyond its checkpoint are removed.
    ///
    /// # Errors
    /// As [`Log::open`], but for the three.
    pub fn recover(
        root: &Path,
        key: LogKey,
        anchor: Box<dyn Anchor>,
        by: (Timestamp, Actor, Reason),
    ) -> Result<Self, Error> {
        let mut state = State::open(root, key, anchor)?;
        let fault = match state.anchored() {
            Ok(()) => {
                state.tidy()?;
                return Self::start(root, state);
            }
            Err(fault @ (Error::Behind { .. } | Error::Forked { .. } | Error::NoAnchor { .. })) => fault,
            Err(error) => return Err(error),
        };
        let lost = match &fault {
            Error::Behind { last, .. } | Error::Forked { last } => format!("{fault}: {last}"),
            _ => fault.to_string(),
        };
        state.tidy()?;
        let (time, actor, reason) = by;
        let mut entry = Entry::new(time, actor, Action::log_recovered(), Phase::Recorded);
        entry.reason = Some(reason);
        entry.detail = Some(Detail::lossy(&lost));
        state.commit(&[entry.encode()?])?;
        Self::start(root, state)
    }

    fn start(root: &Path, state: State) -> Result<Self, Error> {
        let published = Arc::new(Mutex::new(Published::of(&state)));
        let (queue, work) = sync_channel(QUEUE_MAX);
        let name = "dkm-audit".to_owned();
        let counters = Arc::new(Counters::default());
        let (shared, counted) = (Arc::clone(&published), Arc::clone(&counters));
        let sequencer = std::thread::Builder::new()
            .name(name)
            .spawn(move || sequencer::run(state, &work, &shared, &counted));
        let sequencer = sequencer.map_err(|error| Error::io(root, error))?;
        let root = root.to_path_buf();
        let inner = Inner { root, queue: Some(queue), sequencer: Some(sequencer), published, counters };
        Ok(Self(Arc::new(inner)))
    }

    /// Records an entry, and waits until it is durable under a signed checkpoint.
    ///
    /// # Errors
    /// [`Error::Busy`] at once if the queue is full; otherwise what kept the entry's batch from being written. An entry
    /// that was refused may be in the log all the same, for example if the anchor failed after it.
    pub fn append(&self, entry: &Entry) -> Result<Receipt, Error> {
        let (sender, receiver) = channel();
        self.submit(entry, move |receipt| {
            let _ = sender.send(receipt);
        })?;
        receiver.recv().map_err(|_| Error::Closed)?
    }

    /// Hands over an entry, and returns at once; `done` is called by the sequencer once the entry is durable, or was
    /// refused. It MUST be quick, for everybody waits for it.
    ///
    /// # Errors
    /// [`Error::Busy`] if the queue is full, [`Error::Entry`] and [`Error::Reserved`]: `done` is not called then.
    pub fn submit(
        &self,
        entry: &Entry,
        done: impl FnOnce(Result<Receipt, Error>) + Send + 'static,
    ) -> Result<(), Error> {
        if entry.action == Action::log_key_rotated() {
            return Err(Error::Reserved { action: entry.action.to_string() });
        }
        self.enqueue(Work::Append { entry: entry.encode()?, done: Box::new(done) })
    }

    /// Changes the log's key, and waits until that is durable. Keep both keys until this returns: after an error
    /// [`Log::key`] tells which one is in use once the next entry was taken, and [`Log::open`] takes no other.
    ///
    /// # Errors
    /// [`Error::BadNextKey`] if `next` has another name than the log, or is the key in use; otherwise as
    /// [`Log::append`].
    pub fn rotate(&self, next: LogKey, by: (Timestamp, Actor, Reason)) -> Result<Receipt, Error> {
        let (time, actor, reason) = by;
        let mut entry = Entry::new(time, actor, Action::log_key_rotated(), Phase::Recorded);
        entry.reason = Some(reason);
        entry.next_key = Some(next.public().clone());
        let (sender, receiver) = channel();
        let done = Box::new(move |receipt| {
            let _ = sender.send(receipt);
        });
        self.enqueue(Work::Rotate { next: Box::new(next), entry: entry.encode()?, done })?;
        receiver.recv().map_err(|_| Error::Closed)?
    }

    /// Has witnesses cosign the log's checkpoints from now on. Call it before anything is appended: what was acknowledged
    /// before has not waited for them. The log's own trust in its witnesses is what [`Witnesses::trust`] says.
    ///
    /// # Errors
    /// [`Error::Witnessed`] if it was called before; [`Error::Trust`] if the log's own key is a witness's.
    pub fn witness(&self, witnesses: Witnesses) -> Result<(), Error> {
        witnesses.trust(Trust::log(self.key())?)?;
        let (sender, receiver) = channel();
        let done = Box::new(move |set| {
            let _ = sender.send(set);
        });
        self.enqueue(Work::Witness { witnesses, done })?;
        receiver.recv().map_err(|_| Error::Closed)?
    }

    fn enqueue(&self, work: Work) -> Result<(), Error> {
        match self.0.queue.as_ref().map(|queue| queue.try_send(work)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(Error::Busy { waiting: QUEUE_MAX }),
            Some(Err(TrySendError::Disconnected(_))) | None => Err(Error::Closed),
        }
    }

    /// The signed checkpoint that was acknowledged last.
    #[must_use]
    pub fn checkpoint(&self) -> Arc<[u8]> {
        Arc::clone(&self.published().note)
    }

    /// The last checkpoint that enough witnesses have cosigned since the log was opened. The file [`PUBLISHED`] in the log's
    /// folder has what was published before.
    #[must_use]
    pub fn published_checkpoint(&self) -> Option<Arc<[u8]>> {
        self.published().published.clone()
    }

    /// The public key that signs the log now.
    #[must_use]
    pub fn key(&self) -> VerifierKey {
        self.published().key.clone()
    }

    fn published(&self) -> std::sync::MutexGuard<'_, Published> {
        self.0.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done since the log was opened.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.counters.figures()
    }

    /// The log's files, for proofs and for serving.
    #[must_use]
    pub fn source(&self) -> DirectorySource {
        DirectorySource::new(&self.0.root)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({})", self.0.root.display())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The sequencer ends when nobody can send any more, after it has written what waits.
        self.queue = None;
        if let Some(sequencer) = self.sequencer.take()
            && sequencer.thread().id() != std::thread::current().id()
        {
            let _ = sequencer.join();
        }
    }
}
