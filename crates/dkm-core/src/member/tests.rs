mod reading;
mod refusing;

use std::sync::Arc;

use super::*;
use crate::policy::Policy;
use crate::record::{Change, Purpose};
use crate::ring::testing::*;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

const GRACE: u64 = 8 * HOUR_MS;

fn replica(n: u8) -> ReplicaId {
    ReplicaId([n; 16])
}

fn member(replicas_known: usize) -> Member {
    Member::new([1; 16], replicas_known, None, Safeguards::ALL)
}

/// What replica `n`, whose clock is right, holds.
fn reading(n: u8, clock: Timestamp, records: &[Observed]) -> Reading {
    let present = records.iter().cloned().map(Arc::new).collect();
    Reading { replica: replica(n), clock: Some(clock), present }
}

fn read(member: &mut Member, n: u8, clock: Timestamp, records: &[Observed]) {
    member.observe(clock, &reading(n, clock, records));
}

/// A group with one key, made long enough ago.
fn records() -> Vec<Observed> {
    vec![group(), policy(|_| {}), key(1, T0, |_| {})]
}

/// A member of a group on one replica, which it has read at `T0`.
fn ready() -> Member {
    let mut member = member(1);
    read(&mut member, 1, T0, &records());
    member
}

#[test]
fn time_never_goes_back_within_a_process() {
    let mut member = ready();
    let later = T0.plus(DAY_MS);
    assert_eq!(member.advance(later), later);
    assert_eq!(member.advance(T0), later);
    // Setting the clock back does not make the grace longer.
    assert_eq!(member.protecting_key(T0), Err(ProtectRefusal::OutOfReach { grace_ms: GRACE }));
}

#[test]
fn a_client_protects_with_the_latest_key_that_it_may_use() {
    let mut member = member(1);
    let second = successor(2, 1, T0.plus(DAY_MS));
    let takeover = T0.plus(DAY_MS + HOUR_MS + 150_000);
    let all = [records(), vec![second]].concat();
    read(&mut member, 1, takeover.minus(1), &all);
    assert_eq!(member.protecting_key(takeover.minus(1)), Ok(key_id(1)));
    assert_eq!(member.protecting_key(takeover), Ok(key_id(2)));
    for n in [1, 2] {
        let state = if n == 1 { KeyState::Deactivated } else { KeyState::Active };
        let leave = UnprotectLeave { notice_use: false, state };
        member.rederive();
        assert_eq!(member.unprotect_leave(takeover, key_id(n), false), Ok(leave));
    }
}

#[test]
fn the_next_change_is_the_first_thing_that_can_come_out_differently() {
    let limited = |p: &mut Policy| p.overdue_refuse_after_ms = Some(5);
    let second = successor(2, 1, T0);
    let activation = T0.plus(HOUR_MS + 150_000);
    let interval = exposed(T0.plus(MINUTE_MS), T0.plus(DAY_MS));
    let mut member = member(1);
    assert_eq!(member.next_change(), Timestamp(0), "nothing is known: ask at once");

    read(&mut member, 1, T0, &[policy(limited), key(1, T0, |_| {}), second, interval]);
    assert_eq!(member.next_change(), T0.plus(MINUTE_MS), "the exposure begins");
    member.advance(T0.plus(MINUTE_MS));
    assert_eq!(member.next_change(), activation);
    member.advance(activation);
    assert_eq!(member.next_change(), T0.plus(GRACE + 1), "out of reach");
    assert_eq!(member.grace_end(), Some(T0.plus(GRACE)));
    let now = T0.plus(GRACE);
    member.last_contact = Some(now);
    member.advance(now);
    assert_eq!(member.next_change(), activation.plus(GRACE), "the archived key stands in no longer");
    let now = T0.plus(90 * DAY_MS);
    member.last_contact = Some(now);
    member.advance(now);
    assert_eq!(member.next_change(), T0.plus(90 * DAY_MS + 5), "the first key's limit");
    member.advance(now.plus(GRACE + 1));
    assert_eq!(member.next_change(), Timestamp::MAX, "out of reach: only a reading changes anything");
}

#[test]
fn plans_are_made_by_members_that_may_create_and_are_sure_of_time_and_access() {
    let end = T0.plus(90 * DAY_MS);
    let draw = Draw::derive(&[1; 16], key_id(1));
    assert!(draw.overdue < 100.0);
    let due = end.plus(DAY_MS);
    let mut member = ready();
    member.set_rights(Rights { read: true, create: true, own: false });
    assert_eq!(member.plan(due), Plan::Nothing { until: due }, "out of reach");
    read(&mut member, 1, due, &records());
    assert!(matches!(member.plan(due), Plan::CreateKey { predecessor, .. } if predecessor == key_id(1)));

    member.set_rights(Rights { read: true, create: false, own: false });
    assert!(matches!(member.plan(due), Plan::Overdue { turn: None, .. }));

    member.set_rights(Rights { read: true, create: true, own: false });
    let off = Reading { clock: Some(due.plus(DAY_MS)), ..reading(1, due, &records()) };
    member.observe(due, &off);
    assert_eq!(member.plan(due), Plan::Nothing { until: due }, "its clock is off");

    read(&mut member, 1, due, &records());
    member.deny();
    assert_eq!(member.plan(due), Plan::Nothing { until: due }, "denied");
}

#[test]
fn a_client_that_just_came_waits_for_a_turn_of_its_own() {
    let back = T0.plus(100 * DAY_MS);
    let mut member = Member::new([1; 16], 1, Some(back), Safeguards::ALL);
    member.set_rights(Rights { read: true, create: true, own: false });
    read(&mut member, 1, back, &records());
    let Plan::Overdue { turn: Some(turn), .. } = member.plan(back) else { panic!("made a key at once") };
    assert!(turn > back && turn <= back.plus(20 * MINUTE_MS));
    assert!(matches!(member.plan(turn), Plan::CreateKey { .. }));
}
