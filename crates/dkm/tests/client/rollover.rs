//! Keys roll as clients work, and old content stays readable.

use std::collections::BTreeSet;

use dkm::core::member::ProtectRefusal;
use dkm::core::ring::KeyState;
use dkm::journal::EventKind;
use dkm::repository::memory::Replication;
use dkm::{Error, Policy, Reprotected};

use crate::world::{DAY_MS, World, context, protecting};

#[test]
fn keys_roll_by_themselves_and_a_cold_client_opens_everything() {
    let world = World::new(2);
    let group = world.group();
    let mut blobs = Vec::new();
    for _ in 0..400 {
        world.work(&group, 1);
        blobs.push(group.protect(&context(), b"secret").unwrap());
    }
    let view = group.view().unwrap();
    // 400 days with a period of 90: the first key and four successors.
    assert_eq!(view.ring.keys.len(), 5, "{:?}", view.ring.findings);
    let active = view.ring.keys.iter().filter(|key| key.state(view.now) == KeyState::Active).count();
    assert_eq!(active, 1);
    let cold = world.fresh("uid:2");
    for blob in &blobs {
        assert_eq!(&*cold.unprotect(&context(), blob).unwrap(), b"secret");
    }
    let delay_ms = view.policy.activation_delay_ms;
    for key in view.ring.keys.iter().skip(1) {
        assert!(key.activation().since(key.attested.created) >= delay_ms, "used before all could know it");
    }
}

#[test]
fn many_clients_make_one_successor() {
    let world = World::new(1);
    world.group();
    let clients: Vec<_> = (0..8).map(|i| world.fresh(["uid:1", "uid:2"][i % 2])).collect();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        world.clock.advance(DAY_MS);
        for client in &clients {
            client.protect(&context(), b"x").unwrap();
            seen.insert(protecting(client));
        }
    }
    assert_eq!(seen.len(), 2, "one rollover in a hundred days");
    assert_eq!(clients[0].view().unwrap().ring.keys.len(), 2);
}

#[test]
fn concurrent_rollers_adopt_the_winner() {
    let world = World::new(1);
    let group = world.group();
    let clients: Vec<_> = (0..6).map(|_| world.fresh("uid:1")).collect();
    let keys: BTreeSet<_> = std::thread::scope(|scope| {
        let rolls: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(|| client.roll("at the same time").unwrap().key))
            .collect();
        rolls.into_iter().map(|roll| roll.join().unwrap()).collect()
    });
    assert_eq!(keys.len(), 1, "all got the same key");
    group.refresh().unwrap();
    assert_eq!(group.view().unwrap().ring.keys.len(), 2);
}

#[test]
fn a_key_protects_only_after_it_was_read_from_two_replicas() {
    let world = World::new(2);
    let group = world.group();
    let first = protecting(&group);
    // Handles share one world: this one's records now stay where they are put.
    let repository = world.repository.clone().with_replication(Replication::ByHand);
    let new = group.roll("test").unwrap();
    world.clock.advance(new.activates_at.since(dkm::Timestamp(crate::world::T0)) + 1);
    group.refresh().unwrap();
    let view = group.view().unwrap();
    assert_eq!(view.ring.key(new.key).unwrap().state(view.now), KeyState::Active);
    assert_eq!(
        view.protecting.unwrap(),
        first,
        "the new key lies on one replica only: the old one stands in"
    );
    repository.replicate();
    group.refresh().unwrap();
    assert_eq!(protecting(&group), new.key);
}

#[test]
fn the_stand_in_ends_with_the_offline_grace() {
    let world = World::new(2);
    let group = world.group();
    let repository = world.repository.clone().with_replication(Replication::ByHand);
    let new = group.roll("test").unwrap();
    let grace_ms = group.policy().unwrap().offline_grace_ms;
    world.clock.advance(new.activates_at.since(dkm::Timestamp(crate::world::T0)) + grace_ms + 1);
    group.refresh().unwrap();
    assert!(matches!(group.protect(&context(), b"x"), Err(Error::Protect(ProtectRefusal::NotUsable { .. }))));
    repository.replicate();
    group.refresh().unwrap();
    assert!(group.protect(&context(), b"x").is_ok());
}

