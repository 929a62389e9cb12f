//! Keys on the command line: whole ids, or the beginning of one where nothing can be destroyed by a mistake.

use dkm_core::KeyId;
use dkm_core::ring::Ring;

use crate::failure::{Failure, Result};

/// Fewest digits of an abbreviated id.
const DIGITS_MIN: usize = 4;
/// Digits that tables show.
pub(crate) const DIGITS_SHOWN: usize = 12;

/// The first digits of an id, for tables.
pub(crate) fn short(key: KeyId) -> String {
    key.to_string().chars().take(DIGITS_SHOWN).collect()
}

/// The key whose id is, or begins with, `text`.
pub(crate) fn resolve(ring: &Ring, text: &str) -> Result<KeyId> {
    if let Ok(id) = text.parse::<KeyId>() {
        return Ok(id);
    }
    let digits = text.to_ascii_lowercase();
    if digits.len() < DIGITS_MIN || digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "{text:?} is not a key id: expected 32 hexadecimal digits, or the first {DIGITS_MIN} or more"
        ))
        .help("list the keys: dkm key list"));
    }
    let ids = ring.keys.iter().map(dkm_core::ring::RingKey::id).chain(ring.tombstones.keys().copied());
    let mut found: Vec<KeyId> = ids.filter(|id| id.to_string().starts_with(&digits)).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [] => Err(Failure::new(
            dkm::ErrorKind::NotFound,
            format!("no key on the group's ring has an id that begins with {digits}"),
        )
        .help("list the keys: dkm key list")),
        [id] => Ok(*id),
        several => Err(Failure::usage(format!("{} keys have ids that begin with {digits}", several.len()))
            .help("give more digits: dkm key list --json shows whole ids")),
    }
}

/// The key with the whole id `text`: for what cannot be taken back.
pub(crate) fn whole(ring: &Ring, text: &str) -> Result<KeyId> {
    text.parse::<KeyId>().map_err(|_| {
        let failure = Failure::usage(format!("{text:?} is not a whole key id, which this command wants"));
        match resolve(ring, text) {
            Ok(id) => failure.help(format!("if you mean this key, give its whole id: {id}")),
            Err(_) => failure.help("32 hexadecimal digits; dkm key list --json shows them"),
        }
    })
}

#[cfg(test)]
mod tests {
    use dkm_core::ring::StatusSummary;

    use super::*;

    fn ring(ids: &[&str]) -> Ring {
        let mut ring = Ring::default();
        ring.tombstones.extend(ids.iter().map(|id| (id.parse().unwrap(), StatusSummary::default())));
        ring
    }

    #[test]
    fn beginnings_must_be_long_enough_and_unique() {
        let (a, b) = ("00112233445566778899aabbccddeeff", "0011ff33445566778899aabbccddeeff");
        let ring = ring(&[a, b]);
        assert_eq!(resolve(&ring, "00112").unwrap().to_string(), a);
        assert_eq!(resolve(&ring, "0011FF").unwrap().to_string(), b);
        assert_eq!(resolve(&ring, "0011").unwrap_err().exit_code, 2);
        assert_eq!(resolve(&ring, "001").unwrap_err().exit_code, 2);
        assert_eq!(resolve(&ring, "xyzw").unwrap_err().exit_code, 2);
        assert_eq!(resolve(&ring, "ffff").unwrap_err().exit_code, 3);
        // An id that is not there is for the library to refuse.
        assert_eq!(resolve(&ring, &"f".repeat(32)).unwrap().to_string(), "f".repeat(32));
    }

    #[test]
    fn what_cannot_be_taken_back_wants_the_whole_id_and_shows_it() {
        let id = "00112233445566778899aabbccddeeff";
        let ring = ring(&[id]);
        assert_eq!(whole(&ring, id).unwrap().to_string(), id);
        assert!(whole(&ring, "0011").unwrap_err().advice.unwrap().contains(id));
        assert!(whole(&ring, "ffff").unwrap_err().advice.unwrap().contains("key list"));
    }
}
