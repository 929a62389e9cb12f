//! Signing in by a Kerberos ticket, with each request by itself.

use std::fmt;

/// Makes what stands in the header `Authorization` of one request.
pub(crate) trait SignIn: fmt::Debug + Send + Sync {
    /// For a server's host, over a TLS connection on which it showed this certificate. May wait for a domain controller.
    ///
    /// # Errors
    /// There is no ticket; says why, and what helps.
    fn header(&self, host: &str, certificate: &[u8]) -> Result<String, String>;
}

/// Signs in as the environment says, or as this principal out of its caches and keytabs.
///
/// # Errors
/// This program was built without Kerberos.
#[cfg(feature = "kerberos")]
pub(crate) fn kerberos(principal: Option<&str>) -> Result<std::sync::Arc<dyn SignIn>, String> {
    let identity =
        principal.map_or(dkm_ad::Identity::Environment, |name| dkm_ad::Identity::Principal(name.to_owned()));
    Ok(std::sync::Arc::new(with_tickets::Tickets(identity)))
}

#[cfg(not(feature = "kerberos"))]
pub(crate) fn kerberos(_: Option<&str>) -> Result<std::sync::Arc<dyn SignIn>, String> {
    Err("this program was built without Kerberos".to_owned())
}

#[cfg(feature = "kerberos")]
mod with_tickets {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use dkm_ad::negotiate;

    #[derive(Debug)]
    pub(super) struct Tickets(pub(super) dkm_ad::Identity);

    impl super::SignIn for Tickets {
        fn header(&self, host: &str, certificate: &[u8]) -> Result<String, String> {
            let binding = negotiate::server_end_point(certificate)?;
            // Not asked for a port: a service is a host's.
            let token = negotiate::token(&self.0, &format!("HTTP@{host}"), Some(&binding)).map_err(|why| {
                format!(
                    "no Kerberos ticket: {why}; get one with kinit, or name a keytab in KRB5_CLIENT_KTNAME"
                )
            })?;
            Ok(format!("Negotiate {}", STANDARD.encode(token)))
        }
    }
}
