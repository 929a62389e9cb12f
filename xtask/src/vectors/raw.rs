//! The construction written out, for bytes that the product refuses to make.

use anyhow::{Result, anyhow};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use dkm_core::{Context, Digest, Suite, kdf};

/// What is derived for one blob.
pub(crate) struct Derived {
    /// The bytes behind each counter.
    pub(crate) fixed_input: Vec<u8>,
    pub(crate) aead_key: [u8; 32],
    pub(crate) commitment: [u8; 32],
}

/// docs/format.md §4.3.
pub(crate) fn derive(material: &[u8; 32], suite: u16, header: &[u8], context_hash: Digest) -> Derived {
    let context = [header, context_hash.as_bytes().as_slice()].concat();
    let fixed_input = kdf::fixed_input(&suite.to_be_bytes(), &context, 512);
    let mut both = [0u8; 64];
    kdf::derive(&hmac::Key::new(hmac::HMAC_SHA256, material), &fixed_input, &mut both);
    let (mut aead_key, mut commitment) = ([0; 32], [0; 32]);
    aead_key.copy_from_slice(&both[..32]);
    commitment.copy_from_slice(&both[32..]);
    Derived { fixed_input, aead_key, commitment }
}

/// One chunk with its tag, under any nonce and any AAD.
pub(crate) fn seal(
    suite: Suite,
    key: &[u8],
    nonce: [u8; 12],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>> {
    let algorithm = match suite {
        Suite::Aes256Gcm => &aead::AES_256_GCM,
        Suite::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        Suite::Aes256GcmSiv => &aead::AES_256_GCM_SIV,
    };
    let failed = |_| anyhow!("the primitive failed");
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).map_err(failed)?);
    let mut out = plaintext.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut out)
        .map_err(failed)?;
    Ok(out)
}

/// A nonce of docs/format.md §4.4.
pub(crate) fn nonce(counter: u64, last: u8) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = last;
    nonce
}

/// A whole blob from its header: each chunk with its counter and last-flag.
pub(crate) fn blob(
    material: &[u8; 32],
    suite: Suite,
    header: &[u8],
    context: &Context,
    chunks: &[(u64, u8, &[u8])],
) -> Result<Vec<u8>> {
    let derived = derive(material, suite.number(), header, context.hash());
    let mut out = [header, &derived.commitment].concat();
    for (counter, last, plaintext) in chunks {
        out.extend(seal(suite, &derived.aead_key, nonce(*counter, *last), &[], plaintext)?);
    }
    Ok(out)
}

/// CBOR written by hand: canonical heads by default, whatever is needed otherwise.
pub(crate) mod cbor {
    /// Head of an item: major type and argument in the shortest form.
    pub(crate) fn head(major: u8, argument: u64) -> Vec<u8> {
        let bytes = argument.to_be_bytes();
        let (info, len) = match argument {
            0..24 => return vec![(major << 5) | bytes[7]],
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        [&[(major << 5) | info], &bytes[8 - len..]].concat()
    }

    pub(crate) fn number(value: u64) -> Vec<u8> {
        head(0, value)
    }

    fn with_len(major: u8, bytes: &[u8]) -> Vec<u8> {
        [head(major, u64::try_from(bytes.len()).unwrap_or(u64::MAX)), bytes.to_vec()].concat()
    }

    pub(crate) fn bytes(value: &[u8]) -> Vec<u8> {
        with_len(2, value)
    }

    pub(crate) fn text(value: &str) -> Vec<u8> {
        with_len(3, value.as_bytes())
    }

    pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
        [head(4, u64::try_from(items.len()).unwrap_or(u64::MAX)), items.concat()].concat()
    }

    /// A map with small integer keys, in the order given.
    pub(crate) fn map(fields: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut out = head(5, u64::try_from(fields.len()).unwrap_or(u64::MAX));
        for (key, value) in fields {
            out.extend(number(*key));
            out.extend(value);
        }
        out
    }
}
