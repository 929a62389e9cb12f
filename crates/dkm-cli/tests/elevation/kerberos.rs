//! People and services of a real domain at `dkmd`: signed in by their tickets.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dkm_ad::Identity;
use dkm_ad::negotiate;
use dkm_testbed::{Account, Domain, Group, Options};

use crate::world::{Run, World};

mod attacks;
mod story;

/// How long the server believes what it has read of an account, in seconds.
const CACHE_S: u64 = 10;
/// How long a busy machine may take beyond that.
const SLACK: Duration = Duration::from_secs(120);

/// A domain with accounts and groups, and a server where its accounts sign in.
struct Place {
    domain: Domain,
    world: World,
    users: Group,
    services: Group,
    /// Services of this group read the keys.
    readers: Group,
    people: Vec<Account>,
}

impl Place {
    /// With Alice, who is in the group of those who sign in by way of another; Ada, who administers; Mallory, who is in none;
    /// and the service `svc-robot`.
    fn new() -> Option<Self> {
        let domain = Domain::start_or_skip(&Options::default()).unwrap()?;
        let names = ["alice", "ada", "mallory", "svc-robot", "svc-dkmd"];
        let people = domain.add_users(&names).unwrap();
        for account in &people {
            domain.keytab(account).unwrap();
        }
        let [alice, ada, _, robot, dkmd] = people.as_slice() else { panic!("five were made") };
        let group = |name: &str| domain.add_group(name).unwrap();
        let (users, staff, services) = (group("dkm-users"), group("staff"), group("dkm-services"));
        let (administrators, readers) = (group("dkm-admins"), group("mail-readers"));
        let nested = [(&users, &staff.dn), (&users, &services.dn), (&users, &administrators.dn)];
        let direct =
            [(&staff, &alice.dn), (&administrators, &ada.dn), (&services, &robot.dn), (&readers, &robot.dn)];
        for (group, member) in nested.into_iter().chain(direct) {
            domain.add_member(group, member).unwrap();
        }
        // One account, and so one key, for two services: tickets for the other are not taken all the same.
        domain
            .modify_ldif(&format!(
                "dn: {}\nchangetype: modify\nadd: servicePrincipalName\nservicePrincipalName: HTTP/localhost\n\
                 servicePrincipalName: cifs/localhost\n",
                dkmd.dn
            ))
            .unwrap();
        let keytab = domain.folder().join("http.keytab");
        let principal = format!("HTTP/localhost@{}", domain.realm());
        domain.keytab(&Account { principal, keytab: keytab.clone(), ..dkmd.clone() }).unwrap();
        let url = format!("ad://{}?dc={}@{}", domain.name(), domain.fqdn(), domain.addresses()[0]);
        let mut environment = domain.env_with_keytab(dkmd);
        environment.retain(|(name, _)| name != "KRB5_CONFIG");
        environment.push(("KRB5_CONFIG".to_owned(), Self::server_krb5_conf(&domain).display().to_string()));
        let config = format!(
            "[directory]\nrepository = {url:?}\n[directory.accounts]\nkeytab = {:?}\nsign_in = \"dkm-users\"\n\
             services = [\"dkm-services\"]\nadministrators = \"dkm-admins\"\ncache_s = {CACHE_S}\n",
            keytab.display().to_string()
        );
        let world = World::of_people(&config, &environment);
        Some(Self { domain, world, users, services, readers, people })
    }

    /// Clocks may differ by less than usual, so that a ticket that has ended is refused sooner.
    fn server_krb5_conf(domain: &Domain) -> PathBuf {
        let text = std::fs::read_to_string(domain.krb5_conf()).unwrap();
        let path = domain.folder().join("krb5.server.conf");
        std::fs::write(&path, text.replace("[libdefaults]\n", "[libdefaults]\n  clockskew = 30\n")).unwrap();
        path
    }

    fn account(&self, name: &str) -> &Account {
        self.people.iter().find(|account| account.sam == name).unwrap()
    }

    fn authority(&self) -> PathBuf {
        self.world.credentials("service:mail").join("authority.pem")
    }

    fn url(&self) -> String {
        format!("{}?kerberos=yes&ca={}", self.world.server.place(), self.authority().display())
    }

    /// The command, by an account of the domain with tickets of its own.
    fn of(&self, name: &str, arguments: &[&str]) -> Run {
        let cache = self.domain.ccache(self.account(name), None).unwrap();
        self.with(name, &cache, arguments)
    }

