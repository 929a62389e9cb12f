//! *Rotate the root key.*

use std::os::unix::fs::MetadataExt as _;

use dkm_testbed::Options;

use crate::world::{QUICK, Run, Runbook, Seat, World};

/// Copies root keys from one host to another, as the page says: without `current`, unless they are the first.
fn copy(from: &Seat, to: &Seat, first: bool) {
    let (from, to) = (from.home.join("root-keys"), to.home.join("root-keys"));
    for group in std::fs::read_dir(&from).unwrap().map(Result::unwrap) {
        let folder = to.join(group.file_name());
        if !folder.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::set_permissions(&folder, group.metadata().unwrap().permissions()).unwrap();
        }
        for file in std::fs::read_dir(group.path()).unwrap().map(Result::unwrap) {
            let there = folder.join(file.file_name());
            if (first || file.file_name() != "current") && !there.exists() {
                std::fs::copy(file.path(), &there).unwrap();
                assert_eq!(there.metadata().unwrap().mode(), file.metadata().unwrap().mode());
            }
        }
    }
}

#[test]
fn a_root_key_is_rotated() {
    let Some(world) = World::start(&Options::default()) else { return };
    let (ops, mail) = (world.ops(), world.mail());
    let book = Runbook::open("root key");
    ops.protect("plain", "before keys were wrapped");

    book.follow("root-key-first", &ops);
    copy(&ops, &mail, true);
    let protecting =
        ops.keys()["keys"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    ops.until_protects(&protecting);
    mail.opens(&ops.home.join("plain.dkm"), "before keys were wrapped");
    assert_eq!(ops.protect("old", "under the first root key"), protecting);

    let listed = book.follow("root-key-make", &ops);
    let new = book.get("NEW");
    listed.says(&format!("{new}  only opens"));
    // Where it has not arrived, nothing goes on.
    let check = crate::page::block("root-key-check").text;
    let missing = mail.sh(&format!("NEW={new}\n{check}"));
    assert_ne!(missing.code, Some(0), "{missing:?}");
    assert_eq!(mail.dkm(&["root-key", "use", &new]).code, Some(3));
    copy(&ops, &mail, false);
    book.follow("root-key-check", &mail).says("true");

    book.follow("root-key-use", &ops);
    let made = ops.keys()["keys"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    assert_ne!(made, protecting);
    ops.until_protects(&made);
    let seen = book.follow("root-key-see", &ops);
    seen.says(&format!("{new}  wraps new keys  wraps 1 key, needed by 1"));
    seen.says("only opens      wraps 1 key, needed by 1");
    seen.says("1 key is not wrapped at all.");
    book.close();

    // Both hosts open what both root keys wrap, whoever has which as its current one.
    assert_eq!(mail.protect("new", "under the new root key"), made);
    for (seat, file, text) in [
        (&mail, ops.home.join("old.dkm"), "under the first root key"),
        (&ops, mail.home.join("new.dkm"), "under the new root key"),
    ] {
        seat.opens(&file, text);
    }
    // Without the old root key, what hangs on it is told, and nothing else is hindered.
    let found = ops.dkm(&["root-key", "list", "--json"]).done().json();
    let old = found["root_keys"].as_array().unwrap().iter().find(|root| root["current"] == false).unwrap();
    assert_eq!(old["needed_by"], serde_json::json!([protecting]));
    let file = format!("{}.key", old["id"].as_str().unwrap());
    let group = std::fs::read_dir(mail.home.join("root-keys")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(group.join(file)).unwrap();
    let after = mail.with("DKM_LOG", "");
    assert_eq!(after.dkm(&["unprotect", "-c", "account=alice", "../ops/old.dkm"]).code, Some(3));
    after.opens(&after.home.join("new.dkm"), "under the new root key");
    assert_eq!(after.dkm(&["doctor"]).code, Some(3));
    let journal = std::fs::read_to_string(ops.home.join(".local/state/dkm/audit.jsonl")).unwrap();
    assert!(journal.contains("root-key-made") && journal.contains("root-key-rotated"), "{journal}");
}

/// Makes a group whose keys are wrapped from the first on.
fn create_wrapped(seat: &Seat, name: &str, access: &[&str]) -> Run {
    let mut create = vec!["group", "create", name, "--policy", "wrap=root-key"];
    create.extend(access);
    create.extend(QUICK.iter().flat_map(|field| ["--policy", field]));
    seat.dkm(&create).done()
}

#[test]
fn a_group_is_made_with_its_keys_wrapped() {
    let Some(world) = World::start(&Options::default()) else { return };
    let (ops, mail) = (world.ops().with("DKM_GROUP", "sealed"), world.mail().with("DKM_GROUP", "sealed"));
    let access = ["--readers-group", "DKM Mail Readers", "--creators", "svc-ops", "--owners", "svc-ops"];
    let made = create_wrapped(&ops, "sealed", &access);
    let shown = ops.dkm(&["group", "show", "--json"]).done().json();
    let folder = ops.home.join("root-keys").join(shown["group"]["id"].as_str().unwrap());
    made.says(&format!("in {}, and yours alone", folder.display()));
    // None of the readers is an account of this machine: the file is for whoever made it.
    assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
    for file in folder.read_dir().unwrap().map(Result::unwrap) {
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o400, "{file:?}");
    }
    let roots = ops.dkm(&["root-key", "list", "--json"]).done().json();
    assert_eq!(roots["root_keys"][0]["needed_by"].as_array().unwrap().len(), 1, "{roots}");
    assert_eq!(roots["unwrapped"], serde_json::json!([]), "{roots}");
    ops.protect("sealed", "wrapped from the first");

    let blob = ops.home.join("sealed.dkm");
    let without = mail.dkm(&["unprotect", "-c", "account=alice", blob.to_str().unwrap()]);
    assert_eq!(without.code, Some(3), "{without:?}");
    without.says("copy its folder from another machine of the group");
    copy(&ops, &mail, true);
    mail.opens(&blob, "wrapped from the first");

    // Who makes a group that he does not read makes the root key too, and the first creator needs it.
    let admin = world.seat(world.domain.admin(), "admin");
    create_wrapped(
        &admin,
        "kept",
        &["--members", "svc-mail", "--creators", "svc-ops", "--owners", "Domain Admins"],
    )
    .says("yours alone");
    let ops = ops.with("DKM_GROUP", "kept");
    let without = ops.dkm(&["protect", "-c", "account=alice", "sealed.txt", "-o", "kept.dkm"]);
    assert_eq!(without.code, Some(3), "{without:?}");
    without.says("copy its folder from another machine of the group");
    copy(&admin, &ops, true);
    ops.protect("kept", "by the first creator");
    let roots = ops.dkm(&["root-key", "list", "--json"]).done().json();
    assert_eq!(roots["root_keys"][0]["needed_by"].as_array().unwrap().len(), 1, "{roots}");
    assert_eq!(roots["unwrapped"], serde_json::json!([]), "{roots}");
}
