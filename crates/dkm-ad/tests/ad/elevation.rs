//! Access for a time: what the tickets give, what they don't, and what ends them.

mod ending;
mod misuse;
mod roles;
mod sweeping;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::{Group, NewGroup};
use dkm::core::{GroupId, RequestId, Room, Timestamp};
use dkm::repository::{GroupAccess, Replica, RepositoryError};
use dkm_ad::Identity;
use dkm_ad::elevation::{ElevationError, Elevator, LEAST_MS, Tickets};
use dkm_testbed::{Account, Entry, Scope};

use super::access::{Objects, context};
use super::person::Person;
use super::stage::{Stage, Test};
use super::support::tickets as ticket_folder;

pub(crate) use ending::TESTS as ENDING;
pub(crate) use misuse::TESTS as MISUSE;
pub(crate) use roles::TESTS as ROLES;
pub(crate) use sweeping::TESTS as SWEEPING;

pub(crate) const TESTS: &[Test] = &[
    ("elevation_tickets_read_keys_and_nothing_else_is_held", tickets_read_keys_and_nothing_else_is_held),
    ("elevation_needs_time_a_role_and_a_domain_controller", needs_time_a_role_and_a_domain_controller),
    ("elevation_into_a_readers_group_of_others", into_a_readers_group_of_others),
];

/// A while that does not end during a test.
const LONG_MS: u64 = 3_600_000;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp(u64::try_from(since.as_millis()).unwrap())
}

/// A request's id that nobody else uses.
fn request() -> RequestId {
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    RequestId(random)
}

/// A group that the elevator lets people into.
struct Scene<'a> {
    stage: &'a Stage,
    group: Group,
    blob: Vec<u8>,
    objects: Objects,
    elevator: Elevator,
}

impl<'a> Scene<'a> {
    fn set(stage: &'a Stage) -> Result<Self> {
        let maker = || vec![stage.maker.sam.clone()];
        let access = GroupAccess {
            readers: maker(),
            creators: maker(),
            owners: maker(),
            auditors: vec![stage.auditors.sam.clone()],
            elevators: vec![stage.elevator.sam.clone()],
        };
        Self::with(stage, access)
    }

    fn with(stage: &'a Stage, access: GroupAccess) -> Result<Self> {
        let name = format!("elevated-{}", request());
        let new = NewGroup { name, description: None, policy: Stage::policy(), access };
        let group = stage.client(&stage.maker)?.create_group(new)?;
        let blob = group.protect(&context(), b"secret")?;
        let objects = Objects::of(stage, group.id())?;
        let elevator = Elevator::new(Arc::new(elevators_repository(stage)?));
        Ok(Self { stage, group, blob, objects, elevator })
    }

    fn id(&self) -> GroupId {
        self.group.id()
    }

    fn issue(&self, request: RequestId, for_ms: u64) -> Result<Guest<'_>> {
        let tickets = self.elevator.issue(self.id(), request, now().plus(for_ms))?;
        Guest::new(self, tickets)
    }

    /// The group of temporary accounts, or the readers group.
    fn group_dn(&self, kind: &str) -> String {
        format!("CN={kind}-{},{}", self.id(), self.stage.url().container_dn())
    }

    /// How many are in the group of temporary accounts.
    fn members(&self) -> Result<usize> {
        let dn = self.group_dn("elevated");
        let found =
            self.stage.with(|domain| domain.search(&dn, Scope::Base, "(objectClass=*)", &["member"]))?;
        let found = found.first().context("no group of temporary accounts")?;
        Ok(found.attributes.get("member").map_or(0, Vec::len))
    }

    fn account(&self, name: &str) -> Result<Option<Entry>> {
        let filter = format!("(sAMAccountName={name})");
        let wanted = ["userAccountControl", "description", "accountExpires"];
        let found = self.stage.with(|domain| domain.search(domain.base(), Scope::Sub, &filter, &wanted))?;
        Ok(found.into_iter().next())
    }

    fn others_go_on(&self) -> Result<()> {
        self.group.refresh()?;
        self.group.protect(&context(), b"x")?;
        ensure!(self.group.unprotect(&context(), &self.blob)?.as_ref() == b"secret");
        let view = self.group.view()?;
        ensure!(!view.access.iter().any(|line| line.alarming), "{:?}", view.access);
        ensure!(view.alarms.is_empty() && view.ring.findings.is_empty(), "{view:?}");
        Ok(())
    }
}

