//! What readings come to: from how many replicas a key was read, and what has gone or changed.

use super::*;
use crate::ring::Distrust;

const NOW: Timestamp = T0.plus(DAY_MS);

fn not_usable(read_from: usize, needed: usize, doubted: bool) -> Result<KeyId, ProtectRefusal> {
    Err(ProtectRefusal::NotUsable { key: key_id(1), read_from, needed, doubted })
}

#[test]
fn a_key_is_usable_once_it_was_read_from_enough_distinct_replicas() {
    let mut member = member(3);
    read(&mut member, 1, NOW, &records());
    assert_eq!(member.protecting_key(NOW), not_usable(1, 2, false));
    read(&mut member, 1, NOW, &records());
    assert_eq!(member.protecting_key(NOW), not_usable(1, 2, false), "one replica twice is one replica");
    read(&mut member, 2, NOW, &records()[..2]);
    assert_eq!(member.protecting_key(NOW), not_usable(1, 2, false), "the other does not have it yet");
    assert!(member.unprotect_leave(NOW, key_id(1), false).is_ok(), "it opens what it can");
    read(&mut member, 2, NOW, &records());
    assert_eq!((member.protecting_key(NOW), member.read_from(key_id(1))), (Ok(key_id(1)), 2));
}

#[test]
fn policy_sets_the_number_of_replicas() {
    let of_three = |p: &mut Policy| p.min_replicas = 3;
    let records = [policy(of_three), key(1, T0, |_| {})];
    let mut member = member(1);
    for n in [1, 2] {
        read(&mut member, n, NOW, &records);
        assert_eq!(member.protecting_key(NOW), not_usable(usize::from(n), 3, false));
    }
    read(&mut member, 3, NOW, &records);
    assert_eq!(member.protecting_key(NOW), Ok(key_id(1)));
}

#[test]
fn a_record_that_did_not_open_was_not_read() {
    let mut damaged = records();
    damaged[2].verified = false;
    let mut member = member(2);
    read(&mut member, 1, NOW, &records());
    read(&mut member, 2, NOW, &damaged);
    assert_eq!(member.protecting_key(NOW), not_usable(1, 2, false));
}

#[test]
fn while_its_successor_is_not_usable_the_archived_key_stands_in_for_the_grace() {
    let takeover = T0.plus(HOUR_MS + 150_000);
    let all = [records(), vec![successor(2, 1, T0)]].concat();
    let mut member = member(2);
    read(&mut member, 1, T0, &all);
    read(&mut member, 2, T0, &records());
    let last = takeover.plus(GRACE);
    for now in [takeover, last] {
        read(&mut member, 2, now, &records());
        assert_eq!(member.protecting_key(now), Ok(key_id(1)));
    }
    read(&mut member, 2, last.plus(1), &records());
    let refusal = ProtectRefusal::NotUsable { key: key_id(2), read_from: 1, needed: 2, doubted: false };
    assert_eq!(member.protecting_key(last.plus(1)), Err(refusal));
    read(&mut member, 2, last.plus(1), &all);
    assert_eq!(member.protecting_key(last.plus(1)), Ok(key_id(2)));
}

#[test]
fn a_key_that_disappears_raises_an_alarm_and_protects_no_longer_but_opens() {
    let mut member = ready();
    let name = records()[2].name.clone();
    read(&mut member, 1, NOW, &records()[..2]);
    let alarm = Alarm { replica: replica(1), room: Room::Keys, name, changed: false };
    assert_eq!(member.alarms().collect::<Vec<_>>(), [&alarm]);
    assert_eq!(member.protecting_key(NOW), not_usable(1, 1, true));
    assert!(member.unprotect_leave(NOW, key_id(1), false).is_ok());
    // Reading the same gap again says nothing new.
    read(&mut member, 1, NOW, &records()[..2]);
    assert_eq!((member.alarms().count(), member.protecting_key(NOW)), (1, not_usable(1, 1, true)));
    // The alarm stays when the key is back, but it protects again.
    read(&mut member, 1, NOW, &records());
    assert_eq!((member.alarms().count(), member.protecting_key(NOW)), (1, Ok(key_id(1))));
}

