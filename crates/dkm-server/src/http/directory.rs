//! The built-in directory: principals and groups of them. Administrators change it; it decides nothing about keys by
//! itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dkm_remote::wire::{
    DirectoryGroup, DirectoryGroups, Kind, NewDirectoryGroup, NewPrincipal, PrincipalView, Principals, WhoAmI,
};

use super::input::{self, Body};
use crate::account::{Name, parts};
use crate::actions::Action;
use crate::broker;
use crate::caller::Caller;
use crate::catalog::Catalog;
use crate::problem::Problem;
use crate::server::{About, Server};
use crate::store::directory as store;

type Shared = State<Arc<Server>>;

pub(super) async fn who_am_i(caller: Caller) -> Json<WhoAmI> {
    let groups = caller.groups().iter().map(|name| format!("group:{name}")).collect();
    Json(WhoAmI {
        account: caller.name().to_owned(),
        groups,
        administrator: caller.administrator(),
        auditor: caller.reads_log(),
    })
}

pub(super) async fn principals(State(server): Shared, caller: Caller) -> Result<Json<Principals>, Problem> {
    let about = About::plain("principals");
    server.require(caller.administrator(), &caller, Action::ListPrincipals, &about).await?;
    let catalog = server.catalog()?;
    let principals = catalog.principals.iter().map(|(account, principal)| PrincipalView {
        account: account.to_string(),
        uids: principal.uids.iter().copied().collect(),
        administrator: principal.administrator,
        auditor: principal.auditor,
        enabled: principal.enabled,
    });
    Ok(Json(Principals { principals: principals.collect() }))
}

pub(super) async fn put_principal(
    State(server): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<NewPrincipal>,
) -> Result<StatusCode, Problem> {
    let account = input::account(&name)?;
    let uids: BTreeSet<u32> = new.uids.iter().copied().collect();
    let ranks = [(new.administrator, ", administrator"), (new.auditor, ", auditor")];
    let ranks: String = ranks.iter().filter(|(has, _)| *has).map(|(_, rank)| *rank).collect();
    let about = About::plain(format!("{account}{ranks}, uids {uids:?}"));
    server.require(caller.administrator(), &caller, Action::ManagePrincipals, &about).await?;
    if account.kind != new.kind {
        return Err(Problem::invalid(format!("{account} says another kind than the body does")));
    }
    if new.administrator && new.kind == Kind::Service {
        return Err(Problem::invalid("only people administer: what a service does, nobody is asked for"));
    }
    if let Some(domain) = account.domain() {
        if !uids.is_empty() || new.administrator || new.auditor {
            return Err(Problem::invalid(format!(
                "{account} has its ranks from groups of its domain, and signs in by that alone"
            )));
        }
        let standing = server.look_at(&account, domain).await?;
        server.rebind(&caller, standing).await?;
        return Ok(StatusCode::CREATED);
    }
    if name == broker::ACCOUNT && !uids.is_empty() {
        return Err(Problem::invalid(format!("{account} is the server itself: nobody else connects as it")));
    }
    server
        .change(&caller, Action::ManagePrincipals, about, move |tx| {
            let catalog = Catalog::load(tx)?;
            for uid in &uids {
                if let Some(other) = catalog.account_of_uid(*uid).filter(|other| **other != account) {
                    return Err(Problem::conflict(format!("Unix account {uid} is {other} already")));
                }
            }
            let uids: Vec<u32> = uids.into_iter().collect();
            Ok(store::put_principal(tx, &account, &uids, (new.administrator, new.auditor))?)
        })
        .await?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn disable_principal(
    State(server): Shared,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let account = input::account(&name)?;
    let about = About::plain(format!("{account} disabled"));
    server.require(caller.administrator(), &caller, Action::ManagePrincipals, &about).await?;
    server
        .change(&caller, Action::ManagePrincipals, about, move |tx| {
            if store::disable_principal(tx, &account)? {
                Ok(())
            } else {
                Err(Problem::not_found(format!("there is no {account} here")))
            }
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn directory_groups(
    State(server): Shared,
    caller: Caller,
) -> Result<Json<DirectoryGroups>, Problem> {
    let about = About::plain("directory groups");
    server.require(caller.administrator(), &caller, Action::ListPrincipals, &about).await?;
    let catalog = server.catalog()?;
    let groups = catalog.directory.iter().map(|(name, group)| DirectoryGroup {
        name: format!("group:{name}"),
        kind: group.kind,
        members: group.members.iter().map(Name::to_string).collect(),
    });
    Ok(Json(DirectoryGroups { groups: groups.collect() }))
}

pub(super) async fn put_group(
    State(server): Shared,
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<NewDirectoryGroup>,
) -> Result<StatusCode, Problem> {
    let name = input::directory_group(&name)?;
    let about = About::plain(format!("group:{name} made"));
    server.require(caller.administrator(), &caller, Action::ManageDirectory, &about).await?;
    if let (short, Some(domain)) = parts(&name) {
        let sid = server.look_at_group(short, domain).await?;
        let about = About::plain(format!("group:{name} is {sid} of the domain"));
        server
            .change(&caller, Action::ManageDirectory, about, move |tx| {
                match store::bind_directory_group(tx, &name, new.kind, &sid)? {
                    Some(true) => Ok(()),
                    Some(false) => Err(Problem::conflict(format!("group:{name} is there already"))),
                    None => Err(Problem::invalid(format!("group:{name} has members of the other kind"))),
                }
            })
            .await?;
        return Ok(StatusCode::CREATED);
    }
    server
        .change(&caller, Action::ManageDirectory, about, move |tx| {
            if store::put_directory_group(tx, &name, new.kind)? {
                Ok(())
            } else {
                Err(Problem::conflict(format!("group:{name} is there already")))
            }
        })
        .await?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn add_member(
    State(server): Shared,
    caller: Caller,
    Path((into, member)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (into, member) = (input::directory_group(&into)?, input::name(&member)?);
    let about = About::plain(format!("{member} into group:{into}"));
    server.require(caller.administrator(), &caller, Action::ManageDirectory, &about).await?;
    server
        .change(&caller, Action::ManageDirectory, about, move |tx| {
            Catalog::load(tx)?.check_member(&into, &member).map_err(Problem::invalid)?;
            Ok(store::add_member(tx, &into, &member)?)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove_member(
    State(server): Shared,
    caller: Caller,
    Path((from, member)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (from, member) = (input::directory_group(&from)?, input::name(&member)?);
    let about = About::plain(format!("{member} out of group:{from}"));
    server.require(caller.administrator(), &caller, Action::ManageDirectory, &about).await?;
    server
        .change(&caller, Action::ManageDirectory, about, move |tx| {
            Ok(store::remove_member(tx, &from, &member)?)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
