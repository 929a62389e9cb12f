use super::*;
use crate::security::{Domain, Trustees};

const CREATOR: &str = "S-1-5-21-1-2-3-1200";
const CANONICAL: &str = "O:S-1-5-21-1-2-3-1200G:DAD:PAI(A;;GA;;;SY)(A;;RPRC;;;S-1-5-21-1-2-3-1100)(A;;RC;;;OW)\
                         (A;;RCWD;;;S-1-5-21-1-2-3-1400)";

fn sid(text: &str) -> Sid {
    text.parse().unwrap()
}

fn trustees() -> Trustees {
    Trustees {
        domain: Domain::single(sid("S-1-5-21-1-2-3")),
        readers: sid("S-1-5-21-1-2-3-1100"),
        former: Vec::new(),
        creators: vec![sid(CREATOR)],
        owners: vec![sid("S-1-5-21-1-2-3-1300")],
        recovery: sid("S-1-5-21-1-2-3-1400"),
        erasers: Vec::new(),
        administrators: vec![sid("S-1-5-21-1-2-3-512")],
        auditors: Vec::new(),
        elevators: Vec::new(),
        elevated: None,
    }
}

/// A group that nobody looks on at: its keys' descriptors are short.
fn alone() -> Trustees {
    Trustees { owners: Vec::new(), administrators: Vec::new(), ..trustees() }
}

/// The deviations of a key's descriptor, in words, those that widen with a `!`.
fn of_key(sddl: &str) -> Vec<String> {
    let found = SecurityDescriptor::from_sddl(sddl, Some(&trustees().domain)).unwrap();
    words(&compare(&found, &alone().key_record(sid(CREATOR))))
}

fn words(deviations: &[Deviation]) -> Vec<String> {
    deviations.iter().map(|each| format!("{}{each}", if each.widens() { "!" } else { "" })).collect()
}

#[test]
fn what_means_the_same_is_the_template() {
    let full = "CCDCLCSWRPWPDTLOCRSDRCWDWO";
    for same in [
        CANONICAL.to_owned(),
        CANONICAL.replace("PAI", "P"),
        CANONICAL.replace("G:DA", ""),
        CANONICAL.replace("GA;;;SY", &format!("{full};;;SY")),
        CANONICAL.replace(
            "(A;;RPRC;;;S-1-5-21-1-2-3-1100)",
            "(A;;RP;;;S-1-5-21-1-2-3-1100)(A;ID;RC;;;S-1-5-21-1-2-3-1100)",
        ),
        CANONICAL.replace("(A;;RC;;;OW)", "") + "(A;OI;RC;;;OW)",
        CANONICAL.to_owned() + "(A;;;;;WD)",
        CANONICAL.to_owned() + "(A;IO;GA;;;WD)",
        CANONICAL.to_owned() + "(OA;;RP;5cb41ed0-0e4c-11d0-a286-00aa003049e2;;S-1-5-21-1-2-3-1100)",
        CANONICAL.to_owned() + "S:(AU;SA;RP;;;WD)",
    ] {
        assert_eq!(of_key(&same), Vec::<String>::new(), "{same}");
    }
}

#[test]
fn more_access_is_told_from_less() {
    let add = |entry: &str| of_key(&format!("{CANONICAL}{entry}"));
    assert_eq!(add("(A;;RP;;;AU)"), ["!an unexpected trustee: RP to AU"]);
    assert_eq!(add("(A;;GR;;;WD)"), ["!an unexpected trustee: LCRPLORC to WD"]);
    assert_eq!(add("(A;CIIO;RP;;;WD)"), ["!an unexpected trustee: RP to WD by inheritance"]);
    assert_eq!(
        add("(A;;WP;;;S-1-5-21-1-2-3-1100)"),
        ["!more rights than the template gives: WP to S-1-5-21-1-2-3-1100"]
    );
    assert_eq!(add("(A;;WD;;;OW)"), ["!more rights than the template gives: WD to OW"]);
    assert_eq!(
        add("(OA;;WP;8d3bca50-1d7e-11d0-a081-00aa006c33ed;;S-1-5-21-1-2-3-1200)"),
        ["!an unexpected trustee: WP to S-1-5-21-1-2-3-1200 on 8d3bca50-1d7e-11d0-a081-00aa006c33ed"]
    );
    assert_eq!(add("(D;;RP;;;S-1-5-21-1-2-3-9999)"), ["an unexpected refusal: RP to S-1-5-21-1-2-3-9999"]);
    assert_eq!(of_key(&CANONICAL.replace("RPRC", "RP")), ["rights are missing: RC to S-1-5-21-1-2-3-1100"]);
}

