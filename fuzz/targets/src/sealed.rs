//! Archives under their seal, to whom they are sealed, and who opens them.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm::archive::{Identities, Recipients, inspect, open as unseal, parse_recipients};
use dkm::fuzzing;
use dkm_core::archive::Archive;

/// An identity for nothing but this.
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-1DJFZCY7SGZTKSWJ7UAESLKXER3KLTJL0K04RQ2QLW4WEGNMAQANQQ47KLY";
const RECIPIENT: &str = "age1gc3lxjrs0xky8023qav8jnf93uvwvqukcpjcqacgyk7qerh989tqpyxttq";

static OPENER: LazyLock<Identities> =
    LazyLock::new(|| fuzzing::identities(IDENTITY.as_bytes()).expect("a good identity"));
static SEALED_TO: LazyLock<Recipients> =
    LazyLock::new(|| parse_recipients(&[RECIPIENT.to_owned()]).expect("a good recipient"));
/// The SSH keys among the seeds of identities.
static SSH_OPENERS: LazyLock<[Identities; 2]> = LazyLock::new(|| {
    let ed25519 = include_bytes!("../../seeds/archive_identities/ssh-ed25519").as_slice();
    let rsa = include_bytes!("../../seeds/archive_identities/ssh-rsa").as_slice();
    [ed25519, rsa].map(|key| fuzzing::identities(key).expect("a good identity"))
});

/// Any bytes are opened to an archive or refused; what is sealed opens to the same; a changed seal never opens to
/// something else.
///
/// Input: a place in two bytes, a bit, and an archive, sealed or not.
pub(crate) fn open(input: &[u8]) {
    if let Ok(sealing) = inspect(input) {
        // Each takes a line in it.
        assert!(sealing.recipients.len() * 4 <= input.len());
    }
    let _ = unseal(input, &OPENER);

    let Some((&[high, low, bit], plain)) = input.split_first_chunk() else { return };
    let _ = inspect(plain);
    for opener in std::iter::once(&*OPENER).chain(SSH_OPENERS.iter()) {
        let _ = unseal(plain, opener);
    }
    let mut sealed = fuzzing::seal(&SEALED_TO, plain).expect("a good recipient");
    assert_eq!(inspect(sealed.as_slice()).expect("it was sealed").recipients, ["X25519"]);
    let inside = Archive::decode(plain).ok();
    assert_eq!(unseal(sealed.as_slice(), &OPENER).ok(), inside, "a seal changes what is under it");

    let at = usize::from(u16::from_be_bytes([high, low])) % sealed.len();
    sealed[at] ^= 1 << (bit % 8);
    if let Ok(opened) = unseal(sealed.as_slice(), &OPENER) {
        assert_eq!(Some(opened), inside, "a changed seal opens to something else");
    }
    sealed.truncate(at);
    unseal(sealed.as_slice(), &OPENER).expect_err("a seal that is cut off opens");
}

/// Recipients that are read read back from their names, and can be sealed to; the others are refused without being
/// repeated.
pub(crate) fn recipients(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        recipients_are_sealed_to(&text.lines().map(str::to_owned).collect::<Vec<_>>());
    }
    // As what stands under the base64 of an SSH key, where no change of text gets to.
    for kind in ["ssh-rsa", "ssh-ed25519"] {
        recipients_are_sealed_to(&[format!("{kind} {}", STANDARD.encode(input))]);
    }
}

fn recipients_are_sealed_to(texts: &[String]) {
    match parse_recipients(texts) {
        Ok(recipients) => {
            assert_eq!(recipients.count(), texts.len());
            let names: Vec<String> = recipients.names().collect();
            let again: Vec<String> = parse_recipients(&names).expect("a name is not read").names().collect();
            assert_eq!(again, names);
            // Sealing to many costs time and finds no more.
            if texts.len() <= 2 {
                let sealed = fuzzing::seal(&recipients, b"").expect("it was read");
                assert_eq!(inspect(sealed.as_slice()).expect("it was sealed").recipients.len(), texts.len());
            }
        }
        Err(error) => {
            assert_eq!(error.kind(), dkm::ErrorKind::Usage);
            let message = error.to_string();
            let Some(rest) = message.strip_prefix("the recipient ") else { return };
            let (shown, _) = rest.split_once('…').expect("the end of what is shown");
            assert!(shown.chars().count() <= 16, "{message}");
            assert!(shown.is_empty() || shown.starts_with("age1") || shown.starts_with("ssh-"), "{message}");
        }
    }
}

/// Identities are read or refused, and a refusal repeats nothing of the file.
pub(crate) fn identities(input: &[u8]) {
    are_identities(input);
    // As what stands under the base64 of an SSH key's file.
    for kind in ["OPENSSH", "RSA"] {
        let body = STANDARD.encode(input);
        let file = format!("-----BEGIN {kind} PRIVATE KEY-----\n{body}\n-----END {kind} PRIVATE KEY-----\n");
        are_identities(file.as_bytes());
    }
}

fn are_identities(input: &[u8]) {
    match fuzzing::identities(input) {
        Ok(identities) => assert!(identities.count() > 0),
        Err(why) => {
            assert!(why.len() < 200, "{why}");
            let text = String::from_utf8_lossy(input);
            for secret in text.lines().filter(|line| line.starts_with("AGE-SECRET-KEY-")) {
                assert!(!why.contains(secret), "a refusal repeats a secret");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_are_sealed_to_ssh_keys_open() {
        let ed25519 = include_bytes!("../../seeds/archive_sealed/sealed-ssh-ed25519").as_slice();
        let rsa = include_bytes!("../../seeds/archive_sealed/sealed-ssh-rsa").as_slice();
        for (sealed, opener) in [ed25519, rsa].into_iter().zip(SSH_OPENERS.iter()) {
            unseal(&sealed[3..], opener).expect("it is sealed to this key");
        }
    }
}
