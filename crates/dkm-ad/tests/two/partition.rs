//! Keys that are made on one side and needed on the other.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use dkm::core::Room;
use dkm_testbed::{Domain, Scope};

use super::stage::{Stage, Test};
use super::two::{client_at, context, new_group, opens, protecting, quick, readers, until, while_apart};

pub(crate) const TESTS: &[Test] = &[
    ("a_key_made_on_one_is_used_on_the_other", a_key_made_on_one_is_used_on_the_other),
    ("blobs_of_both_sides_of_a_partition_open_on_both", blobs_of_both_sides_of_a_partition_open_on_both),
];

fn a_key_made_on_one_is_used_on_the_other(stage: &Stage) -> Result<()> {
    let reader = stage.account("svc-other-side")?;
    let readers = readers(stage, &[&stage.maker, &reader])?;
    let made = client_at(stage, &stage.maker, 0)?.create_group(new_group(
        "spread",
        quick(),
        &stage.maker,
        &readers,
    ))?;
    let blob = made.protect(&context(), b"made on the first")?;
    stage.with(Domain::replicate)?;
    let other = client_at(stage, &reader, 1)?.group("spread")?;
    opens(&other, &blob, b"made on the first")?;
    ensure!(protecting(&other)? == protecting(&made)?);
    let blob = other.protect(&context(), b"made on the second")?;
    opens(&made, &blob, b"made on the second")?;
    // Each domain controller is a replica of its own, by the id of its database.
    let ids: BTreeSet<_> =
        [&made, &other].iter().map(|group| Ok(group.view()?.replicas[0].id)).collect::<Result<_>>()?;
    ensure!(ids.len() == 2 && !ids.contains(&None), "{ids:?}");
    Ok(())
}

fn blobs_of_both_sides_of_a_partition_open_on_both(stage: &Stage) -> Result<()> {
    let readers = readers(stage, &[&stage.maker])?;
    let here = client_at(stage, &stage.maker, 0)?.create_group(new_group(
        "parted",
        quick(),
        &stage.maker,
        &readers,
    ))?;
    stage.with(Domain::replicate)?;
    let there = client_at(stage, &stage.maker, 1)?.group("parted")?;
    let before = here.protect(&context(), b"before")?;
    let (blobs, keys) = while_apart(stage, || {
        let keys = [here.roll("one side")?.key, there.roll("the other side")?.key];
        ensure!(keys[0] != keys[1], "one key on both sides of a cut link");
        let sides = [(&here, b"here"), (&there, b"over")];
        let mut blobs = Vec::new();
        for ((group, text), key) in sides.iter().zip(keys) {
            until("the rolled key protects", || {
                group.refresh()?;
                Ok(protecting(group)? == key)
            })?;
            blobs.push((group.protect(&context(), *text)?, *text));
        }
        // Neither side knows what the other did.
        ensure!(here.unprotect(&context(), &blobs[1].0).is_err());
        ensure!(there.unprotect(&context(), &blobs[0].0).is_err());
        Ok((blobs, keys))
    })?;
    stage.with(Domain::replicate)?;
    // Both keys had the same slot: the directory has renamed one of the two objects, and kept both.
    let room = stage.room(here.id(), Room::Keys)?;
    stage.with(|domain| {
        for controller in domain.controllers() {
            let found = controller.search(&room, Scope::One, "(objectClass=contact)", &["l"])?;
            let renamed = found.iter().filter(|entry| entry.dn.contains("\\0ACNF:")).count();
            ensure!(found.len() == 3 && renamed == 1, "{found:?}");
        }
        Ok(())
    })?;
    let whole = stage.client(&stage.maker)?.group("parted")?;
    for group in [&here, &there, &whole] {
        group.refresh()?;
        opens(group, &before, b"before")?;
        for (blob, text) in &blobs {
            opens(group, blob, *text)?;
        }
        let view = group.view()?;
        ensure!(
            keys.iter().all(|key| view.ring.key(*key).is_some()) && view.alarms.is_empty(),
            "{:?}",
            view.alarms
        );
        // All agree on which of the two goes on.
        ensure!(protecting(group)? == protecting(&whole)?);
        ensure!(keys.contains(&protecting(group)?));
    }
    Ok(())
}
