//! Cases that the simulation has found.

use std::sync::Arc;

use super::*;
use crate::ring::testing::{T0, group, key, key_id, policy};
use crate::time::{DAY_MS, MINUTE_MS};

fn replica(n: u8) -> ReplicaId {
    ReplicaId([n; 16])
}

fn reading(n: u8, clock: Timestamp, records: &[Observed]) -> Reading {
    Reading {
        replica: replica(n),
        clock: Some(clock),
        present: records.iter().cloned().map(Arc::new).collect(),
    }
}

fn member(replicas: usize) -> Member {
    Member::new([1; 16], replicas, None, Safeguards::ALL)
}

#[test]
fn measurements_of_a_clock_before_it_jumped_do_not_outvote_those_after() {
    let records = [group(), policy(|_| {}), key(1, T0, |_| {})];
    let mut member = member(3);
    for n in 1..=3 {
        member.observe(T0, &reading(n, T0, &records));
    }
    assert_eq!(member.clock_off_ms(), None);
    // The machine's clock jumps, and only one replica is in reach.
    let jumped = T0.plus(1_000 * DAY_MS);
    member.observe(jumped, &reading(1, T0.plus(MINUTE_MS), &records));
    assert!(member.clock_off_ms().is_some());
    assert!(matches!(member.protecting_key(jumped), Err(ProtectRefusal::ClockOff { .. })));
}

#[test]
fn the_same_record_on_two_replicas_is_as_old_as_the_older_in_whatever_order() {
    let late = |ms| {
        let mut seen = key(1, T0, |_| {});
        seen.attested.created = T0.plus(ms);
        seen
    };
    let created = |first: u64, second: u64| {
        let mut member = member(2);
        let base = [group(), policy(|_| {})];
        for (n, ms) in [(1, first), (2, second)] {
            member.observe(T0, &reading(n, T0, &[&base[..], &[late(ms)]].concat()));
        }
        member.ring().key(key_id(1)).map(|k| k.attested.created)
    };
    assert_eq!(created(0, 500), Some(T0));
    assert_eq!(created(500, 0), Some(T0));
}

#[test]
fn a_copy_from_an_archive_does_not_make_a_key_usable_that_only_a_lost_replica_had() {
    let now = T0.plus(DAY_MS);
    let base = [group(), policy(|p| p.creators = None)];
    let lost = key(1, T0, |_| {});
    let mut restored = key(1, now, |record| record.origin = Origin::Restored);
    restored.name = restored.record.slot(crate::id::GroupId::default(), 0);
    let mut member = member(2);
    member.observe(T0, &reading(1, T0, &[&base[..], &[lost]].concat()));
    member.observe(now, &reading(2, now, &[&base[..], &[restored]].concat()));
    assert!(member.ring().key(key_id(1)).is_some_and(|key| key.verified), "it opens blobs");
    let refusal = member.protecting_key(now).unwrap_err();
    assert!(matches!(refusal, ProtectRefusal::NotUsable { read_from: 1, needed: 2, .. }), "{refusal:?}");
}

#[test]
fn slots_with_litter_are_passed_over_until_the_client_is_denied() {
    let mut member = member(1);
    member.observe(T0, &reading(1, T0, &[group(), policy(|_| {}), key(1, T0, |_| {})]));
    member.note_unread([SlotName::for_key(Some(key_id(1)), 0)]);
    assert_eq!(member.ring().free_attempt(Some(key_id(1))), 1);
    member.rederive();
    assert_eq!(member.ring().free_attempt(Some(key_id(1))), 1);
    member.deny();
    assert_eq!(member.ring().free_attempt(Some(key_id(1))), 0);
}
