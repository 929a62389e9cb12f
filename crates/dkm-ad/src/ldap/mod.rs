//! A small LDAP client: what a repository needs of RFC 4511, over connections that Kerberos seals, or TLS.
//!
//! Messages are encoded and decoded by `rasn`; here are the order of messages, deadlines, and paging (RFC 2696).

mod binding;
mod error;
mod found;
mod kerberos;
mod search;
mod tls;
mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use binding::server_end_point;
pub use error::LdapError;
pub(crate) use error::{
    ALREADY_EXISTS, ATTRIBUTE_OR_VALUE_EXISTS, INSUFFICIENT_ACCESS, NO_SUCH_ATTRIBUTE, NO_SUCH_OBJECT,
    UNWILLING,
};
pub(crate) use found::Found;
pub use kerberos::Identity;
use search::FOUND_MAX;
pub(crate) use search::{
    Scope, Search, all_of, any_of, equal, greater_or_equal, has_bits, not, present, sd_flags_dacl,
};

use zeroize::Zeroize as _;

use rasn_ldap::{
    AddRequest, Attribute, AuthenticationChoice, BindRequest, ChangeOperation, Control, DelRequest,
    LdapMessage, LdapResult, ModifyRequest, ModifyRequestChanges, PartialAttribute, ProtocolOp, ResultCode,
    SaslCredentials,
};

use self::error::refused;
use self::kerberos::{Kerberos, Step};
use self::tls::Tls;
pub use self::tls::Transport;
use self::wire::Wire;

/// How many times a handshake goes back and forth at most; Kerberos needs two.
const HANDSHAKE_STEPS_MAX: usize = 8;

/// The longest message that is taken from somebody who is not known, in bytes.
const UNSIGNED_LEN_MAX: usize = 64 << 10;

/// Most answers that are kept for later requests: what a few searches asked at once may give.
const EARLY_MAX: usize = 10_000;

/// A connection to one domain controller, signed in, and sealed or in TLS.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    next: u32,
    /// Answers to requests whose turn has not come: a server may answer several in any order.
    early: VecDeque<LdapMessage>,
    /// How long one operation may take.
    limit: Duration,
    /// Requests that have no whole answer yet.
    open: usize,
    /// Most objects that a search may find.
    found_max: usize,
}

/// An attribute and its values, as they are written.
pub(crate) type Values<'a> = (&'a str, Vec<Vec<u8>>);

fn text(value: &str) -> rasn_ldap::LdapString {
    rasn_ldap::LdapString(value.to_owned())
}

fn values(values: Vec<Vec<u8>>) -> rasn::types::SetOf<rasn::types::OctetString> {
    rasn::types::SetOf::from_vec(values.into_iter().map(Into::into).collect())
}

impl Connection {
    /// Connects to a domain controller, signs in by Kerberos and seals the connection unless it is in TLS, within
    /// `connect`; from then on each request may take `limit`. Where a domain is given, the host must be a domain
    /// controller of it.
    ///
    /// # Errors
    /// It does not answer, is another one than `host`, or turns the account away.
    pub(crate) fn open(
        host: &str,
        domain: Option<&str>,
        addresses: &[SocketAddr],
        transport: &Transport,
        identity: &Identity,
        connect: Duration,
        limit: Duration,
    ) -> Result<Self, LdapError> {
        let tls = match transport {
            Transport::Kerberos => None,
            Transport::Tls { ca } => Some(Tls::new(host, ca.as_deref())?),
        };
        let mut connection = Self::unsigned(addresses, connect, limit)?;
        let binding = tls.map(|tls| connection.wire.encrypt_with(tls)).transpose()?;
        let in_tls = binding.is_some();
        let mut kerberos = Kerberos::new(identity, host, domain, binding)?;
        let mut token: Option<Vec<u8>> = None;
        for _ in 0..HANDSHAKE_STEPS_MAX {
            let (send, last) = match kerberos.step(token.as_deref())? {
                Step::Send(token) => (token, false),
                Step::Finish(token) => (token, true),
            };
            let credentials = SaslCredentials::new(text("GSSAPI"), Some(send.into()));
            let request = BindRequest::new(3, text(""), AuthenticationChoice::Sasl(credentials));
            let id = connection.ask(&[(ProtocolOp::BindRequest(request), Vec::new())])?;
            let answer = connection.answer(id)?;
            connection.open = connection.open.saturating_sub(1);
            let answer = match answer.protocol_op {
                ProtocolOp::BindResponse(answer) => answer,
                other => return Err(unexpected("a bind", &other)),
            };
            match answer.result_code {
                ResultCode::Success if last => {
                    if !in_tls {
                        connection.wire.seal_with(kerberos)?;
                    }
                    return Ok(connection);
                }
                ResultCode::SaslBindInProgress if !last => {
                    token = Some(answer.server_sasl_creds.map(|token| token.to_vec()).unwrap_or_default());
                }
                // Success before the layers are agreed would leave the connection unsealed, or the server unproven.
                ResultCode::Success => {
                    return Err(LdapError::Kerberos("the server does not seal connections".to_owned()));
                }
                code if in_tls => return Err(refused_in_tls(code, &answer.diagnostic_message.0)),
                code => return Err(refused(code, &answer.diagnostic_message.0)),
            }
        }
        Err(LdapError::Protocol("the handshake does not end".to_owned()))
    }

