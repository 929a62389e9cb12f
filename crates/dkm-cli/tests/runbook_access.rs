//! The runbooks of docs/operations-access.md in a real domain, with the commands that stand there.

#![cfg(feature = "active-directory")]
#![forbid(unsafe_code)]
// A test says what is wrong by stopping.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use dkm_testbed::{Account, Domain, Group, Options, Scope};
use serde_json::Value;

const RUNBOOK: &str = include_str!("../../../docs/operations-access.md");

/// The commands of a runbook, in their order.
fn commands(of: &str) -> Vec<String> {
    let fence = format!("<!-- tested: {of} -->\n```sh\n");
    RUNBOOK.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A domain with a group that protects, an account that runs services, and one that operates.
struct World {
    domain: Domain,
    home: tempfile::TempDir,
    maker: Account,
    service: Account,
    operator: Account,
    admin: Account,
}

impl World {
    fn new() -> Option<Self> {
        let domain = Domain::start_or_skip(&Options::default()).unwrap()?;
        let (maker, service) = (domain.add_user("svc-maker").unwrap(), domain.add_user("svc-app").unwrap());
        let operator = domain.add_user("ops").unwrap();
        let admin = domain.admin().clone();
        domain.keytab(&admin).unwrap();
        let world = Self { domain, home: tempfile::tempdir().unwrap(), maker, service, operator, admin };
        world.succeeds(&world.admin, "dkm ad init --makers svc-maker");
        world.succeeds(
            &world.maker,
            "dkm group create mail --members svc-app --members svc-maker --creators svc-maker --owners svc-maker",
        );
        // The first key is made by the first creator that opens the group.
        world.succeeds(&world.maker, "printf secret | dkm protect -g mail -o blob.dkm");
        let services = format!("{} makes groups\n{} reads\n", world.maker.sid, world.service.sid);
        std::fs::write(world.home.path().join("services"), services).unwrap();
        Some(world)
    }

    /// A command line as an account, with a ticket of its own: memberships are in tickets.
    fn command(&self, account: &Account, line: &str) -> Command {
        let url =
            format!("ad://{}?dc={}@{}", self.domain.name(), self.domain.fqdn(), self.domain.addresses()[0]);
        let program = Path::new(env!("CARGO_BIN_EXE_dkm")).parent().unwrap();
        let mut command = Command::new("sh");
        command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", program.display()));
        command.envs(self.domain.env_with_keytab(account)).env("KRB5CCNAME", "MEMORY:own");
        command.env("HOME", self.home.path()).env("DKM_REPOSITORY", url).current_dir(self.home.path());
        command.args(["-euc", line]);
        command
    }

    fn run(&self, account: &Account, line: &str) -> Output {
        self.command(account, line).output().unwrap()
    }

    fn succeeds(&self, account: &Account, line: &str) -> String {
        let output = self.run(account, line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn opens(&self, account: &Account) -> bool {
        let output = self.run(account, "dkm unprotect -g mail blob.dkm");
        output.status.success() && output.stdout == b"secret"
    }

    fn find(&self, filter: &str) -> String {
        let found = self.domain.search(self.domain.base(), Scope::Sub, filter, &["cn"]).unwrap();
        assert_eq!(found.len(), 1, "{filter}: {found:?}");
        found[0].dn.clone()
    }

    fn recovery(&self) -> Group {
        let dn = self.find("(displayName=dkm recovery)");
        Group { sam: String::new(), dn, sid: String::new() }
    }

    /// The object of the only key.
    fn key(&self) -> String {
        let room = self.find("(&(objectClass=container)(displayName=*/keys))");
        self.domain.search(&room, Scope::One, "(objectClass=contact)", &["cn"]).unwrap()[0].dn.clone()
    }
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn access_is_put_right_again() {
    let Some(world) = World::new() else { return };
    let [planned, done, audited] = commands("repair").try_into().unwrap();
    let key = world.key();
    let honest = world.domain.descriptor(&key).unwrap();
    let (head, dacl) = honest.split_at(honest.find('(').unwrap());
    world.domain.set_descriptor(&key, &format!("{head}(A;;RPRC;;;AU){dacl}")).unwrap();
    assert!(!world.run(&world.maker, "printf x | dkm protect -g mail").status.success());
    // Who is not in the recovery group may look, and learns how to get further.
    let ldif = world.succeeds(&world.maker, &planned);
    assert!(
        ldif.contains("#   an unexpected trustee: RPRC to AU") && ldif.contains(&format!("dn: {key}")),
        "{ldif}"
    );
    let refused = world.run(&world.maker, &done);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(
        complaint(&refused).contains("recovery group") && complaint(&refused).contains("kinit"),
        "{refused:?}"
    );

    world.domain.add_member(&world.recovery(), &world.operator.dn).unwrap();
    let failed = world.run(&world.maker, &audited);
    assert_eq!(failed.status.code(), Some(7), "{failed:?}");
    let said = world.run(&world.operator, &done);
    assert!(said.status.success(), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stdout).contains("1 change written"), "{said:?}");
    assert!(complaint(&said).contains("dkm key roll --fresh"), "{said:?}");
    let again = world.run(&world.operator, &format!("{} --json", done.trim()));
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["controllers"][0]["written"], &again["replaced"]), (&0.into(), &Value::Array(vec![])));
    world.domain.remove_member(&world.recovery(), &world.operator.dn).unwrap();

    assert_eq!(world.domain.descriptor(&key).unwrap(), honest);
    world.succeeds(&world.maker, "printf x | dkm protect -g mail > again.dkm");
    let clean = world.run(&world.maker, &audited);
    assert_eq!(clean.status.code(), Some(0), "{clean:?}");
    let journal = std::fs::read_to_string(world.home.path().join(".local/state/dkm/audit.jsonl")).unwrap();
    assert!(journal.contains("access-repaired") && journal.contains("opened its key up"), "{journal}");
}

#[test]
fn the_readers_group_is_replaced() {
    let Some(world) = World::new() else { return };
    let [planned, done, audited, rolled] = commands("replace").try_into().unwrap();
    let new = world.domain.add_group("dkm-mail-readers-2").unwrap();
    let newcomer = world.domain.add_user("svc-new").unwrap();
    for member in [&world.maker, &newcomer] {
        world.domain.add_member(&new, &member.dn).unwrap();
    }
    world.domain.add_member(&world.recovery(), &world.operator.dn).unwrap();
    assert!(world.opens(&world.service) && !world.opens(&newcomer));
    let ldif = world.succeeds(&world.operator, &planned);
    assert!(ldif.contains(&format!("description: readers {}", new.sid)), "{ldif}");
    // Killed at some moment or other, and run again.
    let mut killed = world.command(&world.operator, &format!("exec {done}"));
    let mut killed = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let control = world.find("(&(objectClass=container)(displayName=*/control))");
    for _ in 0..2_000 {
        let found = world.domain.search(&control, Scope::Base, "(objectClass=*)", &["description"]).unwrap();
        let begun = |value: &Vec<u8>| value == format!("readers {}", new.sid).as_bytes();
        if found[0].attributes["description"].iter().any(begun) || killed.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let _ = killed.kill();
    killed.wait().unwrap();
    let said = world.run(&world.operator, &done);
    assert!(said.status.success(), "{said:?}");
    world.domain.remove_member(&world.recovery(), &world.operator.dn).unwrap();

    assert!(!world.opens(&world.service) && world.opens(&newcomer) && world.opens(&world.maker));
    std::fs::write(
        world.home.path().join("services"),
        format!("{} makes groups\n{} reads\n", world.maker.sid, newcomer.sid),
    )
    .unwrap();
    let clean = world.run(&world.maker, &audited);
    assert_eq!(clean.status.code(), Some(0), "{clean:?}");
    assert!(String::from_utf8_lossy(&clean.stdout).contains("dkm-mail-readers-2"), "{clean:?}");
    world.succeeds(&world.maker, &rolled);
    world.succeeds(&newcomer, "printf x | dkm protect -g mail > again.dkm");
    let journal = std::fs::read_to_string(world.home.path().join(".local/state/dkm/audit.jsonl")).unwrap();
    assert!(journal.contains("readers-replaced") && journal.contains(&new.sid), "{journal}");
}
