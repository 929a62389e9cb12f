//! Records of Windows and Samba.

use dkm_audit::Entry;
use dkm_audit::entry::Phase;
use dkm_audit::ingest::{
    Account, AccountError, Accounts, RECORD_LEN_MAX, Raw, Record, RecordError, Records, read, record_of,
    unreadable, unreadable_id,
};
use dkm_core::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

const CHANGES: &str = include_str!("../../testdata/ingest/samba-changes.json");
const LOGONS: &str = include_str!("../../testdata/ingest/samba-logons.json");
const XML: &str = include_str!("../../testdata/ingest/windows-events.xml");
const POWER_SHELL: &str = include_str!("../../testdata/ingest/windows-powershell.json");
const BEAT: &str = include_str!("../../testdata/ingest/windows-winlogbeat.json");

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// One of the events in XML, which may have several lines.
fn event(n: usize) -> &'static str {
    XML.split_inclusive("</Event>").nth(n).unwrap().trim()
}

fn raws(stream: &[u8]) -> Vec<Raw> {
    let mut records = Records::new(stream);
    let mut found = Vec::new();
    while let Some(raw) = records.next_record().unwrap() {
        found.push(raw);
    }
    found
}

fn all(stream: &str) -> Vec<Record> {
    let raws = raws(stream.as_bytes());
    raws.iter().flat_map(|raw| read(raw.text.as_ref().unwrap())).map(Result::unwrap).collect()
}

fn details(records: &[Record]) -> Vec<String> {
    let entries = records.iter().map(|record| record.entry(NOW, &Accounts::default()));
    entries
        .map(|entry| {
            let entry = Entry::decode(&entry.encode().unwrap()).unwrap();
            assert_eq!(entry.time, NOW, "a foreign clock does not move the log's time");
            let detail = entry.detail.unwrap();
            let (_, rest) = detail.as_str().split_once("; ").unwrap();
            format!("{} {} {} {rest}", entry.actor, entry.action, entry.phase.as_str())
        })
        .collect()
}

#[test]
fn lines_that_a_samba_wrote_are_taken_without_the_values_in_them() {
    let records = all(CHANGES);
    assert_eq!(records.len(), CHANGES.lines().count());
    let told = details(&records);
    assert_eq!(
        told[0],
        "S-1-5-18 ingested-change recorded at=2026-11-29T00:23:27.540Z; operation=Modify; \
         object=CN=Administrator,CN=Users,DC=dkm,DC=test; attributes=lastLogon,lastLogonTimestamp,logonCount; \
         session=22c7dc52-8d1e-4255-a342-adfefb062dac"
    );
    let refused =
        told.iter().find(|told| told.contains("operation=Delete") && told.contains("denied")).unwrap();
    assert!(refused.contains("status=insufficient access rights"), "{refused}");
    // Every value that Samba wrote, keys among them.
    let mut values = 0;
    for line in CHANGES.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let attributes = event["dsdbChange"]["attributes"].as_object().cloned().unwrap_or_default();
        for action in attributes.values().flat_map(|attribute| attribute["actions"].as_array().unwrap()) {
            for value in action["values"].as_array().into_iter().flatten() {
                let value = value["value"].as_str().unwrap_or_default();
                values += 1;
                // Shorter ones are in every text by chance, and an object's own name may be a value too.
                let by_chance =
                    value.len() < 8 || event["dsdbChange"]["dn"].as_str().unwrap().contains(value);
                assert!(by_chance || !told.concat().contains(value), "{value}");
            }
        }
    }
    assert!(values > 10);

    let told = details(&all(LOGONS));
    assert_eq!(
        told,
        [
            "DKM\\Administrator (S-1-5-21-1381152269-3330321815-1728218690-500) ingested-logon recorded \
             at=2026-11-29T00:23:27.929Z; service=Kerberos KDC; by=ENC-TS Pre-authentication; \
             from=ipv4:127.0.0.1:44856; logon=eeb86d11314c8217",
            "DKM\\Administrator (S-1-5-21-1381152269-3330321815-1728218690-500) ingested-session recorded \
             at=2026-11-29T00:23:28.142Z; service=LDAP; by=krb5; from=ipv4:127.0.0.1:39120; protection=SEAL; \
             session=453d96cd-cc34-4a66-857c-af35ddc59cfd",
        ]
    );
}

