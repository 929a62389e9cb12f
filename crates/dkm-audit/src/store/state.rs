//! The log as its one writer holds it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::edge::Edge;
use super::files::{Files, sync_folder};
use super::load::{CHECKPOINT, Loaded, handover_path, load, tidy};
use super::publisher::Publisher;
use super::{Anchor, Error, Receipt};
use crate::checkpoint::Checkpoint;
use crate::entry::NUMBER_MAX;
use crate::merkle::{ProofError, leaf_hash, prove_inclusion};
use crate::note::{LogKey, NOTE_LEN_MAX, Note, NoteSignature};
use crate::source::{DirectorySource, Source};
use crate::tree::{Tree, TreeError};

const LOCK: &str = "lock";

pub(super) struct State {
    files: Files,
    source: DirectorySource,
    /// Held for as long as the log is open.
    lock: File,
    key: LogKey,
    /// The key that a change of key was about to bring, when it failed on its way.
    next: Option<LogKey>,
    anchor: Box<dyn Anchor>,
    checkpoint: Checkpoint,
    note: Arc<[u8]>,
    edge: Edge,
    /// Has each checkpoint cosigned before anything that it covers is acknowledged.
    publisher: Option<Publisher>,
    /// What it has published last.
    published: Option<Arc<[u8]>>,
    /// Whether what is on disk may not be what is in memory.
    doubtful: bool,
}

