//! Kinds I, J and K: the ways around access control that the domain itself has.

use std::collections::BTreeSet;
use std::rc::Rc;

use dkm::repository::RepositoryError;

use super::directory::Object;
use super::expand::{Expansion, Leaf, StopAt};
use super::holders::Right;
use super::judge::{Judge, meaning};
use super::kind::PathKind;
use super::report::{Class, Effect};
use crate::ldap::{Search, all_of, any_of, equal, has_bits, present};
use crate::security::{AccessMask, Guid, Sid, guid, sid::rid};

/// `UF_TRUSTED_FOR_DELEGATION`, MS-ADTS §2.2.16: acts as whoever signs in to it.
const TRUSTED_FOR_DELEGATION: u32 = 0x8_0000;
/// `UF_PARTIAL_SECRETS_ACCOUNT`, MS-ADTS §2.2.16: a read-only domain controller.
const PARTIAL_SECRETS: u32 = 0x400_0000;
/// Extended right DS-Install-Replica (MS-ADTS §5.1.3.2.1).
const RIGHT_INSTALL_REPLICA: Guid =
    Guid::new(0x9923_a32a, 0x3607, 0x11d2, [0xb9, 0xbe, 0x00, 0x00, 0xf8, 0x7a, 0x36, 0xb2]);
/// Extended right Migrate-SID-History (MS-ADTS §5.1.3.2.1).
const RIGHT_MIGRATE_SID_HISTORY: Guid =
    Guid::new(0xba33_815a, 0x4f93, 0x4c76, [0x87, 0xf3, 0x57, 0x57, 0x4b, 0xff, 0x81, 0x09]);

/// Looks at the domain's head: who replicates.
pub(super) fn replication(judge: &mut Judge<'_, '_>) -> Result<(), RepositoryError> {
    let dn = judge.directory.domain_dn();
    let Some(head) = judge.directory.by_dn(&dn)? else {
        judge.draft.unchecked(PathKind::I, "who replicates the domain", "this account does not see its head");
        return Ok(());
    };
    let step = |what| meaning(PathKind::I, Effect::OneStep, what);
    let owns = step("owns the domain's head, and so gives itself the right to replicate");
    let rights = [
        (
            step("gives itself the right to replicate, by controlling the domain's head"),
            Right::Any(AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER),
        ),
        (
            meaning(
                PathKind::I,
                Effect::Reads,
                "replicates the domain and so reads key objects below their DACL (DirSync)",
            ),
            Right::Extended(guid::RIGHT_REPLICATION_GET_CHANGES),
        ),
        (
            step("replicates passwords too, and so signs in as any member (DCSync)"),
            Right::Extended(guid::RIGHT_REPLICATION_GET_CHANGES_ALL),
        ),
        (
            step("replicates the filtered attributes too"),
            Right::Extended(guid::RIGHT_REPLICATION_GET_CHANGES_FILTERED),
        ),
        (step("adds domain controllers, each with a copy"), Right::Extended(RIGHT_INSTALL_REPLICA)),
        (step("puts members' SIDs into the history of others"), Right::Extended(RIGHT_MIGRATE_SID_HISTORY)),
    ];
    judge.rights(&head, &rights, 0)?;
    judge.owner(&head, owns)
}

/// Looks at read-only domain controllers: each keeps a copy of the key objects, and passwords of those it may.
pub(super) fn read_only(judge: &mut Judge<'_, '_>, readers: &Expansion) -> Result<(), RepositoryError> {
    let filter = any_of(vec![
        equal("primaryGroupID", rid::READ_ONLY_DOMAIN_CONTROLLERS.to_string()),
        has_bits("userAccountControl", PARTIAL_SECRETS),
    ]);
    let copies = meaning(
        PathKind::J,
        Effect::Reads,
        "is a read-only domain controller: whoever has its disk has a copy of every key object",
    );
    let keeps = meaning(
        PathKind::J,
        Effect::OneStep,
        "is a read-only domain controller that may keep a member's password",
    );
    let administers = meaning(
        PathKind::J,
        Effect::Reads,
        "administers a read-only domain controller, which has a copy of every key object",
    );
    let controls = meaning(
        PathKind::J,
        Effect::OneStep,
        "controls the account of a read-only domain controller, which has a copy of every key object",
    );
    for machine in judge.directory.in_domain(filter, "read-only domain controllers")? {
        let this = std::slice::from_ref(&machine.dn);
        let leaf = Leaf { who: machine.principal(), object: Some(machine.clone()), through: Vec::new() };
        judge.note(copies, Class::BelowAcl, &leaf, this);
        let kept = kept_passwords(judge, &machine, readers)?;
        if !kept.is_empty() {
            judge.note(keeps, Class::BelowAcl, &leaf, &kept);
        }
        if let Some(manager) = &machine.managed_by {
            match judge.directory.by_dn(manager)?.and_then(|manager| manager.sid) {
                Some(sid) => judge.path(administers, sid, this, machine.sid)?,
                None => judge.draft.unchecked(
                    PathKind::J,
                    format!("who administers {}", machine.dn),
                    format!("this account does not see {manager}"),
                ),
            }
        }
        let rights = [
            (controls, Right::Any(AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER)),
            (controls, Right::Extended(guid::RIGHT_RESET_PASSWORD)),
        ];
        judge.rights(&machine, &rights, 1)?;
        judge.owner(&machine, controls)?;
    }
    Ok(())
}

