use super::*;

fn domain() -> Domain {
    Domain { sid: "S-1-5-21-1-2-3".parse().unwrap(), forest_root: "S-1-5-21-9-9-9".parse().unwrap() }
}

fn there_and_back(text: &str) -> String {
    SecurityDescriptor::from_sddl(text, Some(&domain())).unwrap().to_sddl(Some(&domain())).unwrap()
}

#[test]
fn canonical_text_comes_back_as_it_was() {
    for text in [
        "",
        "O:SY",
        "G:DU",
        "D:",
        "D:P",
        "D:NO_ACCESS_CONTROL",
        "D:PARAINO_ACCESS_CONTROL",
        "O:DAG:EAD:PAI(A;;GA;;;SY)(A;;RPRC;;;S-1-5-21-1-2-3-1111)(A;;RC;;;OW)",
        "D:(OA;CIIO;CC;5cb41ed0-0e4c-11d0-a286-00aa003049e2;bf967a9c-0de6-11d0-a285-00aa003049e2;WD)",
        "D:(OD;;WP;;bf967a9c-0de6-11d0-a285-00aa003049e2;AU)",
        "D:(OA;;CC;;;AU)",
        "D:(D;;SDDT;;;WD)S:PAI(AU;CISAFA;RP;;;WD)".replace("SDDT", "DTSD").as_str(),
        "O:S-1-0x123456789ABC-1D:(A;OICINPIOID;0x1ff00;;;AN)",
        "O:S-1-5-21-7D:(A;;;;;PS)",
    ] {
        assert_eq!(there_and_back(text), text);
    }
}

#[test]
fn every_abbreviation_means_its_sid() {
    for (word, sid) in EVERYWHERE {
        let text = format!("O:{word}");
        let descriptor = SecurityDescriptor::from_sddl(&text, None).unwrap();
        assert_eq!(descriptor.owner, Some(sid), "{word}");
        assert_eq!(descriptor.to_sddl(None).unwrap(), text);
    }
    for (word, rid, root) in OF_THE_DOMAIN {
        let text = format!("O:{word}");
        let descriptor = SecurityDescriptor::from_sddl(&text, Some(&domain())).unwrap();
        let home = if root { "S-1-5-21-9-9-9" } else { "S-1-5-21-1-2-3" };
        assert_eq!(descriptor.owner.unwrap().to_string(), format!("{home}-{rid}"), "{word}");
        assert_eq!(descriptor.to_sddl(Some(&domain())).unwrap(), text);
        assert_eq!(descriptor.to_sddl(None).unwrap(), format!("O:{home}-{rid}"));
        assert_eq!(
            SecurityDescriptor::from_sddl(&text, None),
            Err(SddlError::NeedsDomain { abbreviation: word.to_owned() })
        );
    }
}

#[test]
fn other_spellings_are_brought_to_one() {
    assert_eq!(there_and_back("D:AIP(A;IOCI;RCRP;;;S-1-3-4)"), "D:PAI(A;CIIO;RPRC;;;OW)");
    assert_eq!(there_and_back("S:(AU;FASA;0x10;;;WD)D:O:SY"), "O:SYD:S:(AU;SAFA;RP;;;WD)");
    assert_eq!(
        there_and_back("D:(OA;;CR;00299570-246D-11D0-A768-00AA006E0529;;WD)"),
        "D:(OA;;CR;00299570-246d-11d0-a768-00aa006e0529;;WD)"
    );
}

#[test]
fn what_is_no_sddl_is_refused() {
    for text in [
        "X:SY",
        "O:",
        "O:ZZ",
        "O:SYO:SY",
        "O:SYX",
        "O:sy",
        " O:SY",
        "D:D:",
        "D:Q",
        "D:(",
        "D:()",
        "D:(A;;RP;;;SY",
        "D:(A;;RP;;SY)",
        "D:(A;;RP;;;)",
        "D:(A;;RP;;;SY))",
        "D:(A;;RP;;;SY;)",
        "D:(A;;R;;;SY)",
        "D:(A;;FA;;;SY)",
        "D:(A;;0x;;;SY)",
        "D:(A;;0x123456789;;;SY)",
        "D:(A;;16;;;SY)",
        "D:(A;;0x+1;;;SY)",
        "D:(A;XX;RP;;;SY)",
        "D:(A;;RP;5cb41ed0-0e4c-11d0-a286-00aa003049e2;;SY)",
        "D:(OA;;RP;5cb41ed0;;SY)",
        "D:(XA;;RP;;;SY;(Member_of {SID(BA)}))",
        "D:(é;;RP;;;SY)",
        "O:é",
    ] {
        assert!(SecurityDescriptor::from_sddl(text, Some(&domain())).is_err(), "{text}");
    }
    let long = "(A;;RP;;;SY)".repeat(descriptor::MAX_SDDL / 12);
    assert_eq!(SecurityDescriptor::from_sddl(&format!("D:{long}{long}"), None), Err(SddlError::TooLong));
}

#[test]
fn what_has_no_words_is_not_printed() {
    let mut entry = Entry::allow(AccessMask::READ_PROPERTY, Sid::SYSTEM).flagged(AceFlags(0x20));
    assert_eq!(entry.to_sddl(None), Err(SddlError::NotExpressible { what: "an entry's flags" }));
    entry.flags = AceFlags::NONE;
    entry.data = vec![0; 4];
    assert!(entry.to_sddl(None).is_err());
}
