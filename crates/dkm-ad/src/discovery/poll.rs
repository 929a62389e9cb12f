//! Asking many domain controllers who they are, some at a time, until enough have answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::dns::Target;
use super::ping::{self, Presence};
use crate::ldap::LdapError;
use crate::url::Controller;

/// How long one domain controller may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// As many are asked at once; when they have not answered for [`STEP_EVERY`], as many again.
const STEP: usize = 4;
const STEP_EVERY: Duration = Duration::from_millis(250);
/// When enough have answered, how long those that come before them in order are waited for.
const GRACE: Duration = Duration::from_secs(1);
/// How long all of this may take: addresses are looked up besides, by a resolver with limits of its own.
const ALL_LIMIT: Duration = Duration::from_secs(15);
/// Most that are asked in one go. In a larger domain the others are not needed.
const ASKED_MAX: usize = 32;

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Candidate {
    /// A host that DNS names.
    Host { host: String, port: u16 },
    /// Whoever is at an address.
    Address(SocketAddr),
}

impl From<Target> for Candidate {
    fn from(target: Target) -> Self {
        Self::Host { host: target.host, port: target.port }
    }
}

impl Candidate {
    fn controller(&self, host: &str) -> Controller {
        match self {
            Self::Host { port, .. } => Controller { host: host.to_owned(), address: None, port: *port },
            Self::Address(at) => {
                Controller { host: host.to_owned(), address: Some(at.ip()), port: at.port() }
            }
        }
    }

    fn ask(&self, domain: &str) -> Result<Presence, Silence> {
        let (addresses, expected) = match self {
            Self::Host { host, .. } => {
                (self.controller(host).addresses().map_err(Silence::unfit)?, Some(host))
            }
            Self::Address(address) => (vec![*address], None),
        };
        let presence = ping::ask(&addresses, domain, LIMIT).map_err(|error| match error {
            LdapError::Unreachable(why) => Silence { why, passes: true },
            error => Silence::unfit(error.to_string()),
        })?;
        match expected {
            Some(host) if *host != presence.host => {
                Err(Silence::unfit(format!("{} answers in its place", presence.host)))
            }
            _ if !presence.writable => {
                Err(Silence::unfit("it is a read-only domain controller, which is no replica".to_owned()))
            }
            _ if presence.paused => {
                Err(Silence { why: "it asks not to be used at present".to_owned(), passes: true })
            }
            _ => Ok(presence),
        }
    }
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host { host, .. } => f.write_str(host),
            Self::Address(address) => write!(f, "{}", address.ip()),
        }
    }
}

/// Why a candidate is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) why: String,
    /// Whether it may well answer later.
    pub(super) passes: bool,
}

impl Silence {
    fn unfit(why: String) -> Self {
        Self { why, passes: false }
    }
}

/// What came of asking one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) candidate: Candidate,
    pub(super) answer: Result<Presence, Silence>,
}

impl Heard {
    /// As a domain controller that can be used now.
    pub(super) fn usable(&self) -> Option<Controller> {
        self.answer.as_ref().ok().map(|presence| self.candidate.controller(&presence.host))
    }

    /// As one that may be usable later.
    pub(super) fn may_come_back(&self) -> Option<Controller> {
        match (&self.candidate, &self.answer) {
            (Candidate::Host { host, .. }, Err(silence)) if silence.passes => {
                Some(self.candidate.controller(host))
            }
            _ => None,
        }
    }
}

/// How one is asked.
type Ask = dyn Fn(&Candidate) -> Result<Presence, Silence> + Send + Sync;

/// Asks candidates; who has answered is not asked again.
pub(super) struct Poll {
    ask: Arc<Ask>,
    heard: Vec<Heard>,
}

impl Poll {
    /// Asks them about a domain.
    pub(super) fn about(domain: &str) -> Self {
        let domain = domain.to_owned();
        Self::by(move |candidate| candidate.ask(&domain))
    }

    fn by(ask: impl Fn(&Candidate) -> Result<Presence, Silence> + Send + Sync + 'static) -> Self {
        Self { ask: Arc::new(ask), heard: Vec::new() }
    }

