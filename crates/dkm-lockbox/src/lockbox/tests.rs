use dkm_core::Digest;

use super::*;
use crate::testing::{ALL, HOUR_MS, T0, answer, ask, context, in_force, request, roster};
use crate::{Decision, Ending, Status};

const MALLORY: &str = "account-mallory";

fn id(number: u8) -> RequestId {
    RequestId([number; 16])
}

/// The records of an ordinary grant, from the request to its end.
fn whole_life() -> Vec<Record> {
    let roster = roster();
    let force = in_force(&roster);
    let mut lockbox = Lockbox::default();
    let mut records = Vec::new();
    let mut take = |lockbox: &mut Lockbox, record: Record| {
        // What is stored is bytes.
        let record = Record::decode(&record.encode()).unwrap();
        lockbox.apply(&record).unwrap();
        records.push(record);
    };
    let first = lockbox.begin(id(1), ask(&request()), MALLORY, T0, &force).unwrap();
    take(&mut lockbox, first);
    for (who, level) in ALL {
        let elevation = lockbox.get(id(1)).unwrap();
        let answer = answer(elevation.request(), who, level, Decision::Approve);
        let record = elevation.answer(answer, T0, &force).unwrap();
        take(&mut lockbox, record);
    }
    let record = lockbox.get(id(1)).unwrap().activate(MALLORY, T0, &force).unwrap();
    take(&mut lockbox, record);
    let record =
        lockbox.get(id(1)).unwrap().open(MALLORY, Digest([9; 32]), &context(), 7, T0, &force).unwrap();
    take(&mut lockbox, record);
    for record in lockbox.ended(T0.plus(HOUR_MS), &force) {
        take(&mut lockbox, record);
    }
    assert_eq!(lockbox.open().count(), 0);
    records
}

#[test]
fn what_was_stored_comes_to_the_same_after_a_restart() {
    let roster = roster();
    let force = in_force(&roster);
    let records = whole_life();
    assert_eq!(records.len(), 7);
    let names: Vec<_> = records.iter().map(|record| record.event.name()).collect();
    assert_eq!(names, ["requested", "approved", "approved", "approved", "activated", "opened", "ended"]);
    let lockbox = Lockbox::replay(&records);
    let elevation = lockbox.get(id(1)).unwrap();
    assert_eq!(elevation.used(), (1, 7));
    // Ended is ended, whatever the clock says now.
    assert_eq!(elevation.status(T0, &force), Status::Ended(Ending::Finished));
    let before = Lockbox::replay(&records[..6]);
    assert!(before.get(id(1)).unwrap().goes_on(MALLORY, T0, &force).is_ok());
    assert_eq!(before.open().count(), 1);
}

#[test]
fn a_lost_doubled_or_misplaced_record_grants_nothing() {
    let records = whole_life();
    let records = &records[..5];
    let broken = |records: &[Record]| {
        let lockbox = Lockbox::replay(records);
        assert_eq!(lockbox.broken().count(), 1);
        assert!(lockbox.open().next().is_none() && lockbox.iter().next().is_none());
        matches!(lockbox.get(id(1)), Err(Refusal::Broken { .. }))
    };
    for lost in 0..4 {
        let mut some = records.to_vec();
        some.remove(lost);
        assert!(broken(&some), "{lost}");
    }
    for twice in 0..5 {
        let mut more = records.to_vec();
        more.insert(twice, records[twice].clone());
        assert!(broken(&more), "{twice}");
    }
    let mut swapped = records.to_vec();
    swapped.swap(2, 3);
    assert!(broken(&swapped));
    // Under another request's id.
    let mut other = records.to_vec();
    other[0].request = id(2);
    let lockbox = Lockbox::replay(&other);
    assert_eq!(lockbox.broken().count(), 2);
    assert!(matches!(lockbox.get(id(3)), Err(Refusal::Unknown { .. })));
}

