use super::*;
use crate::record::RosterRecord;
use crate::ring::KeyState;

fn restore(archive: &[Observed], existing: &[Observed], consent: RestoreConsent) -> RestorePlan {
    let now = T0.plus(100 * DAY_MS);
    restore_plan(&archive_of(archive), GROUP, existing, now, consent).unwrap()
}

fn without_consent(archive: &[Observed], existing: &[Observed]) -> RestorePlan {
    restore(archive, existing, RestoreConsent::default())
}

/// What the repository holds after the steps, put at `at`.
fn carried_out(plan: &RestorePlan, existing: &[Observed], at: Timestamp) -> Vec<Observed> {
    let mut records = existing.to_vec();
    for step in &plan.steps {
        let (name, record) = match step {
            RestoreStep::PutControl { name, record } => (name, record.clone()),
            RestoreStep::PutKey { name, record } => {
                (name, Record::Key(KeyRecord { material: Material::None, ..record.clone() }))
            }
            RestoreStep::Roll => continue,
        };
        assert!(records.iter().all(|r| (r.room, &r.name) != (record.room(), name)), "{name} is free");
        records.push(Observed { name: name.clone(), ..t::seen(record, at) });
    }
    records
}

#[test]
fn keys_come_back_deactivated_in_slots_of_their_own() {
    let lost = [t::group(), t::policy(|_| {}), t::key(1, T0, |_| {}), t::successor(2, 1, T0.plus(DAY_MS))];
    let now = T0.plus(100 * DAY_MS);
    let existing = [t::group(), t::policy(|_| {})];
    let plan = without_consent(&lost, &existing);
    assert_eq!(plan.steps.len(), 3, "{plan:?}");
    assert_eq!(plan.steps[2], RestoreStep::Roll);
    let ring = t::ring(&carried_out(&plan, &existing, now), now);
    for n in [1, 2] {
        let key = ring.key(t::key_id(n)).unwrap();
        assert_eq!(key.state(now), KeyState::Deactivated);
        assert_eq!(key.name, SlotName::for_restored_key(key.id()));
        assert_eq!(key.record.created_at_ms, [T0, T0.plus(DAY_MS)][usize::from(n) - 1].0);
    }
    assert_eq!(ring.protecting(now).count(), 0);
}

#[test]
fn the_second_run_does_nothing() {
    let lost = [
        t::group(),
        t::policy(|_| {}),
        t::key(1, T0, |_| {}),
        t::key(2, T0, |k| k.attempt = 1),
        t::status(1, Change::Destroyed, T0, &[]),
        t::status(2, Change::Compromised, T0, &[]),
        t::exposed(T0, T0.plus(1)),
    ];
    let existing = [t::policy(|_| {})];
    let first = restore(&lost, &existing, RestoreConsent { group: true, policy: true, roster: true });
    assert_eq!(first.steps.len(), 6, "{first:?}");
    let after = carried_out(&first, &existing, T0.plus(DAY_MS));
    let second = restore(&lost, &after, RestoreConsent { group: true, policy: true, roster: true });
    assert_eq!(second.steps, []);
}

#[test]
fn a_destroyed_key_never_comes_back() {
    let tombstone = t::status(1, Change::Destroyed, T0, &[]);
    let policy = t::policy(|_| {});
    let lost = [policy.clone(), t::key(1, T0, |_| {})];
    let skipped = [RestoreSkip::KeyDestroyed { key: t::key_id(1) }];

    let plan = without_consent(&lost, &[policy.clone(), tombstone.clone()]);
    assert_eq!((&plan.steps[..], &plan.skipped[..]), (&[][..], &skipped[..]), "by the repository's word");

    let lost = [policy.clone(), t::key(1, T0, |_| {}), tombstone.clone()];
    let plan = without_consent(&lost, std::slice::from_ref(&policy));
    assert!(
        matches!(&plan.steps[..], [RestoreStep::PutControl { .. }, RestoreStep::Roll]),
        "by the archive's"
    );
    assert_eq!(plan.skipped, skipped);

    // Where the repository still holds the key, the tombstone takes it along.
    let existing = [policy, t::key(1, T0, |_| {})];
    let plan = without_consent(&lost, &existing);
    let ring = t::ring(&carried_out(&plan, &existing, T0), T0);
    assert!(ring.is_destroyed(t::key_id(1)));
}

