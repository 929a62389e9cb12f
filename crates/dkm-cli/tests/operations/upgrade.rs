//! *Upgrade with mixed versions*: records of a newer version beside a program that does not know them.

use dkm_core::record::Record;
use dkm_testbed::{Options, Scope};

use crate::world::{Runbook, World};

/// An object of the room of control, with other bytes and under another name, put there by the system.
fn plant(world: &World, name: &str, bytes: &[u8]) {
    let filter = "(&(objectClass=contact)(displayName=policy-*))";
    let found = world.domain.search(world.domain.base(), Scope::Sub, filter, &["displayName"]).unwrap();
    let room = found[0].dn.split_once(',').unwrap().1;
    let descriptor = world.domain.descriptor(&found[0].dn).unwrap();
    let bytes = base64(bytes);
    let text = format!(
        "dn: CN={name},{room}\nobjectClass: contact\ndisplayName: {name}\nthumbnailPhoto:: {bytes}\n\
         nTSecurityDescriptor: {descriptor}\n\n"
    );
    world.domain.modify_ldif(&text).unwrap();
}

fn base64(bytes: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = std::process::Command::new("base64")
        .arg("-w0")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn what_a_newer_version_wrote_is_told_and_stops_nobody() {
    let Some(world) = World::start(&Options::default()) else { return };
    let ops = world.ops();
    ops.sh("ssh-keygen -q -t ed25519 -N '' -f archive-key").done();
    ops.sh(&crate::page::block("archive-keep").text).done();
    let book = Runbook::open("upgrade");
    book.follow("upgrade-before", &ops).says("0 errors");
    ops.protect("old", "before the upgrade");

    // The policy in force with a field more, as a newer version would set it; a record of a kind and one of a version
    // that are not known.
    let filter = "(&(objectClass=contact)(displayName=policy-*))";
    let found = world.domain.search(world.domain.base(), Scope::Sub, filter, &["thumbnailPhoto"]).unwrap();
    let bytes = found[0].attributes["thumbnailPhoto"][0].clone();
    let (group, Record::Policy(policy)) = Record::decode(&bytes).unwrap() else { panic!("no policy") };
    let newer = with_a_field_more(&Record::Policy(policy).encode(group));
    assert!(Record::decode(&newer).is_err());
    plant(&world, "policy-00000000000000000000000000000001", &newer);
    let mut kind = bytes.clone();
    // [version, kind, group, body]: the kind is the third byte.
    assert_eq!(kind[..3], [0x84, 1, 2]);
    kind[2] = 23;
    plant(&world, "mystery-00000000000000000000000000000001", &kind);
    let mut version = bytes;
    version[1] = 2;
    plant(&world, "policy-00000000000000000000000000000002", &version);

    book.follow("upgrade-one", &ops).says("0 errors");
    let seen = book.follow("upgrade-see", &ops);
    for name in
        ["policy-00000000000000000000000000000001", "mystery-", "policy-00000000000000000000000000000002"]
    {
        seen.says(name);
    }
    seen.says("kind 23");
    seen.says("version 2");
    book.close();
    // Both protecting and changing go on.
    ops.opens(&ops.home.join("old.dkm"), "before the upgrade");
    ops.dkm(&["policy", "set", "rotation_period=60d"]).done();
    ops.roll();
    ops.protect("new", "beside a newer version");
    ops.opens(&ops.home.join("new.dkm"), "beside a newer version");
}

/// A record's encoding whose innermost policy has a field with a number that is not known.
fn with_a_field_more(bytes: &[u8]) -> Vec<u8> {
    // The policy is the last field of the body: its map header is found by decoding what follows.
    let mut found = None;
    for at in (0..bytes.len()).rev() {
        let mut decoder = minicbor::Decoder::new(&bytes[at..]);
        let is_map = matches!(decoder.datatype(), Ok(minicbor::data::Type::Map));
        if is_map && decoder.skip().is_ok() && decoder.position() == bytes.len() - at {
            found = Some(at);
            break;
        }
    }
    let at = found.expect("a map at the end");
    let head = bytes[at];
    assert!((0xa1..0xb7).contains(&head), "a short map");
    let mut newer = bytes[..at].to_vec();
    newer.push(head + 1);
    newer.extend_from_slice(&bytes[at + 1..]);
    // Field 99, true.
    newer.extend_from_slice(&[0x18, 99, 0xf5]);
    newer
}
