//! Who is in a group, by every route: membership and nesting, the primary group, and SIDs carried in a history.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use dkm::repository::RepositoryError;

use super::directory::{Directory, Object};
use super::known;
use super::report::Principal;
use crate::ldap::equal;
use crate::security::Sid;

/// An account that a group leads to, or a principal that is not looked into.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) who: Principal,
    /// None if this account does not see it, or it is no object of the domain.
    pub(super) object: Option<Rc<Object>>,
    /// Through which groups, the outermost first.
    pub(super) through: Vec<String>,
}

/// What a group leads to.
#[derive(Debug, Default)]
pub(super) struct Expansion {
    /// The group and all groups in it.
    pub(super) groups: Vec<Rc<Object>>,
    pub(super) leaves: Vec<Leaf>,
    /// Groups whose members this account may not read, or of which it may not see all.
    pub(super) cut: Vec<String>,
}

/// Which groups are not looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopAt {
    /// Those that stand for nearly everybody.
    Crowds,
    /// Also those that always have control.
    Administrators,
}

impl Expansion {
    /// Looks into a group, or answers for an account that it is alone.
    pub(super) fn of(
        directory: &mut Directory<'_>,
        root: Sid,
        stop: StopAt,
    ) -> Result<Self, RepositoryError> {
        let mut walk = Walk { directory, stop, seen: HashSet::new(), found: Self::default() };
        let mut queue = VecDeque::new();
        let object = walk.directory.by_sid(root)?;
        walk.meet(Some(root), object, root.to_string(), Vec::new(), &mut queue);
        while let Some((group, through)) = queue.pop_front() {
            walk.enter(&group, &through, &mut queue)?;
        }
        Ok(walk.found)
    }
}

type Queue = VecDeque<(Rc<Object>, Vec<String>)>;

struct Walk<'w, 'a> {
    directory: &'w mut Directory<'a>,
    stop: StopAt,
    seen: HashSet<String>,
    found: Expansion,
}

impl Walk<'_, '_> {
    /// Comes to a principal: a group is entered later, anything else is a leaf.
    fn meet(
        &mut self,
        sid: Option<Sid>,
        object: Option<Rc<Object>>,
        place: String,
        through: Vec<String>,
        queue: &mut Queue,
    ) {
        let sid = object.as_ref().and_then(|object| object.sid).or(sid);
        let name = sid.map_or_else(|| place.to_ascii_lowercase(), |sid| sid.to_string());
        if !self.seen.insert(name) {
            return;
        }
        let crowd = sid.as_ref().and_then(|sid| known::crowd(&self.directory.domain, sid));
        let stops = crowd.is_some()
            || self.stop == StopAt::Administrators
                && sid.as_ref().is_some_and(|sid| known::is_below_acl(&self.directory.domain, sid));
        match object {
            Some(object) if object.is_group() && !stops => {
                self.found.groups.push(object.clone());
                queue.push_back((object, through));
            }
            object => {
                let who = self.principal(sid, object.as_deref(), &place, crowd);
                self.found.leaves.push(Leaf { who, object, through });
            }
        }
    }

    fn principal(
        &self,
        sid: Option<Sid>,
        object: Option<&Object>,
        place: &str,
        crowd: Option<&str>,
    ) -> Principal {
        if let Some(crowd) = crowd {
            return Principal { sid, name: crowd.to_owned(), hint: "nearly everybody".to_owned() };
        }
        if let Some(object) = object {
            return object.principal();
        }
        if let Some(name) = sid.as_ref().and_then(known::name) {
            return Principal { sid, name: name.to_owned(), hint: "of the system".to_owned() };
        }
        let hint = "no object that this account sees".to_owned();
        Principal { sid, name: place.to_owned(), hint }
    }

    fn enter(
        &mut self,
        group: &Rc<Object>,
        through: &[String],
        queue: &mut Queue,
    ) -> Result<(), RepositoryError> {
        if !self.directory.reads_members(group) {
            self.found.cut.push(group.dn.clone());
        }
        let name = group.principal().name;
        let route = |how: &str| {
            let mut route = through.to_vec();
            route.push(format!("{name}{how}"));
            route
        };
        if group.members_cut {
            let dn = group.dn.as_bytes();
            for member in self.directory.in_domain(equal("memberOf", dn), "members of a group")? {
                self.meet(member.sid, Some(member.clone()), member.dn.clone(), route(""), queue);
            }
            self.found.cut.push(group.dn.clone());
        }
        let members = self.directory.by_dns(&group.members)?;
        for (dn, member) in group.members.iter().zip(members) {
            // A contact in a distribution list never signs in.
            if member.as_ref().is_some_and(|member| member.sid.is_none() && member.class == "contact") {
                continue;
            }
            self.meet(None, member, dn.clone(), route(""), queue);
        }
        let Some(sid) = group.sid else { return Ok(()) };
        if sid.parent() == Some(self.directory.domain.sid)
            && let Some(rid) = sid.rid()
        {
            let filter = equal("primaryGroupID", rid.to_string());
            for member in self.directory.in_domain(filter, "members by primary group")? {
                self.meet(
                    member.sid,
                    Some(member.clone()),
                    member.dn.clone(),
                    route(" as primary group"),
                    queue,
                );
            }
        }
        for holder in self.directory.in_domain(equal("sIDHistory", sid.to_bytes()), "SID histories")? {
            self.meet(holder.sid, Some(holder.clone()), holder.dn.clone(), route(" by SID history"), queue);
        }
        Ok(())
    }
}
