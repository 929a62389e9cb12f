//! Finding the domain controllers of a domain: by DNS, and near ones first.
//!
//! Nothing that is learned here is trusted. It decides which hosts are asked; that each is a domain controller of the
//! domain is what Kerberos vouches for when somebody signs in ([`Connection::open`](crate::ldap::Connection::open)).

mod dns;
mod ping;
mod poll;
mod resolver;
mod slots;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

pub use self::ping::Presence;
use self::poll::{Candidate, Heard, Poll};
use self::resolver::Resolver;
pub(crate) use self::slots::Slots;
use crate::patience;
use crate::url::{AdUrl, Controller, PORT};

/// Most domain controllers that are used: each is read whenever a group is.
const TAKEN_MAX: usize = 4;
/// Most of these that are taken because they are near. One from elsewhere is to know what they know: a site can be lost.
const NEAR_MAX: usize = TAKEN_MAX - 1;
/// As many make a repository in which a key outlives the loss of one. Where fewer answer, those count too that DNS names
/// and that are silent: they may come back.
const WANTED_MIN: usize = 2;
/// Most faults that are told.
const FAULTS_MAX: usize = 4;
/// How long the system's look-up of addresses may take.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);

/// The domain controllers that a client of this URL uses, the preferred one first: those of its site, then others.
///
/// # Errors
/// DNS does not answer, or knows none, or none of them answers: says what was asked and what came.
pub(crate) fn controllers(url: &AdUrl) -> Result<Vec<Controller>, String> {
    with_silent(url, WANTED_MIN)
}

/// As [`controllers`], without any that is silent.
fn that_answer(url: &AdUrl) -> Result<Vec<Controller>, String> {
    with_silent(url, 0)
}

fn with_silent(url: &AdUrl, up_to: usize) -> Result<Vec<Controller>, String> {
    find(url, up_to).map_err(|why| format!("{why}; name domain controllers with ?dc= to do without DNS"))
}

fn find(url: &AdUrl, silent_up_to: usize) -> Result<Vec<Controller>, String> {
    let domain = url.domain.as_str();
    let resolver = Resolver::of_system()?;
    let named = |site: Option<&str>| -> Result<Vec<Candidate>, String> {
        Ok(dns::controllers(&resolver, domain, site)?.into_iter().map(Candidate::from).collect())
    };
    let mut everywhere = named(None)?;
    let by_address = everywhere.is_empty();
    if by_address {
        everywhere = at_addresses(domain)?;
    }
    let mut poll = Poll::about(domain);
    let site = match &url.site {
        Some(site) => Some(site.clone()),
        // Whichever answers knows in which site this client is.
        None => poll.hear(&everywhere, 1).into_iter().find_map(|heard| heard.answer.ok()?.client_site),
    };
    let near = match &site {
        // Its own records, since a branch's domain controller may be registered nowhere else.
        Some(site) => named(Some(site))?,
        None => Vec::new(),
    };
    if let Some(site) = &site
        && near.is_empty()
    {
        tracing::warn!(domain, site, "DNS knows no domain controller of this site");
    }
    let elsewhere: Vec<Candidate> =
        everywhere.into_iter().filter(|candidate| !near.contains(candidate)).collect();
    let near = poll.hear(&near, TAKEN_MAX);
    let answers = near.iter().filter(|heard| heard.usable().is_some()).count();
    // Addresses come in another order each time: of all that answer, the same are to be the first for everybody.
    let wanted = if by_address { elsewhere.len() } else { TAKEN_MAX - answers.min(NEAR_MAX) };
    let mut elsewhere = poll.hear(&elsewhere, wanted);
    if by_address {
        elsewhere.sort_by_key(|heard| heard.usable().map(|controller| controller.host));
    }
    let chosen = choose(&near, &elsewhere, silent_up_to);
    if chosen.is_empty() { Err(none_of(domain, &[near, elsewhere].concat())) } else { Ok(chosen) }
}

/// Every domain controller registers its addresses under the domain's own name, too. Which it is, it says itself.
fn at_addresses(domain: &str) -> Result<Vec<Candidate>, String> {
    let name = domain.to_owned();
    let addresses: Vec<SocketAddr> = patience::within(LOOK_UP_LIMIT, move || {
        (name.as_str(), PORT).to_socket_addrs().map(Iterator::collect).map_err(|error| error.to_string())
    })
    .and_then(|found| found)
    .map_err(|why| {
        format!("DNS has no SRV records of {domain}, and {domain} itself can't be looked up: {why}")
    })?;
    Ok(addresses.into_iter().map(Candidate::Address).collect())
}

