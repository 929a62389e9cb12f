//! Cases that the simulation has found.

use super::testing::*;
use super::*;
use crate::record::{Change, Purpose};
use crate::time::{DAY_MS, HOUR_MS};

/// A key for immediate use after `predecessor`.
fn urgent(n: u8, predecessor: u8, attempt: u32, created: Timestamp) -> Observed {
    key(n, created, |record| {
        record.predecessor = Some(key_id(predecessor));
        record.attempt = attempt;
    })
}

fn by(creator: &str, mut seen: Observed) -> Observed {
    seen.attested.creator.0 = creator.to_owned();
    seen
}

fn distrust(ring: &Ring, n: u8) -> Option<Distrust> {
    ring.key(key_id(n)).unwrap().distrust.clone()
}

const NOW: Timestamp = T0.plus(30 * DAY_MS);

#[test]
fn a_record_that_claims_the_highest_attempt_does_not_stop_rolling() {
    let records = [policy(|_| {}), key(1, T0, |_| {}), urgent(9, 1, u32::MAX, NOW)];
    assert_eq!(ring(&records, NOW).free_attempt(Some(key_id(1))), 0);
    let records = [policy(|_| {}), key(1, T0, |_| {}), urgent(8, 1, 0, NOW), urgent(9, 1, u32::MAX, NOW)];
    assert_eq!(ring(&records, NOW).free_attempt(Some(key_id(1))), 1);
}

#[test]
fn litter_and_copies_of_known_keys_take_slots_too() {
    let litter = Observed {
        room: Room::Keys,
        name: SlotName::for_key(Some(key_id(1)), 0),
        ..exposed(T0, T0.plus(DAY_MS))
    };
    let mut ring = ring(&[policy(|_| {}), key(1, T0, |_| {}), urgent(1, 1, 1, NOW), litter], NOW);
    assert_eq!(ring.free_attempt(Some(key_id(1))), 2);
    ring.take_slots([SlotName::for_key(Some(key_id(1)), 2)]);
    assert_eq!(ring.free_attempt(Some(key_id(1))), 3);
}

#[test]
fn an_old_key_put_into_another_slot_stays_what_it_was() {
    let records = [policy(|_| {}), key(1, T0, |_| {}), successor(2, 1, T0.plus(DAY_MS))];
    // Whichever digest the copy has, the older record counts.
    for attempt in 0..16 {
        let copy = key(1, NOW, |record| {
            record.predecessor = Some(key_id(2));
            record.attempt = attempt;
        });
        let ring = ring(&[&records[..], &[copy]].concat(), NOW);
        assert_eq!(ring.key(key_id(1)).unwrap().activation(), T0);
        assert_eq!(ring.protecting(NOW).next().map(RingKey::id), Some(key_id(2)));
    }
}

#[test]
fn a_compromise_does_not_excuse_what_others_had_planted_before() {
    let planted = by("uid:66", urgent(9, 1, 0, T0.plus(DAY_MS)));
    let before = by("uid:0", urgent(2, 1, 1, NOW));
    let after = by("uid:5", urgent(3, 1, 2, NOW.plus(HOUR_MS)));
    let compromise = status(1, Change::Compromised, NOW.plus(600_000), &[]);
    let records = [policy(|_| {}), key(1, T0, |_| {}), planted, before, compromise];
    let judged = ring(&records, NOW.plus(HOUR_MS));
    assert_eq!(distrust(&judged, 9), Some(Distrust::ShortDelay));
    assert_eq!(distrust(&judged, 2), None);
    // A client that makes one because nothing protects is right as well.
    let records = [records[0].clone(), records[1].clone(), records[4].clone(), after];
    assert_eq!(distrust(&ring(&records, NOW.plus(DAY_MS)), 3), None);
}

