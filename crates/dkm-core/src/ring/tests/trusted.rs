//! Which keys may protect: each reason why not, at its bounds, and each exception.

use super::*;
use crate::record::Family;
use crate::slot::Principal;

const DELAY: u64 = HOUR_MS;
const SKEW: u64 = MINUTE_MS;

fn judged(records: &[Observed], n: u8, now: Timestamp) -> Option<Distrust> {
    let mut all = vec![policy(|_| {}), key(1, T0, |_| {})];
    all.extend_from_slice(records);
    ring(&all, now).key(key_id(n)).unwrap().distrust.clone()
}

const LATER: Timestamp = T0.plus(200 * DAY_MS);

/// A successor of key 1 with these times.
fn second(created: Timestamp, activates: Timestamp) -> Observed {
    key(2, created, |k| {
        k.predecessor = Some(key_id(1));
        k.activates_at_ms = activates.0;
    })
}

#[test]
fn a_first_key_and_its_successor_are_trusted() {
    assert_eq!(judged(&[], 1, T0), None);
    assert_eq!(judged(&[successor(2, 1, T0.plus(DAY_MS))], 2, LATER), None);
}

#[test]
fn each_fault_has_its_reason() {
    let good = successor(2, 1, T0.plus(DAY_MS));
    let changed = |change: fn(&mut Observed)| {
        let mut seen = good.clone();
        change(&mut seen);
        judged(&[seen], 2, LATER)
    };
    assert_eq!(changed(|s| s.verified = false), Some(Distrust::NotVerified));
    assert_eq!(changed(|s| s.name = "x".parse().unwrap()), Some(Distrust::WrongSlot));
    assert_eq!(changed(|s| s.attested.template_ok = false), Some(Distrust::LooseAccessControl));
    assert_eq!(changed(|s| *s = key(2, T0, |k| k.origin = Origin::Restored)), Some(Distrust::NotRolled));
    assert_eq!(changed(|s| *s = key(2, T0, |k| k.origin = Origin::Imported)), Some(Distrust::NotRolled));
    assert_eq!(changed(|s| *s = key(2, T0, |k| k.family = Family::Windows)), Some(Distrust::ForeignFamily));
    let imported = changed(|s| {
        *s = key(2, T0, |k| {
            k.family = Family::Windows;
            k.origin = Origin::Imported;
        });
    });
    assert_eq!(imported, Some(Distrust::NotRolled));

    let mut records =
        vec![policy(|p| p.creators = Some(vec!["uid:0".into()])), key(1, T0, |_| {}), good.clone()];
    assert_eq!(ring(&records, LATER).key(key_id(2)).unwrap().distrust, None);
    records[2].attested.creator = Principal("uid:7".into());
    let stranger = ring(&records, LATER);
    assert_eq!(stranger.key(key_id(2)).unwrap().distrust, Some(Distrust::NotACreator));
    assert_eq!(
        stranger.findings,
        [Finding::KeyIgnored { key: key_id(2), why: Distrust::NotACreator, creator: "uid:7".into() }]
    );
}

#[test]
fn a_key_that_is_not_trusted_is_archived_and_never_protects() {
    let mut planted = successor(2, 1, T0.plus(DAY_MS));
    planted.attested.template_ok = false;
    let ring = ring(&[policy(|_| {}), key(1, T0, |_| {}), planted], LATER);
    assert_eq!(ring.key(key_id(2)).unwrap().state(LATER), KeyState::Deactivated);
    assert_eq!(ring.protecting(LATER).map(RingKey::id).collect::<Vec<_>>(), [key_id(1)]);
}

#[test]
fn a_key_from_the_future_is_not_trusted_until_then() {
    let created = T0.plus(DAY_MS);
    let seen = successor(2, 1, created);
    assert_eq!(
        judged(std::slice::from_ref(&seen), 2, created.minus(SKEW + 1)),
        Some(Distrust::CreatedInFuture)
    );
    assert_eq!(judged(&[seen], 2, created.minus(SKEW)), None);
}

