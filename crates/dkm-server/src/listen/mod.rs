//! Listeners: who connects is found out here, once, and stays with the connection. What it may do is asked again with
//! every request.

mod linger;
mod plain;
mod tls;
mod unix;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt;

use linger::Linger;
pub(crate) use plain::Plain;
pub(crate) use tls::Tls;
pub(crate) use unix::Unix;

use crate::caller::{EndPoint, Peer};
use crate::server::Server;

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct Service {
    router: Router,
    places: Arc<Semaphore>,
    idle: Duration,
    stop: watch::Receiver<bool>,
    server: Arc<Server>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Service({} free)", self.places.available_permits())
    }
}

impl Service {
    /// Serves a router until told to stop.
    #[must_use]
    pub(crate) fn new(server: &Arc<Server>, router: Router, stop: watch::Receiver<bool>) -> Self {
        let places = Arc::new(Semaphore::new(server.limits().connections));
        let idle = Duration::from_secs(server.limits().idle_s);
        Self { router, places, idle, stop, server: Arc::clone(server) }
    }

    /// The same with other places: whoever takes all of one leaves those of the other.
    #[must_use]
    pub(crate) fn beside(&self, router: Router, connections: usize) -> Self {
        Self { router, places: Arc::new(Semaphore::new(connections)), ..self.clone() }
    }

    /// Waits for a place: beyond the bound, connections wait in the system's queue. None once the server is to stop.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let mut waiting = self.clone();
        tokio::select! {
            place = Arc::clone(&self.places).acquire_owned() => place.ok(),
            () = waiting.stopped() => None,
        }
    }

    async fn stopped(&mut self) {
        // An error means that whoever tells is gone.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }

    async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: S,
        (peer, end_point): (Peer, Option<EndPoint>),
        watcher: Watcher,
        _place: OwnedSemaphorePermit,
    ) {
        let _connected = self.server.metrics().connected();
        let service = self.router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            if let Some(end_point) = &end_point {
                request.extensions_mut().insert(end_point.clone());
            }
            request
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle)
            .max_headers(64)
            .serve_connection(TokioIo::new(Linger::new(stream)), TowerToHyperService::new(service));
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

/// The problem of a connection that can't be accepted: shared by both listeners.
fn not_accepted(error: &std::io::Error) -> Duration {
    tracing::warn!(%error, "a connection was not accepted");
    // Out of descriptors: accepting at once again would only spin.
    Duration::from_millis(100)
}

/// What could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {place}: {why}")]
pub struct ListenError {
    place: String,
    why: String,
}

impl ListenError {
    fn new(place: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self { place: place.to_string(), why: why.to_string() }
    }
}
