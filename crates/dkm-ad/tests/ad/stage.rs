//! One domain for all tests, with a repository in it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use anyhow::{Context as _, Result, anyhow};
use dkm::blocking::{Client, Group, NewGroup, Options};
use dkm::core::policy::Policy;
use dkm::core::{GroupId, Room};
use dkm::repository::{GroupAccess, READERS_GROUP, Repository as _};
use dkm::root_key::FileRootKeys;
use dkm_ad::{AdRepository, AdUrl, Identity, Limits};
use dkm_testbed::{Account, Domain, Scope};

use super::support::CONFIGURATION;

/// A test and its name.
pub(crate) type Test = (&'static str, fn(&Stage) -> Result<()>);

/// A domain and what the tests share in it.
pub(crate) struct Stage {
    domain: Mutex<Option<Domain>>,
    url: AdUrl,
    /// May make groups.
    pub(crate) maker: Account,
    /// May see every group, and audits those that name it.
    pub(crate) auditors: dkm_testbed::Group,
    /// Lets people in for a time, in groups that name it.
    pub(crate) elevator: Account,
    /// The domain's administrator.
    pub(crate) administrator: (String, String),
    next: AtomicU32,
    /// Held by every test that needs the domain to run.
    pub(crate) turn: RwLock<()>,
}

static STAGE: OnceLock<Stage> = OnceLock::new();

impl Stage {
    /// The one stage.
    pub(crate) fn get() -> Result<&'static Self> {
        STAGE.get().context("no domain was set up")
    }

    /// Ends the domain: what is in a static is never dropped.
    pub(crate) fn end() {
        if let Some(stage) = STAGE.get() {
            drop(stage.domain.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        }
    }

    /// Makes a repository in the domain.
    pub(crate) fn set_up(domain: Domain, url: &str) -> Result<()> {
        let configuration = std::env::var_os(CONFIGURATION).context("no place for krb5.conf")?;
        std::fs::copy(domain.krb5_conf(), configuration)?;
        let maker = domain.add_user("svc-maker")?;
        let auditors = domain.add_group("dkm-auditors")?;
        let elevator = domain.add_user("svc-dkmd")?;
        let url: AdUrl = url.parse()?;
        let admin = domain.admin();
        let administrator = (admin.principal.clone(), admin.password.clone());
        // Whatever controller is asked, it is to know the maker.
        domain.replicate()?;
        let stage = Self {
            domain: Mutex::new(Some(domain)),
            url,
            maker,
            auditors,
            elevator,
            administrator,
            next: AtomicU32::new(0),
            turn: RwLock::new(()),
        };
        let repository = stage.open_as_administrator()?;
        dkm_ad::init::plan(
            &repository,
            &["svc-maker".to_owned()],
            &["dkm-auditors".to_owned()],
            &["svc-dkmd".to_owned()],
        )?
        .carry_out()?;
        stage.with(Domain::replicate)?;
        STAGE.set(stage).map_err(|_| anyhow!("a domain was set up before"))
    }

    /// Does something with the domain itself.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Domain) -> Result<T>) -> Result<T> {
        let domain = self.domain.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        work(domain.as_ref().context("the domain has ended")?)
    }

    pub(crate) fn url(&self) -> &AdUrl {
        &self.url
    }

    fn open_as(&self, principal: &str, password: &str) -> Result<AdRepository> {
        let identity =
            Identity::Password { principal: principal.to_owned(), password: password.to_owned().into() };
        self.open_with(self.url.clone(), identity, Limits::default())
    }

    pub(crate) fn open_with(&self, url: AdUrl, identity: Identity, limits: Limits) -> Result<AdRepository> {
        Ok(AdRepository::open(url, Some(identity), limits)?)
    }

    /// The repository through an account, with a ticket that is fetched anew for each connection.
    pub(crate) fn open(&self, account: &Account) -> Result<AdRepository> {
        self.open_as(&account.principal, &account.password)
    }

    pub(crate) fn open_as_administrator(&self) -> Result<AdRepository> {
        self.open_as(&self.administrator.0, &self.administrator.1)
    }

    /// A new account with a name of its own.
    pub(crate) fn account(&self, kind: &str) -> Result<Account> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.with(|domain| domain.add_user(&format!("{kind}-{number}")))
    }

    /// A new security group with these members, made before any of them has fetched a ticket.
    pub(crate) fn readers(&self, members: &[&Account]) -> Result<dkm_testbed::Group> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.with(|domain| {
            let group = domain.add_group(&format!("readers-{number}"))?;
            members.iter().try_for_each(|member| domain.add_member(&group, &member.dn))?;
            Ok(group)
        })
    }

    /// A new account that audits groups and is nothing else.
    pub(crate) fn auditor(&self) -> Result<Account> {
        let auditor = self.account("auditor")?;
        self.with(|domain| domain.add_member(&self.auditors, &auditor.dn))?;
        Ok(auditor)
    }

    /// A client without a background thread, so that tests say when it reads.
    pub(crate) fn client(&self, account: &Account) -> Result<Client> {
        Self::client_of(self.open(account)?)
    }

    /// The same for the domain's administrator.
    pub(crate) fn client_of_administrator(&self) -> Result<Client> {
        Self::client_of(self.open_as_administrator()?)
    }

    pub(crate) fn client_of(repository: AdRepository) -> Result<Client> {
        let roots = Arc::new(FileRootKeys::new("/nonexistent".into()));
        let options = Options { background: false, ..Options::default() };
        Ok(Client::new(Arc::new(repository), roots, options)?)
    }

    /// A policy that lets the tests go on: keys are used a moment after they were made.
    pub(crate) fn policy() -> Policy {
        Policy {
            replication_bound_ms: 1_000,
            activation_delay_ms: 20 * 60_000,
            refresh_interval_ms: 100,
            refresh_jitter_permille: 0,
            ..Policy::for_active_directory()
        }
    }

    /// A group made by an account that is in `readers`.
    pub(crate) fn group(&self, founder: &Account, readers: &dkm_testbed::Group) -> Result<Group> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let new = NewGroup {
            name: format!("group-{number}"),
            description: None,
            policy: Self::policy(),
            access: GroupAccess {
                readers: vec![format!("{READERS_GROUP}{}", readers.sam)],
                creators: vec![founder.sam.clone()],
                owners: vec![founder.sam.clone()],
                auditors: vec![self.auditors.sam.clone()],
                elevators: Vec::new(),
            },
        };
        Ok(self.client(founder)?.create_group(new)?)
    }

    /// The SID of the domain's administrator.
    pub(crate) fn administrator_sid(&self) -> Result<String> {
        self.with(|domain| Ok(domain.admin().sid.clone()))
    }

    /// The distinguished name of a group's room, as the database has it.
    pub(crate) fn room(&self, group: GroupId, room: Room) -> Result<String> {
        let filter = format!("(&(objectClass=container)(displayName={group}/{room}))");
        let found = self.with(|domain| domain.search(domain.base(), Scope::Sub, &filter, &["cn"]))?;
        Ok(found.first().context("the group has no such room")?.dn.clone())
    }

    /// Whether an account sees a group at all.
    pub(crate) fn sees(&self, account: &Account, group: GroupId) -> Result<bool> {
        let mut connection = self.open(account)?.connect(0)?;
        Ok(connection.groups()?.contains(&group) || connection.rights(group).is_ok())
    }
}

/// Waits until the directory's clock, which goes in seconds, has gone on: what was made in one second has no order.
pub(crate) fn next_second() {
    std::thread::sleep(std::time::Duration::from_millis(1_100));
}
