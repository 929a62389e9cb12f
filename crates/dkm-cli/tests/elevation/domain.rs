//! Direct access to a group in a real domain: the whole way, by commands.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use dkm::repository::{GroupAccess, Repository as _};
use dkm_remote::{Limits, RemoteRepository, RemoteUrl};
use dkm_testbed::{Account, Domain, Options, Scope};

use crate::world::{Run, World};

/// Seconds that domain controllers may take to end what has ended.
pub(crate) const SLACK: Duration = Duration::from_secs(120);

pub(crate) struct Place {
    pub(crate) domain: Domain,
    pub(crate) world: World,
    service: Account,
    pub(crate) url: String,
}

impl Place {
    /// A domain with a group and its roster, and a server that lets people in to it.
    pub(crate) fn new() -> Option<Self> {
        let domain = Domain::start_or_skip(&Options::default()).unwrap()?;
        let (service, dkmd) = (domain.add_user("svc-mail").unwrap(), domain.add_user("svc-dkmd").unwrap());
        let admin = domain.admin().clone();
        domain.keytab(&admin).unwrap();
        let broker = domain.add_user("svc-broker").unwrap();
        // The server's keytab holds the keys of both of its accounts (two bytes of version, then entries).
        let (own, of_broker) = (domain.keytab(&dkmd).unwrap(), domain.keytab(&broker).unwrap());
        let both = [std::fs::read(&own).unwrap(), std::fs::read(of_broker).unwrap()[2..].to_vec()].concat();
        std::fs::write(own, both).unwrap();
        let url = format!("ad://{}?dc={}@{}", domain.name(), domain.fqdn(), domain.addresses()[0]);
        let mut environment = domain.env_with_keytab(&dkmd);
        // A collection: it comes as two accounts.
        let caches = domain.folder().join("caches-of-dkmd");
        std::fs::create_dir(&caches).unwrap();
        environment.push(("KRB5CCNAME".to_owned(), format!("DIR:{}", caches.display())));
        // Where tickets are fetched.
        let run = domain.folder().join("run");
        std::fs::create_dir(&run).unwrap();
        environment.push(("RUNTIME_DIRECTORY".to_owned(), run.display().to_string()));
        let world = World::of_people(&format!("[directory]\nrepository = {url:?}\n"), &environment);
        let mut place = Self { domain, world, service, url };
        place
            .in_domain(&admin, &["ad", "init", "--makers", "svc-mail", "--elevators", "svc-dkmd"])
            .succeeded();
        std::fs::write(place.world.at("roster.toml"), place.world.roster()).unwrap();
        let made = place.service(&[
            "group",
            "create",
            "mail",
            "--members",
            "svc-mail",
            "--members",
            "svc-broker",
            "--creators",
            "svc-mail",
            "--owners",
            "svc-mail",
            "--auditors",
            "svc-dkmd",
            "--elevators",
            "svc-dkmd",
            "--roster",
            "../roster.toml",
            "--json",
        ]);
        place.world.group = made.succeeded().json()["group"]["id"].as_str().unwrap().to_owned();
        Some(place)
    }

    /// The command in the domain, with a fresh ticket of an account.
    fn in_domain(&self, account: &Account, arguments: &[&str]) -> Run {
        self.domain.keytab(account).unwrap();
        let mut environment = self.domain.env_with_keytab(account);
        environment.push(("KRB5CCNAME".to_owned(), "MEMORY:own".to_owned()));
        self.world.run_with("service:mail", &self.url, &environment, arguments)
    }

    fn service(&self, arguments: &[&str]) -> Run {
        self.in_domain(&self.service, arguments)
    }

    pub(crate) fn blob(&self) -> String {
        let blob = self.world.at("token.dkm");
        std::fs::write(self.world.at("plaintext"), "the refresh token").unwrap();
        self.service(&["protect", "-c", "account=17", "../plaintext", "-o", blob.to_str().unwrap()])
            .succeeded();
        blob.to_str().unwrap().to_owned()
    }

