//! The comparison with a template and the access check agree: without a deviation that widens, nobody gains a right.

use dkm_ad::security::{
    Access, AccessMask, AclSlot, Entry, Guid, OwnerRights, SecurityDescriptor, Sid, Template, Token,
    Trustees, compare, guid,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::generate::{account, domain, entry, familiar};

fn templates() -> Vec<Template> {
    let trustees = Trustees {
        domain: domain(),
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
    vec![
        trustees.key_record(account(1200)),
        trustees.control_record(account(1300)),
        trustees.keys(account(512)),
        trustees.control(account(512)),
        trustees.readers_group(account(512)),
        trustees.recovery_group(account(512)),
    ]
}

/// Changes to a template's list: an entry goes, two swap, one comes, or one's rights change.
#[derive(Debug, Clone)]
enum Change {
    Remove(usize),
    Swap(usize, usize),
    Insert(usize, Entry),
    Rights(usize, u32),
}

fn change() -> impl Strategy<Value = Change> {
    let place = 0..16_usize;
    prop_oneof![
        place.clone().prop_map(Change::Remove),
        (place.clone(), place.clone()).prop_map(|(one, other)| Change::Swap(one, other)),
        (place.clone(), entry()).prop_map(|(at, entry)| Change::Insert(at, entry)),
        (place, 0..20_u32).prop_map(|(at, bit)| Change::Rights(at, 1 << bit)),
    ]
}

fn changed(mut descriptor: SecurityDescriptor, changes: &[Change]) -> SecurityDescriptor {
    let AclSlot::Present(acl) = &mut descriptor.dacl else { return descriptor };
    for change in changes {
        let entries = &mut acl.entries;
        if entries.is_empty() {
            break;
        }
        let length = entries.len();
        match change {
            Change::Remove(at) => drop(entries.remove(at % length)),
            Change::Swap(one, other) => entries.swap(one % length, other % length),
            Change::Insert(at, entry) => entries.insert(at % (length + 1), entry.clone().into()),
            Change::Rights(at, bits) => {
                if let dkm_ad::security::Ace::Entry(entry) = &mut entries[at % length] {
                    entry.mask = AccessMask(entry.mask.0 ^ bits);
                }
            }
        }
    }
    descriptor
}

/// All that `token` may do, on the whole and on the parts that entries speak of.
fn answers(descriptor: &SecurityDescriptor, token: &Token, owner_rights: OwnerRights) -> Vec<AccessMask> {
    let access = Access::new(descriptor, token, owner_rights).of_principal(account(1100));
    let mut parts: Vec<Guid> = vec![guid::CLASS_CONTACT, guid::CLASS_GROUP, guid::ATTRIBUTE_MEMBER];
    parts.extend([guid::ATTRIBUTE_THUMBNAIL_PHOTO, guid::RIGHT_RESET_PASSWORD]);
    let on_parts = parts.iter().map(|part| access.on_attribute(*part, Some(guid::CLASS_GROUP)));
    [access.on_object()].into_iter().chain(on_parts).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn nobody_gains_without_a_deviation(
        which in 0..6_usize,
        changes in vec(change(), 0..4),
        sids in vec(familiar(), 0..4),
        honoured in any::<bool>(),
    ) {
        let template = &templates()[which];
        let found = changed(template.descriptor.clone(), &changes);
        let deviations = compare(&found, template);
        let token = Token::new(sids);
        let owner_rights = if honoured { OwnerRights::Honoured } else { OwnerRights::Ignored };
        let more = answers(&found, &token, owner_rights);
        let allowed = answers(&template.descriptor, &token, owner_rights);
        let gains = more.iter().zip(&allowed).any(|(more, allowed)| !allowed.contains(*more));
        if gains {
            prop_assert!(deviations.iter().any(|deviation| deviation.widens()), "{deviations:?}");
        }
        let loses = more.iter().zip(&allowed).any(|(more, allowed)| !more.contains(*allowed));
        if loses {
            prop_assert!(!deviations.is_empty());
        }
    }
}

/// Else the property above would hold of a comparison that always finds something.
#[test]
fn an_untouched_template_has_no_deviation() {
    for template in templates() {
        assert_eq!(compare(&template.descriptor, &template), []);
    }
}

#[test]
fn system_reads_every_key() {
    let token = Token::new([Sid::SYSTEM]);
    let rights = answers(&templates()[0].descriptor, &token, OwnerRights::Honoured);
    assert!(rights.iter().all(|rights| *rights == AccessMask::ALL));
}
