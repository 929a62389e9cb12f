//! Unknown key ids cost few readings, however many there are and however many threads ask.

use dkm::core::blob::Header;
use dkm::core::member::UnprotectRefusal;
use dkm::{Error, KeyId, Suite};

use crate::world::{T0, World, context};

fn forged(group: dkm::GroupId, n: u32) -> Vec<u8> {
    let mut key = KeyId::default();
    key.0[..4].copy_from_slice(&n.to_be_bytes());
    let mut blob = Header::new(Suite::Aes256Gcm, group, key, [1; 32], 4096).unwrap().encode().to_vec();
    blob.resize(200, 0);
    blob
}

#[test]
fn a_key_that_another_client_made_is_found_by_its_first_blob() {
    let world = World::new(1);
    let group = world.group();
    let reader = world.fresh("uid:2");
    let new = group.roll("test").unwrap();
    // The reader's clock has its own opinion of when to refresh: not yet.
    world.clock.advance(new.activates_at.since(dkm::Timestamp(T0)));
    let blob = group.protect(&context(), b"secret").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| assert_eq!(&*reader.unprotect(&context(), &blob).unwrap(), b"secret"));
        }
    });
}

#[test]
fn a_flood_of_forged_blobs_reads_the_repository_a_few_times() {
    let world = World::new(1);
    let group = world.group();
    let one = {
        let before = world.repository.operations();
        group.refresh().unwrap();
        world.repository.operations() - before
    };
    let before = world.repository.operations();
    for n in 1..2000 {
        let error = group.unprotect(&context(), &forged(group.id(), n)).unwrap_err();
        assert!(matches!(error, Error::Unprotect(UnprotectRefusal::UnknownKey { .. })), "{error}");
    }
    let readings = (world.repository.operations() - before) / one.max(1);
    assert!((1..=8).contains(&readings), "{readings} readings");
    let before = world.repository.operations();
    world.clock.advance(3_000);
    let same = forged(group.id(), 5000);
    for _ in 0..100 {
        assert!(group.unprotect(&context(), &same).is_err());
    }
    assert!(world.repository.operations() - before <= 2 * one, "a negative answer lasts");
}

#[test]
fn an_unknown_key_while_out_of_reach_says_that_it_was_not_looked_for() {
    let world = World::new(1);
    let group = world.group();
    world.repository.faults(0, |f| f.unreachable = true);
    let error = group.unprotect(&context(), &forged(group.id(), 1)).unwrap_err();
    assert_eq!(error.kind(), dkm::ErrorKind::Unavailable, "{error}");
}

#[test]
fn a_blob_of_another_group_costs_nothing() {
    let world = World::new(1);
    let group = world.group();
    let before = world.repository.operations();
    let error = group.unprotect(&context(), &forged(dkm::GroupId([9; 16]), 1)).unwrap_err();
    assert!(matches!(error, Error::Blob(dkm::core::blob::BlobError::WrongGroup { .. })));
    assert_eq!(world.repository.operations(), before);
}