#[test]
fn of_two_daemons_that_activate_one_wins() {
    let roster = roster();
    let force = in_force(&roster);
    let records = whole_life();
    let (mut one, other) = (Lockbox::replay(&records[..4]), Lockbox::replay(&records[..4]));
    let first = one.get(id(1)).unwrap().activate(MALLORY, T0, &force).unwrap();
    let second = other.get(id(1)).unwrap().activate(MALLORY, T0.plus(60_000), &force).unwrap();
    assert_eq!((first.request, first.number), (second.request, second.number), "there is one place for both");
    one.apply(&first).unwrap();
    assert!(matches!(one.apply(&second), Err(ReplayError::Gap { expected: 5, found: 4, .. })));
    let until = one.get(id(1)).unwrap().goes_on(MALLORY, T0, &force).unwrap();
    assert_eq!(until, T0.plus(1_800_000));
    // A denial that came in between takes the place, too.
    let denial = answer(other.get(id(1)).unwrap().request(), "alice", "legal", Decision::Deny);
    let denial = other.get(id(1)).unwrap().answer(denial, T0, &force).unwrap();
    let mut other = other;
    other.apply(&denial).unwrap();
    assert!(other.apply(&second).is_err());
}

#[test]
fn ids_are_used_once_and_requests_are_bounded() {
    let roster = roster();
    let force = in_force(&roster);
    let mut lockbox = Lockbox::default();
    for number in 0..16 {
        let record = lockbox.begin(id(number), ask(&request()), MALLORY, T0, &force).unwrap();
        lockbox.apply(&record).unwrap();
    }
    let refused = lockbox.begin(id(99), ask(&request()), MALLORY, T0, &force);
    assert_eq!(refused, Err(Refusal::TooMany { max: 16 }));
    assert!(
        lockbox.begin(id(99), ask(&request()), "account-bob", T0, &force).is_ok(),
        "another's are his own"
    );
    assert_eq!(
        lockbox.begin(id(0), ask(&request()), "account-bob", T0, &force),
        Err(Refusal::Taken { request: id(0) })
    );
    // What has expired, recorded or not, is in nobody's way.
    let later = T0.plus(24 * HOUR_MS);
    assert!(lockbox.begin(id(99), ask(&request()), MALLORY, later, &force).is_ok());
    for record in lockbox.ended(later, &force) {
        lockbox.apply(&record).unwrap();
    }
    assert_eq!((lockbox.open().count(), lockbox.iter().count()), (0, 16));
    assert!(lockbox.ended(later, &force).is_empty());
}

#[test]
fn whoever_leaves_an_emergency_unreviewed_gets_nothing_more() {
    let roster = roster();
    let force = in_force(&roster);
    let mut lockbox = Lockbox::default();
    let emergency = Request { break_glass: true, ..request() };
    let record = lockbox.begin(id(1), ask(&emergency), MALLORY, T0, &force).unwrap();
    lockbox.apply(&record).unwrap();
    let elevation = lockbox.get(id(1)).unwrap();
    let answer = answer(elevation.request(), "erin", "on call", Decision::Approve);
    let record = elevation.answer(answer, T0, &force).unwrap();
    lockbox.apply(&record).unwrap();
    assert_eq!(lockbox.unreviewed().count(), 0);
    let record = lockbox.get(id(1)).unwrap().activate(MALLORY, T0, &force).unwrap();
    lockbox.apply(&record).unwrap();
    assert_eq!(lockbox.unreviewed().count(), 1);
    let due = lockbox.get(id(1)).unwrap().review_due_by(&force).unwrap();
    assert_eq!(due, T0.plus(1_800_000 + 24 * HOUR_MS));
    let begin = |lockbox: &Lockbox, who: &str, now| lockbox.begin(id(2), ask(&request()), who, now, &force);
    assert!(begin(&lockbox, MALLORY, due.minus(1)).is_ok());
    assert_eq!(begin(&lockbox, MALLORY, due), Err(Refusal::ReviewOverdue { request: id(1) }));
    assert!(begin(&lockbox, "account-bob", due).is_ok());
    let record = lockbox.get(id(1)).unwrap().review("account-carol", due, &force).unwrap();
    lockbox.apply(&record).unwrap();
    assert!(begin(&lockbox, MALLORY, due).is_ok());
    assert_eq!(lockbox.get(id(1)).unwrap().reviewed_by(), Some("carol"));
}
