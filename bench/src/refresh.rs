//! A refresh with nothing new, beside a search on a connection that is open already.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::{Client, Options};
use dkm::clock::{Clock as _, ManualClock, SystemClock};
use dkm::core::Context;
use dkm::root_key::FileRootKeys;
use dkm_ad::{AdRepository, AdUrl, Limits};
use dkm_testbed::Tap;

use crate::measure::Times;

/// What the group's policy says; jitter makes it a little longer.
pub(crate) const INTERVAL: &str = "refresh_interval=100ms";
const PAST_INTERVAL_MS: u64 = 200;
/// Refreshes, and searches, of one turn.
const PER_TURN: u32 = 50;
/// Refreshes of which the round trips are counted.
const COUNTED: usize = 30;

/// The first word of a process that measures refreshes alone: a URL, a group, a blob, and how many turns follow.
pub(crate) const REFRESHES: &str = "--refreshes";

/// Of one ring.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Round trips of each refresh.
    pub(crate) trips: Vec<u64>,
    pub(crate) refresh: Times,
    pub(crate) search: Times,
}

/// Measures in a process of its own: Kerberos is told by the environment where its configuration is.
pub(crate) fn measure(
    command: &mut Command,
    url: &str,
    group: &str,
    blob: &Path,
    turns: u32,
) -> Result<Measured> {
    command.args([REFRESHES, url, group]).arg(blob).arg(turns.to_string());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "measuring refreshes ended with {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines().map(|line| line.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>());
    let mut next = || anyhow::Ok(lines.next().context("a line is missing")??);
    let (trips, refresh, search) = (next()?, Times(next()?), Times(next()?));
    Ok(Measured { trips: trips.into_iter().map(|trips| trips as u64).collect(), refresh, search })
}

/// What [`measure`] starts: writes what it measured to standard output.
pub(crate) fn in_own_process(words: &[String]) -> Result<()> {
    let [url, group, blob, turns] = words else { anyhow::bail!("four words are wanted") };
    let (url, blob): (AdUrl, _) = (url.parse()?, fs::read(blob)?);
    let mut trips = Vec::new();
    {
        let mut url = url.clone();
        let controller = url.controllers.first_mut().context("the URL names no domain controller")?;
        let server = (controller.address.context("it has no address")?, controller.port);
        let tap = Tap::before(server.into())?;
        (controller.address, controller.port) = (Some(tap.address().ip()), tap.address().port());
        let refresher = Refresher::new(url, group, &blob)?;
        for _ in 0..COUNTED {
            let before = tap.traffic();
            refresher.refresh()?;
            trips.push(tap.traffic().since(before).round_trips as f64);
        }
    }
    ensure!(trips.iter().all(|trips| *trips > 0.0), "nothing was read");
    let controller = url.controllers.first().context("the URL names no domain controller")?;
    let server = format!("ldap://{}", controller.address.context("it has no address")?);
    let refresher = Refresher::new(url, group, &blob)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..=turns.parse()? {
        let start = Instant::now();
        for _ in 0..PER_TURN {
            refresher.refresh()?;
        }
        let refresh = start.elapsed().as_secs_f64() * 1e9 / f64::from(PER_TURN);
        // What it takes to connect falls out.
        let search = (searches(&server, PER_TURN + 1)? - searches(&server, 1)?) / f64::from(PER_TURN);
        // The first of each fills caches.
        if turn > 0 {
            ours.push(refresh);
            theirs.push(search);
        }
    }
    for values in [trips, ours, theirs] {
        println!("{}", values.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// A client whose clock stands still, but for what makes a refresh due.
struct Refresher<'a> {
    group: dkm::blocking::Group,
    clock: Arc<ManualClock>,
    blob: &'a [u8],
}

impl<'a> Refresher<'a> {
    fn new(url: AdUrl, group: &str, blob: &'a [u8]) -> Result<Self> {
        let clock = Arc::new(ManualClock::at(SystemClock::new().now()));
        let options = Options { background: false, clock: clock.clone(), ..Options::default() };
        let roots = Arc::new(FileRootKeys::new("/nonexistent".into()));
        let client =
            Client::new(Arc::new(AdRepository::open(url, None, Limits::default())?), roots, options)?;
        Ok(Self { group: client.group(group)?, clock, blob })
    }

    /// What a service does when the interval is over: its next call reads first.
    fn refresh(&self) -> Result<()> {
        self.clock.advance(PAST_INTERVAL_MS);
        self.group.unprotect(&Context::new(), self.blob)?;
        Ok(())
    }
}

/// Nanoseconds of an `ldapsearch` that searches the rootDSE so many times on one sealed connection.
fn searches(server: &str, count: u32) -> Result<f64> {
    let mut lines = tempfile::NamedTempFile::new()?;
    let mut text = String::new();
    for _ in 0..count {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "top");
    }
    lines.write_all(text.as_bytes())?;
    let mut search = Command::new("ldapsearch");
    search.args(["-Q", "-LLL", "-Y", "GSSAPI", "-H", server, "-s", "base", "-b", "", "-f"]).arg(lines.path());
    search.args(["(objectClass=%s)", "highestCommittedUSN"]).stdin(Stdio::null());
    let start = Instant::now();
    let output = search.output().context("can't start ldapsearch")?;
    let elapsed = start.elapsed().as_secs_f64() * 1e9;
    let found = String::from_utf8_lossy(&output.stdout).matches("highestCommittedUSN:").count();
    ensure!(output.status.success() && found == count as usize, "ldapsearch: {output:?}");
    Ok(elapsed)
}
