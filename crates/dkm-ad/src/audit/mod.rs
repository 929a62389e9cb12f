//! Who can come to read a group's keys, by which paths.
//!
//! An [`audit`] searches paths of the kinds that [`PathKind`] names, on one domain controller, with what the account
//! that runs it may read. What it can't read it reports as [`Unchecked`]: such an audit is incomplete, never clean. What
//! no audit looks at stands in [`NOT_SEARCHED`], and in each report.
//!
//! Services are those in an explicit list ([`Services`]). Class, place and name of an account are hints for people, and
//! decide nothing: an effective reader that is not listed is a person or an unexpected trustee.
//!
//! Those who always have control of a domain (the system, domain controllers, administrators) are told as
//! [`Class::BelowAcl`]: they can take ownership of a key, which leaves a trace. They fail an audit only where they read
//! keys without one: as members, or by an entry in a key's DACL.
//!
//! To leave nothing unchecked, the account that runs an audit must be an auditor, an administrator, an owner or a reader of
//! the group, so that it may read the keys' descriptors, and may list the repository's container. A plain member sees
//! neither the recovery group nor the group's own container.
//!
//! Where a right can't be told exactly, too much is found rather than too little: a refusal that names a group which the
//! trustee is in does not count, and members of a distribution group count as members.
//!
//! Replication is read on the head of the repository's domain only. A forest of several domains has its Enterprise
//! Admins in its root domain: in another one they are told as unexpected.

mod accounts;
mod directory;
mod domain;
mod expand;
mod holders;
mod judge;
mod kind;
mod known;
mod objects;
mod readers;
mod report;
mod services;
mod temporary;
mod text;
mod watch;

use dkm::repository::{Repository as _, RepositoryError};
use dkm_core::GroupId;

pub(crate) use directory::first_name;
pub use kind::{NOT_SEARCHED, PathKind};
pub use report::{Class, Effect, Finding, Principal, Report, Unchecked, Verdict};
pub use services::{LIST_BYTES_MAX, SIGNATURE_NAMESPACE, Services, ServicesError};
pub use watch::{Change, Round, Watch};

use self::directory::Directory;
use self::expand::{Leaf, StopAt};
use self::judge::{Judge, meaning};
use self::objects::Layout;
use crate::repository::AdRepository;
use crate::security::Sid;

/// The attributes whose GUIDs are looked up.
const SCHEMA_ATTRIBUTES: &[&str] = &[
    "member",
    "thumbnailPhoto",
    "userAccountControl",
    "msDS-KeyCredentialLink",
    "altSecurityIdentities",
    "servicePrincipalName",
    "msDS-AllowedToActOnBehalfOfOtherIdentity",
    "msDS-AllowedToDelegateTo",
    "scriptPath",
    "msDS-GroupMSAMembership",
];
/// The classes whose GUIDs are looked up.
const SCHEMA_CLASSES: &[&str] = &[
    "user",
    "computer",
    "group",
    "container",
    "organizationalUnit",
    "domainDNS",
    "builtinDomain",
    "inetOrgPerson",
    "msDS-ManagedServiceAccount",
    "msDS-GroupManagedServiceAccount",
];

/// Searches all kinds of paths to a group's keys, on the first domain controller that answers.
///
/// # Errors
/// No domain controller answers, or this account does not see the group, its access list, or the schema. What it may
/// not read beyond these stands in the report.
pub fn audit(
    repository: &AdRepository,
    group: GroupId,
    services: &Services,
) -> Result<Report, RepositoryError> {
    let mut last = None;
    for number in 0..repository.replicas() {
        match audit_on(repository, number, group, services) {
            Err(error @ RepositoryError::Unavailable { .. }) => last = Some(error),
            other => return other,
        }
    }
    Err(last.unwrap_or_else(|| RepositoryError::Unavailable {
        location: repository.url(),
        why: "it has no domain controller".to_owned(),
    }))
}

