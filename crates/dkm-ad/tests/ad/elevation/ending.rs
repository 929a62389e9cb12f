//! What ends access: the tickets, a refusal, and tickets that take the place of others.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dkm::ErrorKind;
use dkm::repository::Repository as _;
use dkm_ad::elevation::{LEAST_MS, Tickets};

use super::{Guest, LONG_MS, Scene, connection_reads, now, request};
use crate::access::context;
use crate::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("elevation_ends_with_the_ticket_on_open_connections", ends_with_the_ticket_on_open_connections),
    ("elevation_revoked_early_ends_at_once", revoked_early_ends_at_once),
    ("elevation_asked_for_again_refuses_earlier_tickets", asked_for_again_refuses_earlier_tickets),
];

/// A while that is long enough for a few questions, and no longer.
const SHORT_MS: u64 = LEAST_MS + 5_000;

fn ends_with_the_ticket_on_open_connections(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let guest = scene.issue(request(), SHORT_MS)?;
    let until = guest.tickets.until;
    let mut connection = guest.repository()?.connect(0)?;
    let mut client = guest.client()?;
    ensure!(connection_reads(&mut *connection, scene.id())?);
    ensure!(with_clock_behind(&guest, 60)?.reads()?, "which is tried again after the end");
    // Nobody does anything any more until the end.
    let bound = Instant::now() + Duration::from_millis(until.since(now()) + 60_000);
    while connection_reads(&mut *connection, scene.id()).unwrap_or(false) {
        ensure!(Instant::now() < bound, "it still reads, a minute after the end");
        std::thread::sleep(Duration::from_millis(500));
    }
    ensure!(now().plus(5_000) > until, "it ended before its time");
    let error = client.refresh().unwrap_err();
    ensure!(error.kind() == ErrorKind::Unavailable, "{error}");
    ensure!(guest.client().is_err() && !guest.reads()?);
    // With a clock that goes after, nor with one that does so by more than he had.
    for behind_s in [60, 120, 240] {
        ensure!(!with_clock_behind(&guest, behind_s)?.reads()?, "{behind_s} s behind");
    }
    client = stage.client(&stage.maker)?.group(&scene.id().to_string())?;
    // What was exposed is for others to roll away from; nobody else has lost anything.
    ensure!(client.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
    scene.others_go_on()
}

/// The same person with a clock that goes after: what MIT's library takes for the distance of the domain controller's
/// clock from this machine's stands in the cache's header, as a tag of 12 bytes, number 1, seconds and microseconds.
fn with_clock_behind<'a>(guest: &Guest<'a>, behind_s: i32) -> Result<Guest<'a>> {
    let Tickets { cache, account, sid, until, services, .. } = &guest.tickets;
    ensure!(cache.starts_with(&[5, 4]), "version 4 of the format");
    let head = usize::from(u16::from_be_bytes([cache[2], cache[3]]));
    let mut bytes = vec![5, 4, 0, 12, 0, 1, 0, 8];
    bytes.extend_from_slice(&(-behind_s).to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&cache[4 + head..]);
    let path = guest.cache.with_extension("behind");
    std::fs::write(&path, &bytes)?;
    let tickets = Tickets {
        cache: bytes.into(),
        account: account.clone(),
        sid: sid.clone(),
        until: *until,
        services: services.clone(),
    };
    Ok(Guest { scene: guest.scene, tickets, cache: path })
}

fn revoked_early_ends_at_once(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let (revoked, other) = (request(), request());
    let (guest, stays) = (scene.issue(revoked, LONG_MS)?, scene.issue(other, LONG_MS)?);
    let mut connection = guest.repository()?.connect(0)?;
    let client = guest.client()?;
    ensure!(client.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
    ensure!(connection_reads(&mut *connection, scene.id())? && guest.reads()?);
    ensure!(scene.members()? == 2);
    let before = stage.with(|domain| domain.descriptor(&scene.objects.keys))?;
    ensure!(!scene.elevator.revoke(scene.id(), request())?, "nobody has that grant");
    ensure!(scene.elevator.revoke(scene.id(), revoked)?);
    ensure!(!connection_reads(&mut *connection, scene.id())?, "an open connection");
    ensure!(!guest.reads()?, "a new one");
    let error = client.refresh().unwrap_err();
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    ensure!(client.unprotect(&context(), &scene.blob).is_err(), "keys in memory go");
    ensure!(scene.members()? == 1);
    let after = stage.with(|domain| domain.descriptor(&scene.objects.keys))?;
    ensure!(after.contains(&format!("D:PAI(D;;RPLCLORC;;;{})", guest.tickets.sid)), "{before}\n{after}");
    ensure!(scene.elevator.revoke(scene.id(), revoked)?, "once more is as good");
    ensure!(stage.with(|domain| domain.descriptor(&scene.objects.keys))? == after);
    // Who is in another grant reads on, and clients see nothing to tell of.
    stays.unprotects()?;
    ensure!(stays.reads()?);
    let lines = scene.group.view()?.access;
    ensure!(!lines.iter().any(|line| line.may.contains("refusal")), "{lines:?}");
    scene.others_go_on()
}

fn asked_for_again_refuses_earlier_tickets(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let request = request();
    let until = now().plus(LONG_MS);
    let first = Guest::new(&scene, scene.elevator.issue(scene.id(), request, until)?)?;
    let mut connection = first.repository()?.connect(0)?;
    ensure!(connection_reads(&mut *connection, scene.id())?);
    let second = Guest::new(&scene, scene.elevator.issue(scene.id(), request, until)?)?;
    ensure!(first.tickets.account != second.tickets.account && second.tickets.until <= until);
    ensure!(!connection_reads(&mut *connection, scene.id())? && !first.reads()?);
    second.unprotects()?;
    ensure!(scene.members()? == 1);
    // A grant of another group has nothing to do with it.
    let elsewhere = Scene::set(stage)?;
    let third = elsewhere.issue(request, LONG_MS)?;
    second.unprotects()?;
    third.unprotects()?;
    ensure!(scene.elevator.revoke(scene.id(), request)?);
    ensure!(!second.reads()?);
    third.unprotects()?;
    scene.others_go_on()
}
