//! SSH signatures over files (SSHSIG, OpenSSH's `PROTOCOL.sshsig`): Ed25519, ECDSA on P-256, and both on security keys,
//! passkeys too.
//!
//! `ssh-keygen -Y sign` makes them, and `ssh-keygen -Y verify` accepts what is accepted here. A passkey's assertion is one
//! of them: its challenge is what [`signed_blob`] gives, and [`from_webauthn`] writes it down as OpenSSH does
//! (`PROTOCOL.u2f`, *webauthn signatures*).

mod key;
mod wire;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use self::key::{Kind, PublicKey};
use self::wire::{Reader, put};

/// Longest armoured signature that is looked at, in bytes.
pub const ARMOR_LEN_MAX: usize = 16 * 1024;

const MAGIC: &[u8] = b"SSHSIG";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Characters in a line of armour, as OpenSSH breaks it.
const ARMOR_LINE: usize = 70;
/// Bit of an authenticator's flags: somebody touched it (WebAuthn §6.1).
const USER_PRESENT: u8 = 0x01;
/// Bit of an authenticator's flags: attested data follow, which no assertion has.
const ATTESTED_DATA: u8 = 0x40;
/// Bit of an authenticator's flags: extension data follow.
const EXTENSION_DATA: u8 = 0x80;
/// What the browser's client data begin with, up to the challenge.
const CLIENT_DATA: &[&str] = &[r#"{"type":"webauthn.get","challenge":""#, r#"","origin":""#, "\""];
/// What follows the origin where the page stood in a frame of another site (WebAuthn §5.8.1).
const CROSS_ORIGIN: &[u8] = br#","crossOrigin":true"#;
const WEBAUTHN: &str = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com";

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not of the shape that it must have.
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    /// A type of key that is not used for approvals.
    #[error(
        "keys of type {0} do not approve; use ssh-ed25519, ecdsa-sha2-nistp256, or a security key of either"
    )]
    KeyType(String),
    /// Made for another purpose.
    #[error("it was made for the namespace {0:?}")]
    Namespace(String),
    /// Made with another key.
    #[error("it was made with another key")]
    OtherKey,
    /// The security key was not touched.
    #[error("nobody touched the security key")]
    NobodyPresent,
    /// The browser was at another site than the passkey's.
    #[error("the browser was at {0:?}, which is not the passkey's site")]
    Origin(String),
    /// Another site showed the page that asked for it, and may have hidden what it asked.
    #[error("the page that asked for it stood in a frame of another site")]
    Framed,
    /// It does not fit what it should sign.
    #[error("it does not fit what it should sign")]
    Mismatch,
}

/// What is signed in a message's place, and what the challenge of a passkey must be: namespace and SHA-512 of the message.
#[must_use]
pub fn signed_blob(namespace: &str, message: &[u8]) -> Vec<u8> {
    blob(namespace, &Hash::Sha512, message)
}

fn blob(namespace: &str, hash: &Hash, message: &[u8]) -> Vec<u8> {
    let (name, algorithm) = match hash {
        Hash::Sha256 => ("sha256", &digest::SHA256),
        Hash::Sha512 => ("sha512", &digest::SHA512),
    };
    let mut out = MAGIC.to_vec();
    for part in [namespace.as_bytes(), b"", name.as_bytes(), digest::digest(algorithm, message).as_ref()] {
        put(&mut out, part);
    }
    out
}

enum Hash {
    Sha256,
    Sha512,
}

/// Whether a line is a public key that may sign.
///
/// # Errors
/// Why it is none.
pub fn check_key(line: &str) -> Result<(), SignatureError> {
    PublicKey::from_line(line).map(drop)
}

/// Verifies a signature over a message, made with the key of an OpenSSH line for a namespace.
///
/// # Errors
/// It is not that.
pub fn verify(line: &str, namespace: &str, message: &[u8], armored: &str) -> Result<(), SignatureError> {
    let key = PublicKey::from_line(line)?;
    let bytes = unarmor(armored)?;
    let mut reader = Reader::new(&bytes);
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(SignatureError::Malformed("it does not begin with SSHSIG"));
    }
    if reader.number()? != 1 {
        return Err(SignatureError::Malformed("it is not of version 1"));
    }
    if reader.string()? != key.blob {
        return Err(SignatureError::OtherKey);
    }
    let made_for = reader.text()?;
    if made_for != namespace {
        return Err(SignatureError::Namespace(made_for.chars().take(64).collect()));
    }
    if !reader.string()?.is_empty() {
        return Err(SignatureError::Malformed("it uses a reserved field"));
    }
    let hash = match reader.text()? {
        "sha256" => Hash::Sha256,
        "sha512" => Hash::Sha512,
        _ => return Err(SignatureError::Malformed("its hash is neither sha256 nor sha512")),
    };
    let signature = reader.string()?;
    reader.end()?;
    verify_blob(&key.kind, &blob(namespace, &hash, message), signature)
}

