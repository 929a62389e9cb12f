//! The container of AD FS in a real domain: exported or read by a member of its group, imported, and closed to others.

#![forbid(unsafe_code)]
// A test says what is wrong by stopping.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm::windows::WindowsKey;
use dkm_testbed::{Account, Domain, Options, Scope};
use serde_json::{Value, json};

const GROUP: &str = "8164cba4-17e3-4bd7-9c5b-8a2b0ad9e0f5";
const ACTIVE: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const OLD: &str = "0b5d9d1c-8a57-4f0e-9d5e-6f3a9c0c7a11";
/// The attribute that holds keys, by the id that the schema gives it.
const THUMBNAIL_PHOTO: &str = "8d3bca50-1d7e-11d0-a081-00aa006c33ed";

fn photo(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn adfs(domain: &Domain) -> String {
    format!("CN=ADFS,CN=Microsoft,CN=Program Data,{}", domain.base())
}

/// Containers as docs/windows-dkm.md has them. Whatever is in them has a descriptor of its own.
struct Containers<'a> {
    domain: &'a Domain,
    descriptor: String,
}

impl<'a> Containers<'a> {
    /// For keys that these entries of the DACL let read.
    fn new(domain: &'a Domain, entries: &str) -> Self {
        let descriptor = format!("nTSecurityDescriptor: O:SYG:DAD:PAI{entries}(A;;GA;;;SY)\n");
        let adfs = adfs(domain);
        domain.modify_ldif(&format!("dn: {adfs}\nobjectClass: container\n\n")).unwrap();
        Self { domain, descriptor }
    }

    /// A group's container with its keys, which are text before `=` the GUID, and the key in base64.
    fn add(&self, group: &str, active: Option<&str>, keys: &[(&str, &str, String)]) -> String {
        let descriptor = &self.descriptor;
        let dn = format!("CN={group},{}", adfs(self.domain));
        let mut ldif = format!("dn: {dn}\nobjectClass: container\n{descriptor}\n");
        if let Some(active) = active {
            ldif += &format!(
                "dn: CN=CryptoPolicy,{dn}\nobjectClass: contact\ndisplayName: {active}\n{descriptor}\n"
            );
        }
        for (name, guid, photo) in keys {
            ldif += &format!(
                "dn: CN={name},{dn}\nobjectClass: contact\nl: {guid}\nthumbnailPhoto:: {photo}\n{descriptor}\n"
            );
        }
        self.domain.modify_ldif(&ldif).unwrap();
        dn
    }
}

/// Only the group reads what is in the containers.
fn only(readers: &str) -> String {
    format!("(A;;RPRCLCLO;;;{readers})")
}

fn two_keys() -> [(&'static str, &'static str, String); 2] {
    [("new", ACTIVE, photo(1)), ("old", OLD, photo(2))]
}

