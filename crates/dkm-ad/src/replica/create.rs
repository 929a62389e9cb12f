//! Making a group: its readers group, its container, its two rooms, each with a descriptor of its own.

use dkm::repository::{AccessLine, GroupAccess, READERS_GROUP, RepositoryError};
use dkm_core::{GroupId, Room};

use super::rooms::{CONTACT, EXPOSURES, exposures_mark, mark};
use super::{ANNOUNCED, AdReplica};
use crate::accounts::{self, Account};
use crate::ldap::{
    ALREADY_EXISTS, INSUFFICIENT_ACCESS, NO_SUCH_OBJECT, Scope, Search, all_of, any_of, equal,
};
use crate::roles;
use crate::security::{AccessMask, Ace, AclSlot, Entry, SecurityDescriptor, Sid, Template, Trustees, sid};

/// The recovery group's name, one for all groups of a repository; `dkm ad init` makes it.
pub(crate) const RECOVERY: &str = "recovery";

impl AdReplica {
    pub(super) fn make_group(&mut self, group: GroupId, access: &GroupAccess) -> Result<(), RepositoryError> {
        let what = format!("making group {group}");
        let container = self.shared.url.container_dn();
        let dn = format!("CN={},{container}", unguessable()?);
        if self.rooms_now(group).is_ok() {
            return Err(RepositoryError::Invalid(format!("group {group} is there already")));
        }
        let account = self.greeting.account;
        let owners = self.accounts(&access.owners, account)?;
        let creators = self.accounts(&access.creators, account)?;
        let auditors =
            access.auditors.iter().map(|name| self.account(name)).collect::<Result<Vec<_>, _>>()?;
        let elevators = self.elevators(access, &owners, &creators)?;
        let recovery = self.recovery()?;
        let administrators = self.greeting.domain.account(sid::rid::DOMAIN_ADMINS).into_iter().collect();
        let sids = |accounts: &[Account]| {
            let mut sids: Vec<Sid> = accounts.iter().map(|account| account.sid).collect();
            sids.sort();
            sids.dedup();
            sids
        };
        let mut trustees = Trustees {
            domain: self.greeting.domain,
            readers: account,
            former: Vec::new(),
            creators: sids(&creators),
            owners: sids(&owners),
            recovery,
            erasers: sids(&owners),
            administrators,
            auditors: sids(&auditors),
            elevators: sids(&elevators),
            elevated: None,
        };
        let elevated = if elevators.is_empty() { None } else { Some(self.make_elevated(group, &trustees)?) };
        trustees.elevated = elevated.as_ref().map(|(_, sid)| *sid);
        let ready = access.readers.iter().find_map(|name| name.strip_prefix(READERS_GROUP));
        match ready {
            Some(_) if access.readers.len() > 1 => {
                return Err(RepositoryError::Invalid(format!(
                    "{READERS_GROUP} names the readers group itself: make the other readers members of it"
                )));
            }
            Some(name) => trustees.readers = self.account(name)?.sid,
            None => {
                let members =
                    access.readers.iter().map(|name| self.account(name)).collect::<Result<Vec<_>, _>>()?;
                // Creators are members too: to create is to read.
                let mut members: Vec<String> =
                    members.into_iter().chain(creators).map(|member| member.dn).collect();
                members.extend(elevated.iter().map(|(dn, _)| dn.clone()));
                trustees.readers = self.make_readers(group, &mut trustees, members)?;
            }
        }
        if let Some((dn, _)) = &elevated {
            self.settle(dn, &trustees.elevated_group(account), &what)?;
            if ready.is_some() {
                self.nest(dn, trustees.readers)?;
            }
        }
        let template = trustees.group(account);
        self.make_container(&dn, &group.to_string(), &provisional(&template, account), Vec::new(), &what)?;
        for room in [Room::Control, Room::Keys] {
            let (template, description) = match room {
                Room::Control => (trustees.control(account), roles::to_values(&trustees)),
                Room::Keys => (trustees.keys(account), Vec::new()),
            };
            let dn = format!("CN={room},{dn}");
            if room == Room::Control && !trustees.elevators.is_empty() {
                let open = provisional(&template, account);
                self.make_container(&dn, &mark(group, room), &open, description, &what)?;
                self.make_exposures(group, &dn, &trustees)?;
                self.settle(&dn, &template, &what)?;
                continue;
            }
            self.make_container(&dn, &mark(group, room), &template, description, &what)?;
        }
        self.settle(&dn, &template, &what)
    }

    /// Makes the room of exposures in `control`, while its maker may.
    fn make_exposures(
        &mut self,
        group: GroupId,
        control: &str,
        trustees: &Trustees,
    ) -> Result<(), RepositoryError> {
        let what = format!("making the room of {EXPOSURES} of group {group}");
        let dn = format!("CN={EXPOSURES},{control}");
        let template = trustees.exposures(self.greeting.account);
        self.make_container(&dn, &exposures_mark(group), &template, Vec::new(), &what)
    }

