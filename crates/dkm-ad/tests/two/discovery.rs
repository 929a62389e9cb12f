//! Domain controllers that DNS tells of, each client in a process of its own whose system uses the domain's name servers.

use std::net::Ipv4Addr;
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use dkm::repository::Repository as _;
use dkm_ad::{AdRepository, Limits};
use dkm_testbed::{Domain, FIRST_SITE};

use super::stage::{Stage, Test};
use super::two::while_frozen;

/// In the environment: the URL that this process only opens; behind `again`, until the first replica works once more.
pub(super) const OPEN: &str = "DKM_AD_TEST_OPEN";
pub(super) const DC1: &str = "dc1.dkm.test";
pub(super) const DC2: &str = "dc2.dkm.test";

pub(crate) const TESTS: &[Test] = &[
    ("dns_tells_the_domain_controllers_and_their_order", dns_tells_the_domain_controllers_and_their_order),
    ("dns_those_of_the_own_site_come_first", dns_those_of_the_own_site_come_first),
    ("dns_one_that_is_stopped_is_found_and_not_used", dns_one_that_is_stopped_is_found_and_not_used),
    ("dns_a_name_server_that_hangs_is_an_error_in_time", dns_a_name_server_that_hangs_is_an_error_in_time),
    (
        "dns_without_records_the_domains_addresses_are_asked",
        dns_without_records_the_domains_addresses_are_asked,
    ),
];

/// If this process is such a client: opens the repository, connects to each replica, and tells what came of it.
pub(crate) fn as_client() -> Option<ExitCode> {
    let url = std::env::var(OPEN).ok()?;
    let (again, url) = url.strip_prefix("again ").map_or((false, url.as_str()), |url| (true, url));
    let opened = url
        .parse()
        .map_err(anyhow::Error::from)
        .and_then(|url| Ok(AdRepository::open(url, None, Limits::default())?));
    let repository = match opened {
        Err(error) => {
            println!("error {error:#}");
            return Some(ExitCode::SUCCESS);
        }
        Ok(repository) => repository,
    };
    for (number, controller) in repository.controllers().iter().enumerate() {
        match repository.connect(number) {
            Ok(_) => println!("{} works", controller.host),
            Err(error) => println!("{} fails: {error}", controller.host),
        }
    }
    if again {
        // Until whoever started this process has done what it wants to.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let worked = super::two::until("it works again", || Ok(repository.connect(0).is_ok()));
        match (worked, repository.controllers().first()) {
            (Ok(()), Some(controller)) => println!("{} works", controller.host),
            _ => println!("nothing works"),
        }
    }
    Some(ExitCode::SUCCESS)
}

/// What a client of these name servers tells.
pub(super) fn told(stage: &Stage, parameters: &str, servers: &[Ipv4Addr]) -> Result<String> {
    stage.with(|domain| {
        let program = std::env::current_exe()?;
        let mut client = domain.client_of_dns(program.to_str().context("not UTF-8")?, servers)?;
        // Tickets from whichever still runs.
        let running =
            domain.controllers().iter().find(|controller| controller.runs()).context("none runs")?;
        let cache = domain.ccache_at(running, domain.admin(), None)?;
        client.env("KRB5CCNAME", cache).env(OPEN, format!("ad://{}{parameters}", domain.name()));
        let output = client.stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the client ended with {}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    })
}

fn works(hosts: &[&str]) -> String {
    hosts.iter().map(|host| format!("{host} works\n")).collect()
}

fn servers(stage: &Stage) -> Result<Vec<Ipv4Addr>> {
    stage.with(|domain| Ok(domain.addresses()))
}

/// Does something while DNS has another record of a domain controller than it is given in the beginning.
fn while_known_as<T>(
    stage: &Stage,
    site: Option<&str>,
    (host, priority, weight): (&str, u16, u16),
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let change = |domain: &Domain, remove, add| {
        domain.dns_service(domain, "delete", site, remove)?;
        domain.dns_service(domain, "add", site, add)
    };
    stage.with(|domain| change(domain, (host, 0, 100), (host, priority, weight)))?;
    let done = work();
    stage.with(|domain| change(domain, (host, priority, weight), (host, 0, 100)))?;
    done
}

fn dns_tells_the_domain_controllers_and_their_order(stage: &Stage) -> Result<()> {
    let servers = &servers(stage)?[..1];
    let tell = || told(stage, "", servers);
    let alike = tell()?;
    ensure!(alike == works(&[DC1, DC2]), "{alike}");
    // Who registers them says which is preferred.
    for (priority, weight) in [(1, 100), (0, 99)] {
        while_known_as(stage, None, (DC1, priority, weight), || {
            while_known_as(stage, Some(FIRST_SITE), (DC1, priority, weight), || {
                let told = tell()?;
                ensure!(told == works(&[DC2, DC1]), "{priority} {weight}: {told}");
                Ok(())
            })
        })?;
    }
    Ok(())
}