/// Which of those that were asked are used; silent ones as long as there are fewer than this.
fn choose(near: &[Heard], elsewhere: &[Heard], silent_up_to: usize) -> Vec<Controller> {
    let usable = |heard: &[Heard]| heard.iter().filter_map(Heard::usable).collect::<Vec<_>>();
    let (mut near_ones, others) = (usable(near), usable(elsewhere));
    let more = near_ones.split_off(near_ones.len().min(NEAR_MAX));
    let mut chosen: Vec<Controller> = Vec::new();
    let mut take = |controllers: Vec<Controller>, max: usize| {
        for controller in controllers {
            if chosen.len() < max && !chosen.iter().any(|known| known.host == controller.host) {
                chosen.push(controller);
            }
        }
        chosen.len()
    };
    take(near_ones, TAKEN_MAX);
    take(others, TAKEN_MAX);
    if take(more, TAKEN_MAX) > 0 {
        take(
            [near, elsewhere].into_iter().flatten().filter_map(Heard::may_come_back).collect(),
            silent_up_to,
        );
    }
    chosen
}

/// Why there is nobody.
fn none_of(domain: &str, heard: &[Heard]) -> String {
    let mut faults: Vec<String> = heard
        .iter()
        .filter_map(|heard| Some(format!("{}: {}", heard.candidate, heard.answer.as_ref().err()?.why)))
        .collect();
    let more = faults.len().saturating_sub(FAULTS_MAX);
    faults.truncate(FAULTS_MAX);
    if more > 0 {
        faults.push(format!("{more} more"));
    }
    format!("no domain controller of {domain} can be used: {}", faults.join("; "))
}

#[cfg(test)]
mod tests {
    use super::poll::Silence;
    use super::*;

    fn heard(host: &str, answer: Result<(), bool>) -> Heard {
        let presence = Presence {
            host: host.to_owned(),
            domain: "example.com".to_owned(),
            site: None,
            client_site: None,
            writable: true,
            paused: false,
        };
        let silence = |passes| Silence { why: "it is down".to_owned(), passes };
        Heard {
            candidate: Candidate::Host { host: host.to_owned(), port: PORT },
            answer: answer.map(|()| presence).map_err(silence),
        }
    }

    fn up(host: &str) -> Heard {
        heard(host, Ok(()))
    }

    fn down(host: &str) -> Heard {
        heard(host, Err(true))
    }

    fn chosen(near: &[Heard], elsewhere: &[Heard]) -> Vec<String> {
        choose(near, elsewhere, WANTED_MIN).into_iter().map(|controller| controller.host).collect()
    }

    #[test]
    fn near_ones_come_first_and_one_is_from_elsewhere() {
        let near: Vec<_> = ["n1", "n2", "n3", "n4", "n5"].map(up).into();
        let far: Vec<_> = ["f1", "f2", "f3", "f4", "f5"].map(up).into();
        assert_eq!(chosen(&near, &far), ["n1", "n2", "n3", "f1"]);
        assert_eq!(chosen(&near, &[]), ["n1", "n2", "n3", "n4"]);
        assert_eq!(chosen(&[], &far), ["f1", "f2", "f3", "f4"]);
        assert_eq!(chosen(&near[..1], &far), ["n1", "f1", "f2", "f3"]);
        // The same one under two addresses, or known both ways.
        assert_eq!(chosen(&near[..1], &[up("n1"), up("f1")]), ["n1", "f1"]);
    }

    #[test]
    fn silent_ones_count_only_where_there_are_too_few() {
        assert_eq!(chosen(&[down("n1"), up("n2")], &[up("f1"), down("f2")]), ["n2", "f1"]);
        assert_eq!(chosen(&[down("n1"), up("n2")], &[down("f1")]), ["n2", "n1"]);
        assert_eq!(chosen(&[], &[down("f1"), down("f2"), up("f3")]), ["f3", "f1"]);
        // Whoever looks for another in the place of a silent one does not find the silent one.
        assert_eq!(choose(&[down("n1")], &[up("f1")], 0).len(), 1);
        // One that can never be used does not come back: it is read-only, or another than was named.
        let unfit = heard("f1", Err(false));
        assert_eq!(chosen(&[up("n1")], &[unfit.clone(), down("f2")]), ["n1", "f2"]);
        assert!(chosen(&[unfit], &[down("f2")]).is_empty(), "nobody answers");
    }

    #[test]
    fn where_there_is_nobody_it_is_said_why() {
        let all: Vec<_> = (0..20).map(|n| down(&format!("dc{n}"))).collect();
        let why = none_of("example.com", &all);
        assert!(
            why.contains("example.com") && why.contains("dc0: it is down") && why.contains("16 more"),
            "{why}"
        );
    }
}
