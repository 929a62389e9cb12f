//! Making a repository in a domain: its container and its recovery group, or what an administrator needs to make them.

use dkm::repository::{Repository as _, RepositoryError};

use crate::accounts;
use crate::elevation::TEMPORARY;
use crate::ldap::{ALREADY_EXISTS, Connection, INSUFFICIENT_ACCESS, Search, sd_flags_dacl};
use crate::replica::RECOVERY;
use crate::repository::AdRepository;
use crate::security::{
    AccessMask, Ace, AceKind, AclSlot, Domain, Entry, OwnerRule, SecurityDescriptor, Sid, Template, Trustees,
    sid, template,
};

/// An object that is to be made.
#[derive(Debug, Clone)]
pub struct PlannedObject {
    /// Its distinguished name.
    pub dn: String,
    /// Its attributes but the descriptor.
    pub attributes: Vec<(String, Vec<String>)>,
    /// Its security descriptor in SDDL (MS-DTYP §2.5.1).
    pub sddl: String,
    descriptor: Vec<u8>,
}

impl PlannedObject {
    /// The object in LDIF (RFC 2849), descriptor included.
    #[must_use]
    pub fn ldif(&self) -> String {
        use base64::Engine as _;
        let mut text = ldif_line("dn", &self.dn);
        text.push_str("changetype: add\n");
        for (name, values) in &self.attributes {
            for value in values {
                text.push_str(&ldif_line(name, value));
            }
        }
        let descriptor = base64::engine::general_purpose::STANDARD.encode(&self.descriptor);
        text.push_str(&format!("# {}\nnTSecurityDescriptor:: {descriptor}\n", self.sddl));
        text
    }
}

/// A line of LDIF: as text where that is safe (RFC 2849, SAFE-STRING), in base64 otherwise.
pub(crate) fn ldif_line(name: &str, value: &str) -> String {
    use base64::Engine as _;
    let is_safe = value.is_ascii()
        && !value.starts_with([' ', ':', '<'])
        && !value.ends_with(' ')
        && value.chars().all(|c| !c.is_control());
    if is_safe {
        format!("{name}: {value}\n")
    } else {
        format!("{name}:: {}\n", base64::engine::general_purpose::STANDARD.encode(value))
    }
}

/// What making a repository takes, as the domain is now.
#[derive(Debug)]
pub struct InitPlan {
    /// The objects, in the order in which they are made.
    pub objects: Vec<PlannedObject>,
    connection: Connection,
    place: String,
    elevators: Vec<Sid>,
}

