//! Signing in over HTTP by Kerberos, in one token for each request: SPNEGO (RFC 4178), as RFC 4559 has it, bound to the TLS
//! connection that it comes over (RFC 5929).
//!
//! Nothing but Kerberos is taken. Whoever else SPNEGO could agree on (NTLM) takes more than one token, and is refused with
//! the first.

use std::time::Duration;

use libgssapi::context::{ClientCtx, CtxFlags, SecurityContext as _, ServerCtx};
use libgssapi::credential::{Cred, CredUsage};
use libgssapi::name::Name;
use libgssapi::oid::{
    GSS_MECH_KRB5, GSS_MECH_SPNEGO, GSS_NT_HOSTBASED_SERVICE, GSS_NT_KRB5_PRINCIPAL, OidSet,
};

mod ticket;

pub use crate::ldap::server_end_point;

use crate::ldap::Identity;
use crate::patience;

/// The longest token that is taken, in bytes: what Windows takes at most, too (`MaxTokenSize`).
pub const TOKEN_LEN_MAX: usize = 65_535;

/// `GSS_C_CHANNEL_BOUND_FLAG`: both sides have named the same TLS connection (MIT Kerberos 1.19 and later).
const CHANNEL_BOUND: u32 = 0x800;
/// How the first token of SPNEGO begins, after its length: with the mechanism's name.
const SPNEGO: &[u8] = &[0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
/// How tokens of NTLM begin.
const NTLM: &[u8] = b"NTLMSSP\0";
/// How long tickets may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn told(error: &libgssapi::error::Error) -> String {
    // The library prints major and minor status on lines of their own.
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Makes a request's token for a service, `HTTP@<host>`, bound to a TLS connection by [`server_end_point`] of its certificate. May
/// wait for a domain controller. Nothing is delegated.
///
/// # Errors
/// There is no ticket, and none can be got; says why.
pub fn token(identity: &Identity, service: &str, binding: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let (identity, service, binding) = (identity.clone(), service.to_owned(), binding.map(<[u8]>::to_vec));
    patience::within(PATIENCE, move || {
        let failed = |error: libgssapi::error::Error| format!("{service}: {}", told(&error));
        let target = Name::new(service.as_bytes(), Some(GSS_NT_HOSTBASED_SERVICE)).map_err(failed)?;
        let credentials = match &identity {
            Identity::Environment => None,
            _ => identity.credentials(&GSS_MECH_SPNEGO).map_err(|error| error.to_string())?,
        };
        let flags = CtxFlags::GSS_C_REPLAY_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
        let mut context = ClientCtx::new(credentials, target, flags, Some(GSS_MECH_SPNEGO));
        let token = context.step(None, binding.as_deref()).map_err(failed)?;
        token.map(|token| token.to_vec()).ok_or_else(|| format!("{service}: Kerberos made no token"))
    })
    .and_then(|made| made)
}

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is none of Kerberos in SPNEGO.
    #[error("this is no Kerberos token in SPNEGO: {0}")]
    Kind(&'static str),
    /// The Kerberos library refuses it: another service's, ended, shown before, bound to another connection.
    #[error("Kerberos refuses the ticket: {0}")]
    Kerberos(String),
    /// It is for another service than this.
    #[error("the ticket is for another service than {0}")]
    Service(String),
    /// It is not bound to the connection that it came over.
    #[error("the ticket is not bound to this TLS connection (channel binding, RFC 5929)")]
    Unbound,
    /// It is another domain's, or no account's.
    #[error("{0:?} is no account of this server's domain")]
    Principal(String),
}

/// Whether tokens must be bound to their TLS connection. One that is bound to another is never taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// They must.
    Required,
    /// Tokens without a binding are taken: of `curl`, and of browsers that send none.
    IfSent,
}

/// Takes tokens for one service, by the keytab that the environment names (`KRB5_KTNAME`).
#[derive(Debug)]
pub struct Acceptor {
    credentials: Cred,
    service: String,
    realm: String,
}

