//! TLS with a server of `dkmd`: version 1.3, one authority, no session that outlives a connection.

use std::sync::{Arc, OnceLock};

use dkm_core::Digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error,
    RootCertStore, SignatureScheme, WantsVerifier,
};

/// What a client shows of itself: its chain of certificates, and the key to the first.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The one provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// How to connect to a server that one of these authorities vouches for, as this client or as nobody.
///
/// # Errors
/// A certificate is no authority's, or key and certificate don't belong together; says which.
pub(crate) fn config(
    authorities: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
) -> Result<ClientConfig, String> {
    let config = builder()?.with_root_certificates(roots(authorities)?);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider())
                .map_err(|error| format!("its key and its certificate don't belong together: {error}"))?;
            config.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?
        }
    };
    Ok(without_resumption(config))
}

/// How to connect, as nobody, to a server that the authority of this certificate digest vouches for.
///
/// # Errors
/// TLS can't be set up.
pub(crate) fn pinned_config(pinned: Arc<Pinned>) -> Result<ClientConfig, String> {
    // So it is called whatever the verifier does: this one is that of rustls, with one authority.
    let config = builder()?.dangerous().with_custom_certificate_verifier(pinned).with_no_client_auth();
    Ok(without_resumption(config))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())
}

/// Each connection shows its certificates and has them checked.
fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config
}

fn roots(authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate).map_err(|error| format!("a certificate is no authority's: {error}"))?;
    }
    Ok(roots)
}

/// Believes the one authority whose certificate has this digest. The server must send that certificate along.
#[derive(Debug)]
pub(crate) struct Pinned {
    digest: Digest,
    provider: Arc<CryptoProvider>,
    /// The authority's certificate, once it vouched for a server.
    found: OnceLock<CertificateDer<'static>>,
}

impl Pinned {
    pub(crate) fn new(digest: Digest) -> Self {
        Self { digest, provider: provider(), found: OnceLock::new() }
    }

    /// The authority's certificate, once it vouched for a server.
    pub(crate) fn authority(&self) -> Option<CertificateDer<'static>> {
        self.found.get().cloned()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut shown = std::iter::once(end_entity).chain(intermediates);
        let authority = shown.find(|certificate| Digest::of(certificate) == self.digest);
        let authority = authority.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let authority = authority.clone().into_owned();
        let roots = Arc::new(roots(vec![authority.clone()]).map_err(Error::General)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone()).build();
        let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
        let verified =
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let _ = self.found.set(authority);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why TLS did not come about, and what helps.
pub(super) fn fault(error: &Error) -> String {
    use AlertDescription as A;
    match error {
        Error::InvalidCertificate(why) => certificate_fault(why),
        Error::InvalidMessage(_) => "it does not speak TLS on this port".to_owned(),
        Error::AlertReceived(A::ProtocolVersion) | Error::PeerIncompatible(_) => {
            format!("it does not speak TLS 1.3: {error}")
        }
        Error::AlertReceived(A::CertificateExpired) => {
            "it says that this account's certificate has ended: enrol again with a new token (dkm enrol)"
                .to_owned()
        }
        Error::AlertReceived(A::CertificateRequired) => {
            "it wants a certificate of this account: enrol first (dkm enrol)".to_owned()
        }
        Error::AlertReceived(
            A::UnknownCA
            | A::BadCertificate
            | A::CertificateUnknown
            | A::CertificateRevoked
            | A::DecryptError,
        ) => {
            format!(
                "it does not take this account's certificate ({error}): enrol again with a new token (dkm enrol)"
            )
        }
        other => other.to_string(),
    }
}

fn certificate_fault(why: &CertificateError) -> String {
    use CertificateError as C;
    match why {
        // An authority that was made anew may have the name of the one before.
        C::UnknownIssuer | C::BadSignature => {
            "its certificate is from an authority that is not believed here: check the host, \
                             and authority.pem among the credentials or the file named with ca="
                .to_owned()
        }
        C::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> =
                presented.iter().take(5).map(|name| name.escape_debug().to_string()).collect();
            let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
            format!("its certificate is not for this host, but for {names}: name it as its certificate does")
        }
        C::Expired | C::ExpiredContext { .. } => {
            "its certificate has ended: whoever keeps it must renew it, or this machine's clock is wrong"
                .to_owned()
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "its certificate begins later: the clock of one of the machines is wrong".to_owned()
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "its certificate is not for servers: it needs the extended key usage serverAuth".to_owned()
        }
        other => format!("its certificate is not taken: {other}"),
    }
}