    /// The command, with these tickets.
    fn with(&self, name: &str, cache: &Path, arguments: &[&str]) -> Run {
        self.world.run_with(&format!("domain:{name}"), &self.url(), &self.domain.env_with(cache), arguments)
    }

    fn whoami(&self, name: &str) -> Run {
        self.of(name, &["whoami", "--json"])
    }

    /// The certificate that the server shows, in a file.
    fn certificate(&self) -> PathBuf {
        let path = self.world.at("server.der");
        let address = self.world.server.address.as_str();
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", address, "-servername", "localhost"]).stdin(Stdio::null());
        let shown = client.output().unwrap();
        std::fs::write(self.world.at("shown.pem"), &shown.stdout).unwrap();
        let mut convert = Command::new("openssl");
        convert
            .args(["x509", "-outform", "der", "-in"])
            .arg(self.world.at("shown.pem"))
            .arg("-out")
            .arg(&path);
        assert!(convert.status().unwrap().success());
        path
    }

    /// A token for a service, bound to a certificate, with these tickets.
    fn token(&self, cache: &Path, service: &str, certificate: Option<&Path>) -> String {
        let mut maker = Command::new(std::env::current_exe().unwrap());
        maker.env_remove(CERTIFICATE).args(["--exact", "kerberos::token_for_another_test", "--nocapture"]);
        maker.envs(self.domain.env_with(cache)).env(SERVICE, service);
        if let Some(path) = certificate {
            maker.env(CERTIFICATE, path);
        }
        let output = maker.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let token = text.lines().find_map(|line| line.split_once(MARK));
        token.unwrap_or_else(|| panic!("{output:?}")).1.trim().to_owned()
    }

    /// Asks again and again until an answer is a refusal: what was read of an account is believed for a time.
    fn refused_in_time(&self, what: &str, ask: impl Fn() -> Run) -> Run {
        let began = Instant::now();
        loop {
            let run = ask();
            if run.code != Some(0) {
                return run;
            }
            assert!(began.elapsed() < SLACK, "{what} goes on");
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Asks again and again until it succeeds.
    fn succeeds_in_time(&self, what: &str, ask: impl Fn() -> Run) -> Run {
        let began = Instant::now();
        loop {
            let run = ask();
            if run.code == Some(0) {
                return run;
            }
            assert!(began.elapsed() < SLACK, "{what}: {}", run.stderr);
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Waits until nothing counts any more that the server has read of the domain by now.
    fn outlive_cache() {
        std::thread::sleep(Duration::from_secs(CACHE_S + 1));
    }

    /// What the server answers to a request with these headers: its status, and its header and body.
    fn ask(&self, path: &str, headers: &[String], more: &[&str]) -> (u16, String) {
        let mut curl = Command::new("curl");
        curl.args(["-s", "-i", "-w", "\n%{http_code}", "--cacert"]).arg(self.authority()).args(more);
        // Long ones don't fit into the arguments of a program.
        let file = self.world.at("headers");
        std::fs::write(&file, headers.join("\n")).unwrap();
        curl.arg("-H").arg(format!("@{}", file.display()));
        let output = curl.arg(format!("{}{path}", self.world.server.place())).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (rest, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap_or_else(|_| panic!("{output:?}")), rest.to_owned())
    }

    fn ask_with(&self, token: &str) -> (u16, String) {
        self.ask("/v1/whoami", &[format!("Authorization: Negotiate {token}")], &[])
    }
}

const SERVICE: &str = "DKM_TEST_TOKEN_SERVICE";
const CERTIFICATE: &str = "DKM_TEST_TOKEN_CERTIFICATE";
const MARK: &str = "token=";

/// Makes one for another test, which runs this with other tickets in the environment: a process has those of one account.
#[test]
fn token_for_another_test() {
    let Ok(service) = std::env::var(SERVICE) else { return };
    let binding = std::env::var_os(CERTIFICATE)
        .map(|path| negotiate::server_end_point(&std::fs::read(path).unwrap()).unwrap());
    let token = negotiate::token(&Identity::Environment, &service, binding.as_deref()).unwrap();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, token);
    writeln(&format!("{MARK}{encoded}"));
}

fn writeln(line: &str) {
    let mut out = std::io::stdout();
    let _ = std::io::Write::write_all(&mut out, format!("{line}\n").as_bytes());
}