    /// Accounts by name; by default the caller alone.
    fn accounts(&mut self, names: &[String], default: Sid) -> Result<Vec<Account>, RepositoryError> {
        if names.is_empty() {
            return Ok(vec![self.account(&default.to_string())?]);
        }
        names.iter().map(|name| self.account(name)).collect()
    }

    fn account(&mut self, name: &str) -> Result<Account, RepositoryError> {
        let domain = self.shared.url.domain_dn();
        accounts::find(&mut self.connection, &domain, name)
            .map_err(self.error(&format!("looking for {name:?}")))?
            .map_err(RepositoryError::Invalid)
    }

    /// The repository's recovery group.
    fn recovery(&mut self) -> Result<Sid, RepositoryError> {
        let container = self.shared.url.container_dn();
        let search = Search {
            base: container.clone(),
            scope: Scope::Subtree,
            // A creator's contact may bear that name, too.
            filter: all_of(vec![
                equal("objectClass", "group"),
                equal("displayName", format!("dkm {RECOVERY}")),
            ]),
            attributes: vec!["objectSid"],
            paged: false,
        };
        let found = self.connection.search(&search).map_err(self.error("the recovery group"))?;
        match found.as_slice() {
            [one] => one.bytes("objectSid").and_then(|bytes| Sid::parse(bytes).ok()),
            _ => None,
        }
        .ok_or_else(|| {
            RepositoryError::Invalid(format!(
                "{container} has no recovery group that this account sees: dkm ad init makes it"
            ))
        })
    }

    fn make_readers(
        &mut self,
        group: GroupId,
        trustees: &mut Trustees,
        mut members: Vec<String>,
    ) -> Result<Sid, RepositoryError> {
        let what = format!("making the readers group of group {group}");
        let account = self.greeting.account;
        members.sort();
        members.dedup();
        // Its own SID stands in its descriptor, and it has none before it is made.
        let template = trustees.readers_group(account);
        let (dn, sid) = self.make_security_group(group, "readers", &template, members, &what)?;
        trustees.readers = sid;
        self.settle(&dn, &trustees.readers_group(account), &what)?;
        Ok(sid)
    }

    /// Accounts that let people in for a time. Each is named by itself and has no other role: what it wrote must be told
    /// from what others wrote, for as long as the record is there.
    fn elevators(
        &mut self,
        access: &GroupAccess,
        owners: &[Account],
        creators: &[Account],
    ) -> Result<Vec<Account>, RepositoryError> {
        let mut elevators = Vec::new();
        for name in &access.elevators {
            let account = self.account(name)?;
            let is = |others: &[Account]| others.iter().any(|other| other.sid == account.sid);
            if account.is_group {
                return Err(RepositoryError::Invalid(format!(
                    "elevator {name:?} is a group: name the accounts themselves, so that what they wrote stays theirs"
                )));
            }
            if is(owners) || is(creators) {
                return Err(RepositoryError::Invalid(format!(
                    "elevator {name:?} is an owner or a creator too: give dkmd's account no other role in the group"
                )));
            }
            elevators.push(account);
        }
        Ok(elevators)
    }

    /// Makes the group of temporary accounts, which is [settled](Self::settle) once the readers are known.
    fn make_elevated(
        &mut self,
        group: GroupId,
        trustees: &Trustees,
    ) -> Result<(String, Sid), RepositoryError> {
        let what = format!("making the group of temporary accounts of group {group}");
        let template = trustees.elevated_group(self.greeting.account);
        self.make_security_group(group, "elevated", &template, Vec::new(), &what)
    }

