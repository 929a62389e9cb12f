//! Whoever is at the other end of a connection, as the server has authenticated him.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dkm_core::{Digest, GroupId, RequestId};
use dkm_remote::wire::Kind;

use crate::account::Account;
use crate::actions::Action;
use crate::problem::Problem;
use crate::server::{About, Server, now};
use crate::store::certificates;
use crate::throttle::Throttle;

/// What a connection shows of its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// TLS without a certificate: it can only enrol.
    Nobody,
    /// TLS with a certificate that the server's authority has signed, by its digest.
    Certificate(Digest),
    /// A process on this machine, by the account that the kernel names.
    Uid(u32),
}

/// Who asks. Without an account it can administer at most, never own, read or approve.
#[derive(Debug, Clone)]
pub struct Caller {
    name: Arc<str>,
    account: Option<Account>,
    groups: Arc<BTreeSet<String>>,
    administrator: bool,
    auditor: bool,
    grant: Option<Grant>,
}

/// The grant by whose certificate a person reads a group's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Its request.
    pub request: RequestId,
    /// The only group that it opens.
    pub group: GroupId,
}

impl Caller {
    /// Whoever shows a token that was given out for this account. It can do nothing but get its certificate.
    pub(crate) fn enrolling(account: Account) -> Self {
        let name = account.to_string().into();
        Self { account: Some(account), ..Self::without_rights(name) }
    }

    /// The server itself, where it does something by itself.
    pub(crate) fn of_this_program() -> Self {
        Self::without_rights("dkmd".into())
    }

    fn without_rights(name: Arc<str>) -> Self {
        Self {
            name,
            account: None,
            groups: Arc::default(),
            administrator: false,
            auditor: false,
            grant: None,
        }
    }

    /// The name in records, errors and the audit log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The principal; none for this machine's administrator, who is no principal.
    #[must_use]
    pub const fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Directory groups that it is in, by every route.
    #[must_use]
    pub fn groups(&self) -> &BTreeSet<String> {
        &self.groups
    }

    /// Whether it administers principals and directory groups.
    #[must_use]
    pub const fn administrator(&self) -> bool {
        self.administrator
    }

    /// The grant that it shows, which opens one group for reading and nothing else.
    #[must_use]
    pub const fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    /// Whether it reads the audit log: whoever is marked so, and administrators.
    #[must_use]
    pub const fn reads_log(&self) -> bool {
        self.auditor || self.administrator
    }

    /// Whether it is a service account.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.kind == Kind::Service)
    }
}

impl Server {
    async fn identify(&self, peer: Peer, throttle: &Throttle) -> Result<Caller, Problem> {
        let unknown = |what: String| {
            Problem::unauthenticated(what)
                .advice("ask an administrator for an account, and a token for its certificate")
        };
        let catalog = self.catalog()?;
        let mut grant = None;
        let account = match peer {
            Peer::Nobody => return Err(unknown("this needs a client certificate: enrol first".to_owned())),
            Peer::Uid(uid) => match catalog.account_of_uid(uid) {
                Some(account) => account.clone(),
                // Whoever owns the process or the machine could do more than this anyway.
                None if uid == 0 || uid == rustix::process::geteuid().as_raw() => {
                    let name = format!("uid:{uid}").into();
                    return Ok(Caller { administrator: true, ..Caller::without_rights(name) });
                }
                None => return Err(unknown(format!("Unix account {uid} is no principal of this server"))),
            },
            Peer::Certificate(digest) => {
                let known = self.store().read(|c| certificates::certificate(c, digest))?;
                let Some(known) = known else {
                    return Err(unknown(
                        "this certificate was taken back, or was never given out".to_owned(),
                    ));
                };
                if known.not_after <= now() {
                    return Err(unknown(format!("the certificate of {} has ended", known.account)));
                }
                grant = known.grant;
                known.account
            }
        };
        let groups = Arc::new(catalog.groups_of(&account));
        let principal = catalog.principals.get(&account);
        let enabled = principal.is_some_and(|principal| principal.enabled);
        let administrator = principal.is_some_and(|principal| principal.administrator);
        let auditor = principal.is_some_and(|principal| principal.auditor);
        let name = account.to_string().into();
        let caller = Caller { name, account: Some(account), groups, administrator, auditor, grant: None };
        // Before anything is recorded: who asks too much fills no log either.
        throttle.check(caller.name()).inspect_err(|_| self.metrics().throttled())?;
        match grant {
            Some(request) if enabled => return self.identify_by_grant(caller, request).await,
            None if enabled => return Ok(caller),
            _ => {}
        }
        let problem = unknown(format!("{} is disabled", caller.name));
        self.deny(&caller, Action::CertificateRefused, &About::default(), problem).await
    }
}

impl Server {
    /// A person by a grant's certificate: with none of his own rights, and only as long as access goes on.
    async fn identify_by_grant(&self, person: Caller, request: RequestId) -> Result<Caller, Problem> {
        match self.goes_on(&person, request) {
            Ok((group, _)) => {
                Ok(Caller { grant: Some(Grant { request, group }), ..Caller::without_rights(person.name) })
            }
            Err(problem) if problem.is_decision() => {
                let about = About { grant: request.to_string().parse().ok(), ..About::default() };
                let ended = Problem::unauthenticated(format!("access by request {request}: {problem}"));
                self.deny(&person, Action::CertificateRefused, &about, ended).await
            }
            Err(problem) => Err(problem),
        }
    }
}

/// Finds out who asks, and keeps one account from taking all. Before everything that needs an account.
pub async fn identify(
    State((server, throttle)): State<(Arc<Server>, Arc<Throttle>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied().unwrap_or(Peer::Nobody);
    match server.identify(peer, &throttle).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::unauthenticated("nobody is known to ask"))
    }
}
