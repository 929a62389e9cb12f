//! The server's parts, and how it decides, records and changes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dkm_audit::entry::{ContextKey, ContextMac, Detail, Entry, GrantRef, Phase, Reason};
use dkm_audit::store::Receipt;
use dkm_core::{Digest, GroupId, KeyId, Timestamp};
use rusqlite::Transaction;
use tracing::Instrument as _;

use crate::account::Account;
use crate::actions::Action;
use crate::audit::{self, Audit};
use crate::authority::Authority;
use crate::broker::Broker;
use crate::caller::Caller;
use crate::catalog::{Catalog, Rights};
use crate::config::{Certificates, Limits};
use crate::domain::{Accounts, Domain, Held, Known, SignIns};
use crate::elevation::{self, Boxes};
use crate::log_readers::LogReaders;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::store::{Store, directory};
use crate::telemetry::TARGET;

/// The server, without its listeners.
#[derive(Debug)]
pub struct Server {
    store: Arc<Store>,
    audit: Audit,
    authority: Authority,
    limits: Limits,
    certificates: Certificates,
    catalog: Mutex<Option<Arc<Catalog>>>,
    access_changes: Mutex<()>,
    elevation: elevation::State,
    context_key: ContextKey,
    broker: OnceLock<Broker>,
    domain: OnceLock<Arc<Held>>,
    accounts: OnceLock<Arc<Known>>,
    sign_ins: SignIns,
    log_readers: LogReaders,
    metrics: Metrics,
}

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Arc<Store>,
    /// The audit log.
    pub audit: Audit,
    /// The certificate authority.
    pub authority: Authority,
    /// The key under which contexts stand in the log.
    pub context_key: ContextKey,
    /// Requests for elevated access.
    pub elevation: Boxes,
    /// Bounds.
    pub limits: Limits,
    /// How long certificates and tokens last.
    pub certificates: Certificates,
}

/// What an entry of the audit log says beside who, when and what.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The group.
    pub group: Option<GroupId>,
    /// The key.
    pub key: Option<KeyId>,
    /// How much, in bytes.
    pub size: Option<u64>,
    /// More, in the program's words. Never a secret.
    pub detail: String,
    /// The grant, or the request for one.
    pub grant: Option<GrantRef>,
    /// The blob.
    pub blob: Option<Digest>,
    /// Its context.
    pub context: Option<ContextMac>,
    /// Why, in the words of who does it.
    pub reason: Option<Reason>,
}

impl About {
    /// Something about a group.
    #[must_use]
    pub fn group(group: GroupId, detail: impl Into<String>) -> Self {
        Self { group: Some(group), detail: detail.into(), ..Self::default() }
    }

    /// Something about no group.
    #[must_use]
    pub fn plain(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::default() }
    }
}

/// The system's clock.
#[must_use]
pub fn now() -> Timestamp {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp(u64::try_from(ms).unwrap_or(u64::MAX))
}