#[test]
fn a_compromised_key_comes_back_compromised_and_the_status_comes_first() {
    let policy = t::policy(|_| {});
    let lost = [policy.clone(), t::key(1, T0, |_| {}), t::status(1, Change::Compromised, T0, &[])];
    let plan = without_consent(&lost, std::slice::from_ref(&policy));
    assert!(matches!(
        &plan.steps[..],
        [RestoreStep::PutControl { .. }, RestoreStep::PutKey { .. }, RestoreStep::Roll]
    ));
    let ring = t::ring(&carried_out(&plan, &[policy], T0), T0);
    assert_eq!(ring.key(t::key_id(1)).unwrap().state(T0), KeyState::Compromised);
}

#[test]
fn a_restored_key_stays_exposed() {
    let policy = t::policy(|_| {});
    let lost = [policy.clone(), t::key(1, T0, |_| {}), t::exposed(T0.plus(1), T0.plus(2))];
    let plan = without_consent(&lost, std::slice::from_ref(&policy));
    let now = T0.plus(DAY_MS);
    let ring = t::ring(&carried_out(&plan, &[policy], now), now);
    assert!(ring.key(t::key_id(1)).unwrap().is_exposed(now));
}

#[test]
fn statuses_of_strangers_do_nothing() {
    let policy = t::policy(|p| p.owners = Some(vec!["uid:0".into()]));
    let mut tombstone = t::status(1, Change::Destroyed, T0, &[]);
    tombstone.attested.creator = Principal("uid:7".into());
    let lost = [policy.clone(), t::key(1, T0, |_| {}), tombstone.clone()];
    let plan = without_consent(&lost, &[policy]);
    assert!(matches!(&plan.steps[..], [RestoreStep::PutKey { .. }, RestoreStep::Roll]));
    let skip = RestoreSkip::DoesNotCount { name: tombstone.name, kind: "status" };
    assert_eq!(plan.skipped, [skip]);
}

#[test]
fn authority_needs_consent() {
    let first = t::policy(|_| {});
    let second = t::policy_after(&[&first], 2, T0, |p| p.chunk_size = 4096);
    let lost = [t::group(), first.clone(), second.clone()];
    let plan = without_consent(&lost, std::slice::from_ref(&first));
    assert_eq!(plan.steps, []);
    assert_eq!(plan.skipped.len(), 2);

    let consent = RestoreConsent { group: true, policy: true, roster: false };
    let plan = restore(&lost, std::slice::from_ref(&first), consent);
    let ring = t::ring(&carried_out(&plan, std::slice::from_ref(&first), T0), T0);
    assert_eq!((ring.name.as_deref(), ring.policy().unwrap().chunk_size), (Some("mail-tokens"), 4096));

    let roster = RosterRecord {
        version: 1,
        previous: Vec::new(),
        created_at_ms: 0,
        persons: Vec::new(),
        levels: Vec::new(),
        change_delay_ms: 0,
        signatures: Vec::new(),
        elevation: None,
    };
    let roster = [t::seen(Record::Roster(roster), T0)];
    assert_eq!(restore(&roster, &[], consent).steps, []);
    let with_roster = restore(&roster, &[], RestoreConsent { roster: true, ..RestoreConsent::default() });
    assert!(matches!(&with_roster.steps[..], [RestoreStep::PutControl { .. }, RestoreStep::Roll]));

    // The slot after the first version is taken by another second version: the next attempt is.
    let other = t::policy_after(&[&first], 2, T0, |p| p.suite = 2);
    let existing = [t::group(), first, other];
    let plan = restore(&lost, &existing, consent);
    let ring = t::ring(&carried_out(&plan, &existing, T0), T0);
    assert_eq!((ring.policies.heads().len(), ring.policy().unwrap().chunk_size), (2, 4096));
}

