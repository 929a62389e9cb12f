//! Groups of keys: which there are, who has access, and how one is made.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dkm_remote::wire::{Access, AccessLine, AccessView, Groups, RepositoryView, RightsView};

use super::input;
use crate::account::Name;
use crate::actions::Action;
use crate::caller::Caller;
use crate::catalog::{Catalog, Role};
use crate::problem::Problem;
use crate::server::{About, Server, now};
use crate::store::groups as store;

type Shared = State<Arc<Server>>;
type Answer<T> = Result<Json<T>, Problem>;

pub(super) async fn repository(State(server): Shared, caller: Caller) -> Answer<RepositoryView> {
    let identity = server.store().identity();
    Ok(Json(RepositoryView {
        repository: identity.repository.to_string(),
        replica: identity.replica.to_string(),
        clock_ms: now().0,
        account: caller.name().to_owned(),
    }))
}

pub(super) async fn list(State(server): Shared, caller: Caller) -> Answer<Groups> {
    let catalog = server.catalog()?;
    let sees = |group| server.rights(&caller, group).is_ok_and(|rights| rights.see);
    let announced = catalog.groups.iter().filter(|(_, access)| access.announced).map(|(group, _)| *group);
    Ok(Json(Groups {
        groups: announced.filter(|group| sees(*group)).map(|group| group.to_string()).collect(),
    }))
}

pub(super) async fn rights(
    State(server): Shared,
    caller: Caller,
    Path(group): Path<String>,
) -> Answer<RightsView> {
    let group = input::group(&group)?;
    let rights = server.rights(&caller, group)?;
    server.require(rights.see, &caller, Action::ReadMetadata, &About::group(group, "rights")).await?;
    Ok(Json(RightsView { read: rights.read, create: rights.create, own: rights.own }))
}

pub(super) async fn access(
    State(server): Shared,
    caller: Caller,
    Path(group): Path<String>,
) -> Answer<AccessView> {
    let group = input::group(&group)?;
    let rights = server.rights(&caller, group)?;
    server.require(rights.see, &caller, Action::ReadMetadata, &About::group(group, "access")).await?;
    let catalog = server.catalog()?;
    let roles = catalog.groups.get(&group).into_iter().flat_map(|access| &access.roles);
    let lines = roles.map(|(role, name)| AccessLine {
        who: name.to_string(),
        may: match role {
            Role::Reader => "read keys",
            Role::Creator => "read and add keys",
            Role::Owner => "add control records",
            Role::Auditor => "see all but key material",
        }
        .to_owned(),
        alarming: catalog.check_role(*role, name).is_err(),
    });
    Ok(Json(AccessView { access: lines.collect() }))
}

/// Who shall have which role: the caller where nobody is named, and the caller beside those who are, because he makes the
/// group's first records.
fn roles(catalog: &Catalog, caller: &Caller, access: &Access) -> Result<BTreeSet<(Role, Name)>, Problem> {
    let Some(founder) = caller.account() else {
        return Err(Problem::denied("whoever makes a group is a service account of this server"));
    };
    let mut roles = BTreeSet::new();
    let lists = [
        (Role::Reader, &access.readers),
        (Role::Creator, &access.creators),
        (Role::Owner, &access.owners),
        (Role::Auditor, &access.auditors),
    ];
    for (role, names) in lists {
        for text in names {
            let name = input::name(text)?;
            catalog.check_role(role, &name).map_err(Problem::invalid)?;
            roles.insert((role, name));
        }
    }
    if access.creators.is_empty() {
        let readers: Vec<_> = roles.iter().filter(|(role, _)| *role == Role::Reader).cloned().collect();
        roles.extend(readers.into_iter().map(|(_, name)| (Role::Creator, name)));
    }
    for role in [Role::Reader, Role::Creator, Role::Owner] {
        roles.insert((role, Name::Account(founder.clone())));
    }
    Ok(roles)
}

pub(super) async fn create(
    State(server): Shared,
    caller: Caller,
    Path(group): Path<String>,
    input::Body(access): input::Body<Access>,
) -> Result<StatusCode, Problem> {
    let group = input::group(&group)?;
    let about = About::group(group, "made");
    server.require(caller.is_service(), &caller, Action::CreateGroup, &about).await?;
    server.is_free(&caller, group).await?;
    let maker = caller.clone();
    server
        .change(&caller, Action::CreateGroup, about, move |tx| {
            let catalog = Catalog::load(tx)?;
            let roles = roles(&catalog, &maker, &access)?;
            let Some(founder) = maker.account() else { return Err(Problem::denied("nobody makes a group")) };
            if let Some(there) = catalog.groups.get(&group)
                && (there.announced || there.founder != *founder)
            {
                return Err(Problem::invalid(format!("group {group} is there already")));
            }
            Ok(store::put_group(tx, group, founder, &roles)?)
        })
        .await?;
    Ok(StatusCode::CREATED)
}

pub(super) async fn announce(
    State(server): Shared,
    caller: Caller,
    Path(group): Path<String>,
) -> Result<StatusCode, Problem> {
    let group = input::group(&group)?;
    let rights = server.rights(&caller, group)?;
    let about = About::group(group, "announced");
    server.require(rights.own, &caller, Action::CreateGroup, &about).await?;
    server
        .change(&caller, Action::CreateGroup, about, move |tx| Ok(store::announce_group(tx, group)?))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