/// Plans a repository: reads the domain, changes nothing.
///
/// `makers` may make groups in it beside the Domain Admins, and `auditors` see which there are: accounts or groups, by name.
/// With `elevators` there is a container of temporary accounts, which they alone make and delete.
///
/// # Errors
/// The domain controller fails, a maker or an auditor is nobody, or the domain's SID can't be read.
pub fn plan(
    repository: &AdRepository,
    makers: &[String],
    auditors: &[String],
    elevators: &[String],
) -> Result<InitPlan, RepositoryError> {
    let url = repository.location();
    let place = repository.shared().place(0);
    let failed = |what: &str, error: &crate::ldap::LdapError| repository.shared().error(0, what, error);
    let mut connection = repository.raw(0)?;
    let (domain, account) = who(&mut connection, &url.domain_dn())
        .map_err(|error| failed("the domain", &error))?
        .ok_or_else(|| repository.shared().odd(0, "it does not say which domain and account these are"))?;
    let mut named = |names: &[String]| -> Result<Vec<Sid>, RepositoryError> {
        let mut sids = Vec::new();
        for name in names {
            let found = accounts::find(&mut connection, &url.domain_dn(), name)
                .map_err(|error| failed(name, &error))?
                .map_err(RepositoryError::Invalid)?;
            sids.push(found.sid);
        }
        Ok(sids)
    };
    let mut administrators = Vec::from_iter(domain.account(sid::rid::DOMAIN_ADMINS));
    administrators.extend(named(makers)?);
    let (auditors, elevators) = (named(auditors)?, named(elevators)?);
    let container = container(&domain, account, &administrators, &[&auditors[..], &elevators].concat());
    let recovery = Trustees {
        domain,
        // Everybody who signed in may see that it is empty.
        readers: Sid::AUTHENTICATED_USERS,
        former: Vec::new(),
        creators: Vec::new(),
        owners: Vec::new(),
        recovery: Sid::SYSTEM,
        erasers: Vec::new(),
        administrators: Vec::from_iter(domain.account(sid::rid::DOMAIN_ADMINS)),
        auditors: Vec::new(),
        elevators: Vec::new(),
        elevated: None,
    }
    .recovery_group(account);
    let dn = url.container_dn();
    let text = |values: Vec<crate::ldap::Values<'static>>| {
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        values
            .into_iter()
            .map(|(name, list)| (name.to_owned(), list.into_iter().map(text).collect()))
            .collect()
    };
    let tail: String = {
        let mut short = [0u8; 4];
        getrandom::fill(&mut short)
            .map_err(|error| RepositoryError::Invalid(format!("the system gives no randomness: {error}")))?;
        short.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut objects = vec![
        planned(
            dn.clone(),
            vec![
                ("objectClass".to_owned(), vec!["container".to_owned()]),
                ("displayName".to_owned(), vec!["dkm repository".to_owned()]),
            ],
            &container,
            &domain,
        )?,
        planned(
            format!("CN={RECOVERY},{dn}"),
            // Names of accounts are unique in a domain, which may hold several repositories.
            text(accounts::new_group(&format!("dkm-{RECOVERY}-{tail}"), &format!("dkm {RECOVERY}"))),
            &recovery,
            &domain,
        )?,
    ];
    if !elevators.is_empty() {
        let admins = Vec::from_iter(domain.account(sid::rid::DOMAIN_ADMINS));
        let template = template::temporary(&domain, account, &admins, &auditors, &elevators);
        let attributes = vec![
            ("objectClass".to_owned(), vec!["container".to_owned()]),
            ("displayName".to_owned(), vec![format!("dkm {TEMPORARY}")]),
        ];
        objects.push(planned(format!("CN={TEMPORARY},{dn}"), attributes, &template, &domain)?);
    }
    Ok(InitPlan { objects, connection, place, elevators })
}

impl InitPlan {
    /// Makes the objects. Those that are there already stay as they are.
    ///
    /// # Errors
    /// This account may not: an administrator can make them from [`PlannedObject::ldif`].
    pub fn carry_out(mut self) -> Result<Vec<String>, RepositoryError> {
        let mut made = Vec::new();
        let container = self.objects.first().map(|object| object.dn.clone()).unwrap_or_default();
        for object in &self.objects {
            let mut values: Vec<crate::ldap::Values<'_>> = object
                .attributes
                .iter()
                .map(|(name, list)| {
                    (name.as_str(), list.iter().map(|value| value.clone().into_bytes()).collect())
                })
                .collect();
            values.push(("nTSecurityDescriptor", vec![object.descriptor.clone()]));
            match self.connection.add(&object.dn, values) {
                Ok(()) => made.push(object.dn.clone()),
                Err(error) if error.code() == Some(ALREADY_EXISTS) => {}
                Err(error) if error.code() == Some(INSUFFICIENT_ACCESS) => {
                    return Err(RepositoryError::Denied {
                        location: self.place,
                        what: format!("making {}", object.dn),
                    });
                }
                Err(error) => {
                    let why = format!("making {}: {error}", object.dn);
                    return Err(RepositoryError::Unavailable { location: self.place, why });
                }
            }
        }
        open_to_listers(&mut self.connection, &container, &self.elevators).map_err(|error| {
            let why = format!("letting the recovery group and elevators list {container}: {error}");
            RepositoryError::Unavailable { location: self.place, why }
        })?;
        Ok(made)
    }
}