    /// What was heard of these, in their order, when as many of them as are wanted can be used, or all that were asked
    /// have answered or had their time.
    pub(super) fn hear(&mut self, candidates: &[Candidate], wanted: usize) -> Vec<Heard> {
        let candidates = candidates.get(..ASKED_MAX).unwrap_or(candidates);
        let known =
            |candidate: &Candidate| self.heard.iter().find(|heard| heard.candidate == *candidate).cloned();
        let mut all: Vec<Option<Heard>> = candidates.iter().map(known).collect();
        let unknown: Vec<usize> = (0..all.len()).filter(|at| all[*at].is_none()).collect();
        let mut unknown = unknown.as_slice();
        let (sender, answers) = mpsc::channel();
        let end = Instant::now() + ALL_LIMIT;
        let mut waiting = 0usize;
        let mut next_step = Instant::now();
        let mut enough: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let wait = match number_of(&all, wanted) {
                // None that comes before the last one of these is still out.
                Some(last) if all.iter().take(last).all(Option::is_some) => break,
                Some(_) => enough.get_or_insert(now + GRACE).saturating_duration_since(now),
                None => {
                    if waiting == 0 || now >= next_step {
                        let (step, later) = unknown.split_at(STEP.min(unknown.len()));
                        for at in step {
                            waiting += usize::from(self.send(*at, &candidates[*at], &sender));
                        }
                        unknown = later;
                        next_step = now + STEP_EVERY;
                    }
                    let until = if unknown.is_empty() { end } else { next_step.min(end) };
                    until.saturating_duration_since(now)
                }
            };
            if waiting == 0 || wait.is_zero() {
                break;
            }
            if let Ok((at, answer)) = answers.recv_timeout(wait) {
                waiting -= 1;
                let heard = Heard { candidate: candidates[at].clone(), answer };
                self.heard.push(heard.clone());
                all[at] = Some(heard);
            }
        }
        let silent = |candidate: &Candidate| Heard {
            candidate: candidate.clone(),
            answer: Err(Silence { why: "it did not answer in time".to_owned(), passes: true }),
        };
        let asked = all.into_iter().zip(candidates).enumerate().filter(|(at, _)| !unknown.contains(at));
        asked.map(|(_, (heard, candidate))| heard.unwrap_or_else(|| silent(candidate))).collect()
    }

    /// Asks one on a thread of its own, which ends by itself, whether somebody still waits for it or not.
    fn send(
        &self,
        at: usize,
        candidate: &Candidate,
        to: &Sender<(usize, Result<Presence, Silence>)>,
    ) -> bool {
        let (ask, candidate, to) = (self.ask.clone(), candidate.clone(), to.clone());
        let thread = thread::Builder::new().name("dkm-ad discovery".to_owned());
        thread.spawn(move || to.send((at, ask(&candidate)))).is_ok()
    }
}

/// Where the last of the first so many that can be used stands; none if there are fewer.
fn number_of(all: &[Option<Heard>], wanted: usize) -> Option<usize> {
    let usable = |heard: &Option<Heard>| heard.as_ref().is_some_and(|heard| heard.answer.is_ok());
    (0..all.len()).filter(|at| usable(&all[*at])).nth(wanted.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn host(name: &str) -> Candidate {
        Candidate::Host { host: name.to_owned(), port: 389 }
    }

    fn presence(name: &str) -> Presence {
        Presence {
            host: name.to_owned(),
            domain: "example.com".to_owned(),
            site: None,
            client_site: None,
            writable: true,
            paused: false,
        }
    }

    fn hosts(heard: &[Heard]) -> Vec<String> {
        heard.iter().filter_map(Heard::usable).map(|controller| controller.host).collect()
    }

    /// Answers for all whose names begin with `up`, and notes who was asked.
    fn poll() -> (Poll, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        let poll = Poll::by(move |candidate| {
            let name = candidate.to_string();
            noted.lock().unwrap().push(name.clone());
            if name.starts_with("up") {
                Ok(presence(&name))
            } else {
                Err(Silence { why: "down".to_owned(), passes: true })
            }
        });
        (poll, asked)
    }

    #[test]
    fn the_first_that_answer_are_heard_in_order_and_nobody_is_asked_twice() {
        let (mut poll, asked) = poll();
        let all: Vec<_> =
            (0..100).map(|n| host(&format!("{}{n:02}", if n % 2 == 0 { "down" } else { "up" }))).collect();
        let heard = poll.hear(&all, 4);
        assert_eq!(hosts(&heard)[..4], ["up01", "up03", "up05", "up07"]);
        assert!(asked.lock().unwrap().len() <= ASKED_MAX);
        poll.hear(&all, 4);
        let mut asked = asked.lock().unwrap().clone();
        let count = asked.len();
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), count, "asked twice");
    }

    #[test]
    fn who_is_silent_is_told_and_not_all_of_a_large_domain_are_asked() {
        let (mut poll, asked) = poll();
        let all: Vec<_> = (0..100).map(|n| host(&format!("down{n:02}"))).collect();
        let heard = poll.hear(&all, 4);
        assert!(hosts(&heard).is_empty());
        assert_eq!(heard.len(), ASKED_MAX);
        assert_eq!(asked.lock().unwrap().len(), ASKED_MAX);
        assert!(heard.iter().all(|heard| heard.may_come_back().is_some()));
        assert!(poll.hear(&[], 4).is_empty());
    }

    #[test]
    fn a_slow_one_that_comes_first_is_waited_for_a_moment_only() {
        let (lets_go, until) = mpsc::channel::<()>();
        let until = Mutex::new(Some(until));
        let mut poll = Poll::by(move |candidate| {
            let name = candidate.to_string();
            if name == "slow" {
                // Until the test ends.
                let until = until.lock().unwrap().take().unwrap();
                let _ = until.recv();
            }
            Ok(presence(&name))
        });
        let heard = poll.hear(&[host("slow"), host("one"), host("two")], 2);
        assert_eq!(hosts(&heard), ["one", "two"]);
        drop(lets_go);
    }
}