#[test]
fn the_frame_counts_too() {
    assert_eq!(of_key(&CANONICAL.replace("PAI", "AI")), ["!the DACL is not protected from inheritance"]);
    assert_eq!(of_key(&CANONICAL.replace("(A;;RC;;;OW)", "")), ["!no OWNER RIGHTS entry limits the owner"]);
    assert_eq!(
        of_key(&CANONICAL.replace("(A;;RC;;;OW)", "(A;CIIO;RC;;;OW)")),
        [
            "!more rights than the template gives: RC to OW by inheritance",
            "!no OWNER RIGHTS entry limits the owner"
        ]
    );
    assert_eq!(of_key(&CANONICAL.replace("RC;;;OW", ";;;OW")), ["rights are missing: RC to OW"]);
    assert_eq!(of_key(&CANONICAL.replace("O:S-1-5-21-1-2-3-1200", "O:DA")), ["!owned by S-1-5-21-1-2-3-512"]);
    assert_eq!(of_key(&CANONICAL.replace("O:S-1-5-21-1-2-3-1200", "")), ["!owned by nobody"]);
    let no_dacl = ["!there is no DACL: everyone may do everything"];
    assert_eq!(of_key("O:S-1-5-21-1-2-3-1200"), no_dacl);
    assert_eq!(of_key("O:S-1-5-21-1-2-3-1200D:PNO_ACCESS_CONTROL"), no_dacl);
    assert_eq!(of_key("O:S-1-5-21-1-2-3-1200D:P").len(), 4);
}

#[test]
fn any_owner_is_right_if_the_template_says_so() {
    let template = alone().key_record(sid(CREATOR)).of_any_owner();
    let text = CANONICAL.replace("O:S-1-5-21-1-2-3-1200", "O:DA");
    let found = SecurityDescriptor::from_sddl(&text, Some(&trustees().domain)).unwrap();
    assert_eq!(compare(&found, &template), []);
}

#[test]
fn conditional_entries_are_never_right() {
    let template = alone().key_record(sid(CREATOR));
    let mut found = template.descriptor.clone();
    if let AclSlot::Present(acl) = &mut found.dacl {
        let body = vec![0; 16];
        acl.entries.push(Ace::Opaque(crate::security::Opaque { kind: 9, flags: AceFlags::NONE, body }));
    }
    assert_eq!(compare(&found, &template), [Deviation::UnknownEntry { kind: 9 }]);
}

#[test]
fn refusals_have_to_be_there_and_first() {
    let template = trustees().readers_group(sid("S-1-5-21-1-2-3-512"));
    let mut found = template.descriptor.clone();
    assert_eq!(compare(&found, &template), []);
    let AclSlot::Present(acl) = &mut found.dacl else { panic!("no DACL") };
    acl.entries.rotate_left(1);
    assert_eq!(compare(&found, &template), [Deviation::Order]);
    let AclSlot::Present(acl) = &mut found.dacl else { panic!("no DACL") };
    acl.entries.pop();
    assert_eq!(words(&compare(&found, &template)), ["!a refusal is missing: DTSD to WD"]);
}

#[test]
fn every_template_is_its_own() {
    let (trustees, owner) = (trustees(), sid(CREATOR));
    let listers = [trustees.readers];
    for template in [
        trustees.group(owner),
        trustees.keys(owner).audited(),
        trustees.control(owner),
        trustees.control_record(owner),
        trustees.readers_group(owner),
        trustees.recovery_group(owner),
        crate::security::template::container(&trustees.domain, owner, &trustees.administrators, &listers),
    ] {
        assert_eq!(compare(&template.descriptor, &template), []);
    }
}
