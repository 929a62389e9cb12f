//! The proof that comes with every opened blob: what was released stands in the audit log.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use dkm::ErrorKind;
use dkm_audit::entry::Phase;
use dkm_audit::merkle::{leaf_hash, verify_inclusion};
use dkm_audit::note::Note;
use dkm_audit::{Checkpoint, Entry, Trust, VerifierKey};
use dkm_core::{Digest, InstanceId};
use dkm_lockbox::{Request, shown};
use dkm_remote::wire::elevation::OpenedBlob;

use crate::failure::{Failure, Result};
use crate::pin::Pin;
use crate::shell::Shell;

/// What the audit log calls the opening of a blob.
const ACTION: &str = "unprotect";

/// What is known of a server's audit log.
pub(crate) struct KnownLog {
    key: Option<VerifierKey>,
    key_pin: Pin,
    checkpoint_pin: Pin,
    /// The checkpoint that was kept last.
    earlier: Option<Checkpoint>,
}

/// What a receipt has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proved {
    /// Index of the entry.
    pub(crate) leaf: u64,
    /// Entries under the checkpoint.
    pub(crate) size: u64,
    /// The log's origin.
    pub(crate) log: String,
}

fn bad(why: impl std::fmt::Display) -> Failure {
    Failure::new(ErrorKind::Corrupt, format!("the server's proof that this was recorded is not good: {why}")).help(
        "the plaintext was withheld here; keep what this account remembers (in the folder pins of its state folder) as \
         evidence, and have who keeps the audit log look at it: dkm audit verify",
    )
}

impl KnownLog {
    /// What this account remembers of the log of a server; `given` takes the place of a remembered key.
    pub(crate) fn of(instance: InstanceId, given: Option<&VerifierKey>) -> Result<Self> {
        let key_pin = Pin::of("log-key", &instance.to_string())?;
        let checkpoint_pin = Pin::of("checkpoint", &instance.to_string())?;
        let damaged = |pin: &Pin, why: String| {
            Failure::new(ErrorKind::Corrupt, format!("{}: {why}", pin.path().display()))
                .help("bring the file back; without it, a log that was rolled back or forked is not noticed")
        };
        let key = match (given, key_pin.read()?) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(text)) => {
                let key = text.trim().parse::<VerifierKey>();
                Some(key.map_err(|error| damaged(&key_pin, error.to_string()))?)
            }
            (None, None) => None,
        };
        let earlier = checkpoint_pin.read()?;
        let earlier =
            earlier.map(|note| claim(&note).map_err(|why| damaged(&checkpoint_pin, why))).transpose()?;
        Ok(Self { key, key_pin, checkpoint_pin, earlier })
    }

    /// Entries under the checkpoint that is kept.
    pub(crate) fn size(&self) -> Option<u64> {
        self.earlier.as_ref().map(|checkpoint| checkpoint.size).filter(|size| *size > 0)
    }

    /// Verifies that this very opening of a blob stands in the log, and that the log extends what was kept; keeps the
    /// checkpoint.
    pub(crate) fn verify(
        &self,
        opened: &OpenedBlob,
        request: &Request,
        blob: Digest,
        size: usize,
        shell: &Shell,
    ) -> Result<Proved> {
        let (key, is_new) = match &self.key {
            Some(key) => (key.clone(), false),
            None => (opened.log_key.parse::<VerifierKey>().map_err(bad)?, true),
        };
        let trust = Trust::log(key.clone()).map_err(bad)?;
        let checkpoint = trust.verify(opened.checkpoint.as_bytes()).map_err(|error| {
            bad(shown(&error.to_string())).help(
                "the plaintext was withheld here. If the log has changed its key, dkm audit verify follows that from the \
                 key that is remembered to the present one: give that with --log-key",
            )
        })?;
        let checkpoint = checkpoint.checkpoint;
        let bytes = BASE64_STANDARD.decode(&opened.entry).map_err(bad)?;
        let proof = hashes(&opened.proof)?;
        verify_inclusion(&leaf_hash(&bytes), opened.leaf, checkpoint.size, &checkpoint.root, &proof)
            .map_err(bad)?;
        let entry = Entry::decode(&bytes).map_err(bad)?;
        let says = entry.action.as_str() == ACTION
            && entry.phase == Phase::Intent
            && entry.grant.as_ref().is_some_and(|grant| grant.as_str() == request.id.to_string())
            && entry.group == Some(request.group)
            && entry.blob == Some(blob)
            && entry.size == u64::try_from(size).ok()
            && entry.actor.as_str() == request.requester.account;
        if !says {
            return Err(bad("it is about another entry than the opening of this blob"));
        }
        if let Some(earlier) = &self.earlier {
            if earlier.origin != checkpoint.origin {
                return Err(bad(format!("it is of another log than before, {}", shown(&earlier.origin))));
            }
            let proof = hashes(&opened.consistency)?;
            checkpoint.verify_extends(earlier, &proof).map_err(|error| {
                bad(format!(
                    "the log has {} entries and does not begin with the {} that it had when it was seen last ({error})",
                    checkpoint.size, earlier.size
                ))
            })?;
        }
        self.keep(&key, is_new, opened, &checkpoint, shell)?;
        Ok(Proved { leaf: opened.leaf, size: checkpoint.size, log: checkpoint.origin })
    }

    /// Keeps key and checkpoint, unless a later one was kept meanwhile.
    fn keep(
        &self,
        key: &VerifierKey,
        is_new: bool,
        opened: &OpenedBlob,
        checkpoint: &Checkpoint,
        shell: &Shell,
    ) -> Result {
        let text = key.to_string();
        if self.key_pin.read()?.is_none_or(|before| before.trim() != text) {
            self.key_pin.write(&text)?;
            if is_new {
                shell.terminal.note(format!(
                    "The audit log's key is {text}: seen for the first time, remembered. Compare it with what dkmd check tells."
                ));
            }
        }
        let kept = self.checkpoint_pin.read()?.and_then(|note| claim(&note).ok());
        if kept.is_some_and(|kept| kept.origin == checkpoint.origin && kept.size >= checkpoint.size) {
            return Ok(());
        }
        self.checkpoint_pin.write(&opened.checkpoint)
    }
}

