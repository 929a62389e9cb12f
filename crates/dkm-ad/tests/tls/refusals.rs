//! Servers that are not spoken with, and what is said of them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dkm_ad::Limits;

use super::authority::{Authority, Certificate, EC};
use super::server::{at, heard, refusal, serve};
use super::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("other_authorities_are_not_believed", other_authorities_are_not_believed),
    ("files_of_authorities_are_checked", files_of_authorities_are_checked),
    ("certificates_that_are_not_good_are_refused", certificates_that_are_not_good_are_refused),
    ("old_tls_is_refused", old_tls_is_refused),
    ("servers_without_tls_are_refused_and_told_nothing", servers_without_tls_are_refused_and_told_nothing),
    ("servers_that_say_nothing_are_not_waited_for", servers_that_say_nothing_are_not_waited_for),
    ("alone_a_domain_without_sasl_in_tls_says_what_to_do", a_domain_without_sasl_in_tls_says_what_to_do),
];

const HOST: &str = "dc1.dkm.test";

fn samba(stage: &Stage, port: u16) -> Result<SocketAddr> {
    stage.with(|domain| Ok((domain.address(), port).into()))
}

fn other_authorities_are_not_believed(stage: &Stage) -> Result<()> {
    let address = samba(stage, 636)?;
    let other = Authority::new(EC)?;
    let complaint = refusal(&at(stage, HOST, address, Some(&other), Limits::default())?)?;
    ensure!(complaint.contains("authority") && complaint.contains("ca="), "{complaint}");
    ensure!(complaint.contains(&format!("domain controller {HOST}")), "{complaint}");
    Ok(())
}

fn files_of_authorities_are_checked(stage: &Stage) -> Result<()> {
    let authority = Authority::new(EC)?;
    let address = samba(stage, 636)?;
    for (text, why) in [
        (None, "No such file"),
        (Some(""), "no certificate"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "no authority's"),
        (Some("-----BEGIN CERTIFICATE-----\nAAAA\n"), "PEM"),
    ] {
        std::fs::remove_file(authority.file())?;
        if let Some(text) = text {
            std::fs::write(authority.file(), text)?;
        }
        let complaint = refusal(&at(stage, HOST, address, Some(&authority), Limits::default())?)?;
        ensure!(complaint.contains(why) && complaint.contains("ca.pem"), "{text:?}: {complaint}");
        std::fs::write(authority.file(), "")?;
    }
    Ok(())
}

fn certificates_that_are_not_good_are_refused(stage: &Stage) -> Result<()> {
    let authority = Authority::new(EC)?;
    let refuse = |certificate: Certificate, why: &[&str]| -> Result<()> {
        let server = serve(move |stream| heard(stream, &certificate))?;
        let repository = at(stage, HOST, server.address, Some(&authority), Limits::default())?;
        let complaint = refusal(&repository)?;
        ensure!(why.iter().all(|why| complaint.contains(why)), "{complaint}");
        ensure!(server.end()?.is_empty(), "something was said: {complaint}");
        Ok(())
    };
    let sha256 = &["-sha256"];
    refuse(authority.certificate("dc2.dkm.test", sha256)?, &["not for this", "dc2.dkm.test", "dc="])?;
    refuse(authority.certificate("*.test", sha256)?, &["not for this", "*.test"])?;
    let ended = authority.certificate_between(HOST, "20200101000000Z", "20210203040506Z")?;
    refuse(ended, &["ended at 2021-02-03T04:05:06Z", "renew"])?;
    let early = authority.certificate_between(HOST, "20900101000000Z", "20910101000000Z")?;
    refuse(early, &["begins at 2090-01-01", "clock"])?;
    refuse(authority.certificate_of_a_client(HOST)?, &["serverAuth"])?;
    Ok(())
}

