//! The proof that comes with every opened blob: what was released stands in the audit log.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use dkm::ErrorKind;
use dkm_audit::entry::Phase;
use dkm_audit::merkle::{leaf_hash, verify_inclusion};
use dkm_audit::{Checkpoint, Entry, Trust, VerifierKey};
use dkm_core::{Digest, InstanceId};
use dkm_lockbox::{Request, shown};
use dkm_remote::wire::elevation::OpenedBlob;

use crate::audit_log::claim;
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
        let earlier = earlier
            .map(|note| claim(note.as_bytes()).map_err(|why| damaged(&checkpoint_pin, why)))
            .transpose()?;
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
            // It was kept before this was asked for: an entry below it tells of another opening.
            if opened.leaf < earlier.size {
                return Err(bad(format!(
                    "entry {} was in the log before this was asked for: it is about an earlier opening",
                    opened.leaf
                )));
            }
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
        let kept = self.checkpoint_pin.read()?.and_then(|note| claim(note.as_bytes()).ok());
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

#[cfg(test)]
mod tests;