fn verify_blob(kind: &Kind, signed: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let mut reader = Reader::new(signature);
    let name = reader.text()?;
    match (kind, name) {
        (Kind::Ed25519(key), "ssh-ed25519") => {
            let signature = reader.string()?;
            reader.end()?;
            check(&ED25519, key, signed, signature)
        }
        (Kind::P256(key), "ecdsa-sha2-nistp256") => {
            let signature = ecdsa(reader.string()?)?;
            reader.end()?;
            check(&ECDSA_P256_SHA256_FIXED, key, signed, &signature)
        }
        (Kind::SkEd25519(key, application), "sk-ssh-ed25519@openssh.com") => {
            let signature = reader.string()?;
            let (flags, counter) = (reader.byte()?, reader.take(4)?);
            reader.end()?;
            let message = authenticated(application, flags, counter, &[], signed)?;
            check(&ED25519, key, &message, signature)
        }
        (Kind::SkP256(key, application), "sk-ecdsa-sha2-nistp256@openssh.com") => {
            let signature = ecdsa(reader.string()?)?;
            let (flags, counter) = (reader.byte()?, reader.take(4)?);
            reader.end()?;
            let message = authenticated(application, flags, counter, &[], signed)?;
            check(&ECDSA_P256_SHA256_FIXED, key, &message, &signature)
        }
        (Kind::SkP256(key, application), WEBAUTHN) => {
            let signature = ecdsa(reader.string()?)?;
            let (flags, counter) = (reader.byte()?, reader.take(4)?);
            let (origin, client_data, extensions) = (reader.text()?, reader.string()?, reader.string()?);
            reader.end()?;
            if flags & ATTESTED_DATA != 0 || (flags & EXTENSION_DATA != 0) == extensions.is_empty() {
                return Err(SignatureError::Malformed("its flags are not those of an assertion"));
            }
            check_origin(origin, application)?;
            let rest = client_data.strip_prefix(client_data_of(signed, origin).as_slice());
            if rest.ok_or(SignatureError::Mismatch)?.starts_with(CROSS_ORIGIN) {
                return Err(SignatureError::Framed);
            }
            let message = authenticated(application, flags, counter, extensions, client_data)?;
            check(&ECDSA_P256_SHA256_FIXED, key, &message, &signature)
        }
        _ => Err(SignatureError::Malformed("its algorithm is not its key's")),
    }
}

fn check(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| SignatureError::Mismatch)
}

/// The two integers of an ECDSA signature (RFC 5656 §3.1.2), side by side.
fn ecdsa(bytes: &[u8]) -> Result<[u8; 64], SignatureError> {
    let mut reader = Reader::new(bytes);
    let (r, s) = (reader.scalar::<32>()?, reader.scalar::<32>()?);
    reader.end()?;
    let mut both = [0; 64];
    both.iter_mut().zip(r.iter().chain(&s)).for_each(|(to, from)| *to = *from);
    Ok(both)
}

/// What an authenticator signs (WebAuthn §6.3.3): for whom, how, and the hash of what it was given.
fn authenticated(
    application: &[u8],
    flags: u8,
    counter: &[u8],
    extensions: &[u8],
    signed: &[u8],
) -> Result<Vec<u8>, SignatureError> {
    if flags & USER_PRESENT == 0 {
        return Err(SignatureError::NobodyPresent);
    }
    let mut message = digest::digest(&digest::SHA256, application).as_ref().to_vec();
    message.push(flags);
    message.extend_from_slice(counter);
    message.extend_from_slice(extensions);
    message.extend_from_slice(digest::digest(&digest::SHA256, signed).as_ref());
    Ok(message)
}