#[test]
fn a_key_that_is_gone_on_one_replica_is_not_believed_on_the_others() {
    let mut member = member(2);
    for n in [1, 2] {
        read(&mut member, n, NOW, &records());
    }
    read(&mut member, 1, NOW, &records()[..2]);
    read(&mut member, 2, NOW, &records());
    assert_eq!(member.protecting_key(NOW), not_usable(2, 2, true));
    read(&mut member, 1, NOW, &records());
    assert_eq!(member.protecting_key(NOW), Ok(key_id(1)));
}

#[test]
fn another_record_in_a_known_slot_raises_an_alarm() {
    let mut changed = records();
    changed[2] = key(5, T0, |_| {});
    assert_eq!(changed[2].name, records()[2].name);
    let mut member = ready();
    read(&mut member, 1, NOW, &changed);
    let alarms: Vec<_> = member.alarms().cloned().collect();
    assert_eq!(alarms.len(), 1);
    assert!(alarms[0].changed && alarms[0].to_string().contains("changed"));
    assert!(member.unprotect_leave(NOW, key_id(1), false).is_ok());
}

#[test]
fn a_second_record_beside_a_known_one_is_a_twin_and_no_alarm() {
    let twin = key(5, T0.plus(1), |_| {});
    let both = [records(), vec![twin]].concat();
    let mut member = ready();
    read(&mut member, 1, NOW, &both);
    assert_eq!(member.alarms().count(), 0);
    assert_eq!(member.protecting_key(NOW), Ok(key_id(5)));
    // A key in such a slot heals too.
    read(&mut member, 1, NOW, &both[..2]);
    assert!(matches!(member.protecting_key(NOW), Err(ProtectRefusal::NotUsable { doubted: true, .. })));
    read(&mut member, 1, NOW, &both);
    assert_eq!(member.protecting_key(NOW), Ok(key_id(5)));
}

#[test]
fn control_records_that_go_raise_an_alarm_and_stay_in_force() {
    let stop = status(1, Change::Compromised, T0, &[]);
    let all = [records(), vec![stop]].concat();
    let mut member = member(1);
    read(&mut member, 1, T0, &all);
    read(&mut member, 1, NOW, &records());
    assert_eq!(member.alarms().map(|a| (a.room, a.changed)).collect::<Vec<_>>(), [(Room::Control, false)]);
    let refusal = member.unprotect_leave(NOW, key_id(1), false);
    assert_eq!(refusal, Err(UnprotectRefusal::Compromised { key: key_id(1) }));
}

#[test]
fn a_destroyed_key_may_go() {
    let mut member = ready();
    let tombstone = status(1, Change::Destroyed, T0, &[]);
    read(&mut member, 1, NOW, &[&records()[..2], &[tombstone]].concat());
    assert_eq!(member.alarms().count(), 0);
    // Nor does it come back from a replica that lags behind.
    read(&mut member, 2, NOW, &records());
    let refusal = member.unprotect_leave(NOW, key_id(1), true);
    assert_eq!(refusal, Err(UnprotectRefusal::Destroyed { key: key_id(1) }));
    assert_eq!(member.protecting_key(NOW), Err(ProtectRefusal::NoKey));
}

#[test]
fn a_replica_that_lags_takes_nothing_away() {
    let mut member = member(2);
    read(&mut member, 1, NOW, &records());
    read(&mut member, 2, NOW, &[]);
    assert_eq!(member.alarms().count(), 0);
    assert!(member.unprotect_leave(NOW, key_id(1), false).is_ok());
    let records = records();
    assert!(records.iter().all(|r| member.holds(r.room, &r.name, r.digest)));
}

#[test]
fn a_key_that_opens_later_is_usable_then() {
    let mut closed = records();
    closed[2].verified = false;
    let mut member = member(1);
    read(&mut member, 1, T0, &closed);
    assert!(member.unprotect_leave(T0, key_id(1), false).is_err());
    read(&mut member, 1, NOW, &records());
    assert!(member.unprotect_leave(NOW, key_id(1), false).is_ok());
    assert_eq!(member.protecting_key(NOW), Ok(key_id(1)));
    // Once opened it stays open, whatever a later reading makes of it.
    read(&mut member, 1, NOW, &closed);
    assert_eq!(member.protecting_key(NOW), Ok(key_id(1)));
}

