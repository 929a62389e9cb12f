//! Providers of mailboxes: where they are reached, and which logins they take.
//!
//! What a provider accepts changes. Each row of the table says where its OAuth2 login was read, and when; servers and endpoints
//! are as commonly known. [`Provider::facts`] has it, and `docs/accounts.md` shows it.

use std::fmt;
use std::str::FromStr;

use crate::account::Protocol;

/// A provider of mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Outlook.com, and what was Hotmail, Live and MSN.
    Outlook,
    /// Gmail.
    Gmail,
    /// Yahoo! Mail.
    Yahoo,
    /// Any other, at a host that is named with the account.
    Custom,
}

/// How one signs in to a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Login {
    /// A password that the mailbox's owner has made for one program, or its only one.
    Password,
    /// OAuth 2.0 (RFC 6749), shown to the server by XOAUTH2 or OAUTHBEARER (RFC 7628).
    OAuth2,
}

/// A server, reached over TLS from the first byte (RFC 8314 §3). Upgrades from plain text are not used: whoever stands in
/// between could leave them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Its name, which its certificate must have.
    pub host: &'static str,
    /// Its port.
    pub port: u16,
}

/// Where a provider gives out tokens (RFC 6749, RFC 8628, RFC 7009).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OAuth {
    /// Where the mailbox's owner says yes.
    pub authorization: &'static str,
    /// Where codes and refresh tokens become access tokens.
    pub token: &'static str,
    /// For devices without a browser, if it gives tokens for mail in that way.
    pub device: Option<&'static str>,
    /// Where a token is taken back, if anywhere.
    pub revocation: Option<&'static str>,
    /// What is asked for.
    pub scopes: &'static [&'static str],
}

/// What is known of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its name for people.
    pub name: &'static str,
    /// Domains of its addresses.
    pub domains: &'static [&'static str],
    /// IMAP.
    pub imap: Server,
    /// POP3.
    pub pop3: Server,
    /// Whether it takes passwords (app passwords).
    pub password: bool,
    /// Which logins it takes, in words.
    pub logins: &'static str,
    /// OAuth 2.0.
    pub oauth: OAuth,
    /// Where its OAuth2 login was read.
    pub source: &'static str,
    /// When, as a date (RFC 3339).
    pub read_on: &'static str,
}

const OUTLOOK: Facts = Facts {
    name: "Outlook.com",
    domains: &["outlook.com", "hotmail.com", "live.com", "msn.com"],
    imap: Server { host: "outlook.office365.com", port: 993 },
    pop3: Server { host: "outlook.office365.com", port: 995 },
    password: false,
    logins: "OAuth2 only: passwords and app passwords have been refused for IMAP and POP3 since September 2024",
    oauth: OAuth {
        authorization: "https://login.microsoftonline.com/consumers/oauth2/v2.0/authorize",
        token: "https://login.microsoftonline.com/consumers/oauth2/v2.0/token",
        device: Some("https://login.microsoftonline.com/consumers/oauth2/v2.0/devicecode"),
        revocation: None,
        scopes: &[
            "https://outlook.office.com/IMAP.AccessAsUser.All",
            "https://outlook.office.com/POP.AccessAsUser.All",
            "offline_access",
        ],
    },
    source: "https://techissuestoday.com/how-to-update-outlook-email-settings-to-avoid-losing-access-after-september-16/",
    read_on: "2026-11-29",
};

const GMAIL: Facts = Facts {
    name: "Gmail",
    domains: &["gmail.com", "googlemail.com"],
    imap: Server { host: "imap.gmail.com", port: 993 },
    pop3: Server { host: "pop.gmail.com", port: 995 },
    password: true,
    logins: "OAuth2, and app passwords of accounts with two-step verification; the account's own password is refused",
    oauth: OAuth {
        authorization: "https://accounts.google.com/o/oauth2/v2/auth",
        token: "https://oauth2.googleapis.com/token",
        // Its device flow gives no tokens for mail.
        device: None,
        revocation: Some("https://oauth2.googleapis.com/revoke"),
        scopes: &["https://mail.google.com/"],
    },
    source: "https://developers.google.com/workspace/gmail/imap/xoauth2-protocol",
    read_on: "2026-11-29",
};

