//! Accounts of the domain, from a request's ticket to who they are here.
//!
//! A domain's account is a principal of the server, bound to its security identifier when it first comes. Another account
//! that gets its name later is not let in before an administrator has looked at it, nor is one that has become a service
//! instead of a person.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::accounts::{Known, Standing};
use super::blocking;
use crate::account::Account;
use crate::actions::Action;
use crate::caller::{Caller, EndPoint};
use crate::catalog::Catalog;
use crate::problem::Problem;
use crate::server::{About, Server};
use crate::store::directory as store;

/// How the header begins, RFC 4559 §4.2. Small and capital letters are the same.
const SCHEME: &str = "Negotiate ";
/// The longest header that is looked at: a token of 65 535 bytes, in base64.
const HEADER_LEN_MAX: usize = SCHEME.len() + 65_535usize.div_ceil(3) * 4;
/// The challenge of a server that takes tickets.
pub(crate) const CHALLENGE: &str = "Negotiate";

/// The token that a request shows; none if it shows nothing.
fn token(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = shown.next() else { return Ok(None) };
    if shown.next().is_some() {
        return Err(Problem::invalid("a request has one header Authorization"));
    }
    if value.len() > HEADER_LEN_MAX {
        return Err(Problem::invalid("the header Authorization is longer than any ticket"));
    }
    let odd = || Problem::ticket("the header Authorization holds no token: expected Negotiate and base64");
    let text = value.to_str().map_err(|_| odd())?;
    let (scheme, token) = text.split_at_checked(SCHEME.len()).ok_or_else(odd)?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(odd());
    }
    STANDARD.decode(token).map(Some).map_err(|_| odd())
}

/// A browser signs in by itself, also to what another site has it send.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).map(|value| value.as_bytes());
    said("origin").is_some() || said("sec-fetch-site").is_some_and(|site| site != b"none")
}

impl Server {
    /// The account whose ticket a request shows; none if it shows none, or no domain's accounts sign in here.
    ///
    /// # Errors
    /// The ticket is not taken, or the account may not sign in: recorded if it is known who that was. Or nobody can say.
    pub(crate) async fn signed_in(
        &self,
        headers: &HeaderMap,
        end_point: Option<&EndPoint>,
        allow: impl Fn(&str) -> Result<(), Problem>,
    ) -> Result<Option<Arc<Standing>>, Problem> {
        let Some(known) = self.known_accounts() else { return Ok(None) };
        let Some(token) = token(headers)? else { return Ok(None) };
        if is_of_another_site(headers) {
            return Err(Problem::ticket("a browser sent this for another site"));
        }
        let Some(EndPoint(certificate)) = end_point.cloned() else {
            return Err(Problem::ticket("tickets are taken over TLS only"));
        };
        let accounts = Arc::clone(&known);
        let turn = self.sign_ins().tickets().await?;
        let accepted = blocking("the ticket", move || accounts.accounts().accept(&token, &certificate)).await;
        drop(turn);
        let name = accepted.inspect_err(|problem| tracing::info!(%problem, "a ticket was not taken"))?;
        let named = format!("kerberos:{}@{}", name.to_ascii_lowercase(), known.accounts().domain());
        // Before the domain is asked, and anything is recorded.
        allow(&named)?;
        match self.fresh_standing(&known, &name.to_ascii_lowercase()).await {
            Err(problem) if problem.is_decision() => {
                let caller = Caller::not_let_in(&named);
                self.deny(&caller, Action::TicketRefused, &About::default(), problem).await
            }
            other => other.map(Some),
        }
    }

