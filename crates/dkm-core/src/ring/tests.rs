mod attacks;
mod order;
mod statuses;
mod trusted;

use super::testing::*;
use super::*;
use crate::record::{Change, Purpose};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

fn id_of(seen: &Observed) -> KeyId {
    match &seen.record {
        Record::Key(key) => key.id,
        _ => panic!("not a key"),
    }
}

#[test]
fn states_follow_the_clock_and_the_successor() {
    let first = key(1, T0, |_| {});
    let second = successor(2, 1, T0.plus(DAY_MS));
    let takeover = T0.plus(DAY_MS + HOUR_MS + 150_000);
    let records = [group(), policy(|_| {}), first, second];
    let states = |now: Timestamp| {
        let ring = ring(&records, now);
        [1, 2].map(|n| ring.key(key_id(n)).unwrap().state(now))
    };
    assert_eq!(states(T0.plus(DAY_MS)), [KeyState::Active, KeyState::PreActive]);
    assert_eq!(states(takeover.minus(1)), [KeyState::Active, KeyState::PreActive]);
    assert_eq!(states(takeover), [KeyState::Deactivated, KeyState::Active]);
    let ring = ring(&records, takeover);
    assert_eq!((ring.name.as_deref(), &ring.findings[..]), (Some("mail-tokens"), &[][..]));
    assert_eq!(ring.key(key_id(1)).unwrap().deactivated_since(takeover), Some(takeover));
    assert_eq!(ring.protecting(takeover).map(RingKey::id).collect::<Vec<_>>(), [key_id(2), key_id(1)]);
}

#[test]
fn a_key_that_may_not_protect_does_not_supersede_and_one_that_lost_its_leave_does() {
    let first = key(1, T0, |_| {});
    let mut planted = successor(2, 1, T0.plus(DAY_MS));
    planted.attested.template_ok = false;
    let now = T0.plus(3 * DAY_MS);
    let superseded = |records: &[Observed]| ring(records, now).key(key_id(1)).unwrap().superseded_at;
    assert_eq!(superseded(&[policy(|_| {}), first.clone(), planted]), None);

    let good = successor(2, 1, T0.plus(DAY_MS));
    let stop = status(2, Change::Suspended, T0.plus(2 * DAY_MS), &[]);
    let records = [policy(|_| {}), first, good, stop];
    assert!(superseded(&records).is_some());
    // The archived key stands in while its successor may not.
    let ring = ring(&records, now);
    assert_eq!(ring.protecting(now).map(RingKey::id).collect::<Vec<_>>(), [key_id(1)]);
}

#[test]
fn keys_that_nobody_could_read_protect_before_exposed_ones() {
    let first = key(1, T0, |_| {});
    let second = successor(2, 1, T0.plus(DAY_MS));
    let seen_by = exposed(T0.plus(2 * DAY_MS), T0.plus(2 * DAY_MS + 1));
    let third = successor(3, 2, T0.plus(3 * DAY_MS));
    let now = T0.plus(4 * DAY_MS);
    let records = [policy(|_| {}), first, second, third, seen_by];
    let ring = ring(&records, now);
    assert_eq!(ring.protecting(now).map(RingKey::id).collect::<Vec<_>>(), [3, 2, 1].map(key_id));
    assert_eq!(ring.keys.iter().filter(|k| k.is_exposed(now)).count(), 2);

    // A later activation does not help an exposed key.
    let early = successor(4, 2, T0.plus(2 * DAY_MS - HOUR_MS));
    let late = key(5, T0.plus(2 * DAY_MS + 2), |k| {
        k.predecessor = Some(key_id(2));
        k.attempt = 1;
        k.activates_at_ms = T0.plus(2 * DAY_MS + 2).0;
    });
    let records = [&records[..3], &[records[4].clone(), early, late]].concat();
    let ring = testing::ring(&records, now);
    assert_eq!(ring.protecting(now).next().map(RingKey::id), Some(key_id(5)), "made after the exposure");
}

#[test]
fn an_exposure_marks_what_was_there_before_it_ended() {
    let until = T0.plus(DAY_MS);
    let interval = exposed(T0.plus(HOUR_MS), until);
    let records = [
        policy(|_| {}),
        interval,
        key(1, T0, |_| {}),
        successor(2, 1, until.minus(1)),
        successor(3, 2, until),
        // It came here after the exposure, but was elsewhere before.
        key(4, until.plus(5), |k| {
            k.origin = Origin::Restored;
            k.created_at_ms = T0.0;
        }),
    ];
    let ring = ring(&records, until);
    let exposed = |n: u8, now: Timestamp| ring.key(key_id(n)).unwrap().is_exposed(now);
    assert_eq!([1, 2, 3, 4].map(|n| exposed(n, until)), [true, true, false, true]);
    assert!(!exposed(1, T0.plus(HOUR_MS - 1)), "not before it begins");
    let ended = |now| ring.key(key_id(2)).unwrap().exposure_ended(now);
    assert_eq!((ended(until.minus(1)), ended(until)), (None, Some(until)));
}

#[test]
fn twins_made_on_two_sides_of_a_partition_are_both_kept_and_reported() {
    let left = key(1, T0, |_| {});
    let right = key(2, T0.plus(MINUTE_MS), |k| k.attempt = 0);
    assert_eq!(left.name, right.name);
    let slot = left.name.clone();
    let ring = ring(&[policy(|_| {}), left, right], T0.plus(DAY_MS));
    assert_eq!(ring.findings, [Finding::ConflictTwins { name: slot }]);
    assert_eq!(ring.protecting(T0.plus(DAY_MS)).map(RingKey::id).collect::<Vec<_>>(), [2, 1].map(key_id));
}

