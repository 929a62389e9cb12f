use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use super::*;

fn event(detail: &str) -> Event {
    Event {
        what: EventKind::KeyCompromised,
        group: GroupId([1; 16]),
        key: Some(KeyId([2; 16])),
        blob: None,
        who: "uid:1000".to_owned(),
        reason: Some("seen in a \"log\"\nof ours".to_owned()),
        detail: Some(detail.to_owned()),
        at: Timestamp(1_796_149_384_123),
    }
}

#[test]
fn a_line_has_its_fields_in_a_fixed_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = FileJournal::open(&path).unwrap();
    journal.record(&event("one")).unwrap();
    let all = Event { blob: Some(Digest([3; 32])), ..event("two") };
    journal.record(&all).unwrap();
    let least = Event { key: None, reason: None, detail: None, ..event("") };
    journal.record(&least).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let expected = [
        r#"{"version":1,"at":"2026-12-01T18:23:04.123Z","event":"key-compromised","group":"01010101-0101-0101-0101-010101010101","key":"02020202020202020202020202020202","who":"uid:1000","reason":"seen in a \"log\"\nof ours","detail":"one"}"#,
        r#"{"version":1,"at":"2026-12-01T18:23:04.123Z","event":"key-compromised","group":"01010101-0101-0101-0101-010101010101","key":"02020202020202020202020202020202","blob":"0303030303030303030303030303030303030303030303030303030303030303","who":"uid:1000","reason":"seen in a \"log\"\nof ours","detail":"two"}"#,
        r#"{"version":1,"at":"2026-12-01T18:23:04.123Z","event":"key-compromised","group":"01010101-0101-0101-0101-010101010101","who":"uid:1000"}"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_was_there_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    FileJournal::open(&path).unwrap().record(&event("one")).unwrap();
    FileJournal::open(&path).unwrap().record(&event("two")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
}

#[test]
fn many_writers_never_mix_their_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (path, barrier) = (&path, &barrier);
            scope.spawn(move || {
                let journal = FileJournal::open(path).unwrap();
                barrier.wait();
                for i in 0..25 {
                    journal.record(&event(&format!("{thread}-{i}"))).unwrap();
                }
            });
        }
    });
    let text = fs::read_to_string(&path).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        seen.insert(value["detail"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), 200);
}

#[test]
fn a_torn_line_does_not_spoil_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    fs::write(&path, "{\"version\":1,\"at\":\"20").unwrap();
    FileJournal::open(&path).unwrap().record(&event("after")).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["detail"], "after");
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn a_journal_that_was_moved_or_removed_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let journal = FileJournal::open(&path).unwrap();
    journal.record(&event("one")).unwrap();
    fs::rename(&path, dir.path().join("journal.1")).unwrap();
    journal.record(&event("two")).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("two"));
    fs::remove_file(&path).unwrap();
    journal.record(&event("three")).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("three"));
}

#[test]
fn what_cannot_be_recorded_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = FileJournal::open(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::Journal { path, .. } if path == dir.path()), "{error}");
    assert!(FileJournal::open(dir.path().join("no/folder")).is_err());
    assert!(FileJournal::open("/dev/null").is_err());

    let gone = dir.path().join("gone");
    fs::create_dir(&gone).unwrap();
    let journal = FileJournal::open(gone.join("journal")).unwrap();
    fs::remove_dir_all(&gone).unwrap();
    assert!(matches!(journal.record(&event("lost")).unwrap_err(), Error::Journal { .. }));
}

#[test]
fn a_full_disk_is_an_error() {
    // /dev/full takes nothing; it is no file, so it is put in place of one that was opened.
    let full = OpenOptions::new().read(true).append(true).open("/dev/full").unwrap();
    let journal = FileJournal { path: "/dev/full".into(), file: Mutex::new(full) };
    let error = journal.record(&event("lost")).unwrap_err();
    assert!(
        matches!(&error, Error::Journal { source, .. } if source.kind() == ErrorKind::StorageFull),
        "{error}"
    );
}

#[test]
fn kinds_have_distinct_kebab_case_names() {
    use EventKind as K;
    let all = [
        K::GroupCreated,
        K::PolicySet,
        K::KeyCreated,
        K::KeySuspended,
        K::KeyResumed,
        K::KeyDeactivated,
        K::KeyCompromised,
        K::KeyCoolingOff,
        K::KeyDestroyed,
        K::DestructionAborted,
        K::UseNotNoted,
        K::OverrideUsed,
        K::ArchiveExported,
        K::ArchiveRestored,
        K::KeyRepublished,
        K::RootKeyMade,
        K::RootKeyRotated,
        K::AccessRepaired,
        K::ReadersReplaced,
        K::KeyImported,
        K::Alarm,
    ];
    let names: std::collections::BTreeSet<_> = all.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), all.len());
    assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
}

#[test]
fn times_are_utc_with_milliseconds() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800_000, "2024-02-29T00:00:00.000Z"),
        (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (u64::MAX, "9999-12-31T23:59:59.999Z"),
    ] {
        assert_eq!(rfc3339(Timestamp(ms)), text);
    }
}