#[test]
fn keys_that_open_are_left_alone_and_damaged_ones_are_replaced() {
    let policy = t::policy(|_| {});
    let lost = [policy.clone(), t::key(1, T0, |_| {})];
    let mut damaged = t::key(1, T0, |_| {});
    let plan = without_consent(&lost, &[policy.clone(), damaged.clone()]);
    assert_eq!(plan.skipped, [RestoreSkip::KeyPresent { key: t::key_id(1) }]);
    assert_eq!(plan.steps, [RestoreStep::Roll], "the protecting key is known to whoever opened the archive");

    damaged.verified = false;
    let existing = [policy.clone(), damaged];
    let plan = without_consent(&lost, &existing);
    let ring = t::ring(&carried_out(&plan, &existing, T0), T0);
    assert!(ring.key(t::key_id(1)).unwrap().verified);

    let mut squatter = t::key(1, T0, |k| k.origin = Origin::Restored);
    squatter.verified = false;
    let name = squatter.name.clone();
    let plan = without_consent(&lost, &[policy, squatter]);
    assert_eq!(plan.skipped, [RestoreSkip::SlotTaken { key: t::key_id(1), name }]);
}

#[test]
fn suspensions_and_foreign_groups_stay_behind() {
    let policy = t::policy(|_| {});
    let lost = [
        policy.clone(),
        t::status(1, Change::Suspended, T0, &[]),
        t::status(1, Change::Deactivated, T0, &[]),
    ];
    assert_eq!(without_consent(&lost, &[policy]), RestorePlan::default());
    let expected = GroupId([9; 16]);
    assert_eq!(
        restore_plan(&archive_of(&lost), expected, [], T0, RestoreConsent::default()),
        Err(RestoreError::WrongGroup { found: GROUP, expected })
    );
}

proptest! {
    /// Whatever the archive and the repository say of ten keys: no destroyed key is put, a compromise by either
    /// word holds, and planning again after the steps changes nothing.
    #[test]
    fn restoring_is_safe_and_ends(there in proptest::collection::vec((0u8..5, any::<bool>(), 0u8..3), 0..12),
                                  here in proptest::collection::vec((0u8..5, any::<bool>(), 0u8..3), 0..12)) {
        let records = |choices: &[(u8, bool, u8)]| {
            let mut all = vec![t::policy(|_| {})];
            for (n, key, status) in choices {
                if *key {
                    all.push(t::key(*n, T0, |k| k.attempt = u32::from(*n)));
                }
                let change = [None, Some(Change::Compromised), Some(Change::Destroyed)][usize::from(*status)];
                all.extend(change.map(|change| t::status(*n, change, T0, &[])));
            }
            all.sort_by_key(|seen| (seen.room, seen.name.clone(), seen.digest));
            all.dedup();
            all
        };
        let compromised: Vec<u8> = there.iter().chain(&here).filter(|c| c.2 == 1).map(|c| c.0).collect();
        let (there, here) = (records(&there), records(&here));
        let first = without_consent(&there, &here);
        let after = carried_out(&first, &here, T0);
        let ring = t::ring(&after, T0);
        let (ring_there, ring_here) = (t::ring(&there, T0), t::ring(&here, T0));
        for n in 0..5 {
            let id = t::key_id(n);
            let destroyed = ring_there.is_destroyed(id) || ring_here.is_destroyed(id);
            prop_assert_eq!(ring.is_destroyed(id), destroyed);
            let put = first.steps.iter().any(|s| matches!(s, RestoreStep::PutKey { record, .. } if record.id == id));
            prop_assert!(!(put && destroyed));
            let there_or_here = ring_there.key(id).or(ring_here.key(id)).is_some();
            if let Some(key) = ring.key(id) {
                prop_assert!(there_or_here);
                prop_assert!(destroyed || key.status.compromised.is_some() == compromised.contains(&n));
            } else {
                prop_assert!(!there_or_here || destroyed);
            }
        }
        let second = without_consent(&there, &after);
        prop_assert!(second.steps.iter().all(|step| *step == RestoreStep::Roll), "{:?}", second.steps);
    }
}