#[test]
fn a_windows_event_is_the_same_in_every_form() {
    let records = all(XML);
    let told = details(&records);
    assert_eq!(told.len(), 4);
    assert_eq!(
        told[0],
        "CORP\\dkm-tmp-4f1c9a (S-1-5-21-1004336348-1177238915-682003330-3105) ingested-access recorded \
         at=2026-03-02T09:15:01.123Z; operation=Object Access; object=%{0d9e4a52-6a3c-4c43-8d0b-5a9d5b7e2f11}; \
         access=0x10; properties=%%7684 {8d3bca50-1d7e-11d0-a081-00aa006c33ed} \
         {bf967a8b-0de6-11d0-a285-00aa003049e2}; logon=0x4a9b1c"
    );
    assert!(
        told[1].contains("ingested-logon recorded") && told[1].contains("from=192.0.2.17"),
        "{}",
        told[1]
    );
    assert!(
        told[2].contains("ingested-member-added") && told[2].contains("group=mail-readers"),
        "{}",
        told[2]
    );
    assert!(
        told[3].contains("ingested-change denied") && told[3].contains("attributes=thumbnailPhoto"),
        "{}",
        told[3]
    );
    assert!(!told.concat().contains("SECRET"));
    assert!(records[0].id.starts_with("windows/dc1.corp.example.com/Security/90211/1772442901123/"));
    // Another record under the same number is another record.
    let false_one = all(&XML.replace("0x10<", "0x20<")).remove(0);
    assert_ne!(false_one.id, records[0].id);
    // By id too, so that a second export in another form adds nothing.
    for other in [POWER_SHELL, BEAT] {
        assert_eq!(all(other), records);
    }
    let list = format!("[{}]", POWER_SHELL.lines().collect::<Vec<_>>().join(","));
    assert_eq!(all(&list), records);
}

#[test]
fn accounts_of_grants_are_recognised_by_sid_and_by_name_only_without() {
    let grant = |text: &str| Some(text.parse::<dkm_audit::entry::GrantRef>().unwrap());
    let list = "# grants\n\ng1 S-1-5-21-1004336348-1177238915-682003330-3105 dkm-tmp-4f1c9a\ng2 other-tmp\n";
    let accounts = Accounts::parse(list).unwrap();
    let found: Vec<_> = all(XML).iter().map(|record| record.entry(NOW, &accounts).grant).collect();
    assert_eq!(found, [grant("g1"), grant("g1"), grant("g1"), None]);
    let account = |sid: Option<&str>, name: &str| Account {
        sid: sid.map(str::to_owned),
        name: Some(name.to_owned()),
        domain: None,
    };
    let of = |account: &Account| accounts.grant_of(account).cloned();
    // Somebody who has taken the name is somebody else.
    assert_eq!(of(&account(Some("S-1-5-21-9"), "dkm-tmp-4f1c9a")), None);
    assert_eq!(of(&account(None, "DKM-TMP-4F1C9A")), grant("g1"));
    assert_eq!(of(&account(Some("S-1-5-21-9"), "other-tmp")), grant("g2"));
    for bad in ["g1", "g/1 x", "g1 a b c"] {
        assert_eq!(Accounts::parse(bad).unwrap_err(), AccountError::BadLine { line: 1 });
    }
    assert_eq!(Accounts::parse("g1 a\ng2 A").unwrap_err(), AccountError::Twice { line: 2 });

    let (action, detail) = Accounts::announcement("S-1-5-21-7", "tmp-7").unwrap();
    let mut entry = Entry::new(NOW, "dkmd".parse().unwrap(), action, Phase::Recorded);
    (entry.grant, entry.detail) = (grant("g7"), Some(detail));
    let mut learned = Accounts::default();
    learned.learn(&entry);
    assert_eq!(learned.grant_of(&account(Some("s-1-5-21-7"), "x")).cloned(), grant("g7"));
    for (sid, name) in [("S-1-5-21-7", "a b"), ("x", "y"), ("S-1-5 21", "y"), ("S-1-5-21-7", "")] {
        assert_eq!(Accounts::announcement(sid, name), None);
    }
    // A record of another system announces nothing, whatever stands in it.
    let mut forged = all(XML).remove(3);
    forged.facts = vec![("object", "temporary-account sid=S-1-5-21-8".to_owned())];
    let mut forged = forged.entry(NOW, &accounts);
    forged.grant = grant("g8");
    let mut learned = Accounts::default();
    learned.learn(&forged);
    assert_eq!(learned.grant_of(&account(Some("S-1-5-21-8"), "x")), None);
}

