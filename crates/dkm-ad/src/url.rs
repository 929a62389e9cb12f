//! `ad://` URLs: which domain, which container, which domain controllers.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::str::FromStr;

use crate::ldap::Transport;

/// LDAP's port; everything on it is sealed by Kerberos.
pub(crate) const PORT: u16 = 389;
/// The port of LDAP in TLS.
const TLS_PORT: u16 = 636;
/// Most domain controllers of a list.
const CONTROLLERS_MAX: usize = 64;

/// The URL of a repository in Active Directory.
///
/// `ad://example.com` means the container `CN=DKM,CN=Program Data` of the domain. `ad://example.com/OU=Keys,OU=Ops`
/// names another container, relative to the domain. Behind `?`, joined by `&`:
///
/// * `dc=dc1.example.com,dc2.example.com` — the domain controllers, the preferred one first. Each is
///   `name[@address[:port]]`; the name is the one that Kerberos knows. Without it, DNS tells.
/// * `site=Branch-Office` — without `dc`: the site whose domain controllers come first. Without it, the domain tells in
///   which site the client's address is.
/// * `principal=svc-mail@EXAMPLE.COM` — whose credentials, if the environment has those of several.
/// * `root-keys=/folder` — where the root keys lie, for groups whose policy wraps keys.
/// * `tls=yes` — LDAPS: TLS on port 636 instead of Kerberos's sealing on 389.
/// * `ca=/file` — the authorities that are believed for that, in PEM. Without it: those of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdUrl {
    /// The domain's DNS name, in lower case.
    pub domain: String,
    /// The container, relative to the domain's naming context.
    pub container: String,
    /// The domain controllers; empty: DNS tells.
    pub controllers: Vec<Controller>,
    /// The site whose domain controllers come first, if the URL names none; none: the domain tells.
    pub site: Option<String>,
    /// The Kerberos principal; none: the environment's default.
    pub principal: Option<String>,
    /// The folder of root keys.
    pub root_keys: Option<PathBuf>,
    /// How connections are protected.
    pub transport: Transport,
}

/// A domain controller, as it is named in a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Controller {
    /// Its DNS name: the one in its Kerberos service principal name.
    pub host: String,
    /// Where to connect, if not where its name leads.
    pub address: Option<IpAddr>,
    /// The LDAP port.
    pub port: u16,
}

/// Why a text is not the URL of a repository in Active Directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the URL of a repository in Active Directory: {why}; expected ad://domain[/container][?dc=name,…]"
)]
pub struct ParseAdUrlError {
    text: String,
    why: String,
}

/// The container of a repository whose URL names none.
pub const DEFAULT_CONTAINER: &str = "CN=DKM,CN=Program Data";

impl AdUrl {
    /// The domain's naming context, as a distinguished name: `DC=example,DC=com`.
    #[must_use]
    pub fn domain_dn(&self) -> String {
        self.domain.split('.').map(|label| format!("DC={label}")).collect::<Vec<_>>().join(",")
    }

    /// The container's distinguished name.
    #[must_use]
    pub fn container_dn(&self) -> String {
        format!("{},{}", self.container, self.domain_dn())
    }

    /// The port of domain controllers whose port is not told.
    pub(crate) fn port(&self) -> u16 {
        match self.transport {
            Transport::Kerberos => PORT,
            Transport::Tls { .. } => TLS_PORT,
        }
    }
}

impl Controller {
    /// Where it can be connected to.
    ///
    /// # Errors
    /// Its name can't be looked up; says why.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        if let Some(address) = self.address {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map(Iterator::collect)
            .map_err(|error| format!("{} can't be looked up: {error}", self.host))
    }
}

impl Controller {
    /// Reads `name[@address[:port]]`.
    fn parse(text: &str, default: u16) -> Result<Self, String> {
        let (host, address) =
            text.split_once('@').map_or((text, None), |(host, address)| (host, Some(address)));
        let host = host_name(host)?;
        let (address, port) = match address {
            None => (None, default),
            Some(address) => address
                .parse::<SocketAddr>()
                .map(|address| (Some(address.ip()), address.port()))
                .or_else(|_| address.parse::<IpAddr>().map(|address| (Some(address), default)))
                .map_err(|_| format!("{address:?} is no IP address"))?,
        };
        Ok(Self { host, address, port })
    }

