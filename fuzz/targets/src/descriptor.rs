//! Security descriptors of the directory, in bytes and in text.

use std::collections::BTreeSet;

use dkm_ad::security::{
    Access, AclSlot, Deviation, Domain, OwnerRights, SecurityDescriptor, Sid, Template, Token, Trustees,
    compare, guid,
};

/// Bytes and SDDL say the same after a round trip, and what equals a key's template gives nobody more than that.
pub(crate) fn parse(input: &[u8]) {
    if let Ok(descriptor) = SecurityDescriptor::parse(input) {
        let bytes = descriptor.to_bytes().expect("what was read can be written");
        assert_eq!(SecurityDescriptor::parse(&bytes).as_ref(), Ok(&descriptor));
        if let Ok(text) = descriptor.to_sddl(Some(&domain())) {
            words(&text);
        }
        judge(&descriptor);
    }
    if let Ok(text) = std::str::from_utf8(input) {
        words(text);
    }
}

fn words(text: &str) {
    let domain = domain();
    let Ok(descriptor) = SecurityDescriptor::from_sddl(text, Some(&domain)) else { return };
    let canonical = descriptor.to_sddl(Some(&domain)).expect("what was read can be printed");
    assert_eq!(SecurityDescriptor::from_sddl(&canonical, Some(&domain)).as_ref(), Ok(&descriptor));
    // A list of more than 64 KiB has text and no bytes.
    if let Ok(bytes) = descriptor.to_bytes() {
        assert_eq!(SecurityDescriptor::parse(&bytes).as_ref(), Ok(&descriptor));
    }
    judge(&descriptor);
}

fn judge(descriptor: &SecurityDescriptor) {
    let template = key(account(1200));
    let equal = !compare(descriptor, &template).iter().any(Deviation::widens);
    let mut askers: BTreeSet<Sid> = descriptor.owner.into_iter().collect();
    if let AclSlot::Present(acl) = &descriptor.dacl {
        askers.extend(acl.entries.iter().filter_map(|ace| ace.entry()).map(|entry| entry.trustee).take(16));
    }
    for asker in askers {
        let token = Token::authenticated([asker]);
        for owner_rights in [OwnerRights::Honoured, OwnerRights::Ignored] {
            let rights = |descriptor| {
                let access = Access::new(descriptor, &token, owner_rights).of_class(guid::CLASS_CONTACT);
                [access.on_object(), access.on_attribute(guid::ATTRIBUTE_THUMBNAIL_PHOTO, None)]
            };
            let (found, meant) = (rights(descriptor), rights(&template.descriptor));
            let gains = found.iter().zip(meant).any(|(found, meant)| !meant.contains(*found));
            assert!(!(equal && gains), "{asker} gains {found:?}");
        }
    }
}

fn domain() -> Domain {
    Domain::single(Sid::new(5, &[21, 1, 2, 3]).expect("a domain"))
}

fn account(rid: u32) -> Sid {
    domain().account(rid).expect("an account")
}

fn key(creator: Sid) -> Template {
    let trustees = Trustees {
        domain: domain(),
        readers: account(1100),
        former: Vec::new(),
        creators: vec![creator],
        owners: vec![account(1300)],
        recovery: account(1400),
        erasers: vec![account(1300)],
        administrators: vec![account(512)],
        auditors: Vec::new(),
        elevators: Vec::new(),
        elevated: None,
    };
    trustees.key_record(creator)
}