    /// Puts the group of temporary accounts into a readers group that others made. Who may not leaves it to whoever
    /// may: until then temporary accounts read nothing, and are refused with that.
    fn nest(&mut self, dn: &str, readers: Sid) -> Result<(), RepositoryError> {
        let member = ("member", vec![dn.as_bytes().to_vec()]);
        match self.connection.add_values(&format!("<SID={readers}>"), member) {
            Err(error) if error.code() != Some(INSUFFICIENT_ACCESS) => {
                Err(self.error("the readers group's members")(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes a security group beside the rooms, under a descriptor that lets its maker finish it.
    fn make_security_group(
        &mut self,
        group: GroupId,
        kind: &str,
        template: &Template,
        members: Vec<String>,
        what: &str,
    ) -> Result<(String, Sid), RepositoryError> {
        let dn = format!("CN={kind}-{group},{}", self.shared.url.container_dn());
        let mut values =
            accounts::new_group(&format!("dkm-{kind}-{group}"), &format!("dkm {kind} of {group}"));
        values.push(("nTSecurityDescriptor", vec![encoded(&provisional(template, self.greeting.account))?]));
        if !members.is_empty() {
            values.push(("member", members.into_iter().map(String::into_bytes).collect()));
        }
        self.connection.add(&dn, values).map_err(self.error(what))?;
        let found =
            self.connection.find(&Search::base(dn.as_str(), vec!["objectSid"])).map_err(self.error(what))?;
        let sid = found
            .as_ref()
            .and_then(|found| found.bytes("objectSid"))
            .and_then(|bytes| Sid::parse(bytes).ok());
        let sid =
            sid.ok_or_else(|| self.shared.odd(self.number, "a new group has no SID that this account sees"))?;
        Ok((dn, sid))
    }

    /// Takes away what the maker was given to make an object with.
    fn settle(&mut self, dn: &str, template: &Template, what: &str) -> Result<(), RepositoryError> {
        let value = ("nTSecurityDescriptor", vec![encoded(template)?]);
        self.connection.replace(dn, value, vec![crate::ldap::sd_flags_dacl()]).map_err(self.error(what))
    }

    fn make_container(
        &mut self,
        dn: &str,
        display_name: &str,
        template: &Template,
        description: Vec<Vec<u8>>,
        what: &str,
    ) -> Result<(), RepositoryError> {
        let mut values = vec![
            ("objectClass", vec![b"container".to_vec()]),
            ("displayName", vec![display_name.as_bytes().to_vec()]),
            ("showInAdvancedViewOnly", vec![b"TRUE".to_vec()]),
            ("nTSecurityDescriptor", vec![encoded(template)?]),
        ];
        if !description.is_empty() {
            values.push(("description", description));
        }
        self.connection.add(dn, values).map_err(|error| match error.code() {
            Some(ALREADY_EXISTS) => RepositoryError::Invalid(format!("{what}: {dn} is there already")),
            _ => self.shared.error(self.number, what, &error),
        })
    }

    pub(super) fn announce(&mut self, group: GroupId) -> Result<(), RepositoryError> {
        let rooms = self.rooms_now(group)?;
        let what = format!("announcing group {group}");
        let trustees = rooms
            .trustees
            .as_ref()
            .ok_or_else(|| self.shared.odd(self.number, "who has access to the group is not written down"))?;
        let values = vec![
            ("objectClass", vec![CONTACT.as_bytes().to_vec()]),
            ("displayName", vec![format!("{ANNOUNCED} {group}").into_bytes()]),
            ("nTSecurityDescriptor", vec![encoded(&trustees.control_record(self.greeting.account))?]),
            ("showInAdvancedViewOnly", vec![b"TRUE".to_vec()]),
        ];
        let dn = format!("CN={ANNOUNCED},{}", rooms.at(Room::Control).dn);
        match self.connection.add(&dn, values) {
            Err(error) if error.code() == Some(NO_SUCH_OBJECT) => {
                Err(self.shared.unseen(self.number, self.greeting.replica, group))
            }
            Err(error) if error.code() != Some(ALREADY_EXISTS) => Err(self.error(&what)(error)),
            _ => Ok(()),
        }
    }

    /// Puts names beside SIDs, where this account may see them. All are asked for at once.
    pub(super) fn name_principals(&mut self, lines: &mut [AccessLine]) {
        let mut sids: Vec<Sid> = lines.iter().filter_map(|line| line.who.parse().ok()).collect();
        sids.sort();
        sids.dedup();
        let search = Search {
            base: self.shared.url.domain_dn(),
            scope: Scope::Subtree,
            filter: any_of(sids.iter().map(|sid| equal("objectSid", sid.to_bytes())).collect()),
            attributes: vec!["objectSid", "sAMAccountName"],
            paged: true,
        };
        // What can't be seen stays a SID.
        for found in self.connection.search(&search).unwrap_or_default() {
            let sid =
                found.bytes("objectSid").and_then(|sid| Sid::parse(sid).ok()).map(|sid| sid.to_string());
            let (Some(sid), Some(name)) = (sid, found.text("sAMAccountName")) else { continue };
            for line in lines.iter_mut().filter(|line| line.who == sid) {
                line.who = format!("{sid} ({name})");
            }
        }
    }
}

/// A name for a group's container. The group's id will not do, for it stands in every blob, and a directory may answer more
/// than it should about an object whose name is known. Clients find the rooms by their marks.
fn unguessable() -> Result<String, RepositoryError> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random)
        .map_err(|error| RepositoryError::Invalid(format!("the system gives no randomness: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A template under which its maker can finish the object and then [settle](AdReplica::settle) it.
fn provisional(template: &Template, maker: Sid) -> Template {
    let mut provisional = template.clone();
    let rights = AccessMask::CREATE_CHILD | AccessMask::WRITE_DAC | AccessMask::READ;
    if let AclSlot::Present(dacl) = &mut provisional.descriptor.dacl {
        dacl.entries.push(Ace::Entry(Entry::allow(rights, maker)));
    }
    provisional
}

pub(crate) fn encoded(template: &Template) -> Result<Vec<u8>, RepositoryError> {
    SecurityDescriptor::to_bytes(&template.descriptor)
        .map_err(|error| RepositoryError::Invalid(format!("a descriptor can't be written: {error}")))
}
