//! What a creator who means ill, or an owner who leaves, must not bring about.

use super::*;
use crate::record::GroupRecord;
use crate::slot::Principal;

fn by(mut seen: Observed, author: &str) -> Observed {
    seen.attested.creator = Principal(author.into());
    seen
}

#[test]
fn what_an_owner_said_of_a_key_holds_when_he_is_owner_no_more() {
    let before = policy(|p| p.owners = Some(vec!["uid:0".into(), "uid:1".into()]));
    let change = T0.plus(10 * DAY_MS);
    let after = policy_after(&[&before], 2, change, |p| p.owners = Some(vec!["uid:0".into()]));
    let all = |statuses: &[Observed]| {
        let keys = [key(1, T0, |_| {}), successor(2, 1, T0.plus(DAY_MS))];
        let statuses: Vec<_> = statuses.iter().map(|s| by(s.clone(), "uid:1")).collect();
        let records = [&[before.clone(), after.clone()], &keys[..], &statuses].concat();
        ring(&records, T0.plus(20 * DAY_MS))
    };
    let then = T0.plus(5 * DAY_MS);
    for (change, state) in
        [(Change::Compromised, KeyState::Compromised), (Change::Destroyed, KeyState::Destroyed)]
    {
        let ring = all(&[status(1, change, then, &[])]);
        assert_eq!(ring.key(key_id(1)).unwrap().state(T0.plus(20 * DAY_MS)), state);
    }
    assert!(all(&[status(1, Change::Destroyed, then, &[])]).is_destroyed(key_id(1)));
    let suspended = status(2, Change::Suspended, then, &[]);
    assert!(!all(std::slice::from_ref(&suspended)).key(key_id(2)).unwrap().may_ever_protect());
    // What was right when it was done lifts it, too.
    let resumed = status(2, Change::Resumed, then.plus(1), &[&suspended]);
    assert!(all(&[suspended, resumed]).key(key_id(2)).unwrap().may_ever_protect());
    // Afterwards his word counts no more, once he can know it.
    let late = status(1, Change::Destroyed, change.plus(DAY_MS), &[]);
    let ring = all(&[late]);
    assert!(!ring.is_destroyed(key_id(1)));
    assert!(ring.findings.iter().any(|f| f.to_string().contains("is not an owner")), "{:?}", ring.findings);
}

#[test]
fn keys_cannot_be_made_in_advance_for_years_one_after_the_other() {
    let made = T0.plus(DAY_MS);
    let end = |n: u64| T0.plus(n * 90 * DAY_MS);
    let chain: Vec<_> = (2..6u8)
        .map(|n| {
            key(n, made.plus(n.into()), |k| {
                k.predecessor = Some(key_id(n - 1));
                k.activates_at_ms = end(u64::from(n) - 1).0;
            })
        })
        .collect();
    let records = [&[policy(|_| {}), key(1, T0, |_| {})], &chain[..]].concat();
    let ring = ring(&records, T0.plus(2 * DAY_MS));
    let distrust = |n| ring.key(key_id(n)).unwrap().distrust.clone();
    assert_eq!(distrust(2), None, "the successor of the key that protects");
    for n in 3..6 {
        assert_eq!(distrust(n), Some(Distrust::TooFarAhead), "key {n}");
    }
}

#[test]
fn a_slot_is_taken_by_whatever_lies_in_it_and_a_far_attempt_takes_only_its_own() {
    let mut squatter = key(3, T0.plus(DAY_MS), |k| k.predecessor = Some(key_id(9)));
    squatter.name = SlotName::for_key(Some(key_id(1)), 0);
    let record = GroupRecord {
        name: "x".into(),
        created_at_ms: 0,
        repository: REPOSITORY,
        roster_genesis: None,
        description: None,
    };
    let mut foreign = seen(Record::Group(record), T0);
    (foreign.room, foreign.name) = (Room::Keys, SlotName::for_key(Some(key_id(1)), 1));
    let far = key(4, T0.plus(DAY_MS), |k| {
        k.predecessor = Some(key_id(1));
        k.attempt = u32::MAX;
    });
    let records = [policy(|_| {}), key(1, T0, |_| {}), squatter, foreign, far];
    let mut ring = ring(&records, T0.plus(DAY_MS));
    assert_eq!(ring.free_attempt(Some(key_id(1))), 2);
    // Nor does it matter whether what lies there can be read.
    ring.take_slots([SlotName::for_key(Some(key_id(1)), 2)]);
    assert_eq!(ring.free_attempt(Some(key_id(1))), 3);
}

#[test]
fn a_later_copy_of_a_key_with_other_times_does_not_stand_for_it() {
    let first = key(1, T0, |_| {});
    // Digests decide nothing: whoever makes copies can make one with any.
    let copies = (1..200).map(|n| {
        key(1, T0.plus(DAY_MS), |k| {
            k.predecessor = Some(key_id(9));
            k.attempt = n;
        })
    });
    let now = T0.plus(2 * DAY_MS);
    for copy in copies {
        let ring = ring(&[policy(|_| {}), first.clone(), copy], now);
        let key = ring.key(key_id(1)).unwrap();
        assert_eq!((key.digest, &key.distrust), (first.digest, &None));
    }
}

#[test]
fn a_backdated_first_key_does_not_disown_the_groups_first_key() {
    let planted = key(2, T0.minus(100 * DAY_MS), |k| k.attempt = 1);
    let ring = ring(&[policy(|_| {}), key(1, T0, |_| {}), planted], T0.plus(DAY_MS));
    assert_eq!(ring.key(key_id(1)).unwrap().distrust, None);
    assert_eq!(ring.key(key_id(2)).unwrap().distrust, Some(Distrust::ShortDelay));
}