    /// Alice's direct request for so long, as far as it gets.
    fn approved(&self, duration: &str) -> String {
        let words = [
            "elevate",
            "request",
            "--direct",
            "--reason",
            "the broker is down",
            "--duration",
            duration,
            "--json",
        ];
        let asked = self.world.person("alice", &words).succeeded().json();
        let request = asked["request"].as_str().unwrap().to_owned();
        for who in ["bob", "carol", "dave"] {
            // Nobody of them sees the group in the domain: they check what they sign all the same.
            let seen = self.world.statement(who, "approve", &request, &[]).succeeded().json();
            let checks = seen["checks"].as_str().unwrap();
            assert!(checks.contains("Checked in the records of group"), "{checks}");
            self.world.answer(who, "approve", &request, &[]).succeeded();
        }
        request
    }

    pub(crate) fn active(&self, duration: &str) -> String {
        let request = self.approved(duration);
        self.world.person("alice", &["elevate", "activate", &request]).succeeded();
        request
    }

    pub(crate) fn tickets(&self, request: &str) -> Run {
        let folder = self.folder();
        self.world.person(
            "alice",
            &["elevate", "credentials", request, "--credentials", folder.to_str().unwrap(), "--json"],
        )
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.world.at("grant")
    }

    /// With what Alice got, and nothing else.
    fn with_tickets(&self) -> Vec<(String, String)> {
        self.domain.env_with(&self.folder().join("krb5cc"))
    }

    pub(crate) fn unprotect(&self, blob: &str) -> Run {
        self.world.run_with(
            "person:alice",
            &self.url,
            &self.with_tickets(),
            &["unprotect", "-c", "account=17", blob],
        )
    }

    /// What one of Kerberos's commands says and how it ends, with what Alice got.
    fn kerberos(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").envs(self.with_tickets());
        let output = command.output().unwrap();
        (output.status.success(), format!("{output:?}"))
    }

    /// Temporary accounts: name, description, and `userAccountControl`.
    pub(crate) fn accounts(&self) -> Vec<(String, String, u32)> {
        let filter = "(&(objectClass=user)(sAMAccountName=dkm-t-*))";
        let attributes = ["cn", "description", "userAccountControl"];
        let found = self.domain.search(self.domain.base(), Scope::Sub, filter, &attributes).unwrap();
        let text = |entry: &dkm_testbed::Entry, name: &str| entry.text(name).unwrap_or_default();
        let account = |entry: &dkm_testbed::Entry| {
            let control = text(entry, "userAccountControl").parse().unwrap();
            (text(entry, "cn"), text(entry, "description"), control)
        };
        found.iter().map(account).collect()
    }

    /// What the server's audit log says of a request.
    pub(crate) fn logged(&self, request: &str) -> String {
        let (log, key) = (self.world.server.log(), &self.world.server.log_key);
        let search = ["audit", "search", log.to_str().unwrap(), "--key", key, "--grant", request];
        self.world.admin(&search).succeeded().text()
    }

    fn temporary_accounts(&self) -> usize {
        let filter = "(&(objectClass=user)(sAMAccountName=dkm-t-*))";
        self.domain.search(self.domain.base(), Scope::Sub, filter, &["cn"]).unwrap().len()
    }
}