/// What the browser's client data must begin with.
fn client_data_of(signed: &[u8], origin: &str) -> Vec<u8> {
    let parts = [URL_SAFE_NO_PAD.encode(signed), origin.to_owned(), String::new()];
    CLIENT_DATA
        .iter()
        .zip(parts)
        .flat_map(|(fixed, part)| [fixed.as_bytes().to_vec(), part.into_bytes()].concat())
        .collect()
}

/// The browser must have been at the passkey's site, or at a host below it (WebAuthn §5.1.4.1), over TLS.
fn check_origin(origin: &str, application: &[u8]) -> Result<(), SignatureError> {
    let refused = || SignatureError::Origin(origin.chars().take(128).collect());
    let site = std::str::from_utf8(application).map_err(|_| refused())?;
    let host = origin.strip_prefix("https://").ok_or_else(refused)?;
    let (host, port) = host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
    let port_fits = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let below = host.strip_suffix(site).is_some_and(|front| front.is_empty() || front.ends_with('.'));
    let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if !site.is_empty() && below && plain && port_fits { Ok(()) } else { Err(refused()) }
}

/// Writes a passkey's assertion down as an SSH signature, without looking whether it is good: [`verify`] does.
///
/// `signature` is the assertion's ECDSA signature in DER, `authenticator_data` and `client_data` are what came with it.
///
/// # Errors
/// They are not of the shape that an assertion has.
pub fn from_webauthn(
    line: &str,
    namespace: &str,
    authenticator_data: &[u8],
    client_data: &[u8],
    signature: &[u8],
) -> Result<String, SignatureError> {
    let key = PublicKey::from_line(line)?;
    let Kind::SkP256(..) = key.kind else {
        return Err(SignatureError::Malformed(
            "a passkey's key is of type sk-ecdsa-sha2-nistp256@openssh.com",
        ));
    };
    let mut reader = Reader::new(authenticator_data);
    reader.take(32)?;
    let (flags, counter) = (reader.byte()?, reader.take(4)?);
    let extensions = authenticator_data.get(37..).unwrap_or_default();
    let odd = SignatureError::Malformed("its client data are not as browsers write them");
    let origin = std::str::from_utf8(client_data)
        .ok()
        .and_then(|text| text.split_once(CLIENT_DATA.get(1).copied().unwrap_or_default()))
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(origin, _)| origin)
        .ok_or(odd)?;
    let mut inner = Vec::new();
    put(&mut inner, WEBAUTHN.as_bytes());
    put(&mut inner, &from_der(signature)?);
    inner.push(flags);
    inner.extend_from_slice(counter);
    put(&mut inner, origin.as_bytes());
    put(&mut inner, client_data);
    put(&mut inner, extensions);
    Ok(armor(&outer(&key.blob, namespace, &inner)))
}

/// An ECDSA signature in DER (RFC 3279 §2.2.3) as SSH writes it.
fn from_der(der: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let odd = SignatureError::Malformed("its ECDSA signature is not DER");
    // Two integers of at most 33 bytes: all lengths are of one byte.
    let mut reader = Reader::new(der);
    let head = |reader: &mut Reader<'_>, tag: u8| match (reader.byte()?, reader.byte()?) {
        (found, len @ 0..=0x7F) if found == tag => Ok(usize::from(len)),
        _ => Err(odd.clone()),
    };
    let len = head(&mut reader, 0x30)?;
    let mut inner = Reader::new(reader.take(len)?);
    reader.end()?;
    let mut out = Vec::new();
    for _ in 0..2 {
        let len = head(&mut inner, 0x02)?;
        put(&mut out, inner.take(len)?);
    }
    inner.end()?;
    Ok(out)
}

fn outer(key: &[u8], namespace: &str, signature: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&1u32.to_be_bytes());
    for part in [key, namespace.as_bytes(), b"", b"sha512", signature] {
        put(&mut out, part);
    }
    out
}

fn armor(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    let mut out = format!("{BEGIN}\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(ARMOR_LINE.min(rest.len()));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str(END);
    out.push('\n');
    out
}

fn unarmor(text: &str) -> Result<Vec<u8>, SignatureError> {
    if text.len() > ARMOR_LEN_MAX {
        return Err(SignatureError::Malformed("it is too long"));
    }
    let inner = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let inner = inner.ok_or(SignatureError::Malformed("it is not an armoured SSH signature"))?;
    let encoded: String = inner.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(encoded).map_err(|_| SignatureError::Malformed("it is not base64"))
}

#[cfg(test)]
mod tests;
