//! A real domain controller decides on random descriptors as our access check says.
//!
//! Asked are the attributes in which it tells what it would allow (MS-ADTS §3.1.1.4.5): which attributes it would let
//! be written, which children made, which parts of the descriptor changed; and what it returns when it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm_ad::security::{
    Access, AccessMask, AceFlags, AceKind, Acl, AclSlot, Control, Deviation, Entry, Guid, OwnerRights,
    OwnerRule, SecurityDescriptor, Sid, Template, Token, compare, guid,
};
use dkm_testbed::{Domain, Options, Scope};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::samba::sample;

const OBJECTS: usize = 200;
const UNIT: &str = "bf967aa5-0de6-11d0-a285-00aa003049e2";
const PERSONAL: &str = "77b5b886-944a-11d1-aebd-0000f80367c1";
/// In the set Personal Information.
const TELEPHONE: &str = "bf967a49-0de6-11d0-a285-00aa003049e2";
/// In no set on which an entry here speaks.
const DESCRIPTION: &str = "bf967950-0de6-11d0-a285-00aa003049e2";
/// `allowedAttributesEffective`, `allowedChildClassesEffective`, `sDRightsEffective`: what the account asks for.
const ANSWERS: [&str; 3] = [
    "9a7ad941-ca53-11d1-bbd0-0080c76670c0",
    "9a7ad943-ca53-11d1-bbd0-0080c76670c0",
    "e1aea404-cd5b-11d0-afff-0000f80367c1",
];

fn id(text: &str) -> Guid {
    text.parse().unwrap()
}

/// Random entries for these trustees on what is asked for.
fn entries(trustees: Vec<Sid>) -> impl Strategy<Value = Vec<Entry>> {
    let kind = prop_oneof![3 => Just(AceKind::Allow), 2 => Just(AceKind::Deny)];
    let rights = ["RP", "WP", "CC", "WD", "WO", "RPWP", "CCDCLCSWRPWPDTLOCRSDRCWDWO", "GA", "GR", "GW"];
    let mask = select(rights.to_vec()).prop_map(|letters| {
        let text = format!("D:(A;;{letters};;;WD)");
        let descriptor = SecurityDescriptor::from_sddl(&text, None).unwrap();
        descriptor.dacl.acl().unwrap().entries[0].entry().unwrap().mask
    });
    let parts = [PERSONAL, TELEPHONE, DESCRIPTION, UNIT].map(id);
    let classes = [guid::CLASS_CONTACT, guid::CLASS_GROUP];
    let part = prop_oneof![Just(None), select([parts.as_slice(), &classes].concat()).prop_map(Some)];
    let flags = prop_oneof![
        4 => Just(AceFlags::NONE),
        1 => Just(AceFlags::CONTAINER_INHERIT),
        1 => Just(AceFlags::CONTAINER_INHERIT | AceFlags::INHERIT_ONLY),
    ];
    let entry = (kind, mask, part, flags, select(trustees)).prop_map(|(kind, mask, part, flags, trustee)| {
        let entry = Entry::new(kind, mask, trustee).flagged(flags);
        part.map_or(entry.clone(), |part| entry.on(part))
    });
    vec(entry, 0..6)
}