#[test]
fn a_key_must_wait_for_the_activation_delay_whatever_it_says_of_its_creation() {
    let made = T0.plus(DAY_MS);
    assert_eq!(judged(&[second(made, made.plus(DELAY - 1))], 2, LATER), Some(Distrust::ShortDelay));
    assert_eq!(judged(&[second(made, made.plus(DELAY))], 2, LATER), None);
    let backdated = key(2, made, |k| {
        k.predecessor = Some(key_id(1));
        k.created_at_ms = made.0 - 10 * DAY_MS;
        k.activates_at_ms = made.0 - DAY_MS;
    });
    assert_eq!(judged(&[backdated], 2, LATER), Some(Distrust::ShortDelay));
}

#[test]
fn a_key_dated_far_beyond_its_predecessors_end_is_not_trusted() {
    let end = T0.plus(90 * DAY_MS);
    let made = T0.plus(DAY_MS);
    let latest = end.plus(DELAY + 2 * SKEW);
    assert_eq!(judged(&[second(made, latest)], 2, LATER), None);
    assert_eq!(judged(&[second(made, latest.plus(1))], 2, LATER), Some(Distrust::TooFarAhead));
    // Overdue: the bound moves with its making.
    let made = T0.plus(150 * DAY_MS);
    let latest = made.plus(DELAY + DELAY + 2 * SKEW);
    assert_eq!(judged(&[second(made, latest)], 2, LATER), None);
    assert_eq!(judged(&[second(made, latest.plus(1))], 2, LATER), Some(Distrust::TooFarAhead));
}

#[test]
fn twins_of_the_first_key_are_trusted_while_replicas_may_not_have_heard_of_each_other() {
    let bound = MINUTE_MS + 30_000 + 2 * MINUTE_MS;
    let twin = |at| key(2, at, |_| {});
    assert_eq!(judged(&[twin(T0.plus(bound))], 2, LATER), None);
    assert_eq!(judged(&[twin(T0.plus(bound + 1))], 2, LATER), Some(Distrust::ShortDelay));
    // Later first keys wait like others, and no key is first once a successor was made.
    let patient = key(2, T0.plus(DAY_MS), |k| {
        k.attempt = 1;
        k.activates_at_ms += DELAY;
    });
    assert_eq!(judged(&[patient], 2, LATER), None);
    let made = T0.plus(DAY_MS);
    let planted = |at| key(4, at, |k| k.attempt = 1);
    let judge = |at| {
        let ring = ring(&[policy(|_| {}), successor(3, 1, made), planted(at)], LATER);
        ring.key(key_id(4)).unwrap().distrust.clone()
    };
    assert_eq!(judge(made.plus(2 * SKEW + 1)), Some(Distrust::ShortDelay), "the true first key is erased");
    // A successor by a replica whose clock is behind does not disown the first key.
    assert_eq!([judge(made), judge(made.plus(2 * SKEW))], [None, None]);
}

#[test]
fn after_a_compromise_the_next_key_may_be_used_at_once() {
    let made = T0.plus(DAY_MS);
    let at_once = second(made, made);
    assert_eq!(judged(std::slice::from_ref(&at_once), 2, LATER), Some(Distrust::ShortDelay));
    let compromised = status(1, Change::Compromised, made.plus(5), &[]);
    assert_eq!(judged(&[at_once.clone(), compromised], 2, LATER), None);
    // Only the compromise of the key that protected then: neither of another, nor a mere suspension.
    let other = status(3, Change::Compromised, made, &[]);
    let suspended = status(1, Change::Suspended, made, &[]);
    assert_eq!(judged(&[at_once, other, suspended], 2, LATER), Some(Distrust::ShortDelay));
}

#[test]
fn after_an_exposure_the_next_key_may_be_used_at_once() {
    let until = T0.plus(DAY_MS);
    let interval = exposed(T0.plus(1), until);
    assert_eq!(judged(&[second(until, until), interval.clone()], 2, LATER), None);
    let before = until.minus(1);
    assert_eq!(
        judged(&[second(before, before), interval.clone()], 2, LATER),
        Some(Distrust::ShortDelay),
        "the person could still read it"
    );
    // Once the group has rolled away from it, an old exposure excuses nothing.
    let third = key(3, until.plus(DAY_MS), |k| k.predecessor = Some(key_id(2)));
    let records = [second(until, until), interval, third];
    assert_eq!(judged(&records, 3, LATER), Some(Distrust::ShortDelay));
}

