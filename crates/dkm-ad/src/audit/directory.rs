//! The directory as an audit sees it: objects by name and by SID, the schema, and where each stands.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use dkm::repository::RepositoryError;

use super::holders::{Attribute, Place};
use super::known;
use super::report::Principal;
use crate::ldap::{Connection, Found, LdapError, NO_SUCH_OBJECT, Scope, Search, any_of, equal};
use crate::name::parent;
use crate::repository::{AdRepository, Shared};
use crate::security::{Access, Domain, Guid, OwnerRights, SecurityDescriptor, Sid, Token, guid};

/// How many objects are asked for by SID in one search.
const SIDS_AT_ONCE: usize = 50;
/// How many searches are sent together.
const SEARCHES_AT_ONCE: usize = 50;

/// `UF_ACCOUNTDISABLE`, MS-ADTS §2.2.16.
const DISABLED: u32 = 0x2;

/// What is read of every object that stands on a path.
const ATTRIBUTES: [&str; 12] = [
    "objectSid",
    "sAMAccountName",
    "objectClass",
    "userAccountControl",
    "nTSecurityDescriptor",
    "member",
    "msDS-GroupMSAMembership",
    "managedBy",
    "displayName",
    "description",
    "msDS-AllowedToActOnBehalfOfOtherIdentity",
    "msDS-AllowedToDelegateTo",
];

/// An object of the directory.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) dn: String,
    pub(super) sid: Option<Sid>,
    name: Option<String>,
    /// Its most specific class.
    pub(super) class: String,
    account_control: u32,
    /// None if this account may not read it.
    pub(super) descriptor: Option<SecurityDescriptor>,
    pub(super) members: Vec<String>,
    /// Whether it has more members than the domain controller gave.
    pub(super) members_cut: bool,
    /// Who may read the managed password; for a group managed service account.
    pub(super) password_readers: Option<Vec<u8>>,
    pub(super) managed_by: Option<String>,
    /// Who may act as any user towards it.
    pub(super) actors: Option<Vec<u8>>,
    /// The services towards which it may act as a user.
    pub(super) delegated_to: Vec<String>,
    pub(super) display_name: Option<String>,
    pub(super) description: Vec<String>,
}

impl Object {
    pub(super) fn of(found: &Found) -> Self {
        let texts = |name: &str| {
            found.values(name).filter_map(|value| String::from_utf8(value.to_vec()).ok()).collect::<Vec<_>>()
        };
        Self {
            dn: found.dn.clone(),
            sid: found.bytes("objectSid").and_then(|bytes| Sid::parse(bytes).ok()),
            name: found.text("sAMAccountName").or_else(|| found.text("displayName")).map(str::to_owned),
            // The values stand in the order of the classes' derivation, MS-ADTS §3.1.1.1.4.
            class: texts("objectClass").pop().unwrap_or_default(),
            // A signed number with all 32 bits.
            account_control: found
                .text("userAccountControl")
                .and_then(|text| text.parse::<i64>().ok())
                .and_then(|flags| u32::try_from(flags & i64::from(u32::MAX)).ok())
                .unwrap_or_default(),
            descriptor: found
                .bytes("nTSecurityDescriptor")
                .and_then(|bytes| SecurityDescriptor::parse(bytes).ok()),
            members: texts("member"),
            members_cut: found.is_cut("member"),
            password_readers: found.bytes("msDS-GroupMSAMembership").map(<[u8]>::to_vec),
            managed_by: found.text("managedBy").map(str::to_owned),
            actors: found.bytes("msDS-AllowedToActOnBehalfOfOtherIdentity").map(<[u8]>::to_vec),
            delegated_to: texts("msDS-AllowedToDelegateTo"),
            display_name: found.text("displayName").map(str::to_owned),
            description: texts("description"),
        }
    }

    pub(super) fn is_group(&self) -> bool {
        self.class.eq_ignore_ascii_case("group")
    }

    /// Whether it is an account that can't sign in.
    pub(super) fn is_disabled(&self) -> bool {
        self.account_control & DISABLED != 0
    }

