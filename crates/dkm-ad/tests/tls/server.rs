//! Servers on loopback that a client is led to with `dc=name@address:port`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Result, anyhow};
use dkm_ad::{AdRepository, AdUrl, Identity, Limits};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::authority::{Authority, Certificate};
use super::stage::Stage;

/// A connection as the server of it sees it.
pub(crate) type Accepted = StreamOwned<ServerConnection, TcpStream>;

/// A server of one connection.
#[derive(Debug)]
pub(crate) struct Server<T> {
    pub(crate) address: SocketAddr,
    thread: JoinHandle<Result<T>>,
}

/// Serves the first connection that comes.
pub(crate) fn serve<T: Send + 'static>(
    work: impl FnOnce(TcpStream) -> Result<T> + Send + 'static,
) -> Result<Server<T>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let thread = thread::spawn(move || work(listener.accept()?.0));
    Ok(Server { address, thread })
}

impl<T> Server<T> {
    /// What came of it.
    pub(crate) fn end(self) -> Result<T> {
        self.thread.join().map_err(|_| anyhow!("the server panicked"))?
    }
}

/// Accepts TLS with a certificate.
pub(crate) fn tls(stream: TcpStream, certificate: &Certificate) -> Result<Accepted> {
    let chain = CertificateDer::pem_file_iter(&certificate.chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&certificate.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(StreamOwned::new(ServerConnection::new(Arc::new(config))?, stream))
}

/// Speaks TLS with a server that an authority vouches for.
pub(crate) fn tls_to(
    address: SocketAddr,
    host: &str,
    authority: &Path,
) -> Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), host.to_owned().try_into()?)?;
    Ok(StreamOwned::new(connection, TcpStream::connect(address)?))
}

/// What a client that speaks with whoever is there says before it hangs up, past the handshake.
pub(crate) fn heard(stream: TcpStream, certificate: &Certificate) -> Result<Vec<u8>> {
    let mut said = Vec::new();
    // It ends with an error, mostly; what came before is there.
    let _ = tls(stream, certificate)?.read_to_end(&mut said);
    Ok(said)
}

/// Hands over what comes from one side to the other until it ends.
pub(crate) fn hand_over(from: &mut impl Read, to: &mut impl Write) -> Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to.write_all(&buffer[..read])?,
        }
    }
}

/// The repository behind one domain controller of this name, at this address, by TLS.
pub(crate) fn at(
    stage: &Stage,
    host: &str,
    address: SocketAddr,
    authority: Option<&Authority>,
    limits: Limits,
) -> Result<AdRepository> {
    let mut text = format!("ad://{}?dc={host}@{address}&tls=yes", stage.url().domain);
    if let Some(authority) = authority {
        text += &format!("&ca={}", authority.file().display());
    }
    let url: AdUrl = text.parse()?;
    let (principal, password) = (stage.maker.principal.clone(), stage.maker.password.clone());
    stage.open_with(url, Identity::Password { principal, password: password.into() }, limits)
}

/// Why the repository can't be connected to.
pub(crate) fn refusal(repository: &AdRepository) -> Result<String> {
    use dkm::repository::Repository as _;
    match repository.connect(0) {
        Ok(_) => Err(anyhow!("it was connected to")),
        Err(error) => Ok(error.to_string()),
    }
}
