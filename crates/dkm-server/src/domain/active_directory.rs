//! A repository in Active Directory Domain Services.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dkm::blocking::{Client, Group, Options};
use dkm::repository::{Put, Repository, RepositoryError};
use dkm::root_key::{FileRootKeys, RootKeyProvider};
use dkm::{ErrorKind, Plaintext, Rosters};
use dkm_ad::elevation::{ElevationError, Elevator, LEAST_MS};
use dkm_ad::{AdRepository, AdUrl, Limits};
use dkm_core::record::{ExposedRecord, Record};
use dkm_core::{Attestation, Context, GroupId, RequestId, Room, Timestamp};
use dkm_lockbox::verify_roster;
use dkm_remote::wire::elevation::ControlRecord;

use super::{Domain, Tickets};
use crate::config;
use crate::problem::Problem;

/// A domain of which the server is a member by an account of its own, as Kerberos says (`KRB5_CLIENT_KTNAME`).
#[derive(Debug)]
pub struct ActiveDirectory {
    repository: Arc<AdRepository>,
    elevator: Elevator,
    client: Client,
    groups: Mutex<BTreeMap<GroupId, Group>>,
    /// Members of groups whose blobs the server opens: for each group an account of its own.
    brokers: BTreeMap<GroupId, Client>,
}

fn told(error: &dkm::Error) -> Problem {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Denied => Problem::denied(text),
        ErrorKind::NotFound => Problem::not_found(text),
        ErrorKind::Usage | ErrorKind::Corrupt | ErrorKind::Refused => Problem::invalid(text),
        _ => Problem::unavailable(text),
    }
}

fn of_repository(error: RepositoryError) -> Problem {
    told(&error.into())
}

fn of_elevator(error: &ElevationError) -> Problem {
    match error {
        ElevationError::TooShort { .. } => Problem::conflict(error.to_string()),
        _ => Problem::unavailable(error.to_string()),
    }
}

fn options() -> Options {
    Options { background: false, ..Options::default() }
}

impl ActiveDirectory {
    /// A domain, as it is configured. Nothing is read of its repository yet.
    ///
    /// # Errors
    /// A URL is not one, or DNS knows no domain controller.
    pub fn new(config: &config::Directory, root_keys: &std::path::Path) -> Result<Self, dkm::Error> {
        let url: AdUrl = config
            .repository
            .parse()
            .map_err(|error: dkm_ad::ParseAdUrlError| dkm::Error::Invalid(error.to_string()))?;
        let folder = url.root_keys.clone().unwrap_or_else(|| root_keys.to_owned());
        let roots = || -> Arc<dyn RootKeyProvider> { Arc::new(FileRootKeys::new(folder.clone())) };
        let mut brokers = BTreeMap::new();
        for broker in &config.brokers {
            let url = AdUrl { principal: Some(broker.principal.clone()), ..url.clone() };
            let repository = AdRepository::open(url, None, Limits::default())?;
            brokers.insert(broker.group, Client::new(Arc::new(repository), roots(), options())?);
        }
        let repository = Arc::new(AdRepository::open(url, None, Limits::default())?);
        let own: Arc<dyn Repository> = Arc::<AdRepository>::clone(&repository);
        Ok(Self {
            elevator: Elevator::new(Arc::clone(&repository)),
            client: Client::new(own, roots(), options())?,
            repository,
            groups: Mutex::default(),
            brokers,
        })
    }

    fn group(&self, group: GroupId) -> Result<Group, Problem> {
        let known = self.groups.lock().unwrap_or_else(PoisonError::into_inner).get(&group).cloned();
        if let Some(handle) = known {
            return Ok(handle);
        }
        let handle = self.client.group(&group.to_string()).map_err(|error| told(&error))?;
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(groups.entry(group).or_insert(handle).clone())
    }
}

impl Domain for ActiveDirectory {
    fn url(&self) -> String {
        // Clients come as somebody else.
        AdUrl { principal: None, ..self.repository.location().clone() }.to_string()
    }

