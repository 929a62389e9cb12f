use super::*;

const GROUP: &str =
    "CN=8164cba4-17e3-4bd7-9c5b-8a2b0ad9e0f5,CN=ADFS,CN=Microsoft,CN=Program Data,DC=dkm,DC=test";
const ACTIVE: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const OLD: &str = "0b5d9d1c-8a57-4f0e-9d5e-6f3a9c0c7a11";

/// As `ldapsearch -LLL` prints it: folded, with base64, in no particular order.
fn export() -> String {
    format!(
        "dn: CN=ADFS,CN=Microsoft,CN=Program Data,DC=dkm,DC=test\n\
         objectClass: top\nobjectClass: container\ncn: ADFS\n\n\
         dn: {GROUP}\nobjectClass: container\n\n\
         # keys\n#  of this group\n\
         dn: CN=1,{}\n {}\nobjectClass: top\nobjectClass: contact\nl: {ACTIVE}\n\
         thumbnailPhoto:: AQEBAQEBAQEBAQEBAQ\n EBAQEBAQEBAQEBA\n QEBAQEBAQE=\n\n\
         dn: CN=2,{GROUP}\r\nobjectClass: contact\r\nl: {{{}}}\r\n\
         thumbnailPhoto;binary:: AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\r\n\r\n\
         dn: CN=CryptoPolicy,{GROUP}\nobjectClass: contact\ndisplayName: {ACTIVE}\n\n\
         # refldap://dkm.test/CN=Configuration,DC=dkm,DC=test\n\n",
        &GROUP[..30],
        &GROUP[30..],
        OLD.to_uppercase(),
    )
}

fn key(guid: &str, byte: u8) -> WindowsKey {
    WindowsKey::new(guid.parse().unwrap(), &[byte; 32]).unwrap()
}

#[test]
fn an_export_gives_the_containers_keys() {
    let entries = read_ldif(export().as_bytes()).unwrap();
    assert_eq!(entries.len(), 5);
    let found = containers(&entries);
    assert_eq!(
        found,
        [WindowsContainer {
            dn: GROUP.to_owned(),
            active: Some(ACTIVE.parse().unwrap()),
            keys: vec![key(ACTIVE, 1), key(OLD, 2)],
            skipped: Vec::new(),
        }]
    );
    assert!(!format!("{entries:?} {found:?}").contains("1, 1, 1"), "no key is shown");
}

#[test]
fn objects_that_give_no_key_are_told_and_other_objects_are_not() {
    let entry = |name: &str, change: fn(&mut DirectoryEntry)| {
        let mut entry = DirectoryEntry {
            dn: format!("CN={name},CN=a\\,b"),
            l: Some(OLD.to_owned()),
            thumbnail_photo: Some(vec![2; 32].into()),
            ..DirectoryEntry::default()
        };
        change(&mut entry);
        entry
    };
    let found = containers(&[
        entry("good", |_| {}),
        entry("nameless", |e| e.l = None),
        entry("misnamed", |e| e.l = Some("Berlin".to_owned())),
        entry("hidden", |e| e.thumbnail_photo = None),
        entry("short", |e| e.thumbnail_photo = Some(vec![2; 31].into())),
        entry("user", |e| e.object_classes = vec!["top".to_owned(), "user".to_owned()]),
        entry("empty", |e| (e.l, e.thumbnail_photo) = (None, None)),
        entry("cryptopolicy", |e| e.display_name = Some("none".to_owned())),
    ]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].dn.as_str(), found[0].active), ("CN=a\\,b", None));
    assert_eq!(found[0].keys, [key(OLD, 2)]);
    let told: Vec<_> =
        found[0].skipped.iter().map(|skipped| format!("{} {}", &skipped.dn[3..7], skipped.why)).collect();
    assert_eq!(
        told,
        [
            "name it has no l".to_owned(),
            "misn its l is not a GUID".to_owned(),
            "hidd it has no thumbnailPhoto, or this account may not read it".to_owned(),
            format!("shor Windows DKM key {OLD} has 31 bytes; this program knows keys of 32"),
            "cryp its displayName is not a GUID".to_owned(),
        ]
    );
}

#[test]
fn each_group_of_windows_has_a_container_of_its_own() {
    let entry = |dn: &str, guid: &str| DirectoryEntry {
        dn: dn.to_owned(),
        l: Some(guid.to_owned()),
        thumbnail_photo: Some(vec![2; 32].into()),
        ..DirectoryEntry::default()
    };
    let found =
        containers(&[entry("CN=1,CN=b", OLD), entry("CN=2,cn=A", ACTIVE), entry("CN=3,CN=B", ACTIVE)]);
    let names: Vec<_> = found.iter().map(|found| (found.dn.as_str(), found.keys.len())).collect();
    assert_eq!(names, [("cn=A", 1), ("CN=b", 2)]);
}

#[test]
fn what_is_no_export_is_refused_by_line_and_not_shown() {
    let why = |text: &str| match read_ldif(text.as_bytes()) {
        Err(LdifError::Line { line, why }) => format!("{line} {why}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(why("hello"), "1 it has no colon");
    assert_eq!(why(" folded"), "1 it continues no line");
    assert_eq!(why("dn: CN=a\n\n folded"), "3 it continues no line");
    assert_eq!(why("l: x\n"), "1 an entry does not begin with its dn");
    assert_eq!(why("dn: CN=a\nl: x\n\nl: y"), "4 an entry does not begin with its dn");
    assert_eq!(why("dn: CN=a\ndn: CN=b"), "2 an entry begins before the one before it has ended");
    assert_eq!(why("dn: CN=a\nl: x\nL: y"), "3 an attribute of one value has two");
    assert_eq!(why("dn: CN=a\nchangetype: add"), "2 this is a list of changes, not an export");
    assert_eq!(why("dn: CN=a\nthumbnailPhoto:: !!!"), "2 its value is not base64");
    assert_eq!(
        why("dn: CN=a\nthumbnailPhoto:< file:///etc/passwd"),
        "2 its value stands in another file, which is not read"
    );
    assert_eq!(why("dn:: /w=="), "1 its value is not text");
    assert_eq!(read_ldif(b"version: 1\n\ndn: CN=a\n").unwrap().len(), 1);
    assert_eq!(read_ldif(b"version: 1\ndn: CN=a").unwrap().len(), 1);
    assert_eq!(read_ldif(b"").unwrap(), []);
    let len = LDIF_LEN_MAX + 1;
    assert_eq!(read_ldif(&vec![b'\n'; len]), Err(LdifError::TooLong { len }));
    let many = "dn: CN=a\n\n".repeat(100_001);
    assert_eq!(read_ldif(many.as_bytes()), Err(LdifError::TooManyEntries));
}

/// Objects that were taken for something, a policy aside.
fn count(found: &[WindowsContainer]) -> usize {
    found.iter().map(|container| container.keys.len() + container.skipped.len()).sum()
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        if let Ok(entries) = read_ldif(&bytes) {
            proptest::prop_assert!(count(&containers(&entries)) <= entries.len());
        }
    }

    #[test]
    fn no_lines_panic(lines in proptest::collection::vec("(dn|l|objectClass|thumbnailPhoto|displayName|)[:]{0,2}[ ]?[a-zA-Z0-9,=\\\\{}]{0,12}", 0..20)) {
        if let Ok(entries) = read_ldif(lines.join("\n").as_bytes()) {
            proptest::prop_assert!(count(&containers(&entries)) <= entries.len());
        }
    }
}
