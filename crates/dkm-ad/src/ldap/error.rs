//! What can go wrong between us and a domain controller.

use rasn_ldap::ResultCode;

/// Why a domain controller did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LdapError {
    /// It can't be reached, or the connection broke or took too long.
    #[error("{0}")]
    Unreachable(String),
    /// Kerberos gave no ticket, or the two sides do not know each other.
    #[error("Kerberos: {0}; get a ticket with kinit, or name a keytab in KRB5_CLIENT_KTNAME")]
    Kerberos(String),
    /// The connection can't be protected by TLS, or not as it must.
    #[error("TLS: {0}")]
    Tls(String),
    /// What it sent is not what the protocol allows.
    #[error("it does not speak LDAP as expected: {0}")]
    Protocol(String),
    /// It answered with an error.
    #[error("{message} (LDAP result {code})")]
    Refused {
        /// The result code, RFC 4511 §4.1.9.
        code: u32,
        /// What it says, on one line.
        message: String,
    },
}

impl LdapError {
    /// The result code, if it answered with one.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the connection is of no more use.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// The object is not there, or this account may not see it.
pub(crate) const NO_SUCH_OBJECT: u32 = ResultCode::NoSuchObject as u32;
/// Another object has this name.
pub(crate) const ALREADY_EXISTS: u32 = ResultCode::EntryAlreadyExists as u32;
/// The attribute has this value already.
pub(crate) const ATTRIBUTE_OR_VALUE_EXISTS: u32 = ResultCode::AttributeOrValueExists as u32;
/// The attribute does not have this value.
pub(crate) const NO_SUCH_ATTRIBUTE: u32 = ResultCode::NoSuchAttribute as u32;
/// It does not do that; so a member that is none is answered.
pub(crate) const UNWILLING: u32 = ResultCode::UnwillingToPerform as u32;
/// The access control says no.
pub(crate) const INSUFFICIENT_ACCESS: u32 = ResultCode::InsufficientAccessRights as u32;

/// What a diagnostic message says, without its control characters: Samba ends them with a null byte.
pub(crate) fn refused(code: ResultCode, message: &str) -> LdapError {
    let message: String = message.chars().filter(|c| !c.is_control()).take(300).collect();
    let message = if message.trim().is_empty() { format!("{code:?}") } else { message };
    LdapError::Refused { code: code as u32, message }
}