    /// Sees to it that a domain's account is bound to its security identifier.
    ///
    /// # Errors
    /// It is not the account that was bound to this name, or has another name here. That is recorded.
    pub(crate) async fn bind(self: &Arc<Self>, standing: &Arc<Standing>) -> Result<Arc<Catalog>, Problem> {
        let catalog = self.catalog()?;
        let Standing { account, sid, .. } = &**standing;
        if catalog.principals.get(account).is_some_and(|known| known.sid.as_ref() == Some(sid)) {
            return Ok(catalog);
        }
        let caller = Caller::enrolling(account.clone());
        let about = About::plain(format!("{account} is {sid} of the domain"));
        if let Some(why) = conflict(&catalog, standing) {
            let problem = Problem::unauthenticated(why)
                .advice("an administrator can bind the name anew: dkm principal add ACCOUNT");
            return self.deny(&caller, Action::TicketRefused, &about, problem).await;
        }
        let bound = Arc::clone(standing);
        // By the server itself: the account is no principal yet.
        self.change(&Caller::of_this_program(), Action::BindAccount, about, move |tx| {
            match conflict(&Catalog::load(tx)?, &bound) {
                Some(why) => Err(Problem::unauthenticated(why)),
                None => Ok(store::bind_principal(tx, &bound.account, &bound.sid)?),
            }
        })
        .await?;
        self.catalog()
    }

    /// Binds an account's name to whom the domain has under it by now, as an administrator wants it.
    ///
    /// # Errors
    /// Requests of the one before are open; the account is known as one of the other kind; it can't be recorded.
    pub(crate) async fn rebind(
        self: &Arc<Self>,
        caller: &Caller,
        standing: Arc<Standing>,
    ) -> Result<(), Problem> {
        let Standing { account, sid, .. } = &*standing;
        let catalog = self.catalog()?;
        let known = |of: &Account| catalog.principals.get(of).and_then(|principal| principal.sid.clone());
        if known(account).is_some_and(|bound| bound != *sid) && self.has_open_requests(account) {
            return Err(Problem::conflict(format!(
                "requests of the account that was {account} before are open: have them revoked or denied first"
            )));
        }
        let about = About::plain(format!("{account} is {sid} of the domain"));
        self.change(caller, Action::ManagePrincipals, about, move |tx| {
            let Standing { account, sid, .. } = &*standing;
            let catalog = Catalog::load(tx)?;
            let mut others = catalog.principals.iter().filter(|(_, other)| other.sid.as_ref() == Some(sid));
            if let Some((other, _)) = others.find(|(other, _)| other.kind != account.kind) {
                return Err(Problem::invalid(format!(
                    "that account of the domain is known here as {other}: the two kinds are never mixed"
                )));
            }
            Ok(store::bind_principal(tx, account, sid)?)
        })
        .await
    }

    /// What a domain's account is at this moment; none for an account of the server's own.
    ///
    /// # Errors
    /// It was not read just now, or is not the one that was bound to the name.
    pub(crate) fn standing_of(
        &self,
        catalog: &Catalog,
        account: &Account,
    ) -> Result<Option<Arc<Standing>>, Problem> {
        if account.domain().is_none() {
            return Ok(None);
        }
        let Some(known) = self.known_accounts() else {
            return Err(Problem::denied(format!("{account}: no domain's accounts sign in here")));
        };
        let standing = known.recent(account)?;
        let bound = catalog.principals.get(account).and_then(|known| known.sid.as_ref());
        if bound == Some(&standing.sid) {
            Ok(Some(standing))
        } else {
            Err(Problem::denied(format!("{account} is not the account that had this name")))
        }
    }

    /// Reads an account of the domain anew, if it is time for that. To be called before it is decided by.
    ///
    /// # Errors
    /// It may not sign in, or nobody can say.
    pub(crate) async fn freshen_account(&self, account: &Account) -> Result<(), Problem> {
        let Some(known) = self.known_accounts().filter(|_| account.domain().is_some()) else { return Ok(()) };
        self.fresh_standing(&known, account.short_name()).await.map(|_| ())
    }

    async fn fresh_standing(&self, known: &Arc<Known>, name: &str) -> Result<Arc<Standing>, Problem> {
        if let Some(standing) = known.fresh(name) {
            return Ok(standing);
        }
        let _turn = self.sign_ins().readings().await?;
        let (known, name) = (Arc::clone(known), name.to_owned());
        blocking("the account", move || known.freshen(&name)).await
    }

