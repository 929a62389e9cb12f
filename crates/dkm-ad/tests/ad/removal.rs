//! What still reads after somebody was removed, and what ends it: the table in docs/active-directory-removal.md.

use anyhow::{Result, ensure};
use dkm::ErrorKind;
use dkm::blocking::Group;
use dkm::core::Room;
use dkm::repository::{Replica, Repository as _, RepositoryError};
use dkm_testbed::Account;

use super::access::{Objects, context};
use super::person::Person;
use super::stage::Stage;

pub(crate) const TESTS: &[super::stage::Test] = &[
    ("removal_ends_with_the_tickets", removal_ends_with_the_tickets),
    ("a_disabled_account_gets_no_ticket", a_disabled_account_gets_no_ticket),
    ("a_refusal_on_the_rooms_ends_reading_at_once", a_refusal_on_the_rooms_ends_reading_at_once),
];

/// A member with everything that may outlive its membership.
struct Leaving {
    account: Account,
    readers: dkm_testbed::Group,
    founder: Group,
    blob: Vec<u8>,
    objects: Objects,
    /// A client that has the keys in memory.
    client: Group,
    /// A connection that is open.
    connection: Box<dyn Replica>,
    /// A service ticket for the domain controller.
    service_ticket: Person,
    /// A ticket-granting ticket that was not used yet.
    granting_ticket: Person,
}

impl Leaving {
    fn new(stage: &Stage) -> Result<Self> {
        let account = stage.account("svc-leaving")?;
        let readers = stage.readers(&[&stage.maker, &account])?;
        let founder = stage.group(&stage.maker, &readers)?;
        let blob = founder.protect(&context(), b"secret")?;
        let objects = Objects::of(stage, founder.id())?;
        let client = stage.client(&account)?.group(&founder.id().to_string())?;
        ensure!(client.unprotect(&context(), &blob)?.as_ref() == b"secret");
        let connection = stage.open(&account)?.connect(0)?;
        let service_ticket = Person::with_fresh_ticket(stage, &account)?;
        let granting_ticket = Person::with_fresh_ticket(stage, &account)?;
        let mut leaving = Self {
            account,
            readers,
            founder,
            blob,
            objects,
            client,
            connection,
            service_ticket,
            granting_ticket,
        };
        ensure!(leaving.connection_reads()? && leaving.reads(&leaving.service_ticket)?);
        Ok(leaving)
    }

    fn connection_reads(&mut self) -> Result<bool> {
        let group = self.founder.id();
        let entries = match self.connection.list(group, Room::Keys) {
            Err(RepositoryError::Denied { .. } | RepositoryError::NotFound { .. }) => return Ok(false),
            entries => entries?,
        };
        for entry in &entries {
            self.connection.get(group, Room::Keys, entry)?;
        }
        Ok(!entries.is_empty())
    }

    /// By the key's name, by its id, and by looking into the room.
    fn reads(&self, person: &Person) -> Result<bool> {
        let Objects { key, key_guid, keys, .. } = &self.objects;
        let mut answers = Vec::new();
        for (base, scope) in [(key, "base"), (key_guid, "base"), (keys, "sub")] {
            let found = person.search(base, scope, "(objectClass=contact)", &["thumbnailPhoto"])?;
            answers.push(found.text.contains("thumbnailPhoto::"));
        }
        ensure!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        Ok(answers[0])
    }

    fn uses_cached_keys(&self) -> bool {
        self.client.unprotect(&context(), &self.blob).is_ok()
    }

    fn others_go_on(&self) -> Result<()> {
        self.founder.refresh()?;
        self.founder.protect(&context(), b"x")?;
        ensure!(self.founder.unprotect(&context(), &self.blob)?.as_ref() == b"secret");
        ensure!(!self.founder.view()?.access.iter().any(|line| line.alarming));
        Ok(())
    }
}

fn removal_ends_with_the_tickets(stage: &Stage) -> Result<()> {
    let mut leaving = Leaving::new(stage)?;
    stage.with(|domain| domain.remove_member(&leaving.readers, &leaving.account.dn))?;
    // Memberships stand in tickets, and a domain controller looks at them when a connection is opened.
    ensure!(leaving.uses_cached_keys());
    ensure!(leaving.connection_reads()?);
    ensure!(leaving.reads(&leaving.service_ticket)?);
    ensure!(leaving.reads(&leaving.granting_ticket)?);
    let fresh = Person::with_fresh_ticket(stage, &leaving.account)?;
    ensure!(!leaving.reads(&fresh)?);
    ensure!(!stage.sees(&leaving.account, leaving.founder.id())?);
    leaving.others_go_on()
}

fn a_disabled_account_gets_no_ticket(stage: &Stage) -> Result<()> {
    let mut leaving = Leaving::new(stage)?;
    stage.with(|domain| domain.disable(&leaving.account))?;
    ensure!(leaving.uses_cached_keys());
    ensure!(leaving.connection_reads()?);
    ensure!(leaving.reads(&leaving.service_ticket)?);
    ensure!(!leaving.reads(&leaving.granting_ticket)?);
    ensure!(Person::with_fresh_ticket(stage, &leaving.account).is_err());
    leaving.others_go_on()
}

fn a_refusal_on_the_rooms_ends_reading_at_once(stage: &Stage) -> Result<()> {
    let mut leaving = Leaving::new(stage)?;
    let refusal = format!("(D;;LCRPLORC;;;{})", leaving.account.sid);
    for room in [&leaving.objects.keys, &leaving.objects.control] {
        stage.with(|domain| {
            let found = domain.descriptor(room)?;
            let found = found.split("S:AI").next().unwrap_or_default();
            domain.set_descriptor(room, &found.replacen("D:PAI", &format!("D:PAI{refusal}"), 1))
        })?;
    }
    ensure!(!leaving.connection_reads()?);
    ensure!(!leaving.reads(&leaving.service_ticket)?);
    ensure!(!leaving.reads(&leaving.granting_ticket)?);
    ensure!(!leaving.reads(&Person::with_fresh_ticket(stage, &leaving.account)?)?);
    // Keys in memory go at the next reading, on whatever connection.
    let error = leaving.client.refresh().unwrap_err();
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    ensure!(!leaving.uses_cached_keys());
    leaving.others_go_on()
}
