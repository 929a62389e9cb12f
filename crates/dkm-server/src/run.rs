//! A server that runs: listeners, and an end in good order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dkm_audit::entry::Phase;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::watch;

use crate::actions::Action;
use crate::audit;
use crate::broker::Broker;
use crate::config::Config;
use crate::domain::{Accounts, Domain};
use crate::http::router;
use crate::listen::{Plain, Service, Tls, Unix};
use crate::metrics;
use crate::server::{Server, now};
use crate::setup::SetupError;

/// Open connections to where the figures are read.
const METRICS_CONNECTIONS: usize = 16;
const REAP_EVERY: Duration = Duration::from_secs(2);
/// In how many of these rounds temporary accounts are looked for once.
const SWEEP_EVERY: u64 = 15;

/// A server whose listeners are open.
#[derive(Debug)]
pub struct Running {
    server: Arc<Server>,
    tls: Option<Tls>,
    unix: Option<Unix>,
    metrics: Option<Plain>,
}

impl Running {
    /// Opens the listeners, and records the start.
    ///
    /// # Errors
    /// A listener can't be opened, or the start can't be recorded.
    pub async fn start(server: Arc<Server>, config: &Config) -> Result<Self, SetupError> {
        let broker = Broker::new(&server, &config.root_keys)
            .map_err(|problem| SetupError::Broker(problem.to_string()))?;
        server.set_broker(broker);
        if let Some(directory) = &config.directory {
            server.set_domain(domain(directory.clone(), config.root_keys.clone()).await?);
            let host = config.tls.as_ref().and_then(|tls| tls.names.first());
            if let Some((config, host)) = directory.accounts.as_ref().zip(host) {
                let host = config.host.as_ref().unwrap_or(host).clone();
                let opened = accounts(config.clone(), directory.repository.clone(), host).await?;
                server.set_accounts(opened, Duration::from_secs(config.cache_s));
            }
        }
        let tls = match &config.tls {
            Some(config) => Some(Tls::bind(config, server.authority()).await?),
            None => None,
        };
        let unix = match &config.unix {
            Some(config) => Some(Unix::bind(&config.socket).await?),
            None => None,
        };
        let metrics = match &config.metrics {
            Some(config) => Some(Plain::bind(config.listen).await?),
            None => None,
        };
        let version = concat!("version ", env!("CARGO_PKG_VERSION"));
        let entry = audit::entry(now(), "dkmd", Action::Start.into(), Phase::Recorded, Some(version));
        let log = server.audit().log().clone();
        let recorded = tokio::task::spawn_blocking(move || log.append(&entry)).await;
        recorded.unwrap_or(Err(dkm_audit::store::Error::Closed))?;
        Ok(Self { server, tls, unix, metrics })
    }

    /// Where mutual TLS is spoken, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.tls.as_ref().map(Tls::address)
    }

    /// Where the figures can be read, with the port that was taken.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(Plain::address)
    }

    /// Serves until `stop` says so; then no connection is accepted any more, requests end, and the rest is cut off.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let Self { server, tls, unix, metrics } = self;
        let graceful = GracefulShutdown::new();
        let service = Service::new(&server, router(&server), stop);
        let tls = async {
            if let Some(tls) = &tls {
                tls.run(service.clone(), &graceful, server.authority()).await;
            }
        };
        let unix_socket = async {
            if let Some(unix) = &unix {
                unix.run(service.clone(), &graceful).await;
            }
        };
        let figures = async {
            if let Some(plain) = &metrics {
                let service = service.beside(metrics::router(&server), METRICS_CONNECTIONS);
                plain.run(service, &graceful).await;
            }
        };
        let reaper = tokio::spawn(reap(Arc::clone(&server)));
        let domain_reaper = tokio::spawn(reap_domain(Arc::clone(&server)));
        tokio::join!(tls, unix_socket, figures);
        reaper.abort();
        domain_reaper.abort();
        drop(unix);
        let patience = Duration::from_secs(server.limits().shutdown_s);
        if tokio::time::timeout(patience, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests were cut off: they took too long");
        }
        let entry = audit::entry(now(), "dkmd", Action::Stop.into(), Phase::Recorded, None);
        if let Err(error) = server.audit().record(&entry).await {
            tracing::warn!(%error, "the stop was not recorded");
        }
    }
}

/// The domain. One that can't be found now is looked for again: the server's own groups do not wait for it.
#[cfg(feature = "active-directory")]
async fn domain(config: crate::config::Directory, root_keys: PathBuf) -> Result<Arc<dyn Domain>, SetupError> {
    let opening = crate::domain::Opening::new(config, root_keys);
    let domain: Arc<dyn Domain> = Arc::new(opening.map_err(|error| SetupError::Domain(error.to_string()))?);
    let found = Arc::clone(&domain);
    let _ = tokio::task::spawn_blocking(move || found.find()).await;
    Ok(domain)
}

/// The accounts of the domain, which need not be found yet.
#[cfg(feature = "active-directory")]
async fn accounts(
    config: crate::config::DirectoryAccounts,
    repository: String,
    host: String,
) -> Result<Box<dyn Accounts>, SetupError> {
    let open = move || crate::domain::KerberosAccounts::new(&config, &repository, &host);
    let opened = tokio::task::spawn_blocking(open).await;
    let opened = opened.map_err(|error| SetupError::Domain(error.to_string()))?;
    Ok(Box::new(opened.map_err(SetupError::Domain)?))
}

#[cfg(not(feature = "active-directory"))]
async fn accounts(
    _: crate::config::DirectoryAccounts,
    _: String,
    _: String,
) -> Result<Box<dyn Accounts>, SetupError> {
    Err(SetupError::Domain("this dkmd was built without Active Directory".to_owned()))
}

#[cfg(not(feature = "active-directory"))]
async fn domain(_: crate::config::Directory, _: PathBuf) -> Result<Arc<dyn Domain>, SetupError> {
    Err(SetupError::Domain("this dkmd was built without Active Directory".to_owned()))
}

/// Records what has ended by itself. That it has, nobody waits for: whoever uses a grant is asked for its end first.
async fn reap(server: Arc<Server>) {
    let mut turn = tokio::time::interval(REAP_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        server.reap().await;
    }
}

/// The same in the domain, and what is to be ended there. By itself, since a domain controller that does not answer takes long.
async fn reap_domain(server: Arc<Server>) {
    let mut turn = tokio::time::interval(REAP_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0u64.. {
        turn.tick().await;
        server.tidy_domain(round % SWEEP_EVERY == 0).await;
    }
}
