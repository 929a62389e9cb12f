//! Access for a time: what the tickets give, what they don't, and what ends them.

mod misuse;
mod roles;

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use dkm::ErrorKind;
use dkm::blocking::{Group, NewGroup};
use dkm::core::{GroupId, RequestId, Room, Timestamp};
use dkm::repository::{GroupAccess, Replica, Repository as _, RepositoryError};
use dkm_ad::Identity;
use dkm_ad::elevation::{ElevationError, Elevator, HALF_MADE_AFTER_MS, LEAST_MS, Step, Tickets};
use dkm_testbed::{Account, Entry, Scope};

use super::access::{Objects, context};
use super::person::Person;
use super::stage::{Stage, Test};
use super::support::tickets as ticket_folder;

pub(crate) use misuse::TESTS as MISUSE;
pub(crate) use roles::TESTS as ROLES;

pub(crate) const TESTS: &[Test] = &[
    ("elevation_tickets_read_keys_and_nothing_else_is_held", tickets_read_keys_and_nothing_else_is_held),
    ("elevation_ends_with_the_ticket_on_open_connections", ends_with_the_ticket_on_open_connections),
    ("elevation_revoked_early_ends_at_once", revoked_early_ends_at_once),
    ("elevation_asked_for_again_refuses_earlier_tickets", asked_for_again_refuses_earlier_tickets),
    ("elevation_needs_time_a_role_and_a_domain_controller", needs_time_a_role_and_a_domain_controller),
    ("elevation_into_a_readers_group_of_others", into_a_readers_group_of_others),
    // They sweep with a clock that is ahead, and would end what others hold.
    ("alone_elevation_sweep_removes_what_has_ended_alone", sweep_removes_what_has_ended_alone),
    ("alone_elevation_killed_in_between_leaves_nothing", killed_in_between_leaves_nothing),
];

/// A while that is long enough for a few questions, and no longer.
const SHORT_MS: u64 = LEAST_MS + 5_000;
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
    stage.with(|domain| domain.set_password(&mut account, "Aa1-known-to-others"))?;
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

