//! Kerberos tickets of a temporary account, by the programs of MIT Kerberos: `kinit`, `kvno` and `klist`.
//!
//! All of it happens in a [folder in memory](Folder): the ticket-granting ticket does not leave it, and goes with it.

use std::net::SocketAddr;
use std::time::SystemTime;

use dkm_core::Timestamp;
use zeroize::Zeroizing;

use super::folder::Folder;
use super::issue::Password;
use super::program::run;
use super::{ElevationError, LEAST_MS};
use crate::repository::AdRepository;

/// Seconds that a ticket ends before the end of access: a ticket's life begins when `kinit` asks for it, and it takes a
/// moment to get there. On a busy machine it takes more of them.
const MARGINS_S: [u64; 3] = [2, 15, 45];
/// Samba's KDC takes a ticket-granting ticket with no more seconds left than this for one to change a password with.
const KDC_LEAST_S: u64 = 120;
/// Flags that no ticket may have: forwardable or forwarded, proxiable or a proxy, renewable, postdatable.
const FLAGS_REFUSED: &str = "FfPpRDd";
/// How klist writes times where nobody asked for another way, in 17 letters.
const KLIST_TIME: &str = "%m/%d/%y %H:%M:%S";

/// Where tickets come from, and for whom they are.
#[derive(Debug)]
pub(super) struct Realm {
    name: String,
    /// The domain controller that made the account: others may not have heard of it yet.
    kdc: Vec<SocketAddr>,
    /// Service names: of that domain controller first.
    services: Vec<String>,
}

/// What was fetched.
pub(super) struct Fetched {
    pub(super) cache: Zeroizing<Vec<u8>>,
    pub(super) until: Timestamp,
    pub(super) services: Vec<String>,
}

impl Realm {
    /// The realm of a repository, asked at one of its domain controllers.
    pub(super) fn of(repository: &AdRepository, number: usize) -> Result<Self, ElevationError> {
        let url = repository.location();
        let controllers = repository.controllers();
        let unknown =
            |why: String| ElevationError::Unreachable { place: repository.shared().place(number), why };
        let asked = controllers.get(number).ok_or_else(|| unknown("it is not known any more".to_owned()))?;
        let kdc = asked.addresses().map_err(unknown)?;
        let others = controllers.iter().enumerate().filter(|(at, _)| *at != number);
        let mut services = vec![format!("ldap/{}", asked.host)];
        services.extend(others.map(|(_, controller)| format!("ldap/{}", controller.host)));
        // Clients that find the domain controllers by DNS ask for a name that only these have.
        if url.controllers.is_empty() {
            services.extend(
                controllers.iter().map(|controller| format!("ldap/{}/{}", controller.host, url.domain)),
            );
        }
        Ok(Self { name: url.domain.to_ascii_uppercase(), kdc, services })
    }

    /// A configuration that knows this domain controller alone, and asks for nothing that outlives a ticket.
    fn configuration(&self) -> String {
        let kdcs: String = self
            .kdc
            .iter()
            .map(|address| match address {
                SocketAddr::V4(address) => format!("  kdc = {}\n", address.ip()),
                SocketAddr::V6(address) => format!("  kdc = [{}]\n", address.ip()),
            })
            .collect();
        let Self { name, .. } = self;
        format!(
            "[libdefaults]\n default_realm = {name}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
             dns_canonicalize_hostname = false\n rdns = false\n forwardable = false\n proxiable = false\n \
             renew_lifetime = 0\n permitted_enctypes = aes\n udp_preference_limit = 1\n\
             [realms]\n {name} = {{\n{kdcs} }}\n"
        )
    }
}

/// Fetches tickets that end at `until` at the latest.
///
/// # Errors
/// The domain controller gives none for its LDAP service, or none that is good for this.
pub(super) fn fetch(
    realm: &Realm,
    account: &str,
    password: &Password,
    until: Timestamp,
) -> Result<Fetched, ElevationError> {
    let mut late = None;
    for margin in MARGINS_S {
        match fetch_with(realm, account, password, until, margin) {
            Err(error @ Fault::TooLate(_)) => late = Some(error),
            other => return other.map_err(ElevationError::from),
        }
    }
    Err(late.unwrap_or(Fault::TooLate(until)).into())
}

/// Why tickets are not good.
enum Fault {
    /// They would outlive the access.
    TooLate(Timestamp),
    Other(ElevationError),
}

impl From<ElevationError> for Fault {
    fn from(error: ElevationError) -> Self {
        Self::Other(error)
    }
}