impl State {
    pub(super) fn create(root: &Path, key: LogKey, mut anchor: Box<dyn Anchor>) -> Result<Self, Error> {
        match DirBuilder::new().mode(0o750).create(root) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::io(root, error)),
            _ => {}
        }
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent).map_err(|error| Error::io(parent, error))?;
        }
        let lock = lock(root)?;
        let source = DirectorySource::new(root);
        let there = source.read(CHECKPOINT, NOTE_LEN_MAX).map_err(|error| Error::io(root, error))?;
        if there.is_some() {
            return Err(Error::Exists { path: root.to_path_buf() });
        }
        let edge = Edge::default();
        let checkpoint = checkpoint_of(&key, &edge);
        let note = sign(&checkpoint, &[&key])?;
        let kept = anchor.load().map_err(|error| Error::NoAnchor { reason: error.to_string() })?;
        if kept.is_some_and(|kept| *kept != *note) {
            return Err(Error::NoAnchor { reason: "it is the checkpoint of another log".to_owned() });
        }
        // In this order, so that a log without its last checkpoint outside never was.
        anchor.keep(&note).map_err(|source| Error::Anchor { source: Arc::new(source) })?;
        let mut files = Files::new(root);
        files.put(CHECKPOINT, &note)?;
        files.sync()?;
        Ok(Self::new((files, source, lock), key, anchor, (checkpoint, note, edge)))
    }

    fn new(
        (files, source, lock): (Files, DirectorySource, File),
        key: LogKey,
        anchor: Box<dyn Anchor>,
        (checkpoint, note, edge): (Checkpoint, Arc<[u8]>, Edge),
    ) -> Self {
        Self {
            files,
            source,
            lock,
            key,
            next: None,
            anchor,
            checkpoint,
            note,
            edge,
            publisher: None,
            published: None,
            doubtful: false,
        }
    }

    /// Opens the log, whatever its anchor says.
    pub(super) fn open(root: &Path, key: LogKey, anchor: Box<dyn Anchor>) -> Result<Self, Error> {
        let source = DirectorySource::new(root);
        if source.read(CHECKPOINT, NOTE_LEN_MAX).map_err(|error| Error::io(root, error))?.is_none() {
            return Err(Error::NotALog { path: root.to_path_buf() });
        }
        let lock = lock(root)?;
        let mut files = Files::new(root);
        let Loaded { checkpoint, note, edge } = load(&mut files, &source, &key)?;
        Ok(Self::new((files, source, lock), key, anchor, (checkpoint, note, edge)))
    }

    /// Compares the log with its last checkpoint outside, and brings that up to date.
    pub(super) fn anchored(&mut self) -> Result<(), Error> {
        let kept = self.anchor.load().map_err(|error| Error::NoAnchor { reason: error.to_string() })?;
        let kept = kept.ok_or_else(|| Error::NoAnchor { reason: "there is none".to_owned() })?;
        let last = Note::parse(&kept).ok().and_then(|note| note.text().parse::<Checkpoint>().ok());
        let ours = last.filter(|last| last.origin == self.checkpoint.origin);
        let last =
            ours.ok_or_else(|| Error::NoAnchor { reason: "it is no checkpoint of this log".to_owned() })?;
        if last.size > self.checkpoint.size {
            return Err(Error::Behind { size: self.checkpoint.size, last: Box::new(last) });
        }
        match Tree::new(&self.source, &self.checkpoint).prove_extends(&last) {
            Ok(_) => {}
            Err(TreeError::Proof(ProofError::WrongRoot)) => {
                return Err(Error::Forked { last: Box::new(last) });
            }
            Err(error) => return Err(error.into()),
        }
        if *kept == *self.note { Ok(()) } else { self.keep(&Arc::clone(&self.note)) }
    }

    fn keep(&mut self, note: &[u8]) -> Result<(), Error> {
        self.anchor.keep(note).map_err(|source| Error::Anchor { source: Arc::new(source) })
    }

    /// The checkpoint that callers are told: the one that witnesses have cosigned, if they come before that.
    pub(super) fn told(&self) -> Arc<[u8]> {
        self.published.as_ref().map_or_else(|| Arc::clone(&self.note), Arc::clone)
    }

    pub(super) fn published(&self) -> Option<Arc<[u8]>> {
        self.published.clone()
    }

    pub(super) fn root(&self) -> &Path {
        self.files.root()
    }

    /// How often a file or folder was made durable.
    pub(super) const fn syncs(&self) -> u64 {
        self.files.syncs()
    }

    pub(super) const fn is_witnessed(&self) -> bool {
        self.publisher.is_some()
    }

    /// From now on every checkpoint is cosigned before it is told.
    pub(super) fn witness(&mut self, publisher: Publisher) {
        self.publisher = Some(publisher);
    }

    pub(super) fn key(&self) -> &LogKey {
        &self.key
    }

    /// Writes entries, signs a checkpoint that covers them, makes all of it durable. On an error nothing may be
    /// acknowledged; entries may be in the log all the same, whole.
    pub(super) fn commit(&mut self, entries: &[Vec<u8>]) -> Result<Vec<Receipt>, Error> {
        self.with_doubt(|state| state.write(entries, None))
    }

    /// Writes the entry that announces `next`, under a checkpoint that both keys sign; then `next` is the key.
    pub(super) fn rotate(&mut self, entry: Vec<u8>, next: LogKey) -> Result<Receipt, Error> {
        self.with_doubt(|state| {
            let now = state.key.public();
            if next.public().name() != now.name() || next.public() == now {
                return Err(Error::BadNextKey { origin: now.name().as_str().to_owned() });
            }
            let mut receipts = state.write(&[entry], Some(next))?;
            receipts.pop().ok_or(Error::Closed)
        })
    }

    fn with_doubt<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let checked = if self.doubtful { self.reload() } else { self.unchanged() };
        let done = checked.and_then(|()| write(self));
        self.doubtful = done.is_err();
        done
    }

    /// Finds out what is on disk after something went wrong, and makes that durable.
    fn reload(&mut self) -> Result<(), Error> {
        self.locked()?;
        let loaded = match load(&mut self.files, &self.source, &self.key) {
            Err(Error::Retired { next }) if self.next.as_ref().is_some_and(|key| *key.public() == next) => {
                if let Some(next) = self.next.take() {
                    self.key = next;
                }
                load(&mut self.files, &self.source, &self.key)?
            }
            loaded => loaded?,
        };
        self.next = None;
        (self.checkpoint, self.note, self.edge) = (loaded.checkpoint, loaded.note, loaded.edge);
        self.anchored()?;
        self.tidy()?;
        // Its name may not be durable, if that was what went wrong.
        self.files.put(CHECKPOINT, &self.note)?;
        self.files.sync()
    }

    /// Removes what a writer that died has left beyond the checkpoint, and makes the rest durable. Not before the log
    /// was compared with its anchor: beyond a checkpoint that was rolled back lie entries that were acknowledged.
    pub(super) fn tidy(&mut self) -> Result<(), Error> {
        tidy(&mut self.files, &self.source, self.checkpoint.size)?;
        self.files.sync()
    }

    /// Whether the log's edge on disk is what this process has written last.
    fn unchanged(&self) -> Result<(), Error> {
        self.locked()?;
        let same = |path: String, bytes: &[u8]| match self.source.read(&path, bytes.len()) {
            Ok(Some(there)) if there == bytes => Ok(()),
            Err(error) if error.kind() != ErrorKind::FileTooLarge => {
                Err(Error::io(&self.files.root().join(path), error))
            }
            _ => Err(Error::Changed { path }),
        };
        same(CHECKPOINT.to_owned(), &self.note)?;
        self.edge.files().iter().try_for_each(|(tile, bytes)| same(tile.path(), bytes))
    }

    fn locked(&self) -> Result<(), Error> {
        let identity = |of: io::Result<fs::Metadata>| of.map(|there| (there.dev(), there.ino())).ok();
        let ours = identity(self.lock.metadata());
        let there = identity(fs::symlink_metadata(self.files.root().join(LOCK)));
        if ours.is_some() && ours == there { Ok(()) } else { Err(Error::Changed { path: LOCK.to_owned() }) }
    }

    fn write(&mut self, entries: &[Vec<u8>], next: Option<LogKey>) -> Result<Vec<Receipt>, Error> {
        let first = self.edge.frontier.size();
        let mut edge = self.edge.clone();
        let added = edge.append(entries.iter().map(Vec::as_slice)).ok_or(Error::Full)?;
        if edge.frontier.size() > NUMBER_MAX {
            return Err(Error::Full);
        }
        let checkpoint = checkpoint_of(&self.key, &edge);
        let keys: Vec<&LogKey> = [&self.key].into_iter().chain(&next).collect();
        let note = sign(&checkpoint, &keys)?;
        self.next = next;
        let tiles = added.files.iter().map(|(tile, bytes)| (tile.path(), bytes.as_slice()));
        let handover = self.next.iter().map(|_| (handover_path(checkpoint.size), &*note));
        let all: Vec<(String, &[u8])> =
            tiles.chain([(CHECKPOINT.to_owned(), &*note)]).chain(handover).collect();
        // All bytes are made durable at once, those of the checkpoint too. Then names change, each after what it stands for:
        // what the checkpoint covers, the checkpoint, the copy outside.
        let (files, anchor) = (&mut self.files, &mut self.anchor);
        let (ready, expected) = std::thread::scope(|scope| {
            let outside = scope.spawn(|| anchor.expect(&note));
            (files.ready(&all), outside.join())
        });
        match expected {
            Ok(expected) => expected.map_err(|source| Error::Anchor { source: Arc::new(source) })?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        let mut ready = ready?.into_iter();
        for ready in ready.by_ref().take(added.files.len()) {
            self.files.place(ready)?;
        }
        self.files.sync()?;
        for ready in ready {
            self.files.place(ready)?;
            self.files.sync()?;
        }
        self.keep(&note)?;
        if let Some(publisher) = &mut self.publisher {
            self.published = Some(publisher.publish(&note)?);
        }
        let told = self.published.as_ref().map_or_else(|| Arc::clone(&note), Arc::clone);
        for (tile, _) in added.files.iter().filter(|(tile, _)| tile.is_full()) {
            // What stays is removed when the log is opened next.
            let _ = self.files.remove(&tile.partial_folder());
        }
        if let Some(next) = self.next.take() {
            self.key = next;
        }
        let size = checkpoint.size;
        let receipts = entries.iter().zip(first..).map(|(entry, index)| {
            let proof = prove_inclusion(&added.nodes, index, size).map_err(TreeError::from)?;
            let (leaf, checkpoint) = (leaf_hash(entry), Arc::clone(&told));
            Ok(Receipt { index, entry: entry.clone(), leaf, proof, checkpoint })
        });
        let receipts: Result<Vec<_>, Error> = receipts.collect();
        (self.checkpoint, self.note, self.edge) = (checkpoint, note, edge);
        receipts
    }
}

fn checkpoint_of(key: &LogKey, edge: &Edge) -> Checkpoint {
    Checkpoint {
        origin: key.public().name().as_str().to_owned(),
        size: edge.frontier.size(),
        root: edge.frontier.root(),
        extensions: Vec::new(),
    }
}

fn sign(checkpoint: &Checkpoint, keys: &[&LogKey]) -> Result<Arc<[u8]>, Error> {
    let text = checkpoint.text();
    let signatures: Vec<NoteSignature> = keys.iter().map(|key| key.sign(&text)).collect();
    let note = Note::new(text, signatures).map_err(crate::trust::TrustError::from)?;
    Ok(note.encode().into())
}

fn lock(root: &Path) -> Result<File, Error> {
    let path = root.join(LOCK);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .custom_flags(flags)
        .open(&path);
    let file = opened.map_err(|error| Error::io(&path, error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
            Err(Error::InUse { path: root.to_path_buf() })
        }
        Err(error) => Err(Error::io(&path, error.into())),
    }
}
