//! Accounts of a domain that sign in by Kerberos, and what was read of them, for as long as it may be believed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::account::Account;
use crate::problem::Problem;

/// Tickets that are looked at, at once.
const TICKETS_MAX: usize = 32;
/// Accounts that are read, at once.
const READINGS_MAX: usize = 32;

/// An account that may sign in, as its domain has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// It, by the name that it has here.
    pub account: Account,
    /// Its security identifier: another account under the same name has another.
    pub sid: String,
    /// Security identifiers of all groups of the domain that it is in, by every route.
    pub groups: BTreeSet<String>,
    /// Whether it administers principals and directory groups.
    pub administrator: bool,
    /// Whether it reads the audit log.
    pub auditor: bool,
}

/// A domain whose accounts sign in. Every call may wait for a domain controller, and bounds that by itself.
pub trait Accounts: fmt::Debug + Send + Sync {
    /// Its name in DNS, in small letters: what stands behind the `@` of its accounts and groups.
    fn domain(&self) -> &str;

    /// The short name in a token of SPNEGO that came over a TLS connection on which this certificate was shown. Takes each
    /// token once.
    ///
    /// # Errors
    /// It is not taken.
    fn accept(&self, token: &[u8], certificate: &[u8]) -> Result<String, Problem>;

    /// The account with this short name.
    ///
    /// # Errors
    /// It may not sign in: there is none, it is disabled, in no group that may. Or no domain controller answers.
    fn account(&self, name: &str) -> Result<Standing, Problem>;

    /// The security identifier of the group with this short name.
    ///
    /// # Errors
    /// There is none, or no domain controller answers.
    fn group(&self, name: &str) -> Result<String, Problem>;
}

/// How much is done for those who sign in, at once: each takes a thread, of which others need some, too.
#[derive(Debug)]
pub(crate) struct SignIns {
    tickets: Semaphore,
    readings: Semaphore,
}

impl Default for SignIns {
    fn default() -> Self {
        Self { tickets: Semaphore::new(TICKETS_MAX), readings: Semaphore::new(READINGS_MAX) }
    }
}

impl SignIns {
    /// Waits until a ticket may be looked at.
    pub(crate) async fn tickets(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.tickets.acquire().await.map_err(|_| Problem::unavailable("the server stops"))
    }

    /// Waits until a domain controller may be asked. It may hang: whoever was read a short time ago does not wait for it.
    pub(crate) async fn readings(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.readings.acquire().await.map_err(|_| Problem::unavailable("the server stops"))
    }
}

/// Accounts of a domain, and what was read of them.
#[derive(Debug)]
pub(crate) struct Known {
    accounts: Box<dyn Accounts>,
    life: Duration,
    read: Mutex<BTreeMap<String, (Arc<Standing>, Instant)>>,
}

impl Known {
    /// What was read longer ago than `life` decides nothing.
    pub(crate) fn new(accounts: Box<dyn Accounts>, life: Duration) -> Self {
        Self { accounts, life, read: Mutex::default() }
    }

    pub(crate) fn accounts(&self) -> &dyn Accounts {
        &*self.accounts
    }