    /// As it stands in a URL.
    fn shown(&self, default: u16) -> String {
        match self.address {
            None => self.host.clone(),
            Some(address) if self.port == default => format!("{}@{address}", self.host),
            Some(address) => format!("{}@{}", self.host, SocketAddr::new(address, self.port)),
        }
    }
}

impl FromStr for Controller {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, PORT)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(PORT))
    }
}

/// A DNS name in lower case.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("{text:?} is no DNS name"))
    }
}

/// Whether this may be a site's name: as long as a label of DNS may be, since it becomes one.
pub(crate) fn is_site(text: &str) -> bool {
    let odd = |c: char| c.is_control() || "&?=\\/\",;#+<>".contains(c);
    text.split('.').all(|label| (1..=63).contains(&label.len())) && !text.contains(odd)
}

/// Whether this may be a container's name: it begins with `attribute=value`, on one line. The directory judges the rest.
fn is_container(text: &str) -> bool {
    let first = text.split(',').next().unwrap_or_default();
    let named = first.split_once('=').is_some_and(|(attribute, value)| {
        !attribute.is_empty()
            && attribute.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && !value.is_empty()
    });
    named && !text.ends_with('\\') && text.chars().all(|c| !c.is_control())
}

impl FromStr for AdUrl {
    type Err = ParseAdUrlError;

    fn from_str(text: &str) -> Result<Self, ParseAdUrlError> {
        let odd = |why: String| ParseAdUrlError { text: text.to_owned(), why };
        let rest =
            text.strip_prefix("ad://").ok_or_else(|| odd("it does not begin with ad://".to_owned()))?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let (domain, container) =
            path.split_once('/').map_or((path, ""), |(domain, container)| (domain, container));
        let domain = host_name(domain).map_err(|_| odd(format!("{domain:?} is no domain")))?;
        let container = if container.is_empty() { DEFAULT_CONTAINER } else { container };
        if !is_container(container) {
            return Err(odd(format!("{container:?} is no container, such as {DEFAULT_CONTAINER}")));
        }
        let mut url = Self {
            domain,
            container: container.to_owned(),
            controllers: Vec::new(),
            site: None,
            principal: None,
            root_keys: None,
            transport: Transport::Kerberos,
        };
        let (mut list, mut ca) = (None, None);
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            match pair.split_once('=') {
                Some(("dc", names)) if list.is_none() => list = Some(names),
                Some(("site", site)) if is_site(site) && url.site.is_none() => {
                    url.site = Some(site.to_owned());
                }
                Some(("principal", name)) if !name.is_empty() && url.principal.is_none() => {
                    url.principal = Some(name.to_owned());
                }
                Some(("root-keys", folder)) if !folder.is_empty() && url.root_keys.is_none() => {
                    url.root_keys = Some(PathBuf::from(folder));
                }
                Some(("tls", "yes")) if url.transport == Transport::Kerberos => {
                    url.transport = Transport::Tls { ca: None };
                }
                Some(("tls", _)) => {
                    return Err(odd(format!("{pair:?} is not understood: tls=yes, or nothing, once")));
                }
                Some(("ca", file)) if !file.is_empty() && ca.is_none() => ca = Some(PathBuf::from(file)),
                _ => return Err(odd(format!("{pair:?} is not understood"))),
            }
        }
        match (&mut url.transport, ca) {
            (Transport::Tls { ca: wanted }, ca) => *wanted = ca,
            (Transport::Kerberos, Some(_)) => return Err(odd("ca= is of use with tls=yes only".to_owned())),
            (Transport::Kerberos, None) => {}
        }
        // Which port a name means depends on all of the URL.
        let port = url.port();
        if let Some(list) = list {
            let read = |name| Controller::parse(name, port);
            url.controllers = list.split(',').map(read).collect::<Result<_, _>>().map_err(&odd)?;
            if url.controllers.len() > CONTROLLERS_MAX {
                return Err(odd(format!("more than {CONTROLLERS_MAX} domain controllers")));
            }
        }
        if url.site.is_some() && !url.controllers.is_empty() {
            return Err(odd("site= chooses among those that DNS tells, and dc= names them".to_owned()));
        }
        let mut names: Vec<_> = url.controllers.iter().map(|controller| &controller.host).collect();
        names.sort();
        names.dedup();
        if names.len() != url.controllers.len() {
            return Err(odd("a domain controller is named twice".to_owned()));
        }
        Ok(url)
    }
}

