//! Beside OpenSSH: what `ssh-keygen` signs is accepted here, and what is built here is accepted by it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use proptest::prelude::*;

use super::*;

const NAMESPACE: &str = "dkm-approval";
const MESSAGE: &[u8] = b"decision: approve\n";
const SITE: &str = "dkm.example.org";

fn keygen(folder: &Path, arguments: &[&str]) -> bool {
    let mut command = Command::new("ssh-keygen");
    command.current_dir(folder).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.stdin(fs::File::open(folder.join("message")).unwrap()).status().unwrap().success()
}

/// Whether OpenSSH accepts a signature.
fn openssh_accepts(line: &str, namespace: &str, armored: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("message"), MESSAGE).unwrap();
    fs::write(path.join("signers"), format!("bob {line}\n")).unwrap();
    fs::write(path.join("signature"), armored).unwrap();
    keygen(path, &["-Y", "verify", "-f", "signers", "-I", "bob", "-n", namespace, "-s", "signature"])
}

fn made_by_openssh(kind: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("message"), MESSAGE).unwrap();
    assert!(keygen(path, &["-q", "-t", kind, "-N", "", "-C", "a comment", "-f", "key"]), "{kind}");
    assert!(keygen(path, &["-Y", "sign", "-f", "key", "-n", NAMESPACE, "message"]));
    let line = fs::read_to_string(path.join("key.pub")).unwrap();
    (line.trim().to_owned(), fs::read_to_string(path.join("message.sig")).unwrap())
}

#[test]
fn what_openssh_signs_is_accepted_for_its_purpose_only() {
    for kind in ["ed25519", "ecdsa"] {
        let (line, armored) = made_by_openssh(kind);
        assert_eq!(verify(&line, NAMESPACE, MESSAGE, &armored), Ok(()), "{kind}");
        assert_eq!(verify(&line, NAMESPACE, b"decision: approvf\n", &armored), Err(SignatureError::Mismatch));
        assert!(matches!(verify(&line, "dkm-roster", MESSAGE, &armored), Err(SignatureError::Namespace(_))));
        let (other, _) = made_by_openssh(kind);
        assert_eq!(verify(&other, NAMESPACE, MESSAGE, &armored), Err(SignatureError::OtherKey));
    }
    let (line, armored) = made_by_openssh("rsa");
    assert!(matches!(verify(&line, NAMESPACE, MESSAGE, &armored), Err(SignatureError::KeyType(_))));
}

/// A security key in software: its public line, and what it signs.
struct Authenticator {
    line: String,
    p256: Option<EcdsaKeyPair>,
    ed25519: Option<Ed25519KeyPair>,
    application: String,
}

