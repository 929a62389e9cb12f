//! A domain controller that lags, hangs, stops, or never comes back.

use anyhow::{Result, ensure};
use dkm::ErrorKind;
use dkm::repository::RepositoryError;
use dkm_testbed::Domain;

use super::stage::{Stage, Test};
use super::two::{
    both, client_at, client_with_tickets, context, fails, new_group, opens, protecting, quick, readers,
    while_apart, while_frozen, while_stopped,
};

pub(crate) const TESTS: &[Test] = &[
    ("a_group_that_one_lacks_is_found_on_the_other", a_group_that_one_lacks_is_found_on_the_other),
    ("a_controller_that_hangs_does_not_stop_the_other", a_controller_that_hangs_does_not_stop_the_other),
    ("without_any_controller_work_goes_on_from_memory", without_any_controller_work_goes_on_from_memory),
    ("keys_wait_until_both_hold_them", keys_wait_until_both_hold_them),
];

/// It is not made whole again afterwards.
pub(crate) const LAST: &[Test] =
    &[("a_lost_controller_takes_nothing_along", a_lost_controller_takes_nothing_along)];

fn a_group_that_one_lacks_is_found_on_the_other(stage: &Stage) -> Result<()> {
    let reader = stage.account("svc-early")?;
    let readers = readers(stage, &[&stage.maker, &reader])?;
    while_apart(stage, || {
        // Made where the URL does not look first.
        let made = client_at(stage, &stage.maker, 1)?.create_group(new_group(
            "lagging",
            quick(),
            &stage.maker,
            &readers,
        ))?;
        let blob = made.protect(&context(), b"early")?;
        ensure!(stage.client(&reader)?.groups()?.iter().any(|group| group.id == made.id()));
        for account in [&reader, &stage.maker] {
            let group = stage.client(account)?.group("lagging")?;
            opens(&group, &blob, b"early")?;
            let view = group.view()?;
            let lacks = matches!(view.replicas[0].error, Some(RepositoryError::NotFound { .. }));
            ensure!(lacks && view.replicas[1].error.is_none(), "{:?}", view.replicas);
        }
        // What is added goes to the one that holds the group.
        let group = stage.client(&stage.maker)?.group("lagging")?;
        let new = group.roll("before the other has the group")?;
        ensure!(!new.was_there && group.view()?.ring.key(new.key).is_some());
        let error = fails(client_at(stage, &reader, 0)?.group("lagging"))?;
        ensure!(error.kind() == ErrorKind::NotFound, "{error}");
        Ok(())
    })?;
    stage.with(Domain::replicate)?;
    let group = client_at(stage, &reader, 0)?.group("lagging")?;
    ensure!(group.view()?.ring.keys.len() == 2);
    Ok(())
}

fn a_controller_that_hangs_does_not_stop_the_other(stage: &Stage) -> Result<()> {
    let member = stage.account("svc-patient")?;
    let readers = readers(stage, &[&stage.maker, &member])?;
    let made = client_at(stage, &stage.maker, 0)?.create_group(new_group(
        "hanging",
        quick(),
        &stage.maker,
        &readers,
    ))?;
    stage.with(Domain::replicate)?;
    let group = client_with_tickets(stage, &member, 0)?.group("hanging")?;
    ensure!(group.view()?.replicas.iter().all(|replica| replica.error.is_none()));
    let blob = made.protect(&context(), b"kept")?;
    for number in [0, 1] {
        while_frozen(stage, number, || {
            group.refresh()?;
            let view = group.view()?;
            let hangs = matches!(view.replicas[number].error, Some(RepositoryError::Unavailable { .. }));
            ensure!(hangs && view.replicas[1 - number].error.is_none(), "{:?}", view.replicas);
            opens(&group, &blob, b"kept")
        })?;
    }
    // Whoever has no ticket, and whose Kerberos waits for the one that hangs, is told so within the limit.
    let error = while_frozen(stage, 0, || fails(client_at(stage, &member, 0)?.group("hanging")))?;
    ensure!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("in time"), "{error}");
    group.refresh()?;
    ensure!(group.view()?.replicas.iter().all(|replica| replica.error.is_none()));
    Ok(())
}

