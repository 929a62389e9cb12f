//! Elevated access at this server: the lockbox's decisions, made durable.
//!
//! A step is decided by [`dkm_lockbox`], announced in the audit log with the digest of its record, stored, and only then
//! taken. At the start the stored records are compared with the log: what was added, changed or left out stops the server.
//!
//! Steps of one request follow each other, each done before the next is decided; so do new requests of a group, because
//! those that somebody has open are counted. Otherwise nobody waits for anybody's disk: a group's requests are locked only
//! while they are looked at.

mod direct;
mod in_force;
mod start;
mod state;

use std::collections::BTreeSet;
use std::sync::Arc;

use dkm_audit::entry::{ContextMac, Reason};
use dkm_audit::store::Receipt;
use dkm_core::{Digest, GroupId, RequestId, Timestamp};
use dkm_lockbox::{Elevation, Event, InForce, Lockbox, Mode, Record, Refusal};
use dkm_remote::wire::Kind;
use tracing::Instrument as _;

use self::in_force::Chains;
use self::state::{Line, Turn};
use crate::account::Account;
use crate::actions::Action;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::{About, Server};
use crate::store::elevations::{self as store, Row};

pub use start::Boxes;
pub use state::SKEW_MS;
pub(crate) use state::State;

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

    /// Waits until nothing else is given out in the domain under a request.
    pub(crate) async fn one_issuing(&self, request: RequestId) -> Turn {
        self.elevation().turn(Line::Issuing(request)).await
    }

    /// Waits until nobody else ends what was given out in the domain under a request.
    pub(crate) async fn one_ending(&self, request: RequestId) -> Turn {
        self.elevation().turn(Line::Ending(request)).await
    }

    /// Whether there are requests for a group.
    pub(crate) fn is_asked_for(&self, group: GroupId) -> bool {
        self.elevation().known().contains(&group)
    }

    /// The group of a request.
    ///
    /// # Errors
    /// There is no such request.
    pub fn group_of(&self, request: RequestId) -> Result<GroupId, Problem> {
        let group = self.elevation().group_of(request);
        group.ok_or_else(|| Problem::not_found(format!("there is no request {request} here")))
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
        let group = self.group_of(request)?;
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
        let verify = self.verifier();
        let in_force = self.in_force(&chains, &verify)?;
        let requests = self.elevation().requests(group);
        requests.look(|lockbox| f(lockbox, at, &in_force)).map_err(|refusal| problem(&refusal))
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
        match self.decide(group, decide)? {
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
        group: GroupId,
        decide: impl FnOnce(&Lockbox, Timestamp, &InForce<'_>) -> Result<Record, Refusal>,
    ) -> Result<Result<Record, Refusal>, Problem> {
        let at = self.elevation().time()?;
        let chains = self.chains(group, at)?;
        let verify = self.verifier();
        let in_force = self.in_force(&chains, &verify)?;
        Ok(self.elevation().requests(group).look(|lockbox| decide(lockbox, at, &in_force)))
    }

    fn seen(&self, group: GroupId, request: RequestId) -> Result<Seen, Problem> {
        let at = self.elevation().highest();
        let chains = self.chains(group, at)?;
        let verify = self.verifier();
        let in_force = self.in_force(&chains, &verify)?;
        let see = |lockbox: &Lockbox| lockbox.get(request).map(|is| Self::see(is, at, &in_force));
        self.elevation().requests(group).look(see).map_err(|refusal| problem(&refusal))
    }

    /// What a person does to a request, or to have one if there is none yet: decided, recorded, stored, and then taken.
    ///
    /// # Errors
    /// The lockbox refuses, which is recorded; it can't be recorded or stored.
    pub async fn step(
        self: &Arc<Self>,
        caller: &Caller,
        (group, request): (GroupId, Option<RequestId>),
        (action, detail): (Action, StepDetail),
        decide: impl FnOnce(&Lockbox, Timestamp, &InForce<'_>) -> Result<Record, Refusal> + Send,
    ) -> Result<(Seen, Receipt), Problem> {
        let is_person = caller.account().is_some_and(|account| account.kind == Kind::Person);
        let about = About::group(group, "only people ask, approve and are let in");
        self.require(is_person, caller, action, &about).await?;
        let turn = self.elevation().turn(request.map_or(Line::Asking(group), Line::Request)).await;
        self.freshen(group).await?;
        let record = match self.decide(group, decide)? {
            Ok(record) => record,
            Err(refusal) => {
                let about = About { detail: refusal.to_string(), ..about_of(group, None, &detail) };
                return self.deny(caller, action, &about, problem(&refusal)).await;
            }
        };
        let request = record.request;
        let (turn, receipt) = self.keep(caller, group, action, with(turn, group, &record, &detail)).await?;
        drop(turn);
        let seen = self.seen(group, request)?;
        if !matches!(seen.status, dkm_lockbox::Status::Active { .. }) && seen.elevation.interval().is_some() {
            // What can't be done now is tried again from time to time.
            if let Err(problem) = self.end_tickets(group, request).await {
                tracing::error!(%group, %request, %problem, "access in the domain may go on until its tickets end");
            }
        }
        Ok((seen, receipt))
    }

    /// Records that a step is taken, stores it, and takes it. Done to its end even if the caller goes away: the turn is
    /// kept until then.
    async fn keep(
        self: &Arc<Self>,
        caller: &Caller,
        group: GroupId,
        action: Action,
        (turn, record, about): Step,
    ) -> Result<(Turn, Receipt), Problem> {
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
                        let taken = server.elevation().take(group, &record);
                        taken.map_err(|error| Problem::unavailable(error.to_string()))?;
                        Ok((turn, receipt))
                    }
                    Err(problem) => {
                        // It may be stored all the same: what is stored is taken, so that the next one follows it.
                        if server.holds(&record) {
                            let _ = server.elevation().take(group, &record);
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

    /// Whether an account has requests that have not ended.
    pub(crate) fn has_open_requests(&self, account: &Account) -> bool {
        let account = account.to_string();
        self.elevation().known().into_iter().any(|group| {
            let requests = self.elevation().requests(group);
            requests.look(|lockbox| lockbox.open().any(|open| open.request().requester.account == account))
        })
    }

    /// How many requests are open, and how many of these give access now as far as they say themselves.
    pub(crate) fn open_requests(&self) -> (usize, usize) {
        let at = self.elevation().highest();
        let (mut open, mut active) = (0, 0);
        for group in self.elevation().known() {
            self.elevation().requests(group).look(|lockbox| {
                for elevation in lockbox.open() {
                    open += 1;
                    active += usize::from(elevation.interval().is_some_and(|(_, until)| until > at));
                }
            });
        }
        (open, active)
    }

    /// Direct access in the domain that has ended before its time, as far as it was not ended there.
    pub(crate) async fn ended_early(&self) -> Vec<(GroupId, RequestId)> {
        let at = self.elevation().highest();
        let mut ended = Vec::new();
        for group in self.elevation().known() {
            let given = self.elevation().requests(group).look(|lockbox| {
                let given = lockbox.iter().filter(|elevation| {
                    let request = elevation.request();
                    let goes_on = elevation.interval().is_some_and(|(_, until)| until > at);
                    request.mode == Mode::Direct && goes_on && self.elevation().unclosed(request.id).is_some()
                });
                given.cloned().collect::<Vec<_>>()
            });
            if given.is_empty() || !matches!(self.domain_of(group), Ok(Some(_))) {
                continue;
            }
            match self.over(group, &given, at).await {
                Ok(over) => ended.extend(over.into_iter().map(|request| (group, request))),
                // There is nothing in force any more by which access could go on.
                Err(problem) if problem.is_decision() => {
                    ended.extend(given.iter().map(|elevation| (group, elevation.request().id)));
                }
                Err(problem) => tracing::warn!(%group, %problem, "whether access goes on can't be said"),
            }
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
        let mut shut = BTreeSet::new();
        for elevation in given {
            let account = &elevation.request().requester.account;
            let enabled = match account.parse::<Account>() {
                Ok(account) => self.is_enabled(&account).await?,
                Err(_) => false,
            };
            if !enabled {
                shut.insert(account.clone());
            }
        }
        let (chains, verify) = (self.chains(group, at)?, self.verifier());
        let in_force = self.in_force(&chains, &verify)?;
        let is_over = |elevation: &&Elevation| {
            shut.contains(&elevation.request().requester.account)
                || !matches!(elevation.status(at, &in_force), dkm_lockbox::Status::Active { .. })
        };
        Ok(given.iter().filter(is_over).map(|elevation| elevation.request().id).collect())
    }

    /// Records what has ended by itself in the server's own groups. Asked from time to time.
    pub async fn reap(self: &Arc<Self>) {
        self.reap_those(|server, group| !server.lies_in_domain(group)).await;
    }

    /// The same in groups of the domain, which may not answer.
    pub(crate) async fn reap_domain(self: &Arc<Self>) {
        self.reap_those(Self::lies_in_domain).await;
    }

    fn lies_in_domain(&self, group: GroupId) -> bool {
        matches!(self.domain_of(group), Ok(Some(_)))
    }

    async fn reap_those(self: &Arc<Self>, those: impl Fn(&Self, GroupId) -> bool) {
        for group in self.elevation().known().into_iter().filter(|group| those(self, *group)) {
            if let Err(problem) = self.reap_group(group).await {
                tracing::warn!(%group, %problem, "what has ended was not recorded; it has ended nevertheless");
            }
        }
    }

    async fn reap_group(self: &Arc<Self>, group: GroupId) -> Result<(), Problem> {
        let requests = self.elevation().requests(group);
        if requests.look(|lockbox| lockbox.open().next().is_none()) {
            return Ok(());
        }
        self.freshen(group).await?;
        let caller = Caller::of_this_program();
        for ended in self.ended(group, Lockbox::ended)? {
            let turn = self.elevation().turn(Line::Request(ended.request)).await;
            // What was done to it while others had their turn may have ended it already.
            let again = self.ended(group, |lockbox, at, in_force| {
                lockbox.get(ended.request).ok().and_then(|elevation| elevation.end(at, in_force))
            })?;
            if let Some(record) = again {
                let step = with(turn, group, &record, &StepDetail::default());
                self.keep(&caller, group, Action::EndAccess, step).await?;
            }
        }
        Ok(())
    }

    /// Looks for what has ended, by the highest time seen.
    fn ended<T>(
        &self,
        group: GroupId,
        f: impl FnOnce(&Lockbox, Timestamp, &InForce<'_>) -> T,
    ) -> Result<T, Problem> {
        let at = self.elevation().highest();
        let chains = self.chains(group, at)?;
        let verify = self.verifier();
        let in_force = self.in_force(&chains, &verify)?;
        Ok(self.elevation().requests(group).look(|lockbox| f(lockbox, at, &in_force)))
    }
}

type Step = (Turn, Record, About);

fn with(turn: Turn, group: GroupId, record: &Record, detail: &StepDetail) -> Step {
    let mut detail = detail.clone();
    match &record.event {
        Event::Requested { request, .. } => detail.reason = Some(request.reason.clone()),
        Event::UsedOffline { usage, .. } => detail.reason = Some(usage.what.clone()),
        _ => {}
    }
    (turn, record.clone(), about_of(group, Some(record), &detail))
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
