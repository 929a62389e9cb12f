//! Moving away from Windows DKM: import, open, re-protect.

use dkm::windows::WindowsKey;

use crate::support::World;

const CONTAINER: &str =
    "CN=8164cba4-17e3-4bd7-9c5b-8a2b0ad9e0f5,CN=ADFS,CN=Microsoft,CN=Program Data,DC=dkm,DC=test";
const ACTIVE: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const OLD: &str = "0b5d9d1c-8a57-4f0e-9d5e-6f3a9c0c7a11";
const ONES: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const TWOS: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn export() -> String {
    let key = |name: &str, guid: &str, photo: &str| {
        format!("dn: CN={name},{CONTAINER}\nobjectClass: contact\nl: {guid}\nthumbnailPhoto:: {photo}\n\n")
    };
    let policy = format!("dn: CN=CryptoPolicy,{CONTAINER}\nobjectClass: contact\ndisplayName: {ACTIVE}\n\n");
    let hidden = format!("dn: CN=hidden,{CONTAINER}\nobjectClass: contact\nl: {ACTIVE}\n\n");
    [policy, key("new", ACTIVE, ONES), key("old", OLD, TWOS), hidden].concat()
}

fn seal(guid: &str, byte: u8, plaintext: &[u8]) -> Vec<u8> {
    let key = WindowsKey::new(guid.parse().unwrap(), &[byte; 32]).unwrap();
    dkm_core::windows::seal(&key, &[3; 32], &[4; 16], plaintext).unwrap()
}

/// A group beside blobs of Windows, one of them as AD FS has them in its settings.
fn world() -> World {
    let world = World::with_group();
    world.write("container.ldif", export());
    world.write("signing.blob", seal(ACTIVE, 1, b"a certificate"));
    world.write("old.blob", seal(OLD, 2, b"an old certificate"));
    assert!(world.shell("base64 old.blob > old.txt && chmod 600 container.ldif").status().unwrap().success());
    world
}

#[test]
fn the_way_from_windows() {
    let world = world();
    let text = [
        world.dkm(["inspect", "signing.blob"]),
        world.dkm(["inspect", "old.txt"]),
        world.dkm(["unprotect", "--windows", "signing.blob"]),
        world.dkm(["import", "windows-dkm", "--ldif", "container.ldif", "--dry-run"]),
        world.dkm(["import", "windows-dkm", "--ldif", "container.ldif", "--reason", "leaving AD FS"]),
        world.dkm(["import", "windows-dkm", "--ldif", "container.ldif", "--container", CONTAINER]),
        world.dkm(["unprotect", "--windows", "signing.blob", "-o", "signing.pfx"]),
        world.dkm(["unprotect", "--windows", "old.txt"]),
        world.dkm(["unprotect", "signing.blob"]),
        world.dkm(["protect", "--windows-key", ACTIVE, "signing.pfx", "-o", "again.blob"]),
        world.dkm(["unprotect", "--windows", "again.blob"]),
        world.dkm([
            "reprotect",
            "--windows",
            "-c",
            "service=adfs",
            "signing.blob",
            "old.txt",
            "signing.pfx",
            "--dry-run",
        ]),
        world.dkm(["reprotect", "--windows", "-c", "service=adfs", "signing.blob", "old.txt", "signing.pfx"]),
        world.dkm(["reprotect", "--windows", "-c", "service=adfs", "signing.blob", "old.txt"]),
        world.dkm(["unprotect", "-c", "service=adfs", "old.txt"]),
        world.dkm(["unprotect", "--windows", "old.txt"]),
        world.dkm(["doctor"]),
    ];
    insta::assert_snapshot!("the_way_from_windows", world.session(&text[..text.len() - 1]));
    assert_eq!(std::fs::read(world.at("signing.pfx")).unwrap(), b"a certificate");
    assert!(!text[16].text().contains("never protects"), "{}", text[16].text());
    let list = world.dkm(["key", "list"]).succeeded().text();
    assert!(list.contains(&format!("Windows key {OLD}")), "{list}");
    let journal = std::fs::read_to_string(world.at("state/dkm/audit.jsonl")).unwrap();
    assert_eq!(journal.matches("\"key-imported\"").count(), 2, "{journal}");
    assert_eq!(journal.matches("leaving AD FS").count(), 2, "{journal}");
}