fn without_any_controller_work_goes_on_from_memory(stage: &Stage) -> Result<()> {
    let readers = readers(stage, &[&stage.maker])?;
    client_at(stage, &stage.maker, 0)?.create_group(new_group("grace", quick(), &stage.maker, &readers))?;
    stage.with(Domain::replicate)?;
    let group = stage.client(&stage.maker)?.group("grace")?;
    let blob = group.protect(&context(), b"before")?;
    while_stopped(stage, 0, || {
        // Failover: reading and adding go on with the other.
        group.refresh()?;
        let new = group.roll("the first is down")?;
        ensure!(!new.was_there);
        while_stopped(stage, 1, || {
            let error = fails(group.refresh())?;
            ensure!(error.kind() == ErrorKind::Unavailable, "{error}");
            ensure!(error.to_string().contains("domain controller dc"), "{error}");
            let error = fails(group.roll("nobody is there"))?;
            ensure!(error.kind() == ErrorKind::Unavailable, "{error}");
            ensure!(error.advice().is_some());
            // Within the grace, all goes on from memory.
            opens(&group, &blob, b"before")?;
            opens(&group, &group.protect(&context(), b"meanwhile")?, b"meanwhile")?;
            // A new process has nothing in memory, and is told why it gets nothing.
            let error = fails(stage.client(&stage.maker)?.group(&group.id().to_string()))?;
            ensure!(error.kind() == ErrorKind::Unavailable, "{error}");
            Ok(())
        })
    })?;
    stage.with(Domain::replicate)?;
    group.refresh()?;
    ensure!(group.view()?.replicas.iter().all(|replica| replica.error.is_none()));
    Ok(())
}

fn keys_wait_until_both_hold_them(stage: &Stage) -> Result<()> {
    let readers = readers(stage, &[&stage.maker])?;
    let group =
        stage.client(&stage.maker)?.create_group(new_group("both", both(), &stage.maker, &readers))?;
    let first = protecting(&group)?;
    while_apart(stage, || {
        let new = group.roll("the link is cut")?;
        let from = |key| -> Result<usize> {
            let view = group.view()?;
            ensure!(view.ring.key(key).is_some());
            Ok(view.ring.keys.len())
        };
        ensure!(from(new.key)? == 2 && protecting(&group)? == first);
        Ok(())
    })?;
    stage.with(Domain::replicate)
}

fn a_lost_controller_takes_nothing_along(stage: &Stage) -> Result<()> {
    let member = stage.account("svc-survivor")?;
    let readers = readers(stage, &[&stage.maker, &member])?;
    // The maker waits until both hold the first key.
    let group =
        stage.client(&stage.maker)?.create_group(new_group("survives", both(), &stage.maker, &readers))?;
    let blob = group.protect(&context(), b"kept by two")?;
    stage.with(|domain| domain.lose(&domain.controllers()[0]))?;
    opens(&group, &blob, b"kept by two")?;
    group.refresh()?;
    // A process without memory finds everything on the other.
    for account in [&member, &stage.maker] {
        let group = stage.client(account)?.group("survives")?;
        opens(&group, &blob, b"kept by two")?;
        let lost = matches!(group.view()?.replicas[0].error, Some(RepositoryError::Unavailable { .. }));
        ensure!(lost, "{:?}", group.view()?.replicas);
    }
    // With the URL of what is left, and a policy for one, keys are made again.
    let alone = client_at(stage, &stage.maker, 1)?.group("survives")?;
    ensure!(alone.protect(&context(), b"x").is_err(), "policy wants two");
    alone.set_policy(dkm::Policy { min_replicas: 1, ..both() })?;
    opens(&alone, &alone.protect(&context(), b"after")?, b"after")?;
    ensure!(!alone.roll("one is left")?.was_there);
    Ok(())
}