fn dns_those_of_the_own_site_come_first(stage: &Stage) -> Result<()> {
    let servers = &servers(stage)?[..1];
    stage.with(|domain| {
        let network = Ipv4Addr::from(u32::from(domain.addresses()[0]) & 0xFFFF_FF00);
        domain.samba_tool(domain, &["sites", "create", "Branch"])?;
        domain.samba_tool(domain, &["sites", "subnet", "create", &format!("{network}/24"), "Branch"])?;
        domain.dns_service(domain, "add", Some("Branch"), (DC2, 0, 100))
    })?;
    // The domain says where the client's address is; who knows better says so.
    let told_of = |parameters: &str| told(stage, parameters, servers);
    ensure!(told_of("")? == works(&[DC2, DC1]), "{}", told_of("")?);
    ensure!(told_of("?site=branch")? == works(&[DC2, DC1]), "{}", told_of("?site=branch")?);
    let other = told_of(&format!("?site={FIRST_SITE}"))?;
    ensure!(other == works(&[DC1, DC2]), "{other}");
    let unknown = told_of("?site=Nowhere")?;
    ensure!(unknown == works(&[DC1, DC2]), "{unknown}");
    stage.with(|domain| {
        let network = Ipv4Addr::from(u32::from(domain.addresses()[0]) & 0xFFFF_FF00);
        domain.samba_tool(domain, &["sites", "subnet", "remove", &format!("{network}/24")])?;
        domain.samba_tool(domain, &["sites", "remove", "Branch"])?;
        domain.dns_service(domain, "delete", Some("Branch"), (DC2, 0, 100))
    })
}

fn dns_one_that_is_stopped_is_found_and_not_used(stage: &Stage) -> Result<()> {
    let servers = servers(stage)?;
    for (number, [down, up]) in [[DC1, DC2], [DC2, DC1]].into_iter().enumerate() {
        super::two::while_stopped(stage, number, || {
            let told = told(stage, "", &servers)?;
            // It is silent, so that it comes last, whatever its name.
            let lines: Vec<&str> = told.lines().collect();
            ensure!(lines.len() == 2 && lines[0] == format!("{up} works"), "{told}");
            ensure!(lines[1].starts_with(&format!("{down} fails")), "{told}");
            Ok(())
        })?;
    }
    Ok(())
}

fn dns_a_name_server_that_hangs_is_an_error_in_time(stage: &Stage) -> Result<()> {
    let servers = servers(stage)?;
    let only = told_while_first_hangs(stage, &servers[..1])?;
    ensure!(only.starts_with("error") && only.contains("_ldap._tcp.dc._msdcs.dkm.test"), "{only}");
    ensure!(only.contains(&servers[0].to_string()) && only.contains("did not answer in time"), "{only}");
    ensure!(only.contains("?dc="), "no advice: {only}");
    Ok(())
}

/// The other controller gives the tickets.
fn told_while_first_hangs(stage: &Stage, servers: &[Ipv4Addr]) -> Result<String> {
    while_frozen(stage, 0, || {
        stage.with(|domain| {
            let program = std::env::current_exe()?;
            let mut client = domain.client_of_dns(program.to_str().context("not UTF-8")?, servers)?;
            client.env(OPEN, format!("ad://{}", domain.name()));
            Ok(String::from_utf8(client.output()?.stdout)?)
        })
    })
}

fn dns_without_records_the_domains_addresses_are_asked(stage: &Stage) -> Result<()> {
    let all = servers(stage)?;
    let records = |domain: &Domain, change: &str| -> Result<()> {
        for host in [DC1, DC2] {
            for site in [None, Some(FIRST_SITE)] {
                domain.dns_service(domain, change, site, (host, 0, 100))?;
            }
        }
        Ok(())
    };
    stage.with(|domain| {
        records(domain, "delete")?;
        // Beside the address that the domain was made with, where nobody answers.
        all.iter().try_for_each(|ip| domain.dns(domain, "add", &domain.name(), ["@", "A", &ip.to_string()]))
    })?;
    let found = told(stage, "", &all[..1]);
    stage.with(|domain| {
        all.iter()
            .try_for_each(|ip| domain.dns(domain, "delete", &domain.name(), ["@", "A", &ip.to_string()]))?;
        records(domain, "add")
    })?;
    let found = found?;
    let mut lines: Vec<&str> = found.lines().collect();
    lines.sort_unstable();
    ensure!(lines == [format!("{DC1} works"), format!("{DC2} works")], "{found}");
    Ok(())
}
