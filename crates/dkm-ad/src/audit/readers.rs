//! Kinds A and E: who is in the readers group, and who can put somebody into it.

use std::collections::BTreeSet;
use std::rc::Rc;

use dkm::repository::RepositoryError;

use super::directory::{Directory, Object};
use super::expand::{Expansion, Leaf, StopAt};
use super::holders::Right;
use super::judge::{Judge, Meaning, meaning};
use super::kind::PathKind;
use super::report::Effect;
use super::temporary::LetIn;
use crate::ldap::{any_of, equal};
use crate::security::{AccessMask, Sid, guid};

const MEMBER: Meaning = meaning(PathKind::A, Effect::Reads, "is a member, and so reads every key");
const FORMER: Meaning = meaning(
    PathKind::A,
    Effect::Reads,
    "is in a readers group whose replacement was not finished, and so may still read keys",
);
const NAMESAKE: Meaning =
    meaning(PathKind::A, Effect::Reads, "carries a member's SID in its history, and so reads every key");

/// Finds everybody in the readers group.
pub(super) fn members(
    judge: &mut Judge<'_, '_>,
    readers: Sid,
    let_in: &LetIn,
) -> Result<Rc<Expansion>, RepositoryError> {
    let expansion = judge.expand(readers, StopAt::Crowds)?;
    let Some(group) = expansion.groups.first() else {
        judge.draft.unchecked(
            PathKind::A,
            format!("the members of the readers group {readers}"),
            "this account does not see the group, or it is none",
        );
        return Ok(expansion);
    };
    judge.path_unless(MEMBER, readers, std::slice::from_ref(&group.dn), None, |leaf| let_in.get(leaf))?;
    for leaf in &expansion.leaves {
        if leaf.who.sid.is_none() {
            let what = format!("who {} is, a member of the readers group", leaf.who.name);
            judge.draft.unchecked(PathKind::A, what, "this account does not see it");
        }
    }
    let sids: Vec<Sid> = expansion.leaves.iter().filter_map(|leaf| leaf.who.sid).collect();
    for some in sids.chunks(50) {
        let filter = any_of(some.iter().map(|sid| equal("sIDHistory", sid.to_bytes())).collect());
        for namesake in judge.directory.in_domain(filter, "SID histories")? {
            let leaf = Leaf { who: namesake.principal(), object: None, through: Vec::new() };
            let class = judge.class(PathKind::A, namesake.sid.as_ref());
            judge.note(NAMESAKE, class, &leaf, std::slice::from_ref(&group.dn));
        }
    }
    Ok(expansion)
}

/// Finds who is in readers groups whose replacement was begun and not finished.
pub(super) fn former(judge: &mut Judge<'_, '_>, former: &[Sid]) -> Result<(), RepositoryError> {
    for group in former {
        let object = judge.directory.by_sid(*group)?;
        let name = object.as_ref().map_or_else(|| group.to_string(), |object| object.principal().name);
        judge.draft.unchecked(
            PathKind::A,
            format!("whether readers group {name} still reads keys"),
            "it is being replaced, and dkm group replace-readers was not finished: run it again",
        );
        judge.path(FORMER, *group, &Vec::from_iter(object.map(|object| object.dn.clone())), None)?;
    }
    Ok(())
}

/// What controls a group.
fn rights(directory: &Directory<'_>, group: &Object) -> Vec<(Meaning, Right)> {
    let command = AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER;
    let mut rights = vec![(
        meaning(PathKind::E, Effect::OneStep, "writes the DACL of a group of readers, or takes it over"),
        Right::Any(command),
    )];
    if let Some(member) = directory.attribute("member") {
        let writes = meaning(PathKind::E, Effect::OneStep, "writes the members of a group of readers");
        rights.push((writes, Right::Write(member)));
    }
    rights.push((
        meaning(PathKind::E, Effect::OneStep, "adds itself to a group of readers"),
        Right::Validated(guid::ATTRIBUTE_MEMBER),
    ));
    let is_protected = group.descriptor.as_ref().is_some_and(|descriptor| descriptor.is_protected());
    let moves = if is_protected {
        meaning(PathKind::E, Effect::Other, "deletes or moves a group of readers")
    } else {
        meaning(
            PathKind::E,
            Effect::OneStep,
            "moves a group of readers to where it inherits rights, or deletes it",
        )
    };
    rights.push((moves, Right::Any(AccessMask::DELETE | AccessMask::DELETE_TREE)));
    rights
}

/// Finds who controls the readers group, any group in it, and what is above them.
pub(super) fn control(judge: &mut Judge<'_, '_>, readers: &Expansion) -> Result<(), RepositoryError> {
    let owns = meaning(PathKind::E, Effect::OneStep, "owns a group of readers, and so writes its DACL");
    let mut above = BTreeSet::new();
    for group in &readers.groups {
        let rights = rights(&judge.directory, group);
        judge.rights(group, &rights, 1)?;
        judge.owner(group, owns)?;
        let is_protected = group.descriptor.as_ref().is_none_or(|descriptor| descriptor.is_protected());
        for (dn, object) in judge.directory.above(&group.dn)? {
            if above.insert((dn.clone(), is_protected)) {
                containers(judge, PathKind::E, &dn, object.as_deref(), is_protected)?;
            }
        }
    }
    Ok(())
}

/// Finds who controls what is above an object: rights that it inherits if it is not protected, and its deletion.
pub(super) fn containers(
    judge: &mut Judge<'_, '_>,
    kind: PathKind,
    dn: &str,
    object: Option<&Object>,
    is_protected: bool,
) -> Result<(), RepositoryError> {
    let Some(object) = object else {
        judge.draft.unchecked(kind, format!("who controls {dn}"), "this account does not see it");
        return Ok(());
    };
    let deletes = "can delete or move what is below, by rights on a container above";
    let gives = "can give itself rights on what is below, by those on a container above";
    let (effect, what) = if is_protected { (Effect::Other, deletes) } else { (Effect::OneStep, gives) };
    let mut rights =
        vec![(meaning(kind, effect, what), Right::Any(AccessMask::WRITE_DAC | AccessMask::WRITE_OWNER))];
    if kind == PathKind::E {
        let moves = if is_protected { Effect::Other } else { Effect::OneStep };
        rights.push((meaning(kind, moves, deletes), Right::DeleteChild(guid::CLASS_GROUP)));
        rights.push((meaning(kind, moves, deletes), Right::Any(AccessMask::DELETE_TREE)));
    }
    judge.rights(object, &rights, 2)?;
    judge.owner(object, meaning(kind, effect, what))
}
