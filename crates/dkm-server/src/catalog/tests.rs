use super::*;

const GROUP: GroupId = GroupId([7; 16]);

fn account(text: &str) -> Account {
    text.parse().unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn catalog(roles: &[(Role, &str)], directory: &[(&str, Kind, &[&str])]) -> Catalog {
    let plain =
        Principal { uids: BTreeSet::new(), administrator: false, auditor: false, enabled: true, sid: None };
    let accounts = ["service:mail", "service:other", "person:alice", "person:bob"];
    Catalog {
        principals: accounts.iter().map(|text| (account(text), plain.clone())).collect(),
        directory: directory
            .iter()
            .map(|(of, kind, members)| {
                let members = members.iter().map(|text| name(text)).collect();
                ((*of).to_owned(), DirectoryGroup { kind: *kind, members, sid: None })
            })
            .collect(),
        groups: BTreeMap::from([(
            GROUP,
            Access {
                founder: account("service:other"),
                announced: true,
                roles: roles.iter().map(|(role, text)| (*role, name(text))).collect(),
            },
        )]),
    }
}

fn rights(catalog: &Catalog, who: &str) -> Rights {
    let who = account(who);
    catalog.rights(GROUP, &who, &catalog.groups_of(&who)).unwrap()
}

#[test]
fn members_come_by_name_and_through_nested_groups() {
    let nested: &[(&str, Kind, &[&str])] =
        &[("outer", Kind::Service, &["group:inner"]), ("inner", Kind::Service, &["service:mail"])];
    let catalog = catalog(&[(Role::Reader, "group:outer"), (Role::Owner, "person:alice")], nested);
    assert_eq!(rights(&catalog, "service:mail"), Rights { read: true, see: true, ..Rights::default() });
    assert_eq!(rights(&catalog, "service:other"), Rights::default());
    assert_eq!(rights(&catalog, "person:alice"), Rights { own: true, see: true, ..Rights::default() });
    assert_eq!(catalog.rights(GroupId([8; 16]), &account("service:mail"), &BTreeSet::new()), None);
}

#[test]
fn creators_read_and_auditors_see() {
    let catalog = catalog(&[(Role::Creator, "service:mail"), (Role::Auditor, "person:bob")], &[]);
    let rights_of_creator = Rights { read: true, create: true, own: false, see: true };
    assert_eq!(rights(&catalog, "service:mail"), rights_of_creator);
    assert_eq!(rights(&catalog, "person:bob"), Rights { see: true, ..Rights::default() });
}

/// What no interface lets in is not believed either if the database says it.
#[test]
fn a_person_reads_no_keys_whatever_the_database_says() {
    let tampered: &[(&str, Kind, &[&str])] = &[("readers", Kind::Service, &["person:alice", "service:mail"])];
    let roles =
        [(Role::Reader, "group:readers"), (Role::Creator, "person:bob"), (Role::Reader, "person:alice")];
    let catalog = catalog(&roles, tampered);
    for who in ["person:alice", "person:bob"] {
        assert_eq!(rights(&catalog, who), Rights::default(), "{who}");
    }
    assert!(rights(&catalog, "service:mail").read);
}

#[test]
fn people_are_refused_as_members_and_as_readers() {
    let directory: &[(&str, Kind, &[&str])] =
        &[("robots", Kind::Service, &[]), ("staff", Kind::Person, &["person:alice"])];
    let catalog = catalog(&[], directory);
    for role in [Role::Reader, Role::Creator] {
        for who in ["person:alice", "group:staff"] {
            assert!(catalog.check_role(role, &name(who)).unwrap_err().contains("only service accounts"));
        }
        catalog.check_role(role, &name("group:robots")).unwrap();
    }
    for role in [Role::Owner, Role::Auditor] {
        catalog.check_role(role, &name("group:staff")).unwrap();
    }
    for who in ["person:bob", "group:staff"] {
        assert!(catalog.check_member("robots", &name(who)).unwrap_err().contains("never mixed"));
    }
    assert!(catalog.check_member("staff", &name("service:mail")).is_err());
    assert!(catalog.check_member("robots", &name("service:nobody")).unwrap_err().contains("there is no"));
    assert!(catalog.check_member("nowhere", &name("service:mail")).unwrap_err().contains("there is no"));
    catalog.check_member("robots", &name("service:mail")).unwrap();
}

#[test]
fn a_group_never_holds_itself_and_a_circle_ends() {
    let directory: &[(&str, Kind, &[&str])] = &[
        ("a", Kind::Service, &["group:b"]),
        ("b", Kind::Service, &["group:c"]),
        ("c", Kind::Service, &["service:mail"]),
    ];
    let good = catalog(&[], directory);
    for (into, member) in [("a", "group:a"), ("c", "group:a"), ("c", "group:b"), ("b", "group:a")] {
        assert!(good.check_member(into, &name(member)).unwrap_err().contains("can't hold itself"));
    }
    good.check_member("a", &name("group:c")).unwrap();
    let circle: &[(&str, Kind, &[&str])] =
        &[("a", Kind::Service, &["group:b", "service:mail"]), ("b", Kind::Service, &["group:a"])];
    let tampered = catalog(&[(Role::Reader, "group:b")], circle);
    assert!(rights(&tampered, "service:mail").read);
}

#[test]
fn groups_of_a_domain_count_by_their_sid_and_for_members_of_their_kind() {
    let roles = [(Role::Reader, "group:outer"), (Role::Reader, "group:robots@example.com")];
    let mut catalog = catalog(
        &roles,
        &[
            ("robots@example.com", Kind::Service, &[]),
            ("outer", Kind::Service, &["group:robots@example.com"]),
        ],
    );
    catalog.directory.get_mut("robots@example.com").unwrap().sid = Some("S-1-5-21-1-2-3-1200".to_owned());
    let within = |who: &str, sid: &str| {
        let groups = catalog.groups_within(&account(who), &BTreeSet::from([sid.to_owned()]));
        let reads = catalog.rights(GROUP, &account(who), &groups).unwrap().read;
        (groups.into_iter().collect::<Vec<_>>(), reads)
    };
    let (groups, reads) = within("service:robot@example.com", "S-1-5-21-1-2-3-1200");
    assert_eq!(groups, ["outer", "robots@example.com"]);
    assert!(reads);
    // A person in it, another group that has its name by now, and one whose SID begins like it.
    assert_eq!(within("person:alice@example.com", "S-1-5-21-1-2-3-1200"), (Vec::new(), false));
    assert_eq!(within("service:robot@example.com", "S-1-5-21-1-2-3-1300"), (Vec::new(), false));
    assert_eq!(within("service:robot@example.com", "S-1-5-21-1-2-3-12000"), (Vec::new(), false));
    let member = name("service:mail");
    assert!(catalog.check_member("robots@example.com", &member).unwrap_err().contains("kept in its domain"));
    assert!(catalog.check_role(Role::Reader, &name("group:robots@example.com")).is_ok());
}
