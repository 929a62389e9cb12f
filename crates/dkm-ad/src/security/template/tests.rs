use super::*;

fn sid(text: &str) -> Sid {
    text.parse().unwrap()
}

fn trustees() -> Trustees {
    Trustees {
        domain: Domain::single(sid("S-1-5-21-1-2-3")),
        readers: sid("S-1-5-21-1-2-3-1100"),
        former: Vec::new(),
        creators: vec![sid("S-1-5-21-1-2-3-1200")],
        owners: vec![sid("S-1-5-21-1-2-3-1300")],
        recovery: sid("S-1-5-21-1-2-3-1400"),
        erasers: Vec::new(),
        administrators: vec![sid("S-1-5-21-1-2-3-512")],
        auditors: Vec::new(),
        elevators: Vec::new(),
        elevated: None,
    }
}

/// What an onlooker reads of a key.
fn shown(who: &str) -> String {
    let parts = [
        "e48d0154-bcf8-11d1-8702-00c04fb96050",
        "bf967953-0de6-11d0-a285-00aa003049e2",
        "bf96793e-0de6-11d0-a285-00aa003049e2",
        "bf967a78-0de6-11d0-a285-00aa003049e2",
        "bf967a6f-0de6-11d0-a285-00aa003049e2",
    ];
    let parts = parts.map(|part| format!("(OA;;RP;{part};;{who})")).concat();
    format!("(A;;RC;;;{who}){parts}")
}

fn text(template: &Template) -> String {
    let domain = trustees().domain;
    template.descriptor.to_sddl(Some(&domain)).unwrap().replace("S-1-5-21-1-2-3-", "#")
}

#[test]
fn records_are_read_by_readers_and_written_by_nobody() {
    let mut trustees = trustees();
    let creator = trustees.creators[0];
    assert_eq!(
        text(&trustees.key_record(creator)),
        format!(
            "O:#1200G:DAD:PAI(A;;GA;;;SY)(A;;RPRC;;;#1100)(A;;RC;;;OW){}{}(A;;RCWD;;;#1400)",
            shown("#1300"),
            shown("DA")
        )
    );
    assert_eq!(
        text(&trustees.control_record(trustees.owners[0])),
        "O:#1300G:DAD:PAI(A;;GA;;;SY)(A;;RPRC;;;#1100)(A;;RC;;;OW)(A;;RPRC;;;#1300)(A;;RPRC;;;DA)(A;;RPRCWD;;;#1400)"
    );
    trustees.erasers = trustees.owners.clone();
    let room = text(&trustees.keys(creator));
    assert!(room.ends_with("(OA;;DC;5cb41ed0-0e4c-11d0-a286-00aa003049e2;;#1300)"), "{room}");
}

#[test]
fn while_a_readers_group_is_replaced_objects_may_name_both() {
    let trustees = Trustees { former: vec![sid("S-1-5-21-1-2-3-1099")], ..trustees() };
    let creator = trustees.creators[0];
    let key = text(&trustees.key_record(creator));
    assert!(
        key.starts_with("O:#1200G:DAD:PAI(A;;GA;;;SY)(A;;RPRC;;;#1100)(A;;RPRC;;;#1099)(A;;RC;;;OW)"),
        "{key}"
    );
    assert!(text(&trustees.keys(creator)).contains("(A;;LCRPLORC;;;#1100)(A;;LCRPLORC;;;#1099)"));
    assert!(!text(&trustees.settled().key_record(creator)).contains("#1099"));
}

#[test]
fn rooms_are_read_and_added_to() {
    let owner = sid("S-1-5-21-1-2-3-512");
    let room = "O:DAG:DAD:PAI(A;;GA;;;SY)(A;;RC;;;OW)(A;;LCRPLORC;;;#1100)(A;;LCRPLORC;;;#1300)\
                (A;;LCRPLORC;;;DA)(A;;LCRPLORCWD;;;#1400)";
    let contact = "5cb41ed0-0e4c-11d0-a286-00aa003049e2";
    let description = "bf967950-0de6-11d0-a285-00aa003049e2";
    let trustees = trustees();
    assert_eq!(text(&trustees.keys(owner)), format!("{room}(OA;;CC;{contact};;#1200)"));
    assert_eq!(
        text(&trustees.control(owner)),
        format!("{room}(OA;;CC;{contact};;#1300)(OA;;WP;{description};;#1400)")
    );
    let group = format!("{room}(OA;;CC;bf967a8b-0de6-11d0-a285-00aa003049e2;;DA)");
    assert_eq!(text(&trustees.group(owner)), group);
    assert_eq!(text(&trustees.group(owner).audited()), format!("{group}S:(AU;CISA;RP;;;WD)"));
}

