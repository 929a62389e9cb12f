//! LDAPS: TLS with a domain controller, whose certificate must name it.

use std::io::{Error, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore, Stream};

use super::{LdapError, binding};

/// How a connection to a domain controller is protected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// Kerberos seals every message, on the LDAP port.
    #[default]
    Kerberos,
    /// TLS from the first byte, on the LDAPS port. Kerberos signs in within it, bound to the server's certificate.
    Tls {
        /// A file of certificates in PEM: the authorities that are believed. None: those that the system believes.
        ca: Option<PathBuf>,
    },
}

/// A TLS connection, without the stream below it.
#[derive(Debug)]
pub(super) struct Tls(ClientConnection);

fn tls(why: impl Into<String>) -> LdapError {
    LdapError::Tls(why.into())
}

impl Tls {
    /// Prepares a connection with the server of this name. Authorities are read anew for each connection: one that is
    /// not believed any more is out at the next.
    ///
    /// # Errors
    /// There are none to believe.
    pub(super) fn new(host: &str, ca: Option<&Path>) -> Result<Self, LdapError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| tls(format!("no certificate can name {host:?}")))?;
        let roots = ca.map_or_else(of_the_system, of_a_file)?;
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| tls(error.to_string()))?
            .with_root_certificates(roots);
        let mut config = config.with_no_client_auth();
        // Each connection shows its certificate and has it checked.
        config.resumption = Resumption::disabled();
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| fault(&error))?;
        Ok(Self(connection))
    }

    /// Goes through the handshake; answers what binds a sign-in to this connection.
    ///
    /// # Errors
    /// The server is another one, does not speak TLS, or no channel binding is defined for its certificate.
    pub(super) fn handshake(
        &mut self,
        stream: &mut (impl Read + Write),
        failed: impl Fn(Error) -> LdapError,
    ) -> Result<Vec<u8>, LdapError> {
        self.0.complete_io(stream).map_err(|error| explained(error, &failed))?;
        if self.0.is_handshaking() {
            return Err(tls("the handshake does not end"));
        }
        let certificate = self.0.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.ok_or_else(|| tls("it showed no certificate"))?;
        binding::server_end_point(certificate).map_err(tls)
    }

    /// Sends all of it.
    pub(super) fn write(
        &mut self,
        stream: &mut (impl Read + Write),
        bytes: &[u8],
        failed: impl Fn(Error) -> LdapError,
    ) -> Result<(), LdapError> {
        let mut stream = Stream::new(&mut self.0, stream);
        stream.write_all(bytes).and_then(|()| stream.flush()).map_err(|error| explained(error, &failed))
    }

    /// Reads what there is; 0 bytes at the end.
    pub(super) fn read(
        &mut self,
        stream: &mut (impl Read + Write),
        into: &mut [u8],
        failed: impl Fn(Error) -> LdapError,
    ) -> Result<usize, LdapError> {
        Stream::new(&mut self.0, stream).read(into).map_err(|error| explained(error, &failed))
    }
}

fn of_a_file(path: &Path) -> Result<RootCertStore, LdapError> {
    let odd = |why: &str| tls(format!("{}: {why}; ca= names a file of certificates in PEM", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| odd(&error.to_string()))? {
        let certificate = certificate.map_err(|error| odd(&error.to_string()))?;
        roots.add(certificate).map_err(|error| odd(&format!("a certificate is no authority's: {error}")))?;
    }
    if roots.is_empty() { Err(odd("it holds no certificate")) } else { Ok(roots) }
}

fn of_the_system() -> Result<RootCertStore, LdapError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems hold a few old ones that nothing can make sense of.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(|| "it has none".to_owned(), ToString::to_string);
    Err(tls(format!("the system's certificate authorities can't be read: {why}; name a file with ca=")))
}

/// What went wrong on the stream, or in TLS itself.
fn explained(error: Error, failed: impl Fn(Error) -> LdapError) -> LdapError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => fault(error),
        None => failed(error),
    }
}

fn fault(error: &rustls::Error) -> LdapError {
    use rustls::Error as E;
    tls(match error {
        E::InvalidCertificate(why) => certificate_fault(why),
        E::InvalidMessage(_) => {
            "it does not speak TLS on this port; LDAPS has port 636 unless dc= names another".to_owned()
        }
        E::AlertReceived(AlertDescription::ProtocolVersion) | E::PeerIncompatible(_) => {
            format!("it speaks no TLS that is taken, 1.2 or 1.3 with ciphers of today: {error}")
        }
        E::AlertReceived(alert) => format!("it turned the connection away: {alert:?}"),
        other => other.to_string(),
    })
}

fn certificate_fault(why: &CertificateError) -> String {
    use CertificateError as C;
    let date = |time: &UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |time| time.to_string())
    };
    match why {
        C::UnknownIssuer => {
            "its certificate is from an authority that is not believed here: name the file of the domain's \
                             authority with ca=, or add it to those of the system"
                .to_owned()
        }
        C::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> =
                presented.iter().take(5).map(|name| name.escape_debug().to_string()).collect();
            let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
            format!(
                "its certificate is not for this domain controller: its subject alternative names have {names}; give it a \
                 certificate with its DNS name, or name it in dc= as its certificate does"
            )
        }
        C::ExpiredContext { not_after, .. } => {
            format!("its certificate ended at {}: renew it, or set this machine's clock", date(not_after))
        }
        C::NotValidYetContext { not_before, .. } => format!(
            "its certificate begins at {} only: wait, or set the clocks of both machines",
            date(not_before)
        ),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "its certificate is not for servers: give it one with the extended key usage serverAuth"
                .to_owned()
        }
        other => format!("its certificate is not taken: {other}; give it another"),
    }
}
