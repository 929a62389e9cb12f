//! What was done by a request while the server did not answer.

use dkm_core::Timestamp;

use super::{Elevation, InForce};
use crate::answer::Answer;
use crate::offline::{USAGES_MAX, Usage, must_be_emergency};
use crate::record::{Event, Record};
use crate::refusal::Refusal;
use crate::statement::Decision;

impl Elevation {
    /// Takes what somebody says was done while the server did not answer, with the answers that were there for it. It is taken
    /// whether or not they allowed it, and whatever has come of the request: it gives nothing, ends what was given, and
    /// has to be reviewed.
    ///
    /// # Errors
    /// The request is no emergency, or did not come by file; nobody of the roster has signed it; it has not happened yet, or is on record already.
    pub fn use_offline(
        &self,
        usage: Usage,
        answers: Vec<Answer>,
        now: Timestamp,
        in_force: &InForce<'_>,
    ) -> Result<Record, Refusal> {
        must_be_emergency(&self.request)?;
        if self.signature.is_none() {
            return Err(Refusal::NotAllowed { what: "use by file of a request that did not come by file" });
        }
        usage.check(&self.request, in_force.of_then(&self.request), in_force.verify)?;
        let at = now.max(self.latest);
        if at < usage.from {
            return Err(Refusal::NotYetMade { made: usage.from });
        }
        if self.usages.contains(&usage) || self.usages.len() >= USAGES_MAX {
            return Err(Refusal::Recorded { max: USAGES_MAX });
        }
        let event = Event::UsedOffline { at, usage, answers };
        let record = Record { request: self.request.id, number: self.taken, event };
        record.must_fit()?;
        Ok(record)
    }

    /// Whether the answers that came with what was done allowed it, by the roster under which it was asked for; none where
    /// nothing was done offline, or that roster is not known. One that was replaced before allowed nothing any more.
    #[must_use]
    pub fn was_approved_offline(&self, in_force: &InForce<'_>) -> Option<bool> {
        let request = &self.request;
        if self.usages.is_empty() {
            return None;
        }
        let roster = match request.roster.as_slice() {
            same if same == in_force.rosters => in_force.roster,
            [one] => &in_force.versions.iter().find(|version| version.digest == *one)?.roster,
            _ => return None,
        };
        let is_replaced = |usage: &Usage| {
            in_force.versions.iter().any(|version| {
                let follows = version.previous.iter().any(|previous| request.roster.contains(previous));
                follows && version.effective_at <= usage.from
            })
        };
        if self.usages.iter().any(is_replaced) {
            return Some(false);
        }
        let then = InForce { policy: &request.policy, rosters: &request.roster, roster, ..*in_force };
        let Ok(levels) = then.permit(request) else { return Some(false) };
        let good = |answer: &&Answer| answer.check(request, &levels, roster, in_force.verify).is_ok();
        if self.files.iter().filter(good).any(|answer| answer.decision == Decision::Deny) {
            return Some(false);
        }
        let place = |answer: &Answer| levels.iter().position(|level| level.name == answer.level);
        let mut answers: Vec<_> = self.files.iter().map(|answer| (request.made, answer.clone())).collect();
        answers.sort_by_key(|(_, answer)| place(answer));
        let progress = self.progress(&levels, &answers, None, &then);
        let in_time = |usage: &Usage| {
            let window = request.made.plus(request.activation_window_s.saturating_mul(1_000));
            request.made <= usage.from && usage.from < request.not_after.min(window)
        };
        Some(progress.complete == levels.len() && self.usages.iter().all(in_time))
    }
}