impl fmt::Display for AdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ad://{}", self.domain)?;
        if self.container != DEFAULT_CONTAINER {
            write!(f, "/{}", self.container)?;
        }
        let mut pairs = Vec::new();
        if !self.controllers.is_empty() {
            let port = self.port();
            let list: Vec<_> = self.controllers.iter().map(|controller| controller.shown(port)).collect();
            pairs.push(format!("dc={}", list.join(",")));
        }
        pairs.extend(self.site.iter().map(|site| format!("site={site}")));
        pairs.extend(self.principal.iter().map(|name| format!("principal={name}")));
        pairs.extend(self.root_keys.iter().map(|folder| format!("root-keys={}", folder.display())));
        if let Transport::Tls { ca } = &self.transport {
            pairs.push("tls=yes".to_owned());
            pairs.extend(ca.iter().map(|file| format!("ca={}", file.display())));
        }
        if pairs.is_empty() { Ok(()) } else { write!(f, "?{}", pairs.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_back() {
        for text in [
            "ad://example.com",
            "ad://example.com/OU=Keys,OU=Ops",
            "ad://example.com?dc=dc1.example.com,dc2.example.com@10.0.0.2",
            "ad://example.com?site=Branch Office",
            "ad://example.com?dc=dc1.example.com@[::1]:3389&principal=svc@EXAMPLE.COM&root-keys=/k",
            "ad://example.com?tls=yes",
            "ad://example.com?dc=dc1.example.com@10.0.0.1,dc2.example.com@10.0.0.2:389&tls=yes&ca=/etc/ca.pem",
        ] {
            assert_eq!(text.parse::<AdUrl>().unwrap().to_string(), text);
        }
        let url: AdUrl = "ad://Example.COM/CN=DKM,CN=Program Data".parse().unwrap();
        assert_eq!(url.to_string(), "ad://example.com");
        assert_eq!(url.container_dn(), "CN=DKM,CN=Program Data,DC=example,DC=com");
    }

    #[test]
    fn others_say_what_is_wrong() {
        for (text, why) in [
            ("ldap://example.com", "ad://"),
            ("ad://", "domain"),
            ("ad://exa mple", "domain"),
            ("ad://example.com/Keys", "container"),
            ("ad://example.com/CN=Keys\\", "container"),
            ("ad://example.com?dc=", "DNS name"),
            ("ad://example.com?dc=dc1@x", "IP address"),
            ("ad://example.com?dc=dc1,dc1", "twice"),
            ("ad://example.com?site=", "understood"),
            ("ad://example.com?site=a/b", "understood"),
            ("ad://example.com?site=a&site=b", "understood"),
            ("ad://example.com?dc=dc1&site=a", "names them"),
            ("ad://example.com?password=x", "understood"),
            ("ad://example.com?root-keys=", "understood"),
            ("ad://example.com?tls=no", "tls=yes"),
            ("ad://example.com?tls=yes&tls=yes", "once"),
            ("ad://example.com?ca=/etc/ca.pem", "tls=yes"),
            ("ad://example.com?tls=yes&ca=", "understood"),
        ] {
            let error = text.parse::<AdUrl>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("expected ad://"), "{text}: {error}");
        }
    }
}
