use super::*;
use crate::security::guid::{
    ATTRIBUTE_MEMBER, ATTRIBUTE_THUMBNAIL_PHOTO, CLASS_CONTACT, CLASS_GROUP, CLASS_USER, RIGHT_RESET_PASSWORD,
};
use crate::security::{Domain, Trustees};

/// The property set Personal Information (MS-ADTS §3.1.1.2.3.3).
const PERSONAL: Guid =
    Guid::new(0x77b5b886, 0x944a, 0x11d1, [0xae, 0xbd, 0x00, 0x00, 0xf8, 0x03, 0x67, 0xc1]);

fn sid(rid: u32) -> Sid {
    Sid::new(5, &[21, 1, 2, 3, rid]).unwrap()
}

fn descriptor(sddl: &str) -> SecurityDescriptor {
    let domain = Domain::single("S-1-5-21-1-2-3".parse().unwrap());
    SecurityDescriptor::from_sddl(&sddl.replace('#', "S-1-5-21-1-2-3-"), Some(&domain)).unwrap()
}

fn on(sddl: &str, token: &Token) -> String {
    Access::new(&descriptor(sddl), token, OwnerRights::Honoured).on_object().to_string()
}

#[test]
fn the_first_entry_that_speaks_of_a_right_decides() {
    let token = Token::authenticated([sid(1000)]);
    assert_eq!(on("D:(D;;RP;;;#1000)(A;;RPWP;;;AU)", &token), "WP");
    assert_eq!(on("D:(A;;RPWP;;;AU)(D;;RP;;;#1000)", &token), "RPWP");
    assert_eq!(on("D:(A;IO;RP;;;AU)(A;;WP;;;#1001)", &token), "");
    assert_eq!(on("D:(D;CIIO;RP;;;AU)(A;;GR;;;#1000)", &token), "LCRPLORC");
    assert_eq!(on("D:", &token), "");
    assert_eq!(on("D:NO_ACCESS_CONTROL", &token), "CCDCLCSWRPWPDTLOCRSDRCWDWO");
    assert_eq!(on("O:SY", &token), "CCDCLCSWRPWPDTLOCRSDRCWDWO");
    assert_eq!(on("D:(A;;0x1000010;;;AU)", &token), "RP");
}

#[test]
fn the_owner_is_limited_by_owner_rights_where_they_are_honoured() {
    let token = Token::new([sid(1000)]);
    assert_eq!(on("O:#1000D:(D;;WD;;;#1000)", &token), "RCWD");
    assert_eq!(on("O:#1000D:(A;;RC;;;OW)", &token), "RC");
    assert_eq!(on("O:#1000D:(A;;;;;OW)", &token), "");
    assert_eq!(on("O:#1000D:(A;CIIO;RC;;;OW)", &token), "RCWD");
    assert_eq!(on("O:#1001D:(A;;RC;;;OW)", &token), "");
    let limited = descriptor("O:#1000D:(A;;RPRC;;;OW)");
    let samba = Access::new(&limited, &token, OwnerRights::Ignored);
    assert!(samba.may_write_dacl() && samba.may_read_descriptor() && !samba.may_delete());
    assert_eq!(samba.on_object().to_string(), "RCWD");
}

#[test]
fn a_privilege_takes_over() {
    let mut token = Token::new([sid(512)]);
    token.takes_ownership = true;
    assert_eq!(on("O:SYD:(D;;WO;;;WD)", &token), "WO");
}

#[test]
fn an_entry_with_a_guid_speaks_of_that_part() {
    let token = Token::new([sid(1000)]);
    let by = |entry: String| {
        let descriptor = descriptor(&format!("D:{entry}"));
        let access = Access::new(&descriptor, &token, OwnerRights::Honoured).of_class(CLASS_USER);
        let whole = access.on_object().contains(AccessMask::READ_PROPERTY);
        (
            access.may_read(ATTRIBUTE_THUMBNAIL_PHOTO, Some(PERSONAL)),
            access.may_read(ATTRIBUTE_MEMBER, None),
            whole,
        )
    };
    assert_eq!(by(format!("(OA;;RP;{ATTRIBUTE_THUMBNAIL_PHOTO};;#1000)")), (true, false, false));
    assert_eq!(by(format!("(OA;;RP;{PERSONAL};;#1000)")), (true, false, false));
    assert_eq!(by(format!("(OA;;RP;{CLASS_USER};;#1000)")), (true, true, true));
    assert_eq!(by(format!("(OA;;RP;{CLASS_GROUP};;#1000)")), (false, false, false));
    assert_eq!(by("(OA;;RP;;;#1000)".to_owned()), (true, true, true));
    assert_eq!(by(format!("(OD;;RP;{PERSONAL};;#1000)(A;;RP;;;#1000)")), (false, true, true));
    assert_eq!(by(format!("(OD;;RP;{ATTRIBUTE_MEMBER};;#1000)(A;;RP;;;#1000)")), (true, false, true));
}

