//! Random descriptors, of few enough trustees, rights and GUIDs that entries meet.

use dkm_ad::security::{
    AccessMask, Ace, AceFlags, AceKind, Acl, AclSlot, Control, Domain, Entry, Guid, Opaque,
    SecurityDescriptor, Sid, guid,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// The domain of the trustees.
pub(crate) fn domain() -> Domain {
    Domain::single(Sid::new(5, &[21, 1_111_111_111, 2_222_222_222, 3_333_333_333]).unwrap())
}

/// An account or group of the domain.
pub(crate) fn account(rid: u32) -> Sid {
    domain().account(rid).unwrap()
}

/// Trustees that meet often.
pub(crate) fn familiar() -> impl Strategy<Value = Sid> {
    select(vec![
        Sid::SYSTEM,
        Sid::EVERYONE,
        Sid::AUTHENTICATED_USERS,
        Sid::OWNER_RIGHTS,
        Sid::SELF,
        Sid::BUILTIN_ADMINISTRATORS,
        account(512),
        account(519),
        account(1100),
        account(1200),
        account(1300),
        account(1400),
    ])
}

/// Any SID at all, but for those that Samba reads with another authority than the bytes say.
pub(crate) fn sid() -> impl Strategy<Value = Sid> {
    let any = (
        select(vec![0, 1, 3, 5, 15, 16, u64::from(u32::MAX), 1 << 32, (1 << 48) - 1]),
        vec(any::<u32>(), 0..=15),
    );
    prop_oneof![4 => familiar(), 1 => any.prop_map(|(authority, sub)| Sid::new(authority, &sub).unwrap())]
}

fn object() -> impl Strategy<Value = Guid> {
    prop_oneof![
        select(vec![
            guid::CLASS_CONTACT,
            guid::CLASS_GROUP,
            guid::ATTRIBUTE_MEMBER,
            guid::ATTRIBUTE_THUMBNAIL_PHOTO,
            guid::RIGHT_RESET_PASSWORD,
        ]),
        any::<[u8; 16]>().prop_map(Guid::from_bytes),
    ]
}

fn mask() -> impl Strategy<Value = AccessMask> {
    let directory = any::<u32>().prop_map(|bits| AccessMask(bits & AccessMask::ALL.0));
    let one = (0..20_u32).prop_map(|bit| AccessMask(1 << bit));
    let generic = any::<u32>().prop_map(|bits| AccessMask(bits & 0xf00f_01ff));
    prop_oneof![4 => directory, 4 => one, 1 => generic, 1 => any::<u32>().prop_map(AccessMask)]
}

fn kind() -> impl Strategy<Value = AceKind> {
    prop_oneof![4 => Just(AceKind::Allow), 2 => Just(AceKind::Deny), 1 => Just(AceKind::Audit)]
}

/// An entry that SDDL has words for.
pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let flags = prop_oneof![3 => Just(0), 1 => any::<u8>().prop_map(|bits| bits & 0xdf)].prop_map(AceFlags);
    let guids = prop_oneof![
        3 => Just((false, None, None)),
        2 => (Just(true), option::of(object()), option::of(object())),
    ];
    (kind(), flags, mask(), guids, sid()).prop_map(|(kind, flags, mask, guids, trustee)| {
        let (object_form, object, inherited_object) = guids;
        Entry { kind, object_form, flags, mask, object, inherited_object, trustee, data: Vec::new() }
    })
}

/// Any entry that bytes can hold.
fn ace() -> impl Strategy<Value = Ace> {
    let words = |most| vec(any::<[u8; 4]>(), 0..most).prop_map(|words| words.concat());
    let with_data = (entry(), any::<u8>(), words(4))
        .prop_map(|(entry, flags, data)| Ace::Entry(Entry { flags: AceFlags(flags), data, ..entry }));
    let unknown = select(vec![3_u8, 4, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 200]);
    let opaque = (unknown, any::<u8>(), words(12))
        .prop_map(|(kind, flags, body)| Ace::Opaque(Opaque { kind, flags: AceFlags(flags), body }));
    prop_oneof![4 => entry().prop_map(Ace::Entry), 1 => with_data, 1 => opaque]
}

/// Bits of the control word that SDDL names, limited to the lists that are there.
fn named_control(dacl: &AclSlot, sacl: &AclSlot, bits: u16) -> Control {
    let of_dacl = if *dacl == AclSlot::Absent { 0 } else { 0x1500 };
    let of_sacl = if *sacl == AclSlot::Absent { 0 } else { 0x2a00 };
    Control::from_bits(bits & (of_dacl | of_sacl))
}

/// A descriptor that SDDL can say all of. `null` lists are among them only if asked for: Samba has no word for them.
pub(crate) fn expressible(null: bool) -> impl Strategy<Value = SecurityDescriptor> {
    let list = move || {
        let acl = vec(entry(), 0..6).prop_map(|entries| AclSlot::Present(Acl::new(entries)));
        prop_oneof![4 => acl, 1 => Just(AclSlot::Absent), 1 => Just(if null { AclSlot::Null } else { AclSlot::Absent })]
    };
    (option::of(sid()), option::of(sid()), list(), list(), any::<u16>()).prop_map(
        |(owner, group, sacl, dacl, bits)| {
            let control = named_control(&dacl, &sacl, bits);
            SecurityDescriptor { control, resource_manager: 0, owner, group, sacl, dacl }
        },
    )
}

/// Any descriptor that bytes can hold.
pub(crate) fn descriptor() -> impl Strategy<Value = SecurityDescriptor> {
    let list = || {
        let acl = (vec(ace(), 0..6), select(vec![2_u8, 4]));
        let acl = acl.prop_map(|(entries, revision)| AclSlot::Present(Acl { revision, entries }));
        prop_oneof![4 => acl, 1 => Just(AclSlot::Absent), 1 => Just(AclSlot::Null)]
    };
    let frame = (any::<u16>(), any::<u8>(), option::of(sid()), option::of(sid()));
    (frame, list(), list()).prop_map(|((bits, resource_manager, owner, group), sacl, dacl)| {
        let control = Control::from_bits(bits);
        SecurityDescriptor { control, resource_manager, owner, group, sacl, dacl }
    })
}

/// Changes to bytes: where (modulo the length), and the new byte; or a cut.
pub(crate) fn mutations() -> impl Strategy<Value = Vec<(usize, Option<u8>)>> {
    vec((0..4096_usize, prop_oneof![9 => any::<u8>().prop_map(Some), 1 => Just(None)]), 1..5)
}

/// `bytes`, changed.
pub(crate) fn mutated(mut bytes: Vec<u8>, mutations: &[(usize, Option<u8>)]) -> Vec<u8> {
    for (place, change) in mutations {
        if bytes.is_empty() {
            break;
        }
        let at = place % bytes.len();
        match change {
            Some(byte) => bytes[at] = *byte,
            None => bytes.truncate(at),
        }
    }
    bytes
}
