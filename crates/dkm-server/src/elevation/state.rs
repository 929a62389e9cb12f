//! What the server knows of requests, and who waits for whom.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dkm_core::{GroupId, RequestId, Timestamp};
use dkm_lockbox::{Clock, Event, Lockbox, Memo, Record, ReplayError};
use tokio::sync::OwnedMutexGuard;

use super::in_force::Controls;
use crate::problem::Problem;
use crate::server::now;

/// A clock that is behind what was seen by more than this grants nothing, in milliseconds.
pub const SKEW_MS: u64 = 2_000;

/// Whoever has it takes the next step; it is kept until that is stored.
pub(crate) type Turn = OwnedMutexGuard<()>;

type Waiting = Arc<tokio::sync::Mutex<()>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of what one step follows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    /// New requests of a group: how many somebody has open is counted.
    Asking(GroupId),
    /// A request.
    Request(RequestId),
    /// What is given out in a domain under a request. Whoever ends the request does not wait for it.
    Issuing(RequestId),
    /// What was given out there is ended.
    Ending(RequestId),
}

/// The requests of a group.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<Lockbox>);

impl Requests {
    /// Looks at them as they are. It MUST be quick: all others wait.
    pub(super) fn look<T>(&self, f: impl FnOnce(&Lockbox) -> T) -> T {
        f(&lock(&self.0))
    }
}

/// What was given out in the domain under a request.
#[derive(Debug, Clone, Copy, Default)]
struct Given {
    /// How often something was, or was begun to be.
    times: u64,
    /// Whether all of it was ended.
    is_closed: bool,
}

/// What the server knows of requests.
#[derive(Debug, Default)]
pub(crate) struct State {
    groups: Mutex<BTreeMap<GroupId, Arc<Requests>>>,
    /// The group of each request.
    of: Mutex<BTreeMap<RequestId, GroupId>>,
    /// Where something is done just now.
    turns: Mutex<BTreeMap<Line, Waiting>>,
    clock: Mutex<Clock>,
    pub(super) memo: Memo,
    pub(super) controls: Controls,
    /// What was given out in the domain, under requests of which that is known.
    given: Mutex<BTreeMap<RequestId, Given>>,
}

impl State {
    pub(super) fn new(groups: BTreeMap<GroupId, Lockbox>, highest: Timestamp) -> Self {
        let of = |(group, lockbox): (&GroupId, &Lockbox)| {
            lockbox.iter().map(|elevation| (elevation.request().id, *group)).collect::<Vec<_>>()
        };
        Self {
            of: Mutex::new(groups.iter().flat_map(of).collect()),
            groups: Mutex::new(
                groups
                    .into_iter()
                    .map(|(group, lockbox)| (group, Arc::new(Requests(Mutex::new(lockbox)))))
                    .collect(),
            ),
            clock: Mutex::new(Clock::new(highest)),
            ..Self::default()
        }
    }

    /// The requests of a group, if only to look: one that has none is not kept.
    pub(super) fn requests(&self, group: GroupId) -> Arc<Requests> {
        lock(&self.groups).get(&group).map(Arc::clone).unwrap_or_default()
    }

    /// Groups of which there are requests.
    pub(super) fn known(&self) -> Vec<GroupId> {
        lock(&self.groups).keys().copied().collect()
    }

    pub(super) fn group_of(&self, request: RequestId) -> Option<GroupId> {
        lock(&self.of).get(&request).copied()
    }

    /// Waits until nobody else takes a step there.
    pub(super) async fn turn(&self, line: Line) -> Turn {
        let waiting = {
            let mut turns = lock(&self.turns);
            // Those that nobody has or waits for: clones are made in here alone.
            turns.retain(|_, waiting| Arc::strong_count(waiting) > 1);
            Arc::clone(turns.entry(line).or_default())
        };
        waiting.lock_owned().await
    }

    /// Takes a record that was made durable.
    ///
    /// # Errors
    /// It does not follow those before it.
    pub(super) fn take(&self, group: GroupId, record: &Record) -> Result<(), ReplayError> {
        let requests = Arc::clone(lock(&self.groups).entry(group).or_default());
        lock(&requests.0).apply(record)?;
        if matches!(record.event, Event::Requested { .. }) {
            lock(&self.of).insert(record.request, group);
        }
        Ok(())
    }

    /// Notes that something is given out in the domain under a request, once more perhaps.
    pub(crate) fn opened(&self, request: RequestId) {
        let mut given = lock(&self.given);
        let given = given.entry(request).or_default();
        *given = Given { times: given.times.saturating_add(1), is_closed: false };
    }

    /// How often something was given out so far; none if all of it was ended.
    pub(crate) fn unclosed(&self, request: RequestId) -> Option<u64> {
        let given = lock(&self.given).get(&request).copied().unwrap_or_default();
        (!given.is_closed).then_some(given.times)
    }

    /// Notes that what was given out so far was ended in the domain. What was given out meanwhile was perhaps not.
    pub(crate) fn closed(&self, request: RequestId, times: u64) {
        let mut given = lock(&self.given);
        let given = given.entry(request).or_default();
        given.is_closed |= given.times == times;
    }

    /// The time to decide by: it never goes back, and with a clock that does nothing is granted.
    pub(super) fn time(&self) -> Result<Timestamp, Problem> {
        let mut clock = lock(&self.clock);
        clock.now(now(), SKEW_MS).map_err(|refusal| Problem::unavailable(refusal.to_string()))
    }

    /// The highest time seen: by it access ends, whatever the clock says.
    pub(crate) fn highest(&self) -> Timestamp {
        let mut clock = lock(&self.clock);
        let _ = clock.now(now(), SKEW_MS);
        clock.highest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_out_while_the_rest_is_ended_is_not_taken_for_ended() {
        let (state, request) = (State::default(), RequestId([1; 16]));
        // Of what was given out before a start nothing is known: it may be open.
        let before = state.unclosed(request).unwrap();
        state.opened(request);
        state.closed(request, before);
        let now = state.unclosed(request).unwrap();
        state.closed(request, now);
        assert_eq!(state.unclosed(request), None);
        state.opened(request);
        assert!(state.unclosed(request).is_some());
    }

    #[tokio::test]
    async fn steps_of_one_request_follow_each_other_and_others_do_not_wait() {
        let state = Arc::new(State::default());
        let (one, other) = (Line::Request(RequestId([1; 16])), Line::Request(RequestId([2; 16])));
        let turn = state.turn(one).await;
        let beside = [state.turn(other).await, state.turn(Line::Asking(GroupId([1; 16]))).await];
        let waiting = {
            let state = Arc::clone(&state);
            tokio::spawn(async move { drop(state.turn(one).await) })
        };
        while Arc::strong_count(&lock(&state.turns)[&one]) < 3 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        drop(turn);
        waiting.await.unwrap();
        // Nothing stays of where nothing is done.
        drop(beside);
        drop(state.turn(Line::Request(RequestId([3; 16]))).await);
        assert_eq!(lock(&state.turns).len(), 1);
    }
}