/// The repository as the elevator has it. It knows the domain controller by another name, too: OpenLDAP's programs ask for
/// a ticket for its address.
fn elevators_repository(stage: &Stage) -> Result<dkm_ad::AdRepository> {
    let address = stage.with(|domain| Ok(domain.addresses()))?;
    let address = address.first().context("no domain controller")?;
    let url = format!("ad://dkm.test?dc=dc1.dkm.test@{address},{address}@{address}").parse()?;
    let Account { principal, password, .. } = stage.elevator.clone();
    let identity = Identity::Password { principal, password: password.into() };
    stage.open_with(url, identity, dkm_ad::Limits::default())
}

/// Somebody who was let in for a time.
struct Guest<'a> {
    scene: &'a Scene<'a>,
    tickets: Tickets,
    /// The cache in a file, as he was given it.
    cache: PathBuf,
}

impl<'a> Guest<'a> {
    fn new(scene: &'a Scene<'a>, tickets: Tickets) -> Result<Self> {
        let cache = ticket_folder()?.join(format!("tkt{}", tickets.account));
        std::fs::write(&cache, &*tickets.cache)?;
        Ok(Self { scene, tickets, cache })
    }

    fn principal(&self) -> Result<String> {
        let realm = self.scene.stage.with(|domain| Ok(domain.realm().to_owned()))?;
        Ok(format!("{}@{realm}", self.tickets.account))
    }

    fn repository(&self) -> Result<dkm_ad::AdRepository> {
        let identity = Identity::Principal(self.principal()?);
        self.scene.stage.open_with(self.scene.stage.url().clone(), identity, dkm_ad::Limits::default())
    }

    /// A client as everybody has it.
    fn client(&self) -> Result<Group> {
        Ok(Stage::client_of(self.repository()?)?.group(&self.scene.id().to_string())?)
    }

    fn person(&self) -> Result<Person> {
        Person::with_cache(self.scene.stage, &self.cache)
    }

    fn unprotects(&self) -> Result<()> {
        let plain = self.client()?.unprotect(&context(), &self.scene.blob)?;
        ensure!(plain.as_ref() == b"secret");
        Ok(())
    }

