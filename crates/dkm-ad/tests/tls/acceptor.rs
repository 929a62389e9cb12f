//! An LDAP server that signs clients in by Kerberos and insists on the binding to its certificate, as Windows domain
//! controllers can be told to.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, Result, bail, ensure};
use libgssapi::context::{CtxFlags, SecurityContext as _, ServerCtx};
use rasn_ldap::{AuthenticationChoice, BindResponse, LdapMessage, LdapString, ProtocolOp, ResultCode};

use super::server::Accepted;

/// A client that signed in.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) flags: CtxFlags,
    /// What it chose of the security layers.
    pub(crate) choice: Vec<u8>,
}

/// Signs a client in whose binding must be this; offers these layers.
pub(crate) fn sign_in(stream: &mut Accepted, binding: &[u8], layers: u8) -> Result<SignedIn> {
    // None: the keys are in the file that the environment names.
    let mut context = ServerCtx::new(None);
    while !context.is_complete() {
        let (id, token) = bind_request(stream)?;
        match context.step(&token, Some(binding)) {
            Ok(answer) => {
                let answer = answer.map(|token| token.to_vec());
                respond(stream, id, ResultCode::SaslBindInProgress, answer)?;
            }
            Err(error) => {
                respond(stream, id, ResultCode::InvalidCredentials, None)?;
                bail!("{error}");
            }
        }
    }
    let flags = context.flags()?;
    let (id, token) = bind_request(stream)?;
    ensure!(token.is_empty(), "the client has something to say");
    let offer = context.wrap(false, &[layers, 0, 0, 0])?.to_vec();
    respond(stream, id, ResultCode::SaslBindInProgress, Some(offer))?;
    let (id, token) = bind_request(stream)?;
    let choice = context.unwrap(&token)?.to_vec();
    respond(stream, id, ResultCode::Success, None)?;
    Ok(SignedIn { flags, choice })
}

fn bind_request(stream: &mut Accepted) -> Result<(u32, Vec<u8>)> {
    let mut bytes = Vec::new();
    let message = loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the client hung up");
        bytes.extend_from_slice(&buffer[..read]);
        if let Ok(message) = rasn::ber::decode::<LdapMessage>(&bytes) {
            break message;
        }
    };
    let ProtocolOp::BindRequest(request) = message.protocol_op else {
        bail!("no request to bind");
    };
    let AuthenticationChoice::Sasl(credentials) = request.authentication else {
        bail!("another way to sign in");
    };
    ensure!(credentials.mechanism.0 == "GSSAPI");
    Ok((message.message_id, credentials.credentials.context("no token")?.to_vec()))
}

fn respond(stream: &mut Accepted, id: u32, code: ResultCode, token: Option<Vec<u8>>) -> Result<()> {
    let none = || LdapString(String::new());
    let response = BindResponse::new(code, none(), none(), None, token.map(Into::into));
    let message = LdapMessage::new(id, ProtocolOp::BindResponse(response));
    let bytes = rasn::ber::encode(&message).map_err(|error| anyhow::anyhow!("{error}"))?;
    stream.write_all(&bytes)?;
    Ok(stream.flush()?)
}
