//! Plain HTTP, for what is no secret.

use std::net::SocketAddr;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use super::{ListenError, Service, not_accepted};
use crate::caller::Peer;

/// A listener for plain HTTP. Nobody who connects is known.
#[derive(Debug)]
pub(crate) struct Plain {
    listener: TcpListener,
    address: SocketAddr,
}

impl Plain {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken or not this machine's.
    pub(crate) async fn bind(listen: SocketAddr) -> Result<Self, ListenError> {
        let error = |why: std::io::Error| ListenError::new(listen, why);
        let listener = TcpListener::bind(listen).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop.
    pub(crate) async fn run(&self, service: Service, graceful: &GracefulShutdown) {
        let mut stop = service.clone();
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let Some(place) = service.place().await else { return };
                        let (service, watcher) = (service.clone(), graceful.watcher());
                        tokio::spawn(async move {
                            service.connection(stream, (Peer::Nobody, None), watcher, place).await;
                        });
                    }
                    Err(error) => tokio::time::sleep(not_accepted(&error)).await,
                },
            }
        }
    }
}
