//! The server's certificate authority (RFC 5280): it signs the server's own certificate and those of its principals, and
//! nobody else believes it.

use dkm_core::{Digest, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// How long the authority itself lasts.
const AUTHORITY_MS: u64 = 3650 * DAY_MS;
/// How long a certificate of the server lasts; it makes a new one every day.
const SERVER_MS: u64 = 7 * DAY_MS;
/// Clocks of peers may be behind by this much.
const SKEW_MS: u64 = 5 * 60 * 1000;

/// Why no certificate can be made. Never holds a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The certificate request is not one.
    #[error("this is no certificate request (PKCS #10, PEM) with a key that can be used: {0}")]
    Request(String),
    /// The authority's own files hold something else.
    #[error("the authority's {what} can't be used: {why}")]
    Unusable {
        /// Which file.
        what: &'static str,
        /// Why.
        why: String,
    },
}

fn unusable(what: &'static str) -> impl Fn(rcgen::Error) -> AuthorityError {
    move |error| AuthorityError::Unusable { what, why: error.to_string() }
}

/// The authority.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.digest())
    }
}

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// In PEM.
    pub pem: String,
    /// SHA-256 of its DER form: by it the server knows it again.
    pub digest: Digest,
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

fn time(at: Timestamp) -> time::OffsetDateTime {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

impl Authority {
    /// Makes an authority for a server, and its key in PEM.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn generate(instance: &str, now: Timestamp) -> Result<(Self, Zeroizing<String>), AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unusable("key"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("dkmd {instance}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = time(now.minus(SKEW_MS));
        params.not_after = time(now.plus(AUTHORITY_MS));
        let pem = params.self_signed(&key).map_err(unusable("certificate"))?.pem();
        let secret = Zeroizing::new(key.serialize_pem());
        Ok((Self::from_pem(&pem, &secret)?, secret))
    }

    /// The authority with this certificate and key.
    ///
    /// # Errors
    /// They are not a certificate and a key.
    pub fn from_pem(pem: &str, key: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(key).map_err(unusable("key"))?;
        let issuer = Issuer::from_ca_cert_pem(pem, key).map_err(unusable("certificate"))?;
        Ok(Self { pem: pem.to_owned(), issuer })
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate.
    ///
    /// # Errors
    /// It is none.
    pub fn der(&self) -> Result<CertificateDer<'static>, AuthorityError> {
        use rustls::pki_types::pem::PemObject;
        CertificateDer::from_pem_slice(self.pem.as_bytes())
            .map_err(|error| AuthorityError::Unusable { what: "certificate", why: error.to_string() })
    }

    /// SHA-256 of its certificate's DER form: clients can pin it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.der().map(|der| Digest::of(&der)).unwrap_or_default()
    }

    /// When it ends itself; none if its certificate does not say it.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        let der = self.der().ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
        Some(Timestamp(seconds.saturating_mul(1000)))
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        key: &impl rcgen::PublicKeyData,
        now: Timestamp,
        not_after: Timestamp,
    ) -> Result<(rcgen::Certificate, Issued), AuthorityError> {
        let not_before = now.minus(SKEW_MS);
        params.not_before = time(not_before);
        params.not_after = time(not_after);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).map_err(unusable("certificate"))?;
        let digest = Digest::of(certificate.der());
        let issued = Issued { pem: certificate.pem(), digest, not_before, not_after };
        Ok((certificate, issued))
    }

    /// A certificate for a client, until a time. Of its request only the key is taken: who it is, the server says.
    ///
    /// # Errors
    /// The request is none, or not signed by its own key.
    pub fn certify(
        &self,
        request: &str,
        name: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let request = CertificateSigningRequestParams::from_pem(request)
            .map_err(|error| AuthorityError::Request(error.to_string()))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(self.issue(params, &request.public_key, now, until)?.1)
    }

    /// A certificate for the server under these names (DNS names and addresses), and its key.
    ///
    /// # Errors
    /// A name is none.
    pub fn serve_as(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unusable("key"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "dkmd");
        for name in names {
            let name = match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(unusable("name"))?),
            };
            params.subject_alt_names.push(name);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (certificate, _) = self.issue(params, &key, now, now.plus(SERVER_MS))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((certificate.der().clone(), key))
    }
}