/// Lets the recovery group see which groups there are, so that it finds what it is to put right: its SID is known only now.
/// Elevators see the container of temporary accounts. An account that may not write the container's DACL leaves that to
/// one that may.
fn open_to_listers(
    connection: &mut Connection,
    container: &str,
    elevators: &[Sid],
) -> Result<(), crate::ldap::LdapError> {
    let recovery = Search::base(format!("CN={RECOVERY},{container}"), vec!["objectSid"]);
    let recovery = connection.find(&recovery)?;
    let recovery =
        recovery.as_ref().and_then(|found| found.bytes("objectSid")).and_then(|sid| Sid::parse(sid).ok());
    let found = connection.find(&Search::base(container, vec!["nTSecurityDescriptor"]))?;
    let descriptor = found.as_ref().and_then(|found| found.bytes("nTSecurityDescriptor"));
    let Some(mut descriptor) = descriptor.and_then(|bytes| SecurityDescriptor::parse(bytes).ok()) else {
        return Ok(());
    };
    let AclSlot::Present(dacl) = &mut descriptor.dacl else { return Ok(()) };
    let lists = |entries: &[Ace], sid: Sid| {
        entries.iter().filter_map(Ace::entry).any(|entry| {
            entry.kind == AceKind::Allow && entry.trustee == sid && entry.mask.contains(template::READ_ROOM)
        })
    };
    let mut missing: Vec<Sid> = recovery.into_iter().chain(elevators.iter().copied()).collect();
    missing.retain(|sid| !lists(&dacl.entries, *sid));
    if missing.is_empty() {
        return Ok(());
    }
    dacl.entries.extend(missing.into_iter().map(|sid| Ace::Entry(Entry::allow(template::READ_ROOM, sid))));
    let Ok(bytes) = descriptor.to_bytes() else { return Ok(()) };
    match connection.replace(container, ("nTSecurityDescriptor", vec![bytes]), vec![sd_flags_dacl()]) {
        Err(error) if error.code() != Some(INSUFFICIENT_ACCESS) => Err(error),
        _ => Ok(()),
    }
}

/// The container's descriptor: who signed in may read which repository this is, and not what is in it.
fn container(domain: &Domain, owner: Sid, administrators: &[Sid], auditors: &[Sid]) -> Template {
    let mut container = template::container(domain, owner, administrators, auditors);
    container.owner = OwnerRule::Any;
    let see = AccessMask::READ_PROPERTY | AccessMask::READ_CONTROL;
    if let AclSlot::Present(dacl) = &mut container.descriptor.dacl {
        dacl.entries.push(Ace::Entry(Entry::allow(see, Sid::AUTHENTICATED_USERS)));
    }
    container
}

fn planned(
    dn: String,
    attributes: Vec<(String, Vec<String>)>,
    template: &Template,
    domain: &Domain,
) -> Result<PlannedObject, RepositoryError> {
    let odd = |error: String| RepositoryError::Invalid(format!("the descriptor of {dn}: {error}"));
    let descriptor = template.descriptor.to_bytes().map_err(|error| odd(error.to_string()))?;
    let sddl = template.descriptor.to_sddl(Some(domain)).map_err(|error| odd(error.to_string()))?;
    Ok(PlannedObject { dn, attributes, sddl, descriptor })
}

/// The domain and this account.
fn who(
    connection: &mut Connection,
    domain_dn: &str,
) -> Result<Option<(Domain, Sid)>, crate::ldap::LdapError> {
    let domain = connection.find(&Search::base(domain_dn, vec!["objectSid"]))?;
    let root = connection.find(&crate::repository::root())?;
    let sid = |found: Option<crate::ldap::Found>, name: &str| {
        found.and_then(|found| found.bytes(name).and_then(|bytes| Sid::parse(bytes).ok()))
    };
    Ok(sid(domain, "objectSid").map(Domain::single).zip(sid(root, "tokenGroups")))
}

impl AdRepository {
    /// Whether the repository's container is there and seen by this account.
    ///
    /// # Errors
    /// As [`dkm::repository::Repository::connect`].
    pub fn probe(&self) -> Result<(), RepositoryError> {
        self.connect(0).map(drop)
    }
}
