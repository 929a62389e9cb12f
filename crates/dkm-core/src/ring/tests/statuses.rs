//! The lattice of states: what counts is which statuses there are, not in which order or when they came.

use proptest::prelude::*;

use super::*;
use crate::slot::Principal;

const NOW: Timestamp = T0.plus(DAY_MS);

fn key_with(statuses: &[&Observed]) -> RingKey {
    let mut records = vec![policy(|_| {}), key(1, T0, |_| {})];
    records.extend(statuses.iter().map(|s| (*s).clone()));
    ring(&records, NOW).key(key_id(1)).unwrap().clone()
}

fn state_with(statuses: &[&Observed]) -> KeyState {
    key_with(statuses).state(NOW)
}

#[test]
fn the_highest_state_wins() {
    let all = [
        (Change::Resumed, KeyState::Active),
        (Change::Suspended, KeyState::Suspended),
        (Change::Deactivated, KeyState::Deactivated),
        (Change::Compromised, KeyState::Compromised),
        (Change::Destroyed, KeyState::Destroyed),
    ];
    for (i, (change, state)) in all.iter().enumerate() {
        let higher = status(1, *change, T0, &[]);
        assert_eq!(state_with(&[&higher]), *state);
        for (lower, _) in &all[..i] {
            let lower = status(1, *lower, T0.plus(HOUR_MS), &[]);
            assert_eq!(state_with(&[&higher, &lower]), *state, "{change:?} before a later {lower:?}");
        }
    }
}

#[test]
fn a_resume_cancels_the_suspensions_that_it_names_and_no_others() {
    let one = status(1, Change::Suspended, T0, &[]);
    let two = status(1, Change::Suspended, T0.plus(1), &[]);
    let resume_one = status(1, Change::Resumed, T0.plus(2), &[&one]);
    assert_eq!(state_with(&[&one, &resume_one]), KeyState::Active);
    assert_eq!(state_with(&[&one, &two, &resume_one]), KeyState::Suspended);
    assert_eq!(key_with(&[&one, &two, &resume_one]).status.suspensions, [two.digest]);
    let resume_two = status(1, Change::Resumed, T0.plus(3), &[&two]);
    assert_eq!(state_with(&[&one, &two, &resume_one, &resume_two]), KeyState::Active);
    // A suspension that comes after a resume, or that the resume did not know of, is not cancelled by it.
    let again = status(1, Change::Suspended, T0.plus(4), &[&resume_one]);
    assert_eq!(state_with(&[&one, &resume_one, &again]), KeyState::Suspended);
    // A resume lifts nothing but suspensions.
    for change in [Change::Deactivated, Change::Compromised, Change::Destroyed] {
        let end = status(1, change, T0, &[]);
        let resume = status(1, Change::Resumed, T0.plus(1), &[&end]);
        assert_eq!(state_with(&[&end, &resume]), state_with(&[&end]));
    }
}

#[test]
fn use_in_the_cooling_off_time_cancels_that_and_nothing_else() {
    let cooling = status_for(1, Change::Suspended, Purpose::CoolingOff, T0, &[]);
    let suspended = status(1, Change::Suspended, T0.plus(1), &[]);
    let used = status_for(1, Change::Resumed, Purpose::InUse, T0.plus(2), &[&cooling, &suspended]);
    assert_eq!(key_with(&[&cooling]).status.cooling_off_since, Some(T0));

    let key = key_with(&[&cooling, &suspended, &used]);
    assert_eq!((key.status.cooling_off_since, key.status.use_noticed), (None, true));
    assert_eq!(key.status.suspensions, [suspended.digest], "a member cannot resume what an owner suspended");

    let begun_again = status_for(1, Change::Suspended, Purpose::CoolingOff, T0.plus(HOUR_MS), &[&used]);
    let key = key_with(&[&cooling, &used, &begun_again]);
    assert_eq!(key.status.cooling_off_since, Some(T0.plus(HOUR_MS)));
}

