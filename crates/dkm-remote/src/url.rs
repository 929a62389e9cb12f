//! The URL of a repository behind `dkmd`: where its servers are, and with what this account signs in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// Port of servers whose URL names none.
const PORT: u16 = 443;
/// Most servers of one URL.
const ENDPOINTS_MAX: usize = 16;
/// The folder of credentials, if the URL names none.
pub const DEFAULT_CREDENTIALS: &str = "/etc/dkm/credentials";

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A host, over TLS.
    Host {
        /// Its DNS name or IP address (that of version 6 in brackets), which its certificate must name.
        name: String,
        /// Its TCP port.
        port: u16,
    },
    /// A Unix socket.
    Socket(PathBuf),
}

/// The URL of a repository behind `dkmd`.
///
/// `https://host[:port][?credentials=/folder][&ca=/file.pem][&replica=https://other[:port]…][&root-keys=/folder]`,
/// `https://host[:port]?kerberos=yes[&principal=name@REALM][&ca=/file.pem]…`, or `unix:/path/of/socket[?root-keys=/folder]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteUrl {
    /// The servers, each with a replica of its own; at least one.
    pub endpoints: Vec<Endpoint>,
    /// Folder of this account's credentials.
    pub credentials: PathBuf,
    /// Whether this account signs in by Kerberos, whatever certificate there is.
    pub kerberos: bool,
    /// The Kerberos principal by which it does; none: the environment's default.
    pub principal: Option<String>,
    /// File of the authorities that vouch for the servers, if not the one among the credentials.
    pub ca: Option<PathBuf>,
    /// Folder of the root keys.
    pub root_keys: Option<PathBuf>,
}

/// Why a text is not the URL of a repository behind `dkmd`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the URL of a repository behind dkmd: {why}; expected https://host[:port][?credentials=/folder] or \
     unix:/path"
)]
pub struct ParseRemoteUrlError {
    text: String,
    why: String,
}

impl RemoteUrl {
    /// Whether the URL says that this account signs in by Kerberos.
    #[must_use]
    pub const fn signs_in_by_kerberos(&self) -> bool {
        self.kerberos || self.principal.is_some()
    }
}

