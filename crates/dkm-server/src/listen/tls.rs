//! Mutual TLS. A client without a certificate is let in to enrol; whoever shows one that the authority has not signed, or
//! that has ended, fails in the handshake.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dkm_core::Digest;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{ListenError, Service, not_accepted};
use crate::authority::Authority;
use crate::caller::{EndPoint, Peer};
use crate::config;
use crate::server::now;

/// How often the server makes itself a new certificate: long before the old one ends.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);

/// A listener for mutual TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    listener: TcpListener,
    address: SocketAddr,
    names: Vec<String>,
    config: Mutex<Shown>,
}

/// How TLS is spoken, and the server's own certificate in it.
type Shown = (Arc<ServerConfig>, EndPoint);

fn server_config(authority: &Authority, names: &[String]) -> Result<Shown, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let own = authority.der().map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add(own.clone()).map_err(|error| error.to_string())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| error.to_string())?;
    let (certificate, key) = authority.serve_as(names, now()).map_err(|error| error.to_string())?;
    let end_point = EndPoint(Arc::from(&*certificate));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate, own], key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), end_point))
}

impl Tls {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken or not this machine's; a name is none.
    pub(crate) async fn bind(config: &config::Tls, authority: &Authority) -> Result<Self, ListenError> {
        let error = |why: String| ListenError::new(config.listen, why);
        let made = server_config(authority, &config.names).map_err(error)?;
        let listener = TcpListener::bind(config.listen).await.map_err(|why| error(why.to_string()))?;
        let address = listener.local_addr().map_err(|why| error(why.to_string()))?;
        Ok(Self { listener, address, names: config.names.clone(), config: Mutex::new(made) })
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop.
    pub(crate) async fn run(&self, service: Service, graceful: &GracefulShutdown, authority: &Authority) {
        let mut renewal = tokio::time::interval(RENEW_EVERY);
        renewal.tick().await;
        let mut stop = service.clone();
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                _ = renewal.tick() => self.renew(authority),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.connection(stream, &service, graceful).await,
                    Err(error) => tokio::time::sleep(not_accepted(&error)).await,
                },
            }
        }
    }

    fn renew(&self, authority: &Authority) {
        match server_config(authority, &self.names) {
            Ok(config) => *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config,
            Err(error) => tracing::error!(error, "the server's certificate was not renewed"),
        }
    }

    async fn connection(&self, stream: TcpStream, service: &Service, graceful: &GracefulShutdown) {
        let Some(place) = service.place().await else { return };
        let (config, end_point) = self.config.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (service, watcher) = (service.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let handshake = TlsAcceptor::from(config).accept(stream);
            let stream = match tokio::time::timeout(service.idle, handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::info!(%error, "a TLS handshake failed"),
                Err(_) => return tracing::debug!("a TLS handshake took too long"),
            };
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let peer = certificate.map_or(Peer::Nobody, |own| Peer::Certificate(Digest::of(own)));
            service.connection(stream, (peer, Some(end_point)), watcher, place).await;
        });
    }
}