#[test]
fn a_record_is_known_again_and_no_other_text_makes_an_id() {
    let record = all(XML).remove(0);
    let entry = record.entry(NOW, &Accounts::default());
    assert_eq!(record_of(&entry), Some(&*record.id));
    let mut other = entry.clone();
    other.action = "unprotect".parse().unwrap();
    assert_eq!(record_of(&other), None);
    // What stands in a record cannot end its id and begin another one.
    let hostile = XML.replace("DC1.corp.example.com", "dc1; record=x/y");
    let record = all(&hostile).remove(0);
    assert!(record.id.starts_with("windows/") && !record.id.contains([';', '=']), "{}", record.id);
    let long = XML.replace("DC1.corp.example.com", &"d".repeat(5000));
    assert!(all(&long)[0].id.len() < 100);
    let kind = CHANGES.lines().next().unwrap().replace("dsdbChange", "\\u001b[31mred");
    let error = read(&kind).remove(0).unwrap_err();
    assert_eq!(error.to_string(), "of another kind: Samba of an unknown kind");
}

#[test]
fn nothing_is_lost_beside_what_cannot_be_read() {
    let good = event(1);
    let json = BEAT.lines().nth(1).unwrap();
    let stream = format!(
        "\u{feff}<?xml version='1.0'?>\n<Events>\n{good}\n<Event no end\n{json}\n\nnonsense\n<Event><also no end\n{good}\n\
         </Events>\n{{\"x\":1}}\n{}\n{json}",
        "y".repeat(RECORD_LEN_MAX + 7)
    );
    let raws = raws(stream.as_bytes());
    let told: Vec<(u64, Result<bool, RecordError>)> = raws
        .iter()
        .map(|raw| (raw.line, raw.text.clone().map(|text| read(&text).remove(0).is_ok())))
        .collect();
    assert_eq!(
        told,
        [
            (3, Ok(true)),
            (4, Ok(false)),
            (5, Ok(true)),
            (7, Ok(false)),
            (8, Ok(false)),
            (9, Ok(true)),
            (11, Ok(false)),
            (12, Err(RecordError::TooLong)),
            (13, Ok(true)),
        ]
    );
    let digests: std::collections::BTreeSet<_> = raws.iter().map(|raw| raw.digest).collect();
    // The good XML is there twice, once with a newline before it.
    assert!(digests.len() >= 8);
    let bad = unreadable(NOW, "a\nb", &raws[7], &RecordError::TooLong);
    assert_eq!(record_of(&bad), Some(&*unreadable_id(&raws[7].digest)));
    bad.encode().unwrap();
    assert_eq!(self::raws(b"\xff\xfe<\x00\n")[0].text, Err(RecordError::NotText));
}

#[test]
fn what_is_missing_is_named() {
    let error = |text: &str| read(text).remove(0).unwrap_err();
    let xml = event(0);
    let field = |field| RecordError::BadField { field };
    assert_eq!(error(&xml.replace("EventRecordID", "Record")), field("EventRecordID"));
    assert_eq!(error(&xml.replace("SubjectUserSid", "X")), field("SubjectUserSid"));
    assert_eq!(error(&xml.replace("2026-03-02T", "yesterday")), field("TimeCreated"));
    assert_eq!(
        error(&xml.replace("<Event ", "<!DOCTYPE x [<!ENTITY a 'b'>]><Event ")),
        RecordError::Malformed
    );
    let kind = |error| matches!(error, RecordError::OtherKind { .. });
    assert!(kind(error(&xml.replace(">4662<", ">4663<"))));
    let samba = CHANGES.lines().next().unwrap();
    assert!(kind(error(&samba.replace("dsdbChange", "dsdbTransaction"))));
    assert_eq!(error(&samba.replace("+0000", "")), field("timestamp"));
    assert_eq!(error("{}"), RecordError::Malformed);
}

proptest! {
    #[test]
    fn whatever_comes_in_is_records_whose_entries_have_an_encoding(text in ".{0,200}") {
        for line in [text.clone(), format!("<Event>{text}</Event>"), XML.replace("mallory", &text)] {
            for raw in raws(line.as_bytes()) {
                let Ok(text) = &raw.text else { continue };
                for record in read(text) {
                    match record {
                        Ok(record) => {
                            let entry = record.entry(NOW, &Accounts::default());
                            prop_assert_eq!(record_of(&entry), Some(&*record.id));
                            prop_assert_eq!(Entry::decode(&entry.encode().unwrap()), Ok(entry));
                        }
                        Err(error) => {
                            unreadable(NOW, &line, &raw, &error).encode().unwrap();
                        }
                    }
                }
            }
        }
    }
}