impl Authenticator {
    fn p256(application: &str) -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref()).unwrap();
        let parts = [b"nistp256".as_slice(), pair.public_key().as_ref(), application.as_bytes()];
        let line = line("sk-ecdsa-sha2-nistp256@openssh.com", &parts);
        Self { line, p256: Some(pair), ed25519: None, application: application.to_owned() }
    }

    fn ed25519(application: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let line = line("sk-ssh-ed25519@openssh.com", &[pair.public_key().as_ref(), application.as_bytes()]);
        Self { line, p256: None, ed25519: Some(pair), application: application.to_owned() }
    }

    fn data(&self, flags: u8, extensions: &[u8]) -> Vec<u8> {
        let hash = digest::digest(&digest::SHA256, self.application.as_bytes());
        [hash.as_ref(), &[flags], &7u32.to_be_bytes(), extensions].concat()
    }

    /// Signs authenticator data and the hash of what it was given; DER or Ed25519's own form.
    fn sign(&self, data: &[u8], given: &[u8]) -> Vec<u8> {
        let message = [data, digest::digest(&digest::SHA256, given).as_ref()].concat();
        match (&self.p256, &self.ed25519) {
            (Some(pair), _) => pair.sign(&SystemRandom::new(), &message).unwrap().as_ref().to_vec(),
            (_, Some(pair)) => pair.sign(&message).as_ref().to_vec(),
            _ => unreachable!(),
        }
    }

    /// As `ssh-keygen -Y sign` has a security key sign.
    fn by_ssh(&self, flags: u8) -> String {
        let signed = self.sign(&self.data(flags, &[]), &signed_blob(NAMESPACE, MESSAGE));
        let (name, signature) = match self.p256 {
            Some(_) => ("sk-ecdsa-sha2-nistp256@openssh.com", from_der(&signed).unwrap()),
            None => ("sk-ssh-ed25519@openssh.com", signed),
        };
        let mut inner = Vec::new();
        put(&mut inner, name.as_bytes());
        put(&mut inner, &signature);
        inner.push(flags);
        inner.extend_from_slice(&7u32.to_be_bytes());
        armor(&outer(&PublicKey::from_line(&self.line).unwrap().blob, NAMESPACE, &inner))
    }

    /// As a browser at `origin` has a passkey sign.
    fn by_browser(&self, challenge: &[u8], origin: &str, flags: u8, extensions: &[u8]) -> String {
        self.in_frame(challenge, origin, flags, extensions, false)
    }

    fn in_frame(&self, challenge: &[u8], origin: &str, flags: u8, extensions: &[u8], framed: bool) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(challenge);
        let client_data = format!(
            r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{origin}","crossOrigin":{framed}}}"#
        );
        let data = self.data(flags, extensions);
        let signature = self.sign(&data, client_data.as_bytes());
        from_webauthn(&self.line, NAMESPACE, &data, client_data.as_bytes(), &signature).unwrap()
    }
}

fn line(name: &str, parts: &[&[u8]]) -> String {
    let mut blob = Vec::new();
    put(&mut blob, name.as_bytes());
    parts.iter().for_each(|part| put(&mut blob, part));
    format!("{name} {} security key", STANDARD.encode(blob))
}

#[test]
fn security_keys_sign_when_they_are_touched() {
    for key in [Authenticator::p256("ssh:"), Authenticator::ed25519("ssh:")] {
        let touched = key.by_ssh(USER_PRESENT);
        assert_eq!(verify(&key.line, NAMESPACE, MESSAGE, &touched), Ok(()));
        assert!(openssh_accepts(&key.line, NAMESPACE, &touched));
        let alone = key.by_ssh(0);
        assert_eq!(verify(&key.line, NAMESPACE, MESSAGE, &alone), Err(SignatureError::NobodyPresent));
        assert_eq!(verify(&key.line, NAMESPACE, b"else", &touched), Err(SignatureError::Mismatch));
    }
}

#[test]
fn passkeys_sign_at_their_site_only() {
    let key = Authenticator::p256(SITE);
    let challenge = signed_blob(NAMESPACE, MESSAGE);
    let at = |origin: &str| key.by_browser(&challenge, origin, USER_PRESENT, &[]);
    for good in ["https://dkm.example.org", "https://dkm.example.org:8443", "https://eu.dkm.example.org"] {
        assert_eq!(verify(&key.line, NAMESPACE, MESSAGE, &at(good)), Ok(()), "{good}");
        assert!(openssh_accepts(&key.line, NAMESPACE, &at(good)), "{good}");
    }
    let elsewhere = [
        "http://dkm.example.org",
        "https://example.org",
        "https://evildkm.example.org",
        "https://dkm.example.org.evil.test",
        "https://evil.test/dkm.example.org",
        "https://dkm.example.org:",
        "https://user@dkm.example.org",
        "",
    ];
    for bad in elsewhere {
        let refused = verify(&key.line, NAMESPACE, MESSAGE, &at(bad));
        assert!(matches!(refused, Err(SignatureError::Origin(_))), "{bad}: {refused:?}");
    }
    let framed = key.in_frame(&challenge, "https://dkm.example.org", USER_PRESENT, &[], true);
    assert_eq!(verify(&key.line, NAMESPACE, MESSAGE, &framed), Err(SignatureError::Framed));
    // Another message, another namespace.
    for challenge in [signed_blob(NAMESPACE, b"else"), signed_blob("dkm-roster", MESSAGE), Vec::new()] {
        let signed = key.by_browser(&challenge, "https://dkm.example.org", USER_PRESENT, &[]);
        assert_eq!(verify(&key.line, NAMESPACE, MESSAGE, &signed), Err(SignatureError::Mismatch));
    }
}

