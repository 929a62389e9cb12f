//! What happens to the bytes between a client and Samba.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use dkm::repository::Repository as _;
use dkm_ad::Limits;

use super::authority::Authority;
use super::server::{Server, at, hand_over, refusal, serve, tls, tls_to};
use super::stage::{Stage, Test};
use super::support::AUTHORITIES;

pub(crate) const TESTS: &[Test] = &[
    ("authorities_of_the_system_are_believed", authorities_of_the_system_are_believed),
    ("bytes_may_come_one_by_one", bytes_may_come_one_by_one),
    ("connections_may_end_anywhere", connections_may_end_anywhere),
    ("a_samba_that_ignores_bindings_can_be_stood_before", a_samba_that_ignores_bindings_can_be_stood_before),
];

const HOST: &str = "dc1.dkm.test";

fn samba(stage: &Stage) -> Result<SocketAddr> {
    stage.with(|domain| Ok((domain.address(), 636).into()))
}

fn authorities_of_the_system_are_believed(stage: &Stage) -> Result<()> {
    let authority = Authority::of_the_domain(stage)?;
    let file = std::env::var_os(AUTHORITIES).unwrap();
    let address = samba(stage)?;
    let complaint = refusal(&at(stage, HOST, address, None, Limits::default())?)?;
    ensure!(complaint.contains("ca="), "{complaint}");
    std::fs::copy(authority.file(), &file)?;
    // The same repository: who is believed is looked up at each connection.
    let repository = at(stage, HOST, address, None, Limits::default())?;
    repository.connect(0)?;
    std::fs::remove_file(&file)?;
    ensure!(refusal(&repository)?.contains("ca="));
    Ok(())
}

/// Between a client and Samba: hands over what Samba says in pieces, and hangs up after so many bytes.
fn between(stage: &Stage, piece: usize, most: usize) -> Result<Server<usize>> {
    let samba = samba(stage)?;
    serve(move |client| {
        client.set_nodelay(true)?;
        let server = Arc::new(TcpStream::connect(samba)?);
        let (mut asking, mut asked) = (client.try_clone()?, server.try_clone()?);
        let forth = thread::spawn(move || {
            let _ = hand_over(&mut asking, &mut asked);
            let _ = asked.shutdown(Shutdown::Both);
        });
        let (mut from, mut to) = (&*server, &client);
        let mut handed = 0;
        let mut buffer = vec![0; piece];
        while handed < most {
            let wanted = piece.min(most - handed);
            match from.read(&mut buffer[..wanted]) {
                Ok(0) => break,
                Ok(read) if to.write_all(&buffer[..read]).is_err() => break,
                Ok(read) => handed += read,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error.into()),
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        forth.join().unwrap();
        Ok(handed)
    })
}

/// Ends TLS, with a certificate that clients take, and speaks TLS with Samba; tells all that it heard from Samba.
fn stand_before(stage: &Stage, authority: &Authority) -> Result<Server<Vec<u8>>> {
    let samba = samba(stage)?;
    let certificate = authority.certificate(HOST, &["-sha256"])?;
    let ca = authority.file();
    serve(move |client| {
        let mut client = tls(client, &certificate)?;
        let mut server = tls_to(samba, HOST, &ca)?;
        let mut heard = Vec::new();
        let mut buffer = [0; 16 << 10];
        let short = Some(Duration::from_millis(5));
        client.conn.complete_io(&mut client.sock)?;
        server.conn.complete_io(&mut server.sock)?;
        client.sock.set_read_timeout(short)?;
        server.sock.set_read_timeout(short)?;
        let late =
            |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        loop {
            match client.read(&mut buffer) {
                Ok(0) => return Ok(heard),
                Ok(read) => server.write_all(&buffer[..read])?,
                Err(error) if late(&error) => {}
                Err(_) => return Ok(heard),
            }
            match server.read(&mut buffer) {
                Ok(0) => return Ok(heard),
                Ok(read) => {
                    heard.extend_from_slice(&buffer[..read]);
                    client.write_all(&buffer[..read])?;
                }
                Err(error) if late(&error) => {}
                Err(_) => return Ok(heard),
            }
        }
    })
}

/// What the documentation says of Samba before 4.21, and of later ones.
fn a_samba_that_ignores_bindings_can_be_stood_before(stage: &Stage) -> Result<()> {
    let version = Command::new("samba").arg("--version").output()?;
    let version = String::from_utf8(version.stdout)?;
    let mut numbers =
        version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u32>().ok());
    let compares = (numbers.next(), numbers.next()) >= (Some(4), Some(21));
    let authority = Authority::of_the_domain(stage)?;
    let server = stand_before(stage, &authority)?;
    let repository = at(stage, HOST, server.address, Some(&authority), Limits::default())?;
    let connected = repository.connect(0).map(drop);
    ensure!(connected.is_err() == compares, "{version}: {connected:?}");
    let heard = server.end()?;
    let knows = heard.windows(20).any(|window| window == b"defaultNamingContext");
    ensure!(knows != compares, "{version}");
    Ok(())
}

fn bytes_may_come_one_by_one(stage: &Stage) -> Result<()> {
    let readers = stage.readers(&[&stage.maker])?;
    let group = stage.group(&stage.maker, &readers)?.id();
    let authority = Authority::of_the_domain(stage)?;
    let server = between(stage, 1, usize::MAX)?;
    let repository = at(stage, HOST, server.address, Some(&authority), Limits::default())?;
    let mut connection = repository.connect(0)?;
    ensure!(connection.groups()?.contains(&group));
    ensure!(connection.list(group, dkm::core::Room::Keys)?.len() == 1);
    drop((connection, repository));
    server.end()?;
    Ok(())
}

fn connections_may_end_anywhere(stage: &Stage) -> Result<()> {
    let authority = Authority::of_the_domain(stage)?;
    let whole = between(stage, 16 << 10, usize::MAX)?;
    let repository = at(stage, HOST, whole.address, Some(&authority), Limits::default())?;
    repository.connect(0)?;
    drop(repository);
    let whole = whole.end()?;
    ensure!(whole > 1000, "{whole}");
    let limits = Limits { connect: Duration::from_secs(60), request: Duration::from_secs(60) };
    for part in 0..12 {
        let server = between(stage, 16 << 10, whole * part / 12)?;
        let complaint = refusal(&at(stage, HOST, server.address, Some(&authority), limits)?)?;
        // How the system tells it depends on what was on its way.
        let ends = ["closed the connection", "reset", "Broken pipe"];
        ensure!(ends.iter().any(|end| complaint.contains(end)), "{complaint}");
        server.end()?;
    }
    Ok(())
}
