//! Domain controllers of the URL: signing in to each, and what it says of itself.

use std::thread;
use std::time::{Duration, Instant};

use dkm::repository::{Repository as _, RepositoryError};
use dkm_core::Timestamp;

use super::report::{ControllerFacts, ms};
use crate::audit::first_name;
use crate::ldap::{Connection, Found, LdapError, Search};
use crate::name;
use crate::name::parent;
use crate::repository::AdRepository;
use crate::security::{Domain, Guid, Sid};

/// What is asked of the root of the directory, MS-ADTS §3.1.1.3.2.
const ROOT: [&str; 12] = [
    "defaultNamingContext",
    "configurationNamingContext",
    "schemaNamingContext",
    "dsServiceName",
    "serverName",
    "currentTime",
    "tokenGroups",
    "highestCommittedUSN",
    "isSynchronized",
    "domainControllerFunctionality",
    "vendorName",
    "supportedCapabilities",
];
/// `LDAP_CAP_ACTIVE_DIRECTORY_PARTIAL_SECRETS_OID`, MS-ADTS §3.1.1.3.4.3: a read-only domain controller.
const PARTIAL_SECRETS: &[u8] = b"1.2.840.113556.1.4.1920";
/// The directory rounds its clock down to a second: half of one is the best guess for what it cut off.
const HALF_A_SECOND_MS: i64 = 500;

/// A domain controller that let us in.
#[derive(Debug)]
pub(super) struct Dc {
    /// Its place in the URL.
    pub(super) number: usize,
    pub(super) host: String,
    pub(super) connection: Connection,
    /// The naming context of the domain.
    pub(super) domain_dn: String,
    /// The naming context of the configuration.
    pub(super) configuration: String,
    /// The naming context of the schema.
    pub(super) schema: String,
    /// The object of its settings.
    pub(super) service: String,
    pub(super) invocation: Option<[u8; 16]>,
    pub(super) domain: Domain,
    pub(super) account: Sid,
    /// The time it told.
    pub(super) clock: Option<Timestamp>,
    /// The highest number of an update that it had given away by then.
    pub(super) usn: u64,
    pub(super) is_samba: bool,
    pub(super) read_only: bool,
    /// Whether this account sees the repository's container.
    pub(super) sees_container: bool,
    /// Whether it may make containers in it.
    pub(super) may_probe: bool,
    pub(super) ticket_left: Option<Duration>,
}

impl Dc {
    /// What a search finds; a base that is not there or not seen is nothing.
    ///
    /// # Errors
    /// In words for people.
    pub(super) fn search(&mut self, search: &Search) -> Result<Vec<Found>, String> {
        match self.connection.search(search) {
            Err(error) if error.code() == Some(crate::ldap::NO_SUCH_OBJECT) => Ok(Vec::new()),
            other => other.map_err(|error| format!("{}: {error}", self.host)),
        }
    }

    /// One object, if it is there and seen.
    ///
    /// # Errors
    /// As [`Dc::search`].
    pub(super) fn object(
        &mut self,
        dn: impl Into<String>,
        attributes: Vec<&'static str>,
    ) -> Result<Option<Found>, String> {
        Ok(self.search(&Search::base(dn, attributes))?.into_iter().next())
    }
}

/// Signs in to every domain controller of the URL, all at once: one that hangs makes no other wait.
pub(super) fn sign_in_to_all(repository: &AdRepository) -> Vec<(ControllerFacts, Option<Dc>)> {
    thread::scope(|scope| {
        let asked: Vec<_> = (0..repository.replicas())
            .map(|number| (number, scope.spawn(move || sign_in(repository, number))))
            .collect();
        asked
            .into_iter()
            .map(|(number, asked)| {
                asked.join().unwrap_or_else(|_| {
                    let mut facts = unknown(repository, number);
                    facts.error = Some("asking it failed".to_owned());
                    (facts, None)
                })
            })
            .collect()
    })
}

fn unknown(repository: &AdRepository, number: usize) -> ControllerFacts {
    let host = repository.shared().controllers.get(number).map(|controller| controller.host);
    ControllerFacts {
        host: host.unwrap_or_default(),
        site: None,
        invocation_id: None,
        software: None,
        functional_level: None,
        read_only: None,
        synchronized: None,
        clock_ahead_ms: None,
        sign_in_ms: None,
        answer_ms: None,
        error: None,
    }
}

fn sign_in(repository: &AdRepository, number: usize) -> (ControllerFacts, Option<Dc>) {
    let mut facts = unknown(repository, number);
    match look(repository, number, &mut facts) {
        Ok(dc) => (facts, Some(dc)),
        Err(RepositoryError::Unavailable { why, .. }) => {
            facts.error = Some(why);
            (facts, None)
        }
        Err(error) => {
            facts.error = Some(error.to_string());
            (facts, None)
        }
    }
}

