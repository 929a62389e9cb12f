//! What the server does in a domain: recorded before, as everything.

use std::sync::Arc;

use dkm::{Plaintext, Rosters};
use dkm_audit::entry::GrantRef;
use dkm_core::record::ExposedRecord;
use dkm_core::{Context, GroupId, RequestId};
use dkm_remote::wire::Code;
use dkm_remote::wire::elevation::ControlRecord;

use super::{Domain, Tickets};
use crate::actions::Action;
use crate::caller::Caller;
use crate::elevation::StepDetail;
use crate::problem::Problem;
use crate::server::{About, Server};

impl Server {
    /// Whether a group is one of the server's own; otherwise it may be one of the domain's.
    fn is_own(&self, group: GroupId) -> Result<bool, Problem> {
        Ok(self.catalog()?.groups.contains_key(&group))
    }

    /// Refuses to make a group that lies in the domain: it would stand in the place of that one, and what was given out there
    /// could not be ended any more.
    ///
    /// # Errors
    /// It lies there, requests for it are known, or that can't be said now.
    pub(crate) async fn is_free(&self, caller: &Caller, group: GroupId) -> Result<(), Problem> {
        let Some(held) = self.held().filter(|_| !self.is_own(group).unwrap_or(false)) else { return Ok(()) };
        let taken =
            || Problem::conflict(format!("group {group} lies in the domain: make one with another id"));
        let problem = match blocking("reading the group", move || held.freshen(group)).await {
            Err(problem) if matches!(problem.code(), Code::NotFound) && !self.is_asked_for(group) => {
                return Ok(());
            }
            Err(problem) if !problem.is_decision() => return Err(problem),
            _ => taken(),
        };
        self.deny(caller, Action::CreateGroup, &About::group(group, "made"), problem).await
    }

    /// The domain in which a group lies; none for the server's own groups, and without a domain.
    pub(crate) fn domain_of(&self, group: GroupId) -> Result<Option<Arc<dyn Domain>>, Problem> {
        Ok(if self.is_own(group)? { None } else { self.held().map(|held| held.domain()) })
    }

    /// Reads what is in force in a group of the domain. To be called before it is decided by.
    ///
    /// # Errors
    /// It can't be read, or there is no such group.
    pub(crate) async fn freshen(&self, group: GroupId) -> Result<(), Problem> {
        let Some(held) = self.held().filter(|_| !self.is_own(group).unwrap_or(true)) else { return Ok(()) };
        blocking("reading the group", move || held.freshen(group)).await
    }

    /// What was read of a group of the domain; none for the server's own groups, and without a domain.
    ///
    /// # Errors
    /// It was not read just now.
    pub(crate) fn domain_rosters(&self, group: GroupId) -> Result<Option<Arc<Rosters>>, Problem> {
        match self.held() {
            Some(held) if !self.is_own(group)? => held.rosters(group).map(Some),
            _ => Ok(None),
        }
    }

    /// The control records of a group of the domain; none for the server's own groups, and without a domain.
    ///
    /// # Errors
    /// They can't be read.
    pub(crate) async fn domain_control(&self, group: GroupId) -> Result<Option<Vec<ControlRecord>>, Problem> {
        let Some(domain) = self.domain_of(group)? else { return Ok(None) };
        blocking("reading the group", move || domain.control(group)).await.map(Some)
    }

    /// Opens a blob, as a member of its group. Waits for the database or the domain.
    ///
    /// # Errors
    /// The server is no member; the blob is none of the group's, is damaged, or has another context.
    pub(crate) fn open_blob(
        &self,
        group: GroupId,
        context: &Context,
        blob: &[u8],
    ) -> Result<Plaintext, Problem> {
        match self.domain_of(group)? {
            Some(domain) => domain.unprotect(group, context, blob),
            None => self.broker()?.unprotect(group, context, blob),
        }
    }