impl Acceptor {
    /// For the service `HTTP/<host>` of a realm. The keytab is read anew for each token.
    ///
    /// # Errors
    /// It can't be read, or holds no key of the service.
    pub fn new(host: &str, realm: &str) -> Result<Self, String> {
        let service = format!("HTTP/{host}@{realm}");
        let failed = |error: libgssapi::error::Error| format!("{service}: {}", told(&error));
        let name = Name::new(service.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL)).map_err(failed)?;
        let mechanisms = OidSet::singleton(GSS_MECH_SPNEGO).map_err(failed)?;
        let credentials =
            Cred::acquire(Some(&name), None, CredUsage::Accept, Some(&mechanisms)).map_err(failed)?;
        Ok(Self { credentials, service, realm: realm.to_owned() })
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The account's name in a token that came over the TLS connection of this binding ([`server_end_point`]): what stands
    /// before the realm, as the domain has written it. Takes each token once.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn accept(&self, token: &[u8], binding: &[u8], wanted: Binding) -> Result<String, Refused> {
        check_kind(token)?;
        // One key may be that of several services, and the library takes tickets for each of them.
        let service = ticket::service(token).ok_or(Refused::Kind("it holds no ticket"))?;
        if !service.eq_ignore_ascii_case(&self.service) {
            return Err(Refused::Service(self.service.clone()));
        }
        let kerberos = |error: libgssapi::error::Error| Refused::Kerberos(told(&error));
        let mut context = ServerCtx::new(Some(self.credentials.clone()));
        context.step(token, Some(binding)).map_err(kerberos)?;
        if !context.is_complete() {
            return Err(Refused::Kind("it wants to go on with another"));
        }
        let held = context.info().map_err(kerberos)?;
        if held.mechanism != GSS_MECH_KRB5 {
            return Err(Refused::Kind("it is of another mechanism"));
        }
        if held.flags.contains(CtxFlags::GSS_C_ANON_FLAG) {
            return Err(Refused::Principal("anonymous".to_owned()));
        }
        if wanted == Binding::Required && held.flags.bits() & CHANNEL_BOUND == 0 {
            return Err(Refused::Unbound);
        }
        let principal = held.source_name.display_name().map_err(kerberos)?;
        let principal = String::from_utf8_lossy(&principal).into_owned();
        match principal.split_once('@') {
            Some((name, realm)) if realm == self.realm => Ok(name.to_owned()),
            _ => Err(Refused::Principal(principal)),
        }
    }
}

/// Whether a token says of itself that it is SPNEGO's first. The library would take those of plain Kerberos, and of whatever
/// else is installed, too.
fn check_kind(token: &[u8]) -> Result<(), Refused> {
    if token.starts_with(NTLM) {
        return Err(Refused::Kind("it is one of NTLM"));
    }
    if token.len() > TOKEN_LEN_MAX {
        return Err(Refused::Kind("it is too long"));
    }
    // The length in DER: one byte, or up to four that the first one counts.
    let after = match token {
        [0x60, length, rest @ ..] if *length < 0x80 => rest,
        [0x60, length @ 0x81..=0x84, rest @ ..] => rest.get(usize::from(length & 0x7f)..).unwrap_or_default(),
        _ => &[],
    };
    if after.starts_with(SPNEGO) { Ok(()) } else { Err(Refused::Kind("it begins otherwise")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_token_of_spnego_is_looked_at() {
        let spnego = |head: &[u8]| [head, SPNEGO, &[0xa0; 40]].concat();
        for head in [&[0x60, 0x30][..], &[0x60, 0x81, 0xf0], &[0x60, 0x82, 0x01, 0x00]] {
            assert_eq!(check_kind(&spnego(head)), Ok(()));
        }
        let kerberos = [&[0x60, 0x30, 0x06, 0x09][..], b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"].concat();
        let long = [spnego(&[0x60, 0x83, 1, 0, 0]), vec![0; TOKEN_LEN_MAX]].concat();
        for odd in
            [&b""[..], b"\x60", b"\x60\x84\x01", b"\x60\x80\x06", b"NTLMSSP\0\x01\0\0\0", &kerberos, &long]
        {
            assert!(check_kind(odd).is_err(), "{odd:02x?}");
        }
        // What goes on with a conversation that never began.
        assert!(check_kind(&[0xa1, 0x14, 0x30, 0x12]).is_err());
    }
}