    /// Whether a key can be read by its name, by its id, or by looking into the room.
    fn reads(&self) -> Result<bool> {
        let Objects { key, key_guid, keys, .. } = &self.scene.objects;
        let person = self.person()?;
        for (base, scope) in [(key, "base"), (key_guid, "base"), (keys, "sub")] {
            let found = person.search(base, scope, "(objectClass=*)", &["thumbnailPhoto", "info"])?;
            if found.text.contains("thumbnailPhoto::") || found.text.contains("info:") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A program of Kerberos with what the guest has.
    fn kerberos(&self, program: &str, arguments: &[&str]) -> Result<(bool, String)> {
        let env = self.scene.stage.with(|domain| Ok(domain.env_with(&self.cache)))?;
        let output = Command::new(program).args(arguments).envs(env).env("LC_ALL", "C").output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }
}

/// Whether an open connection reads keys; an error if it is gone.
fn connection_reads(connection: &mut dyn Replica, group: GroupId) -> Result<bool, RepositoryError> {
    let entries = match connection.list(group, Room::Keys) {
        Err(RepositoryError::Denied { .. } | RepositoryError::NotFound { .. }) => return Ok(false),
        entries => entries?,
    };
    for entry in &entries {
        connection.get(group, Room::Keys, entry)?;
    }
    Ok(!entries.is_empty())
}

fn tickets_read_keys_and_nothing_else_is_held(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let until = now().plus(LONG_MS);
    let guest = Guest::new(&scene, scene.elevator.issue(scene.id(), request(), until)?)?;
    ensure!(guest.tickets.until <= until && guest.tickets.services.len() == 2, "{:?}", guest.tickets);
    ensure!(guest.tickets.services[0] == "ldap/dc1.dkm.test", "{:?}", guest.tickets);
    guest.unprotects()?;
    ensure!(guest.reads()?);
    ensure!(!format!("{:?}", guest.tickets).contains("cache"));
    // One for each name of the service, which can't be passed on, and none to get others with.
    let (_, listed) = guest.kerberos("klist", &["-f"])?;
    ensure!(!listed.contains("krbtgt/") && listed.matches("Flags:").count() == 2, "{listed}");
    // All that he has gets him nothing new: from the KDC, with the ticket or without, in his name or another's.
    let principal = guest.principal()?;
    for arguments in [
        &["cifs/dc1.dkm.test"][..],
        &["krbtgt/DKM.TEST"],
        &["--no-store", "-U", "Administrator", "ldap/dc1.dkm.test"],
        &["--no-store", "-I", "Administrator", "-P", "ldap/dc1.dkm.test"],
        &["--u2u", "FILE:/nonexistent", "ldap/dc1.dkm.test"],
    ] {
        let (done, said) = guest.kerberos("kvno", arguments)?;
        ensure!(!done, "{arguments:?}: {said}");
    }
    for arguments in [&["-R"][..], &["-n", "@DKM.TEST"], &["-k", "-t", "/nonexistent", &principal]] {
        let (done, said) = guest.kerberos("kinit", arguments)?;
        ensure!(!done, "{arguments:?}: {said}");
    }
    // Nor if somebody knew the password: it is refused for being disabled.
    sign_in(stage, &principal, "password")?;
    let mut account = Account { sam: guest.tickets.account.clone(), ..stage.maker.clone() };
    account.dn = scene.account(&guest.tickets.account)?.context("no account")?.dn;
    stage.with(|domain| {
        // Which enables it.
        domain.set_password(&mut account, "Aa1-known-to-others")?;
        domain.disable(&account)
    })?;
    let refused = sign_in(stage, &principal, "Aa1-known-to-others")?;
    ensure!(refused.contains("revoked"), "{refused}");
    for bind in [&principal, &format!("CN={},{}", guest.tickets.account, scene.objects.container)] {
        for password in ["", "password", &guest.tickets.account] {
            let nobody = Person::nobody(stage)?;
            let arguments = ["-D", bind, "-w", password, "-b", &scene.objects.keys, "(objectClass=*)"];
            let answer = nobody.run("ldapsearch", &arguments, "")?;
            ensure!(answer.entries() == 0, "{answer:?}");
        }
    }
    // Nor does the account do anything about itself.
    let dn = scene.account(&guest.tickets.account)?.context("no account")?.dn;
    let person = guest.person()?;
    for change in [
        "replace: userAccountControl\nuserAccountControl: 512\n",
        "replace: accountExpires\naccountExpires: 0\n",
        "replace: unicodePwd\nunicodePwd:: IgBhAEEAMQAtADEAMgAzADQANQA2ACIA\n",
        "add: servicePrincipalName\nservicePrincipalName: host/x\n",
        "replace: description\ndescription: x\n",
    ] {
        let answer = person.change(&format!("dn: {dn}\nchangetype: modify\n{change}"))?;
        ensure!(answer.code != 0, "{change}: {answer:?}");
    }
    let found = scene.account(&guest.tickets.account)?.context("no account")?;
    // UF_NORMAL_ACCOUNT | UF_ACCOUNTDISABLE | UF_NOT_DELEGATED
    ensure!(found.text("userAccountControl").as_deref() == Some("1049090"), "{found:?}");
    super::access::changes_nothing(stage, &person, &scene.objects)?;
    scene.others_go_on()
}

fn needs_time_a_role_and_a_domain_controller(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    for for_ms in [0, 1_000, LEAST_MS - 2_000] {
        let error = scene.elevator.issue(scene.id(), request(), now().plus(for_ms)).unwrap_err();
        ensure!(matches!(error, ElevationError::TooShort { .. }), "{error}");
    }
    let error = scene.elevator.issue(scene.id(), request(), Timestamp::MAX).unwrap_err();
    ensure!(matches!(error, ElevationError::Other(_)), "{error}");
    ensure!(scene.members()? == 0);
    // Longer than the domain gives tickets for: they end before.
    let day = scene.issue(request(), 86_400_000)?;
    ensure!(day.tickets.until < now().plus(11 * 3_600_000), "{:?}", day.tickets);
    day.unprotects()?;
    // Whoever is no elevator, and a group that has none.
    let denied = |error: &ElevationError| matches!(error, ElevationError::Denied { .. });
    for account in [&stage.maker, &stage.account("person")?] {
        let elevator = Elevator::new(Arc::new(stage.open(account)?));
        let error = elevator.issue(scene.id(), request(), now().plus(LONG_MS)).unwrap_err();
        ensure!(denied(&error) && error.to_string().contains("--elevators"), "{error}");
        // Makers see that there is such a container, and nothing in it.
        let swept = elevator.sweep(now());
        ensure!(swept.as_ref().map_or_else(denied, Vec::is_empty), "{swept:?}");
    }
    let readers = stage.readers(&[&stage.maker])?;
    let without = stage.group(&stage.maker, &readers)?;
    let error = scene.elevator.issue(without.id(), request(), now().plus(LONG_MS)).unwrap_err();
    ensure!(denied(&error), "{error}");
    let away = "ad://dkm.test?dc=dc1.dkm.test@127.0.0.1:9".parse()?;
    let away = stage.open_with(away, Identity::Environment, dkm_ad::Limits::default())?;
    let error = Elevator::new(Arc::new(away)).issue(scene.id(), request(), now().plus(LONG_MS)).unwrap_err();
    ensure!(matches!(error, ElevationError::Unreachable { .. }), "{error}");
    Ok(())
}

/// A readers group that somebody else manages: he puts the group of temporary accounts in.
fn into_a_readers_group_of_others(stage: &Stage) -> Result<()> {
    let readers = stage.readers(&[&stage.maker])?;
    let maker = || vec![stage.maker.sam.clone()];
    let access = GroupAccess {
        readers: vec![format!("{}{}", dkm::repository::READERS_GROUP, readers.sam)],
        creators: maker(),
        owners: maker(),
        auditors: Vec::new(),
        elevators: vec![stage.elevator.sam.clone()],
    };
    let scene = Scene::with(stage, access)?;
    let error = scene.elevator.issue(scene.id(), request(), now().plus(LONG_MS)).unwrap_err();
    ensure!(error.to_string().contains("is no member of the readers group"), "{error}");
    ensure!(scene.members()? == 0, "what can't work is cleared away");
    // A domain local group can't be in a global one, as the testbed makes them: it becomes universal, then domain local.
    stage.with(|domain| {
        for kind in ["-2147483640", "-2147483644"] {
            domain.modify_ldif(&format!(
                "dn: {}\nchangetype: modify\nreplace: groupType\ngroupType: {kind}\n",
                readers.dn
            ))?;
        }
        domain.add_member(&readers, &scene.group_dn("elevated"))
    })?;
    scene.issue(request(), LONG_MS)?.unprotects()
}

/// Why one can't sign in with a password.
fn sign_in(stage: &Stage, principal: &str, password: &str) -> Result<String> {
    let mut kinit = Command::new("kinit")
        .args(["-c", "MEMORY:", principal])
        .envs(stage.with(|domain| Ok(domain.env()))?)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let _ = writeln!(kinit.stdin.take().context("no input")?, "{password}");
    let output = kinit.wait_with_output()?;
    ensure!(!output.status.success(), "{principal} signs in");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}
