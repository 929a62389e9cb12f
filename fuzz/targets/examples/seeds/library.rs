//! Seeds of the parsers of the library.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm::fuzzing::{write_manifest, write_root_key};
use dkm_core::blob::Header;
use dkm_core::{KeyId, Suite};

use super::{GROUP, write};

const NATIVE: &str = "age1gc3lxjrs0xky8023qav8jnf93uvwvqukcpjcqacgyk7qerh989tqpyxttq";
/// All zero: no key, since every shared secret with it is zero.
const LOW_ORDER: &str = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z";
/// The same for SSH.
const SMALL_ORDER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const SSH: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPvPPj5dcfoV3t9UqCUYja0h2Bo5xU4fWoknH6JLrSqY";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCwNFCtT8u3U3j+GnB4EaCEZQsn2DbfZ6ioEyZpVeGX7RTI+wObcjHAUlpba12ep/hPzOO9xYqA3xc5LCbBufsy+WUEJ9iFu6CtwmP1fdPtZ2dvBRuENC+EOvwevl5kMB/2KxNU58s+AlDyYMJEmVIPDkx4fBcCsHP4CaQiB4Vm1VCf8rSSFDjimCz1th71gwGgCucRMBpB4WELdCQKJYyxG0+E76TtuNwzb3G+nXb2RqXvknMEJTmYI9Sey0RD5TRqsP8DqQX59Z6Lq6ty2FoblF7ZZ4DNpyfzBGfmhT5yLRHPlY3Pk8TUVP2UgHywW2pwpshOvHliYd8YDIIjabTV";

pub(super) fn all() {
    accounts();
    archives();
    json();
    locations();
    let key = std::array::from_fn(|i| u8::try_from(i).unwrap());
    write("root_key", "line", &write_root_key(GROUP, &key));
    write("root_key", "changed", &[key.as_slice(), &[20, b'F']].concat());
    write("root_key", "upper-case", &write_root_key(GROUP, &[0xab; 32]).to_ascii_uppercase());
}

fn accounts() {
    for (name, text) in [
        ("group", "mail:x:8:alice,bob\nroot:x:0:\n"),
        ("passwd", "alice:x:1000:1001:Alice:/home/alice:/bin/sh\n"),
        ("odd", "+::::::\n:x:5:\n#\na:x:4294967295:b\nc:x:4294967295:0:::\nd:x:0:+7:,\n"),
    ] {
        write("accounts", name, text.as_bytes());
    }
}

fn archives() {
    for (name, text) in [
        ("native", NATIVE.to_owned()),
        ("low-order", LOW_ORDER.to_owned()),
        ("small-order", SMALL_ORDER.to_owned()),
        ("ssh", format!("{SSH} alice@rust\n")),
        ("rsa", RSA.to_owned()),
        ("several", format!(" {NATIVE}\n{SSH}\n{NATIVE}\n")),
        ("unsupported", "ssh-dss AAAAB3NzaC1kc3MAAACBAAAA".to_owned()),
        ("plugin", "age1plugin1qqq".to_owned()),
        ("secret", "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZ".to_owned()),
    ] {
        write("archive_recipients", name, text.as_bytes());
    }
    write("archive_sealed", "empty", &[0, 40, 3]);
    for name in ["escrow", "full"] {
        let archive = std::fs::read(super::folder("archive").join(name)).unwrap();
        write("archive_sealed", name, &[&[0, 200, 3], archive.as_slice()].concat());
    }
    let header = "age-encryption.org/v1\n-> X25519 abc\nbody\n-> x-grease 1\n\n-> ssh-rsa x\nbody\nbody\n--- mac\npayload";
    write("archive_sealed", "header", header.as_bytes());
    write("archive_sealed", "passphrase", b"age-encryption.org/v1\n-> scrypt abc 20\nbody\n--- mac\n");
}

fn json() {
    let text = |key, payload: &[u8]| {
        let header = Header::new(Suite::Aes256Gcm, GROUP, key, [0x5a; 32], 4096).unwrap().encode();
        STANDARD.encode([&header, payload].concat())
    };
    let (old, current) = (text(KeyId([7; 16]), &[1; 48]), text(KeyId([0x99; 16]), &[1; 48]));
    let (short, escaped) = (text(KeyId([8; 16]), b""), old.replace('/', "\\/").replace('A', "\\u0041"));
    for (name, line) in [
        ("plain", format!("{{\"id\":7,\"blob\":\"{old}\"}}\n")),
        ("current", format!("{{\"id\":7,\"blob\":\"{current}\"}}\n\n")),
        (
            "deep",
            format!(
                " {{\"id\":\"b\\u00f6b\",\"deep\": {{\"x\":1,\"blob\" :\"{short}\"}},\"list\":[0, \"{old}\"]}} \r\n"
            ),
        ),
        ("escaped", format!("{{\"id\":true,\"other\":\"{old}\",\"blob\":\"{escaped}\",\"f\":-1.50e3}}")),
        (
            "twice",
            format!("{{\"id\":7,\"blob\":\"{old}\",\"blob\":\"{old}\"}}\n{{\"id\":1,\"blob\":\"x\"}}\n"),
        ),
        ("without-id", format!("{{\"blob\":\"{old}\"}}\n{{\"id\":{{}},\"blob\":\"{old}\"}}\n")),
        (
            "long",
            format!(
                "{{\"id\":7,\"pad\":\"{}\",\"blob\":\"{old}\"}}\n{{\"id\":7,\"blob\":\"{old}\"}}",
                "x".repeat(2100)
            ),
        ),
    ] {
        write("json_lines", name, line.as_bytes());
    }
    for (name, text) in [
        ("name", "a\n{\"a\":\"\\u0041\\/\"}"),
        ("deep", "/b/c~1d/1/~0e\n{\"b\":{\"c/d\":[1,{\"~e\":\"x\"}]},\"n\":null}"),
        ("index", "/0/01\n[[1,2],true]"),
        ("twice", "/a/b\n{\"a\":{\"b\":1,\"\\u0062\":2}}"),
        ("numbers", "/f\n{\"f\":-1.50e999}"),
    ] {
        write("json_pointer", name, text.as_bytes());
    }
}

fn locations() {
    for (name, text) in [
        ("folder", "dir:/var/lib/dkm"),
        ("root-keys", "dir:a b?root-keys=/c?d=e"),
        ("ad", "ad://x"),
        ("none", "dir:?&="),
    ] {
        write("location", name, text.as_bytes());
    }
    let path = std::path::Path::new;
    let manifest = |root_keys| write_manifest(path("/srv/dkm"), root_keys).unwrap();
    write("manifest", "sibling", manifest(None).as_bytes());
    write("manifest", "elsewhere", manifest(Some(path("/safe/keys"))).as_bytes());
    write("manifest", "version", manifest(None).replacen(" 1\n", " 2\n", 1).as_bytes());
    write("manifest", "path", b"/srv/dkm\0/safe/keys");
    write("manifest", "carriage-return", b"/srv/dkm\0/safe/keys\r");
}