fn hashes(texts: &[String]) -> Result<Vec<Digest>> {
    let hash = |text: &String| {
        let bytes = BASE64_STANDARD.decode(text).map_err(bad)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| bad("a hash has not 32 bytes"))?;
        Ok(Digest(bytes))
    };
    texts.iter().map(hash).collect()
}

fn claim(note: &str) -> std::result::Result<Checkpoint, String> {
    let note = Note::parse(note.as_bytes()).map_err(|error| error.to_string())?;
    note.text().parse().map_err(|error: dkm_audit::checkpoint::CheckpointError| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dkm_audit::entry::Actor;
    use dkm_audit::store::{FileAnchor, Receipt};
    use dkm_audit::{Log, LogKey};
    use dkm_core::{GroupId, RequestId, Timestamp};
    use dkm_lockbox::{Mode, Requester, Scope};
    use zeroize::Zeroizing;

    use super::*;

    const BLOB: Digest = Digest([9; 32]);

    fn request() -> Request {
        Request {
            id: RequestId([3; 16]),
            instance: InstanceId([4; 16]),
            group: GroupId([5; 16]),
            policy: vec![Digest([1; 32])],
            roster: vec![Digest([2; 32])],
            requester: Requester { person: "alice".into(), account: "person:alice".into() },
            reason: "x".into(),
            ticket: String::new(),
            mode: Mode::Brokered,
            scope: Some(Scope {
                blobs: vec![BLOB],
                context: dkm_core::Context::new(),
                count_max: 1,
                bytes_max: 9,
            }),
            break_glass: false,
            duration_s: 1,
            made: Timestamp(1),
            not_after: Timestamp(2),
            activation_window_s: 1,
        }
    }

    fn entry() -> Entry {
        let who = Actor::lossy("person:alice");
        let mut entry = Entry::new(Timestamp(7), who, ACTION.parse().unwrap(), Phase::Intent);
        entry.grant = Some(request().id.to_string().parse().unwrap());
        (entry.group, entry.blob, entry.size) = (Some(request().group), Some(BLOB), Some(3));
        entry
    }

    fn log(folder: &Path, name: &str) -> Log {
        let key = LogKey::generate("log.example.com/audit".parse().unwrap()).unwrap();
        let anchor = FileAnchor::new(&folder.join(format!("{name}.checkpoint")));
        Log::create(&folder.join(name), key, Box::new(anchor)).unwrap()
    }

    fn opened(log: &Log, receipt: &Receipt, known: Option<u64>) -> OpenedBlob {
        let texts = |hashes: &[Digest]| hashes.iter().map(|hash| BASE64_STANDARD.encode(hash.0)).collect();
        let note = String::from_utf8(receipt.checkpoint.to_vec()).unwrap();
        let checkpoint = claim(&note).unwrap();
        let source = log.source();
        let tree = dkm_audit::tree::Tree::new(&source, &checkpoint);
        let proof = known
            .filter(|size| *size < checkpoint.size)
            .map(|size| dkm_audit::merkle::prove_consistency(&tree, size, checkpoint.size).unwrap());
        OpenedBlob {
            plaintext: Zeroizing::new(BASE64_STANDARD.encode("abc")),
            leaf: receipt.index,
            entry: BASE64_STANDARD.encode(&receipt.entry),
            proof: texts(&receipt.proof),
            checkpoint: note,
            log_key: log.key().to_string(),
            consistency: texts(&proof.unwrap_or_default()),
        }
    }

    fn known(folder: &Path) -> KnownLog {
        let (key_pin, checkpoint_pin) =
            (Pin::at(folder.join("pins/key")), Pin::at(folder.join("pins/checkpoint")));
        let key = key_pin.read().unwrap().map(|text| text.parse().unwrap());
        let earlier = checkpoint_pin.read().unwrap().map(|note| claim(&note).unwrap());
        KnownLog { key, key_pin, checkpoint_pin, earlier }
    }

    fn verify(folder: &Path, opened: &OpenedBlob) -> Result<Proved> {
        let shell = Shell::new(crate::cli::Global::default(), Vec::new());
        known(folder).verify(opened, &request(), BLOB, 3, &shell)
    }

    #[test]
    fn what_stands_in_the_log_is_believed_and_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), "log");
        for round in 0..5 {
            let receipt = log.append(&entry()).unwrap();
            let size = known(folder.path()).size();
            assert_eq!(size, (round > 0).then_some(round));
            let proved = verify(folder.path(), &opened(&log, &receipt, size)).unwrap();
            assert_eq!((proved.leaf, proved.size), (round, round + 1));
        }
    }

    #[test]
    fn an_entry_about_something_else_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), "log");
        let lies: [fn(&mut Entry); 8] = [
            |entry| entry.blob = Some(Digest([8; 32])),
            |entry| entry.blob = None,
            |entry| entry.grant = Some(RequestId([8; 16]).to_string().parse().unwrap()),
            |entry| entry.group = Some(GroupId([8; 16])),
            |entry| entry.size = Some(2),
            |entry| entry.actor = Actor::lossy("person:bob"),
            |entry| entry.phase = Phase::Denied,
            |entry| entry.action = "read-key".parse().unwrap(),
        ];
        for lie in lies {
            let mut told = entry();
            lie(&mut told);
            let receipt = log.append(&told).unwrap();
            let failure = verify(folder.path(), &opened(&log, &receipt, None)).unwrap_err();
            assert!(failure.message.contains("another entry"), "{told:?}: {}", failure.message);
        }
        assert_eq!(known(folder.path()).size(), None, "nothing of it is remembered");
    }

    #[test]
    fn a_proof_with_any_part_changed_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), "log");
        log.append(&entry()).unwrap();
        let receipt = log.append(&entry()).unwrap();
        verify(folder.path(), &opened(&log, &receipt, None)).unwrap();
        let receipt = log.append(&entry()).unwrap();
        let good = opened(&log, &receipt, known(folder.path()).size());
        let zero = BASE64_STANDARD.encode([0; 32]);
        let lies: [&dyn Fn(&mut OpenedBlob); 8] = [
            &|opened| opened.leaf = 0,
            &|opened| opened.entry = BASE64_STANDARD.encode("{}"),
            &|opened| opened.entry = "?".into(),
            &|opened| opened.proof = vec![zero.clone()],
            &|opened| opened.proof.clear(),
            &|opened| opened.consistency.clear(),
            &|opened| opened.consistency = vec!["AAAA".into()],
            &|opened| opened.checkpoint = opened.checkpoint.replacen("\n3\n", "\n4\n", 1),
        ];
        for (place, lie) in lies.iter().enumerate() {
            let mut told = good.clone();
            lie(&mut told);
            assert_eq!(verify(folder.path(), &told).unwrap_err().exit_code, 5, "{place}");
        }
        verify(folder.path(), &good).unwrap();
    }

    #[test]
    fn another_log_and_one_that_was_rolled_back_are_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let (log, fork) = (log(folder.path(), "log"), log(folder.path(), "fork"));
        log.append(&entry()).unwrap();
        let old = log.append(&entry()).unwrap();
        let new = log.append(&entry()).unwrap();
        verify(folder.path(), &opened(&log, &new, None)).unwrap();
        // The server shows what it had before, as if the last entry had never been.
        let failure = verify(folder.path(), &opened(&log, &old, Some(3))).unwrap_err();
        assert!(failure.message.contains("does not begin with"), "{}", failure.message);
        // Another log under the same name signs with another key, whatever key it sends along.
        for _ in 0..4 {
            let receipt = fork.append(&entry()).unwrap();
            assert_eq!(verify(folder.path(), &opened(&fork, &receipt, Some(3))).unwrap_err().exit_code, 5);
        }
    }
}
