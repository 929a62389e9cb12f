//! What the access control of a real domain lets whom do.

use anyhow::{Result, ensure};
use dkm::ErrorKind;
use dkm::blocking::NewGroup;
use dkm::core::record::PublicPart;
use dkm::core::{Context, Room};
use dkm::repository::{GroupAccess, Repository as _};

use super::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("members_protect_and_unprotect", members_protect_and_unprotect),
    ("others_do_not_see_that_the_group_exists", others_do_not_see_that_the_group_exists),
    ("administrators_make_groups_and_know_no_key", administrators_make_groups_and_know_no_key),
    ("removed_members_lose_their_keys", removed_members_lose_their_keys),
];

fn context() -> Context {
    Context::new().with("account", "alice@example.com").unwrap()
}

fn members_protect_and_unprotect(stage: &Stage) -> Result<()> {
    let (one, other) = (stage.account("svc-one")?, stage.account("svc-other")?);
    let readers = stage.readers(&[&one, &other, &stage.maker])?;
    let group = stage.group(&stage.maker, &readers)?;
    let blob = group.protect(&context(), b"refresh token")?;
    for account in [&one, &other] {
        let client = stage.client(account)?;
        let group = client.group(&group.id().to_string())?;
        ensure!(group.unprotect(&context(), &blob)?.as_ref() == b"refresh token");
        let again = group.protect(&context(), b"another")?;
        ensure!(group.unprotect(&context(), &again)?.as_ref() == b"another");
        ensure!(!group.view()?.rights.create && !group.view()?.rights.own);
    }
    Ok(())
}

fn others_do_not_see_that_the_group_exists(stage: &Stage) -> Result<()> {
    let outsider = stage.account("person")?;
    let readers = stage.readers(&[&stage.maker])?;
    let group = stage.group(&stage.maker, &readers)?;
    ensure!(stage.sees(&stage.maker, group.id())?);
    ensure!(!stage.sees(&outsider, group.id())?);
    let error = stage.client(&outsider)?.group(&group.id().to_string()).map(drop).unwrap_err();
    ensure!(error.kind() == ErrorKind::NotFound, "{error}");
    Ok(())
}

fn removed_members_lose_their_keys(stage: &Stage) -> Result<()> {
    let member = stage.account("svc-leaving")?;
    let readers = stage.readers(&[&member, &stage.maker])?;
    let made = stage.group(&stage.maker, &readers)?;
    let blob = made.protect(&context(), b"secret")?;
    let client = stage.client(&member)?;
    let group = client.group(&made.id().to_string())?;
    ensure!(group.unprotect(&context(), &blob)?.as_ref() == b"secret");
    stage.with(|domain| domain.remove_member(&readers, &member.dn))?;
    // This client fetches a ticket for each connection, so its next reading is with a fresh one.
    let error = group.refresh().unwrap_err();
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    let error = group.unprotect(&context(), &blob).map(drop).unwrap_err();
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    Ok(())
}

fn administrators_make_groups_and_know_no_key(stage: &Stage) -> Result<()> {
    let (creator, reader) = (stage.account("svc-creator")?, stage.account("svc-reads")?);
    let new = NewGroup {
        name: "made-by-an-administrator".to_owned(),
        description: None,
        policy: Stage::policy(),
        access: GroupAccess {
            readers: vec![reader.sam.clone()],
            creators: vec![creator.sam.clone()],
            owners: vec!["Domain Admins".to_owned()],
            ..GroupAccess::default()
        },
    };
    let made = stage.client_of_administrator()?.create_group(new)?;
    let view = made.view()?;
    ensure!(view.ring.keys.is_empty() && !view.rights.read && view.rights.own, "{:?}", view.rights);
    // Whoever only reads makes no first key.
    let early = stage.client(&reader)?.group(&made.id().to_string())?;
    let error = early.protect(&context(), b"x").unwrap_err();
    ensure!(error.to_string().contains("no active key"), "{error}");
    let group = stage.client(&creator)?.group(&made.id().to_string())?;
    let blob = group.protect(&context(), b"secret")?;
    let group = stage.client(&reader)?.group(&made.id().to_string())?;
    ensure!(group.unprotect(&context(), &blob)?.as_ref() == b"secret");
    // The administrator sees the rooms, who made what, and of keys everything but the key.
    made.refresh()?;
    let error = made.unprotect(&context(), &blob).map(drop).unwrap_err();
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    ensure!(made.view()?.ring.keys.iter().all(dkm::core::ring::RingKey::is_withheld));
    let mut connection = stage.open_as_administrator()?.connect(0)?;
    ensure!(!connection.list(made.id(), Room::Control)?.is_empty());
    for entry in connection.list(made.id(), Room::Keys)? {
        let read = connection.get(made.id(), Room::Keys, &entry)?;
        ensure!(read.public == PublicPart::Alone, "{read:?}");
    }
    Ok(())
}
