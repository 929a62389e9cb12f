//! Many clients at once, each with one request after the other.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::connection::Connection;
use crate::measure::{Middle, Times};
use crate::report::{number, spread, time};

/// How long to ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) turn: Duration,
    pub(crate) rounds: usize,
}

impl Pace {
    pub(crate) const fn new(quick: bool) -> Self {
        if quick {
            Self { turn: Duration::from_millis(500), rounds: 3 }
        } else {
            Self { turn: Duration::from_secs(3), rounds: 11 }
        }
    }
}

/// What clients ask, each over its own connection: as many requests as connections, or one for all.
pub(crate) struct Load {
    connections: Vec<Connection>,
    requests: Vec<Vec<u8>>,
    rounds: Vec<f64>,
    waits: Vec<f32>,
}

impl Load {
    pub(crate) fn new(connections: Vec<Connection>, requests: Vec<Vec<u8>>) -> Self {
        Self { connections, requests, rounds: Vec::new(), waits: Vec::new() }
    }

    /// Asks for so long; what was measured is kept.
    fn turn(&mut self, long: Duration) -> Result<()> {
        let (nanoseconds, waits) = self.ask(long)?;
        self.rounds.push(nanoseconds);
        self.waits.extend(waits);
        Ok(())
    }

    /// Nanoseconds for each answer of all clients together, and how long each was waited for.
    fn ask(&mut self, long: Duration) -> Result<(f64, Vec<f32>)> {
        let requests = &self.requests;
        let begun = Instant::now();
        let waits = std::thread::scope(|scope| {
            let clients: Vec<_> = self
                .connections
                .iter_mut()
                .enumerate()
                .map(|(number, connection)| {
                    let request = &requests[number % requests.len()];
                    scope.spawn(move || {
                        let mut waits = Vec::new();
                        while begun.elapsed() < long {
                            let since = Instant::now();
                            connection.ask(request)?;
                            waits.push(since.elapsed().as_nanos() as f32);
                        }
                        Ok(waits)
                    })
                })
                .collect();
            let all = clients.into_iter().map(|client| client.join().expect("clients do not panic"));
            all.collect::<Result<Vec<Vec<f32>>>>()
        })?;
        let waits = waits.concat();
        Ok((begun.elapsed().as_nanos() as f64 / waits.len() as f64, waits))
    }

    pub(crate) fn times(&self) -> Times {
        Times(self.rounds.clone())
    }

    /// Answers in a second.
    pub(crate) fn rate(&self) -> String {
        let Middle { median, low, high } = self.times().middle();
        format!("{} ({} – {})", per_second(median), per_second(high), per_second(low))
    }

    /// How long half of all answers took at most, and 99 of 100.
    pub(crate) fn waits(&self) -> Result<String> {
        let mut waits = self.waits.clone();
        waits.sort_by(f32::total_cmp);
        let at = |hundredth: usize| waits.get((waits.len().max(1) - 1) * hundredth / 100).copied();
        let (half, most) = at(50).zip(at(99)).context("nothing was asked")?;
        Ok(format!("{} / {}", time(f64::from(half)), time(f64::from(most))))
    }

    /// The rate as a share of another's, round by round.
    pub(crate) fn share_of(&self, other: &Self) -> Middle {
        other.times().per(&self.times())
    }

    /// A row of a table: rate, waits, share of the first.
    pub(crate) fn row(&self, name: &str, of: &Self) -> Result<[String; 4]> {
        Ok([name.to_owned(), self.rate(), self.waits()?, spread(self.share_of(of))])
    }
}

fn per_second(nanoseconds: f64) -> String {
    number(1e9 / nanoseconds)
}

/// Lets loads take turns, after a turn of each that does not count.
pub(crate) fn in_turns<const N: usize>(pace: Pace, mut loads: [&mut Load; N]) -> Result<()> {
    for load in &mut loads {
        load.ask(pace.turn)?;
    }
    for _ in 0..pace.rounds {
        for load in &mut loads {
            load.turn(pace.turn)?;
        }
    }
    Ok(())
}
