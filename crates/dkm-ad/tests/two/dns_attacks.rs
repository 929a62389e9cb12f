//! DNS that names the wrong hosts, and domain controllers that leave while a client works.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use dkm_testbed::{Account, Domain, FIRST_SITE};

use super::discovery::{DC1, DC2, OPEN, told};
use super::stage::{Stage, Test};
use super::two::while_stopped;

pub(crate) const TESTS: &[Test] = &[
    (
        "dns_a_computer_of_the_domain_is_not_taken_for_a_domain_controller",
        dns_a_computer_of_the_domain_is_not_taken_for_a_domain_controller,
    ),
    ("dns_one_that_is_gone_gives_its_place_to_another", dns_one_that_is_gone_gives_its_place_to_another),
];

/// Serves what a domain controller serves, and calls itself `web` instead of `dc1`. Ends with the process.
fn impostor(of: Ipv4Addr) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((of, 389)) else { continue };
            let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else { continue };
            thread::spawn(move || pass(from_client, to_server, |_| {}));
            thread::spawn(move || {
                pass(server, client, |bytes| {
                    for at in 0..bytes.len().saturating_sub(3) {
                        if bytes[at..].starts_with(b"\x03dc1") {
                            bytes[at..at + 4].copy_from_slice(b"\x03web");
                        }
                    }
                });
            });
        }
    });
    Ok(address)
}

fn pass(mut from: impl Read, mut to: TcpStream, change: impl Fn(&mut [u8])) {
    let mut buffer = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        change(&mut buffer[..len]);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A computer of the domain that its administrator has turned against it.
fn computer(domain: &Domain) -> Result<Account> {
    let dn = format!("CN=WEB,CN=Computers,{}", domain.base());
    domain.modify_ldif(&format!(
        "dn: {dn}\nobjectClass: computer\nsAMAccountName: WEB$\nuserAccountControl: 4096\n\
         dNSHostName: web.dkm.test\n"
    ))?;
    let mut web = Account {
        sam: "WEB$".to_owned(),
        dn,
        sid: String::new(),
        password: String::new(),
        keytab: domain.folder().join("clients/web.keytab"),
        principal: format!("WEB$@{}", domain.realm()),
    };
    domain.set_password(&mut web, "Aa1-of the computer")?;
    domain.keytab(&web)?;
    Ok(web)
}

/// Whether an account can give itself the name of a service.
fn may_be_called(domain: &Domain, account: &Account, name: &str) -> Result<bool> {
    let change = domain.folder().join("clients/name.ldif");
    let text = format!(
        "dn: {}\nchangetype: modify\nadd: servicePrincipalName\nservicePrincipalName: {name}\n",
        account.dn
    );
    std::fs::write(&change, text)?;
    let cache = domain.ccache_at(domain, account, None)?;
    let mut modify = Command::new("ldapmodify");
    modify.args(["-Q", "-Y", "GSSAPI", "-H", &domain.ldap_url(), "-f"]).arg(&change);
    let output = modify.envs(domain.env_with(&cache)).output()?;
    // Refused is not the same as not understood.
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() || said.contains("spn validation failed"), "{said}");
    Ok(output.status.success())
}

fn dns_a_computer_of_the_domain_is_not_taken_for_a_domain_controller(stage: &Stage) -> Result<()> {
    let (target, servers) = stage.with(|domain| {
        let web = computer(domain)?;
        // It may call itself what it likes, but not a domain controller.
        ensure!(may_be_called(domain, &web, "ldap/web.dkm.test")?, "the impostor has no name at all");
        for name in ["ldap/web.dkm.test/dkm.test", "ldap/web.dkm.test/DKM"] {
            ensure!(!may_be_called(domain, &web, name)?, "the impostor is called {name}");
        }
        domain.replicate()?;
        // Kerberos gives everybody a ticket for the host by itself, and nobody one for it as a domain controller.
        let cache = domain.ccache(domain.admin(), None)?;
        let ticket = |service: &str| -> Result<bool> {
            let mut kvno = Command::new("kvno");
            kvno.args([service]).envs(domain.env_with(&cache)).stdout(Stdio::null()).stderr(Stdio::null());
            Ok(kvno.status()?.success())
        };
        ensure!(ticket("ldap/web.dkm.test")?, "the impostor has no ticket");
        ensure!(!ticket("ldap/web.dkm.test/dkm.test")?, "the impostor has a domain controller's ticket");
        let port = impostor(domain.addresses()[0])?.port();
        let target = format!("web.dkm.test {port} 0 200");
        domain.dns(domain, "add", &domain.name(), ["web", "A", "127.0.0.1"])?;
        domain.dns(domain, "add", &format!("_msdcs.{}", domain.name()), ["_ldap._tcp.dc", "SRV", &target])?;
        Ok((target, domain.addresses()))
    })?;
    let found = told(stage, "?site=Nowhere", &servers[..1]);
    stage.with(|domain| {
        domain.dns(
            domain,
            "delete",
            &format!("_msdcs.{}", domain.name()),
            ["_ldap._tcp.dc", "SRV", &target],
        )?;
        domain.dns(domain, "delete", &domain.name(), ["web", "A", "127.0.0.1"])
    })?;
    let found = found?;
    let lines: Vec<&str> = found.lines().collect();
    ensure!(lines.len() == 3 && lines[0].starts_with("web.dkm.test fails"), "{found}");
    ensure!(lines[0].contains("signing in to ldap/web.dkm.test/dkm.test@DKM.TEST"), "{found}");
    ensure!(lines[0].contains("not found in Kerberos database"), "{found}");
    ensure!(lines[1..] == [format!("{DC1} works"), format!("{DC2} works")], "{found}");
    Ok(())
}

fn dns_one_that_is_gone_gives_its_place_to_another(stage: &Stage) -> Result<()> {
    // The second one's name server knows what happens while the first is stopped.
    let change = |what: &'static str| {
        stage.with(|domain| {
            let at = domain.second()?;
            [None, Some(FIRST_SITE)]
                .into_iter()
                .try_for_each(|site| domain.dns_service(at, what, site, (DC2, 0, 100)))
        })
    };
    let start = |domain: &Domain| -> Result<_> {
        let program = std::env::current_exe()?;
        let server = domain.second()?.address();
        let mut client = domain.client_of_dns(program.to_str().context("not UTF-8")?, &[server])?;
        let cache = domain.ccache(domain.admin(), None)?;
        client.env("KRB5CCNAME", cache).env(OPEN, format!("again ad://{}", domain.name()));
        Ok(client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
    };
    change("delete")?;
    let mut client = stage.with(start)?;
    let mut says = BufReader::new(client.stdout.take().context("no output")?).lines();
    let mut next = || says.next().context("the client ended")?.context("not UTF-8");
    let before = next();
    let after = while_stopped(stage, 0, || {
        change("add")?;
        drop(client.stdin.take());
        next()
    });
    ensure!(client.wait()?.success(), "the client failed");
    let (before, after) = (before?, after?);
    ensure!(before == format!("{DC1} works"), "{before}");
    ensure!(after == format!("{DC2} works"), "{after}");
    Ok(())
}