/// What the account has `ldapsearch` read below `base`: values by attribute, by name of the object.
fn read(
    domain: &Domain,
    cache: &std::path::Path,
    base: &str,
) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let attributes = ["ou", "telephoneNumber", "description", "allowedAttributesEffective"];
    let output = Command::new("ldapsearch")
        .envs(domain.env_with(cache))
        .args([
            "-LLL",
            "-Q",
            "-N",
            "-Y",
            "GSSAPI",
            "-o",
            "ldif-wrap=no",
            "-s",
            "one",
            "-H",
            &domain.ldap_url(),
            "-b",
            base,
        ])
        .args(attributes)
        .args(["allowedChildClassesEffective", "sDRightsEffective"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut found: BTreeMap<_, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for object in String::from_utf8(output.stdout).unwrap().split("\n\n") {
        let mut lines = object.lines().filter_map(|line| line.split_once(": "));
        let Some(("dn", dn)) = lines.next() else { continue };
        let values = found.entry(dn.split(',').next().unwrap().to_owned()).or_default();
        for (name, value) in lines {
            values.entry(name.to_owned()).or_default().insert(value.to_owned());
        }
    }
    found
}

#[test]
fn a_domain_controller_decides_as_we_do() {
    if let Err(missing) = Domain::available() {
        eprintln!("SKIPPED: no domain can be run here: {missing}");
        return;
    }
    let domain = Domain::start(&Options::default()).unwrap();
    let group = domain.add_group("some").unwrap();
    let member = domain.add_user("member").unwrap();
    let other = domain.add_user("other").unwrap();
    domain.add_member(&group, &member.dn).unwrap();
    let sid = |text: &str| text.parse::<Sid>().unwrap();
    let (group, account, other) = (sid(&group.sid), sid(&member.sid), sid(&other.sid));
    let token = Token::authenticated([account, group]);

    let base = format!("OU=random,{}", domain.base());
    let ask = ANSWERS.map(|answer| Entry::allow(AccessMask::READ_PROPERTY, account).on(id(answer)));
    let frame = SecurityDescriptor {
        control: Control::DACL_PROTECTED,
        owner: Some(Sid::SYSTEM),
        group: Some(Sid::SYSTEM),
        dacl: AclSlot::Present(Acl::new([Entry::allow(AccessMask::READ, account)])),
        ..SecurityDescriptor::default()
    };
    let add = |dn: &str, more: &str, descriptor: &SecurityDescriptor| {
        let descriptor = STANDARD.encode(descriptor.to_bytes().unwrap());
        format!("dn: {dn}\nobjectClass: organizationalUnit\n{more}nTSecurityDescriptor:: {descriptor}\n\n")
    };
    let mut ldif = add(&base, "", &frame);
    let trustees =
        vec![account, group, other, Sid::EVERYONE, Sid::AUTHENTICATED_USERS, Sid::OWNER_RIGHTS, Sid::SELF];
    let owner = select(vec![account, group, other, Sid::SYSTEM]);
    let descriptors: Vec<_> = sample(&(owner, entries(trustees)), OBJECTS)
        .into_iter()
        .map(|(owner, entries)| {
            let dacl = AclSlot::Present(Acl::new(ask.iter().cloned().chain(entries)));
            SecurityDescriptor { owner: Some(owner), dacl, ..frame.clone() }
        })
        .collect();
    for (number, descriptor) in descriptors.iter().enumerate() {
        let more = "telephoneNumber: 1\ndescription: a\n";
        ldif.push_str(&add(&format!("OU=o{number},{base}"), more, descriptor));
    }
    domain.modify_ldif(&ldif).unwrap();

    let found = read(&domain, &domain.ccache(&member, None).unwrap(), &base);
    let none = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for (number, descriptor) in descriptors.iter().enumerate() {
        let object = found.get(&format!("OU=o{number}")).unwrap_or_else(|| panic!("o{number} is invisible"));
        let values = |name: &str| object.get(name).unwrap_or(&none);
        let writable = values("allowedAttributesEffective");
        let children = values("allowedChildClassesEffective");
        let parts: u32 = values("sDRightsEffective").first().map_or(0, |bits| bits.parse().unwrap());
        let theirs = [
            object.contains_key("telephoneNumber"),
            object.contains_key("description"),
            writable.contains("telephoneNumber"),
            writable.contains("description"),
            children.contains("contact"),
            children.contains("group"),
            parts & 1 != 0,
            parts & 4 != 0,
        ];
        let access = Access::new(descriptor, &token, OwnerRights::Ignored).of_class(id(UNIT));
        let ours = [
            access.may_read(id(TELEPHONE), Some(id(PERSONAL))),
            access.may_read(id(DESCRIPTION), None),
            access.may_write(id(TELEPHONE), Some(id(PERSONAL))),
            access.may_write(id(DESCRIPTION), None),
            access.may_create_child(guid::CLASS_CONTACT),
            access.may_create_child(guid::CLASS_GROUP),
            access.may_write_owner(),
            access.may_write_dacl(),
        ];
        assert_eq!(theirs, ours, "{}", descriptor.to_sddl(None).unwrap());
        seen.insert(ours);
    }
    // Enough different answers for the agreement to say something.
    assert!(seen.len() > 20, "{}", seen.len());

    // It keeps generic rights as those that they map to, and may split an entry: still no deviation.
    let mut rewritten = 0;
    let stored = domain.search_with(
        &base,
        Scope::One,
        "(objectClass=*)",
        &["ou", "nTSecurityDescriptor"],
        &["sd_flags:1:7"],
    );
    for object in stored.unwrap() {
        let number: usize = object.text("ou").unwrap()[1..].parse().unwrap();
        let kept = SecurityDescriptor::parse(&object.attributes["nTSecurityDescriptor"][0]).unwrap();
        let owner = OwnerRule::OneOf(descriptors[number].owner.into_iter().collect());
        let template = Template { descriptor: descriptors[number].clone(), owner };
        // Refusals stand anywhere in these templates.
        let deviations = compare(&kept, &template).into_iter().filter(|each| *each != Deviation::Order);
        assert_eq!(deviations.collect::<Vec<_>>(), [], "{}", kept.to_sddl(None).unwrap());
        rewritten += usize::from(kept.dacl != template.descriptor.dacl);
    }
    assert!(rewritten > 20, "{rewritten}");
}