fn old_tls_is_refused(stage: &Stage) -> Result<()> {
    let authority = Authority::new(EC)?;
    let certificate = authority.certificate(HOST, &["-sha256"])?;
    // OpenSSL asks for a port of its own, so there must be one that is free for a moment.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut server = Command::new("openssl")
        .args(["s_server", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-accept", &port.to_string()])
        .arg("-cert")
        .arg(&certificate.chain)
        .arg("-key")
        .arg(&certificate.key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut lines = BufReader::new(server.stdout.take().context("no output")?).lines();
    let ready = lines.any(|line| line.is_ok_and(|line| line == "ACCEPT"));
    let complaint = refusal(&at(stage, HOST, port, Some(&authority), Limits::default())?);
    server.kill()?;
    server.wait()?;
    ensure!(ready, "openssl ended");
    let complaint = complaint?;
    ensure!(complaint.contains("1.2 or 1.3"), "{complaint}");
    Ok(())
}

/// All that a client says to a server that answers `with`, and its complaint.
fn said_to(stage: &Stage, answer: Option<&'static [u8]>) -> Result<(Vec<u8>, String)> {
    let authority = Authority::new(EC)?;
    let server = serve(move |mut stream| {
        let mut said = vec![0; 16 << 10];
        let read = stream.read(&mut said)?;
        said.truncate(read);
        if let Some(answer) = answer {
            stream.write_all(answer)?;
            // What it says to that, if anything.
            let _ = stream.read_to_end(&mut said);
        }
        Ok(said)
    })?;
    let complaint = refusal(&at(stage, HOST, server.address, Some(&authority), Limits::default())?)?;
    Ok((server.end()?, complaint))
}

/// Begins with the record of a handshake, and no word of LDAP in it.
fn is_a_greeting(said: &[u8]) -> bool {
    let holds = |word: &[u8]| said.windows(word.len()).any(|window| window == word);
    said.starts_with(&[0x16, 3]) && !holds(b"GSSAPI") && !holds(b"objectClass")
}

fn servers_without_tls_are_refused_and_told_nothing(stage: &Stage) -> Result<()> {
    // Notice of disconnection, as an LDAP server writes it that does not understand.
    let notice = b"0\x84\0\0\0\x28x\x84\0\0\0\x1f\n\x01\x02\x04\0\x04\x00\x8a\x161.3.6.1.4.1.1466.20036";
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], notice] {
        let (said, complaint) = said_to(stage, Some(answer))?;
        ensure!(is_a_greeting(&said), "{said:02x?}");
        ensure!(complaint.contains("does not speak TLS") && complaint.contains("636"), "{complaint}");
    }
    let (said, complaint) = said_to(stage, None)?;
    ensure!(is_a_greeting(&said), "{said:02x?}");
    ensure!(complaint.contains("TLS handshake: it closed the connection"), "{complaint}");
    // Samba's own port without TLS.
    let authority = Authority::of_the_domain(stage)?;
    let complaint = refusal(&at(stage, HOST, samba(stage, 389)?, Some(&authority), Limits::default())?)?;
    ensure!(complaint.contains("TLS"), "{complaint}");
    Ok(())
}

fn servers_that_say_nothing_are_not_waited_for(stage: &Stage) -> Result<()> {
    let authority = Authority::new(EC)?;
    let limits = Limits { connect: Duration::from_millis(500), ..Limits::default() };
    // A hello that does not end, and none at all.
    for beginning in [&b"\x16\x03\x03\x20\x00\x02\x00\x1f\xfc\x03\x03"[..], b""] {
        let server = serve(move |mut stream| {
            stream.write_all(beginning)?;
            // Until the client has had enough of it.
            Ok(stream.read_to_end(&mut Vec::new())?)
        })?;
        let complaint = refusal(&at(stage, HOST, server.address, Some(&authority), limits)?)?;
        ensure!(complaint.contains("TLS handshake: it did not answer in time"), "{complaint}");
        server.end()?;
    }
    Ok(())
}

fn a_domain_without_sasl_in_tls_says_what_to_do(stage: &Stage) -> Result<()> {
    let authority = Authority::of_the_domain(stage)?;
    let address = samba(stage, 636)?;
    stage.with(|domain| domain.restart_with_sasl_inside_tls(false))?;
    let complaint = refusal(&at(stage, HOST, address, Some(&authority), Limits::default())?);
    stage.with(|domain| domain.restart_with_sasl_inside_tls(true))?;
    let complaint = complaint?;
    for word in ["allow_sasl_over_tls", "without tls=yes", HOST] {
        ensure!(complaint.contains(word), "{complaint}");
    }
    Ok(())
}
