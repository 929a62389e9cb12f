//! One domain controller, on which all of a step is done: what was made there is not everywhere yet.

use dkm::repository::{Repository as _, RepositoryError};
use dkm_core::{GroupId, Room, Timestamp};

use super::mark::Mark;
use super::{ElevationError, PREFIX, TEMPORARY};
use crate::ldap::{
    ALREADY_EXISTS, ATTRIBUTE_OR_VALUE_EXISTS, LdapError, NO_SUCH_ATTRIBUTE, NO_SUCH_OBJECT, Scope, Search,
    UNWILLING, equal,
};
use crate::replica::AdReplica;
use crate::repository::AdRepository;
use crate::security::{
    AccessMask, Ace, AceKind, Domain, SecurityDescriptor, Sid, Template, Trustees, guid, template,
};

/// `UF_ACCOUNTDISABLE`, MS-ADTS §2.2.16.
pub(super) const DISABLED: u32 = 0x2;
/// `UF_NORMAL_ACCOUNT`.
const NORMAL: u32 = 0x200;
/// `UF_NOT_DELEGATED`: no service may act as it.
const NOT_DELEGATED: u32 = 0x10_0000;
/// A temporary account that can sign in.
pub(super) const ENABLED: u32 = NORMAL | NOT_DELEGATED;
/// One that can't.
pub(super) const SHUT: u32 = ENABLED | DISABLED;

/// A temporary account, as it was read.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) dn: String,
    pub(super) sid: Sid,
    /// Its short name.
    pub(super) name: String,
    /// What it is for; none if it does not say.
    pub(super) mark: Option<Mark>,
    /// Whether another version of this program made it.
    pub(super) is_foreign: bool,
}

/// A group, as far as letting in takes it.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) trustees: Trustees,
    /// The group of temporary accounts, by SID.
    pub(super) elevated: Sid,
    /// The room of keys, by its name.
    pub(super) keys: String,
}

/// A signed-in connection.
pub(super) struct Session {
    pub(super) replica: AdReplica,
}

