//! Elevated access at this server: the lockbox's decisions, made durable.
//!
//! A step is decided by [`dkm_lockbox`], announced in the audit log with the digest of its record, stored, and only then
//! taken. At the start the stored records are compared with the log: what was added, changed or left out stops the server.

mod direct;
mod in_force;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use dkm_audit::entry::{ContextMac, Reason};
use dkm_audit::store::Receipt;
use dkm_core::{Digest, GroupId, RequestId, Timestamp};
use dkm_lockbox::{Clock, Elevation, Event, InForce, Lockbox, Memo, Mode, Record, Refusal};
use dkm_remote::wire::Kind;
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument as _;

use crate::actions::Action;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::{About, Server, now};
use crate::store::elevations::{self as store, Row};

pub use start::Boxes;

/// A clock that is behind what was seen by more than this grants nothing, in milliseconds.
pub const SKEW_MS: u64 = 2_000;

/// The chains of a group's policies and rosters.
#[derive(Debug)]
struct Chains(Arc<dkm::Rosters>);

/// The requests of each group.
type Groups = BTreeMap<GroupId, Arc<tokio::sync::Mutex<Lockbox>>>;

/// What the server knows of requests.
#[derive(Debug, Default)]
pub(crate) struct State {
    groups: Mutex<Groups>,
    clock: Mutex<Clock>,
    memo: Memo,
    /// Requests whose access was ended in the domain.
    closed: Mutex<BTreeSet<RequestId>>,
}

impl State {
    fn group(&self, group: GroupId) -> Arc<tokio::sync::Mutex<Lockbox>> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(groups.entry(group).or_default())
    }

    /// Groups of which there are requests.
    fn known(&self) -> Vec<GroupId> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Notes that access under a request was ended in the domain.
    pub(crate) fn closed(&self, request: RequestId) {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).insert(request);
    }

    fn is_closed(&self, request: RequestId) -> bool {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).contains(&request)
    }

    /// The time to decide by: it never goes back, and with a clock that does nothing is granted.
    fn time(&self) -> Result<Timestamp, Problem> {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.now(now(), SKEW_MS).map_err(|refusal| Problem::unavailable(refusal.to_string()))
    }

    /// The highest time seen: by it access ends, whatever the clock says.
    pub(crate) fn highest(&self) -> Timestamp {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = clock.now(now(), SKEW_MS);
        clock.highest()
    }
}

/// A refusal as the caller is told it.
#[must_use]
pub fn problem(refusal: &Refusal) -> Problem {
    let text = refusal.to_string();
    match refusal {
        Refusal::Unknown { .. } => Problem::not_found(text),
        Refusal::Request(_) | Refusal::TooLong { .. } | Refusal::Signature { .. } => Problem::invalid(text),
        Refusal::ClockBack { .. } => Problem::unavailable(text),
        Refusal::Broken { .. } => Problem::unavailable(text),
        Refusal::Status { .. }
        | Refusal::Answered { .. }
        | Refusal::NotYet { .. }
        | Refusal::Taken { .. } => Problem::conflict(text),
        _ => Problem::denied(text),
    }
}

/// What a step is about, for the audit log.
#[derive(Debug, Clone, Default)]
pub struct StepDetail {
    /// The blob that is opened.
    pub blob: Option<Digest>,
    /// Its context.
    pub context: Option<ContextMac>,
    /// How many bytes of plaintext.
    pub size: Option<u64>,
    /// Why, in the requester's words.
    pub reason: Option<String>,
}

/// A request as it stands after a step or a look.
#[derive(Debug)]
pub struct Seen {
    /// The group.
    pub group: GroupId,
    /// The request and what came of it.
    pub elevation: Elevation,
    /// What it has come to.
    pub status: dkm_lockbox::Status,
    /// Levels that have not approved.
    pub missing: Vec<(dkm_core::record::ApprovalLevel, u32)>,
}