#[test]
fn auditors_see_what_administrators_see_and_add_nothing() {
    let with = Trustees { auditors: vec![sid("S-1-5-21-1-2-3-1500")], ..trustees() };
    let owner = with.owners[0];
    let added = |template: fn(&Trustees, Sid) -> Template, entry: &str| {
        let (all, before) = (text(&template(&with, owner)), text(&template(&trustees(), owner)));
        assert!(all.contains(entry), "{all}");
        assert_eq!(all.replacen(entry, "", 1), before);
    };
    for room in [Trustees::group, Trustees::keys, Trustees::control, Trustees::readers_group] {
        added(room, "(A;;LCRPLORC;;;#1500)");
    }
    added(Trustees::recovery_group, "(A;;LCRPLORC;;;#1500)");
    added(Trustees::control_record, "(A;;RPRC;;;#1500)");
    added(Trustees::key_record, &shown("#1500"));
    // Who is it twice stands there once.
    let twice = Trustees { auditors: with.owners.clone(), ..trustees() };
    assert_eq!(text(&twice.key_record(owner)), text(&trustees().key_record(owner)));
}

#[test]
fn elevators_write_members_and_control_records_and_have_no_part_in_keys() {
    let elevators = vec![sid("S-1-5-21-1-2-3-1600")];
    let with = Trustees { elevators, elevated: Some(sid("S-1-5-21-1-2-3-1601")), ..trustees() };
    let owner = with.owners[0];
    let added = |template: fn(&Trustees, Sid) -> Template, entries: &[&str]| {
        let (mut all, before) = (text(&template(&with, owner)), text(&template(&trustees(), owner)));
        for entry in entries {
            assert!(all.contains(entry), "{all}");
            all = all.replacen(entry, "", 1);
        }
        assert_eq!(all, before);
    };
    let contact = "5cb41ed0-0e4c-11d0-a286-00aa003049e2";
    let member = "bf9679c0-0de6-11d0-a285-00aa003049e2";
    let see = "(A;;LCRPLORC;;;#1600)";
    added(Trustees::key_record, &[]);
    added(Trustees::recovery_group, &[]);
    added(Trustees::group, &[see]);
    added(Trustees::readers_group, &[see]);
    added(Trustees::keys, &[see, "(A;;WD;;;#1600)"]);
    added(Trustees::control, &[see]);
    let exposures = text(&with.exposures(owner));
    assert!(exposures.contains(&format!("(OA;;CC;{contact};;#1600)")), "{exposures}");
    assert_eq!(exposures.matches(contact).count(), 1, "{exposures}");
    added(Trustees::control_record, &["(A;;RPRC;;;#1600)"]);
    let elevated = text(&with.elevated_group(owner));
    let readers = text(&with.readers_group(owner));
    assert_eq!(elevated.strip_prefix(&readers), Some(&*format!("(OA;;WP;{member};;#1600)")));
}

#[test]
fn temporary_accounts_are_their_elevators_alone() {
    let (admins, elevator) = (sid("S-1-5-21-1-2-3-512"), sid("S-1-5-21-1-2-3-1600"));
    let domain = trustees().domain;
    let user = "bf967aba-0de6-11d0-a285-00aa003049e2";
    assert_eq!(
        text(&temporary(&domain, admins, &[admins], &[], &[elevator])),
        format!(
            "O:DAG:DAD:PAI(A;;GA;;;SY)(A;;RC;;;OW)(A;;LCRPLORC;;;DA)(A;;LCRPLORC;;;#1600)\
             (OA;;CCDC;{user};;#1600)"
        )
    );
    assert_eq!(
        text(&temporary_account(&domain, elevator, &[admins], &[elevator])),
        "O:#1600G:DAD:PAI(A;;GA;;;SY)(A;;RC;;;OW)(A;;LCRPLORC;;;DA)(A;;LCRPWPLOSDRC;;;#1600)\
         (OA;;CR;00299570-246d-11d0-a768-00aa006e0529;;#1600)"
    );
}

#[test]
fn the_container_shows_its_groups_to_listers() {
    let admins = sid("S-1-5-21-1-2-3-512");
    let trustees = trustees();
    assert_eq!(
        text(&container(&trustees.domain, admins, &[admins], &[trustees.readers])),
        "O:DAG:DAD:PAI(A;;GA;;;SY)(A;;RC;;;OW)(A;;LCRPLORCWD;;;DA)\
         (OA;;CC;bf967a8b-0de6-11d0-a285-00aa003049e2;;DA)(OA;;CC;bf967a9c-0de6-11d0-a285-00aa003049e2;;DA)\
         (A;;LCRPLORC;;;#1100)"
    );
}

#[test]
fn nobody_deletes_the_readers_group() {
    let owner = sid("S-1-5-21-1-2-3-512");
    let member = "bf9679c0-0de6-11d0-a285-00aa003049e2";
    assert_eq!(
        text(&trustees().readers_group(owner)),
        format!(
            "O:DAG:DAD:PAI(D;;DTSD;;;WD)(A;;GA;;;SY)(A;;RC;;;OW)(A;;LCRPLORC;;;#1100)(A;;LCRPLORC;;;#1300)\
             (A;;LCRPLORC;;;DA)(A;;LCRPLORCWD;;;#1400)(OA;;WP;{member};;#1300)(OA;;WP;{member};;DA)"
        )
    );
    assert_eq!(
        text(&trustees().recovery_group(owner)),
        format!(
            "O:DAG:DAD:PAI(D;;DTSD;;;WD)(A;;GA;;;SY)(A;;RC;;;OW)(A;;LCRPLORC;;;#1100)(A;;LCRPLORC;;;#1300)\
             (A;;LCRPLORC;;;DA)(OA;;WP;{member};;DA)"
        )
    );
}