fn ends_with_the_ticket_on_open_connections(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let guest = scene.issue(request(), SHORT_MS)?;
    let until = guest.tickets.until;
    let mut connection = guest.repository()?.connect(0)?;
    let mut client = guest.client()?;
    ensure!(connection_reads(&mut *connection, scene.id())?);
    // Nobody does anything any more until the end.
    let bound = Instant::now() + Duration::from_millis(until.since(now()) + 60_000);
    while connection_reads(&mut *connection, scene.id()).unwrap_or(false) {
        ensure!(Instant::now() < bound, "it still reads, a minute after the end");
        std::thread::sleep(Duration::from_millis(500));
    }
    ensure!(now().plus(5_000) > until, "it ended before its time");
    let error = client.refresh().unwrap_err();
    ensure!(error.kind() == ErrorKind::Unavailable, "{error}");
    ensure!(guest.client().is_err() && !guest.reads()?);
    // With a clock that goes after: what MIT's library takes for the domain controller's time stands in the cache.
    let behind = guest.cache.with_extension("behind");
    for behind_s in [60, 120, 240] {
        std::fs::write(&behind, with_clock_behind(&guest.tickets.cache, behind_s)?)?;
        let guest = Guest { scene: &scene, cache: behind.clone(), tickets: scene_tickets(&guest.tickets) };
        ensure!(!guest.reads()?, "{behind_s} s behind");
    }
    client = stage.client(&stage.maker)?.group(&scene.id().to_string())?;
    // What was exposed is for others to roll away from; nobody else has lost anything.
    ensure!(client.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
    scene.others_go_on()
}

fn scene_tickets(tickets: &Tickets) -> Tickets {
    Tickets {
        cache: tickets.cache.clone(),
        account: tickets.account.clone(),
        sid: tickets.sid.clone(),
        until: tickets.until,
        services: tickets.services.clone(),
    }
}

/// The cache with a header that says how far the domain controller's clock is from this machine's: a tag of 12 bytes,
/// number 1, seconds and microseconds.
fn with_clock_behind(cache: &[u8], behind_s: i32) -> Result<Vec<u8>> {
    ensure!(cache.starts_with(&[5, 4]), "version 4 of the format");
    let head = usize::from(u16::from_be_bytes([cache[2], cache[3]]));
    let mut bytes = vec![5, 4, 0, 12, 0, 1, 0, 8];
    bytes.extend_from_slice(&(-behind_s).to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&cache[4 + head..]);
    Ok(bytes)
}

fn revoked_early_ends_at_once(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let (revoked, other) = (request(), request());
    let (guest, stays) = (scene.issue(revoked, LONG_MS)?, scene.issue(other, LONG_MS)?);
    let mut connection = guest.repository()?.connect(0)?;
    let client = guest.client()?;
    ensure!(client.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
    ensure!(connection_reads(&mut *connection, scene.id())? && guest.reads()?);
    ensure!(scene.members()? == 2);
    let before = stage.with(|domain| domain.descriptor(&scene.objects.keys))?;
    ensure!(!scene.elevator.revoke(scene.id(), request())?, "nobody has that grant");
    ensure!(scene.elevator.revoke(scene.id(), revoked)?);
    ensure!(!connection_reads(&mut *connection, scene.id())?, "an open connection");
    ensure!(!guest.reads()?, "a new one");
    let error = client.refresh().unwrap_err();
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    ensure!(client.unprotect(&context(), &scene.blob).is_err(), "keys in memory go");
    ensure!(scene.members()? == 1);
    let after = stage.with(|domain| domain.descriptor(&scene.objects.keys))?;
    ensure!(after.contains(&format!("D:PAI(D;;RPLCLORC;;;{})", guest.tickets.sid)), "{before}\n{after}");
    ensure!(scene.elevator.revoke(scene.id(), revoked)?, "once more is as good");
    ensure!(stage.with(|domain| domain.descriptor(&scene.objects.keys))? == after);
    // Who is in another grant reads on, and clients see nothing to tell of.
    stays.unprotects()?;
    ensure!(stays.reads()?);
    let lines = scene.group.view()?.access;
    ensure!(!lines.iter().any(|line| line.may.contains("refusal")), "{lines:?}");
    scene.others_go_on()
}

fn asked_for_again_refuses_earlier_tickets(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let request = request();
    let until = now().plus(LONG_MS);
    let first = Guest::new(&scene, scene.elevator.issue(scene.id(), request, until)?)?;
    let mut connection = first.repository()?.connect(0)?;
    ensure!(connection_reads(&mut *connection, scene.id())?);
    let second = Guest::new(&scene, scene.elevator.issue(scene.id(), request, until)?)?;
    ensure!(first.tickets.account != second.tickets.account && second.tickets.until <= until);
    ensure!(!connection_reads(&mut *connection, scene.id())? && !first.reads()?);
    second.unprotects()?;
    ensure!(scene.members()? == 1);
    // A grant of another group has nothing to do with it.
    let elsewhere = Scene::set(stage)?;
    let third = elsewhere.issue(request, LONG_MS)?;
    second.unprotects()?;
    third.unprotects()?;
    ensure!(scene.elevator.revoke(scene.id(), request)?);
    ensure!(!second.reads()?);
    third.unprotects()?;
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

fn sweep_removes_what_has_ended_alone(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let before = stage.with(|domain| domain.descriptor(&scene.objects.keys))?;
    let (ended, early, live) = (request(), request(), request());
    let start = now();
    let first = scene.issue(ended, LONG_MS)?;
    let revoked = scene.issue(early, LONG_MS)?;
    let stays = scene.issue(live, 2 * LONG_MS)?;
    scene.elevator.revoke(scene.id(), early)?;
    ensure!(!swept(&scene, start)?.contains(&ended));
    ensure!(scene.members()? == 2);
    let gone = scene.elevator.sweep(start.plus(LONG_MS + 60_000))?;
    let first_gone = gone.iter().find(|gone| gone.account == first.tickets.account).context("it is left")?;
    ensure!(first_gone.request == Some(ended) && first_gone.group == Some(scene.id()), "{first_gone:?}");
    ensure!(scene.account(&first.tickets.account)?.is_none() && scene.members()? == 1);
    // Its tickets, whose end has not come in truth, are refused still.
    ensure!(!gone.iter().any(|gone| gone.account == revoked.tickets.account) && !revoked.reads()?);
    stays.unprotects()?;
    ensure!(swept(&scene, start.plus(LONG_MS + 700_000))?.contains(&early));
    ensure!(scene.account(&revoked.tickets.account)?.is_none());
    ensure!(stage.with(|domain| domain.descriptor(&scene.objects.keys))? == before, "no trace is left");
    stays.unprotects()?;
    // Another's refusals are not ours to take away, nor other accounts in the container, of a newer program say.
    let operator = "(D;;RPLCLORC;;;S-1-5-21-1-2-3-4)";
    let dn = format!("CN=dkm-t-newer,CN=temporary,{}", stage.url().container_dn());
    stage.with(|domain| {
        domain
            .set_descriptor(&scene.objects.keys, &before.replacen("D:PAI", &format!("D:PAI{operator}"), 1))?;
        domain.modify_ldif(&format!(
            "dn: {dn}\nchangetype: add\nobjectClass: user\nsAMAccountName: dkm-t-newer\n\
             description: dkm temporary access 2: whatever\n"
        ))
    })?;
    ensure!(swept(&scene, start.plus(3 * LONG_MS))?.contains(&live));
    let kept = stage.with(|domain| domain.descriptor(&scene.objects.keys))?;
    ensure!(kept.contains(operator), "{kept}");
    ensure!(scene.account("dkm-t-newer")?.is_some() && scene.members()? == 0);
    stage.with(|domain| domain.delete(&dn))?;
    ensure!(scene.elevator.sweep(start.plus(3 * LONG_MS))?.is_empty(), "once is enough");
    scene.others_go_on()
}

fn swept(scene: &Scene<'_>, at: Timestamp) -> Result<Vec<RequestId>> {
    Ok(scene.elevator.sweep(at)?.into_iter().filter_map(|gone| gone.request).collect())
}

fn killed_in_between_leaves_nothing(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let steps = [Step::Made, Step::Member, Step::Enabled, Step::Ticketed, Step::Disabled];
    for last in steps {
        let request = request();
        let start = now();
        let mut killed = |step| if step == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let until = start.plus(LONG_MS);
        let result = scene.elevator.issue_stepwise(scene.id(), request, until, &mut killed);
        ensure!(result.is_err(), "{last:?}");
        let left = leftovers()?;
        ensure!(left.is_empty(), "{last:?}: {left:?}");
        let filter = format!("(description=*{request}*)");
        let look = || {
            let wanted = ["sAMAccountName", "description", "userAccountControl"];
            stage.with(|domain| domain.search(domain.base(), Scope::Sub, &filter, &wanted))
        };
        let found = look()?;
        let found = found.first().context("no account")?;
        let name = found.text("sAMAccountName").context("no name")?;
        // Nobody can sign in: it is disabled, or only the process knew its password.
        let realm = stage.with(|domain| Ok(domain.realm().to_owned()))?;
        for password in ["", "password", &name, &request.to_string()] {
            sign_in(stage, &format!("{name}@{realm}"), password)?;
        }
        let is_enabled = found.text("userAccountControl").as_deref() == Some("1049088");
        ensure!(is_enabled == matches!(last, Step::Enabled | Step::Ticketed), "{last:?} {found:?}");
        // One that is just being made is let be. Later it is taken for what it is, but not where it was finished.
        ensure!(!swept(&scene, start)?.contains(&request), "{last:?}");
        let later = swept(&scene, start.plus(HALF_MADE_AFTER_MS + 60_000))?;
        ensure!(later.contains(&request) == (last != Step::Disabled), "{last:?}: {later:?}");
        if last == Step::Disabled {
            ensure!(swept(&scene, until.plus(60_000))?.contains(&request));
        }
        ensure!(look()?.is_empty() && scene.members()? == 0, "{last:?}");
        // And the same request goes through afterwards.
        scene.issue(request, LONG_MS)?.unprotects()?;
        scene.elevator.sweep(until.plus(LONG_MS))?;
    }
    scene.others_go_on()
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

/// Folders in which tickets were fetched.
fn leftovers() -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/dev/shm")? {
        let path = entry?.path();
        // Tests of this program's own parts use the place, too, with names of their own.
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("dkm-elevation-")) {
            left.push(path);
        }
    }
    Ok(left)
}