#[test]
fn tickets_read_the_keys_until_access_is_revoked() {
    let Some(place) = Place::new() else { return };
    // Nobody puts a group of the server's own in its place.
    let own: RemoteUrl = place.world.service_url().parse().unwrap();
    let mut own = RemoteRepository::open(own, Limits::default()).connect(0).unwrap();
    let taken = own.create_group(place.world.group.parse().unwrap(), &GroupAccess::default()).unwrap_err();
    assert!(taken.to_string().contains("lies in the domain"), "{taken}");
    own.create_group("0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a".parse().unwrap(), &GroupAccess::default())
        .unwrap();

    let blob = place.blob();
    let request = place.approved("30m");
    place.tickets(&request).exits(7);
    assert_eq!(place.temporary_accounts(), 0);
    place.world.person("alice", &["elevate", "activate", &request]).succeeded();
    let other = place.world.at("other");
    let by_bob = ["elevate", "credentials", &request, "--credentials", other.to_str().unwrap()];
    place.world.person("bob", &by_bob).exits(4).says("another's grant");
    let got = place.tickets(&request).succeeded().json();
    assert_eq!(got["group"].as_str(), Some(place.world.group.as_str()), "{got}");
    assert_eq!(place.unprotect(&blob).succeeded().text(), "the refresh token");

    // Tickets for domain controllers, and none to get others with.
    let (listed, text) = place.kerberos("klist", &[]);
    assert!(listed && text.contains("ldap/") && !text.contains("krbtgt"), "{text}");
    let (got_one, text) = place.kerberos("kvno", &[&format!("cifs/{}", place.domain.fqdn())]);
    assert!(!got_one, "{text}");
    // The group says that its keys are exposed, before anybody's client has rolled.
    let keys = place.service(&["key", "list", "--json"]).succeeded().json();
    assert_eq!(keys["keys"][0]["exposed"], true, "{keys}");
    // What she holds reads, and nothing else.
    place.world.run_with("person:alice", &place.url, &place.with_tickets(), &["key", "roll"]).exits(4);

    place.world.person("dave", &["elevate", "revoke", &request]).succeeded();
    // The room of keys is not there for her any more.
    place.unprotect(&blob).exits(3).says("may not see it");
    place.tickets(&request).exits(7).says("revoked");
    place.service(&["unprotect", "-c", "account=17", &blob]).succeeded();
    let log = place.world.server.log();
    let search =
        ["audit", "search", log.to_str().unwrap(), "--key", &place.world.server.log_key, "--grant", &request];
    let found = place.world.admin(&search).succeeded().text();
    for action in ["elevation-activate", "expose", "issue-tickets", "elevation-revoke", "end-tickets"] {
        assert!(found.contains(action), "{action} is not in {found}");
    }
}

#[test]
fn access_ends_with_the_ticket_though_the_server_is_dead() {
    let Some(mut place) = Place::new() else { return };
    let blob = place.blob();
    let request = place.active("3m");
    let began = Instant::now();
    place.tickets(&request).succeeded();
    place.world.server.kill();
    assert_eq!(place.unprotect(&blob).succeeded().text(), "the refresh token");
    let last = Duration::from_secs(180) + SLACK;
    loop {
        let run = place.unprotect(&blob);
        if run.code != Some(0) {
            break;
        }
        assert!(began.elapsed() < last, "it goes on");
        std::thread::sleep(Duration::from_secs(2));
    }
    place.unprotect(&blob).exits(6).says("Kerberos");
    // The account is there until the server comes back and removes it.
    assert_eq!(place.temporary_accounts(), 1);
    place.world.server.restart();
    let began = Instant::now();
    while place.temporary_accounts() > 0 {
        assert!(began.elapsed() < SLACK, "it is left");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(
        place.world.person("alice", &["elevate", "show", &request]).succeeded().text().contains("finished")
    );
}

#[test]
fn blobs_are_opened_by_the_server_as_a_member_of_the_group() {
    let Some(mut place) = Place::new() else { return };
    let blob = place.blob();
    let asked = |place: &Place| {
        let request = place.world.request(&[]);
        for who in ["bob", "carol"] {
            place.world.answer(who, "approve", &request, &[]).succeeded();
        }
        place.world.person("alice", &["elevate", "activate", &request]).succeeded();
        let words = ["elevate", "run", &request, "--", "unprotect", &blob, "-c", "account=17"];
        place.world.person("alice", &words)
    };
    asked(&place).exits(4).says("opens nothing of group");
    let realm = place.domain.realm();
    let broker = format!(
        "[[directory.brokers]]\ngroup = {:?}\nprincipal = \"svc-broker@{realm}\"\n",
        place.world.group
    );
    place.world.server.configure(&broker);
    assert_eq!(asked(&place).succeeded().text(), "the refresh token");
    // No key has left, so none counts as exposed, and there was no temporary account.
    let keys = place.service(&["key", "list", "--json"]).succeeded().json();
    assert_ne!(keys["keys"][0]["exposed"], true, "{keys}");
    assert_eq!(place.temporary_accounts(), 0);
}
