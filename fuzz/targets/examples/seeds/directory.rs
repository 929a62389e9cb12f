//! Seeds of what stands in a directory.

use dkm_ad::security::{Domain, SecurityDescriptor, Sid, Trustees, template};

use super::write;

pub(super) fn all() {
    let domain = Domain::single(Sid::new(5, &[21, 1, 2, 3]).unwrap());
    let account = |rid| domain.account(rid).unwrap();
    let trustees = Trustees {
        domain,
        readers: account(1100),
        former: Vec::new(),
        creators: vec![account(1200)],
        owners: vec![account(1300)],
        recovery: account(1400),
        erasers: vec![account(1300)],
        administrators: vec![account(512)],
        auditors: Vec::new(),
        elevators: Vec::new(),
        elevated: None,
    };
    let admins = [account(512)];
    for (name, template) in [
        ("key", trustees.key_record(account(1200))),
        ("control", trustees.control_record(account(1300))),
        ("keys", trustees.keys(admins[0]).audited()),
        ("readers", trustees.readers_group(admins[0])),
        ("container", template::container(&domain, admins[0], &admins, &[account(1100)])),
    ] {
        write("security_descriptor", name, &template.descriptor.to_bytes().unwrap());
        let text = template.descriptor.to_sddl(Some(&domain)).unwrap();
        write("security_descriptor", &format!("{name}-text"), text.as_bytes());
    }
    for (name, text) in [
        ("empty-text", "D:"),
        ("null-text", "O:S-1-0x123456789ABC-1G:SYD:PARAINO_ACCESS_CONTROLS:NO_ACCESS_CONTROL"),
        (
            "odd-text",
            "D:AI(OD;OICINPIOIDSAFA;0xf00ff200;00299570-246d-11d0-a768-00aa006e0529;5cb41ed0-0e4c-11d0-a286-00aa003049e2;PS)(OA;;GAGXGWGR;;;EA)(A;;;;;AN)",
        ),
    ] {
        write("security_descriptor", name, text.as_bytes());
        let descriptor = SecurityDescriptor::from_sddl(text, Some(&domain)).unwrap();
        write("security_descriptor", name.trim_end_matches("-text"), &descriptor.to_bytes().unwrap());
    }
    let conditional = [
        &[
            1, 0, 4, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 4, 0, 40, 0, 1, 0, 0, 0, 9, 2,
            32, 0,
        ],
        [0x10, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'a', b'r', b't', b'x', 0, 0, 0, 0, 0, 0, 0, 0]
            .as_slice(),
    ];
    SecurityDescriptor::parse(&conditional.concat()).unwrap();
    write("security_descriptor", "conditional", &conditional.concat());
    netlogon();
}

/// Answers to an LDAP ping, MS-ADTS §6.3.1.9, as Samba and as a domain controller of a branch give them.
fn netlogon() {
    let head = |kind: u8, flags: u16| {
        let [low, high] = flags.to_le_bytes();
        [&[kind, 0, 0, 0, low, high, 0, 0], [0x47; 16].as_slice()].concat()
    };
    let tail = [5, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    let one: &[u8] =
        b"\x03dkm\x04test\0\xc0\x18\x03dc1\xc0\x18\x03DKM\0\x03DC1\0\0\x17Default-First-Site-Name\0\xc0\x35";
    let two: &[u8] = b"\x03dkm\x04test\0\xc0\x18\x03dc2\xc0\x18\x03DKM\0\x03DC2\0\x03svc\0\x06Branch\0\0";
    for (name, kind, flags, names) in [
        ("samba", 23, 0x11BD, one),
        ("paused", 24, 0x11BD, one),
        ("read-only", 23, 0x10BD, two),
        ("no-client-site", 23, 0x11BD, two),
    ] {
        let answer = [head(kind, flags).as_slice(), names, tail.as_slice()].concat();
        dkm_ad::Presence::parse(&answer).unwrap();
        write("netlogon", name, &answer);
    }
}
