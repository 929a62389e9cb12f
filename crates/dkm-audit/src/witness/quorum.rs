//! Several witnesses, of which some number must cosign.

use std::time::{Duration, Instant};

use super::{Witness, WitnessError};
use crate::checkpoint::Checkpoint;
use crate::note::{Note, NoteSignature};
use crate::source::Source;
use crate::trust::{Trust, TrustError};

/// How long a witness that has failed is asked only if the others are too few.
const RESPITE: Duration = Duration::from_secs(30);

/// What waits for the witnesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// An entry is acknowledged, and so anything released, only after enough witnesses have cosigned a checkpoint that
    /// covers it.
    BeforeRelease,
    /// An entry is acknowledged once the log itself has signed; a checkpoint counts as published only after enough
    /// witnesses have cosigned it.
    BeforePublication,
}

struct Member {
    witness: Witness,
    failed: Option<Instant>,
}

/// Witnesses of one log, and how many of them must cosign.
pub struct Witnesses {
    members: Vec<Member>,
    quorum: usize,
    when: When,
}

impl Witnesses {
    /// `quorum` of these witnesses must cosign.
    ///
    /// # Errors
    /// [`TrustError::BadRule`] if none must, or more than there are, or a witness is named twice.
    pub fn new(witnesses: Vec<Witness>, quorum: usize, when: When) -> Result<Self, TrustError> {
        let keys: Vec<_> = witnesses.iter().map(|witness| witness.key().clone()).collect();
        let twice = keys.iter().enumerate().any(|(at, key)| {
            keys.iter().take(at).any(|other| other.public() == key.public() || other.name() == key.name())
        });
        if twice || quorum == 0 || quorum > keys.len() {
            return Err(TrustError::BadRule);
        }
        let members = witnesses.into_iter().map(|witness| Member { witness, failed: None }).collect();
        Ok(Self { members, quorum, when })
    }

    /// What waits for them.
    #[must_use]
    pub const fn when(&self) -> When {
        self.when
    }

    /// How many must cosign.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        self.quorum
    }

    /// `trust`, and the cosignatures that these witnesses give.
    ///
    /// # Errors
    /// [`TrustError::BadRule`] if the log's own key is among theirs.
    pub fn trust(&self, log: Trust) -> Result<Trust, TrustError> {
        let keys = self.members.iter().map(|member| member.witness.key().clone()).collect();
        log.with_witnesses(keys, self.quorum)
    }

    /// Asks for cosignatures, all witnesses at once, those that have failed lately only if the others are too few.
    ///
    /// # Errors
    /// How many have cosigned, if too few, and why the others have not. One witness alone stops nothing, whatever it
    /// claims to have seen: that would be its power over the log.
    pub(crate) fn cosign<S: Source + Sync>(
        &mut self,
        source: &S,
        checkpoint: &Checkpoint,
        note: &Note,
    ) -> Result<Vec<NoteSignature>, (usize, Vec<WitnessError>)> {
        let now = Instant::now();
        let rests = |member: &Member| {
            member.failed.is_some_and(|failed| now.saturating_duration_since(failed) < RESPITE)
        };
        let (mut resting, mut ready): (Vec<_>, Vec<_>) =
            self.members.iter_mut().partition(|member| rests(member));
        let (mut signatures, mut refusals) = (Vec::new(), Vec::new());
        for members in [&mut ready, &mut resting] {
            if signatures.len() >= self.quorum {
                break;
            }
            ask(members, source, checkpoint, note, &mut signatures, &mut refusals);
        }
        for refusal in &refusals {
            if refusal.is_evidence() {
                tracing::error!(%refusal, "a witness has seen another state of the audit log");
            } else {
                tracing::warn!(%refusal, "a witness has not cosigned");
            }
        }
        if signatures.len() < self.quorum { Err((signatures.len(), refusals)) } else { Ok(signatures) }
    }
}

fn ask<S: Source + Sync>(
    members: &mut [&mut Member],
    source: &S,
    checkpoint: &Checkpoint,
    note: &Note,
    signatures: &mut Vec<NoteSignature>,
    refusals: &mut Vec<WitnessError>,
) {
    std::thread::scope(|scope| {
        let asked: Vec<_> = members
            .iter_mut()
            .map(|member| {
                let name = member.witness.key().name().clone();
                let thread = scope.spawn(move || {
                    let cosigned = member.witness.cosign(source, checkpoint, note);
                    member.failed = cosigned.is_err().then(Instant::now);
                    cosigned
                });
                (name, thread)
            })
            .collect();
        for (name, thread) in asked {
            match thread.join() {
                Ok(Ok(signature)) => signatures.push(signature),
                Ok(Err(refusal)) => refusals.push(refusal),
                Err(_) => {
                    let source = std::sync::Arc::new(std::io::Error::other("asking it has failed"));
                    refusals.push(WitnessError::NoAnswer { name, source });
                }
            }
        }
    });
}

impl std::fmt::Debug for Witnesses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<_> = self.members.iter().map(|member| member.witness.key()).collect();
        write!(f, "Witnesses({} of {keys:?}, {:?})", self.quorum, self.when)
    }
}