impl From<Fault> for ElevationError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLate(at) => Self::Other(format!(
                "the domain controller's tickets end after the access would ({}): compare its clock with this machine's",
                super::mark::shown(at).unwrap_or_default()
            )),
            Fault::Other(error) => error,
        }
    }
}

fn fetch_with(
    realm: &Realm,
    account: &str,
    password: &Password,
    until: Timestamp,
    margin_s: u64,
) -> Result<Fetched, Fault> {
    let folder = Folder::new()?;
    let configuration = folder.write("krb5.conf", &realm.configuration())?;
    let (granting, given) = (folder.join("granting"), folder.join("given"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let left_s = (until.0 / 1000).saturating_sub(now);
    let life_s = left_s.saturating_sub(margin_s);
    if life_s <= KDC_LEAST_S {
        return Err(Fault::Other(ElevationError::TooShort { left_s, least_s: LEAST_MS / 1000 }));
    }
    let run =
        |program: &str, arguments: &[&str], input: &[u8]| run(program, arguments, input, &configuration);
    let principal = format!("{account}@{}", realm.name);
    let life = format!("{life_s}s");
    let cache = format!("FILE:{}", granting.display());
    // Neither forwardable (-F) nor proxiable (-P); not renewable, for that has to be asked for.
    let sign_in = |life: &str| {
        run("kinit", &["-F", "-P", "-l", life, "-c", &cache, &principal], password.as_str().as_bytes())
    };
    sign_in(&life)?;
    // Where the domain gives no tickets for that long, it makes up for it by one that can be renewed. Asked for as long as
    // it gives, it does not.
    let got = read_list(&run("klist", &["-f", &cache], b"")?)?;
    if let Some(got) = got.iter().find(|ticket| ticket.flags.contains('R')) {
        let life_s = (got.until.0 / 1000).saturating_sub(now).saturating_sub(margin_s);
        sign_in(&format!("{life_s}s"))?;
    }
    let out = format!("FILE:{}", given.display());
    let mut arguments = vec!["-q", "-c", &cache, "--out-cache", &out];
    arguments.extend(realm.services.iter().map(String::as_str));
    // It goes on where one service is unknown: a domain controller that was taken away. What came is looked at below.
    let fetched = run("kvno", &arguments, b"");
    if !given.exists() {
        fetched?;
    }
    let tickets = read_list(&run("klist", &["-f", &out], b"")?)?;
    let services = judge(realm, &tickets)?;
    let ends = end_of(&tickets, until)?;
    let cache = std::fs::read(&given).map_err(|error| {
        ElevationError::Other(format!("the tickets that were fetched can't be read: {error}"))
    })?;
    Ok(Fetched { cache: Zeroizing::new(cache), until: ends, services })
}

fn read_list(text: &str) -> Result<Vec<Listed>, ElevationError> {
    listed_tickets(text)
        .ok_or_else(|| ElevationError::Other("klist does not list tickets in a way that is known".to_owned()))
}

/// A ticket, as klist tells of it.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    service: String,
    until: Timestamp,
    flags: String,
}

/// Reads what klist wrote, with times in UTC; none if a line is not understood.
fn listed_tickets(text: &str) -> Option<Vec<Listed>> {
    let mut tickets: Vec<Listed> = Vec::new();
    let lines = text.lines().skip_while(|line| !line.starts_with("Valid starting")).skip(1);
    for line in lines.filter(|line| !line.trim().is_empty()) {
        if let Some(more) = line.strip_prefix(['\t', ' ']) {
            // Details of the ticket above, parted by commas.
            let flags = more.split(", ").find_map(|part| part.trim().strip_prefix("Flags: "));
            let (ticket, flags) = (tickets.last_mut()?, flags?);
            flags.clone_into(&mut ticket.flags);
            continue;
        }
        let (_starts, rest) = line.split_at_checked(17)?;
        let (until, service) = rest.strip_prefix("  ")?.split_at_checked(17)?;
        let until = jiff::civil::DateTime::strptime(KLIST_TIME, until).ok()?;
        let until = jiff::tz::Offset::UTC.to_timestamp(until).ok()?;
        tickets.push(Listed {
            service: service.strip_prefix("  ")?.to_owned(),
            until: Timestamp(u64::try_from(until.as_millisecond()).ok()?),
            flags: String::new(),
        });
    }
    Some(tickets)
}

/// When the last ticket ends, if that is not after the access does.
fn end_of(tickets: &[Listed], until: Timestamp) -> Result<Timestamp, Fault> {
    let ends = tickets.iter().map(|ticket| ticket.until).max().unwrap_or_default();
    if ends <= until { Ok(ends) } else { Err(Fault::TooLate(ends)) }
}

/// The services of tickets that are what was asked for, every one.
fn judge(realm: &Realm, tickets: &[Listed]) -> Result<Vec<String>, ElevationError> {
    let mut services = Vec::new();
    for ticket in tickets {
        let service = ticket.service.strip_suffix(&format!("@{}", realm.name)).unwrap_or(&ticket.service);
        let is_meant = realm.services.iter().any(|meant| meant.eq_ignore_ascii_case(service));
        if !is_meant {
            return Err(ElevationError::Other(format!(
                "a ticket for {:?} came, which nobody asked for",
                ticket.service
            )));
        }
        if ticket.flags.is_empty() || ticket.flags.contains(|flag| FLAGS_REFUSED.contains(flag)) {
            return Err(ElevationError::Other(format!(
                "the ticket for {service} can be passed on or renewed (flags {:?}): the domain must not give that",
                ticket.flags
            )));
        }
        services.push(service.to_owned());
    }
    let first = realm.services.first().map(String::as_str).unwrap_or_default();
    if services.iter().any(|service| service.eq_ignore_ascii_case(first)) {
        return Ok(services);
    }
    Err(ElevationError::Other(format!("the domain controller gives no ticket for {first}, its own service")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "Ticket cache: FILE:/x\nDefault principal: a@EXAMPLE.COM\n\n\
        Valid starting     Expires            Service principal\n\
        11/29/26 13:31:21  11/29/26 13:34:41  ldap/dc1.example.com@EXAMPLE.COM\n\tFlags: AT\n\
        11/29/26 13:31:21  11/29/26 13:34:41  ldap/dc2.example.com@EXAMPLE.COM\n\tFlags: AT\n";

    fn realm() -> Realm {
        Realm {
            name: "EXAMPLE.COM".to_owned(),
            kdc: vec!["192.0.2.1:389".parse().unwrap(), "[2001:db8::1]:389".parse().unwrap()],
            services: vec!["ldap/dc1.example.com".to_owned(), "ldap/dc2.example.com".to_owned()],
        }
    }

    #[test]
    fn klist_is_read_to_the_second() {
        let tickets = listed_tickets(LISTED).unwrap();
        assert_eq!(tickets.len(), 2);
        assert_eq!(tickets[0].until, Timestamp(1_795_959_281_000));
        assert_eq!(judge(&realm(), &tickets).unwrap(), ["ldap/dc1.example.com", "ldap/dc2.example.com"]);
        for (from, to) in [("13:34:41", "13.34.41"), ("  11/29", " 11/29"), ("\tFlags: AT", "\tsomething")] {
            assert_eq!(listed_tickets(&LISTED.replacen(from, to, 1)), None, "{from}");
        }
    }

    #[test]
    fn a_ticket_that_outlives_the_access_by_a_second_is_refused() {
        let tickets = listed_tickets(&LISTED.replacen("13:34:41", "13:34:42", 1)).unwrap();
        let end = Timestamp(1_795_959_282_000);
        assert!(matches!(end_of(&tickets, end), Ok(at) if at == end));
        assert!(matches!(end_of(&tickets, end.minus(1_000)), Err(Fault::TooLate(at)) if at == end));
    }

    #[test]
    fn other_tickets_are_refused() {
        let with = |from: &str, to: &str| {
            judge(&realm(), &listed_tickets(&LISTED.replacen(from, to, 1)).unwrap()).is_err()
        };
        assert!(with("ldap/dc2.example.com", "krbtgt/EXAMPLE.COM"));
        assert!(with("ldap/dc1.example.com", "ldap/dc2.example.com"), "the first must be there");
        for flags in ["FA", "RA", "AP", "A f"] {
            assert!(with("Flags: AT", &format!("Flags: {flags}")), "{flags}");
        }
        assert!(with("\tFlags: AT\n", ""), "what has no flags is not known to have none of these");
        assert!(judge(&realm(), &[]).is_err());
    }

    #[test]
    fn the_configuration_names_one_domain_controller() {
        let text = realm().configuration();
        assert!(text.contains("kdc = 192.0.2.1\n") && text.contains("kdc = [2001:db8::1]\n"), "{text}");
        assert!(text.contains("forwardable = false") && text.contains("dns_lookup_kdc = false"), "{text}");
    }
}
