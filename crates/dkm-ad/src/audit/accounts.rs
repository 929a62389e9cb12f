//! Kinds F, G and H: who can sign in as a member.

use std::collections::BTreeSet;

use dkm::repository::RepositoryError;

use super::directory::Directory;
use super::expand::Expansion;
use super::holders::{Attribute, Right};
use super::judge::{Judge, Meaning, meaning};
use super::kind::PathKind;
use super::readers::containers;
use super::report::Effect;
use crate::security::{AccessMask, guid};

/// The class of group managed service accounts.
const MANAGED: &str = "msDS-GroupManagedServiceAccount";

/// Attributes whose writer comes to sign in as the account, or as anybody to its host.
const SIGNING_IN: [(PathKind, &str, &str); 8] = [
    (PathKind::F, "userAccountControl", "writes a member's userAccountControl"),
    (PathKind::G, "msDS-KeyCredentialLink", "writes a member's key credentials, and so signs in as it"),
    (PathKind::G, "altSecurityIdentities", "maps a certificate to a member, and so signs in as it"),
    (
        PathKind::G,
        "servicePrincipalName",
        "writes a member's service principal names, and so gets tickets to guess its password from",
    ),
    (
        PathKind::G,
        "msDS-AllowedToActOnBehalfOfOtherIdentity",
        "lets itself act as anybody towards a member's host",
    ),
    (PathKind::G, "msDS-AllowedToDelegateTo", "writes what a member may do in others' names"),
    (PathKind::G, "scriptPath", "writes the script that runs when a member signs in"),
    (PathKind::H, "msDS-GroupMSAMembership", "writes who reads a member's managed password"),
];

fn rights(directory: &Directory<'_>) -> Vec<(Meaning, Right)> {
    let mut rights = vec![
        (
            meaning(PathKind::F, Effect::OneStep, "writes the DACL of a member's account, or takes it over"),
            Right::Any(AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER),
        ),
        (
            meaning(PathKind::F, Effect::OneStep, "resets a member's password, and so signs in as it"),
            Right::Extended(guid::RIGHT_RESET_PASSWORD),
        ),
    ];
    for (kind, name, what) in SIGNING_IN {
        // What the schema does not have, nobody writes. A right to key credentials waits for the schema's next version.
        let later = (name == "msDS-KeyCredentialLink")
            .then_some(Attribute { guid: guid::ATTRIBUTE_KEY_CREDENTIAL_LINK, set: None });
        if let Some(attribute) = directory.attribute(name).or(later) {
            rights.push((meaning(kind, Effect::OneStep, what), Right::Write(attribute)));
        }
    }
    rights.push((
        meaning(PathKind::G, Effect::OneStep, "adds checked service principal names to a member"),
        Right::Validated(guid::ATTRIBUTE_SERVICE_PRINCIPAL_NAME),
    ));
    rights
}

/// Finds who controls the accounts of the members, and reads their managed passwords.
pub(super) fn control(judge: &mut Judge<'_, '_>, readers: &Expansion) -> Result<(), RepositoryError> {
    let rights = rights(&judge.directory);
    let owns = meaning(PathKind::F, Effect::OneStep, "owns a member's account, and so writes its DACL");
    let reads =
        meaning(PathKind::H, Effect::OneStep, "reads a member's managed password, and so signs in as it");
    let acts = meaning(PathKind::G, Effect::OneStep, "may act as anybody towards a member's host");
    let mut above = BTreeSet::new();
    for leaf in &readers.leaves {
        let Some(account) = &leaf.object else {
            judge.draft.unchecked(
                PathKind::F,
                format!("who controls {}", leaf.who.name),
                "it is no account that is seen in this domain",
            );
            continue;
        };
        // Whoever signs in is in a crowd: there is no account to take over.
        if account.is_group() {
            continue;
        }
        if account.class == "foreignSecurityPrincipal" {
            let what = format!("who controls {}, and who is in it", leaf.who.name);
            judge.draft.unchecked(PathKind::F, what, "it is a principal of another domain");
            continue;
        }
        judge.rights(account, &rights, 1)?;
        judge.owner(account, owns)?;
        match &account.password_readers {
            Some(readers) => judge.admitted(reads, account, readers)?,
            None if account.class.eq_ignore_ascii_case(MANAGED) => judge.draft.unchecked(
                PathKind::H,
                format!("who reads the managed password of {}", account.dn),
                "it has no msDS-GroupMSAMembership, or this account may not read it",
            ),
            None => {}
        }
        if let Some(actors) = &account.actors {
            judge.admitted(acts, account, actors)?;
        }
        let is_protected = account.descriptor.as_ref().is_none_or(|descriptor| descriptor.is_protected());
        if is_protected {
            continue;
        }
        for (dn, object) in judge.directory.above(&account.dn)? {
            if above.insert(dn.clone()) {
                containers(judge, PathKind::F, &dn, object.as_deref(), false)?;
            }
        }
    }
    Ok(())
}
