//! The same calls into memory that is there.

use dkm::{ErrorKind, Plaintext};

use crate::world::{World, context};

#[test]
fn a_buffer_is_used_again_and_holds_what_the_last_call_gave() {
    let world = World::new(1);
    let group = world.group();
    let (mut blob, mut plaintext) = (Vec::new(), Plaintext::default());
    let mut places = None;
    for len in [200_000, 0, 5, 70_000, 200_000] {
        let text = vec![7; len];
        group.protect_into(&context(), &text, &mut blob).unwrap();
        assert_eq!(*group.unprotect(&context(), &blob).unwrap(), text);
        group.unprotect_into(&context(), &blob, &mut plaintext).unwrap();
        assert_eq!(*plaintext, text);
        let now = (blob.as_ptr(), plaintext.as_ptr());
        assert_eq!(*places.get_or_insert(now), now);
    }
}

#[test]
fn every_blob_has_a_salt_of_its_own() {
    let group = World::new(1).group();
    let mut salts = std::collections::BTreeSet::new();
    let mut blob = Vec::new();
    for _ in 0..100 {
        group.protect_into(&context(), b"the same", &mut blob).unwrap();
        salts.insert(*dkm::core::blob::Header::parse(&blob).unwrap().salt());
    }
    assert_eq!(salts.len(), 100);
}

#[test]
fn a_buffer_is_empty_after_any_error() {
    let world = World::new(1);
    let group = world.group();
    let blob = group.protect(&context(), b"secret").unwrap();
    let (mut out, mut plaintext) = (blob.clone(), Plaintext::from(b"former".to_vec()));
    let error = group.unprotect_into(&dkm::Context::new(), &blob, &mut plaintext).unwrap_err();
    assert_eq!((error.kind(), plaintext.len()), (ErrorKind::Corrupt, 0));

    world.repository.faults(0, |f| f.denied = true);
    group.refresh().unwrap_err();
    plaintext = Plaintext::from(b"former".to_vec());
    let error = group.unprotect_into(&context(), &blob, &mut plaintext).unwrap_err();
    assert_eq!((error.kind(), plaintext.len()), (ErrorKind::Denied, 0));
    let error = group.protect_into(&context(), b"new", &mut out).unwrap_err();
    assert_eq!((error.kind(), out.len()), (ErrorKind::Denied, 0));
}
