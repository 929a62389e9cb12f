//! Certificates: the first against a one-time token, each next against the one before.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use dkm_core::{Digest, Timestamp};
use dkm_remote::wire::{self, Certificate, Enrolment, Renewal};
use zeroize::Zeroizing;

use super::input::{self, Body};
use crate::account::Account;
use crate::actions::Action;
use crate::authority::Issued;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::{About, Server, now};
use crate::store::certificates::{self as store, Certified};

type Shared = State<Arc<Server>>;

const HOUR_MS: u64 = 3600 * 1000;
const TOKEN_LEN: usize = 32;

fn certify(server: &Server, account: &Account, request: &str) -> Result<(Certified, Issued), Problem> {
    let life_ms = server.certificates().life_h * HOUR_MS;
    let issued = server
        .authority()
        .certify(request, &account.to_string(), now(), now().plus(life_ms))
        .map_err(|error| Problem::invalid(error.to_string()))?;
    Ok((Certified { account: account.clone(), not_after: issued.not_after, grant: None }, issued))
}

pub(super) fn view(server: &Server, account: &Account, issued: Issued) -> Json<Certificate> {
    Json(Certificate {
        account: account.to_string(),
        certificate: issued.pem,
        authority: server.authority().pem().to_owned(),
        not_before_ms: issued.not_before.0,
        not_after_ms: issued.not_after.0,
    })
}

/// A token for a principal, in place of those that it has.
pub(super) async fn token(
    State(server): Shared,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<wire::Token>, Problem> {
    let account = input::account(&name)?;
    let about = About::plain(format!("token for {account}"));
    server.require(caller.administrator(), &caller, Action::ManagePrincipals, &about).await?;
    if account.domain().is_some() {
        return Err(Problem::invalid(format!("{account} signs in by its domain, and gets no certificate")));
    }
    if name == crate::broker::ACCOUNT {
        return Err(Problem::invalid(format!("{account} is the server itself: it has no certificate")));
    }
    let mut bytes = Zeroizing::new([0u8; TOKEN_LEN]);
    getrandom::fill(bytes.as_mut_slice())
        .map_err(|_| Problem::unavailable("the system gives no randomness"))?;
    let token = Zeroizing::new(input::to_hex(bytes.as_slice()));
    let (digest, until) = (Digest::of(token.as_bytes()), now().plus(server.certificates().token_h * HOUR_MS));
    server
        .change(&caller, Action::ManagePrincipals, about, move |tx| {
            let catalog = crate::catalog::Catalog::load(tx)?;
            if !catalog.principals.get(&account).is_some_and(|principal| principal.enabled) {
                return Err(Problem::not_found(format!("there is no {account} here, or it is disabled")));
            }
            Ok(store::put_token(tx, digest, &account, until)?)
        })
        .await?;
    Ok(Json(wire::Token { token, not_after_ms: until.0 }))
}

/// The first certificate. The token is used up only if one is given out.
pub(super) async fn enrol(
    State(server): Shared,
    Body(enrolment): Body<Enrolment>,
) -> Result<Json<Certificate>, Problem> {
    let digest = Digest::of(enrolment.token.as_bytes());
    let refused = || {
        Problem::unauthenticated("the token was used, has ended, or was never given out")
            .advice("ask an administrator for another: POST /v1/principals/ACCOUNT/token")
    };
    // Guesses fill no log: a token has 256 bits.
    let account = server.store().read(|c| store::token(c, digest, now()))?.ok_or_else(refused)?;
    let caller = Caller::enrolling(account.clone());
    let (certified, issued) = certify(&server, &account, &enrolment.request)?;
    let about =
        About::plain(format!("certificate {} until {}", issued.digest, Timestamp(issued.not_after.0)));
    let certificate = issued.digest;
    server
        .change(&caller, Action::Enrol, about, move |tx| {
            if !store::use_token(tx, digest)? {
                return Err(refused());
            }
            Ok(store::put_certificate(tx, certificate, &certified, now())?)
        })
        .await?;
    Ok(view(&server, &account, issued))
}

/// The next certificate. The one before goes on until its own end: a caller that dies before it has kept the new one
/// still has that.
pub(super) async fn renew(
    State(server): Shared,
    caller: Caller,
    Body(renewal): Body<Renewal>,
) -> Result<Json<Certificate>, Problem> {
    let Some(account) = caller.account().cloned() else {
        return Err(Problem::invalid(format!("{} has no certificate to renew", caller.name())));
    };
    if account.domain().is_some() {
        let problem = Problem::denied(format!("{account} signs in by its domain, and gets no certificate"));
        return server.deny(&caller, Action::RenewCertificate, &About::default(), problem).await;
    }
    let (certified, issued) = certify(&server, &account, &renewal.request)?;
    let about =
        About::plain(format!("certificate {} until {}", issued.digest, Timestamp(issued.not_after.0)));
    let certificate = issued.digest;
    server
        .change(&caller, Action::RenewCertificate, about, move |tx| {
            Ok(store::put_certificate(tx, certificate, &certified, now())?)
        })
        .await?;
    Ok(view(&server, &account, issued))
}