    /// Whether an account may do anything, here and in its domain.
    ///
    /// # Errors
    /// Nobody can say.
    pub(crate) async fn is_enabled(&self, account: &Account) -> Result<bool, Problem> {
        let catalog = self.catalog()?;
        if !catalog.principals.get(account).is_some_and(|principal| principal.enabled) {
            return Ok(false);
        }
        let now = match self.freshen_account(account).await {
            Ok(()) => self.standing_of(&catalog, account).map(|_| ()),
            refused => refused,
        };
        match now {
            Ok(()) => Ok(true),
            Err(problem) if problem.is_decision() => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    /// The domain whose accounts and groups have this behind their `@`.
    ///
    /// # Errors
    /// It is none whose accounts sign in here.
    pub(crate) fn domain_named(&self, domain: &str) -> Result<Arc<Known>, Problem> {
        let known = self.known_accounts().filter(|known| known.accounts().domain() == domain);
        known.ok_or_else(|| Problem::invalid(format!("no accounts of a domain {domain:?} sign in here")))
    }

    /// Looks at an account of the domain, to bind its name to it.
    ///
    /// # Errors
    /// There is none that may sign in, it is of the other kind, or nobody can say.
    pub(crate) async fn look_at(&self, account: &Account, domain: &str) -> Result<Arc<Standing>, Problem> {
        let (known, name) = (self.domain_named(domain)?, account.short_name().to_owned());
        let standing = blocking("the account", move || known.read_anew(&name)).await;
        let standing = standing.map_err(|problem| {
            if problem.is_decision() { Problem::not_found(problem.to_string()) } else { problem }
        })?;
        if standing.account == *account {
            return Ok(standing);
        }
        Err(Problem::invalid(format!("that account of the domain is {} here", standing.account)))
    }

    /// The security identifier of a group of the domain.
    ///
    /// # Errors
    /// There is none, or nobody can say.
    pub(crate) async fn look_at_group(&self, name: &str, domain: &str) -> Result<String, Problem> {
        let (known, name) = (self.domain_named(domain)?, name.to_owned());
        blocking("the group", move || known.accounts().group(&name)).await
    }
}

/// Why an account can't be bound to its name by itself.
fn conflict(catalog: &Catalog, standing: &Standing) -> Option<String> {
    let Standing { account, sid, .. } = standing;
    if catalog.principals.contains_key(account) {
        return Some(format!(
            "{account} is not the account that had this name here before: it has another SID ({sid})"
        ));
    }
    let mut others = catalog.principals.iter();
    let other = others.find(|(_, principal)| principal.sid.as_ref() == Some(sid));
    other.map(|(other, _)| {
        format!("the account of the domain that is {account} by now is known here as {other}")
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_header_holds_one_token_or_says_what_is_wrong() {
        assert_eq!(token(&headers(&[])), Ok(None));
        assert_eq!(token(&headers(&["Negotiate YII="])), Ok(Some(b"\x60\x82".to_vec())));
        assert_eq!(token(&headers(&["negotiate YII="])), Ok(Some(b"\x60\x82".to_vec())));
        let long = format!("Negotiate {}", "A".repeat(HEADER_LEN_MAX));
        for odd in
            ["", "Negotiate", "Negotiate YII", "Negotiate  YII=", "Basic YTpi", "NTLM TlRMTVNTUAA=", &long]
        {
            assert!(token(&headers(&[odd])).is_err(), "{odd}");
        }
        assert!(token(&headers(&["Negotiate YII=", "Negotiate YII="])).is_err());
        let mut odd = HeaderMap::new();
        odd.insert(header::AUTHORIZATION, HeaderValue::from_bytes(b"Negotiate \xff").unwrap());
        assert!(token(&odd).is_err());
    }

    #[test]
    fn what_a_browser_sends_for_another_site_is_noticed() {
        let of = |name: &'static str, value| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            is_of_another_site(&headers)
        };
        assert!(of("origin", "https://evil.example"));
        assert!(of("sec-fetch-site", "cross-site"));
        assert!(of("sec-fetch-site", "same-site"));
        assert!(!of("sec-fetch-site", "none"));
        assert!(!of("accept", "*/*"));
    }
}