#[test]
fn after_an_exposure_the_suspended_key_does_not_stand_in_the_way() {
    let exposure = exposed(NOW.minus(DAY_MS), NOW.minus(HOUR_MS));
    let first = urgent(2, 1, 0, NOW.minus(HOUR_MS / 2));
    let suspended = status(2, Change::Suspended, NOW, &[]);
    let again = urgent(3, 1, 1, NOW.plus(600_000));
    let mut records = vec![policy(|_| {}), key(1, T0, |_| {}), exposure, first, again];
    let later = NOW.plus(HOUR_MS);
    assert_eq!(distrust(&ring(&records, later), 3), Some(Distrust::ShortDelay));
    records.push(suspended.clone());
    assert_eq!(distrust(&ring(&records, later), 3), None);
    // A resume that came long before, and of which every creator had heard, leaves no excuse.
    let resumed = status_for(2, Change::Resumed, Purpose::Ordinary, NOW.plus(1), &[&suspended]);
    records.push(resumed);
    records[4] = urgent(3, 1, 1, NOW.plus(HOUR_MS));
    assert_eq!(distrust(&ring(&records, NOW.plus(DAY_MS)), 3), Some(Distrust::ShortDelay));
}

#[test]
fn a_key_waiting_since_before_an_exposure_does_not_supersede_the_one_made_after_it() {
    let exposure = exposed(NOW.minus(DAY_MS), NOW);
    // Made in the interval, and active only after the key that was made because of it.
    let waiting = key(2, NOW.minus(HOUR_MS), |record| {
        record.predecessor = Some(key_id(1));
        record.activates_at_ms = NOW.0 + HOUR_MS;
    });
    let fresh = urgent(3, 1, 1, NOW.plus(60_000));
    let records = [policy(|_| {}), key(1, T0, |_| {}), exposure, waiting, fresh];
    let later = NOW.plus(10 * DAY_MS);
    let ring = ring(&records, later);
    assert_eq!(ring.protecting(later).next().map(RingKey::id), Some(key_id(3)));
    assert_eq!(ring.key(key_id(3)).unwrap().state(later), KeyState::Active);
    assert_eq!(ring.key(key_id(2)).unwrap().state(later), KeyState::Deactivated);
    assert_eq!(ring.key(key_id(1)).unwrap().superseded_at, Some(NOW.plus(60_000)));
}

#[test]
fn a_destroyed_key_does_not_excuse_what_others_had_planted_before_its_compromise() {
    let compromised = T0.plus(10 * DAY_MS);
    let records = [
        policy(|_| {}),
        status(1, Change::Compromised, compromised, &[]),
        status(1, Change::Destroyed, NOW, &[]),
        by("uid:66", urgent(9, 1, 0, T0.plus(DAY_MS))),
        by("uid:0", urgent(2, 1, 1, compromised.minus(600_000))),
    ];
    let ring = ring(&records, NOW.plus(HOUR_MS));
    assert_eq!(distrust(&ring, 9), Some(Distrust::ShortDelay));
    assert_eq!(distrust(&ring, 2), None, "the owner's replacement, made just before");
}

#[test]
fn a_destroyed_key_excuses_nothing_that_was_made_after_it_was_replaced() {
    let history = [
        policy(|_| {}),
        status(1, Change::Compromised, T0.plus(10 * DAY_MS), &[]),
        status(1, Change::Destroyed, NOW, &[]),
        urgent(2, 1, 0, T0.plus(10 * DAY_MS - HOUR_MS)),
    ];
    let good = ring(&history, NOW);
    assert_eq!(distrust(&good, 2), None, "the replacement of an erased key");
    for created in [T0.plus(20 * DAY_MS), NOW.plus(DAY_MS)] {
        let planted = by("uid:66", urgent(9, 1, 1, created));
        let ring = ring(&[&history[..], &[planted]].concat(), NOW.plus(2 * DAY_MS));
        assert_eq!(distrust(&ring, 9), Some(Distrust::ShortDelay));
    }
}
