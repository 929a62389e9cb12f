//! What is exported, to whom, and what is recorded first.

use std::io::Write;

use age::secrecy::ExposeSecret as _;
use dkm::archive::{self, Identities};
use dkm::core::archive::ArchivedRecord;
use dkm::core::record::Record;
use dkm::journal::EventKind;
use dkm::{Error, ErrorKind, Policy};

use crate::world::{World, context, protecting};

/// An `age` identity and its recipient.
pub(crate) struct Holder {
    pub(crate) identities: Identities,
    pub(crate) recipient: String,
}

pub(crate) fn holder() -> Holder {
    let identity = age::x25519::Identity::generate();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(identity.to_string().expose_secret().as_bytes()).unwrap();
    Holder {
        identities: Identities::from_file(file.path()).unwrap(),
        recipient: identity.to_public().to_string(),
    }
}

#[test]
fn an_export_holds_every_key_and_opens_for_each_recipient() {
    let world = World::new(2);
    let group = world.group();
    let first = protecting(&group);
    world.work(&group, 100);
    let second = protecting(&group);
    assert_ne!(first, second);
    let (one, two) = (holder(), holder());
    let mut sealed = Vec::new();
    let recipients = [one.recipient, two.recipient];
    let summary = archive::export(&group, &recipients, &mut sealed).unwrap();
    assert_eq!((summary.keys, summary.recipients), (group.view().unwrap().ring.keys.len(), 2));
    assert!(summary.left_out.is_empty() && summary.malformed.is_empty() && summary.unread.is_empty());
    assert_eq!(archive::inspect(sealed.as_slice()).unwrap().recipients, ["X25519", "X25519"]);
    for identities in [one.identities, two.identities] {
        let archive = archive::open(sealed.as_slice(), &identities).unwrap();
        assert_eq!((archive.group, archive.name.as_str()), (group.id(), "tokens"));
        assert_eq!(archive.entries.len(), summary.records);
        let keys: Vec<_> = archive
            .entries
            .iter()
            .filter_map(|entry| match &entry.record {
                ArchivedRecord::Known(Record::Key(key)) => Some(key.id),
                _ => None,
            })
            .collect();
        assert!(keys.contains(&first) && keys.contains(&second));
    }
    let error = archive::open(sealed.as_slice(), &holder().identities).unwrap_err();
    assert!(error.to_string().contains("none of the identities"), "{error}");
    assert!(error.advice().is_some());
}

#[test]
fn the_release_is_recorded_before_the_first_byte() {
    struct Watched<'a>(&'a World, bool);
    impl Write for Watched<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            assert_eq!(self.0.ledger.count(EventKind::ArchiveExported), 1);
            self.1 = true;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let world = World::new(1);
    let group = world.group();
    let to = [holder().recipient];
    let mut out = Watched(&world, false);
    archive::export(&group, &to, &mut out).unwrap();
    assert!(out.1);

    *world.ledger.broken.lock().unwrap() = true;
    let mut nothing = Vec::new();
    assert!(matches!(archive::export(&group, &to, &mut nothing), Err(Error::Journal { .. })));
    assert!(nothing.is_empty());
}

#[test]
fn the_policys_recipients_are_used_if_none_are_given() {
    let world = World::new(1);
    let holder = holder();
    let policy = Policy { archive_recipients: vec![holder.recipient], ..Policy::for_directory() };
    let group = world.group_with(policy);
    let mut sealed = Vec::new();
    archive::export(&group, &[], &mut sealed).unwrap();
    archive::open(sealed.as_slice(), &holder.identities).unwrap();

    let other = World::new(1);
    let group = other.group();
    let mut nothing = Vec::new();
    let error = archive::export(&group, &[], &mut nothing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let error = archive::export(&group, &["age1nonsense".to_owned()], &mut nothing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(nothing.is_empty());
    assert_eq!(other.ledger.count(EventKind::ArchiveExported), 0);
}

#[test]
fn a_replica_out_of_reach_is_told_and_one_that_denies_ends_it() {
    let world = World::new(2);
    let group = world.group();
    let to = [holder().recipient];
    world.repository.faults(1, |faults| faults.unreachable = true);
    let summary = archive::export(&group, &to, Vec::new()).unwrap();
    assert_eq!(summary.unread.len(), 1);
    world.repository.faults(0, |faults| faults.unreachable = true);
    assert_eq!(archive::export(&group, &to, Vec::new()).unwrap_err().kind(), ErrorKind::Unavailable);
    world.repository.heal();
    world.repository.faults(1, |faults| faults.denied = true);
    let mut nothing = Vec::new();
    assert_eq!(archive::export(&group, &to, &mut nothing).unwrap_err().kind(), ErrorKind::Denied);
    assert!(nothing.is_empty());
}

#[test]
fn damage_anywhere_is_noticed() {
    let world = World::new(1);
    let group = world.group();
    let holder = holder();
    let mut sealed = Vec::new();
    archive::export(&group, std::slice::from_ref(&holder.recipient), &mut sealed).unwrap();
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert!(archive::open(damaged.as_slice(), &holder.identities).is_err(), "byte {at}");
    }
    for len in 0..sealed.len() {
        let error = archive::open(&sealed[..len], &holder.identities).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{len} bytes: {error}");
    }
    // Something else under a seal.
    let recipient: age::x25519::Recipient = holder.recipient.parse().unwrap();
    let other = age::encrypt(&recipient, b"a letter").unwrap();
    let error = archive::open(other.as_slice(), &holder.identities).unwrap_err();
    assert!(error.to_string().contains("not a DKM archive"), "{error}");
}

#[test]
fn an_escrow_restores_a_key_that_was_lost_before_its_use() {
    let holder = holder();
    let policy = Policy {
        archive_before_use: true,
        archive_recipients: vec![holder.recipient],
        ..Policy::for_directory()
    };
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(1);
    world.escrow = Some(std::sync::Arc::new(dkm::FolderEscrow::new(folder.path())));
    let group = world.group_with(policy);
    let blob = group.protect(&context(), b"x").unwrap();
    let path = folder.path().join(group.id().to_string()).join(format!("{}.age", protecting(&group)));
    let archive = archive::open(std::fs::File::open(path).unwrap(), &holder.identities).unwrap();
    assert_eq!(archive.entries.len(), 1);
    let ArchivedRecord::Known(Record::Key(key)) = &archive.entries[0].record else { panic!("not a key") };
    assert_eq!(key.id, protecting(&group));
    assert_eq!(&*group.unprotect(&context(), &blob).unwrap(), b"x");
}