impl Endpoint {
    /// Reads `host[:port]`.
    fn host(authority: &str) -> Result<Self, String> {
        let odd = || format!("{authority:?} is no host");
        // The colons of an address of version 6 are in brackets.
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| digits && *port > 0);
                (name, port.ok_or_else(|| format!("{authority:?} has no port from 1 to 65535"))?)
            }
            _ => (authority, PORT),
        };
        let bare = match name.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|bare| bare.contains(':')).ok_or_else(odd)?,
            None if name.contains(':') => return Err(odd()),
            None => name,
        };
        ServerName::try_from(bare).map_err(|_| odd())?;
        Ok(Self::Host { name: name.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { name, port: PORT } => write!(f, "https://{name}"),
            Self::Host { name, port } => write!(f, "https://{name}:{port}"),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for RemoteUrl {
    type Err = ParseRemoteUrlError;

    fn from_str(text: &str) -> Result<Self, ParseRemoteUrlError> {
        let odd = |why: String| ParseRemoteUrlError { text: text.to_owned(), why };
        let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
        let first = first(place).map_err(odd)?;
        let over_tls = matches!(first, Endpoint::Host { .. });
        let mut url = Self {
            endpoints: vec![first],
            credentials: PathBuf::from(DEFAULT_CREDENTIALS),
            kerberos: false,
            principal: None,
            ca: None,
            root_keys: None,
        };
        let mut credentials = None;
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let path = |value: &str, taken: &Option<PathBuf>| {
                (!value.is_empty() && taken.is_none()).then(|| PathBuf::from(value))
            };
            let not_understood = || odd(format!("{pair:?} is not understood"));
            let (name, value) = pair.split_once('=').ok_or_else(not_understood)?;
            match name {
                "root-keys" => {
                    url.root_keys = Some(path(value, &url.root_keys).ok_or_else(not_understood)?);
                }
                "credentials" | "kerberos" | "principal" | "ca" | "replica" if !over_tls => {
                    return Err(odd(format!("{name}= is of use with https: only")));
                }
                "credentials" => credentials = Some(path(value, &credentials).ok_or_else(not_understood)?),
                "kerberos" if value == "yes" && !url.kerberos => url.kerberos = true,
                "principal" if !value.is_empty() && url.principal.is_none() => {
                    url.principal = Some(value.to_owned());
                }
                "ca" => url.ca = Some(path(value, &url.ca).ok_or_else(not_understood)?),
                "replica" => {
                    let other = value.strip_prefix("https://").ok_or_else(not_understood)?;
                    let other = Endpoint::host(other.strip_suffix('/').unwrap_or(other)).map_err(&odd)?;
                    if url.endpoints.contains(&other) {
                        return Err(odd(format!("{other} is named twice")));
                    }
                    url.endpoints.push(other);
                }
                _ => return Err(not_understood()),
            }
        }
        if url.endpoints.len() > ENDPOINTS_MAX {
            return Err(odd(format!("more than {ENDPOINTS_MAX} servers")));
        }
        if credentials.is_some() && url.signs_in_by_kerberos() {
            return Err(odd(
                "an account signs in by a certificate (credentials=) or by Kerberos, not by both".to_owned(),
            ));
        }
        url.credentials = credentials.unwrap_or(url.credentials);
        Ok(url)
    }
}

/// The server that comes before the question mark.
fn first(place: &str) -> Result<Endpoint, String> {
    if let Some(path) = place.strip_prefix("unix:") {
        let path = Path::new(path);
        return if path.is_absolute() {
            Ok(Endpoint::Socket(path.to_path_buf()))
        } else {
            Err(format!("{:?} is no absolute path", path.display().to_string()))
        };
    }
    let authority = place.strip_prefix("https://").ok_or("it begins neither with https:// nor with unix:")?;
    Endpoint::host(authority.strip_suffix('/').unwrap_or(authority))
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut endpoints = self.endpoints.iter();
        endpoints.next().map_or(Ok(()), |first| write!(f, "{first}"))?;
        let mut pairs = Vec::new();
        if self.credentials != Path::new(DEFAULT_CREDENTIALS) {
            pairs.push(format!("credentials={}", self.credentials.display()));
        }
        if self.kerberos {
            pairs.push("kerberos=yes".to_owned());
        }
        pairs.extend(self.principal.iter().map(|name| format!("principal={name}")));
        pairs.extend(self.ca.iter().map(|file| format!("ca={}", file.display())));
        pairs.extend(endpoints.map(|other| format!("replica={other}")));
        pairs.extend(self.root_keys.iter().map(|folder| format!("root-keys={}", folder.display())));
        if pairs.is_empty() { Ok(()) } else { write!(f, "?{}", pairs.join("&")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_back() {
        for text in [
            "https://keys.example.com",
            "https://keys.example.com:8443?credentials=/etc/mail/dkm",
            "https://10.0.0.1:8443?ca=/etc/ca.pem",
            "https://[::1]:8443",
            "https://[2001:db8::1]",
            "https://a.example.com?credentials=/c&replica=https://b.example.com:8443&root-keys=/k",
            "https://keys.example.com?kerberos=yes&ca=/etc/ca.pem",
            "https://keys.example.com?kerberos=yes&principal=alice@EXAMPLE.COM",
            "https://keys.example.com?principal=svc-mail@EXAMPLE.COM&replica=https://b.example.com",
            "unix:/run/dkmd/socket",
            "unix:/run/dkmd/socket?root-keys=/k",
        ] {
            assert_eq!(text.parse::<RemoteUrl>().unwrap().to_string(), text);
        }
        let url: RemoteUrl = "https://Keys.Example.COM:443/".parse().unwrap();
        assert_eq!(url.to_string(), "https://keys.example.com");
        assert_eq!(url.credentials, Path::new(DEFAULT_CREDENTIALS));
    }

    #[test]
    fn others_say_what_is_wrong() {
        let many: Vec<_> = (0..16).map(|n| format!("replica=https://h{n}")).collect();
        for (text, why) in [
            ("http://example.com", "https://"),
            ("https://", "host"),
            ("https://exa mple", "host"),
            ("https://user:secret@example.com", "host"),
            ("https://example.com/path", "host"),
            ("https://example.com#x", "host"),
            ("https://::1", "host"),
            ("https://[example.com]", "host"),
            ("https://example.com:", "port"),
            ("https://example.com:0", "port"),
            ("https://example.com:+443", "port"),
            ("https://example.com:65536", "port"),
            ("https://example.com?token=x", "understood"),
            ("https://example.com?credentials=", "understood"),
            ("https://example.com?credentials=/a&credentials=/b", "understood"),
            ("https://example.com?replica=http://b", "understood"),
            ("https://example.com?replica=https://example.com:443", "twice"),
            (&format!("https://example.com?{}", many.join("&")), "more than 16"),
            ("https://example.com?kerberos=no", "understood"),
            ("https://example.com?kerberos=yes&kerberos=yes", "understood"),
            ("https://example.com?principal=", "understood"),
            ("https://example.com?kerberos=yes&credentials=/c", "not by both"),
            ("https://example.com?credentials=/c&principal=a@B", "not by both"),
            ("unix:/s?kerberos=yes", "https: only"),
            ("unix:", "absolute"),
            ("unix:relative", "absolute"),
            ("unix:/s?ca=/x", "https: only"),
            ("unix:/s?replica=https://b", "https: only"),
            ("unix:/s?root-keys", "understood"),
        ] {
            let error = text.parse::<RemoteUrl>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("expected https://"), "{text}: {error}");
        }
    }

    proptest::proptest! {
        /// What is taken is written so that the same is read, and nothing makes it stop.
        #[test]
        fn whatever_is_taken_reads_back(text in "(https://|unix:/)[a-z0-9\\[\\]:./é-]{0,20}(\\?((credentials|kerberos|principal|ca|replica|root-keys)=(/|https://|yes)?[a-z0-9:.&/-]{0,9}&?){0,3})?") {
            if let Ok(url) = text.parse::<RemoteUrl>() {
                proptest::prop_assert_eq!(url.to_string().parse::<RemoteUrl>(), Ok(url));
            }
        }
    }
}
