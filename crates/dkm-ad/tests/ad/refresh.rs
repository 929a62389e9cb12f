//! Readings of what has changed alone, on connections that were used before.

use std::sync::Arc;

use anyhow::{Result, ensure};
use dkm::blocking::{Client, Options};
use dkm::clock::{Clock as _, ManualClock, SystemClock};
use dkm::core::{Context, Room, SlotName};
use dkm::repository::{Listing, Put, Repository as _};
use dkm::root_key::FileRootKeys;

use super::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("changes_are_what_came_since", changes_are_what_came_since),
    ("alone_used_connections_see_what_others_did", used_connections_see_what_others_did),
];

fn name(text: &str) -> SlotName {
    text.parse().unwrap()
}

fn changes_are_what_came_since(stage: &Stage) -> Result<()> {
    let readers = stage.readers(&[&stage.maker])?;
    let group = stage.group(&stage.maker, &readers)?.id();
    let repository = stage.open(&stage.maker)?;
    let reading = |since: Option<&[u8]>| -> Result<_> {
        let mut connection = repository.reconnect(0)?;
        connection.prepare(group)?;
        let changes = connection.changes(group, Room::Keys, since)?;
        let (Listing::Since { entries, .. } | Listing::Whole(entries)) = &changes.listing;
        for entry in entries {
            connection.get(group, Room::Keys, entry)?;
        }
        connection.release();
        Ok(changes)
    };
    let first = reading(None)?;
    ensure!(matches!(&first.listing, Listing::Whole(entries) if entries.len() == 1), "{first:?}");
    let put = repository.connect(0)?.put(group, Room::Keys, &name("added"), b"later")?;
    ensure!(put == Put::Created);
    let second = reading(first.mark.as_deref())?;
    let Listing::Since { entries, object_len } = &second.listing else {
        anyhow::bail!("the whole list was read again");
    };
    ensure!(entries.len() == 1 && entries[0].name == name("added") && *object_len == 16, "{entries:?}");
    // A mark of another domain controller says nothing.
    let foreign: Vec<u8> = second.mark.iter().flatten().map(|byte| byte ^ 1).collect();
    ensure!(matches!(reading(Some(&foreign))?.listing, Listing::Whole(entries) if entries.len() == 2));
    ensure!(matches!(reading(Some(b"rubbish"))?.listing, Listing::Whole(_)));
    // One from before: what came since, once more.
    let again = reading(first.mark.as_deref())?;
    ensure!(again.listing == second.listing, "{again:?}");
    Ok(())
}

fn used_connections_see_what_others_did(stage: &Stage) -> Result<()> {
    let reader = stage.account("svc-long-running")?;
    let readers = stage.readers(&[&stage.maker, &reader])?;
    let made = stage.group(&stage.maker, &readers)?;
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let options = Options { background: false, clock: clock.clone(), ..Options::default() };
    let roots = Arc::new(FileRootKeys::new("/nonexistent".into()));
    let client = Client::new(Arc::new(stage.open(&reader)?), roots, options)?;
    let group = client.group(&made.id().to_string())?;
    let context = Context::new();
    let blob = group.protect(&context, b"x")?;
    let first = group.view()?.ring.keys[0].id();
    for round in 0..30 {
        // Past the refresh interval: the next call reads again, on the connection that it has.
        clock.advance(1_000);
        if round == 3 {
            made.roll("a test")?;
        }
        if round == 20 {
            made.suspend(first, "a test")?;
        }
        ensure!(group.unprotect(&context, &blob)?.as_ref() == b"x");
        let view = group.view()?;
        ensure!(view.ring.keys.len() == if round < 3 { 1 } else { 2 }, "round {round}");
        ensure!(group.protect(&context, b"y").is_err() == (round >= 20), "round {round}");
        ensure!(view.alarms.is_empty(), "{:?}", view.alarms);
    }
    // The server closes what it likes: the next reading is on a new connection.
    stage.with(|domain| domain.restart())?;
    clock.advance(1_000);
    ensure!(group.unprotect(&context, &blob)?.as_ref() == b"x");
    ensure!(group.view()?.replicas[0].error.is_none());
    Ok(())
}
