//! Accounts of a real domain.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use dkm_ad::negotiate::{self, Acceptor, Binding};
use dkm_ad::people::{People, PeopleError};
use dkm_ad::security::Sid;
use dkm_ad::{AdRepository, AdUrl, Limits};
use dkm_remote::wire::Kind;

use super::accounts::{Accounts, Standing};
use crate::account::Account;
use crate::config::{ChannelBinding, DirectoryAccounts};
use crate::problem::Problem;

/// Groups of the configuration, by security identifier. A name is looked up once: another group that takes its name later
/// is not it.
#[derive(Debug, Clone)]
struct Groups {
    sign_in: Sid,
    services: BTreeSet<Sid>,
    administrators: Option<Sid>,
    auditors: Option<Sid>,
}

/// A domain, and the key by which tickets for this server are read.
#[derive(Debug)]
pub struct KerberosAccounts {
    url: AdUrl,
    /// Opened once DNS has named domain controllers: the server's own groups do not wait for that.
    people: Mutex<Option<Arc<People>>>,
    acceptor: Acceptor,
    binding: Binding,
    domain: String,
    config: DirectoryAccounts,
    groups: Mutex<Option<Arc<Groups>>>,
}

fn told(error: PeopleError) -> Problem {
    match error {
        PeopleError::Unknown(why) => Problem::unauthenticated(why),
        other => Problem::unavailable(format!("whether this account may sign in can't be said: {other}"))
            .advice("try again once a domain controller answers"),
    }
}

impl KerberosAccounts {
    /// The accounts of the domain of a repository, as they are configured, for a server of this host name. Nothing is read
    /// of the domain yet.
    ///
    /// # Errors
    /// The keytab holds no key for that host; the repository's URL is none.
    pub fn new(config: &DirectoryAccounts, repository: &str, host: &str) -> Result<Self, String> {
        let url: AdUrl = repository.parse().map_err(|error: dkm_ad::ParseAdUrlError| error.to_string())?;
        let domain = url.domain.clone();
        let acceptor = Acceptor::new(host, &domain.to_ascii_uppercase())
            .map_err(|why| format!("the keytab {}: {why}", config.keytab.display()))?;
        let binding = match config.channel_binding {
            ChannelBinding::Required => Binding::Required,
            ChannelBinding::IfSent => Binding::IfSent,
        };
        let (people, groups) = (Mutex::default(), Mutex::default());
        Ok(Self { url, people, acceptor, binding, domain, config: config.clone(), groups })
    }

    fn people(&self) -> Result<Arc<People>, Problem> {
        if let Some(people) = self.people.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(people);
        }
        let opened = AdRepository::open(self.url.clone(), None, Limits::default());
        let opened = opened.map_err(|error| {
            Problem::unavailable(format!("whether this account may sign in can't be said: {error}"))
                .advice("try again once a domain controller answers")
        })?;
        let people = Arc::new(People::new(Arc::new(opened)));
        *self.people.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&people));
        Ok(people)
    }

    fn groups(&self) -> Result<Arc<Groups>, Problem> {
        if let Some(groups) = self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(groups);
        }
        let people = self.people()?;
        let group = |name: &str| {
            people.group(name).map_err(|error| {
                Problem::unavailable(format!("the group {name:?} of the server's configuration: {error}"))
            })
        };
        let optional = |name: &Option<String>| name.as_deref().map(group).transpose();
        let groups = Arc::new(Groups {
            sign_in: group(&self.config.sign_in)?,
            services: self.config.services.iter().map(|name| group(name)).collect::<Result<_, _>>()?,
            administrators: optional(&self.config.administrators)?,
            auditors: optional(&self.config.auditors)?,
        });
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&groups));
        Ok(groups)
    }
}

impl Accounts for KerberosAccounts {
    fn domain(&self) -> &str {
        &self.domain
    }

    fn accept(&self, token: &[u8], certificate: &[u8]) -> Result<String, Problem> {
        let binding = negotiate::server_end_point(certificate).map_err(Problem::unavailable)?;
        let accepted = self.acceptor.accept(token, &binding, self.binding);
        accepted.map_err(|error| Problem::ticket(error.to_string()))
    }

    fn account(&self, name: &str) -> Result<Standing, Problem> {
        // No odd name is shown to the domain.
        Account::of_domain(Kind::Person, name, &self.domain)
            .map_err(|error| Problem::unauthenticated(format!("{name:?} can't sign in here: {error}")))?;
        let groups = self.groups()?;
        let found = self.people()?.account(name).map_err(told)?;
        if let Some(shut) = found.shut {
            return Err(Problem::unauthenticated(format!("{name}@{} {shut} in the domain", self.domain)));
        }
        if !found.groups.contains(&groups.sign_in) {
            return Err(Problem::unauthenticated(format!(
                "{name}@{} is in no group of the domain whose members sign in here",
                self.domain
            )));
        }
        let is_service = groups.services.iter().any(|group| found.groups.contains(group));
        let kind = if is_service { Kind::Service } else { Kind::Person };
        let account = Account::of_domain(kind, &found.name, &self.domain).map_err(|error| {
            Problem::unauthenticated(format!("the account {:?} can't sign in here: {error}", found.name))
        })?;
        let is_in = |group: &Option<Sid>| group.as_ref().is_some_and(|group| found.groups.contains(group));
        Ok(Standing {
            account,
            sid: found.sid.to_string(),
            administrator: !is_service && is_in(&groups.administrators),
            auditor: is_in(&groups.auditors),
            groups: found.groups.iter().map(Sid::to_string).collect(),
        })
    }

    fn group(&self, name: &str) -> Result<String, Problem> {
        self.people()?.group(name).map(|sid| sid.to_string()).map_err(|error| match error {
            PeopleError::Unknown(why) => Problem::not_found(why),
            other => told(other),
        })
    }
}
