//! The container of AD FS in a real domain: exported by a member of its group, imported, and closed to others.

#![forbid(unsafe_code)]
// A test says what is wrong by stopping.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use dkm::windows::WindowsKey;
use dkm_testbed::{Account, Domain, Options};

const ACTIVE: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const OLD: &str = "0b5d9d1c-8a57-4f0e-9d5e-6f3a9c0c7a11";
const ONES: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const TWOS: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

/// The container with two keys, as docs/windows-dkm.md has it. Only the group reads what is in it.
fn container(domain: &Domain, readers: &str) -> String {
    let adfs = format!("CN=ADFS,CN=Microsoft,CN=Program Data,{}", domain.base());
    let group = format!("CN=8164cba4-17e3-4bd7-9c5b-8a2b0ad9e0f5,{adfs}");
    let descriptor = format!("nTSecurityDescriptor: O:SYG:DAD:PAI(A;;GA;;;SY)(A;;RPRCLCLO;;;{readers})\n");
    let key = |name: &str, guid: &str, photo: &str| {
        format!(
            "dn: CN={name},{group}\nobjectClass: contact\nl: {guid}\nthumbnailPhoto:: {photo}\n{descriptor}\n"
        )
    };
    let policy =
        format!("dn: CN=CryptoPolicy,{group}\nobjectClass: contact\ndisplayName: {ACTIVE}\n{descriptor}\n");
    let containers =
        format!("dn: {adfs}\nobjectClass: container\n\ndn: {group}\nobjectClass: container\n{descriptor}\n");
    let all = [containers, policy, key("new", ACTIVE, ONES), key("old", OLD, TWOS)].concat();
    domain.modify_ldif(&all).unwrap();
    adfs
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

fn dkm(home: &Path, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dkm"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("DKM_GROUP", "adfs")
        .current_dir(home)
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
    output
}

#[test]
fn a_member_moves_the_keys_and_an_outsider_finds_none() {
    if let Err(missing) = Domain::available() {
        eprintln!("SKIPPED, NOTHING WAS TESTED: no domain can be run here: {missing}");
        return;
    }
    let domain = Domain::start(&Options::default()).unwrap();
    let readers = domain.add_group("adfs-readers").unwrap();
    let member = domain.add_user("svc-adfs").unwrap();
    let outsider = domain.add_user("svc-other").unwrap();
    domain.add_member(&readers, &member.dn).unwrap();
    let base = container(&domain, &readers.sid);

    let home = tempfile::tempdir().unwrap();
    for arguments in [&["init"][..], &["group", "create", "adfs"]] {
        let output = dkm(home.path(), arguments, b"");
        assert!(output.status.success(), "{output:?}");
    }
    let import = ["import", "windows-dkm", "--ldif", "-", "--json"];

    let hidden = dkm(home.path(), &import, &export(&domain, &outsider, &base));
    assert_eq!(hidden.status.code(), Some(3), "{hidden:?}");

    let done = dkm(home.path(), &import, &export(&domain, &member, &base));
    assert!(done.status.success(), "{done:?}");
    let done: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let keys: Vec<_> = done["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["guid"].as_str().unwrap(), key["result"].as_str().unwrap(), &key["active"]))
        .collect();
    assert_eq!(keys, [(OLD, "imported", &false.into()), (ACTIVE, "imported", &true.into())]);
    assert_eq!(done["skipped"], serde_json::json!([]));

    for (guid, byte) in [(ACTIVE, 1), (OLD, 2)] {
        let key = WindowsKey::new(guid.parse().unwrap(), &[byte; 32]).unwrap();
        let blob = dkm_core::windows::seal(&key, &[3; 32], &[4; 16], b"a certificate").unwrap();
        let opened = dkm(home.path(), &["unprotect", "--windows"], &blob);
        assert_eq!(opened.stdout, b"a certificate", "{opened:?}");
    }
}
