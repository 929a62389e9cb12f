//! A private key that is made here, and the request for a certificate of it.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::{Validity, certificates};
use crate::http::tls;

/// A new key. No `Debug`: it is a secret.
pub(crate) struct NewKey {
    /// The key, PKCS #8 in PEM.
    pub(crate) pem: Zeroizing<String>,
    /// A PKCS #10 request in PEM. It names nobody: whose it is, the server decides.
    pub(crate) request: String,
}

impl NewKey {
    /// Makes one: ECDSA with P-256.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(crate) fn make() -> Result<Self, String> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        let request = parameters.serialize_request(&key).and_then(|request| request.pem());
        let request = request.map_err(|error| error.to_string())?;
        Ok(Self { pem: Zeroizing::new(key.serialize_pem()), request })
    }

    /// When a certificate that came for this key is taken.
    ///
    /// # Errors
    /// It is another key's, or none.
    pub(crate) fn check(&self, chain: &str) -> Result<Validity, String> {
        let chain = certificates(chain.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.pem.as_bytes()).map_err(|error| error.to_string())?;
        let first = chain.first().ok_or("it holds no certificate")?;
        let validity = Validity::of(first)?;
        rustls::sign::CertifiedKey::from_der(chain, key, &tls::provider())
            .map_err(|error| format!("it is not for the key that was made for it: {error}"))?;
        Ok(validity)
    }
}
