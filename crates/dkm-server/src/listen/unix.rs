//! A Unix socket: the kernel tells whose process connects.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{UnixListener, UnixStream};

use super::{ListenError, Service, not_accepted};
use crate::caller::Peer;

/// A listener on a Unix socket, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Unix {
    listener: UnixListener,
    path: PathBuf,
}

impl Unix {
    /// Listens. A socket that a server has left when it died is replaced; one that answers is not, nor any other file.
    ///
    /// # Errors
    /// The path is taken, or its folder can't be written.
    pub(crate) async fn bind(path: &Path) -> Result<Self, ListenError> {
        let error = |why: &dyn std::fmt::Display| ListenError::new(path.display(), why);
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(error(&"there is something else than a socket"));
            }
            if UnixStream::connect(path).await.is_ok() {
                return Err(error(&"another server listens there"));
            }
            std::fs::remove_file(path).map_err(|why| error(&why))?;
        }
        let listener = UnixListener::bind(path).map_err(|why| error(&why))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(|why| error(&why))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves until told to stop.
    pub(crate) async fn run(&self, service: Service, graceful: &GracefulShutdown) {
        let mut stop = service.clone();
        loop {
            tokio::select! {
                () = stop.stopped() => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => connection(stream, &service, graceful).await,
                    Err(error) => tokio::time::sleep(not_accepted(&error)).await,
                },
            }
        }
    }
}

async fn connection(stream: UnixStream, service: &Service, graceful: &GracefulShutdown) {
    let peer = match stream.peer_cred() {
        Ok(credentials) => Peer::Uid(credentials.uid()),
        Err(error) => return tracing::warn!(%error, "the kernel does not say who connects"),
    };
    let Some(place) = service.place().await else { return };
    let (service, watcher) = (service.clone(), graceful.watcher());
    tokio::spawn(async move { service.connection(stream, (peer, None), watcher, place).await });
}

impl Drop for Unix {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
