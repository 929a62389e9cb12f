//! Who a client is, in a real domain: computer accounts, keytabs that an agent replaces, and what is said without one.

#![cfg(feature = "active-directory")]
#![forbid(unsafe_code)]
// A test says what is wrong by stopping.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dkm_testbed::{Account, Domain, Options};

/// A domain with the group `mail`, whose members are those of `DKM Mail Servers`, and with two computers: of these `WEB$`
/// is a member.
struct World {
    domain: Domain,
    home: tempfile::TempDir,
    web: Account,
    other: Account,
    service: Account,
}

impl World {
    fn new() -> Option<Self> {
        let domain = Domain::start_or_skip(&Options::default()).unwrap()?;
        let (maker, service) = (domain.add_user("svc-maker").unwrap(), domain.add_user("svc-app").unwrap());
        let (web, other) = (computer(&domain, "web"), computer(&domain, "other"));
        let servers = domain.add_group("DKM Mail Servers").unwrap();
        for member in [&web, &service] {
            domain.add_member(&servers, &member.dn).unwrap();
        }
        let admin = domain.admin().clone();
        domain.keytab(&admin).unwrap();
        let world = Self { domain, home: tempfile::tempdir().unwrap(), web, other, service };
        let as_usual = |account: &Account, arguments: &[&str]| {
            let done = world.client("", &account.keytab, "MEMORY:own", arguments);
            assert!(done.status.success(), "{arguments:?}: {done:?}");
        };
        as_usual(&admin, &["ad", "init", "--makers", "svc-maker"]);
        let mut create = vec!["group", "create", "mail", "--members", "DKM Mail Servers"];
        create.extend(["--creators", "svc-maker", "--owners", "svc-maker"]);
        as_usual(&maker, &create);
        // The first key is made by the first creator that opens the group.
        as_usual(&maker, &["group", "show", "mail"]);
        std::fs::write(world.path("plain"), "secret").unwrap();
        Some(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The command, as whoever this keytab and this credential cache say; `more` is appended to the URL.
    fn client(&self, more: &str, keytab: &Path, cache: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkm"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.domain.env()).env("KRB5_CLIENT_KTNAME", keytab).env("KRB5CCNAME", cache);
        command.env("DKM_REPOSITORY", format!("{}{more}", self.domain.url())).env("HOME", self.home.path());
        command.args(arguments).current_dir(self.home.path()).output().unwrap()
    }

    /// Protects and unprotects.
    fn works(&self, more: &str, keytab: &Path, cache: &str) {
        let run = |arguments: &[&str]| {
            let done = self.client(more, keytab, cache, arguments);
            assert!(done.status.success(), "{arguments:?}: {done:?}");
            done.stdout
        };
        let blob = run(&["protect", "-g", "mail", "plain"]);
        std::fs::write(self.path("blob"), blob).unwrap();
        assert_eq!(run(&["unprotect", "-g", "mail", "blob"]), b"secret");
    }

    /// What a client is told that can't sign in.
    fn told(&self, more: &str, keytab: &Path, cache: &str) -> String {
        let refused = self.client(more, keytab, cache, &["unprotect", "-g", "mail", "blob"]);
        assert_eq!(refused.status.code(), Some(6), "{refused:?}");
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.stdout.is_empty() && told.contains("kinit"), "{told}");
        assert!(told.contains("KRB5_CLIENT_KTNAME"), "{told}");
        told
    }
}

/// A computer's account and its keytab, as an administrator makes them without the computer.
fn computer(domain: &Domain, host: &str) -> Account {
    let sam = format!("{}$", host.to_uppercase());
    let dn = format!("CN={host},CN=Computers,{}", domain.base());
    let object = format!(
        "dn: {dn}\nobjectClass: computer\nsAMAccountName: {sam}\nuserAccountControl: 4096\n\
         dNSHostName: {host}.{}\n",
        domain.name()
    );
    domain.modify_ldif(&object).unwrap();
    let mut account = Account {
        principal: format!("{sam}@{}", domain.realm()),
        keytab: domain.folder().join(format!("clients/{host}.keytab")),
        sam,
        dn,
        sid: String::new(),
        password: String::new(),
    };
    domain.set_password(&mut account, &format!("Aa1-of the computer {host}")).unwrap();
    domain.keytab(&account).unwrap();
    account
}

#[test]
fn a_computer_account_signs_in_by_its_own_keytab() {
    let Some(world) = World::new() else { return };
    let (web, other) = (&world.web, &world.other);
    let principal = |account: &Account| format!("&principal={}", account.principal);
    world.works(&principal(web), &web.keytab, "MEMORY:own");
    // A computer that is no member does not see that there is a group.
    for name in ["mail", "none"] {
        let arguments = ["unprotect", "-g", name, "blob"];
        let outside = world.client(&principal(other), &other.keytab, "MEMORY:own", &arguments);
        assert_eq!(outside.status.code(), Some(3), "{name}: {outside:?}");
        assert!(outside.stdout.is_empty(), "{outside:?}");
    }
    // It is not WEB$ by saying so.
    let told = world.told(&principal(web), &other.keytab, "MEMORY:own");
    assert!(told.contains(&web.principal), "{told}");
}

#[test]
fn a_keytab_that_an_agent_replaces_is_used_at_the_next_sign_in() {
    let Some(world) = World::new() else { return };
    let mut service = world.service.clone();
    let (used, old, cache) = (world.path("svc.keytab"), world.path("old.keytab"), world.path("svc.ccache"));
    let cache_name = format!("FILE:{}", cache.display());
    std::fs::copy(&service.keytab, &used).unwrap();
    std::fs::copy(&service.keytab, &old).unwrap();
    world.works("", &used, &cache_name);
    let ticket = std::fs::read(&cache).unwrap();

    world.domain.set_password(&mut service, "Aa1-that an agent set").unwrap();
    // Between the two, and after: the ticket that is there is good until it ends.
    world.works("", &used, &cache_name);
    world.domain.keytab(&service).unwrap();
    let beside = world.path("svc.keytab.new");
    std::fs::copy(&service.keytab, &beside).unwrap();
    std::fs::rename(&beside, &used).unwrap();
    assert_ne!(std::fs::read(&used).unwrap(), std::fs::read(&old).unwrap());
    world.works("", &used, &cache_name);
    assert!(std::fs::read(&cache).unwrap().starts_with(&ticket), "it fetched another ticket");

    std::fs::remove_file(&cache).unwrap();
    world.told("", &old, &cache_name);
    world.works("", &used, &cache_name);
    world.works("", &used, "MEMORY:own");
    let told = world.told("", &old, "MEMORY:own");
    assert!(told.contains("Preauthentication failed"), "{told}");
}

#[test]
fn without_an_identity_it_is_said_what_is_missing_and_what_to_do() {
    let Some(world) = World::new() else { return };
    let nowhere = world.path("nowhere.keytab");
    world.works("", &world.service.keytab, "MEMORY:own");
    let told = world.told("", &nowhere, "MEMORY:own");
    assert!(told.contains("credentials"), "{told}");
    // A cache that is there, and has nothing in it.
    let empty = world.path("empty.ccache");
    std::fs::write(&empty, "").unwrap();
    let told = world.told("", &nowhere, &format!("FILE:{}", empty.display()));
    assert!(told.contains("credentials"), "{told}");
    // One whose ticket is of somebody else.
    let cache = world.domain.ccache(&world.service, None).unwrap();
    let wrong = format!("&principal=svc-maker@{}", world.domain.realm());
    let told = world.told(&wrong, &nowhere, &format!("FILE:{}", cache.display()));
    assert!(told.contains("svc-maker@"), "{told}");
    let right = format!("&principal={}", world.service.principal);
    world.works(&right, &nowhere, &format!("FILE:{}", cache.display()));
    // The same one, when its time is over.
    let ended = ended(std::fs::read(&cache).unwrap());
    std::fs::write(&cache, ended).unwrap();
    let told = world.told("", &nowhere, &format!("FILE:{}", cache.display()));
    assert!(told.contains("expired"), "{told}");
    // With a keytab it is replaced, without a person.
    world.works("", &world.service.keytab, &format!("FILE:{}", cache.display()));
}

/// A credential cache whose tickets ended an hour ago. In its format a ticket's times are four numbers of 32 bits, the
/// most significant byte first: of the sign-in, of the start, of the end, and until when it can be renewed.
fn ended(mut cache: Vec<u8>) -> Vec<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = u32::try_from(now.as_secs()).unwrap();
    let mut found = 0;
    for at in 0..cache.len().saturating_sub(12) {
        let time = |number: usize| {
            let start = at + 4 * number;
            u32::from_be_bytes(cache[start..start + 4].try_into().unwrap())
        };
        let (signed_in, starts, ends) = (time(0), time(1), time(2));
        let recent = now - 600..=now + 60;
        if recent.contains(&signed_in) && recent.contains(&starts) && (now + 60..now + 86_401).contains(&ends)
        {
            for (number, ago) in [7_300, 7_200, 3_600].into_iter().enumerate() {
                let start = at + 4 * number;
                cache[start..start + 4].copy_from_slice(&(now - ago).to_be_bytes());
            }
            found += 1;
        }
    }
    assert!(found >= 1, "no ticket");
    cache
}
