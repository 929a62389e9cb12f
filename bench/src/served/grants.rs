//! A server that holds many grants, against one that holds few.

use anyhow::Result;

use super::Place;
use super::connection::get;
use super::daemon::{Daemon, Log, in_memory};
use super::load::{Load, Pace, in_turns};
use super::people::{Guarded, People, SERVICE};
use crate::measure::Times;
use crate::report::{Limit, Section, spread, spread_time};

/// Clients that ask at once.
const CLIENTS: usize = 8;
/// People, who may have 16 requests open in each group.
const PEOPLE: usize = 32;
const EACH: usize = 16;
const STARTS: usize = 11;

/// A server on the disk that holds grants.
struct Held {
    daemon: Daemon,
    first: Guarded,
    /// People with a grant in the first group, and the request that has opening done under it.
    openings: Vec<(String, Vec<u8>)>,
}

impl Held {
    /// Makes the grants in memory, where that takes minutes and not hours, and moves the server to the disk.
    fn new(place: &Place, groups: usize, each: usize, people: usize) -> Result<Self> {
        let memory = in_memory()?;
        let mut made = Daemon::start(&place.program, memory.path(), Log::Beside)?;
        made.enrol(SERVICE)?;
        let people = People::enrol(&made, people)?;
        let first = people.group(&made, "group-0")?;
        let requests = people.let_in(&made, first.group.id(), each)?;
        let openings = people.asking().iter().zip(requests.iter().step_by(each)).take(CLIENTS);
        let openings = openings.map(|(account, request)| Ok((account.clone(), first.unprotect(*request)?)));
        let openings = openings.collect::<Result<_>>()?;
        for number in 1..groups {
            let group = people.group(&made, &format!("group-{number}"))?;
            people.let_in(&made, group.group.id(), each)?;
        }
        made.stop()?;
        Ok(Self { daemon: made.copy_to(&place.disk)?, first, openings })
    }

    fn read(&self) -> Result<Load> {
        let key = get(&self.first.key_path(&self.daemon)?);
        Ok(Load::new(self.daemon.target(SERVICE)?.connections(CLIENTS)?, vec![key]))
    }

    fn open(&self) -> Result<Load> {
        let connect = |(account, _): &(String, Vec<u8>)| self.daemon.target(account)?.connect();
        let connections = self.openings.iter().map(connect).collect::<Result<_>>()?;
        Ok(Load::new(connections, self.openings.iter().map(|(_, request)| request.clone()).collect()))
    }
}

/// 10 000 grants against 8.
pub(crate) fn grants(place: &Place) -> Result<Section> {
    let disk = place.file_system()?;
    let groups = if place.quick { 2 } else { 20 };
    let (mut few, mut many) = (Held::new(place, 1, 1, CLIENTS)?, Held::new(place, groups, EACH, PEOPLE)?);
    let mut starts = [Times(Vec::new()), Times(Vec::new())];
    for _ in 0..if place.quick { 3 } else { STARTS } {
        for (held, times) in [&mut few, &mut many].into_iter().zip(&mut starts) {
            held.daemon.stop()?;
            times.0.push(held.daemon.serve()?.as_nanos() as f64);
        }
    }
    let (mut reads, mut opens) = ([few.read()?, many.read()?], [few.open()?, many.open()?]);
    let grants = groups * PEOPLE * EACH;
    let mut section = Section::new(
        &format!("{grants} grants at once"),
        &format!(
            "Two real `dkmd` on {disk}, one with {CLIENTS} grants in force, the other with {grants} in {groups} groups. A start \
             lasts until the server says that it is ready: it reads the whole audit log, which has six entries for a grant \
             that was asked for, approved and activated, and compares each record of a request with it. Then 8 clients read a \
             key, and 8 people have blobs of 1 KiB opened."
        ),
        ["operation", "few grants", "many grants", "ratio"],
    );
    let [one, other] = &starts;
    let ratio = other.per(one);
    section.row(["start".into(), spread_time(one), spread_time(other), spread(ratio)]);
    let pace = Pace::new(place.quick);
    in_turns(pace, reads.each_mut())?;
    in_turns(pace, opens.each_mut())?;
    for (name, [one, other]) in [("read of a key", &reads), ("opening of a blob", &opens)] {
        let ratio = other.times().per(&one.times());
        section.row([
            name.into(),
            format!("{} in a second", one.rate()),
            format!("{} in a second", other.rate()),
            spread(ratio),
        ]);
        section.target(
            &format!("{name} with {grants} grants, times the time with {CLIENTS}"),
            Limit::Most(1.3),
            ratio.median,
            "×",
        );
    }
    Ok(section)
}