#[test]
fn the_flags_of_an_assertion_are_looked_at() {
    let key = Authenticator::p256(SITE);
    let challenge = signed_blob(NAMESPACE, MESSAGE);
    let with = |flags, extensions: &[u8]| {
        let signed = key.by_browser(&challenge, "https://dkm.example.org", flags, extensions);
        verify(&key.line, NAMESPACE, MESSAGE, &signed)
    };
    assert_eq!(with(USER_PRESENT | EXTENSION_DATA, b"\xA0"), Ok(()));
    assert_eq!(with(0x04, &[]), Err(SignatureError::NobodyPresent));
    for (flags, extensions) in [
        (USER_PRESENT | ATTESTED_DATA, &b""[..]),
        (USER_PRESENT | EXTENSION_DATA, b""),
        (USER_PRESENT, b"\xA0"),
    ] {
        assert!(matches!(with(flags, extensions), Err(SignatureError::Malformed(_))), "{flags:x}");
    }
}

#[test]
fn armour_and_keys_are_read_strictly() {
    let (line, armored) = made_by_openssh("ed25519");
    let bytes = unarmor(&armored).unwrap();
    assert_eq!(armor(&bytes), armored, "as OpenSSH writes it");
    for cut in 0..bytes.len() {
        assert!(verify(&line, NAMESPACE, MESSAGE, &armor(&bytes[..cut])).is_err(), "{cut}");
    }
    let longer = armor(&[bytes.as_slice(), b"x"].concat());
    assert!(verify(&line, NAMESPACE, MESSAGE, &longer).is_err());
    for odd in ["", "ssh-ed25519", "ssh-ed25519 !!", "ssh-ed25519 AAAA", "ssh-rsa AAAAB3NzaC1yc2E", "a\nb"] {
        assert!(check_key(odd).is_err(), "{odd:?}");
    }
    assert!(check_key(&line.replace("ssh-ed25519 ", "sk-ssh-ed25519@openssh.com ")).is_err());
    assert!(check_key(&line).is_ok());
}

#[test]
fn integers_are_read_as_they_must_be_written() {
    let scalar = |bytes: &[u8]| {
        let mut out = Vec::new();
        put(&mut out, bytes);
        Reader::new(&out).scalar::<2>()
    };
    assert_eq!(scalar(&[5]), Ok([0, 5]));
    assert_eq!(scalar(&[0, 0x80]), Ok([0, 0x80]));
    assert_eq!(scalar(&[0, 0x80, 1]), Ok([0x80, 1]));
    for odd in [&[][..], &[0], &[0, 5], &[0x80], &[1, 2, 3], &[0, 0x80, 1, 2]] {
        assert!(scalar(odd).is_err(), "{odd:x?}");
    }
}

proptest! {
    #[test]
    fn no_flipped_bit_is_accepted(place: usize, bit in 0u32..8) {
        let key = Authenticator::p256(SITE);
        let armored =
            key.by_browser(&signed_blob(NAMESPACE, MESSAGE), "https://dkm.example.org", USER_PRESENT, &[]);
        let mut bytes = unarmor(&armored).unwrap();
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        prop_assert!(verify(&key.line, NAMESPACE, MESSAGE, &armor(&bytes)).is_err());
    }

    #[test]
    fn rubbish_is_refused(bytes: Vec<u8>, text: String) {
        let (line, _) = (Authenticator::ed25519("ssh:").line, ());
        prop_assert!(verify(&line, NAMESPACE, MESSAGE, &armor(&bytes)).is_err());
        prop_assert!(verify(&line, NAMESPACE, MESSAGE, &text).is_err());
        prop_assert!(PublicKey::parse(&bytes).is_err());
        let _ = from_webauthn(&line, NAMESPACE, &bytes, text.as_bytes(), &bytes);
    }
}