/// The members whose passwords a read-only domain controller may keep.
fn kept_passwords(
    judge: &mut Judge<'_, '_>,
    machine: &Object,
    readers: &Expansion,
) -> Result<Vec<String>, RepositoryError> {
    let search = Search::base(machine.dn.as_str(), vec!["msDS-RevealOnDemandGroup", "msDS-NeverRevealGroup"]);
    let found = judge.directory.search(&search, "what a read-only domain controller may keep")?;
    let mut accounts = |name: &str| -> Result<BTreeSet<Sid>, RepositoryError> {
        let dns: Vec<String> = found
            .iter()
            .flat_map(|found| found.values(name))
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect();
        let mut sids = BTreeSet::new();
        for group in judge.directory.by_dns(&dns)?.into_iter().flatten() {
            let Some(sid) = group.sid else { continue };
            sids.insert(sid);
            let expansion = judge.expand(sid, StopAt::Crowds)?;
            sids.extend(expansion.leaves.iter().filter_map(|leaf| leaf.who.sid));
        }
        Ok(sids)
    };
    let revealed = accounts("msDS-RevealOnDemandGroup")?;
    let withheld = accounts("msDS-NeverRevealGroup")?;
    let users = judge.directory.domain.account(rid::DOMAIN_USERS);
    let everybody =
        users.is_some_and(|users| revealed.contains(&users)) || revealed.contains(&Sid::AUTHENTICATED_USERS);
    let is_kept = |sid: &Sid| (everybody || revealed.contains(sid)) && !withheld.contains(sid);
    let kept = readers.leaves.iter().filter(|leaf| leaf.who.sid.as_ref().is_some_and(is_kept));
    Ok(kept.filter_map(|leaf| leaf.object.as_ref()).map(|account| account.dn.clone()).collect())
}

/// Looks at delegation: who acts as a member towards a domain controller.
pub(super) fn delegation(judge: &mut Judge<'_, '_>) -> Result<(), RepositoryError> {
    let step = |what| meaning(PathKind::K, Effect::OneStep, what);
    let anybody = step("acts as any member that signs in to it (unconstrained delegation)");
    let constrained = step("acts as others towards a domain controller (constrained delegation)");
    let resource = step("acts as others towards a domain controller (resource-based delegation)");
    let controllers = judge
        .directory
        .in_domain(equal("primaryGroupID", rid::DOMAIN_CONTROLLERS.to_string()), "domain controllers")?;
    let is_controller = |sid: Option<Sid>| controllers.iter().any(|known| known.sid == sid);
    let trusted = judge
        .directory
        .in_domain(has_bits("userAccountControl", TRUSTED_FOR_DELEGATION), "accounts with delegation")?;
    for account in trusted.into_iter().filter(|account| !is_controller(account.sid)) {
        if let Some(sid) = account.sid {
            judge.path(anybody, sid, std::slice::from_ref(&account.dn), None)?;
        }
    }
    let filter = all_of(vec![present("msDS-AllowedToDelegateTo"), present("objectSid")]);
    for account in judge.directory.in_domain(filter, "accounts with delegation")? {
        let reaches = account.delegated_to.iter().any(|service| is_at(service, &controllers));
        if let (true, Some(sid)) = (reaches && !is_controller(account.sid), account.sid) {
            judge.path(constrained, sid, std::slice::from_ref(&account.dn), None)?;
        }
    }
    for controller in &controllers {
        if let Some(actors) = &controller.actors {
            judge.admitted(resource, controller, actors)?;
        }
    }
    Ok(())
}

/// Whether a service principal name is of one of these hosts. Its service does not matter: the client writes it into
/// the ticket.
fn is_at(service: &str, hosts: &[Rc<Object>]) -> bool {
    let host = service.split('/').nth(1).unwrap_or_default();
    let host = host.split([':', '.']).next().unwrap_or_default();
    hosts.iter().any(|known| known.principal().name.trim_end_matches('$').eq_ignore_ascii_case(host))
}
