//! Who was removed on one domain controller learns it before the other has heard of it.

use anyhow::{Context as _, Result, ensure};
use dkm::ErrorKind;
use dkm::core::Room;
use dkm_testbed::{Controller, Domain};

use super::stage::{Stage, Test};
use super::two::{
    client_at, client_with_tickets, context, fails, new_group, opens, quick, readers, while_apart,
};

pub(crate) const TESTS: &[Test] = &[
    ("a_removal_counts_where_the_tickets_come_from", a_removal_counts_where_the_tickets_come_from),
    ("what_one_controller_denies_is_denied", what_one_controller_denies_is_denied),
];

fn a_removal_counts_where_the_tickets_come_from(stage: &Stage) -> Result<()> {
    let member = stage.account("svc-leaves")?;
    let readers = readers(stage, &[&stage.maker, &member])?;
    let made = client_at(stage, &stage.maker, 0)?.create_group(new_group(
        "leaving",
        quick(),
        &stage.maker,
        &readers,
    ))?;
    stage.with(Domain::replicate)?;
    let blob = made.protect(&context(), b"secret")?;
    while_apart(stage, || {
        let group = client_with_tickets(stage, &member, 0)?.group("leaving")?;
        let second = |work: &dyn Fn(&Controller) -> Result<()>| stage.with(|domain| work(domain.second()?));
        second(&|second| {
            let text =
                format!("dn: {}\nchangetype: modify\ndelete: member\nmember: {}\n", readers.dn, member.dn);
            second.modify_ldif(&text)
        })?;
        // Membership is in the tickets: those from the controller that has not heard of it are good on both.
        group.refresh()?;
        opens(&group, &blob, b"secret")?;
        // Those from the controller that has are good on neither.
        let removed = client_with_tickets(stage, &member, 1)?;
        let error = fails(removed.group(&made.id().to_string()))?;
        ensure!(error.kind() == ErrorKind::NotFound, "{error}");
        // The client that had read the group is told that this is a decision.
        let error = fails(group.refresh())?;
        ensure!(error.kind() == ErrorKind::Denied, "{error}");
        let error = fails(group.unprotect(&context(), &blob))?;
        ensure!(error.kind() == ErrorKind::Denied, "{error}");
        Ok(())
    })?;
    // When the change is everywhere, so is its effect.
    stage.with(Domain::replicate)?;
    let error = fails(client_with_tickets(stage, &member, 0)?.group(&made.id().to_string()))?;
    ensure!(error.kind() == ErrorKind::NotFound, "{error}");
    Ok(())
}

fn what_one_controller_denies_is_denied(stage: &Stage) -> Result<()> {
    let member = stage.account("svc-denied")?;
    let readers = readers(stage, &[&stage.maker, &member])?;
    let made = client_at(stage, &stage.maker, 0)?.create_group(new_group(
        "denying",
        quick(),
        &stage.maker,
        &readers,
    ))?;
    stage.with(Domain::replicate)?;
    let blob = made.protect(&context(), b"secret")?;
    let room = stage.room(made.id(), Room::Keys)?;
    while_apart(stage, || {
        let group = stage.client(&member)?.group("denying")?;
        opens(&group, &blob, b"secret")?;
        stage.with(|domain| {
            let second = domain.second()?;
            let text = second.descriptor(&room)?;
            let at = text.find("D:").context("no DACL")?;
            let first = at + text[at..].find('(').context("no entry")?;
            second.set_descriptor(
                &room,
                &format!("{}(D;;GA;;;{}){}", &text[..first], member.sid, &text[first..]),
            )
        })?;
        // The first still shows everything; the second has decided.
        let error = fails(group.refresh())?;
        ensure!(error.kind() == ErrorKind::Denied && error.to_string().contains("dc2"), "{error}");
        let error = fails(group.unprotect(&context(), &blob))?;
        ensure!(error.kind() == ErrorKind::Denied, "{error}");
        Ok(())
    })
}
