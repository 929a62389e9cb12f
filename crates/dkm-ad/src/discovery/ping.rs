//! Asking a domain controller who it is before anybody signs in: an LDAP ping, MS-ADTS §6.3.3.
//!
//! Nobody vouches for the answer. It decides which domain controllers are asked first, never which are trusted.

use std::net::SocketAddr;
use std::time::Duration;

use domain::base::name::ParsedName;
use domain::base::wire::ParseError;
use domain::dep::octseq::Parser;

use crate::ldap::{self, LdapError, Search, all_of, equal};
use crate::url::{host_name, is_site};

/// `NETLOGON_NT_VERSION_5 | NETLOGON_NT_VERSION_5EX`, MS-ADTS §6.3.1.1: an answer with sites in it.
const VERSION: [u8; 4] = [6, 0, 0, 0];
/// `LOGON_SAM_LOGON_RESPONSE_EX`, MS-ADTS §6.3.1.3.
const ANSWER: u16 = 23;
/// It also answers when its network logon service is paused, as while it starts: `LOGON_SAM_PAUSE_RESPONSE_EX`.
const PAUSED: u16 = 24;
/// `DS_WRITABLE_FLAG`, MS-ADTS §6.3.1.2.
const WRITABLE: u32 = 0x0000_0100;

/// What a domain controller says of itself and of the client, MS-ADTS §6.3.1.9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Its DNS name, in lower case.
    pub host: String,
    /// Its domain's DNS name, in lower case.
    pub domain: String,
    /// The site that it is in.
    pub site: Option<String>,
    /// The site of the address that asked, if the domain knows one.
    pub client_site: Option<String>,
    /// Whether it takes changes; a read-only domain controller does not.
    pub writable: bool,
    /// Whether it asks not to be used at present.
    pub paused: bool,
}

impl Presence {
    /// Reads a `NETLOGON_SAM_LOGON_RESPONSE_EX`. Names in it are compressed as in DNS, RFC 1035 §4.1.4.
    ///
    /// # Errors
    /// It is none; says what is odd. What follows the names of the sites is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = Parser::from_ref(bytes);
        let short = |_| "it ends before the names".to_owned();
        let code = rest.parse_u16_le().map_err(short)?;
        if code != ANSWER && code != PAUSED {
            return Err(format!("it is of kind {code}"));
        }
        rest.advance(2).map_err(short)?;
        let flags = rest.parse_u32_le().map_err(short)?;
        // The domain's id.
        rest.advance(16).map_err(short)?;
        let mut name = |what: &str| {
            ParsedName::parse_ref(&mut rest)
                .map_err(|error: ParseError| format!("{what} can't be read: {error}"))
        };
        let _forest = name("the forest's name")?;
        let domain = dns(&name("the domain's name")?, "the domain's name")?;
        let host = dns(&name("its name")?, "its name")?;
        for what in ["the domain's short name", "its short name", "the user's name"] {
            name(what)?;
        }
        let site = site(&name("its site")?)?;
        let client_site = self::site(&name("the client's site")?)?;
        Ok(Self { host, domain, site, client_site, writable: flags & WRITABLE != 0, paused: code == PAUSED })
    }
}

type Read<'a> = ParsedName<&'a [u8]>;

fn joined(name: &Read<'_>) -> Result<String, String> {
    let labels: Vec<&str> = name
        .iter()
        .map(|label| std::str::from_utf8(label.as_slice()))
        .filter(|label| *label != Ok(""))
        .collect::<Result<_, _>>()
        .map_err(|_| "a name is not UTF-8".to_owned())?;
    Ok(labels.join("."))
}

fn dns(name: &Read<'_>, what: &str) -> Result<String, String> {
    host_name(&joined(name)?).map_err(|why| format!("{what}: {why}"))
}

fn site(name: &Read<'_>) -> Result<Option<String>, String> {
    let name = joined(name)?;
    if name.is_empty() {
        Ok(None)
    } else if is_site(&name) {
        Ok(Some(name))
    } else {
        Err(format!("{name:?} is no site"))
    }
}