#[test]
fn a_key_whose_access_control_is_loosened_on_any_replica_protects_no_longer() {
    let mut loose = records();
    loose[2].attested.template_ok = false;
    let mut member = member(2);
    for n in [1, 2] {
        read(&mut member, n, T0, &records());
    }
    assert_eq!(member.protecting_key(T0), Ok(key_id(1)));
    read(&mut member, 1, NOW, &loose);
    read(&mut member, 2, NOW, &records());
    assert_eq!(member.protecting_key(NOW), Err(ProtectRefusal::NoKey));
    assert!(member.unprotect_leave(NOW, key_id(1), false).is_ok());
    read(&mut member, 1, NOW, &records());
    assert_eq!(member.protecting_key(NOW), Ok(key_id(1)), "and again when it is mended");
}

#[test]
fn a_key_that_shows_something_else_on_any_replica_protects_no_longer() {
    let with = |public| {
        let mut records = records();
        records[2].public = public;
        records
    };
    let (honest, lying) = (with(PublicPart::Agrees), with(PublicPart::Differs));
    let mut member = member(2);
    for n in [1, 2] {
        read(&mut member, n, T0, &honest);
    }
    assert_eq!(member.protecting_key(T0), Ok(key_id(1)));
    read(&mut member, 1, NOW, &lying);
    read(&mut member, 2, NOW, &honest);
    assert_eq!(member.protecting_key(NOW), Err(ProtectRefusal::NoKey));
    assert_eq!(member.ring().key(key_id(1)).unwrap().distrust, Some(Distrust::Misdescribed));
    assert!(member.unprotect_leave(NOW, key_id(1), false).is_ok());
    read(&mut member, 1, NOW, &honest);
    assert_eq!(member.protecting_key(NOW), Ok(key_id(1)), "and again when it is mended");
}

#[test]
fn a_key_whose_material_is_withheld_is_judged_and_never_used() {
    let mut shown = records();
    let whole = shown[2].digest;
    shown[2].verified = false;
    shown[2].public = PublicPart::Alone;
    shown[2].digest = Digest([5; 32]);
    let mut member = member(1);
    read(&mut member, 1, T0, &shown);
    let key = member.ring().key(key_id(1)).unwrap();
    assert!(key.is_withheld() && key.distrust.is_none());
    assert_eq!(member.ring().protecting(T0).next().map(RingKey::id), Some(key_id(1)));
    assert!(matches!(member.protecting_key(T0), Err(ProtectRefusal::NotUsable { read_from: 0, .. })));
    assert!(member.unprotect_leave(T0, key_id(1), true).is_err());
    // When it may be read, nothing has changed.
    member.forget_replica(replica(1));
    read(&mut member, 1, NOW, &records());
    assert_eq!(member.alarms().count(), 0);
    assert_eq!(member.protecting_key(NOW), Ok(key_id(1)));
    assert_eq!(member.ring().key(key_id(1)).unwrap().digest, whole);
}

#[test]
fn a_tombstone_whose_access_control_is_loosened_holds() {
    let mut all = [records(), vec![status(1, Change::Destroyed, T0, &[])]].concat();
    let mut member = member(1);
    read(&mut member, 1, T0, &all);
    all[3].attested.template_ok = false;
    read(&mut member, 1, NOW, &all);
    assert!(member.ring().is_destroyed(key_id(1)));
}

#[test]
fn the_simulation_can_switch_read_back_off() {
    let put = Arc::new(key(1, T0, |_| {}));
    let off = Safeguards { read_back: false, ..Safeguards::ALL };
    let mut careless = Member::new([1; 16], 3, None, off);
    let mut careful = member(3);
    for member in [&mut careless, &mut careful] {
        read(member, 1, NOW, &[policy(|_| {})]);
        member.put_acknowledged(put.clone());
    }
    assert_eq!(careless.protecting_key(NOW), Ok(key_id(1)));
    assert_eq!(careful.protecting_key(NOW), Err(ProtectRefusal::NoKey));
}

#[test]
fn a_copy_of_a_key_that_comes_and_goes_is_no_doubt_of_the_key() {
    let copy = key(1, T0.plus(1), |k| k.predecessor = Some(key_id(9)));
    let mut member = ready();
    read(&mut member, 1, NOW, &[records(), vec![copy]].concat());
    assert_eq!(member.protecting_key(NOW), Ok(key_id(1)));
    read(&mut member, 1, NOW, &records());
    assert_eq!((member.alarms().count(), member.protecting_key(NOW)), (1, Ok(key_id(1))));
}