    /// A connection on which nobody has signed in.
    fn unsigned(addresses: &[SocketAddr], connect: Duration, limit: Duration) -> Result<Self, LdapError> {
        let wire = Wire::connect(addresses, Instant::now() + connect)?;
        Ok(Self { wire, next: 1, early: VecDeque::new(), limit, open: 0, found_max: FOUND_MAX })
    }

    /// Sends requests in one go; answers the id of the first, the others follow it.
    fn ask(&mut self, requests: &[(ProtocolOp, Vec<Control>)]) -> Result<u32, LdapError> {
        let first = self.next;
        let mut bytes = zeroize::Zeroizing::new(Vec::new());
        for (operation, controls) in requests {
            let controls = (!controls.is_empty()).then(|| controls.clone());
            let mut message = LdapMessage::new(self.next, operation.clone());
            message.controls = controls;
            let encoded = rasn::ber::encode(&message)
                .map_err(|error| LdapError::Protocol(format!("a request can't be encoded: {error}")))?;
            bytes.extend_from_slice(&zeroize::Zeroizing::new(encoded));
            self.next = self.next.checked_add(1).filter(|id| *id < i32::MAX as u32).unwrap_or(1);
        }
        self.open += requests.len();
        self.wire.send(&bytes)?;
        Ok(first)
    }

    /// The next message that belongs to a request.
    fn answer(&mut self, id: u32) -> Result<LdapMessage, LdapError> {
        if let Some(at) = self.early.iter().position(|message| message.message_id == id)
            && let Some(message) = self.early.remove(at)
        {
            return Ok(message);
        }
        loop {
            let message = self.wire.receive(|bytes| {
                rasn::ber::decode::<LdapMessage>(bytes)
                    .map_err(|error| LdapError::Protocol(format!("an answer can't be decoded: {error}")))
            })?;
            match &message.protocol_op {
                // RFC 4511 §4.4: unsolicited, it announces that the server ends the connection.
                ProtocolOp::ExtendedResp(notice) if message.message_id == 0 => {
                    return Err(LdapError::Unreachable(format!(
                        "it ended the connection: {:?} {}",
                        notice.result_code,
                        notice.diagnostic_message.0.trim_end_matches('\0')
                    )));
                }
                _ if message.message_id == id => return Ok(message),
                _ if (id..self.next).contains(&message.message_id) && self.early.len() < EARLY_MAX => {
                    self.early.push_back(message);
                }
                other => return Err(unexpected("another request", other)),
            }
        }
    }

    /// What is left of the service ticket that the connection was opened with; the library that seals may not tell.
    pub(crate) fn ticket_left(&self) -> Option<Duration> {
        self.wire.ticket_left()
    }

