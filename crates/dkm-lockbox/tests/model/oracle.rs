//! What must hold, told from what happened alone.

use dkm_core::Timestamp;
use dkm_lockbox::{Decision, Event};

use crate::world::{
    Attack, DURATION_MS, Did, Fault, SKEW_MS, Slipped, State, Step, T0, UNTOUCHED_MS, WINDOW_MS,
};

/// When somebody has really approved this request at this level, and in time: by what he meant to do, not by what the crate
/// makes of signatures and statements.
fn approved(before: &[Did], level: &str) -> Vec<(usize, &'static str)> {
    let in_time = |did: &Did| match did.record().event {
        Event::Answered { at, .. } => at < T0.plus(UNTOUCHED_MS),
        _ => false,
    };
    let by = |(place, did): (usize, &Did)| {
        let (who, at) = match did.step {
            Step::Answer {
                who,
                level,
                decision: Decision::Approve,
                fault: Fault::None | Fault::SecondKey,
            } => (who, level),
            Step::Slip(Slipped::DatedBack) => ("bob", "manager"),
            _ => return None,
        };
        // Whoever asks does not decide.
        (at == level && in_time(did) && who != "mallory").then_some((place, who))
    };
    before.iter().enumerate().filter_map(by).collect()
}

/// Whether each opening has behind it all that it must have.
pub fn opened_rightly(state: &State, attack: Attack) -> bool {
    state.did.iter().enumerate().all(|(place, did)| {
        let Event::Opened { at, .. } = did.record().event else { return true };
        let before = &state.did[..place];
        let Some((activation, begun)) =
            before.iter().enumerate().find_map(|(place, did)| match did.record().event {
                Event::Activated { at, .. } => Some((place, at)),
                _ => None,
            })
        else {
            return false;
        };
        let (managers, legal) =
            (approved(&before[..activation], "manager"), approved(&before[..activation], "legal"));
        // One of each, the manager first, and not the same person.
        let approved = managers
            .iter()
            .any(|(first, who)| legal.iter().any(|(then, other)| first < then && who != other));
        let ended = before.iter().any(|did| match did.record().event {
            Event::Revoked { .. } | Event::Withdrawn { .. } | Event::Ended { .. } => true,
            Event::Answered { answer, .. } => answer.decision == Decision::Deny,
            _ => false,
        });
        let opened_before = before.iter().any(|did| matches!(did.record().event, Event::Opened { .. }));
        // What the clock said at its highest, up to now. From a record that was dated back into the store nobody learns what
        // time it was: the server knows times by what it has recorded itself.
        let tells = |did: &&Did| attack == Attack::Steps || did.record().event.at() >= did.clock;
        let effective =
            state.did[..=place].iter().filter(tells).map(|did| did.clock).fold(T0, Timestamp::max);
        let skewed = did.clock < effective.minus(SKEW_MS);
        let in_time = begun <= at && effective < begun.plus(DURATION_MS) && at == effective;
        // Whatever is forged: what the approvers signed has an end.
        let bounded = effective < T0.plus(UNTOUCHED_MS + WINDOW_MS + DURATION_MS);
        let timely = bounded && (in_time || attack == Attack::Store && at < begun.plus(DURATION_MS));
        approved && !ended && !opened_before && !skewed && timely && did.roster == 0
    })
}

pub fn begun_once(state: &State) -> bool {
    state.did.iter().filter(|did| matches!(did.record().event, Event::Activated { .. })).count() <= 1
}

/// Times of records do not go back.
pub fn in_order(state: &State) -> bool {
    let times: Vec<Timestamp> = state.did.iter().map(|did| did.record().event.at()).collect();
    times.is_sorted()
}
