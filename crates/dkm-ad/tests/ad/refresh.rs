//! Readings of what has changed alone, on connections that were used before.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::{Client, Group, Options};
use dkm::clock::{Clock as _, ManualClock, SystemClock};
use dkm::core::kdf::key_id;
use dkm::core::record::{Family, KeyRecord, Material, Origin, Record, public_part};
use dkm::core::{Context, Digest, Room, SlotName};
use dkm::repository::{Listing, Put, Repository as _};
use dkm::root_key::FileRootKeys;
use dkm_ad::{Identity, Limits};
use dkm_testbed::{Account, Contact, Scope, Tap, Traffic};

use super::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("changes_are_what_came_since", changes_are_what_came_since),
    ("alone_used_connections_see_what_others_did", used_connections_see_what_others_did),
    ("alone_a_reading_with_nothing_new_is_one_round_trip", a_reading_with_nothing_new_is_one_round_trip),
    ("readings_in_a_busy_domain_are_three_round_trips", readings_in_a_busy_domain_are_three_round_trips),
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

/// Puts archived keys into a group's room, with numbers from `from` on.
fn archive_keys(stage: &Stage, group: &Group, numbers: std::ops::Range<u64>) -> Result<()> {
    let (id, room) = (group.id(), stage.room(group.id(), Room::Keys)?);
    let contacts: Vec<Contact> = numbers
        .map(|number| {
            let material: [u8; 32] = *Digest::of(&number.to_be_bytes()).as_bytes();
            let created_at_ms = 800_000_000_000 + number * 86_400_000;
            let key = KeyRecord {
                id: key_id(id, Family::Native, &material),
                family: Family::Native,
                origin: Origin::Restored,
                created_at_ms,
                activates_at_ms: created_at_ms,
                predecessor: None,
                attempt: 0,
                material: Material::Plain(material.into()),
                guid: None,
            };
            let (name, l) = (key.slot().to_string(), key.id.to_string());
            let photo = Record::Key(key).encode(id);
            let info = public_part(&photo).unwrap();
            Contact { name, l, photo, info }
        })
        .collect();
    stage.with(|domain| {
        let found = domain.search(&room, Scope::One, "(objectClass=contact)", &["cn"])?;
        domain.add_contacts_like(&found.first().context("the group has no first key")?.dn, &contacts)
    })
}

/// How far the domain controller's numbering of changes has come.
fn committed(stage: &Stage) -> Result<String> {
    let found =
        stage.with(|domain| domain.search("", Scope::Base, "(objectClass=*)", &["highestCommittedUSN"]))?;
    found.first().and_then(|root| root.text("highestCommittedUSN")).context("it does not number its changes")
}

/// A reader's group behind a tap, and the clock by which a reading is due.
fn behind_a_tap(stage: &Stage, made: &Group, reader: &Account) -> Result<(Group, Arc<ManualClock>, Tap)> {
    let mut url = stage.url().clone();
    let controller = url.controllers.first_mut().context("no domain controller is named")?;
    let addresses = controller.addresses().map_err(anyhow::Error::msg)?;
    let tap = Tap::before(*addresses.first().context("it has no address")?)?;
    (controller.address, controller.port) = (Some(tap.address().ip()), tap.address().port());
    let identity =
        Identity::Password { principal: reader.principal.clone(), password: reader.password.clone().into() };
    let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
    let options = Options { background: false, clock: clock.clone(), ..Options::default() };
    let roots = Arc::new(FileRootKeys::new("/nonexistent".into()));
    let client = Client::new(Arc::new(stage.open_with(url, identity, Limits::default())?), roots, options)?;
    Ok((client.group(&made.id().to_string())?, clock, tap))
}

/// What goes over the network for readings between which nothing is written to the domain controller.
fn quiet_readings(stage: &Stage, made: &Group, reader: &Account, keys: usize) -> Result<Vec<Traffic>> {
    let (group, clock, tap) = behind_a_tap(stage, made, reader)?;
    ensure!(group.view()?.ring.keys.len() == keys, "{} keys", group.view()?.ring.keys.len());
    let context = Context::new();
    let blob = made.protect(&context, b"x")?;
    let (mut quiet, mut last) = (Vec::new(), String::new());
    for _ in 0..40 {
        clock.advance(1_000);
        let (usn, before) = (committed(stage)?, tap.traffic());
        ensure!(group.unprotect(&context, &blob)?.as_ref() == b"x");
        let seen = tap.traffic().since(before);
        ensure!(seen.round_trips > 0, "nothing was read");
        if usn == last && committed(stage)? == usn {
            quiet.push(seen);
        }
        last = usn;
    }
    Ok(quiet)
}

fn a_reading_with_nothing_new_is_one_round_trip(stage: &Stage) -> Result<()> {
    let reader = stage.account("svc-quiet")?;
    let readers = stage.readers(&[&stage.maker, &reader])?;
    let made = stage.group(&stage.maker, &readers)?;
    let mut received = Vec::new();
    let mut numbers = 1..1;
    // More than a page of answers, in the end.
    for keys in [1, 100, 1_200] {
        numbers = numbers.end..keys;
        archive_keys(stage, &made, numbers.clone())?;
        let quiet = quiet_readings(stage, &made, &reader, usize::try_from(keys)?)?;
        // Whole lists are read now and then, too: not when nothing was written.
        ensure!(quiet.len() > 20, "the domain controller was written to all the time");
        for seen in &quiet {
            ensure!(seen.round_trips == 1 && seen.connections == 0, "{keys} keys: {seen:?}");
        }
        received.extend(quiet.iter().map(|seen| seen.received));
    }
    let (least, most) = (received.iter().min(), received.iter().max());
    // The numbers in an answer may grow by a digit.
    let same = least.zip(most).is_some_and(|(least, most)| most - least <= 64);
    ensure!(same, "an answer of {least:?} to {most:?} bytes, depending on the ring");
    Ok(())
}

fn readings_in_a_busy_domain_are_three_round_trips(stage: &Stage) -> Result<()> {
    let reader = stage.account("svc-busy")?;
    let readers = stage.readers(&[&stage.maker, &reader])?;
    let made = stage.group(&stage.maker, &readers)?;
    archive_keys(stage, &made, 1..100)?;
    let (group, clock, tap) = behind_a_tap(stage, &made, &reader)?;
    let context = Context::new();
    let blob = made.protect(&context, b"x")?;
    let mut received = Vec::new();
    for round in 0..40 {
        // Something that has nothing to do with the group.
        stage.with(|domain| {
            domain.modify_ldif(&format!(
                "dn: {}\nchangetype: modify\nreplace: description\ndescription: {round}\n",
                reader.dn
            ))
        })?;
        clock.advance(1_000);
        let before = tap.traffic();
        ensure!(group.unprotect(&context, &blob)?.as_ref() == b"x");
        let seen = tap.traffic().since(before);
        // What access there is, and what came into each room since.
        ensure!(seen.round_trips <= 3 && seen.connections == 0, "round {round}: {seen:?}");
        received.push(seen.received);
    }
    // But for one in twelve, the keys that were there are not read again.
    received.sort_unstable();
    let (usual, whole) = (received[20], received[39]);
    ensure!(usual * 4 < whole, "{usual} bytes of {whole}: {received:?}");
    Ok(())
}