impl Session {
    /// With the first domain controller that answers.
    pub(super) fn open(repository: &AdRepository) -> Result<Self, ElevationError> {
        let mut last = None;
        for number in 0..repository.replicas() {
            match repository.shared().connect(number) {
                Ok(replica) => return Ok(Self { replica }),
                Err(error @ RepositoryError::Unavailable { .. }) => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or_else(
            || ElevationError::Other(format!("{} has no domain controller", repository.url())),
            ElevationError::from,
        ))
    }

    /// With this domain controller.
    pub(super) fn with(repository: &AdRepository, number: usize) -> Result<Self, ElevationError> {
        Ok(Self { replica: repository.shared().connect(number)? })
    }

    /// What a failure of the domain controller means.
    pub(super) fn error(&self, what: &str) -> impl FnOnce(LdapError) -> ElevationError + use<> {
        let failed = self.replica.error(what);
        move |error| failed(error).into()
    }

    /// What the domain controller's clock says.
    pub(super) fn clock(&mut self) -> Result<Timestamp, ElevationError> {
        let now = dkm::repository::Replica::clock(&mut self.replica)?;
        now.ok_or_else(|| ElevationError::Other("the domain controller does not tell the time".to_owned()))
    }

    pub(super) fn domain(&self) -> Domain {
        self.replica.greeting.domain
    }

    /// The group's roles, of which this account must be an elevator.
    pub(super) fn group(&mut self, group: GroupId) -> Result<Group, ElevationError> {
        let rooms = self.replica.rooms_now(group)?;
        let keys = rooms.at(Room::Keys).dn.clone();
        let trustees = rooms.trustees.ok_or_else(|| {
            ElevationError::Other(format!(
                "who has access to group {group} is not written down as this program knows it"
            ))
        })?;
        let is_elevator = trustees.elevators.iter().any(|sid| self.replica.greeting.token.contains(sid));
        match trustees.elevated {
            Some(elevated) if is_elevator => Ok(Group { trustees, elevated, keys }),
            _ => Err(ElevationError::denied(format!("letting people into group {group} for a time"))),
        }
    }

    /// The container of temporary accounts.
    pub(super) fn container(&self) -> String {
        format!("CN={TEMPORARY},{}", self.replica.shared.url.container_dn())
    }

    /// What a temporary account's object is made with: the elevators of the container manage it, and those who look on
    /// at the container or the group see it.
    pub(super) fn template(&mut self, trustees: &Trustees) -> Result<Template, ElevationError> {
        let container = self.container();
        let search = Search::base(container.as_str(), vec!["nTSecurityDescriptor"]);
        let found = self.replica.connection.find(&search).map_err(self.error(&container))?;
        let descriptor = found
            .as_ref()
            .and_then(|found| found.bytes("nTSecurityDescriptor"))
            .and_then(|bytes| SecurityDescriptor::parse(bytes).ok())
            .ok_or_else(|| ElevationError::denied(format!("looking at {container}")))?;
        let (mut elevators, mut onlookers) = (Vec::new(), trustees.onlookers());
        let entries = descriptor.dacl.acl().map_or(&[][..], |acl| &acl.entries).iter();
        let granted = entries
            .filter_map(Ace::entry)
            .filter(|entry| entry.kind == AceKind::Allow && entry.is_effective());
        for entry in granted {
            let makes =
                entry.mask.contains(AccessMask::CREATE_CHILD) && entry.object == Some(guid::CLASS_USER);
            if makes {
                elevators.push(entry.trustee);
            } else if entry.object.is_none() && entry.mask.contains(template::READ_ROOM) {
                onlookers.push(entry.trustee);
            }
        }
        onlookers.retain(|sid| *sid != Sid::SYSTEM && !elevators.contains(sid));
        onlookers.sort();
        onlookers.dedup();
        let account = self.replica.greeting.account;
        Ok(template::temporary_account(&self.domain(), account, &onlookers, &elevators))
    }

    /// All temporary accounts.
    pub(super) fn accounts(&mut self) -> Result<Vec<Account>, ElevationError> {
        let search = Search {
            base: self.container(),
            scope: Scope::Children,
            filter: equal("objectClass", "user"),
            attributes: vec!["objectSid", "sAMAccountName", "description"],
            paged: true,
        };
        let container = self.container();
        let found = self.replica.connection.search(&search).map_err(|error| match error.code() {
            Some(NO_SUCH_OBJECT) => ElevationError::Denied {
                what: format!("looking into {container}"),
                help: "make it with dkm ad init --elevators, which names this account".to_owned(),
            },
            _ => self.error(&container)(error),
        })?;
        Ok(found
            .iter()
            .filter_map(|found| {
                let name = found.text("sAMAccountName")?.to_owned();
                let text = found.text("description").unwrap_or_default();
                Some(Account {
                    dn: found.dn.clone(),
                    sid: Sid::parse(found.bytes("objectSid")?).ok()?,
                    mark: Mark::read(text),
                    is_foreign: Mark::is_foreign(text),
                    name,
                })
            })
            .filter(|account| account.mark.is_some() || account.name.starts_with(PREFIX))
            .collect())
    }

    /// The distinguished name of the group of temporary accounts.
    fn elevated(&mut self, group: &Group) -> Result<String, ElevationError> {
        let search = Search::base(format!("<SID={}>", group.elevated), vec!["objectSid"]);
        let found =
            self.replica.connection.find(&search).map_err(self.error("the group of temporary accounts"))?;
        found.map(|found| found.dn.clone()).ok_or_else(|| {
            ElevationError::denied(format!("seeing the group of temporary accounts {}", group.elevated))
        })
    }

    /// Puts an account into the group. One that is in it already is.
    pub(super) fn enter(&mut self, group: &Group, account: &str) -> Result<(), ElevationError> {
        let dn = self.elevated(group)?;
        let member = ("member", vec![account.as_bytes().to_vec()]);
        match self.replica.connection.add_values(&dn, member) {
            Err(error) if [ALREADY_EXISTS, ATTRIBUTE_OR_VALUE_EXISTS].map(Some).contains(&error.code()) => {
                Ok(())
            }
            other => other.map_err(self.error(&format!("putting {account} into {dn}"))),
        }
    }

    /// Takes an account out of the group. One that is not in it is out.
    pub(super) fn leave(&mut self, group: &Group, account: &str) -> Result<(), ElevationError> {
        let dn = self.elevated(group)?;
        let member = ("member", vec![account.as_bytes().to_vec()]);
        match self.replica.connection.remove_values(&dn, member) {
            Err(error)
                if [NO_SUCH_ATTRIBUTE, UNWILLING, NO_SUCH_OBJECT].map(Some).contains(&error.code()) =>
            {
                Ok(())
            }
            other => other.map_err(self.error(&format!("taking {account} out of {dn}"))),
        }
    }

    /// Keeps an account from signing in, by its flags and by a password that nobody knows, and says what it is for now.
    pub(super) fn disable(&mut self, account: &str, mark: Option<Mark>) -> Result<(), ElevationError> {
        let password = super::issue::Password::new()?;
        let mut values = vec![
            ("userAccountControl", vec![SHUT.to_string().into_bytes()]),
            ("unicodePwd", vec![password.for_the_directory()]),
        ];
        if let Some(text) = mark.and_then(Mark::to_text) {
            values.push(("description", vec![text.into_bytes()]));
        }
        let done = self.replica.connection.replace_all(account, values);
        done.map_err(self.error(&format!("disabling {account}")))
    }

    /// Deletes an account. One that is gone is deleted.
    pub(super) fn delete(&mut self, account: &str) -> Result<(), ElevationError> {
        match self.replica.connection.delete(account) {
            Err(error) if error.code() == Some(NO_SUCH_OBJECT) => Ok(()),
            other => other.map_err(self.error(&format!("deleting {account}"))),
        }
    }
}