#[test]
fn the_way_from_windows_in_json() {
    let world = world();
    let json = [
        world.dkm(["inspect", "old.txt", "--json"]),
        world.dkm(["import", "windows-dkm", "--ldif", "container.ldif", "--json"]),
        world.dkm(["unprotect", "--windows", "old.txt", "-o", "old.pfx", "--json"]),
        world.dkm(["protect", "--windows-key", OLD, "old.pfx", "-o", "again.blob", "--json"]),
        world.dkm(["reprotect", "--windows", "old.txt", "--json"]),
    ];
    insta::assert_snapshot!("the_way_from_windows_json", world.session(&json));
    let imported = json[1].json();
    let id = imported["keys"][0]["key"].as_str().unwrap();
    let shown = world.dkm(["key", "show", id, "--json"]).succeeded().json();
    assert_eq!((&shown["key"]["windows_guid"], &shown["key"]["state"]), (&OLD.into(), &"deactivated".into()));
    // Where stdout carries the plaintext, the result is on stderr.
    let beside = world.dkm(["unprotect", "--windows", "again.blob", "--json"]).succeeded();
    assert_eq!(beside.text(), "an old certificate");
    let result: serde_json::Value = serde_json::from_str(beside.stderr.trim()).unwrap();
    assert_eq!((&result["plaintext_len"], &result["windows_key"]), (&18.into(), &OLD.into()));
}

#[test]
fn what_cannot_be_is_said_and_no_key_is_shown() {
    let world = world();
    let ldif = |text: &str| world.dkm_stdin(["import", "windows-dkm", "--ldif", "-"], text.as_bytes());
    let other = export().replace("8164cba4", "9164cba4");
    let cases = [
        (ldif(""), 3, "holds no keys"),
        (ldif("hello"), 5, "line 1"),
        (ldif(&format!("{}{other}", export())), 2, "several containers"),
        (ldif(&export().replace("thumbnailPhoto::", "jpegPhoto::")), 3, "has no keys"),
        (ldif(&export().replace(TWOS, ONES)), 2, "the same key"),
        (ldif(&export().replace("contact\nl:", "contact\nchangetype: add\nl:")), 5, "list of changes"),
        (
            world.dkm(["import", "windows-dkm", "--ldif", "container.ldif", "--container", "CN=x"]),
            3,
            "does not hold",
        ),
        (world.dkm(["import", "windows-dkm", "--ldif", "none"]), 3, "none"),
        (world.dkm(["unprotect", "--windows", "-c", "a=b", "old.blob"]), 2, "cannot be used with"),
        (world.dkm(["protect", "--windows-key", OLD, "-c", "a=b", "old.blob"]), 2, "cannot be used with"),
        (world.dkm(["protect", "--windows-key", "x", "old.blob"]), 2, "not a key GUID"),
        (world.dkm(["unprotect", "--windows", "container.ldif"]), 5, "not a Windows DKM blob"),
    ];
    for (run, code, words) in cases {
        let run = run.exits(code);
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
        assert!(!run.stderr.contains(ONES) && !run.text().contains(ONES), "{}", run.stderr);
    }
    let list = world.dkm(["key", "list", "--json"]).succeeded().json();
    assert_eq!(list["keys"].as_array().unwrap().len(), 1, "nothing was imported");
}

#[test]
fn an_export_in_a_file_is_warned_of_and_a_piped_one_is_not() {
    let world = world();
    let dry = |file: &str| {
        let arguments = ["import", "windows-dkm", "--dry-run", "--ldif", file];
        world.dkm_stdin(arguments, export().as_bytes()).succeeded().stderr
    };
    assert!(dry("container.ldif").contains("holds keys in the clear\n"));
    assert!(world.shell("chmod 644 container.ldif").status().unwrap().success());
    assert!(dry("container.ldif").contains("in the clear, and others may read it"));
    assert!(!dry("-").contains("clear"));
}