fn audit_on(
    repository: &AdRepository,
    number: usize,
    group: GroupId,
    services: &Services,
) -> Result<Report, RepositoryError> {
    let mut directory = Directory::open(repository, number)?;
    let layout = Layout::find(repository, number, &mut directory, group)?;
    let trustees = &layout.trustees;
    let mut judge = Judge::new(directory, services, trustees.recovery);
    administrators(&mut judge)?;
    listed(&mut judge, services)?;
    let let_in = temporary::let_in(&mut judge, &layout, group)?;
    let readers = readers::members(&mut judge, trustees.readers, &let_in)?;
    readers::former(&mut judge, &trustees.former)?;
    readers::control(&mut judge, &readers)?;
    recovery(&mut judge)?;
    objects::control(&mut judge, &layout)?;
    accounts::control(&mut judge, &readers)?;
    domain::replication(&mut judge)?;
    domain::read_only(&mut judge, &readers)?;
    domain::delegation(&mut judge)?;
    let group_object = readers.groups.first();
    let nobody = || Principal {
        sid: Some(trustees.readers),
        name: trustees.readers.to_string(),
        hint: "no group that this account sees".to_owned(),
    };
    let (findings, unchecked, not_searched, verdict) = judge.draft.finish();
    Ok(Report {
        group: group.to_string(),
        controller: repository.shared().place(number),
        readers: group_object.map_or_else(nobody, |object| object.principal()),
        readers_dn: group_object.map(|object| object.dn.clone()),
        services_signed_by: services.signer().map(str::to_owned),
        findings,
        unchecked,
        not_searched: not_searched.to_vec(),
        verdict,
    })
}

/// Learns who is in Administrators, and tells that they can take ownership whatever any DACL says.
fn administrators(judge: &mut Judge<'_, '_>) -> Result<(), RepositoryError> {
    let takes = meaning(PathKind::C, Effect::OneStep, "can take ownership of any object: leaves a trace");
    let expansion = judge.expand(Sid::BUILTIN_ADMINISTRATORS, StopAt::Crowds)?;
    judge.directory.administrators = expansion.leaves.iter().filter_map(|leaf| leaf.who.sid).collect();
    let everything = [judge.directory.domain_dn()];
    for leaf in &expansion.leaves {
        // Nobody is out of place in Administrators just because no service is there; a crowd is.
        let is_crowd = leaf.object.as_ref().is_none_or(|object| object.is_group());
        let class = if is_crowd { Class::Unexpected } else { Class::BelowAcl };
        judge.note(takes, class, leaf, &everything);
    }
    if expansion.groups.is_empty() || !expansion.cut.is_empty() {
        judge.draft.unchecked(
            PathKind::C,
            "who is in Administrators",
            "this account may not see all of them",
        );
    }
    let system = Leaf {
        who: Principal {
            sid: Some(Sid::SYSTEM),
            name: "SYSTEM".to_owned(),
            hint: "every domain controller".to_owned(),
        },
        object: None,
        through: Vec::new(),
    };
    judge.note(takes, Class::BelowAcl, &system, &everything);
    Ok(())
}

/// A group in the list of services would accept whoever joins it.
fn listed(judge: &mut Judge<'_, '_>, services: &Services) -> Result<(), RepositoryError> {
    judge.directory.know(&services.listed().map(|(sid, _)| *sid).collect())?;
    for (sid, _) in services.listed() {
        if judge.directory.by_sid(*sid)?.is_some_and(|object| object.is_group()) {
            judge.draft.unchecked(
                PathKind::A,
                format!("whether those in group {sid} are services"),
                "the list of services names the group, and only accounts count",
            );
        }
    }
    Ok(())
}

/// The recovery group must be empty: any member writes DACLs.
fn recovery(judge: &mut Judge<'_, '_>) -> Result<(), RepositoryError> {
    let recovery = judge.recovery;
    let may = meaning(PathKind::D, Effect::OneStep, "is in the recovery group, which should be empty");
    let group = judge.directory.by_sid(recovery)?;
    judge.path(may, recovery, &Vec::from_iter(group.map(|group| group.dn.clone())), None)
}
