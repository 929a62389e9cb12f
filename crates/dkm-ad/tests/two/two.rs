//! Clients of one or both domain controllers, and what is done to the two.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::{Client, Group, NewGroup};
use dkm::core::policy::Policy;
use dkm::core::{Context, KeyId};
use dkm::repository::{GroupAccess, READERS_GROUP};
use dkm_ad::{AdUrl, Identity, Limits};
use dkm_testbed::{Account, Domain};

use super::stage::Stage;
use super::support;

pub(crate) fn context() -> Context {
    Context::new().with("account", "alice@example.com").unwrap()
}

/// Short enough for a test, long enough for a busy machine.
pub(crate) const LIMITS: Limits = Limits { connect: Duration::from_secs(3), request: Duration::from_secs(3) };

/// The shortest delay that the rules allow: a rolled key protects after some seconds.
pub(crate) fn quick() -> Policy {
    let policy = Policy {
        replication_bound_ms: 100,
        io_deadline_ms: 500,
        clock_skew_ms: 1_500,
        min_replicas: 1,
        ..Stage::policy()
    };
    Policy { activation_delay_ms: policy.activation_delay_min_ms(), ..policy }
}

/// A policy that wants each key on both domain controllers before it is used.
pub(crate) fn both() -> Policy {
    Policy { min_replicas: 2, ..Stage::policy() }
}

/// The repository's URL with one domain controller only.
pub(crate) fn url_of(stage: &Stage, number: usize) -> AdUrl {
    let mut url = stage.url().clone();
    url.controllers = vec![url.controllers[number].clone()];
    url
}

pub(crate) fn password(account: &Account) -> Identity {
    Identity::Password { principal: account.principal.clone(), password: account.password.clone().into() }
}

/// A client that sees one domain controller.
pub(crate) fn client_at(stage: &Stage, account: &Account, number: usize) -> Result<Client> {
    Stage::client_of(stage.open_with(url_of(stage, number), password(account), LIMITS)?)
}

/// A client that sees both and signs in with tickets that one domain controller gave it before. All of them: whoever
/// gives a service ticket looks the account's groups up anew.
pub(crate) fn client_with_tickets(stage: &Stage, account: &Account, from: usize) -> Result<Client> {
    stage.with(|domain| {
        let controller = domain.controllers().get(from).context("no such controller")?;
        let cache = domain.ccache_at(controller, account, None)?;
        let services = domain.controllers().iter().map(|controller| format!("ldap/{}", controller.fqdn()));
        let mut kvno = Command::new("kvno");
        kvno.args(services).envs(domain.env_at(controller)).env("KRB5CCNAME", &cache).stdout(Stdio::null());
        ensure!(kvno.status()?.success(), "no service tickets");
        std::fs::copy(cache, support::tickets()?.join(format!("tkt{}", account.sam)))?;
        Ok(())
    })?;
    let identity = Identity::Principal(account.principal.clone());
    Stage::client_of(stage.open_with(stage.url().clone(), identity, LIMITS)?)
}

/// What a group of these readers is made from; its maker creates and owns.
pub(crate) fn new_group(
    name: &str,
    policy: Policy,
    founder: &Account,
    readers: &dkm_testbed::Group,
) -> NewGroup {
    NewGroup {
        name: name.to_owned(),
        description: None,
        policy,
        access: GroupAccess {
            readers: vec![format!("{READERS_GROUP}{}", readers.sam)],
            creators: vec![founder.sam.clone()],
            owners: vec![founder.sam.clone()],
            ..GroupAccess::default()
        },
    }
}

/// Accounts and their group, known to both domain controllers.
pub(crate) fn readers(stage: &Stage, members: &[&Account]) -> Result<dkm_testbed::Group> {
    let readers = stage.readers(members)?;
    stage.with(Domain::replicate)?;
    Ok(readers)
}

pub(crate) fn opens(group: &Group, blob: &[u8], plaintext: &[u8]) -> Result<()> {
    let opened = group.unprotect(&context(), blob)?;
    ensure!(opened.as_ref() == plaintext, "another plaintext");
    Ok(())
}

pub(crate) fn protecting(group: &Group) -> Result<KeyId> {
    Ok(group.view()?.protecting?)
}

/// Reads until it is so, for at most half a minute.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so()? {
        ensure!(Instant::now() < end, "{what}: not within half a minute");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Does something while the link is cut, and mends it whatever comes of that.
pub(crate) fn while_apart<T>(stage: &Stage, work: impl FnOnce() -> Result<T>) -> Result<T> {
    stage.with(|domain| {
        domain.replicate()?;
        domain.link_down()
    })?;
    let done = work();
    stage.with(Domain::link_up)?;
    done
}

/// Does something while a domain controller takes connections and answers nothing.
pub(crate) fn while_frozen<T>(stage: &Stage, number: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    stage.with(|domain| domain.controllers().get(number).context("none")?.freeze())?;
    let done = work();
    stage.with(|domain| domain.controllers().get(number).context("none")?.thaw())?;
    done
}

/// Does something while a domain controller is stopped.
pub(crate) fn while_stopped<T>(stage: &Stage, number: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    stage.with(|domain| domain.controllers().get(number).context("none")?.stop())?;
    let done = work();
    stage.with(|domain| domain.restart_controller(&domain.controllers()[number]))?;
    done
}

/// The error, where there must be one.
pub(crate) fn fails<T, E>(result: std::result::Result<T, E>) -> Result<E> {
    result.err().context("what must fail did not")
}