    /// Gives out tickets under a direct grant for a group of the domain. That the keys are exposed is written there first,
    /// and read back.
    ///
    /// # Errors
    /// The group is none of a domain; the caller has no such grant, or not any more; it can't be recorded or done.
    pub(crate) async fn issue_tickets(
        self: &Arc<Self>,
        caller: &Caller,
        request: RequestId,
    ) -> Result<(GroupId, String, Tickets), Problem> {
        let (group, account, (from, until)) =
            self.direct_grant(caller, request, Action::IssueTickets).await?;
        // One at a time: a second one waits, and ends what the first has got.
        let _turn = self.one_issuing(request).await;
        let Some(domain) = self.domain_of(group)? else {
            return Err(Problem::conflict(format!(
                "the keys of group {group} are at this server: a certificate reads them, not tickets"
            )));
        };
        let left = until.since(self.elevation().highest());
        if left < domain.least_ms() {
            // Before keys count as exposed for nothing.
            let problem = Problem::conflict(format!(
                "access ends in {} s, and a domain gives tickets for {} s and more: ask for longer",
                left / 1_000,
                domain.least_ms() / 1_000
            ));
            let detail = StepDetail::default();
            return self.deny_step(caller, group, request, (Action::IssueTickets, detail), problem).await;
        }
        let grant: Option<GrantRef> = request.to_string().parse().ok();
        let about =
            |detail: String| About { group: Some(group), grant: grant.clone(), ..About::plain(detail) };
        let exposed = ExposedRecord {
            from_ms: from.0,
            until_ms: until.0,
            who: account.to_string(),
            grant: request.to_string(),
        };
        let there = Arc::clone(&domain);
        self.outside(caller, Action::Expose, about(format!("exposed until {until}")), move || {
            there.expose(group, &exposed)
        })
        .await?;
        let about = about(format!("tickets of a temporary account until {until}"));
        let there = Arc::clone(&domain);
        // Somebody may have been disabled, shut out, and enabled again: what he gets now has to be ended too.
        self.elevation().opened(request);
        let issued = self
            .outside(caller, Action::IssueTickets, about, move || there.issue(group, request, until))
            .await?;
        // What was ended while they were made may have been before they were there.
        self.elevation().opened(request);
        // Recording and making them may have taken long.
        let goes_on = self.freshen(group).await.and_then(|()| self.goes_on_for(&account, request));
        if let Err(ended) = goes_on {
            self.end_tickets(group, request).await?;
            return Err(ended);
        }
        Ok((group, domain.url(), issued))
    }

    /// Ends what was given out in the domain under a request, if anything was.
    ///
    /// # Errors
    /// It can't be recorded, or may still give access.
    pub(crate) async fn end_tickets(
        self: &Arc<Self>,
        group: GroupId,
        request: RequestId,
    ) -> Result<(), Problem> {
        let Some(domain) = self.domain_of(group)? else { return Ok(()) };
        // One at a time: what one has ended, the next has not to end and record again.
        let _turn = self.one_ending(request).await;
        let Some(times) = self.elevation().unclosed(request) else { return Ok(()) };
        let there = blocking("ending access", move || domain.revoke(group, request)).await?;
        if there {
            let about = About {
                group: Some(group),
                grant: request.to_string().parse().ok(),
                ..About::plain("what the temporary account could read, it can't any more")
            };
            self.record(&Caller::of_this_program(), Action::EndTickets, &about).await?;
        }
        self.elevation().closed(request, times);
        Ok(())
    }

    /// Ends, in a domain, what the lockbox says has ended, and removes accounts whose time is over. Asked from time to time.
    pub(crate) async fn tidy_domain(self: &Arc<Self>, sweep: bool) {
        let Some(held) = self.held() else { return };
        let domain = held.domain();
        if !domain.is_there() && blocking("finding the domain", move || domain.find()).await.is_err() {
            // It has said so itself.
            return;
        }
        self.reap_domain().await;
        for (group, request) in self.ended_early().await {
            if let Err(problem) = self.end_tickets(group, request).await {
                tracing::error!(%group, %request, %problem, "access in the domain may go on until its tickets end");
            }
        }
        if !sweep {
            return;
        }
        let (domain, at) = (held.domain(), self.elevation().highest());
        match blocking("removing temporary accounts", move || domain.sweep(at)).await {
            Ok(gone) => {
                for account in gone {
                    let about = About::plain(format!("temporary account {account} removed"));
                    if let Err(problem) =
                        self.record(&Caller::of_this_program(), Action::EndTickets, &about).await
                    {
                        tracing::warn!(account, %problem, "that a temporary account was removed is not recorded");
                    }
                }
            }
            Err(problem) => tracing::warn!(%problem, "temporary accounts of ended grants may be left"),
        }
    }

    /// Does something outside of the server's database: recorded before and after, and to its end even if the caller goes
    /// away.
    async fn outside<T: Send + 'static>(
        self: &Arc<Self>,
        caller: &Caller,
        action: Action,
        about: About,
        f: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (server, caller) = (Arc::clone(self), caller.clone());
        let done = tokio::spawn(async move {
            let receipt = server.release(&caller, action, &about).await?;
            match blocking("the domain", f).await {
                Ok(done) => {
                    server.released(&caller, action, &about, &receipt);
                    Ok(done)
                }
                Err(problem) => {
                    server.kept_back(&caller, action, &about, &receipt, &problem);
                    Err(problem)
                }
            }
        });
        done.await.unwrap_or_else(|_| Err(Problem::unavailable("it was broken off")))
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    f: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(f).await;
    done.unwrap_or_else(|_| Err(Problem::unavailable(format!("{what} was broken off"))))
}