#[test]
fn children_and_extended_rights_go_by_their_guid() {
    let token = Token::new([sid(1000)]);
    let held = descriptor(&format!(
        "D:(OA;;CCDC;{CLASS_CONTACT};;#1000)(OA;;CR;{RIGHT_RESET_PASSWORD};;#1000)(OA;;SW;{ATTRIBUTE_MEMBER};;#1000)\
         (A;;WPDTWO;;;#1000)"
    ));
    let access = Access::new(&held, &token, OwnerRights::Honoured);
    assert!(access.may_create_child(CLASS_CONTACT) && !access.may_create_child(CLASS_GROUP));
    assert!(access.may_delete_child(CLASS_CONTACT) && !access.may_delete_child(CLASS_GROUP));
    assert!(access.control_access(RIGHT_RESET_PASSWORD) && !access.control_access(PERSONAL));
    assert!(access.may_write_validated(ATTRIBUTE_MEMBER) && !access.may_write_validated(PERSONAL));
    assert!(access.may_write(ATTRIBUTE_MEMBER, None) && !access.may_read(ATTRIBUTE_MEMBER, None));
    assert!(access.may_delete_tree() && access.may_write_owner());
    assert!(!access.may_delete() && !access.may_list() && !access.may_write_dacl());
}

#[test]
fn an_object_may_be_its_own_trustee() {
    let token = Token::new([sid(1000)]);
    let held = descriptor("D:(A;;WP;;;PS)");
    let access = Access::new(&held, &token, OwnerRights::Honoured);
    assert!(access.on_object().is_empty());
    assert_eq!(access.of_principal(sid(1000)).on_object(), AccessMask::WRITE_PROPERTY);
    assert!(access.of_principal(sid(1001)).on_object().is_empty());
}

#[test]
fn conditional_entries_are_named_and_not_counted() {
    let mut held = descriptor("D:(A;;RP;;;WD)");
    if let AclSlot::Present(acl) = &mut held.dacl {
        let flags = crate::security::AceFlags::NONE;
        acl.entries.push(Ace::Opaque(crate::security::Opaque { kind: 9, flags, body: vec![0xff; 16] }));
    }
    let token = Token::authenticated([]);
    let access = Access::new(&held, &token, OwnerRights::Honoured);
    assert_eq!(access.unknown_entries(), [9]);
    assert_eq!(access.on_object(), AccessMask::READ_PROPERTY);
}

#[test]
fn the_templates_do_what_they_say() {
    let trustees = Trustees {
        domain: Domain::single(Sid::new(5, &[21, 1, 2, 3]).unwrap()),
        readers: sid(1100),
        former: Vec::new(),
        creators: vec![sid(1200)],
        owners: vec![sid(1300)],
        recovery: sid(1400),
        erasers: Vec::new(),
        administrators: vec![sid(512)],
        auditors: Vec::new(),
        elevators: Vec::new(),
        elevated: None,
    };
    let reader = Token::authenticated([sid(2000), sid(1100)]);
    let creator = Token::authenticated([sid(1200), sid(1100)]);
    let owner = Token::authenticated([sid(1300)]);
    let admin =
        Token { takes_ownership: true, ..Token::authenticated([sid(512), Sid::BUILTIN_ADMINISTRATORS]) };
    let outsider = Token::authenticated([sid(3000)]);
    let recovery = Token::authenticated([sid(1400)]);

    let key = trustees.key_record(sid(1200)).descriptor;
    let of = |token, owner_rights| Access::new(&key, token, owner_rights).of_class(CLASS_CONTACT);
    let rights = |token| of(token, OwnerRights::Honoured).on_object().to_string();
    assert_eq!(rights(&reader), "RPRC");
    assert_eq!(rights(&creator), "RPRC");
    // What more they are shown is for single attributes, none of which holds the key.
    assert_eq!(rights(&owner), "RC");
    assert_eq!(rights(&admin), "RCWO");
    for onlooker in [&owner, &admin] {
        assert!(!of(onlooker, OwnerRights::Ignored).may_read(ATTRIBUTE_THUMBNAIL_PHOTO, Some(PERSONAL)));
    }
    assert_eq!(rights(&outsider), "");
    assert_eq!(rights(&recovery), "RCWD");
    assert!(of(&creator, OwnerRights::Ignored).may_write_dacl());
    assert!(of(&reader, OwnerRights::Ignored).may_read(ATTRIBUTE_THUMBNAIL_PHOTO, Some(PERSONAL)));

    let (keys, control) = (trustees.keys(sid(512)).descriptor, trustees.control(sid(512)).descriptor);
    let adds = |room, token| {
        let access = Access::new(room, token, OwnerRights::Honoured);
        (access.may_list(), access.may_create_child(CLASS_CONTACT))
    };
    assert_eq!((adds(&keys, &reader), adds(&control, &reader)), ((true, false), (true, false)));
    assert_eq!((adds(&keys, &creator), adds(&control, &creator)), ((true, true), (true, false)));
    assert_eq!((adds(&keys, &owner), adds(&control, &owner)), ((true, false), (true, true)));
    assert_eq!((adds(&keys, &outsider), adds(&control, &outsider)), ((false, false), (false, false)));

    let group = trustees.readers_group(sid(512)).descriptor;
    let on_group = |token| {
        let access = Access::new(&group, token, OwnerRights::Honoured).of_class(CLASS_GROUP);
        (access.may_write(ATTRIBUTE_MEMBER, None), access.may_delete() || access.may_delete_tree())
    };
    assert_eq!(on_group(&owner), (true, false));
    assert_eq!(on_group(&admin), (true, false));
    assert_eq!(on_group(&creator), (false, false));
    assert_eq!(on_group(&Token::authenticated([Sid::SYSTEM])), (true, false));
}
