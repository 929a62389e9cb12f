//! Whoever is at the other end of a connection, as the server has authenticated him.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dkm_core::Digest;
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
}

impl Caller {
    /// Whoever shows a token that was given out for this account. It can do nothing but get its certificate.
    pub(crate) fn enrolling(account: Account) -> Self {
        let name = account.to_string().into();
        Self { name, account: Some(account), groups: Arc::default(), administrator: false, auditor: false }
    }

    /// The server itself, where it does something by itself.
    pub(crate) fn of_this_program() -> Self {
        Self {
            name: "dkmd".into(),
            account: None,
            groups: Arc::default(),
            administrator: false,
            auditor: false,
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
        let account = match peer {
            Peer::Nobody => return Err(unknown("this needs a client certificate: enrol first".to_owned())),
            Peer::Uid(uid) => match catalog.account_of_uid(uid) {
                Some(account) => account.clone(),
                // Whoever owns the process or the machine could do more than this anyway.
                None if uid == 0 || uid == rustix::process::geteuid().as_raw() => {
                    return Ok(Caller {
                        name: format!("uid:{uid}").into(),
                        account: None,
                        groups: Arc::default(),
                        administrator: true,
                        auditor: false,
                    });
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
                known.account
            }
        };
        let groups = Arc::new(catalog.groups_of(&account));
        let principal = catalog.principals.get(&account);
        let enabled = principal.is_some_and(|principal| principal.enabled);
        let administrator = principal.is_some_and(|principal| principal.administrator);
        let auditor = principal.is_some_and(|principal| principal.auditor);
        let name = account.to_string().into();
        let caller = Caller { name, account: Some(account), groups, administrator, auditor };
        // Before anything is recorded: who asks too much fills no log either.
        throttle.check(caller.name()).inspect_err(|_| self.metrics().throttled())?;
        if enabled {
            return Ok(caller);
        }
        let problem = unknown(format!("{} is disabled", caller.name));
        self.deny(&caller, Action::CertificateRefused, &About::default(), problem).await
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
