//! Who there is, who is in which directory group, and who has access to which group: everything that decides, in
//! memory. The database is read into it at the start and after every change.

use std::collections::{BTreeMap, BTreeSet};

use dkm_core::GroupId;
use dkm_remote::wire::Kind;

use crate::account::{Account, Name};

/// What an account may do with a group of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads keys. Service accounts only.
    Reader,
    /// Adds keys, and reads them. Service accounts only.
    Creator,
    /// Adds control records: policies, states, rosters.
    Owner,
    /// Sees everything but key material.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Creator, Self::Owner, Self::Auditor];

    /// The role's name in the database, which stays the same in all versions.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Creator => "creator",
            Self::Owner => "owner",
            Self::Auditor => "auditor",
        }
    }

    /// The role with this name.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether it comes with key material: no person has it.
    #[must_use]
    pub const fn reads_keys(self) -> bool {
        matches!(self, Self::Reader | Self::Creator)
    }
}

/// A principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Unix accounts that are this principal, over the socket.
    pub uids: BTreeSet<u32>,
    /// Whether it administers principals and directory groups.
    pub administrator: bool,
    /// Whether it reads the audit log.
    pub auditor: bool,
    /// Whether it may do anything at all.
    pub enabled: bool,
    /// The security identifier of the domain's account that has this name; none for the server's own.
    pub sid: Option<String>,
}

/// A directory group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryGroup {
    /// Of what its members are.
    pub kind: Kind,
    /// Who is in it directly, as far as the server keeps that.
    pub members: BTreeSet<Name>,
    /// The security identifier of the domain's group that has this name, whose members the domain keeps; none for the
    /// server's own.
    pub sid: Option<String>,
}

/// Access to a group of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who made it.
    pub founder: Account,
    /// Whether it is listed.
    pub announced: bool,
    /// Who has which role.
    pub roles: BTreeSet<(Role, Name)>,
}

/// What an account may do with one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// Read keys.
    pub read: bool,
    /// Add keys.
    pub create: bool,
    /// Add control records.
    pub own: bool,
    /// See what is no secret.
    pub see: bool,
}

/// Everything that decides on access.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Principals.
    pub principals: BTreeMap<Account, Principal>,
    /// Directory groups, by bare name.
    pub directory: BTreeMap<String, DirectoryGroup>,
    /// Groups of keys.
    pub groups: BTreeMap<GroupId, Access>,
}

impl Catalog {
    /// The principal of a Unix account.
    #[must_use]
    pub fn account_of_uid(&self, uid: u32) -> Option<&Account> {
        self.principals
            .iter()
            .find(|(_, principal)| principal.uids.contains(&uid))
            .map(|(account, _)| account)
    }

    /// Directory groups that an account is in, by every route.
    #[must_use]
    pub fn groups_of(&self, account: &Account) -> BTreeSet<String> {
        self.groups_within(account, &BTreeSet::new())
    }

    /// Directory groups that an account is in, by every route, that is in these groups of its domain.
    #[must_use]
    pub fn groups_within(&self, account: &Account, sids: &BTreeSet<String>) -> BTreeSet<String> {
        let is_in = |group: &DirectoryGroup| group.sid.as_ref().is_some_and(|sid| sids.contains(sid));
        // In the domain people may be in a group of services: they don't count here.
        let of_domain = self.directory.iter().filter(|(_, group)| group.kind == account.kind && is_in(group));
        let mut found: BTreeSet<String> = of_domain.map(|(name, _)| name.clone()).collect();
        let mut wanted: Vec<Name> = found.iter().cloned().map(Name::Group).collect();
        wanted.push(Name::Account(account.clone()));
        while let Some(member) = wanted.pop() {
            for (name, group) in &self.directory {
                // The kind is looked at again: what a tampered database says does not make a member of a person.
                if group.kind == account.kind && group.members.contains(&member) && found.insert(name.clone())
                {
                    wanted.push(Name::Group(name.clone()));
                }
            }
        }
        found
    }

    /// What an account, which is in these directory groups, may do with a group; none if there is no such group.
    #[must_use]
    pub fn rights(&self, group: GroupId, account: &Account, groups: &BTreeSet<String>) -> Option<Rights> {
        let access = self.groups.get(&group)?;
        let has = |role: Role| {
            access.roles.iter().any(|(of, name)| {
                *of == role
                    && match name {
                        Name::Account(named) => named == account,
                        Name::Group(named) => groups.contains(named),
                    }
            })
        };
        let service = account.kind == Kind::Service;
        let create = service && has(Role::Creator);
        let read = service && (create || has(Role::Reader));
        let own = has(Role::Owner);
        Some(Rights { read, create, own, see: read || own || has(Role::Auditor) })
    }

    /// Whether somebody can be given a role.
    ///
    /// # Errors
    /// Why not, for whoever wants to.
    pub fn check_role(&self, role: Role, name: &Name) -> Result<(), String> {
        let kind = self.kind_of(name).ok_or_else(|| format!("there is no {name} here"))?;
        if role.reads_keys() && kind == Kind::Person {
            return Err(format!(
                "{name} can't be a {}: only service accounts are members; people are let in by a grant",
                role.as_str()
            ));
        }
        Ok(())
    }

    /// Whether a principal or directory group can be put into a directory group.
    ///
    /// # Errors
    /// Why not, for whoever wants to.
    pub fn check_member(&self, into: &str, member: &Name) -> Result<(), String> {
        let group = self.directory.get(into).ok_or_else(|| format!("there is no group:{into} here"))?;
        if group.sid.is_some() {
            return Err(format!("the members of group:{into} are kept in its domain"));
        }
        let kind = self.kind_of(member).ok_or_else(|| format!("there is no {member} here"))?;
        if kind != group.kind {
            let (wanted, found) = (plural(group.kind), plural(kind));
            return Err(format!(
                "group:{into} is one of {wanted}, {member} is of {found}: the two are never mixed"
            ));
        }
        if let Name::Group(name) = member
            && (name == into || self.contains(name, into))
        {
            return Err(format!("group:{into} is in {member} already: a group can't hold itself"));
        }
        Ok(())
    }

    /// Whether a directory group holds another, by any route.
    fn contains(&self, outer: &str, inner: &str) -> bool {
        let mut seen = BTreeSet::from([outer]);
        let mut wanted = vec![outer];
        while let Some(name) = wanted.pop() {
            let members = self.directory.get(name).into_iter().flat_map(|group| &group.members);
            for member in members {
                if let Name::Group(member) = member {
                    if member == inner {
                        return true;
                    }
                    if seen.insert(member) {
                        wanted.push(member);
                    }
                }
            }
        }
        false
    }

    fn kind_of(&self, name: &Name) -> Option<Kind> {
        match name {
            Name::Account(account) => self.principals.contains_key(account).then_some(account.kind),
            Name::Group(group) => self.directory.get(group).map(|group| group.kind),
        }
    }
}

const fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service accounts",
        Kind::Person => "people",
    }
}

#[cfg(test)]
mod tests;