#[test]
fn rolling_twice_returns_the_key_that_waits() {
    let world = World::new(1);
    let group = world.group();
    let first = group.roll("one").unwrap();
    let second = group.roll("two").unwrap();
    assert_eq!(
        (first.key, first.was_there, second.key, second.was_there),
        (second.key, false, first.key, true)
    );
    assert_eq!(world.ledger.count(EventKind::KeyCreated), 2, "the group's first key and this one");
}

#[test]
fn overdue_warns_or_refuses_as_policy_says() {
    for limit in [None, Some(DAY_MS)] {
        let world = World::new(1);
        let group = world.group_with(Policy { overdue_refuse_after_ms: limit, ..Policy::for_directory() });
        // Nobody can write: no successor is made.
        world.repository.faults(0, |f| f.read_only = true);
        let period_ms = group.policy().unwrap().rotation_period_ms;
        world.clock.advance(period_ms + DAY_MS + 1);
        let result = group.protect(&context(), b"x");
        if limit.is_none() {
            assert!(result.is_ok());
            assert!(
                group.view().unwrap().rollover_fault.is_some()
                    || matches!(
                        group.view().unwrap().plan,
                        dkm::core::plan::Plan::Overdue { .. } | dkm::core::plan::Plan::CreateKey { .. }
                    )
            );
        } else {
            assert!(matches!(result, Err(Error::Protect(ProtectRefusal::Overdue { .. }))));
        }
        world.repository.heal();
        world.clock.advance(DAY_MS);
        let _ = group.protect(&context(), b"x");
        world.clock.advance(DAY_MS);
        assert!(group.protect(&context(), b"x").is_ok(), "a successor was made when it was possible again");
        assert_eq!(group.view().unwrap().ring.keys.len(), 2);
    }
}

#[test]
fn reprotect_renews_what_has_an_old_key_or_suite_and_nothing_else() {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"secret").unwrap();
    assert_eq!(group.reprotect(&context(), &blob).unwrap(), Reprotected::Current);
    let new = group.roll("test").unwrap();
    world.clock.advance(new.activates_at.since(dkm::Timestamp(crate::world::T0)));
    let Reprotected::Renewed(renewed) = group.reprotect(&context(), &blob).unwrap() else {
        panic!("an old key")
    };
    assert_eq!(group.reprotect(&context(), &renewed).unwrap(), Reprotected::Current);
    group.set_policy(Policy { suite: 3, ..group.policy().unwrap() }).unwrap();
    assert!(matches!(group.reprotect(&context(), &renewed).unwrap(), Reprotected::Renewed(_)));
    assert_eq!(&*group.unprotect(&context(), &renewed).unwrap(), b"secret");
}

#[test]
fn a_slot_taken_by_rubbish_or_by_a_planted_key_does_not_stop_the_rollover() {
    use dkm::core::record::{Family, KeyRecord, Material, Origin, Record};
    use dkm::core::{Attestation, Principal, Room, SlotName, Timestamp};
    let world = World::new(1);
    let group = world.group();
    let first = protecting(&group);
    // A creator fills the first slots: one cannot be read, one holds a key from the far future, one claims the last
    // attempt there is.
    world.repository.plant(0, group.id(), Room::Keys, &SlotName::for_key(Some(first), 0), b"rubbish", None);
    for (slot, attempt, material) in [(1, 1, [1; 32]), (2, u32::MAX, [2; 32])] {
        let planted = Record::Key(KeyRecord {
            id: dkm::core::kdf::key_id(group.id(), Family::Native, &material),
            family: Family::Native,
            origin: Origin::Rolled,
            created_at_ms: crate::world::T0,
            activates_at_ms: crate::world::T0 + 10_000 * DAY_MS,
            predecessor: Some(first),
            attempt,
            material: Material::Plain(material.into()),
            guid: None,
        });
        let attested = Attestation {
            creator: Principal("uid:1".into()),
            created: Timestamp(crate::world::T0),
            template_ok: true,
        };
        let name = SlotName::for_key(Some(first), slot);
        world.repository.plant(0, group.id(), Room::Keys, &name, &planted.encode(group.id()), Some(attested));
    }
    world.work(&group, 100);
    let view = group.view().unwrap();
    assert_ne!(view.protecting.unwrap(), first, "the key was rolled: {:?}", view.rollover_fault);
    assert_eq!(view.ring.keys.iter().filter(|key| key.distrust.is_none()).count(), 2, "one successor");
}