    /// Whether another may go on with the connection: nothing failed on it, and no answer is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.open == 0 && self.early.is_empty()
    }

    fn begin(&mut self) {
        self.wire.until(Instant::now() + self.limit);
    }

    /// One request with a plain result.
    fn call(&mut self, operation: ProtocolOp, controls: Vec<Control>) -> Result<(), LdapError> {
        self.begin();
        let id = self.ask(&[(operation, controls)])?;
        let answer = self.answer(id)?;
        self.open = self.open.saturating_sub(1);
        let result = match answer.protocol_op {
            ProtocolOp::AddResponse(answer) => answer.0,
            ProtocolOp::ModifyResponse(answer) => answer.0,
            ProtocolOp::DelResponse(answer) => answer.0,
            other => return Err(unexpected("a change", &other)),
        };
        succeeded(&result)
    }

    /// Adds an object.
    ///
    /// # Errors
    /// [`ALREADY_EXISTS`], [`INSUFFICIENT_ACCESS`], [`NO_SUCH_OBJECT`] for its parent, and others.
    pub(crate) fn add(&mut self, dn: &str, attributes: Vec<Values<'_>>) -> Result<(), LdapError> {
        let attributes =
            attributes.into_iter().map(|(name, list)| Attribute::new(text(name), values(list))).collect();
        self.call(ProtocolOp::AddRequest(AddRequest { entry: text(dn), attributes }), Vec::new())
    }

    /// Replaces the values of an object's attribute, or of a descriptor the parts that a control names.
    ///
    /// # Errors
    /// As [`Connection::add`].
    pub(crate) fn replace(
        &mut self,
        dn: &str,
        (name, list): Values<'_>,
        controls: Vec<Control>,
    ) -> Result<(), LdapError> {
        let change = ModifyRequestChanges {
            operation: ChangeOperation::Replace,
            modification: PartialAttribute::new(text(name), values(list)),
        };
        let request = ModifyRequest { object: text(dn), changes: vec![change] };
        self.call(ProtocolOp::ModifyRequest(request), controls)
    }

    /// Adds values to an object's attribute.
    ///
    /// # Errors
    /// As [`Connection::add`]; [`ATTRIBUTE_OR_VALUE_EXISTS`] or [`ALREADY_EXISTS`] for a value that is there.
    pub(crate) fn add_values(&mut self, dn: &str, values: Values<'_>) -> Result<(), LdapError> {
        self.modify(dn, vec![(ChangeOperation::Add, values)])
    }

    /// Takes values away from an object's attribute.
    ///
    /// # Errors
    /// As [`Connection::add`]; [`NO_SUCH_ATTRIBUTE`] or [`UNWILLING`] for a value that is not there.
    pub(crate) fn remove_values(&mut self, dn: &str, values: Values<'_>) -> Result<(), LdapError> {
        self.modify(dn, vec![(ChangeOperation::Delete, values)])
    }

    /// Replaces the values of several attributes of an object: all of them, or none.
    ///
    /// # Errors
    /// As [`Connection::add`].
    pub(crate) fn replace_all(&mut self, dn: &str, all: Vec<Values<'_>>) -> Result<(), LdapError> {
        self.modify(dn, all.into_iter().map(|values| (ChangeOperation::Replace, values)).collect())
    }

    fn modify(&mut self, dn: &str, changes: Vec<(ChangeOperation, Values<'_>)>) -> Result<(), LdapError> {
        // A password may be among them: its bytes are shared until it is sent, and then wiped.
        let mut sent: Vec<bytes::Bytes> = Vec::new();
        let changes = changes
            .into_iter()
            .map(|(operation, (name, list))| {
                let list: Vec<bytes::Bytes> = list.into_iter().map(bytes::Bytes::from).collect();
                sent.extend(list.iter().cloned());
                let list = rasn::types::SetOf::from_vec(list.into_iter().map(Into::into).collect());
                ModifyRequestChanges { operation, modification: PartialAttribute::new(text(name), list) }
            })
            .collect();
        let done =
            self.call(ProtocolOp::ModifyRequest(ModifyRequest { object: text(dn), changes }), Vec::new());
        for value in sent {
            if let Ok(mut value) = value.try_into_mut() {
                value.as_mut().zeroize();
            }
        }
        done
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// As [`Connection::add`].
    pub(crate) fn delete(&mut self, dn: &str) -> Result<(), LdapError> {
        self.call(ProtocolOp::DelRequest(DelRequest(text(dn))), Vec::new())
    }
}

/// What one object's search finds on a connection on which nobody has signed in. Nobody has vouched for the answer.
///
/// # Errors
/// Nobody answers in time, or not as expected.
pub(crate) fn ask_unsigned(
    addresses: &[SocketAddr],
    search: &Search,
    limit: Duration,
) -> Result<Option<Found>, LdapError> {
    let mut connection = Connection::unsigned(addresses, limit, limit)?;
    // Whoever that is, he is not to fill our memory.
    connection.wire.at_most(UNSIGNED_LEN_MAX);
    connection.found_max = 1;
    connection.find(search)
}

/// Why a sign-in within TLS was turned away.
fn refused_in_tls(code: ResultCode, message: &str) -> LdapError {
    /// `SEC_E_BAD_BINDINGS`, as Active Directory writes it.
    const BAD_BINDINGS: &str = "80090346";
    let refused = refused(code, message);
    if code == ResultCode::StrongerAuthRequired {
        return LdapError::Tls(format!(
            "it takes no Kerberos sign-in within TLS: {refused}; use its LDAP port, without tls=yes, or set \
             \"ldap server require strong auth = allow_sasl_over_tls\" in its smb.conf (Samba before 4.21)"
        ));
    }
    if message.contains(BAD_BINDINGS) {
        return LdapError::Tls(format!(
            "it sees another certificate than the one shown here: {refused}; something between that ends TLS, such as a \
             load balancer or an attacker, must go"
        ));
    }
    refused
}

fn succeeded(result: &LdapResult) -> Result<(), LdapError> {
    match result.result_code {
        ResultCode::Success => Ok(()),
        code => Err(refused(code, &result.diagnostic_message.0)),
    }
}

fn unexpected(asked: &str, found: &ProtocolOp) -> LdapError {
    // Not the operation itself: it may hold values.
    let kind = match found {
        ProtocolOp::SearchResEntry(_) | ProtocolOp::SearchResDone(_) => "an answer to a search",
        ProtocolOp::BindResponse(_) => "an answer to a bind",
        ProtocolOp::ExtendedResp(_) => "an extended answer",
        _ => "another kind of message",
    };
    LdapError::Protocol(format!("the answer to {asked} was expected, and {kind} came"))
}

#[cfg(test)]
mod tests;
