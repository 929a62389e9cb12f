//! Kerberos: who we are, who the domain controller is, and the sealing of everything between (RFC 4752), unless TLS does
//! that.

use std::fmt;
use std::time::Duration;

use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext as _};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::name::Name;
use libgssapi::oid::{
    GSS_MECH_KRB5, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, GSS_NT_USER_NAME, Oid, OidSet,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::LdapError;

/// The layer that seals, in the bit mask of RFC 4752 §3.1.
const CONFIDENTIALITY: u8 = 4;
/// No layer.
const NONE: u8 = 1;
/// The largest sealed message that we take: what Active Directory offers too.
const MESSAGE_LEN_MAX: u32 = 0x00FF_FFFF;

/// The most that is sealed in one piece.
const SEND_MAX: usize = 256 << 10;
/// More than header, padding, checksum and confounder of any cipher come to (RFC 4121 §4.2.6.2).
const SEALING_ADDS_MAX: usize = 256;

/// Whose Kerberos credentials are used.
#[derive(Clone, Default)]
pub enum Identity {
    /// What the environment says: the credential cache (`KRB5CCNAME`), or the client keytab (`KRB5_CLIENT_KTNAME`),
    /// from which tickets are fetched and renewed without a person.
    #[default]
    Environment,
    /// This principal out of the environment's caches and keytabs.
    Principal(String),
    /// A principal and its password. The ticket stays in this process.
    Password {
        /// The principal, `name@REALM`.
        principal: String,
        /// Its password.
        password: Zeroizing<String>,
    },
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("Environment"),
            Self::Principal(name) => write!(f, "Principal({name:?})"),
            Self::Password { principal, .. } => write!(f, "Password({principal:?}, …)"),
        }
    }
}

fn kerberos(doing: &str) -> impl Fn(libgssapi::error::Error) -> LdapError + '_ {
    // The library prints major and minor status on lines of their own.
    move |error| {
        let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        LdapError::Kerberos(format!("{doing}: {text}"))
    }
}

impl Identity {
    /// What is left of the ticket-granting ticket with which tickets are fetched.
    ///
    /// # Errors
    /// There is none, and none can be fetched.
    pub(crate) fn ticket_left(&self) -> Result<Duration, LdapError> {
        let left = match self.credentials(&GSS_MECH_KRB5)? {
            Some(credentials) => credentials.lifetime(),
            None => {
                let mechanisms = OidSet::singleton(GSS_MECH_KRB5).map_err(kerberos("choosing Kerberos"))?;
                Cred::acquire(None, None, CredUsage::Initiate, Some(&mechanisms))
                    .and_then(|credentials| credentials.lifetime())
            }
        };
        left.map_err(kerberos("the ticket's life"))
    }

    /// The credentials that are not the environment's own, for a mechanism.
    ///
    /// # Errors
    /// There are none.
    pub(crate) fn credentials(&self, mechanism: &Oid<'_>) -> Result<Option<Cred>, LdapError> {
        let of = |principal: &str| {
            Name::new(principal.as_bytes(), Some(GSS_NT_USER_NAME))
                .map_err(kerberos(&format!("principal {principal:?}")))
        };
        let mechanisms = OidSet::singleton(*mechanism).map_err(kerberos("choosing Kerberos"))?;
        match self {
            Self::Environment => Ok(None),
            Self::Principal(principal) => {
                let name = of(principal)?;
                Cred::acquire(Some(&name), None, CredUsage::Initiate, Some(&mechanisms))
                    .map_err(kerberos(&format!("credentials of {principal}")))
                    .map(Some)
            }
            Self::Password { principal, password } => {
                let name = of(principal)?;
                Cred::acquire_with_password(
                    Some(&name),
                    password,
                    None,
                    CredUsage::Initiate,
                    Some(&mechanisms),
                )
                .map_err(kerberos(&format!("credentials of {principal}")))
                .map(Some)
            }
        }
    }
}

/// What the handshake wants next.
pub(super) enum Step {
    /// Send this token to the server and bring back its answer.
    Send(Vec<u8>),
    /// Send this token; the server's success ends the handshake.
    Finish(Vec<u8>),
}

/// A Kerberos session with one service.
pub(super) struct Kerberos {
    context: ClientCtx,
    /// The service's name, for people.
    service: String,
    established: bool,
    send_max: usize,
    /// What binds the session to the TLS connection that it lies in; then Kerberos adds no layer of its own.
    binding: Option<Vec<u8>>,
}

impl fmt::Debug for Kerberos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kerberos(…)")
    }
}

impl Kerberos {
    /// Prepares a session with `ldap/<host>`. The ticket names the host: another server can't stand in for it. A session
    /// in TLS has a binding, and no layer; others seal.
    ///
    /// With a domain it is a session with `ldap/<host>/<domain>`: a name of three parts, which the domain gives to its
    /// domain controllers only. Any computer of the domain may have the other.
    pub(super) fn new(
        identity: &Identity,
        host: &str,
        domain: Option<&str>,
        binding: Option<Vec<u8>>,
    ) -> Result<Self, LdapError> {
        let (service, kind) = match domain {
            None => (format!("ldap@{host}"), GSS_NT_HOSTBASED_SERVICE),
            // A domain's realm is its name in capitals.
            Some(domain) => {
                (format!("ldap/{host}/{domain}@{}", domain.to_ascii_uppercase()), GSS_NT_KRB5_PRINCIPAL)
            }
        };
        let target = Name::new(service.as_bytes(), Some(kind)).map_err(kerberos("the service's name"))?;
        let mut flags =
            CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_REPLAY_FLAG | CtxFlags::GSS_C_SEQUENCE_FLAG;
        // Active Directory is said to refuse sessions in TLS that ask for layers. The library may say that it has them.
        if binding.is_none() {
            flags |= CtxFlags::GSS_C_CONF_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
        }
        let context =
            ClientCtx::new(identity.credentials(&GSS_MECH_KRB5)?, target, flags, Some(GSS_MECH_KRB5));
        Ok(Self { context, service, established: false, send_max: 0, binding })
    }

