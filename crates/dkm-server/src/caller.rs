//! Whoever is at the other end of a connection, as the server has authenticated him.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dkm_core::{Digest, GroupId, RequestId};
use dkm_remote::wire::Kind;

use crate::account::Account;
use crate::actions::Action;
use crate::domain::CHALLENGE;
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

/// The certificate that the server has shown on a connection, in DER: tickets are bound to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndPoint(pub Arc<[u8]>);

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

    /// Whoever has shown a ticket of the domain and is not let in; no account has this name.
    pub(crate) fn not_let_in(name: &str) -> Self {
        Self::without_rights(name.into())
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
    /// Who shows a ticket, if anybody does: an account of the domain, as itself.
    async fn identify_by_ticket(
        self: &Arc<Self>,
        peer: Peer,
        (headers, end_point): (&HeaderMap, Option<&EndPoint>),
        throttle: &Throttle,
    ) -> Result<Option<Caller>, Problem> {
        let allow = |name: &str| throttle.check(name).inspect_err(|_| self.metrics().throttled());
        let Some(standing) = self.signed_in(headers, end_point, &allow).await? else { return Ok(None) };
        if peer != Peer::Nobody {
            // Who of the two asks is not guessed.
            let name = self.identify(peer, throttle).await?.name;
            let problem = Problem::ticket(format!(
                "the connection is {name}'s, and the ticket is {}'s: show one of the two",
                standing.account
            ));
            let caller = Caller::not_let_in(&name);
            return self.deny(&caller, Action::TicketRefused, &About::default(), problem).await;
        }
        let catalog = self.bind(&standing).await?;
        let account = standing.account.clone();
        let caller = Caller {
            name: account.to_string().into(),
            groups: Arc::new(catalog.groups_within(&account, &standing.groups)),
            administrator: standing.administrator,
            auditor: standing.auditor,
            grant: None,
            account: Some(account),
        };
        if catalog.principals.get(&standing.account).is_some_and(|principal| principal.enabled) {
            return Ok(Some(caller));
        }
        let problem = Problem::unauthenticated(format!("{} is disabled", caller.name));
        self.deny(&caller, Action::TicketRefused, &About::default(), problem).await
    }

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
        let name: Arc<str> = account.to_string().into();
        // Before anything is recorded, or a domain is asked: who asks too much fills no log either.
        throttle.check(&name).inspect_err(|_| self.metrics().throttled())?;
        // By a grant's certificate somebody may come who is the domain's.
        let groups = match self.freshen_account(&account).await {
            Ok(()) => self.groups_now(&catalog, &account),
            Err(problem) => Err(problem),
        };
        let groups = match groups {
            Ok(groups) => Arc::new(groups),
            Err(problem) if problem.is_decision() => {
                let caller = Caller::not_let_in(&name);
                return self.deny(&caller, Action::CertificateRefused, &About::default(), problem).await;
            }
            Err(problem) => return Err(problem),
        };
        let principal = catalog.principals.get(&account);
        let enabled = principal.is_some_and(|principal| principal.enabled);
        let administrator = principal.is_some_and(|principal| principal.administrator);
        let auditor = principal.is_some_and(|principal| principal.auditor);
        let caller = Caller { name, account: Some(account), groups, administrator, auditor, grant: None };
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
    let end_point = request.extensions().get::<EndPoint>().cloned();
    let by_ticket = server.identify_by_ticket(peer, (request.headers(), end_point.as_ref()), &throttle).await;
    let caller = match by_ticket {
        Ok(None) => server.identify(peer, &throttle).await,
        Ok(Some(caller)) => Ok(caller),
        Err(problem) => Err(problem),
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => {
            let mut response = problem.into_response();
            let takes_tickets = peer == Peer::Nobody && server.known_accounts().is_some();
            if takes_tickets && response.status() == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static(CHALLENGE);
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
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