impl Server {
    /// Verifies signatures, each once.
    fn verifier(&self) -> impl Fn(&str, &str, &[u8], &str) -> bool + Sync + '_ {
        |line, namespace, message, armored| self.elevation().memo.verify(line, namespace, message, armored)
    }

    fn see(elevation: &Elevation, at: Timestamp, in_force: &InForce<'_>) -> Seen {
        let missing = elevation.missing(in_force).unwrap_or_default();
        Seen {
            group: elevation.request().group,
            elevation: elevation.clone(),
            status: elevation.status(at, in_force),
            missing: missing.into_iter().map(|(level, people)| (level.clone(), people)).collect(),
        }
    }

    /// The group of a request.
    ///
    /// # Errors
    /// There is no such request.
    pub async fn group_of(&self, request: RequestId) -> Result<GroupId, Problem> {
        for group in self.elevation().known() {
            match self.elevation().group(group).lock().await.get(request) {
                Ok(_) | Err(Refusal::Broken { .. }) => return Ok(group),
                Err(_) => {}
            }
        }
        Err(Problem::not_found(format!("there is no request {request} here")))
    }

    /// Whether somebody may see the requests of a group, and what it is ruled by: whoever stands in its roster, and whoever sees the group.
    ///
    /// # Errors
    /// The refusal, or that it can't be recorded.
    async fn may_look(
        &self,
        caller: &Caller,
        group: GroupId,
        chains: &Chains,
        (action, what): (Action, &str),
    ) -> Result<(), Problem> {
        let sees = self.rights(caller, group).is_ok_and(|rights| rights.see);
        // By a grant's certificate nobody is the person who holds it.
        let named = caller.account().is_some_and(|account| chains.names(&account.to_string()));
        self.require(sees || named, caller, action, &About::group(group, what)).await
    }

    /// All requests of a group, the newest first.
    ///
    /// # Errors
    /// The caller may not see them, or the group has no roster.
    pub async fn requests(&self, caller: &Caller, group: GroupId) -> Result<Vec<Seen>, Problem> {
        let mut seen = self
            .look(caller, group, |lockbox, at, in_force| {
                Ok(lockbox.iter().map(|elevation| Self::see(elevation, at, in_force)).collect::<Vec<_>>())
            })
            .await?;
        seen.sort_by_key(|seen| std::cmp::Reverse(seen.elevation.request().made));
        Ok(seen)
    }

    /// One request.
    ///
    /// # Errors
    /// There is none, or the caller may not see it.
    pub async fn request(&self, caller: &Caller, request: RequestId) -> Result<Seen, Problem> {
        let group = self.group_of(request).await?;
        self.look(caller, group, |lockbox, at, in_force| Ok(Self::see(lockbox.get(request)?, at, in_force)))
            .await
    }

    /// Looks at a group's requests, if the caller may.
    async fn look<T>(
        &self,
        caller: &Caller,
        group: GroupId,
        f: impl FnOnce(&Lockbox, Timestamp, &InForce<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Problem> {
        self.freshen(group).await?;
        let at = self.elevation().highest();
        let chains = self.chains(group, at)?;
        self.may_look(caller, group, &chains, (Action::ReadRequests, "requests")).await?;
        let lockbox = self.elevation().group(group).lock_owned().await;
        let verify = self.verifier();
        f(&lockbox, at, &self.in_force(&chains, &verify)?).map_err(|refusal| problem(&refusal))
    }

    /// The records of a request, as they are stored.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn records_of(&self, request: RequestId) -> Result<Vec<Record>, Problem> {
        let stored = self.store().read(|c| store::of(c, request))?;
        Ok(stored.iter().filter_map(|bytes| Record::decode(bytes).ok()).collect())
    }

    /// What the answers to a request can be verified by without DKM.
    ///
    /// # Errors
    /// The group's records can't be read.
    pub fn evidence(&self, seen: &Seen) -> Result<Vec<dkm_lockbox::Evidence>, Problem> {
        let chains = self.chains(seen.group, self.elevation().highest())?;
        let Some(roster) = chains.roster() else { return Ok(Vec::new()) };
        let request = seen.elevation.request();
        Ok(seen.elevation.answers().filter_map(|answer| answer.evidence(request, roster)).collect())
    }

    /// Whether a step would be taken now; a refusal is recorded.
    ///
    /// # Errors
    /// The lockbox refuses.
    pub async fn try_step(
        &self,
        caller: &Caller,
        group: GroupId,
        (action, detail): (Action, StepDetail),
        decide: impl FnOnce(&Lockbox, Timestamp, &InForce<'_>) -> Result<Record, Refusal> + Send,
    ) -> Result<(), Problem> {
        self.freshen(group).await?;
        let decided = {
            let lockbox = self.elevation().group(group);
            let lockbox = lockbox.lock().await;
            self.decide(&lockbox, group, decide)?
        };
        match decided {
            Ok(_) => Ok(()),
            Err(refusal) => {
                let about = About { detail: refusal.to_string(), ..about_of(group, None, &detail) };
                self.deny(caller, action, &about, problem(&refusal)).await
            }
        }
    }

    /// Refuses a step for another reason than the lockbox's, and records that.
    ///
    /// # Errors
    /// Always: the reason, or that it can't be recorded.
    pub async fn deny_step<T>(
        &self,
        caller: &Caller,
        group: GroupId,
        request: RequestId,
        (action, detail): (Action, StepDetail),
        problem: Problem,
    ) -> Result<T, Problem> {
        let about = About { grant: request.to_string().parse().ok(), ..about_of(group, None, &detail) };
        self.deny(caller, action, &about, problem).await
    }

    fn decide(
        &self,
        lockbox: &Lockbox,
        group: GroupId,
        decide: impl FnOnce(&Lockbox, Timestamp, &InForce<'_>) -> Result<Record, Refusal>,
    ) -> Result<Result<Record, Refusal>, Problem> {
        let at = self.elevation().time()?;
        let chains = self.chains(group, at)?;
        let verify = self.verifier();
        Ok(decide(lockbox, at, &self.in_force(&chains, &verify)?))
    }

    fn seen(&self, lockbox: &Lockbox, group: GroupId, request: RequestId) -> Result<Seen, Problem> {
        let at = self.elevation().highest();
        let chains = self.chains(group, at)?;
        let verify = self.verifier();
        let elevation = lockbox.get(request).map_err(|refusal| problem(&refusal))?;
        Ok(Self::see(elevation, at, &self.in_force(&chains, &verify)?))
    }

    /// What a person does to a request: decided, recorded, stored, and then taken.
    ///
    /// # Errors
    /// The lockbox refuses, which is recorded; it can't be recorded or stored.
    pub async fn step(
        self: &Arc<Self>,
        caller: &Caller,
        group: GroupId,
        action: Action,
        detail: StepDetail,
        decide: impl FnOnce(&Lockbox, Timestamp, &InForce<'_>) -> Result<Record, Refusal> + Send,
    ) -> Result<(Seen, Receipt), Problem> {
        let is_person = caller.account().is_some_and(|account| account.kind == Kind::Person);
        let about = About::group(group, "only people ask, approve and are let in");
        self.require(is_person, caller, action, &about).await?;
        self.freshen(group).await?;
        let lockbox = self.elevation().group(group).lock_owned().await;
        let record = match self.decide(&lockbox, group, decide)? {
            Ok(record) => record,
            Err(refusal) => {
                let about = About { detail: refusal.to_string(), ..about_of(group, None, &detail) };
                return self.deny(caller, action, &about, problem(&refusal)).await;
            }
        };
        let request = record.request;
        let (lockbox, receipt) =
            self.keep(caller, group, action, with(lockbox, group, &record, &detail)).await?;
        let seen = self.seen(&lockbox, group, request)?;
        drop(lockbox);
        if !matches!(seen.status, dkm_lockbox::Status::Active { .. }) && seen.elevation.interval().is_some() {
            // What can't be done now is tried again from time to time.
            if let Err(problem) = self.end_tickets(group, request).await {
                tracing::error!(%group, %request, %problem, "access in the domain may go on until its tickets end");
            }
        }
        Ok((seen, receipt))
    }

    /// Records that a step is taken, stores it, and takes it. Done to its end even if the caller goes away.
    async fn keep(
        self: &Arc<Self>,
        caller: &Caller,
        group: GroupId,
        action: Action,
        (mut lockbox, record, about): Step,
    ) -> Result<(OwnedMutexGuard<Lockbox>, Receipt), Problem> {
        let (server, caller) = (Arc::clone(self), caller.clone());
        let kept = tokio::spawn(
            async move {
                let bytes = record.encode();
                let (request, number) = (record.request, record.number);
                let taken =
                    Problem::conflict(format!("record {number} of request {request} is there already"));
                let kept = server
                    .change_with(&caller, action, about, move |tx, leaf| {
                        let row = Row { request, number, group, record: bytes, leaf };
                        if store::put(tx, &row)? { Ok(()) } else { Err(taken) }
                    })
                    .await;
                match kept {
                    Ok(((), receipt)) => {
                        lockbox.apply(&record).map_err(|error| Problem::unavailable(error.to_string()))?;
                        Ok((lockbox, receipt))
                    }
                    Err(problem) => {
                        // It may be stored all the same: what is stored is taken, so that the next one follows it.
                        if server.holds(&record) {
                            let _ = lockbox.apply(&record);
                        }
                        Err(problem)
                    }
                }
            }
            .in_current_span(),
        );
        kept.await.unwrap_or_else(|_| Err(Problem::unavailable("the step was broken off")))
    }

    fn holds(&self, record: &Record) -> bool {
        let stored = self.store().read(|c| store::of(c, record.request));
        stored.is_ok_and(|stored| stored.contains(&record.encode()))
    }

    /// How many requests are open, and how many of these give access now as far as they say themselves.
    pub(crate) async fn open_requests(&self) -> (usize, usize) {
        let at = self.elevation().highest();
        let (mut open, mut active) = (0, 0);
        for group in self.elevation().known() {
            let lockbox = self.elevation().group(group).lock_owned().await;
            for elevation in lockbox.open() {
                open += 1;
                active += usize::from(elevation.interval().is_some_and(|(_, until)| until > at));
            }
        }
        (open, active)
    }

    /// Direct access in the domain that has ended before its time, as far as it was not ended there.
    pub(crate) async fn ended_early(&self) -> Vec<(GroupId, RequestId)> {
        let at = self.elevation().highest();
        let mut ended = Vec::new();
        for group in self.elevation().known() {
            let lockbox = self.elevation().group(group).lock_owned().await;
            let given: Vec<_> = lockbox
                .iter()
                .filter(|elevation| {
                    let request = elevation.request();
                    let goes_on = elevation.interval().is_some_and(|(_, until)| until > at);
                    request.mode == Mode::Direct && goes_on && !self.elevation().is_closed(request.id)
                })
                .cloned()
                .collect();
            drop(lockbox);
            if given.is_empty() || !matches!(self.domain_of(group), Ok(Some(_))) {
                continue;
            }
            let over = match self.over(group, &given, at).await {
                Ok(over) => over,
                Err(problem) => {
                    tracing::warn!(%group, %problem, "whether access goes on can't be said");
                    continue;
                }
            };
            ended.extend(over.into_iter().map(|request| (group, request)));
        }
        ended
    }

    async fn over(
        &self,
        group: GroupId,
        given: &[Elevation],
        at: Timestamp,
    ) -> Result<Vec<RequestId>, Problem> {
        self.freshen(group).await?;
        let (chains, catalog, verify) = (self.chains(group, at)?, self.catalog()?, self.verifier());
        let in_force = self.in_force(&chains, &verify)?;
        let is_over = |elevation: &&Elevation| {
            let account = elevation.request().requester.account.parse().ok();
            let enabled = account.and_then(|account| Some(catalog.principals.get(&account)?.enabled));
            enabled != Some(true)
                || !matches!(elevation.status(at, &in_force), dkm_lockbox::Status::Active { .. })
        };
        Ok(given.iter().filter(is_over).map(|elevation| elevation.request().id).collect())
    }

    /// Records what has ended by itself. Asked from time to time.
    pub async fn reap(self: &Arc<Self>) {
        for group in self.elevation().known() {
            if let Err(problem) = self.reap_group(group).await {
                tracing::warn!(%group, %problem, "what has ended was not recorded; it has ended nevertheless");
            }
        }
    }

    async fn reap_group(self: &Arc<Self>, group: GroupId) -> Result<(), Problem> {
        if self.elevation().group(group).lock().await.open().next().is_none() {
            return Ok(());
        }
        self.freshen(group).await?;
        let mut lockbox = self.elevation().group(group).lock_owned().await;
        let at = self.elevation().highest();
        let ended = {
            let chains = self.chains(group, at)?;
            let verify = self.verifier();
            lockbox.ended(at, &self.in_force(&chains, &verify)?)
        };
        let caller = Caller::of_this_program();
        for record in ended {
            let step = with(lockbox, group, &record, &StepDetail::default());
            lockbox = self.keep(&caller, group, Action::EndAccess, step).await?.0;
        }
        Ok(())
    }
}

type Step = (OwnedMutexGuard<Lockbox>, Record, About);

fn with(lockbox: OwnedMutexGuard<Lockbox>, group: GroupId, record: &Record, detail: &StepDetail) -> Step {
    let mut detail = detail.clone();
    if let Event::Requested { request } = &record.event {
        detail.reason = Some(request.reason.clone());
    }
    (lockbox, record.clone(), about_of(group, Some(record), &detail))
}

fn about_of(group: GroupId, record: Option<&Record>, detail: &StepDetail) -> About {
    About {
        group: Some(group),
        grant: record.and_then(|record| record.request.to_string().parse().ok()),
        // The digest of the record: by it the database is compared with the log.
        detail: record.map_or_else(String::new, |record| {
            let digest = Digest::of(&record.encode());
            format!("{} record {} sha256 {digest}", record.event.name(), record.number)
        }),
        blob: detail.blob,
        context: detail.context,
        size: detail.size,
        reason: detail.reason.as_deref().map(Reason::lossy),
        ..About::default()
    }
}
