//! How long a change takes from each domain controller to each other one: a probe is made on each, and looked for on
//! the others until it is there or the time is over.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::dc::Dc;
use super::probe::{Probe, clear_away};
use super::report::{Area, Arrival, Convergence, Draft, Way, ms};
use super::vector;
use crate::ldap::{LdapError, NO_SUCH_OBJECT, Search};
use crate::repository::AdRepository;

/// The shortest pause between two looks.
const PAUSE_MIN: Duration = Duration::from_millis(25);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The pause is this part of the time that has gone by, so that looking adds little to what is measured.
const PAUSE_PART: u32 = 50;

/// What became of the probe of one domain controller.
#[derive(Debug, Clone)]
enum Made {
    /// Not made yet.
    Waiting,
    /// Made; it was asked for then.
    At(Instant, Probe),
    /// Not made, and why.
    Failed(String),
}

/// What the domain controllers' threads tell each other.
#[derive(Debug)]
struct Board(Mutex<Vec<Made>>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, Vec<Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures between all writable domain controllers that let us in; `missing` are those that did not.
pub(super) fn measure(
    repository: &AdRepository,
    dcs: &mut [Dc],
    missing: &[&str],
    timeout: Option<Duration>,
    draft: &mut Draft,
) -> Convergence {
    let mut writable: Vec<&mut Dc> = dcs.iter_mut().filter(|dc| !dc.read_only).collect();
    if timeout.is_some() {
        let container = repository.location().container_dn();
        for dc in writable.iter_mut().filter(|dc| dc.may_probe) {
            clear_away(dc, &container, draft);
        }
    }
    let convergence = match (writable.len(), timeout) {
        (0 | 1, _) => {
            let why = "one writable domain controller was asked, so there is nothing to measure";
            not_measured(draft, why, "name the others in the URL: ?dc=dc1.example.com,dc2.example.com", false)
        }
        (_, None) => not_measured(draft, "no probe was wanted", "leave out --no-probe", false),
        (_, Some(_)) if !writable.iter().all(|dc| dc.may_probe) => {
            let why = if writable.iter().all(|dc| dc.sees_container) {
                "this account may not make containers in the repository's container, which a probe is"
            } else {
                "the repository's container is not there on each domain controller, or this account may not see it"
            };
            let advice = "run it as an account named with dkm ad init --makers, or as a domain administrator";
            not_measured(draft, why, advice, true)
        }
        (_, Some(timeout)) => probe(repository, &mut writable, missing, timeout, draft),
    };
    vector::tell(&mut writable, draft);
    convergence
}

fn not_measured(draft: &mut Draft, why: &str, advice: &str, denied: bool) -> Convergence {
    draft.not_checked(Area::Convergence, "how long a change takes", why, advice);
    Convergence { not_measured: Some(why.to_owned()), denied, ..Convergence::default() }
}

fn probe(
    repository: &AdRepository,
    dcs: &mut [&mut Dc],
    missing: &[&str],
    timeout: Duration,
    draft: &mut Draft,
) -> Convergence {
    let container = repository.location().container_dn();
    let hosts: Vec<String> = dcs.iter().map(|dc| dc.host.clone()).collect();
    let board = Board(Mutex::new(vec![Made::Waiting; dcs.len()]));
    let arrivals: Vec<Vec<Arrival>> = thread::scope(|scope| {
        let looking: Vec<_> = dcs
            .iter_mut()
            .enumerate()
            .map(|(at, dc)| {
                let (board, container) = (&board, container.as_str());
                scope.spawn(move || {
                    board.lock()[at] = make(dc, container, timeout);
                    look(repository, dc, at, board, timeout)
                })
            })
            .collect();
        let lost = || vec![Arrival::Unknown("looking failed".to_owned()); hosts.len()];
        looking.into_iter().map(|looking| looking.join().unwrap_or_else(|_| lost())).collect()
    });
    let gone = delete(repository, dcs, &board, draft);
    let mut convergence = Convergence { ways: ways(&hosts, &arrivals, &gone), ..Convergence::default() };
    conclude(&mut convergence, missing, draft);
    convergence
}

fn make(dc: &mut Dc, container: &str, timeout: Duration) -> Made {
    let probe = match Probe::new(container) {
        Ok(probe) => probe,
        Err(why) => return Made::Failed(why),
    };
    // From before it was asked for: what is measured is rather too long than too short.
    let begun = Instant::now();
    match probe.make(dc, timeout) {
        Ok(()) => Made::At(begun, probe),
        Err(error) => Made::Failed(format!("no probe could be made on {}: {error}", dc.host)),
    }
}

/// Looks on one domain controller for the probes of all others.
fn look(
    repository: &AdRepository,
    dc: &mut Dc,
    here: usize,
    board: &Board,
    timeout: Duration,
) -> Vec<Arrival> {
    let begun = Instant::now();
    let count = board.lock().len();
    let mut arrivals: Vec<Option<Arrival>> = vec![None; count];
    // Its own is no way.
    if let Some(own) = arrivals.get_mut(here) {
        *own = Some(Arrival::SeenAfterMs(0));
    }
    loop {
        let made = board.lock().clone();
        let mut sought = Vec::new();
        for (at, (made, arrival)) in made.iter().zip(&mut arrivals).enumerate() {
            match made {
                _ if arrival.is_some() => {}
                Made::Failed(why) => *arrival = Some(Arrival::Unknown(why.clone())),
                Made::Waiting if begun.elapsed() > timeout => {
                    *arrival = Some(Arrival::Unknown("the probe was not made in time".to_owned()));
                }
                Made::Waiting => {}
                Made::At(since, probe) => sought.push((at, *since, probe.search())),
            }
        }
        if arrivals.iter().all(Option::is_some) {
            break;
        }
        let searches: Vec<Search> = sought.iter().map(|(_, _, search)| search.clone()).collect();
        let answers = if searches.is_empty() { Ok(Vec::new()) } else { dc.connection.search_all(&searches) };
        match answers {
            Ok(answers) => {
                for ((at, since, _), answer) in sought.iter().zip(answers) {
                    arrivals[*at] = arrived(answer, *since, timeout);
                }
            }
            Err(error) => {
                let why = format!("{} could not be asked: {error}", dc.host);
                for (at, since, _) in &sought {
                    if since.elapsed() > timeout {
                        arrivals[*at] = Some(Arrival::Unknown(why.clone()));
                    }
                }
                reconnect(repository, dc);
            }
        }
        thread::sleep((begun.elapsed() / PAUSE_PART).clamp(PAUSE_MIN, PAUSE_MAX));
    }
    arrivals
        .into_iter()
        .map(|arrival| arrival.unwrap_or(Arrival::Unknown("nobody looked".to_owned())))
        .collect()
}

/// What an answer says of a probe; none: it is looked for again.
fn arrived(
    answer: Result<Vec<crate::ldap::Found>, LdapError>,
    since: Instant,
    timeout: Duration,
) -> Option<Arrival> {
    let elapsed = since.elapsed();
    match answer {
        Ok(found) if !found.is_empty() => Some(Arrival::SeenAfterMs(ms(elapsed))),
        Err(error) if error.code() != Some(NO_SUCH_OBJECT) && elapsed > timeout => {
            Some(Arrival::Unknown(error.to_string()))
        }
        _ if elapsed > timeout => Some(Arrival::NotSeenForMs(ms(elapsed))),
        _ => None,
    }
}

/// A new connection in place of one that broke, if there is one to be had.
fn reconnect(repository: &AdRepository, dc: &mut Dc) {
    if let Ok(connection) = repository.raw(dc.number) {
        dc.connection = connection;
    }
}

/// Takes every probe away again where it was made; replication carries that to the others. Returns which of them were
/// gone already: somebody else deleted them, and that one was not seen elsewhere means nothing.
fn delete(repository: &AdRepository, dcs: &mut [&mut Dc], board: &Board, draft: &mut Draft) -> Vec<bool> {
    let mut gone = vec![false; dcs.len()];
    for ((dc, made), gone) in dcs.iter_mut().zip(board.lock().iter()).zip(&mut gone) {
        let Made::At(_, probe) = made else { continue };
        let mut deleted = probe.delete(&mut dc.connection);
        if deleted.as_ref().is_err_and(LdapError::is_fatal) {
            reconnect(repository, dc);
            deleted = probe.delete(&mut dc.connection);
        }
        match deleted {
            Ok(was_there) => *gone = !was_there,
            Err(error) => {
                let what = format!("the probe {} could not be deleted: {error}", probe.dn);
                draft.note(Area::Convergence, what, "it is empty; a later run of this account deletes it");
            }
        }
    }
    gone
}

/// What came of each ordered pair.
fn ways(hosts: &[String], arrivals: &[Vec<Arrival>], gone: &[bool]) -> Vec<Way> {
    let mut ways = Vec::new();
    for (from, source) in hosts.iter().enumerate() {
        for (to, target) in hosts.iter().enumerate().filter(|(to, _)| *to != from) {
            let arrival = arrivals.get(to).and_then(|arrivals| arrivals.get(from)).cloned();
            let arrival = match arrival {
                Some(Arrival::NotSeenForMs(_)) if gone.get(from) == Some(&true) => {
                    Arrival::Unknown("the probe was deleted by somebody else".to_owned())
                }
                Some(arrival) => arrival,
                None => Arrival::Unknown("nobody looked".to_owned()),
            };
            ways.push(Way { from: source.clone(), to: target.clone(), arrival });
        }
    }
    ways
}

fn conclude(convergence: &mut Convergence, missing: &[&str], draft: &mut Draft) {
    let mut all_seen = true;
    for way in &convergence.ways {
        let (from, to) = (&way.from, &way.to);
        match &way.arrival {
            Arrival::SeenAfterMs(took) => {
                draft.good(Area::Convergence, format!("{from} → {to}: {}", super::text::about(*took)));
            }
            Arrival::NotSeenForMs(waited) => {
                all_seen = false;
                draft.warning(
                    Area::Convergence,
                    format!("{from} → {to}: not there after {}", super::text::about(*waited)),
                    "see whether the two replicate (samba-tool drs showrepl, repadmin /replsummary); where they do \
                     by a schedule, wait longer: --probe-timeout",
                );
            }
            Arrival::Unknown(why) => {
                all_seen = false;
                draft.not_checked(Area::Convergence, &format!("{from} → {to}"), why, "run it again");
            }
        }
    }
    // The slowest of some would be a number that no client can rely on.
    if !all_seen {
        convergence.not_measured = Some("not every probe was seen".to_owned());
    } else if !missing.is_empty() {
        convergence.not_measured = Some(format!("{} was not reached", missing.join(", ")));
    } else {
        convergence.slowest_ms = convergence.slowest_seen_ms();
        if let Some(slowest) = convergence.slowest_ms {
            draft.good(Area::Convergence, format!("the slowest way took {}", super::text::about(slowest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arrivals: &[Arrival], missing: &[&str]) -> Convergence {
        let way =
            |arrival: &Arrival| Way { from: "a".to_owned(), to: "b".to_owned(), arrival: arrival.clone() };
        let mut convergence =
            Convergence { ways: arrivals.iter().map(way).collect(), ..Convergence::default() };
        conclude(&mut convergence, missing, &mut Draft::default());
        convergence
    }

    #[test]
    fn a_probe_that_somebody_deleted_proves_nothing() {
        let hosts = ["a".to_owned(), "b".to_owned()];
        let (seen, unseen) = (Arrival::SeenAfterMs(5), Arrival::NotSeenForMs(9));
        let arrivals = [vec![seen.clone(), unseen.clone()], vec![seen.clone(), seen.clone()]];
        let of = |gone: &[bool]| {
            ways(&hosts, &arrivals, gone).into_iter().map(|way| way.arrival).collect::<Vec<_>>()
        };
        assert_eq!(of(&[false, false]), [seen.clone(), unseen]);
        assert!(matches!(&of(&[false, true])[1], Arrival::Unknown(_)));
        assert_eq!(of(&[true, false])[0], seen);
    }

    #[test]
    fn the_slowest_counts_only_where_all_were_seen() {
        let (fast, slow) = (Arrival::SeenAfterMs(7), Arrival::SeenAfterMs(90));
        assert_eq!(of(&[slow.clone(), fast.clone()], &[]).slowest_ms, Some(90));
        let cut = of(&[slow.clone(), Arrival::NotSeenForMs(500)], &[]);
        assert_eq!((cut.slowest_ms, cut.more_than_ms()), (None, Some(500)));
        let part = of(&[slow, fast.clone()], &["dc3"]);
        assert_eq!((part.slowest_ms, part.slowest_seen_ms()), (None, Some(90)));
        let unknown = of(&[fast, Arrival::Unknown("x".to_owned())], &[]);
        assert_eq!((unknown.slowest_ms, unknown.more_than_ms()), (None, None));
        assert!(unknown.not_measured.is_some());
    }
}