fn look(
    repository: &AdRepository,
    number: usize,
    facts: &mut ControllerFacts,
) -> Result<Dc, RepositoryError> {
    let shared = repository.shared();
    let failed = |what: &'static str| move |error: LdapError| shared.error(number, what, &error);
    let odd = |why: &str| shared.odd(number, why);
    let begun = Instant::now();
    let mut connection = repository.raw(number)?;
    facts.sign_in_ms = Some(ms(begun.elapsed()));
    let asked = Instant::now();
    let root = connection
        .find(&Search::base("", ROOT.to_vec()))
        .map_err(failed("the directory's root"))?
        .ok_or_else(|| odd("it does not describe itself"))?;
    let took = asked.elapsed();
    facts.answer_ms = Some(ms(took));
    let clock = root.text("currentTime").and_then(name::timestamp);
    facts.clock_ahead_ms = clock.map(|told| ahead(told, took));
    let text = |name: &str| root.text(name).unwrap_or_default().to_owned();
    let naming = text("defaultNamingContext");
    if !naming.eq_ignore_ascii_case(&shared.url.domain_dn()) {
        return Err(odd(&format!("it serves {naming:?}, not {:?}", shared.url.domain_dn())));
    }
    let (service, server) = (text("dsServiceName"), text("serverName"));
    let mut answers = connection
        .search_all(&[
            Search::base(shared.url.domain_dn(), vec!["objectSid"]),
            Search::base(service.as_str(), vec!["invocationId", "objectClass"]),
            Search::base(server.as_str(), vec!["serverReference"]),
            Search::base(shared.url.container_dn(), vec!["objectGUID", "allowedChildClassesEffective"]),
        ])
        .map_err(failed("its settings"))?
        .into_iter()
        .map(|answer| answer.ok().and_then(|found| found.into_iter().next()));
    let mut next = || answers.next().flatten();
    let (domain, settings, machine, container) = (next(), next(), next(), next());
    let domain = domain
        .and_then(|domain| domain.bytes("objectSid").and_then(|sid| Sid::parse(sid).ok()))
        .ok_or_else(|| odd("it does not tell the domain's SID to this account"))?;
    let account = root
        .bytes("tokenGroups")
        .and_then(|sid| Sid::parse(sid).ok())
        .ok_or_else(|| odd("it does not say who this account is"))?;
    let invocation: Option<[u8; 16]> = settings
        .as_ref()
        .and_then(|settings| settings.bytes("invocationId"))
        .and_then(|id| id.try_into().ok());
    let is = |found: &Found, attribute: &str, value: &str| {
        found.values(attribute).any(|found| found.eq_ignore_ascii_case(value.as_bytes()))
    };
    let read_only = settings.as_ref().is_some_and(|settings| is(settings, "objectClass", "nTDSDSARO"))
        || root.values("supportedCapabilities").any(|capability| capability == PARTIAL_SECRETS);
    facts.software = machine
        .and_then(|server| server.text("serverReference").map(str::to_owned))
        .and_then(|dn| software(&mut connection, &dn));
    facts.site = site(&server);
    facts.invocation_id = invocation.map(|id| Guid::from_bytes(id).to_string());
    facts.functional_level = root.text("domainControllerFunctionality").and_then(|level| level.parse().ok());
    facts.read_only = Some(read_only);
    facts.synchronized = root.text("isSynchronized").map(|text| text.eq_ignore_ascii_case("TRUE"));
    Ok(Dc {
        number,
        host: facts.host.clone(),
        ticket_left: connection.ticket_left(),
        connection,
        domain_dn: shared.url.domain_dn(),
        configuration: text("configurationNamingContext"),
        schema: text("schemaNamingContext"),
        service,
        invocation,
        domain: Domain::single(domain),
        account,
        clock,
        usn: root.text("highestCommittedUSN").and_then(|usn| usn.parse().ok()).unwrap_or(0),
        is_samba: text("vendorName").to_ascii_lowercase().contains("samba"),
        read_only,
        sees_container: container.is_some(),
        may_probe: container
            .is_some_and(|container| is(&container, "allowedChildClassesEffective", "container")),
    })
}

/// How far a clock is ahead of this machine's, if it was read half-way through the request.
fn ahead(told: Timestamp, took: Duration) -> i64 {
    let half = i64::try_from(took.as_millis() / 2).unwrap_or(i64::MAX);
    let here = jiff::Timestamp::now().as_millisecond().saturating_sub(half);
    i64::try_from(told.0).unwrap_or(i64::MAX).saturating_add(HALF_A_SECOND_MS).saturating_sub(here)
}

/// What a domain controller runs, as its account says.
fn software(connection: &mut Connection, machine: &str) -> Option<String> {
    let search = Search::base(machine, vec!["operatingSystem", "operatingSystemVersion"]);
    let found = connection.find(&search).ok().flatten()?;
    let system = found.text("operatingSystem")?;
    let version = found.text("operatingSystemVersion").unwrap_or_default();
    Some(super::text::plain(format!("{system} {version}").trim()))
}

/// The site that a server's object is in: `CN=DC1,CN=Servers,CN=<site>,CN=Sites,…`.
pub(super) fn site(server: &str) -> Option<String> {
    let site = parent(parent(server)?)?;
    (!site.is_empty()).then(|| first_name(site))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_stands_in_its_site() {
        let dn = "CN=DC1,CN=Servers,CN=Berlin\\, Mitte,CN=Sites,CN=Configuration,DC=example,DC=com";
        assert_eq!(site(dn).as_deref(), Some("Berlin\\, Mitte"));
        assert_eq!(site("CN=DC1"), None);
        assert_eq!(site(""), None);
    }

    #[test]
    fn clocks_are_compared_in_the_middle_of_the_request() {
        let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
        let hour = 3_600_000;
        let off = ahead(Timestamp(now + hour), Duration::from_secs(2));
        assert!((3_600_000..3_700_000).contains(&off), "{off}");
        assert!(ahead(Timestamp(0), Duration::ZERO) < 0);
    }
}