impl Server {
    /// Puts the parts together.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn new(parts: Parts) -> rusqlite::Result<Self> {
        let Parts { store, audit, authority, context_key, elevation, limits, certificates } = parts;
        let catalog = store.read(Catalog::load)?;
        Ok(Self {
            store,
            audit,
            authority,
            context_key,
            limits,
            certificates,
            elevation: elevation.into_state(),
            broker: OnceLock::new(),
            domain: OnceLock::new(),
            accounts: OnceLock::new(),
            sign_ins: SignIns::default(),
            log_readers: LogReaders::default(),
            metrics: Metrics::default(),
            catalog: Mutex::new(Some(Arc::new(catalog))),
            access_changes: Mutex::new(()),
        })
    }

    /// Lets the server open blobs for those who are granted it.
    pub fn set_broker(&self, broker: Broker) {
        let _ = self.broker.set(broker);
    }

    /// Lets people ask for access to groups of a domain, too.
    pub fn set_domain(&self, domain: Arc<dyn Domain>) {
        let _ = self.domain.set(Arc::new(Held::new(domain)));
    }

    /// Lets accounts of a domain sign in. What was read of one longer ago than `life` decides nothing.
    pub fn set_accounts(&self, accounts: Box<dyn Accounts>, life: Duration) {
        let _ = self.accounts.set(Arc::new(Known::new(accounts, life)));
    }

    /// The domain whose accounts sign in, and what was read of them.
    pub(crate) fn known_accounts(&self) -> Option<Arc<Known>> {
        self.accounts.get().map(Arc::clone)
    }

    /// How much is done for those who sign in.
    pub(crate) const fn sign_ins(&self) -> &SignIns {
        &self.sign_ins
    }

    /// Directory groups that an account is in, by every route.
    ///
    /// # Errors
    /// It is a domain's, and was not read from there just now.
    pub(crate) fn groups_now(
        &self,
        catalog: &Catalog,
        account: &Account,
    ) -> Result<BTreeSet<String>, Problem> {
        Ok(match self.standing_of(catalog, account)? {
            Some(standing) => catalog.groups_within(account, &standing.groups),
            None => catalog.groups_of(account),
        })
    }

    /// The domain, and what was read of its groups.
    pub(crate) fn held(&self) -> Option<Arc<Held>> {
        self.domain.get().map(Arc::clone)
    }

    /// What opens blobs.
    ///
    /// # Errors
    /// Nothing does here.
    pub fn broker(&self) -> Result<&Broker, Problem> {
        self.broker.get().ok_or_else(|| Problem::unavailable("this server opens no blobs"))
    }

    /// The key under which contexts stand in the log.
    #[must_use]
    pub const fn context_key(&self) -> &ContextKey {
        &self.context_key
    }

    pub(crate) const fn elevation(&self) -> &elevation::State {
        &self.elevation
    }

    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) const fn log_readers(&self) -> &LogReaders {
        &self.log_readers
    }

    /// The database.
    #[must_use]
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The audit log.
    #[must_use]
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The certificate authority.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Its limits.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Everything that decides, as it stands now.
    ///
    /// # Errors
    /// It could not be read after a change: nobody may do anything until it can.
    pub fn catalog(&self) -> Result<Arc<Catalog>, Problem> {
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        match &*catalog {
            Some(catalog) => Ok(Arc::clone(catalog)),
            None => {
                let read = Arc::new(self.store.read(Catalog::load)?);
                Ok(Arc::clone(catalog.insert(read)))
            }
        }
    }

    /// How long certificates and tokens last.
    #[must_use]
    pub const fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// What a caller may do with a group.
    ///
    /// # Errors
    /// There is no such group, or it is not announced and not the caller's.
    pub fn rights(&self, caller: &Caller, group: GroupId) -> Result<Rights, Problem> {
        let catalog = self.catalog()?;
        let none = || Problem::not_found(format!("there is no group {group} here"));
        if let Some(grant) = caller.grant() {
            let opens = grant.group == group && catalog.groups.contains_key(&group);
            return opens.then_some(Rights { read: true, see: true, ..Rights::default() }).ok_or_else(none);
        }
        let access = catalog.groups.get(&group).ok_or_else(none)?;
        if !access.announced && caller.account() != Some(&access.founder) {
            return Err(none());
        }
        let Some(account) = caller.account() else { return Ok(Rights::default()) };
        catalog.rights(group, account, caller.groups()).ok_or_else(none)
    }

    fn entry(caller: &Caller, action: Action, phase: Phase, about: &About) -> Entry {
        let detail = Some(about.detail.as_str()).filter(|detail| !detail.is_empty());
        let mut entry = audit::entry(now(), caller.name(), action.into(), phase, detail);
        entry.group = about.group;
        entry.key = about.key;
        entry.size = about.size;
        entry.grant = match caller.grant() {
            Some(grant) => grant.request.to_string().parse().ok(),
            None => about.grant.clone(),
        };
        entry.blob = about.blob;
        entry.context = about.context;
        entry.reason.clone_from(&about.reason);
        entry
    }

    /// Refuses, and records that.
    ///
    /// # Errors
    /// Always: the refusal, or that it can't be recorded.
    pub async fn deny<T>(
        &self,
        caller: &Caller,
        action: Action,
        about: &About,
        problem: Problem,
    ) -> Result<T, Problem> {
        let mut entry = Self::entry(caller, action, Phase::Denied, about);
        entry.detail = Some(Detail::lossy(&if about.detail.is_empty() {
            problem.to_string()
        } else {
            format!("{}: {problem}", about.detail)
        }));
        self.audit.record(&entry).await?;
        self.metrics.denied(action);
        Err(problem)
    }

    /// Lets something go on only if it is allowed; a refusal is recorded.
    ///
    /// # Errors
    /// The refusal, or that it can't be recorded.
    pub async fn require(
        &self,
        allowed: bool,
        caller: &Caller,
        action: Action,
        about: &About,
    ) -> Result<(), Problem> {
        if allowed {
            return Ok(());
        }
        let to_what = about.group.map_or_else(String::new, |group| format!(" in group {group}"));
        let problem = Problem::denied(format!("{} may not {action}{to_what}", caller.name()));
        self.deny(caller, action, about, problem).await
    }

    /// Records that something is done which has neither a before nor an after, durably.
    ///
    /// # Errors
    /// It can't be recorded, so it must not be done.
    pub async fn record(&self, caller: &Caller, action: Action, about: &About) -> Result<Receipt, Problem> {
        self.audit.record(&Self::entry(caller, action, Phase::Recorded, about)).await
    }

    /// Records that something is about to leave the server, durably.
    ///
    /// # Errors
    /// It can't be recorded, so it must not leave.
    pub async fn release(&self, caller: &Caller, action: Action, about: &About) -> Result<Receipt, Problem> {
        self.audit.record(&Self::entry(caller, action, Phase::Intent, about)).await
    }

    /// Records that it has left.
    pub fn released(&self, caller: &Caller, action: Action, about: &About, receipt: &Receipt) {
        let phase = Phase::Success { intent: receipt.index };
        self.audit.outcome(&Self::entry(caller, action, phase, about));
    }

    /// Records that it was kept back after all.
    pub fn kept_back(
        &self,
        caller: &Caller,
        action: Action,
        about: &About,
        receipt: &Receipt,
        problem: &Problem,
    ) {
        let about = About { detail: format!("{}: {problem}", about.detail), ..about.clone() };
        let phase = Phase::Failure { intent: receipt.index };
        self.audit.outcome(&Self::entry(caller, action, phase, &about));
    }

    /// Refuses unless the caller may read a group's keys at this moment, whatever was so when he was asked who he is:
    /// recording what is about to leave may have taken long.
    ///
    /// # Errors
    /// The refusal, or that it can't be said at the moment.
    pub fn still_reads(&self, caller: &Caller, group: GroupId) -> Result<(), Problem> {
        let ended =
            || Problem::denied(format!("{} may not read keys of group {group} any more", caller.name()));
        let catalog = self.catalog()?;
        let account: Account = caller.name().parse().map_err(|_| ended())?;
        if !catalog.principals.get(&account).is_some_and(|principal| principal.enabled) {
            return Err(ended());
        }
        if let Some(grant) = caller.grant() {
            self.standing_of(&catalog, &account)?;
            return self.goes_on_for(&account, grant.request).map(|_| ());
        }
        let groups = self.groups_now(&catalog, &account)?;
        let reads = catalog.rights(group, &account, &groups).is_some_and(|rights| rights.read);
        if reads { Ok(()) } else { Err(ended()) }
    }

    /// Changes the database: recorded before and after, done whole or not at all, and done to its end even if the caller
    /// goes away.
    ///
    /// # Errors
    /// It can't be recorded or done, or `f` refuses it. After an error of the second recording it is done nevertheless.
    pub async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        action: Action,
        about: About,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (server, caller) = (Arc::clone(self), caller.clone());
        let done = tokio::spawn(
            async move { server.change_with(&caller, action, about, |tx, _| f(tx)).await }.in_current_span(),
        );
        let broken = Problem::unavailable("the change was broken off; whether it was made is not known");
        done.await.unwrap_or(Err(broken)).map(|(done, _)| done)
    }

    /// As [`Server::change`], for who sees to it that it is not broken off; `f` is told the leaf that announced it.
    ///
    /// # Errors
    /// As [`Server::change`].
    pub async fn change_with<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        action: Action,
        about: About,
        f: impl FnOnce(&Transaction<'_>, u64) -> Result<T, Problem> + Send + 'static,
    ) -> Result<(T, Receipt), Problem> {
        let receipt = self.release(caller, action, &about).await?;
        let (server, intent, asking) = (Arc::clone(self), receipt.index, caller.clone());
        let asked = Arc::clone(self);
        let span = tracing::info_span!(target: TARGET, "database", action = action.as_str());
        let change = move |tx: &Transaction<'_>| {
            asked.still_is(tx, &asking)?;
            f(tx, intent)
        };
        let writing = move || span.in_scope(|| server.write(action, intent, change));
        let done = tokio::task::spawn_blocking(writing).await;
        match done.unwrap_or_else(|_| Err(Problem::unavailable("the change was broken off"))) {
            Ok(done) => {
                self.audit.record(&Self::entry(caller, action, Phase::Success { intent }, &about)).await?;
                Ok((done, receipt))
            }
            Err(problem) => {
                let detail = format!("{}: {problem}", about.detail);
                let about = About { detail, ..about };
                self.audit.outcome(&Self::entry(caller, action, Phase::Failure { intent }, &about));
                Err(problem)
            }
        }
    }

    /// Refuses a change unless its caller still is who he was when he was identified: a request may take long, and recording it
    /// too.
    fn still_is(&self, tx: &Transaction<'_>, caller: &Caller) -> Result<(), Problem> {
        let Some(account) = caller.account() else { return Ok(()) };
        let mut now = directory::standing(tx, account)?;
        let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut keeps_groups = true;
        if let Some(catalog) = catalog {
            if let Some(standing) = self.standing_of(&catalog, account)? {
                now.administrator = standing.administrator;
            }
            keeps_groups = caller.groups().is_subset(&self.groups_now(&catalog, account)?);
        } else if account.domain().is_some() {
            now.enabled = false;
        }
        if now.enabled && (now.administrator || !caller.administrator()) && keeps_groups {
            return Ok(());
        }
        Err(Problem::denied(format!("{} is not any more who asked for this", caller.name())))
    }

    fn write<T: Send + 'static>(
        &self,
        action: Action,
        leaf: u64,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if !action.changes_access() {
            return self.store.change_together(leaf, f);
        }
        // One at a time: what was read last is what was written last.
        let _turn = self.access_changes.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.store.change_together(leaf, f)?;
        let read = self.store.read(Catalog::load).ok().map(Arc::new);
        *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(done)
    }
}
