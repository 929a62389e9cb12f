//! What the access control of a real domain lets whom do.

use anyhow::{Result, ensure};
use dkm::ErrorKind;
use dkm::core::Context;

use super::stage::Stage;

pub(crate) const TESTS: &[(&str, fn(&Stage) -> Result<()>)] = &[
    ("members_protect_and_unprotect", members_protect_and_unprotect),
    ("others_do_not_see_that_the_group_exists", others_do_not_see_that_the_group_exists),
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