    /// One step of the handshake. `token` is what the server sent, none to begin with.
    ///
    /// # Errors
    /// No ticket, the wrong server, or a server that does not seal; in TLS, one that can't do without.
    pub(super) fn step(&mut self, token: Option<&[u8]>) -> Result<Step, LdapError> {
        if !self.established {
            let doing = format!("signing in to {}", self.service);
            let next = self.context.step(token, self.binding.as_deref()).map_err(kerberos(&doing))?;
            // Complete: the server's offer of layers comes with its next answer.
            self.established = self.context.is_complete();
            return Ok(Step::Send(next.map(|buffer| buffer.to_vec()).unwrap_or_default()));
        }
        let offer = self
            .context
            .unwrap(token.unwrap_or_default())
            .map_err(kerberos("the server's offer of security layers"))?;
        let &[layers, a, b, c] = &*offer else {
            return Err(LdapError::Protocol("its offer of security layers is not 4 bytes long".to_owned()));
        };
        let held = self.context.flags().map_err(kerberos("what was agreed"))?;
        if self.binding.is_some() {
            return self.without_layer(layers, held);
        }
        let wanted = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_CONF_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
        if layers & CONFIDENTIALITY == 0 || !held.contains(wanted) {
            return Err(LdapError::Kerberos("the server does not seal connections".to_owned()));
        }
        // What the server takes at once, sealed; sealing adds less than that.
        let takes = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(0);
        self.send_max = takes.saturating_sub(SEALING_ADDS_MAX).min(SEND_MAX);
        if self.send_max == 0 {
            return Err(LdapError::Protocol(format!("it takes no more than {takes} bytes at once")));
        }
        let [_, a, b, c] = MESSAGE_LEN_MAX.to_be_bytes();
        let answer = self.context.wrap(true, &[CONFIDENTIALITY, a, b, c]).map_err(kerberos("sealing"))?;
        Ok(Step::Finish(answer.to_vec()))
    }

    /// What is left of the service ticket that the session was opened with.
    pub(super) fn ticket_left(&self) -> Option<Duration> {
        self.context.lifetime().ok()
    }

    /// Ends the handshake of a session in TLS.
    fn without_layer(&mut self, layers: u8, held: CtxFlags) -> Result<Step, LdapError> {
        if !held.contains(CtxFlags::GSS_C_MUTUAL_FLAG) {
            return Err(LdapError::Kerberos("the server did not prove which it is".to_owned()));
        }
        if layers & NONE == 0 {
            return Err(LdapError::Tls(
                "it wants Kerberos to seal within TLS, too: use its LDAP port, without tls=yes".to_owned(),
            ));
        }
        // Without a layer there is no largest message.
        let answer = self.context.wrap(false, &[NONE, 0, 0, 0]).map_err(kerberos("the choice of layers"))?;
        Ok(Step::Finish(answer.to_vec()))
    }

    /// How much may be sealed in one piece for this server.
    pub(super) fn send_max(&self) -> usize {
        self.send_max.max(1)
    }

    /// Seals what is sent.
    pub(super) fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, LdapError> {
        self.context.wrap(true, plain).map(|sealed| sealed.to_vec()).map_err(kerberos("sealing"))
    }

    /// Opens what came; what was tampered with, repeated or not sealed is an error.
    pub(super) fn open(&mut self, sealed: &[u8], into: &mut Zeroizing<Vec<u8>>) -> Result<(), LdapError> {
        if !is_sealed(sealed) {
            return Err(LdapError::Protocol("it sent a message that is not sealed".to_owned()));
        }
        let mut plain = self.context.unwrap(sealed).map_err(kerberos("opening what the server sent"))?;
        into.extend_from_slice(&plain);
        plain.zeroize();
        Ok(())
    }
}

/// Whether a token of RFC 4121 §4.2.6.2 is sealed: the library opens tokens that are only signed, too, and does not
/// tell. Older ciphers have other tokens, and are refused with that.
fn is_sealed(token: &[u8]) -> bool {
    const SEALED: u8 = 2;
    matches!(token, [0x05, 0x04, flags, ..] if flags & SEALED != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sealed_tokens_of_the_present_kind_are_taken() {
        assert!(is_sealed(&[0x05, 0x04, 0x07, 0xFF]));
        assert!(!is_sealed(&[0x05, 0x04, 0x05, 0xFF]), "signed only");
        assert!(!is_sealed(&[0x60, 0x0B, 0x06, 0x09]), "the framing of RC4");
        assert!(!is_sealed(&[0x05, 0x04]));
        assert!(!is_sealed(&[]));
    }

    #[test]
    fn passwords_are_not_shown() {
        let identity = Identity::Password {
            principal: "svc@EXAMPLE.COM".to_owned(),
            password: Zeroizing::new("correct horse".to_owned()),
        };
        let shown = format!("{identity:?}");
        assert!(shown.contains("svc@EXAMPLE.COM") && !shown.contains("horse"), "{shown}");
    }
}