const YAHOO: Facts = Facts {
    name: "Yahoo! Mail",
    domains: &["yahoo.com", "ymail.com", "rocketmail.com"],
    imap: Server { host: "imap.mail.yahoo.com", port: 993 },
    pop3: Server { host: "pop.mail.yahoo.com", port: 995 },
    password: true,
    logins: "app passwords, and OAuth2 (OAUTHBEARER) for programs that Yahoo! has approved for mail",
    oauth: OAuth {
        authorization: "https://api.login.yahoo.com/oauth2/request_auth",
        token: "https://api.login.yahoo.com/oauth2/get_token",
        device: None,
        revocation: Some("https://api.login.yahoo.com/oauth2/revoke"),
        scopes: &["mail-r"],
    },
    source: "https://senders.yahooinc.com/developer/documentation",
    read_on: "2026-11-29",
};

impl Provider {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Outlook, Self::Gmail, Self::Yahoo, Self::Custom];

    /// Its name in commands and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outlook => "outlook",
            Self::Gmail => "gmail",
            Self::Yahoo => "yahoo",
            Self::Custom => "custom",
        }
    }

    /// What is known of it; nothing of a custom one.
    #[must_use]
    pub const fn facts(self) -> Option<&'static Facts> {
        match self {
            Self::Outlook => Some(&OUTLOOK),
            Self::Gmail => Some(&GMAIL),
            Self::Yahoo => Some(&YAHOO),
            Self::Custom => None,
        }
    }

    /// The one that has addresses of this domain, if it is built in.
    #[must_use]
    pub fn of_domain(domain: &str) -> Option<Self> {
        let has = |provider: &Self| {
            let domains = provider.facts().map_or(&[][..], |facts| facts.domains);
            domains.iter().any(|known| known.eq_ignore_ascii_case(domain))
        };
        Self::ALL.into_iter().find(has)
    }

    /// Why it does not take a login; nothing if it does.
    #[must_use]
    pub fn refuses(self, login: Login) -> Option<&'static str> {
        let facts = self.facts()?;
        (login == Login::Password && !facts.password).then_some(facts.logins)
    }

    /// Where its mailboxes are, if it is built in.
    #[must_use]
    pub fn server(self, protocol: Protocol) -> Option<Server> {
        let facts = self.facts()?;
        Some(match protocol {
            Protocol::Imap => facts.imap,
            Protocol::Pop3 => facts.pop3,
        })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|provider| provider.as_str() == text);
        found.ok_or_else(|| "a provider is outlook, gmail, yahoo or custom".to_owned())
    }
}

impl Login {
    /// Its name in commands and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::OAuth2 => "oauth2",
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Login {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "password" => Ok(Self::Password),
            "oauth2" => Ok(Self::OAuth2),
            _ => Err("a login is password or oauth2".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for provider in Provider::ALL {
            assert_eq!(provider.as_str().parse(), Ok(provider));
        }
        for login in [Login::Password, Login::OAuth2] {
            assert_eq!(login.as_str().parse(), Ok(login));
        }
        assert!("Gmail".parse::<Provider>().is_err() && "".parse::<Login>().is_err());
    }

    #[test]
    fn every_built_in_provider_is_reached_over_tls_alone() {
        for facts in Provider::ALL.into_iter().filter_map(Provider::facts) {
            assert_eq!((facts.imap.port, facts.pop3.port), (993, 995), "{}", facts.name);
            let urls = [facts.oauth.authorization, facts.oauth.token, facts.source];
            let more = facts.oauth.device.into_iter().chain(facts.oauth.revocation);
            assert!(urls.into_iter().chain(more).all(|url| url.starts_with("https://")), "{}", facts.name);
            assert!(!facts.oauth.scopes.is_empty() && facts.read_on.len() == 10, "{}", facts.name);
        }
    }

    #[test]
    fn addresses_tell_their_provider() {
        assert_eq!(Provider::of_domain("Hotmail.com"), Some(Provider::Outlook));
        assert_eq!(Provider::of_domain("gmail.com"), Some(Provider::Gmail));
        assert_eq!(Provider::of_domain("ymail.com"), Some(Provider::Yahoo));
        assert_eq!(Provider::of_domain("example.org"), None);
        assert_eq!(Provider::of_domain("gmail.com.example.org"), None);
    }

    #[test]
    fn outlook_takes_no_password() {
        assert!(Provider::Outlook.refuses(Login::Password).is_some_and(|why| why.contains("OAuth2 only")));
        let takes = [Provider::Gmail, Provider::Yahoo, Provider::Custom];
        assert!(takes.into_iter().all(|provider| provider.refuses(Login::Password).is_none()));
        assert!(Provider::ALL.into_iter().all(|provider| provider.refuses(Login::OAuth2).is_none()));
    }
}