    fn rosters(&self, group: GroupId) -> Result<Rosters, Problem> {
        self.group(group)?.rosters(&verify_roster).map_err(|error| told(&error))
    }

    fn control(&self, group: GroupId) -> Result<Vec<ControlRecord>, Problem> {
        let mut last = Problem::unavailable("there is no domain controller");
        for number in 0..self.repository.replicas() {
            let read = self.repository.reconnect(number).and_then(|mut replica| {
                let mut records = Vec::new();
                for entry in replica.list(group, Room::Control)? {
                    let stored = replica.get(group, Room::Control, &entry)?;
                    let Attestation { creator, created, template_ok } = &stored.attested;
                    if *template_ok {
                        records.push(ControlRecord::new(
                            entry.name.as_str(),
                            &stored.bytes,
                            &creator.0,
                            created.0,
                        ));
                    }
                }
                replica.release();
                Ok(records)
            });
            match read {
                Ok(records) => return Ok(records),
                Err(error) => last = of_repository(error),
            }
        }
        Err(last)
    }

    fn expose(&self, group: GroupId, exposed: &ExposedRecord) -> Result<(), Problem> {
        let record = Record::Exposed(exposed.clone());
        let (slot, bytes) = (record.slot(group, 0), record.encode(group));
        let mut last = Problem::unavailable("there is no domain controller");
        for number in 0..self.repository.replicas() {
            let written = self.repository.connect(number).and_then(|mut replica| {
                // Taken may be by the same record, of an attempt before: what is read back decides.
                match replica.put(group, Room::Control, &slot, &bytes)? {
                    Put::Created | Put::Taken | Put::Tombstoned => {}
                }
                for entry in replica.list(group, Room::Control)?.iter().filter(|entry| entry.name == slot) {
                    let stored = replica.get(group, Room::Control, entry)?;
                    if *stored.bytes == bytes && stored.attested.template_ok {
                        return Ok(true);
                    }
                }
                Ok(false)
            });
            match written {
                Ok(true) => return Ok(()),
                Ok(false) => last = Problem::unavailable("what was written is not what is read back"),
                Err(error) => last = of_repository(error),
            }
        }
        Err(Problem::unavailable(format!(
            "that the keys of group {group} are exposed is not written down: {last}; no credentials are given out"
        ))
        .advice("name the server's account among the group's elevators (dkm group create --elevators)"))
    }

    fn least_ms(&self) -> u64 {
        LEAST_MS
    }

    fn issue(&self, group: GroupId, request: RequestId, until: Timestamp) -> Result<Tickets, Problem> {
        let issued = self.elevator.issue(group, request, until).map_err(|error| of_elevator(&error))?;
        let dkm_ad::elevation::Tickets { cache, account, sid, until, services } = issued;
        Ok(Tickets { cache, account, sid, until, services })
    }

    fn revoke(&self, group: GroupId, request: RequestId) -> Result<bool, Problem> {
        self.elevator.revoke(group, request).map_err(|error| of_elevator(&error))
    }

    fn sweep(&self, now: Timestamp) -> Result<Vec<String>, Problem> {
        let ended = self.elevator.sweep(now).map_err(|error| of_elevator(&error))?;
        Ok(ended.into_iter().map(|ended| ended.account).collect())
    }

    fn unprotect(&self, group: GroupId, context: &Context, blob: &[u8]) -> Result<Plaintext, Problem> {
        let Some(client) = self.brokers.get(&group) else {
            return Err(Problem::denied(format!("this server opens nothing of group {group}")).advice(
                "make a service account for it, a member of the group, and name both in the configuration: [[directory.brokers]]",
            ));
        };
        let handle = client.group(&group.to_string()).map_err(|error| told(&error))?;
        // Whether it is still a member is asked each time: keys in memory are no right.
        handle.refresh().map_err(|error| told(&error))?;
        handle.unprotect(context, blob).map_err(|error| told(&error))
    }
}