/// What an account exports, with nothing but its own rights.
fn export(domain: &Domain, account: &Account, base: &str) -> Vec<u8> {
    let cache = domain.ccache(account, None).unwrap();
    let output = Command::new("ldapsearch")
        .envs(domain.env_with(&cache))
        .args(["-LLL", "-Q", "-N", "-Y", "GSSAPI", "-H", &domain.ldap_url(), "-b", base])
        .args(["objectClass", "displayName", "l", "thumbnailPhoto"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// A user of the command: a home folder, perhaps a ticket, and a repository.
struct User {
    home: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl User {
    /// With a repository of his own, in a folder, and a group in it.
    fn with_folder() -> Self {
        let user = Self { home: tempfile::tempdir().unwrap(), env: Vec::new() };
        user.done(&["init"], b"");
        user.done(&["group", "create", "adfs"], b"");
        user
    }

    fn signed_in(mut self, domain: &Domain, account: &Account) -> Self {
        self.env = domain.env_with(&domain.ccache(account, None).unwrap());
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn run(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dkm"))
            .args(arguments)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("HOME", self.home.path())
            .env("DKM_GROUP", "adfs")
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = stdin.to_vec();
        // The command may end before it has read everything.
        let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let said = format!("{output:?}");
        assert!(![1, 2].iter().any(|byte| said.contains(&photo(*byte))), "a key was shown: {said}");
        output
    }

    fn done(&self, arguments: &[&str], stdin: &[u8]) -> Vec<u8> {
        let output = self.run(arguments, stdin);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output.stdout
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_slice(&self.done(arguments, b"")).unwrap()
    }

    /// Ends with this exit code, and says this.
    fn fails(&self, arguments: &[&str], code: i32, words: &str) {
        let output = self.run(arguments, b"");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{words}: {said}");
    }

    /// How many keys the ring has.
    fn keys(&self) -> usize {
        self.json(&["key", "list", "--json"])["keys"].as_array().unwrap().len()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

fn results(import: &Value) -> Vec<(&str, &str, bool)> {
    import["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| {
            let text = |name: &str| key[name].as_str().unwrap();
            (text("guid"), text("result"), key["active"].as_bool().unwrap())
        })
        .collect()
}

fn blob(guid: &str, byte: u8) -> Vec<u8> {
    let key = WindowsKey::new(guid.parse().unwrap(), &[byte; 32]).unwrap();
    dkm_core::windows::seal(&key, &[3; 32], &[4; 16], b"a certificate").unwrap()
}

/// Every object of a place, and when it was written last.
fn writes(domain: &Domain, base: &str) -> Vec<(String, Option<String>)> {
    let found = domain.search(base, Scope::Sub, "(objectClass=*)", &["uSNChanged"]).unwrap();
    let mut all: Vec<_> =
        found.into_iter().map(|entry| (entry.dn.clone(), entry.text("uSNChanged"))).collect();
    all.sort();
    all
}

fn domain() -> Option<Domain> {
    Domain::start_or_skip(&Options::default()).unwrap()
}

#[test]
fn a_member_moves_the_keys_and_an_outsider_finds_none() {
    let Some(domain) = domain() else { return };
    let readers = domain.add_group("adfs-readers").unwrap();
    let member = domain.add_user("svc-adfs").unwrap();
    let outsider = domain.add_user("svc-other").unwrap();
    domain.add_member(&readers, &member.dn).unwrap();
    Containers::new(&domain, &only(&readers.sid)).add(GROUP, Some(ACTIVE), &two_keys());
    let base = adfs(&domain);

    let user = User::with_folder();
    let import = ["import", "windows-dkm", "--ldif", "-", "--json"];
    let hidden = user.run(&import, &export(&domain, &outsider, &base));
    assert_eq!(hidden.status.code(), Some(3), "{hidden:?}");

    let done = user.done(&import, &export(&domain, &member, &base));
    let done: Value = serde_json::from_slice(&done).unwrap();
    assert_eq!(results(&done), [(OLD, "imported", false), (ACTIVE, "imported", true)]);
    assert_eq!(done["skipped"], json!([]));
    for (guid, byte) in [(ACTIVE, 1), (OLD, 2)] {
        assert_eq!(user.done(&["unprotect", "--windows"], &blob(guid, byte)), b"a certificate");
    }
}

#[test]
fn keys_come_straight_from_another_domain_and_nothing_is_written_there() {
    let Some(domain) = domain() else { return };
    let readers = domain.add_group("adfs-readers").unwrap();
    let member = domain.add_user("svc-adfs").unwrap();
    domain.add_member(&readers, &member.dn).unwrap();
    let outsider = domain.add_user("svc-other").unwrap();
    let half = domain.add_user("svc-half").unwrap();
    // One account sees everything but the keys.
    let entries =
        format!("(OD;;RP;{THUMBNAIL_PHOTO};;{0})(A;;RPRCLCLO;;;{0}){1}", half.sid, only(&readers.sid));
    let containers = Containers::new(&domain, &entries);
    let vector = vector();
    let keys = [
        two_keys().to_vec(),
        vec![
            ("vector", vector.guid.as_str(), STANDARD.encode(&vector.material)),
            ("short", "0b5d9d1c-8a57-4f0e-9d5e-6f3a9c0c7a12", STANDARD.encode([7; 31])),
        ],
    ]
    .concat();
    let container = containers.add(GROUP, Some(ACTIVE), &keys);
    let before = writes(&domain, &adfs(&domain));
    let from = domain.url();
    let user = User::with_folder().signed_in(&domain, &member);
    let base = ["import", "windows-dkm", "--from", from.as_str(), "--json"];
    let with = |more: &[&'static str]| [&base[..], more].concat();

    let dry = user.json(&with(&["--dry-run"]));
    let expected = dry["keys"].as_array().unwrap().len();
    assert_eq!((expected, user.keys()), (3, 1), "{dry}");
    assert_eq!(dry["container"], json!(container));
    let output = user.run(&base, b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("31 bytes"), "{said}");
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(results(&done).contains(&(ACTIVE, "imported", true)), "{done}");
    assert_eq!(done["skipped"].as_array().unwrap().len(), 1, "{done}");
    assert!(done["source"].as_str().unwrap().contains(domain.fqdn()), "{done}");
    assert_eq!(user.keys(), 4);
    let again = user.json(&base);
    assert!(results(&again).iter().all(|(_, result, _)| *result == "present"), "{again}");

    // Blobs of our writer and of the second construction open; they are protected anew, and are not of Windows any more.
    assert_eq!(user.done(&["unprotect", "--windows"], &blob(OLD, 2)), b"a certificate");
    assert_eq!(user.done(&["unprotect", "--windows"], &vector.blob), vector.plaintext);
    python_blob(&user);
    std::fs::write(user.at("signing.pfx.dkm"), blob(ACTIVE, 1)).unwrap();
    user.done(&["reprotect", "--windows", "-c", "service=adfs", "signing.pfx.dkm"], b"");
    let anew = std::fs::read(user.at("signing.pfx.dkm")).unwrap();
    assert_eq!(user.done(&["unprotect", "-c", "service=adfs"], &anew), b"a certificate");
    assert_eq!(user.run(&["unprotect", "--windows"], &anew).status.code(), Some(5));

    // Others get nothing, by whatever name they ask.
    let stranger = User::with_folder().signed_in(&domain, &outsider);
    stranger.fails(&base, 3, "that this account may see");
    stranger.fails(&with(&["--container", "CN=Program Data"]), 3, "that this account may see");
    let named = [&base[..], &["--container", &container]].concat();
    stranger.fails(&named, 3, "that this account may see");
    let blind = User::with_folder().signed_in(&domain, &half);
    blind.fails(&base, 4, "thumbnailPhoto");
    blind.fails(&named, 4, "thumbnailPhoto");
    assert_eq!((stranger.keys(), blind.keys()), (1, 1));
    let nobody = User::with_folder()
        .with("KRB5_CONFIG", domain.krb5_conf().to_str().unwrap())
        .with("KRB5CCNAME", "FILE:/nonexistent/tickets");
    nobody.fails(&base, 6, "kinit");

    assert_eq!(writes(&domain, &adfs(&domain)), before, "the container was written to");
}

#[test]
fn what_cannot_be_read_from_a_domain_is_said() {
    let Some(domain) = domain() else { return };
    let readers = domain.add_group("adfs-readers").unwrap();
    let member = domain.add_user("svc-adfs").unwrap();
    domain.add_member(&readers, &member.dn).unwrap();
    let containers = Containers::new(&domain, &only(&readers.sid));
    let from = domain.url();
    let user = User::with_folder().signed_in(&domain, &member);
    let import = |more: &[&str]| {
        let all = [&["import", "windows-dkm", "--from", from.as_str(), "--json"], more].concat();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let fails = |more: &[&str], code, words| {
        let all = import(more);
        user.fails(&all.iter().map(String::as_str).collect::<Vec<_>>(), code, words);
    };
    let warns = |more: &[&str], words: &str| {
        let all = import(more);
        let output = user.run(&all.iter().map(String::as_str).collect::<Vec<_>>(), b"");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains(words), "{words}: {said}");
    };

    fails(&[], 3, "holds no keys of Windows DKM");
    fails(&["--container", "CN=Nothing"], 3, "CN=Nothing,DC=dkm,DC=test is not in ad://");
    fails(&["--container", "Nothing"], 2, "attribute=value");
    fails(&["--container", "CN=ADFS,DC=other,DC=test"], 2, "--from");
    fails(&["--container", "CN=ADFS,XX=y"], 3, "CN=ADFS,XX=y,DC=dkm,DC=test is not in ad://");
    fails(&["--ldif", "-"], 2, "cannot be used with");
    user.fails(&["import", "windows-dkm", "--container", "CN=ADFS"], 2, "--from ad://");
    user.fails(&["import", "windows-dkm"], 2, "--container");
    user.fails(&["import", "windows-dkm", "--from", "ad://dkm.test/OU=x"], 2, "more than a domain");
    user.fails(&["import", "windows-dkm", "--from", "ldap://dkm.test"], 2, "ad://");

    let empty = containers.add("1164cba4-17e3-4bd7-9c5b-8a2b0ad9e0f5", Some(ACTIVE), &[]);
    fails(&[], 3, "a key of CN=1164cba4");
    domain.delete_tree(&empty).unwrap();
    let first = containers.add(GROUP, None, &two_keys());
    warns(&["--dry-run"], "no CryptoPolicy");
    let other =
        containers.add("9164cba4-17e3-4bd7-9c5b-8a2b0ad9e0f5", Some(ACTIVE), &[two_keys()[1].clone()]);
    fails(&[], 2, "several containers");
    warns(&["--dry-run", "--container", &other], "which was not found");
    let relative = first.strip_suffix(&format!(",{}", domain.base())).unwrap();
    warns(&["--dry-run", "--container", &relative.to_lowercase()], "no CryptoPolicy");

    // More than one page of answers, and more than an import takes.
    let many: Vec<_> =
        (0..1_050u32).map(|n| (format!("k{n}"), format!("{n:08x}-0000-4000-8000-000000000000"), n)).collect();
    let many: Vec<_> = many
        .iter()
        .map(|(name, guid, n)| {
            let key: Vec<u8> = n.to_be_bytes().repeat(8);
            (name.as_str(), guid.as_str(), STANDARD.encode(key))
        })
        .collect();
    let large = containers.add("a164cba4-17e3-4bd7-9c5b-8a2b0ad9e0f5", Some(many[1].1), &many);
    let all = import(&["--dry-run", "--container", &large]);
    let dry = user.json(&all.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(dry["keys"].as_array().unwrap().len(), many.len());
    fails(&["--container", &large], 2, "more than the limit of 1000");
    assert_eq!(user.keys(), 1, "nothing was imported");
}

#[test]
fn a_group_in_the_same_domain_takes_the_keys_over() {
    let Some(domain) = domain() else { return };
    let readers = domain.add_group("adfs-readers").unwrap();
    let (member, colleague) =
        (domain.add_user("svc-adfs").unwrap(), domain.add_user("svc-colleague").unwrap());
    domain.add_member(&readers, &member.dn).unwrap();
    Containers::new(&domain, &only(&readers.sid)).add(GROUP, Some(ACTIVE), &two_keys());
    domain.keytab(domain.admin()).unwrap();
    let home = || User { home: tempfile::tempdir().unwrap(), env: Vec::new() };
    let url = domain.url();
    let user = |account: &Account| home().signed_in(&domain, account).with("DKM_REPOSITORY", &url);
    let admin = user(domain.admin());
    admin.done(&["ad", "init"], b"");
    admin.done(
        &[
            "group",
            "create",
            "adfs",
            "--members",
            "svc-colleague",
            "--creators",
            "svc-adfs",
            "--owners",
            "Domain Admins",
        ],
        b"",
    );
    let user_of = user(&member);
    let import = ["import", "windows-dkm", "--container", "CN=ADFS,CN=Microsoft,CN=Program Data", "--json"];
    let done = user_of.json(&import);
    assert_eq!(results(&done), [(OLD, "imported", false), (ACTIVE, "imported", true)]);
    // Whoever is in the group opens old blobs now, and may still not read the container.
    let other = user(&colleague);
    assert_eq!(other.done(&["unprotect", "--windows"], &blob(OLD, 2)), b"a certificate");
    other.fails(&import, 3, "that this account may see");
    std::fs::write(other.at("old.pfx"), blob(OLD, 2)).unwrap();
    other.done(&["reprotect", "--windows", "-c", "service=adfs", "old.pfx"], b"");
    let anew = std::fs::read(other.at("old.pfx")).unwrap();
    assert_eq!(user_of.done(&["unprotect", "-c", "service=adfs"], &anew), b"a certificate");
}

/// A blob of the second construction, out of the vectors.
struct Vector {
    guid: String,
    material: Vec<u8>,
    blob: Vec<u8>,
    plaintext: Vec<u8>,
}

fn windows_vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/windows")
}

fn vector() -> Vector {
    let text = std::fs::read(windows_vectors().join("blobs.json")).unwrap();
    let vectors: Value = serde_json::from_slice(&text).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["plaintext"]["text"].is_string()).unwrap();
    Vector {
        guid: case["guid"].as_str().unwrap().to_owned(),
        material: unhex(case["material"].as_str().unwrap()),
        blob: unhex(case["blob"]["hex"].as_str().unwrap()),
        plaintext: case["plaintext"]["text"].as_str().unwrap().into(),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A blob by the writer in Python, where Python has what that needs.
fn python_blob(user: &User) {
    let program = "import sys, uuid; sys.path.insert(0, sys.argv[1]); import reader; \
         sys.stdout.buffer.write(reader.seal(uuid.UUID(sys.argv[2]).bytes_le, bytes([1]) * 32, bytes([5]) * 32, bytes([6]) * 16, b'from Python'))";
    let made = Command::new("python3")
        .args(["-B", "-c", program])
        .arg(windows_vectors())
        .arg(ACTIVE)
        .output()
        .unwrap();
    if !made.status.success() {
        assert!(String::from_utf8_lossy(&made.stderr).contains("cryptography"), "{made:?}");
        println!("no blob by Python was tried: its package cryptography is missing");
        return;
    }
    assert_eq!(user.done(&["unprotect", "--windows"], &made.stdout), b"from Python");
}
