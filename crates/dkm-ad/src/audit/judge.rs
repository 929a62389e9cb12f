//! Turns rights into paths: whose they are, by any nesting, and what that principal is.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use dkm::repository::RepositoryError;

use super::directory::{Directory, Object};
use super::expand::{Expansion, Leaf, StopAt};
use super::holders::Right;
use super::kind::PathKind;
use super::known;
use super::report::{Class, Draft, Effect, Finding};
use super::services::Services;
use crate::security::{AccessMask, Ace, AceKind, SecurityDescriptor, Sid};

/// What comes of a right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meaning {
    pub(super) kind: PathKind,
    pub(super) effect: Effect,
    pub(super) what: &'static str,
}

/// `what`, as a kind of path that leads this far.
pub(super) const fn meaning(kind: PathKind, effect: Effect, what: &'static str) -> Meaning {
    Meaning { kind, effect, what }
}

/// An audit in progress.
#[derive(Debug)]
pub(super) struct Judge<'j, 'a> {
    pub(super) directory: Directory<'a>,
    services: &'j Services,
    pub(super) draft: Draft,
    expansions: HashMap<(Sid, bool), Rc<Expansion>>,
    /// Whose every member is a failure, whatever else it is.
    pub(super) recovery: Sid,
    elevators: BTreeSet<Sid>,
    /// What elevators have by their role: kinds of paths to objects, these by lower-case name.
    elevators_part: BTreeSet<(PathKind, String)>,
}

impl<'j, 'a> Judge<'j, 'a> {
    pub(super) fn new(directory: Directory<'a>, services: &'j Services, recovery: Sid) -> Self {
        Self {
            directory,
            services,
            draft: Draft::default(),
            expansions: HashMap::new(),
            recovery,
            elevators: BTreeSet::new(),
            elevators_part: BTreeSet::new(),
        }
    }

    /// Who lets people in for a time.
    pub(super) fn expect_elevators(&mut self, elevators: &[Sid]) {
        self.elevators.extend(elevators);
    }

    /// Elevators are meant to have this.
    pub(super) fn is_elevators_part(&mut self, kind: PathKind, dn: &str) {
        self.elevators_part.insert((kind, dn.to_lowercase()));
    }

    fn is_elevator(&self, kind: PathKind, sid: Option<&Sid>, objects: &[String]) -> bool {
        sid.is_some_and(|sid| self.elevators.contains(sid))
            && !objects.is_empty()
            && objects.iter().all(|dn| self.elevators_part.contains(&(kind, dn.to_lowercase())))
    }

    pub(super) fn expand(&mut self, sid: Sid, stop: StopAt) -> Result<Rc<Expansion>, RepositoryError> {
        let key = (sid, stop == StopAt::Administrators);
        if let Some(known) = self.expansions.get(&key) {
            return Ok(known.clone());
        }
        let expansion = Rc::new(Expansion::of(&mut self.directory, sid, stop)?);
        self.expansions.insert(key, expansion.clone());
        Ok(expansion)
    }

    /// What an account is to the group.
    pub(super) fn class(&self, kind: PathKind, sid: Option<&Sid>) -> Class {
        let Some(sid) = sid else { return Class::Unexpected };
        if self.services.contains(sid) {
            return Class::Service;
        }
        // Access control holds administrators off from reading without a trace: where it does not, that is found.
        let in_control = match kind {
            PathKind::A | PathKind::B => *sid == Sid::SYSTEM,
            _ => {
                known::is_below_acl(&self.directory.domain, sid)
                    || self.directory.administrators.contains(sid)
            }
        };
        if in_control { Class::BelowAcl } else { Class::Unexpected }
    }

    /// A principal has a right: notes the paths of all who are in it. `own` is the principal that is aimed at, whose
    /// rights on itself are no path.
    pub(super) fn path(
        &mut self,
        meaning: Meaning,
        sid: Sid,
        objects: &[String],
        own: Option<Sid>,
    ) -> Result<(), RepositoryError> {
        self.path_unless(meaning, sid, objects, own, |_| None)
    }

    /// As [`path`](Self::path), but some are something else to the group.
    pub(super) fn path_unless(
        &mut self,
        meaning: Meaning,
        sid: Sid,
        objects: &[String],
        own: Option<Sid>,
        otherwise: impl Fn(&Leaf) -> Option<(Class, String)>,
    ) -> Result<(), RepositoryError> {
        let stop = match meaning.kind {
            PathKind::A | PathKind::B => StopAt::Crowds,
            _ if sid == self.recovery => StopAt::Crowds,
            _ => StopAt::Administrators,
        };
        let expansion = self.expand(sid, stop)?;
        if sid == self.recovery && expansion.groups.is_empty() {
            self.draft.unchecked(
                PathKind::D,
                format!("who is in the recovery group {sid}"),
                "this account does not see it",
            );
            return Ok(());
        }
        for group in &expansion.cut {
            self.draft.unchecked(
                meaning.kind,
                format!("members of {group}"),
                "this account may not read them, or not all",
            );
        }
        for leaf in &expansion.leaves {
            if own.is_some() && leaf.who.sid == own {
                continue;
            }
            if let Some((class, what)) = otherwise(leaf) {
                self.note_as(meaning, class, what, leaf, objects);
                continue;
            }
            let class = match self.class(meaning.kind, leaf.who.sid.as_ref()) {
                _ if sid == self.recovery => Class::Unexpected,
                _ if self.is_elevator(meaning.kind, leaf.who.sid.as_ref(), objects) => Class::Elevator,
                class => class,
            };
            self.note(meaning, class, leaf, objects);
        }
        if expansion.leaves.is_empty()
            && let Some(group) = expansion.groups.first()
        {
            let leaf = Leaf { who: group.principal(), object: None, through: Vec::new() };
            self.note(meaning, Class::Empty, &leaf, objects);
        }
        Ok(())
    }