#[test]
fn of_several_records_of_one_key_the_one_that_opens_in_its_own_slot_counts() {
    let own = key(1, T0, |_| {});
    let restored = key(1, T0.plus(DAY_MS), |k| k.origin = Origin::Restored);
    let elsewhere = Observed { name: "x".parse().unwrap(), ..own.clone() };
    let unopened = Observed { verified: false, ..own.clone() };
    let pick = |records: &[&Observed]| {
        let records: Vec<Observed> = records.iter().map(|r| (*r).clone()).collect();
        let both = ring(&[&records[..], &[policy(|_| {})]].concat(), T0);
        let reversed: Vec<Observed> = records.into_iter().rev().chain([policy(|_| {})]).collect();
        assert_eq!(ring(&reversed, T0), both);
        let key = both.key(key_id(1)).unwrap();
        (key.verified, key.name.clone(), key.record.origin)
    };
    let best = (true, own.name.clone(), Origin::Rolled);
    assert_eq!(pick(&[&own, &restored]), best);
    assert_eq!(pick(&[&own, &elsewhere]), best);
    assert_eq!(pick(&[&unopened, &restored]), (true, restored.name.clone(), Origin::Restored));
    assert_eq!(pick(&[&own, &unopened]), best);
}

#[test]
fn a_ring_that_is_too_long_leaves_out_the_newest() {
    let many = u32::try_from(RING_LEN_MAX).unwrap() + 2;
    let template = key(1, T0, |k| k.origin = Origin::Restored);
    let Record::Key(record) = &template.record else { panic!("a key") };
    let id = |n: u32| {
        let mut id = [9; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        KeyId(id)
    };
    let mut records = vec![policy(|_| {})];
    records.extend((0..many).map(|n| {
        let record = KeyRecord { id: id(n), ..record.clone() };
        let name = record.slot();
        let attested = attested("uid:0", T0.plus(u64::from(n)));
        Observed { record: Record::Key(record), name, attested, ..template.clone() }
    }));
    let ring = ring(&records, T0.plus(DAY_MS));
    assert_eq!(ring.keys.len(), RING_LEN_MAX);
    assert!(ring.key(id(many - 3)).is_some() && ring.key(id(many - 2)).is_none());
    assert_eq!(ring.findings, [Finding::RingTooLong { len: RING_LEN_MAX + 2 }]);
}

#[test]
fn records_in_the_wrong_room_do_not_count() {
    let tombstone = Observed { room: Room::Keys, ..status(1, Change::Destroyed, T0, &[]) };
    let planted = Observed { room: Room::Control, ..key(2, T0, |k| k.attempt = 1) };
    let ring = ring(&[policy(|_| {}), key(1, T0, |_| {}), tombstone, planted], T0);
    assert_eq!(ring.key(key_id(1)).unwrap().state(T0), KeyState::Active);
    assert!(ring.key(key_id(2)).is_none() && !ring.is_destroyed(key_id(1)));
    assert_eq!(ring.findings.len(), 2);
    assert!(ring.findings.iter().all(|f| f.to_string().contains("does not belong into this room")));
}

#[test]
fn without_a_policy_nothing_protects_but_tombstones_hold() {
    let ring = ring(&[key(1, T0, |_| {}), status(1, Change::Destroyed, T0, &[])], T0);
    assert_eq!((ring.keys.len(), ring.policy()), (0, None));
    assert!(ring.is_destroyed(key_id(1)));
}

#[test]
fn the_first_free_slot_after_a_predecessor_is_found_whatever_the_later_ones_hold() {
    let records = [
        policy(|_| {}),
        key(1, T0, |_| {}),
        successor(2, 1, T0.plus(DAY_MS)),
        key(3, T0.plus(DAY_MS), |k| {
            k.predecessor = Some(key_id(1));
            k.attempt = u32::MAX;
        }),
    ];
    let ring = ring(&records, T0.plus(DAY_MS));
    assert_eq!([None, Some(key_id(1)), Some(key_id(2))].map(|p| ring.free_attempt(p)), [1, 1, 0]);
    assert_eq!(id_of(&records[1]), key_id(1));
}

#[test]
fn a_slot_stays_taken_when_a_restored_copy_counts_in_its_place() {
    let mut unopened = successor(2, 1, T0.plus(DAY_MS));
    unopened.verified = false;
    let restored = key(2, T0.plus(2 * DAY_MS), |k| {
        k.origin = Origin::Restored;
        k.predecessor = Some(key_id(1));
    });
    let ring = ring(&[policy(|_| {}), key(1, T0, |_| {}), unopened, restored], T0.plus(3 * DAY_MS));
    assert_eq!(ring.key(key_id(2)).map(|k| k.record.origin), Some(Origin::Restored));
    assert_eq!(ring.free_attempt(Some(key_id(1))), 1);
}

#[test]
fn a_key_that_ended_before_it_could_protect_supersedes_nothing() {
    let made = T0.plus(DAY_MS);
    let records = [policy(|_| {}), key(1, T0, |_| {}), successor(2, 1, made)];
    let later = made.plus(30 * DAY_MS);
    assert_eq!(ring(&records, later).key(key_id(1)).unwrap().state(later), KeyState::Deactivated);
    for change in [Change::Deactivated, Change::Compromised, Change::Destroyed] {
        let ended = [records.as_slice(), &[status(2, change, made.plus(1), &[])]].concat();
        let ring = ring(&ended, later);
        assert_eq!(ring.key(key_id(1)).unwrap().state(later), KeyState::Active, "{change:?}");
        assert_eq!(ring.protecting(later).next().unwrap().id(), key_id(1));
    }
}