    pub(super) fn principal(&self) -> Principal {
        let disabled = if self.is_disabled() { ", disabled" } else { "" };
        let known = self.sid.as_ref().and_then(known::name).map(str::to_owned);
        let name = self.name.clone().or(known).unwrap_or_else(|| first_name(&self.dn));
        Principal { sid: self.sid, name, hint: format!("{}{disabled}, {}", self.class, self.dn) }
    }
}

/// The first part of a distinguished name, without its type.
pub(crate) fn first_name(dn: &str) -> String {
    let first = parent(dn).map_or(dn, |parent| &dn[..dn.len() - parent.len() - 1]);
    first.split_once('=').map_or(first, |(_, value)| value).to_owned()
}

/// A container's name, and itself if it is seen.
pub(super) type Above = (String, Option<Rc<Object>>);

/// One domain controller's directory.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    pub(super) connection: Connection,
    shared: &'a Shared,
    number: usize,
    pub(super) domain: Domain,
    pub(super) owner_rights: OwnerRights,
    attributes: HashMap<String, Attribute>,
    classes: HashMap<String, Guid>,
    by_sid: HashMap<Sid, Option<Rc<Object>>>,
    by_dn: HashMap<String, Option<Rc<Object>>>,
    /// Everything that is in this account's own token.
    own: Token,
    /// Who is in Administrators, by any nesting.
    pub(super) administrators: BTreeSet<Sid>,
}

impl<'a> Directory<'a> {
    /// Connects to a domain controller and learns its schema.
    pub(super) fn open(repository: &'a AdRepository, number: usize) -> Result<Self, RepositoryError> {
        let shared = repository.shared();
        let mut connection = repository.raw(number)?;
        let failed = |what: &'static str| move |error: LdapError| shared.error(number, what, &error);
        let root = connection
            .find(&Search::base("", vec!["schemaNamingContext", "vendorName", "tokenGroups"]))
            .map_err(failed("the directory's root"))?
            .ok_or_else(|| shared.odd(number, "it does not describe itself"))?;
        let head = connection
            .find(&Search::base(shared.url.domain_dn(), vec!["objectSid"]))
            .map_err(failed("the domain"))?;
        let sid = head.as_ref().and_then(|head| head.bytes("objectSid"));
        let sid = sid.and_then(|sid| Sid::parse(sid).ok());
        let domain = Domain::single(
            sid.ok_or_else(|| shared.odd(number, "it does not tell the domain's SID to this account"))?,
        );
        // Samba's directory lets every owner write the DACL; whoever else answers is taken to be Windows.
        let owner_rights = match root.text("vendorName") {
            Some(vendor) if vendor.to_ascii_lowercase().contains("samba") => OwnerRights::Ignored,
            _ => OwnerRights::Honoured,
        };
        let mut directory = Self {
            connection,
            shared,
            number,
            domain,
            owner_rights,
            attributes: HashMap::new(),
            classes: HashMap::new(),
            by_sid: HashMap::new(),
            by_dn: HashMap::new(),
            own: Token::new(root.values("tokenGroups").filter_map(|sid| Sid::parse(sid).ok())),
            administrators: BTreeSet::new(),
        };
        directory.learn_schema(root.text("schemaNamingContext").unwrap_or_default())?;
        Ok(directory)
    }

    fn learn_schema(&mut self, base: &str) -> Result<(), RepositoryError> {
        let search = Search {
            base: base.to_owned(),
            scope: Scope::Children,
            filter: any_of(
                super::SCHEMA_ATTRIBUTES
                    .iter()
                    .chain(super::SCHEMA_CLASSES)
                    .map(|name| equal("lDAPDisplayName", name))
                    .collect(),
            ),
            attributes: vec!["lDAPDisplayName", "schemaIDGUID", "attributeSecurityGUID", "objectClass"],
            paged: true,
        };
        for found in self.search(&search, "the schema")? {
            let id = |name| found.bytes(name).and_then(|bytes| bytes.try_into().ok()).map(Guid::from_bytes);
            let (Some(name), Some(guid)) = (found.text("lDAPDisplayName"), id("schemaIDGUID")) else {
                continue;
            };
            if found.values("objectClass").any(|class| class.eq_ignore_ascii_case(b"classSchema")) {
                self.classes.insert(name.to_ascii_lowercase(), guid);
            } else {
                let attribute = Attribute { guid, set: id("attributeSecurityGUID") };
                self.attributes.insert(name.to_owned(), attribute);
            }
        }
        // Without these two nothing can be said at all.
        if self.attributes.contains_key("member") && self.attributes.contains_key("thumbnailPhoto") {
            Ok(())
        } else {
            Err(self.shared.odd(self.number, "its schema may not be read by this account"))
        }
    }