    fn within(&self, name: &str, age: Duration) -> Option<Arc<Standing>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.get(name).filter(|(_, at)| at.elapsed() < age).map(|(standing, _)| Arc::clone(standing))
    }

    /// What was read of an account, if less than half of its time is over.
    pub(crate) fn fresh(&self, name: &str) -> Option<Arc<Standing>> {
        self.within(name, self.life / 2)
    }

    /// Reads an account anew, unless less than half of its time is over. Waits for a domain controller.
    ///
    /// # Errors
    /// It may not sign in, or nobody can say; what was read before goes on in that case until its time is over.
    pub(crate) fn freshen(&self, name: &str) -> Result<Arc<Standing>, Problem> {
        if let Some(standing) = self.fresh(name) {
            return Ok(standing);
        }
        self.read_anew(name).or_else(|problem| {
            let held = self.within(name, self.life).filter(|_| !problem.is_decision());
            held.ok_or(problem)
        })
    }

    /// Reads an account anew, whatever was read before.
    ///
    /// # Errors
    /// It may not sign in, or nobody can say.
    pub(crate) fn read_anew(&self, name: &str) -> Result<Arc<Standing>, Problem> {
        let began = Instant::now();
        let answer = self.accounts.account(name).map(Arc::new);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            Ok(standing) => {
                read.retain(|_, (_, at)| at.elapsed() < self.life);
                // A slower reading that began before does not replace it.
                if read.get(name).is_none_or(|(_, at)| *at <= began) {
                    read.insert(name.to_owned(), (Arc::clone(standing), began));
                }
            }
            Err(problem) if problem.is_decision() => {
                read.remove(name);
            }
            Err(_) => {}
        }
        answer
    }

    /// What was read of an account a short time ago.
    ///
    /// # Errors
    /// Nothing was, or it was decided otherwise.
    pub(crate) fn recent(&self, account: &Account) -> Result<Arc<Standing>, Problem> {
        match self.within(account.short_name(), self.life) {
            Some(standing) if standing.account == *account => Ok(standing),
            Some(standing) => Err(Problem::denied(format!(
                "the account of the domain that was {account} is {}",
                standing.account
            ))),
            None => Err(Problem::unavailable(format!(
                "what {account} may do was not read from its domain just now"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use dkm_remote::wire::{Code, Kind};

    use super::*;

    /// What is answered next; none where nobody is to be asked.
    type Answer = Arc<Mutex<Option<Result<(), Problem>>>>;

    /// Answers what it is told to.
    #[derive(Debug)]
    struct Told(Answer);

    impl Accounts for Told {
        fn domain(&self) -> &str {
            "example.com"
        }

        fn accept(&self, _: &[u8], _: &[u8]) -> Result<String, Problem> {
            Err(Problem::ticket("none is taken here"))
        }

        fn account(&self, name: &str) -> Result<Standing, Problem> {
            // What is not to be asked has no answer.
            self.0.lock().unwrap().clone().unwrap()?;
            Ok(Standing {
                account: Account::of_domain(Kind::Person, name, "example.com").unwrap(),
                sid: "S-1-5-21-1-2-3-1104".to_owned(),
                groups: BTreeSet::new(),
                administrator: false,
                auditor: false,
            })
        }

        fn group(&self, _: &str) -> Result<String, Problem> {
            Err(Problem::not_found("there is none"))
        }
    }

    fn known(life: Duration) -> (Known, Answer) {
        let answer = Arc::new(Mutex::new(Some(Ok(()))));
        (Known::new(Box::new(Told(Arc::clone(&answer))), life), answer)
    }

    #[test]
    fn what_was_read_counts_for_its_time_and_a_decision_at_once() {
        let alice: Account = "person:alice@example.com".parse().unwrap();
        let (known, answer) = known(Duration::from_secs(3600));
        assert_eq!(known.recent(&alice).unwrap_err().code(), Code::Unavailable);
        known.freshen("alice").unwrap();
        assert_eq!(known.recent(&alice).unwrap().account, alice);
        // She is a person, and no service of that name.
        assert!(known.recent(&"service:alice@example.com".parse().unwrap()).is_err());
        // Nobody is asked again so soon.
        *answer.lock().unwrap() = None;
        known.freshen("alice").unwrap();
        // Nobody answers: what was read goes on. A refusal ends it.
        *answer.lock().unwrap() = Some(Err(Problem::unavailable("no domain controller")));
        assert!(known.read_anew("alice").is_err());
        known.recent(&alice).unwrap();
        *answer.lock().unwrap() = Some(Err(Problem::unauthenticated("it is disabled")));
        assert_eq!(known.read_anew("alice").unwrap_err().code(), Code::Unauthenticated);
        assert_eq!(known.recent(&alice).unwrap_err().code(), Code::Unavailable);
    }

    #[test]
    fn nothing_counts_whose_time_is_over() {
        let alice: Account = "person:alice@example.com".parse().unwrap();
        let (known, answer) = known(Duration::ZERO);
        known.freshen("alice").unwrap();
        assert!(known.recent(&alice).is_err());
        *answer.lock().unwrap() = Some(Err(Problem::unavailable("no domain controller")));
        assert_eq!(known.freshen("alice").unwrap_err().code(), Code::Unavailable);
    }
}
