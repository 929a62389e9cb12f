//! Direct access: a certificate with which a person reads a group's keys until the grant ends.
//!
//! The keys are exposed by that, and clients roll away from them afterwards: the record that says so is in the group, and
//! was read back, before there is a certificate. Each request by it asks anew whether access goes on.

use std::sync::Arc;

use dkm_audit::entry::GrantRef;
use dkm_core::record::{ExposedRecord, Record};
use dkm_core::{GroupId, RequestId, Room, Timestamp};
use dkm_lockbox::{Mode, Refusal};

use super::{StepDetail, problem};
use crate::account::Account;
use crate::actions::Action;
use crate::authority::Issued;
use crate::broker;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::{About, Server, now};
use crate::store::records::Put;
use crate::store::{certificates, records};

impl Server {
    /// Whether access that somebody was given goes on, to which group and until when.
    ///
    /// # Errors
    /// It does not, or that can't be said now.
    pub(crate) fn goes_on(
        &self,
        caller: &Caller,
        request: RequestId,
    ) -> Result<(GroupId, Timestamp), Problem> {
        match caller.account() {
            Some(account) => self.goes_on_for(account, request),
            None => Err(Problem::denied(format!("{} was given nothing", caller.name()))),
        }
    }

    /// As [`Server::goes_on`], for an account.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn goes_on_for(
        &self,
        account: &Account,
        request: RequestId,
    ) -> Result<(GroupId, Timestamp), Problem> {
        let (group, account) = (self.group_of(request)?, account.to_string());
        let at = self.elevation().time()?;
        let chains = self.chains(group, at)?;
        let verify = self.verifier();
        let in_force = self.in_force(&chains, &verify)?;
        let until = self.elevation().requests(group).look(|lockbox| {
            lockbox.get(request).and_then(|elevation| elevation.goes_on(&account, at, &in_force))
        });
        until.map(|until| (group, until)).map_err(|refusal| problem(&refusal))
    }

    /// Gives out a certificate under a direct grant. One that was given out under it before is refused from then on.
    ///
    /// # Errors
    /// The caller has no such grant, or not any more; it can't be recorded; the certificate request is none.
    pub(crate) async fn issue_credentials(
        self: &Arc<Self>,
        caller: &Caller,
        request: RequestId,
        csr: &str,
    ) -> Result<(Account, Issued), Problem> {
        let (group, account, (from, until)) =
            self.direct_grant(caller, request, Action::IssueCredentials).await?;
        if self.domain_of(group)?.is_some() {
            return Err(Problem::conflict(format!(
                "the keys of group {group} lie in a domain: tickets read them, not a certificate"
            )));
        }
        let grant: Option<GrantRef> = request.to_string().parse().ok();
        // Before anything is written for it.
        let issued = self
            .authority()
            .certify(csr, &format!("grant:{request}"), now(), until)
            .map_err(|error| Problem::invalid(error.to_string()))?;
        let exposed = Record::Exposed(ExposedRecord {
            from_ms: from.0,
            until_ms: until.0,
            who: account.to_string(),
            grant: request.to_string(),
        });
        self.expose(caller, group, &grant, &exposed).await?;
        let (digest, of) = (issued.digest, account.clone());
        let about = About {
            group: Some(group),
            grant: grant.clone(),
            ..About::plain(format!("certificate {digest} until {until}"))
        };
        self.change(caller, Action::IssueCredentials, about, move |tx| {
            Ok(certificates::put_grant_certificate(tx, digest, (request, &of, until), now())?)
        })
        .await?;
        // Recording may have taken long.
        self.goes_on_for(&account, request)?;
        Ok((account, issued))
    }

    /// The group of a caller's own direct grant that is in force, and from when until when it is. A refusal is recorded.
    ///
    /// # Errors
    /// The caller has no such grant, or not any more.
    pub(crate) async fn direct_grant(
        &self,
        caller: &Caller,
        request: RequestId,
        action: Action,
    ) -> Result<(GroupId, Account, (Timestamp, Timestamp)), Problem> {
        let group = self.group_of(request)?;
        self.freshen(group).await?;
        let interval = match caller.account() {
            Some(account) => self.direct_interval(account, group, request).map(|i| (account.clone(), i)),
            None => Err(Problem::denied(format!("{} was given nothing", caller.name()))),
        };
        match interval {
            Ok((account, interval)) => Ok((group, account, interval)),
            Err(refusal) if refusal.is_decision() => {
                self.deny_step(caller, group, request, (action, StepDetail::default()), refusal).await
            }
            Err(problem) => Err(problem),
        }
    }

    /// From when until when a direct grant is in force for its requester.
    fn direct_interval(
        &self,
        account: &Account,
        group: GroupId,
        request: RequestId,
    ) -> Result<(Timestamp, Timestamp), Problem> {
        let (_, until) = self.goes_on_for(account, request)?;
        let requests = self.elevation().requests(group);
        let found = requests.look(|lockbox| {
            let elevation = lockbox.get(request)?;
            if elevation.request().mode != Mode::Direct {
                return Err(Refusal::NotAllowed { what: "credentials by a grant to open blobs" });
            }
            Ok(elevation.interval().map_or(until, |(from, _)| from))
        });
        found.map(|from| (from, until)).map_err(|refusal| problem(&refusal))
    }

    /// Writes down that the group's keys are exposed, and reads that back.
    async fn expose(
        self: &Arc<Self>,
        caller: &Caller,
        group: GroupId,
        grant: &Option<GrantRef>,
        exposed: &Record,
    ) -> Result<(), Problem> {
        let (slot, bytes) = (exposed.slot(group, 0), exposed.encode(group));
        let there = |server: &Self| {
            let all = server.store().read(|c| records::all(c, group, Room::Control))?;
            Ok::<_, Problem>(all.iter().any(|(at, record)| at == slot.as_str() && *record.bytes == bytes))
        };
        if there(self)? {
            return Ok(());
        }
        let about = About {
            group: Some(group),
            grant: grant.clone(),
            size: Some(bytes.len() as u64),
            ..About::plain(format!("exposed control/{slot}"))
        };
        let (at, written) = (slot.clone(), bytes.clone());
        let put = self
            .change(caller, Action::ManageLifecycle, about, move |tx| {
                Ok(records::put(tx, group, Room::Control, &at, &written, (broker::ACCOUNT, now().0))?)
            })
            .await?;
        if put == Put::Created && there(self)? {
            return Ok(());
        }
        Err(Problem::unavailable(format!(
            "that the keys of group {group} are exposed is not written down: no credentials are given out"
        )))
    }
}