    /// What a search finds; a base that is not there or not seen is nothing.
    pub(super) fn search(&mut self, search: &Search, what: &str) -> Result<Vec<Found>, RepositoryError> {
        match self.connection.search(search) {
            Err(error) if error.code() == Some(NO_SUCH_OBJECT) => Ok(Vec::new()),
            other => other.map_err(|error| self.shared.error(self.number, what, &error)),
        }
    }

    /// All objects of the domain that match.
    pub(super) fn in_domain(
        &mut self,
        filter: rasn_ldap::Filter,
        what: &str,
    ) -> Result<Vec<Rc<Object>>, RepositoryError> {
        self.below(self.shared.url.domain_dn(), filter, what)
    }

    /// All objects of the repository's container that match: elsewhere anybody may carry any name.
    pub(super) fn in_container(
        &mut self,
        filter: rasn_ldap::Filter,
        what: &str,
    ) -> Result<Vec<Rc<Object>>, RepositoryError> {
        self.below(self.shared.url.container_dn(), filter, what)
    }

    fn below(
        &mut self,
        base: String,
        filter: rasn_ldap::Filter,
        what: &str,
    ) -> Result<Vec<Rc<Object>>, RepositoryError> {
        let search =
            Search { base, scope: Scope::Subtree, filter, attributes: ATTRIBUTES.to_vec(), paged: true };
        let found = self.search(&search, what)?;
        Ok(found.iter().map(|found| self.keep(Object::of(found))).collect())
    }

    fn keep(&mut self, object: Object) -> Rc<Object> {
        let object = Rc::new(object);
        self.by_dn.insert(object.dn.to_ascii_lowercase(), Some(object.clone()));
        if let Some(sid) = object.sid {
            self.by_sid.insert(sid, Some(object.clone()));
        }
        object
    }

    /// Reads what is not known yet of these objects, many at once.
    fn fetch(&mut self, dns: &[String]) -> Result<(), RepositoryError> {
        let unknown: Vec<&String> =
            dns.iter().filter(|dn| !self.by_dn.contains_key(&dn.to_ascii_lowercase())).collect();
        for some in unknown.chunks(SEARCHES_AT_ONCE) {
            let searches: Vec<Search> =
                some.iter().map(|dn| Search::base(dn.as_str(), ATTRIBUTES.to_vec())).collect();
            let answers = self
                .connection
                .search_all(&searches)
                .map_err(|error| self.shared.error(self.number, "members of groups", &error))?;
            for (dn, answer) in some.iter().zip(answers) {
                let found = match answer {
                    Err(error) if error.code() == Some(NO_SUCH_OBJECT) => None,
                    other => other
                        .map_err(|error| self.shared.error(self.number, "members of groups", &error))?
                        .into_iter()
                        .next(),
                };
                let object = found.map(|found| self.keep(Object::of(&found)));
                self.by_dn.insert(dn.to_ascii_lowercase(), object);
            }
        }
        Ok(())
    }

    /// Objects by name, in the same order; none for those that are not seen.
    pub(super) fn by_dns(&mut self, dns: &[String]) -> Result<Vec<Option<Rc<Object>>>, RepositoryError> {
        self.fetch(dns)?;
        Ok(dns.iter().map(|dn| self.by_dn.get(&dn.to_ascii_lowercase()).cloned().flatten()).collect())
    }

