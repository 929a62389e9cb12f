//! A certificate authority of a test.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dkm_core::Digest;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = key();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.distinguished_name = named("authority of a test");
        let certificate = parameters.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.certificate.der())
    }

    /// A certificate that began and ends so long ago and ahead; negative: the other way.
    pub(crate) fn certify(
        &self,
        account: &str,
        key: &impl rcgen::PublicKeyData,
        ago: Duration,
        left: i64,
    ) -> String {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = named(account);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let now = SystemTime::now();
        parameters.not_before = (now - ago).into();
        let end = Duration::from_secs(left.unsigned_abs());
        parameters.not_after = if left < 0 { now - end } else { now + end }.into();
        parameters.signed_by(key, &self.issuer).unwrap().pem()
    }

    pub(crate) fn certify_request(&self, account: &str, request: &str, left: i64) -> String {
        let request = CertificateSigningRequestParams::from_pem(request).unwrap();
        self.certify(account, &request.public_key, Duration::from_secs(60), left)
    }

    pub(crate) fn write_credentials(&self, folder: &Path, account: &str) {
        self.write_credentials_until(folder, account, DAY, 30 * 86_400);
    }

    pub(crate) fn write_credentials_until(&self, folder: &Path, account: &str, ago: Duration, left: i64) {
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        let key = key();
        let both = format!("{}{}", key.serialize_pem(), self.certify(account, &key, ago, left));
        let identity = folder.join("identity.pem");
        fs::write(&identity, both).unwrap();
        fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(folder.join("authority.pem"), self.certificate.pem()).unwrap();
    }

    /// How a server of this authority speaks TLS: clients may show a certificate of the authority.
    pub(crate) fn server_config(&self, name: SanType) -> Arc<ServerConfig> {
        let key = key();
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![name];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let chain = vec![certificate.der().clone(), self.certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }
}

fn named(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}
