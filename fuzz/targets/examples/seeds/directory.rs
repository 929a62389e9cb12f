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
}