    pub(super) fn by_dn(&mut self, dn: &str) -> Result<Option<Rc<Object>>, RepositoryError> {
        Ok(self.by_dns(&[dn.to_owned()])?.pop().flatten())
    }

    pub(super) fn by_sid(&mut self, sid: Sid) -> Result<Option<Rc<Object>>, RepositoryError> {
        if !self.by_sid.contains_key(&sid) {
            let found = self.in_domain(equal("objectSid", sid.to_bytes()), "a SID")?;
            self.by_sid.insert(sid, found.into_iter().next());
        }
        Ok(self.by_sid.get(&sid).cloned().flatten())
    }

    /// Reads the objects of many SIDs, a few searches for all.
    pub(super) fn know(&mut self, sids: &BTreeSet<Sid>) -> Result<(), RepositoryError> {
        let unknown: Vec<Sid> = sids.iter().filter(|sid| !self.by_sid.contains_key(sid)).copied().collect();
        for some in unknown.chunks(SIDS_AT_ONCE) {
            let filter = any_of(some.iter().map(|sid| equal("objectSid", sid.to_bytes())).collect());
            self.in_domain(filter, "SIDs")?;
            for sid in some {
                self.by_sid.entry(*sid).or_insert(None);
            }
        }
        Ok(())
    }

    /// An object and all above it up to the domain's head, the object's parent first; none for one that is not seen.
    pub(super) fn above(&mut self, dn: &str) -> Result<Vec<Above>, RepositoryError> {
        let head = self.shared.url.domain_dn();
        let mut dns = Vec::new();
        let mut at = dn;
        while !at.eq_ignore_ascii_case(&head)
            && let Some(above) = parent(at)
        {
            dns.push(above.to_owned());
            at = above;
        }
        let objects = self.by_dns(&dns)?;
        Ok(dns.into_iter().zip(objects).collect())
    }

    /// The container of temporary accounts.
    pub(super) fn temporary_dn(&self) -> String {
        format!("CN={},{}", crate::elevation::TEMPORARY, self.shared.url.container_dn())
    }

    pub(super) fn domain_dn(&self) -> String {
        self.shared.url.domain_dn()
    }

    /// An attribute, if the schema has it.
    pub(super) fn attribute(&self, name: &str) -> Option<Attribute> {
        self.attributes.get(name).copied()
    }

    /// Whether this account reads a group's members: an unreadable list looks like an empty one.
    pub(super) fn reads_members(&self, group: &Object) -> bool {
        let (Some(descriptor), Some(member)) = (&group.descriptor, self.attribute("member")) else {
            return false;
        };
        let access = Access::new(descriptor, &self.own, self.owner_rights);
        !group.members.is_empty() || access.may_read(member.guid, member.set)
    }

    /// The attribute that a key's bytes are in.
    pub(super) fn key_bytes(&self) -> Attribute {
        let fallback = Attribute { guid: guid::ATTRIBUTE_THUMBNAIL_PHOTO, set: None };
        self.attribute("thumbnailPhoto").unwrap_or(fallback)
    }

    pub(super) fn class_guid(&self, class: &str) -> Option<Guid> {
        self.classes.get(&class.to_ascii_lowercase()).copied()
    }

    /// A record with what decides on rights on it.
    pub(super) const fn record<'o>(&self, descriptor: &'o SecurityDescriptor) -> Place<'o> {
        Place { descriptor, owner_rights: self.owner_rights, class: Some(guid::CLASS_CONTACT), sid: None }
    }

    /// The object with what decides on rights on it.
    pub(super) fn place<'o>(&self, object: &'o Object, descriptor: &'o SecurityDescriptor) -> Place<'o> {
        Place {
            descriptor,
            owner_rights: self.owner_rights,
            class: self.class_guid(&object.class),
            sid: object.sid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_names_end_at_the_first_comma_that_is_not_escaped() {
        assert_eq!(first_name("CN=svc a,DC=c"), "svc a");
        assert_eq!(first_name("CN=a\\,b,DC=c"), "a\\,b");
        assert_eq!(first_name("DC=c"), "c");
    }
}