/// Asks the domain controller at one of these addresses about a domain.
///
/// # Errors
/// None of them answers, or what answers serves another domain.
pub(super) fn ask(addresses: &[SocketAddr], domain: &str, limit: Duration) -> Result<Presence, LdapError> {
    let mut search = Search::base("", vec!["netlogon"]);
    search.filter = all_of(vec![equal("DnsDomain", domain), equal("NtVer", VERSION)]);
    let found = ldap::ask_unsigned(addresses, &search, limit)?;
    let odd = |why: String| LdapError::Protocol(format!("its answer to a ping: {why}"));
    let answer = found.as_ref().and_then(|root| root.bytes("netlogon"));
    let answer = answer.ok_or_else(|| odd("there is none, as if it did not serve the domain".to_owned()))?;
    let presence = Presence::parse(answer).map_err(odd)?;
    if presence.domain != domain {
        return Err(odd(format!("it serves {}, not {domain}", presence.domain)));
    }
    Ok(presence)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Samba 4.17 answered.
    const SAMBA: &[u8] =
        b"\x17\0\0\0\xbd\x11\0\0\xeb\x4a\xf6\x46\x18\x48\xa2\x45\x8b\x49\x66\xf1\x0c\xaf\xd0\x59\
        \x03dkm\x04test\0\xc0\x18\x03dc1\xc0\x18\x03DKM\0\x03DC1\0\0\x17Default-First-Site-Name\0\xc0\x35\
        \x05\0\0\0\xff\xff\xff\xff";

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> Result<Presence, String> {
        let mut bytes = SAMBA.to_vec();
        change(&mut bytes);
        Presence::parse(&bytes)
    }

    #[test]
    fn a_real_answer_is_read() {
        let site = Some("Default-First-Site-Name".to_owned());
        let presence = Presence {
            host: "dc1.dkm.test".to_owned(),
            domain: "dkm.test".to_owned(),
            site: site.clone(),
            client_site: site,
            writable: true,
            paused: false,
        };
        assert_eq!(Presence::parse(SAMBA), Ok(presence.clone()));
        assert_eq!(with(|bytes| bytes[0] = 24), Ok(Presence { paused: true, ..presence.clone() }));
        assert_eq!(with(|bytes| bytes[5] &= !1), Ok(Presence { writable: false, ..presence.clone() }));
        // A client whose address is in no site of the domain.
        let none = with(|bytes| {
            let at = bytes.len() - 10;
            bytes.splice(at..at + 2, [0]);
        });
        assert_eq!(none, Ok(Presence { client_site: None, ..presence }));
    }

    #[test]
    fn what_is_none_says_why() {
        for (change, why) in [
            ((|bytes: &mut Vec<u8>| bytes[0] = 25) as fn(&mut Vec<u8>), "kind 25"),
            (|bytes| bytes.truncate(20), "ends"),
            (|bytes| bytes.truncate(40), "read"),
            // A name that stands for itself.
            (|bytes| bytes[34] = 33, "read"),
            (|bytes| bytes[37] = b'/', "DNS name"),
            (|bytes| bytes[60] = b'\n', "site"),
            (|bytes| bytes[60] = 0xFF, "UTF-8"),
        ] {
            let error = with(change).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_ends_in_names_or_an_error(
            at in 0..SAMBA.len(), byte: u8, len in 0..=SAMBA.len(), more in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let read = with(|bytes| {
                bytes[at] = byte;
                bytes.truncate(len);
                bytes.extend(more);
            });
            if let Ok(presence) = read {
                prop_assert_eq!(host_name(&presence.host), Ok(presence.host.clone()));
                prop_assert_eq!(host_name(&presence.domain), Ok(presence.domain.clone()));
                prop_assert!(presence.site.iter().chain(&presence.client_site).all(|site| is_site(site)));
            }
        }
    }
}