#[test]
fn a_policy_that_changes_disowns_no_key_made_under_the_one_before() {
    let first = policy(|_| {});
    let changed = T0.plus(10 * DAY_MS);
    let longer = policy_after(&[&first], 2, changed, |p| p.activation_delay_ms = 5 * DELAY);
    // Refresh with jitter, replication, deadline and skew: how long a creator may not know of the change.
    let lag = 330_000 + MINUTE_MS + 30_000 + 2 * MINUTE_MS;
    let with = |made: Timestamp, delay: u64| {
        let records = [first.clone(), longer.clone(), key(1, T0, |_| {}), second(made, made.plus(delay))];
        ring(&records, LATER).key(key_id(2)).unwrap().distrust.clone()
    };
    assert_eq!(with(changed.minus(DAY_MS), DELAY), None, "long before");
    assert_eq!(with(changed.plus(lag), DELAY), None, "not heard of it yet");
    assert_eq!(with(changed.plus(lag + 1), DELAY), Some(Distrust::ShortDelay));
    assert_eq!(with(changed.plus(lag + 1), 5 * DELAY), None);

    let first = policy(|p| p.activation_delay_ms = 5 * DELAY);
    let shorter = policy_after(&[&first], 2, changed, |_| {});
    let with = |made: Timestamp| {
        let records = [first.clone(), shorter.clone(), key(1, T0, |_| {}), second(made, made.plus(DELAY))];
        ring(&records, LATER).key(key_id(2)).unwrap().distrust.clone()
    };
    assert_eq!(with(changed), None);
    assert_eq!(with(changed.minus(SKEW)), None, "clocks may differ");
    assert_eq!(with(changed.minus(SKEW + 1)), Some(Distrust::ShortDelay), "nobody can have known it");
}

#[test]
fn the_delay_required_is_the_shortest_that_its_creator_could_have_known() {
    let first = policy(|_| {});
    let second = policy_after(&[&first], 2, T0.plus(DAY_MS), |p| p.activation_delay_ms = 3 * DELAY);
    let chain = ring(&[first, second], LATER).policies;
    let required = |at: Timestamp| chain.activation_delay_required_ms(at);
    assert_eq!(required(T0.minus(DAY_MS)), None, "before any policy");
    assert_eq!(required(T0.plus(HOUR_MS)), Some(DELAY));
    assert_eq!(required(T0.plus(DAY_MS)), Some(DELAY));
    assert_eq!(required(T0.plus(2 * DAY_MS)), Some(3 * DELAY));
}

#[test]
fn the_simulation_can_switch_the_delay_off() {
    let made = T0.plus(DAY_MS);
    let records = [policy(|_| {}), key(1, T0, |_| {}), second(made, made)];
    let off = Safeguards { activation_delay: false, ..Safeguards::ALL };
    assert_eq!(Ring::derive(&records, LATER, off).key(key_id(2)).unwrap().distrust, None);
}

#[test]
fn a_successor_is_none_the_worse_for_the_loss_of_what_it_succeeded() {
    let end = T0.plus(90 * DAY_MS);
    let records = |came_back: Observed| vec![policy(|_| {}), second(end.minus(5 * DAY_MS), end), came_back];
    let back = |activates: Timestamp| {
        let mut copy = key(1, LATER, |k| {
            k.origin = Origin::Restored;
            k.activates_at_ms = activates.0;
        });
        copy.name = copy.record.slot(GroupId::default(), 0);
        copy
    };
    let distrust =
        |came_back| ring(&records(came_back), LATER).key(key_id(2)).and_then(|key| key.distrust.clone());
    let alone = [policy(|_| {}), second(end.minus(5 * DAY_MS), end)];
    let alone = ring(&alone, LATER).key(key_id(2)).and_then(|key| key.distrust.clone());
    assert_eq!(alone, Some(Distrust::TooFarAhead), "nothing says when its predecessor ended");
    assert_eq!(distrust(back(T0)), None);
    // A copy that claims times does not carry its successor further than a key that protected then could have.
    for lie in [T0.minus(DAY_MS), end.minus(5 * DAY_MS).plus(2 * SKEW + 1), end] {
        assert_eq!(distrust(back(lie)), Some(Distrust::TooFarAhead), "{lie}");
    }
    let windows = |mut copy: Observed| {
        if let Record::Key(record) = &mut copy.record {
            record.family = Family::Windows;
        }
        copy
    };
    assert_eq!(distrust(windows(back(T0))), Some(Distrust::TooFarAhead));
}