#[test]
fn a_key_cools_off_from_the_latest_beginning() {
    let one = status_for(1, Change::Suspended, Purpose::CoolingOff, T0.plus(5), &[]);
    let two = status_for(1, Change::Suspended, Purpose::CoolingOff, T0, &[]);
    assert_eq!(key_with(&[&one, &two]).status.cooling_off_since, Some(T0.plus(5)));
}

#[test]
fn only_owners_change_states_and_only_creators_notice_use() {
    let with = |statuses: &[Observed]| {
        let mut records = vec![
            policy(|p| {
                p.owners = Some(vec!["uid:0".into()]);
                p.creators = Some(vec!["uid:5".into()]);
            }),
            key(1, T0, |_| {}),
        ];
        records[1].attested.creator = Principal("uid:5".into());
        records.extend_from_slice(statuses);
        let ring = ring(&records, NOW);
        let state = ring.key(key_id(1)).unwrap().state(NOW);
        (state, ring.findings.len())
    };
    let by = |who: &str, mut seen: Observed| {
        seen.attested.creator = Principal(who.into());
        seen
    };
    let stop = status(1, Change::Compromised, T0, &[]);
    assert_eq!(with(&[by("uid:0", stop.clone())]), (KeyState::Compromised, 0));
    assert_eq!(with(&[by("uid:5", stop.clone())]), (KeyState::Active, 1));
    let mut loose = by("uid:0", stop);
    loose.attested.template_ok = false;
    assert_eq!(with(&[loose]), (KeyState::Active, 1));

    let cooling = by("uid:0", status_for(1, Change::Suspended, Purpose::CoolingOff, T0, &[]));
    let used = status_for(1, Change::Resumed, Purpose::InUse, T0, &[&cooling]);
    assert_eq!(with(&[cooling.clone(), by("uid:5", used.clone())]), (KeyState::Active, 0));
    assert_eq!(with(&[cooling, by("uid:0", used)]), (KeyState::Suspended, 1));
}

#[test]
fn a_tombstone_outlives_its_keys_record() {
    let mut records = vec![policy(|_| {}), key(1, T0, |_| {}), status(1, Change::Destroyed, NOW, &[])];
    assert!(ring(&records, NOW).is_destroyed(key_id(1)));
    records.remove(1);
    let ring = ring(&records, NOW);
    assert!(ring.is_destroyed(key_id(1)) && ring.key(key_id(1)).is_none());
    assert_eq!(ring.tombstones[&key_id(1)].destroyed, Some(NOW));
    assert!(!ring.is_destroyed(key_id(2)));
}

#[test]
fn one_status_in_two_slots_is_one_status() {
    let stop = status(1, Change::Suspended, T0, &[]);
    let copy = Observed { name: "copy".parse().unwrap(), ..stop.clone() };
    let key = key_with(&[&stop, &copy]);
    assert_eq!((&key.status.heads, &key.status.suspensions), (&vec![stop.digest], &vec![stop.digest]));
}

proptest! {
    /// What a status says of its epoch, time and reason changes no state.
    #[test]
    fn epochs_and_times_of_authors_decide_nothing(
        changes in proptest::collection::vec((0u8..5, any::<u32>(), any::<u64>()), 1..6),
    ) {
        let choices =
            [Change::Resumed, Change::Suspended, Change::Deactivated, Change::Compromised, Change::Destroyed];
        let with = |told: bool| {
            let mut records = vec![policy(|_| {}), key(1, T0, |_| {})];
            for (i, (change, epoch, when_ms)) in changes.iter().enumerate() {
                let mut seen = status(1, choices[usize::from(*change)], T0.plus(u64::try_from(i).unwrap()), &[]);
                if let (Record::Status(status), true) = (&mut seen.record, told) {
                    (status.epoch, status.when_ms) = (*epoch, *when_ms);
                    seen.digest = Digest::of(&seen.record.encode(GROUP));
                }
                records.push(seen);
            }
            let ring = ring(&records, NOW);
            let key = ring.key(key_id(1)).unwrap();
            (key.state(NOW), key.deactivated_since(NOW), key.status.destroyed, key.status.compromised)
        };
        prop_assert_eq!(with(true), with(false));
    }
}
