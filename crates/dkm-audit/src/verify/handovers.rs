//! Changes of the log's key.

use crate::checkpoint::Checkpoint;
use crate::merkle::Frontier;
use crate::note::{NOTE_LEN_MAX, Note, VerifierKey};
use crate::source::Source;
use crate::store::{CHECKPOINT, HANDOVER, handover_path};
use crate::tree::TreeError;
use crate::trust::{Trust, TrustError};

use super::{Fault, Found, HandoverProblem, claim};

/// Changes of key that the entries announce, in their order.
#[derive(Default)]
pub(super) struct Handovers(Vec<Handover>);

struct Handover {
    size: u64,
    next: VerifierKey,
    /// The checkpoint that both keys have signed; `None` if that is amiss already.
    note: Option<Note>,
}

impl Handovers {
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The last entry of `frontier` announces `next`. `newest` is the log's checkpoint if it ends there.
    pub(super) fn announced<S: Source>(
        &mut self,
        source: &S,
        (frontier, newest): (&Frontier, Option<&[u8]>),
        next: &VerifierKey,
        faults: &mut Found,
    ) {
        let size = frontier.size();
        let note = checkpoint(source, frontier, newest, next).map_err(|problem| match problem {
            Ok(problem) => faults.add(Fault::Handover { size, problem }),
            Err(error) => faults.add(error),
        });
        self.0.push(Handover { size, next: next.clone(), note: note.ok() });
    }

    /// Who must have signed the log's newest checkpoint, for somebody who trusts any one of its keys.
    pub(super) fn follow<S: Source>(
        &self,
        source: &S,
        trust: &Trust,
        size: u64,
        faults: &mut Found,
    ) -> Trust {
        let announced = self.0.iter().any(|handover| handover.next == *trust.key());
        // Who before a key that is trusted has signed what is not known, nor needed: the key that is trusted has signed
        // the same tree.
        let mut now = (!announced).then(|| trust.clone());
        for handover in &self.0 {
            let next = trust.succeeded_by(handover.next.clone());
            for signer in now.iter().chain([&next]) {
                let Some(note) = &handover.note else { continue };
                if let Err(error) = signer.verify_signed(note) {
                    let problem = HandoverProblem::NotSigned(error);
                    faults.add(Fault::Handover { size: handover.size, problem });
                }
            }
            now = Some(next);
        }
        // Behind what witnesses have cosigned there may be more.
        let newest = || source.read(CHECKPOINT, NOTE_LEN_MAX).ok().flatten();
        let end = if trust.quorum() > 0 { newest().and_then(|note| claim(&note).ok()) } else { None };
        self.unannounced(source, end.map_or(size, |end| end.size.max(size)), size, faults);
        now.unwrap_or_else(|| trust.clone())
    }

    fn unannounced<S: Source>(&self, source: &S, end: u64, size: u64, faults: &mut Found) {
        let names = match source.names(HANDOVER) {
            Ok(names) => names,
            Err(error) => {
                return faults.add(TreeError::Io { path: HANDOVER.to_owned(), source: error.into() });
            }
        };
        for found in names.iter().filter_map(|name| name.parse::<u64>().ok()) {
            if found > end {
                faults.add(Fault::Handover { size: found, problem: HandoverProblem::Beyond });
            } else if found <= size && !self.0.iter().any(|handover| handover.size == found) {
                faults.add(Fault::Handover { size: found, problem: HandoverProblem::Unannounced });
            }
        }
    }

    /// Every key that the log is known to have had.
    pub(super) fn keys(&self, trust: &Trust) -> Vec<Trust> {
        let next = self.0.iter().map(|handover| trust.succeeded_by(handover.next.clone()));
        next.chain([trust.clone()]).collect()
    }
}

/// Reads the checkpoint of a change of key, and compares it with the tree.
fn checkpoint<S: Source>(
    source: &S,
    frontier: &Frontier,
    newest: Option<&[u8]>,
    next: &VerifierKey,
) -> Result<Note, Result<HandoverProblem, TreeError>> {
    let path = handover_path(frontier.size());
    let bytes = source
        .read(&path, NOTE_LEN_MAX)
        .map_err(|error| Err(TreeError::Io { path, source: error.into() }))?;
    // The log's writer keeps it only after it has become the newest.
    let bytes = bytes.or_else(|| newest.map(<[u8]>::to_vec));
    let bytes = bytes.ok_or_else(|| Ok(HandoverProblem::Missing { next: next.clone() }))?;
    let refused = |error: TrustError| Ok(HandoverProblem::NotSigned(error));
    let note = Note::parse(&bytes).map_err(|error| refused(error.into()))?;
    let found: Checkpoint =
        note.text().parse().map_err(|error: crate::checkpoint::CheckpointError| refused(error.into()))?;
    if (found.size, found.root) == (frontier.size(), frontier.root()) {
        Ok(note)
    } else {
        Err(Ok(HandoverProblem::WrongTree))
    }
}
