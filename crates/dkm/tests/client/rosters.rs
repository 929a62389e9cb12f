//! Rosters: made with the group, followed by what the last one's people sign, and by nothing else.

use dkm::blocking::{Group, NewGroup};
use dkm::repository::GroupAccess;
use dkm::{Digest, ErrorKind, Policy};
use dkm_core::record::{ApprovalLevel, Person, Record, RosterRecord, RosterSignature};
use dkm_core::{Room, SlotName};

use crate::world::{DAY_MS, World};

/// Stands in for SSHSIG.
fn sign(key: &str, message: &[u8]) -> String {
    format!("{key} {}", Digest::of(message))
}

fn verify(key: &str, message: &[u8], signature: &str) -> bool {
    sign(key, message) == signature
}

fn level(name: &str, approver: &str) -> ApprovalLevel {
    ApprovalLevel { name: name.into(), approvers: vec![approver.into()], quorum: 1 }
}

fn first() -> RosterRecord {
    let person = |id: &str| Person {
        id: id.into(),
        keys: vec![format!("key-{id}")],
        accounts: vec![format!("person:{id}")],
    };
    RosterRecord {
        version: 1,
        previous: Vec::new(),
        created_at_ms: 1,
        persons: ["alice", "bob"].map(person).into(),
        levels: vec![level("manager", "alice"), level("legal", "bob")],
        change_delay_ms: DAY_MS,
        signatures: Vec::new(),
        elevation: None,
    }
}

fn guarded(world: &World) -> Group {
    let new = NewGroup {
        name: "tokens".into(),
        description: None,
        policy: Policy::for_directory(),
        access: GroupAccess::default(),
    };
    world.client().create_group_with_roster(new, first()).unwrap()
}

/// Drops the level of legal, signed by these.
fn fewer_levels(group: &Group, signers: &[&str]) -> RosterRecord {
    let tips = group.rosters(&verify).unwrap().chain.tips().to_vec();
    let mut record = RosterRecord { version: 2, previous: tips, ..first() };
    record.levels.truncate(1);
    let message = record.signed_bytes(group.id());
    record.signatures = signers
        .iter()
        .map(|id| RosterSignature { person: (*id).into(), signature: sign(&format!("key-{id}"), &message) })
        .collect();
    record
}

#[test]
fn a_version_takes_effect_once_all_levels_have_signed_and_its_time_has_come() {
    let world = World::new(1);
    let group = guarded(&world);
    let before = group.rosters(&verify).unwrap();
    assert_eq!(before.chain.in_force(), [before.genesis.unwrap()]);
    let written = group.set_roster(&fewer_levels(&group, &["alice", "bob"]), &verify).unwrap();
    assert_eq!(written.effective_at.0, world.now_ms() + DAY_MS);
    let waiting = group.rosters(&verify).unwrap();
    assert_eq!(waiting.chain.in_force(), before.chain.in_force());
    assert_eq!(waiting.chain.pending().count(), 1);
    world.clock.advance(DAY_MS);
    let after = world.fresh("uid:0").rosters(&verify).unwrap();
    assert_eq!(after.chain.in_force(), [written.digest]);
    assert_eq!(after.chain.effective().unwrap().levels.len(), 1);
    // The same once more is no other.
    let again = group.set_roster(after.record(written.digest).unwrap(), &verify).unwrap();
    assert_eq!(again.digest, written.digest);
}

#[test]
fn an_owner_alone_lowers_no_level() {
    let world = World::new(1);
    let group = guarded(&world);
    for signers in [&[][..], &["alice"], &["bob"]] {
        let error = group.set_roster(&fewer_levels(&group, signers), &verify).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("do not satisfy version 1"), "{error}");
    }
    // Past this library, straight into the repository: nobody heeds it.
    let record = Record::Roster(fewer_levels(&group, &["alice"]));
    let slot = SlotName::for_chained("roster", &[], 7);
    let mut replica = dkm::repository::Repository::connect(&world.repository.seen_by("uid:0"), 0).unwrap();
    replica.put(group.id(), Room::Control, &slot, &record.encode(group.id())).unwrap();
    world.clock.advance(2 * DAY_MS);
    let after = group.rosters(&verify).unwrap();
    assert_eq!(after.chain.effective().unwrap().levels.len(), 2);
    assert_eq!(after.chain.ignored().len(), 1);
}

#[test]
fn what_is_no_next_version_is_not_written() {
    let world = World::new(1);
    let group = guarded(&world);
    let good = fewer_levels(&group, &["alice", "bob"]);
    let unsorted = RosterRecord { persons: good.persons.iter().rev().cloned().collect(), ..good.clone() };
    assert_eq!(group.set_roster(&unsorted, &verify).unwrap_err().kind(), ErrorKind::Usage);
    let elsewhere = RosterRecord { previous: vec![Digest([7; 32])], ..good.clone() };
    assert_eq!(group.set_roster(&elsewhere, &verify).unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(group.rosters(&verify).unwrap().chain.versions().len(), 1);
    let other = World::new(1);
    let error = other.group().set_roster(&good, &verify).unwrap_err();
    assert!(error.to_string().contains("without a roster"), "{error}");
}
