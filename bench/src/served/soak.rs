//! Many requests of all kinds, and the server's memory meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

use super::Place;
use super::connection::{Target, get};
use super::daemon::Log;
use super::people::{People, SERVICE};
use crate::report::{Limit, Section};

const CLIENTS: usize = 64;
/// Requests on one connection; then it is made anew.
const KEPT: usize = 1_000;

/// A million requests.
pub(crate) fn soak(place: &Place) -> Result<Section> {
    let requests: u64 = if place.quick { 20_000 } else { 1_000_000 };
    let disk = place.file_system()?;
    let daemon = place.start(Log::Beside)?;
    daemon.enrol(SERVICE)?;
    let people = People::enrol(&daemon, 8)?;
    let guarded = people.group(&daemon, "mail")?;
    let grants = people.let_in(&daemon, guarded.group.id(), 1)?;
    let group = guarded.group.id();
    let kinds = [
        get("/health"),
        get("/v1/whoami"),
        get(&format!("/v1/groups/{group}/rooms/keys")),
        get(&format!("/v1/groups/{group}/rights")),
        get(&guarded.key_path(&daemon)?),
    ];
    let service = daemon.target(SERVICE)?;
    let mut clients: Vec<(Target, Vec<Vec<u8>>)> =
        (0..CLIENTS).map(|_| (service.clone(), kinds.to_vec())).collect();
    for (account, grant) in people.asking().iter().zip(grants) {
        clients.push((daemon.target(account)?, vec![guarded.unprotect(grant)?]));
    }
    let start = daemon.memory_kib()?;
    let mut samples = vec![("at the start".to_owned(), 0, start)];
    let done = AtomicU64::new(0);
    for (name, share) in [("after 10 %", 10), ("after 50 %", 50), ("after all", 100)] {
        ask(&clients, &done, requests * share / 100)?;
        samples.push((name.to_owned(), done.load(Ordering::Relaxed), daemon.memory_kib()?));
    }
    let figures = daemon.figures()?;
    let entries = figures.get("dkm_audit_log_size").copied().unwrap_or(f64::NAN);
    let mut section = Section::new(
        "A soak",
        &format!(
            "64 connections of a service that ask for the health, who they are, a listing, their rights and an audited key in \
             turn, and 8 people who have blobs opened under grants; each connection is made anew after 1 000 requests. The \
             server is on {disk}. Memory is its resident set as the kernel counts it. At the end its audit log has {entries} \
             entries."
        ),
        ["when", "requests", "memory", "times the first tenth"],
    );
    let tenth = samples[1].2;
    for (name, count, kib) in &samples {
        let mib = format!("{:.1} MiB", kib / 1024.0);
        section.row([name.clone(), count.to_string(), mib, format!("{:.2}", kib / tenth)]);
    }
    let all = samples[samples.len() - 1].2;
    let what = format!("memory after {requests} requests, times that after the first tenth");
    section.target(&what, Limit::Most(1.25), all / tenth, "×");
    Ok(section)
}

/// Asks until so many requests were answered in all.
fn ask(clients: &[(Target, Vec<Vec<u8>>)], done: &AtomicU64, until: u64) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = clients
            .iter()
            .map(|(target, requests)| {
                scope.spawn(move || {
                    while done.load(Ordering::Relaxed) < until {
                        let mut connection = target.connect()?;
                        for request in requests.iter().cycle().take(KEPT) {
                            if done.load(Ordering::Relaxed) >= until {
                                break;
                            }
                            connection.ask(request)?;
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("clients do not panic"))
    })
}
