//! `dkmd` under load: the program itself, over mutual TLS on connections that are kept, on a real disk.

mod connection;
mod daemon;
mod grants;
mod load;
mod people;
mod soak;

use std::path::PathBuf;

use anyhow::{Result, ensure};

use self::connection::get;
use self::daemon::{Daemon, Log, file_system};
use self::load::{Load, Pace, in_turns};
use self::people::{People, SERVICE};
use crate::report::{Limit, Section, number};

pub(crate) use self::grants::grants;
pub(crate) use self::soak::soak;

/// What is measured, where, and for how long.
#[derive(Debug)]
pub(crate) struct Place {
    /// The program.
    pub(crate) program: PathBuf,
    /// A folder on a disk.
    pub(crate) disk: PathBuf,
    pub(crate) quick: bool,
}

impl Place {
    /// The type of the disk's file system, if it is one that keeps what is written.
    fn file_system(&self) -> Result<String> {
        std::fs::create_dir_all(&self.disk)?;
        let found = file_system(&self.disk)?;
        ensure!(
            !["tmpfs", "ramfs", "overlay"].contains(&found.as_str()),
            "{} is no disk",
            self.disk.display()
        );
        Ok(found)
    }

    fn start(&self, log: Log) -> Result<Daemon> {
        Daemon::start(&self.program, &self.disk, log)
    }
}

/// Clients that read keys.
const READERS: usize = 256;
/// People for whom the server opens blobs.
const ASKING: usize = 32;

/// A key's record, read by many services, against an answer that costs nothing.
pub(crate) fn reads(place: &Place) -> Result<Section> {
    let disk = place.file_system()?;
    let daemon = place.start(Log::Beside)?;
    daemon.enrol(SERVICE)?;
    let guarded = People::enrol(&daemon, 1)?.group(&daemon, "mail")?;
    let target = daemon.target(SERVICE)?;
    let group = guarded.group.id();
    let load = |path: &str| Ok::<_, anyhow::Error>(Load::new(target.connections(READERS)?, vec![get(path)]));
    let mut nothing = load("/v1/whoami")?;
    let mut health = load("/health")?;
    let mut list = load(&format!("/v1/groups/{group}/rooms/keys"))?;
    let mut read = load(&guarded.key_path(&daemon)?)?;
    let before = daemon.figures()?;
    in_turns(Pace::new(place.quick), [&mut nothing, &mut health, &mut list, &mut read])?;
    let shared = Shared::between(&before, &daemon.figures()?);
    let mut section = Section::new(
        "A key ring served to 256 connections",
        &format!(
            "A real `dkmd`, its folder on {disk}, and 256 clients in the measuring process, on the same cores: mutual \
             TLS, connections that are kept, one request after the other on each. The no-op is `GET /v1/whoami`, the cheapest \
             answer of that listener: it finds out who asks, as every request does, and says so. A listing is what a refresh with nothing \
             new asks for; it releases no key. Reading a key announces that in the audit log, durably under a signed \
             checkpoint, before the key leaves, and says afterwards that it has left: two entries each. Entries that wait together \
             share a commit of the log, which waits for the disk four times.",
        ),
        ["request", "answers in a second", "half within / 99 % within", "share of the no-op"],
    );
    for (name, load) in [
        ("no-op", &nothing),
        ("health", &health),
        ("listing of the keys", &list),
        ("one key, audited", &read),
    ] {
        section.row(load.row(name, &nothing)?);
    }
    section.row(shared.row("all of them"));
    let share = read.share_of(&nothing).median;
    section.target("key reads over mutual TLS, share of a no-op", Limit::Least(0.6), share, "");
    Ok(section)
}

/// How many entries of the audit log shared the wait for the disk.
struct Shared {
    entries: f64,
    commits: f64,
    syncs: f64,
}

impl Shared {
    fn between(
        before: &std::collections::BTreeMap<String, f64>,
        after: &std::collections::BTreeMap<String, f64>,
    ) -> Self {
        let of = |name: &str| {
            let at = |figures: &std::collections::BTreeMap<String, f64>| {
                figures.get(&format!("dkm_audit_{name}_total")).copied().unwrap_or(f64::NAN)
            };
            at(after) - at(before)
        };
        Self { entries: of("entries"), commits: of("commits"), syncs: of("syncs") }
    }

    /// A row of a table.
    fn row(&self, name: &str) -> [String; 4] {
        let commit = format!("{} entries for each commit", number(self.entries / self.commits));
        let sync = format!("{} for each fsync", number(self.entries / self.syncs));
        [format!("audit log, {name}"), commit, sync, String::new()]
    }
}

/// Blobs that the server opens for people under grants, with the audit log on the disk and in memory.
pub(crate) fn brokered(place: &Place) -> Result<Section> {
    let disk = place.file_system()?;
    let mut served = Vec::new();
    for log in [Log::InMemory, Log::Beside] {
        let daemon = place.start(log)?;
        daemon.enrol(SERVICE)?;
        let people = People::enrol(&daemon, ASKING)?;
        let guarded = people.group(&daemon, "mail")?;
        let requests = people.let_in(&daemon, guarded.group.id(), 1)?;
        let connections = people.asking().iter().map(|account| daemon.target(account)?.connect());
        let bytes = requests.iter().map(|request| guarded.unprotect(*request));
        let load = Load::new(connections.collect::<Result<_>>()?, bytes.collect::<Result<_>>()?);
        served.push((daemon, load));
    }
    let [(in_memory, memory), (on_disk, durable)] = served.as_mut_slice() else {
        anyhow::bail!("two servers were started")
    };
    let before = [in_memory.figures()?, on_disk.figures()?];
    in_turns(Pace::new(place.quick), [&mut *memory, &mut *durable])?;
    let shared = [
        Shared::between(&before[0], &in_memory.figures()?),
        Shared::between(&before[1], &on_disk.figures()?),
    ];
    let mut section = Section::new(
        "Blobs opened under grants, 32 people at once",
        &format!(
            "Two real `dkmd`, each with 32 people of one group, each with a grant and a connection of his own, who have \
             blobs of 1 KiB opened one after the other. Every opening is checked against the grant, announced in the \
             audit log under a signed checkpoint, counted in the database, and acknowledged in the log before the \
             plaintext leaves. No configuration turns that off. So the reference is the same server with its audit log and \
             the last checkpoint on a file system in memory (tmpfs), where making them durable costs nothing; the other has \
             all on {disk}. Both have their database on {disk}, in which changes that wait together share a wait for it. Entries that wait \
             together share a commit of the log, which waits for the disk four times.",
        ),
        ["audit log", "openings in a second", "half within / 99 % within", "share"],
    );
    section.row(memory.row("in memory", memory)?);
    section.row(durable.row("on the disk", memory)?);
    section.row(shared[0].row("in memory"));
    section.row(shared[1].row("on the disk"));
    let share = durable.share_of(memory).median;
    section.target(
        "audited openings by 32 people, share of the same with the log in memory",
        Limit::Least(0.5),
        share,
        "",
    );
    Ok(section)
}