    pub(super) fn note(&mut self, meaning: Meaning, class: Class, leaf: &Leaf, objects: &[String]) {
        self.note_as(meaning, class, meaning.what.to_owned(), leaf, objects);
    }

    fn note_as(&mut self, meaning: Meaning, class: Class, what: String, leaf: &Leaf, objects: &[String]) {
        self.draft.add(Finding {
            kind: meaning.kind,
            class,
            effect: meaning.effect,
            who: leaf.who.clone(),
            what,
            through: leaf.through.clone(),
            count: objects.len(),
            objects: objects.to_vec(),
        });
    }

    /// Notes the paths that an object's descriptor opens. Who holds one of the first `commanding` rights has the others
    /// too, and is not told again.
    pub(super) fn rights(
        &mut self,
        object: &Object,
        rights: &[(Meaning, Right)],
        commanding: usize,
    ) -> Result<(), RepositoryError> {
        let Some(first) = rights.first().map(|(meaning, _)| meaning.kind) else { return Ok(()) };
        let Some(descriptor) = &object.descriptor else {
            self.draft.unchecked(
                first,
                format!("who may do what with {}", object.dn),
                "this account may not read its descriptor",
            );
            return Ok(());
        };
        let place = self.directory.place(object, descriptor);
        let unknown = place.unknown_entries();
        let held: Vec<(Meaning, Vec<Sid>)> =
            rights.iter().map(|(meaning, right)| (*meaning, place.holders(*right))).collect();
        self.judge_entries(first, &object.dn, &unknown);
        let all: BTreeSet<Sid> = held.iter().flat_map(|(_, holders)| holders).copied().collect();
        self.directory.know(&all)?;
        let mut in_command = BTreeSet::new();
        for (at, (meaning, holders)) in held.into_iter().enumerate() {
            for holder in holders {
                if in_command.contains(&holder) || object.sid == Some(holder) {
                    continue;
                }
                self.path(meaning, holder, std::slice::from_ref(&object.dn), object.sid)?;
                if at < commanding {
                    in_command.insert(holder);
                }
            }
        }
        Ok(())
    }

    /// Notes the path of an owner that may write the DACL for being the owner.
    pub(super) fn owner(&mut self, object: &Object, meaning: Meaning) -> Result<(), RepositoryError> {
        let owner = object
            .descriptor
            .as_ref()
            .and_then(|descriptor| self.directory.place(object, descriptor).ruling_owner());
        match owner {
            Some(owner) if object.sid != Some(owner) => {
                self.path(meaning, owner, std::slice::from_ref(&object.dn), object.sid)
            }
            _ => Ok(()),
        }
    }

    /// Notes that entries can't be judged.
    pub(super) fn judge_entries(&mut self, kind: PathKind, dn: &str, unknown: &[u8]) {
        for number in unknown {
            self.draft.unchecked(
                kind,
                format!("an entry of type {number} in the DACL of {dn}"),
                "conditional and unknown entries are not judged",
            );
        }
    }

    /// Notes the paths of all whom a descriptor that stands in an attribute admits.
    pub(super) fn admitted(
        &mut self,
        meaning: Meaning,
        object: &Object,
        descriptor: &[u8],
    ) -> Result<(), RepositoryError> {
        let Ok(descriptor) = SecurityDescriptor::parse(descriptor) else {
            self.draft.unchecked(
                meaning.kind,
                format!("who {} of {}", meaning.what, object.dn),
                "it is damaged",
            );
            return Ok(());
        };
        let entries = descriptor.dacl.acl().map_or(&[][..], |acl| &acl.entries);
        let mut admitted: BTreeSet<Sid> = entries
            .iter()
            .filter_map(Ace::entry)
            .filter(|entry| entry.kind == AceKind::Allow && entry.mask != AccessMask::NONE)
            .map(|entry| entry.trustee)
            .collect();
        if descriptor.dacl.acl().is_none() {
            admitted.insert(Sid::EVERYONE);
        }
        self.directory.know(&admitted)?;
        for sid in admitted {
            self.path(meaning, sid, std::slice::from_ref(&object.dn), object.sid)?;
        }
        Ok(())
    }
}
