//! Blobs of a writer that breaks a rule, and sound blobs for the wrong reader.

use anyhow::Result;
use dkm_core::blob::{BlobKey, PREFIX_LEN};
use dkm_core::record::Family;
use dkm_core::{Context, Suite};

use super::super::fixed::{self, GROUP, OTHER_GROUP};
use super::super::raw;
use super::pieces::{Piece, Pieces};
use super::{Cases, Reader};

/// Made with the right key, by a writer that breaks a rule.
pub(super) fn construction(cases: &mut Cases) -> Result<()> {
    let context = fixed::context()?;
    let material = fixed::material();
    let gcm = Suite::Aes256Gcm;
    let full = fixed::counting(4096);
    let full = full.as_slice();
    for (name, chunks, error, streaming) in [
        ("single-chunk-not-marked-last", &[(0, 0, &b"secret"[..])][..], "corrupt", None),
        ("single-full-chunk-not-marked-last", &[(0, 0, full)], "corrupt", None),
        ("empty-chunk-not-marked-last", &[(0, 0, b"")], "corrupt", None),
        ("last-of-two-not-marked-last", &[(0, 0, full), (1, 0, b"end")], "corrupt", None),
        ("first-of-two-marked-last", &[(0, 1, full), (1, 1, b"end")], "corrupt", None),
        ("mark-of-last-is-2", &[(0, 2, b"secret")], "corrupt", None),
        ("empty-chunk-behind-a-full-one", &[(0, 0, full), (1, 1, b"")], "truncated", Some("corrupt")),
        ("short-chunk-before-another", &[(0, 0, b"short"), (1, 1, b"end")], "corrupt", None),
        ("counter-from-1", &[(1, 1, b"secret")], "corrupt", None),
        ("counter-skips-one", &[(0, 0, full), (2, 1, b"end")], "corrupt", None),
        ("counter-little-endian", &[(0, 0, full), (1 << 56, 1, b"end")], "corrupt", None),
    ] {
        let header = fixed::header(name, gcm, 4096)?.encode();
        let blob = raw::blob(&material, gcm, &header, &context, chunks)?;
        cases.cut(name, vec![Piece::Bytes(blob)], error, streaming)?;
    }
    let name = "chunk-with-aad";
    let header = fixed::header(name, gcm, 4096)?.encode();
    let derived = raw::derive(&material, 1, &header, context.hash());
    let prefix = [header.as_slice(), &derived.commitment].concat();
    let chunk = raw::seal(gcm, &derived.aead_key, raw::nonce(0, 1), &header, b"secret")?;
    cases.plain(name, [prefix.as_slice(), &chunk].concat(), "corrupt")?;
    let other = raw::derive(&fixed::other_material(), 1, &header, context.hash());
    let chunk = raw::seal(gcm, &other.aead_key, raw::nonce(0, 1), &[], b"secret")?;
    cases.plain(
        "commitment-right-chunk-under-another-key",
        [prefix.as_slice(), &chunk].concat(),
        "corrupt",
    )?;
    let chunk = raw::seal(gcm, &derived.aead_key, raw::nonce(0, 1), &[], b"secret")?;
    let swapped = [header.as_slice(), &other.commitment, &chunk].concat();
    cases.plain("commitment-of-another-key-chunk-right", swapped, "wrong-context")?;
    // A key commitment that is the AEAD key would give it away.
    let swapped = [header.as_slice(), &derived.aead_key, &chunk].concat();
    cases.plain("commitment-is-the-first-half-of-the-derivation", swapped, "wrong-context")
}

pub(super) fn context(cases: &mut Cases) -> Result<()> {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().try_fold(Context::new(), |context, (key, value)| context.with(key, value))
    };
    for (name, context) in [
        ("context-missing", pairs(&[])?),
        ("context-one-pair-missing", pairs(&[("purpose", "mail-token")])?),
        ("context-one-pair-more", fixed::context()?.with("extra", "")?),
        ("context-other-value", pairs(&[("purpose", "mail-token"), ("account", "bob@example.org")])?),
        ("context-other-case", pairs(&[("purpose", "Mail-token"), ("account", "alice@example.org")])?),
        ("context-other-key", pairs(&[("purposes", "mail-token"), ("account", "alice@example.org")])?),
        ("context-values-exchanged", pairs(&[("account", "mail-token"), ("purpose", "alice@example.org")])?),
        (
            "context-byte-moved-from-value-to-key",
            pairs(&[("purposem", "ail-token"), ("account", "alice@example.org")])?,
        ),
    ] {
        let len = cases.sample("suite-1-secret").blob.len();
        let blob = Pieces(vec![Piece::of("suite-1-secret", 0, len)]);
        cases.add(name, &Reader::right(&context), &blob, "wrong-context", None);
    }
    for (name, sample, context) in [
        ("context-given-where-none-was", "context-without-pairs", pairs(&[("account", "")])?),
        ("context-empty-value-left-out", "context-empty-value", pairs(&[])?),
        ("context-utf-8-normalised-otherwise", "context-utf-8", pairs(&[("nom", "Zoe\u{308}")])?),
    ] {
        let len = cases.sample(sample).blob.len();
        let blob = Pieces(vec![Piece::of(sample, 0, len)]);
        cases.add(name, &Reader::right(&context), &blob, "wrong-context", None);
    }
    Ok(())
}

pub(super) fn key(cases: &mut Cases) -> Result<()> {
    let context = fixed::context()?;
    let secret = cases.sample("suite-1-secret").blob.clone();
    let whole = Pieces(vec![Piece::of("suite-1-secret", 0, secret.len())]);
    let other_group = Reader { group: OTHER_GROUP, ..Reader::right(&context) };
    cases.add("reader-of-another-group", &other_group, &whole, "wrong-group", None);
    let other_key = Reader { material: fixed::other_material(), ..Reader::right(&context) };
    cases.add("reader-with-another-key", &other_key, &whole, "wrong-key", None);
    let windows = Reader { family: Family::Windows, ..Reader::right(&context) };
    cases.add("reader-with-the-same-material-of-the-windows-family", &windows, &whole, "wrong-key", None);

    // Labels rewritten for the reader: only the derivation stands in the way.
    let mut moved = secret.clone();
    moved[8..24].copy_from_slice(OTHER_GROUP.as_bytes());
    let blob = Pieces(vec![Piece::Bytes(moved.clone())]);
    cases.add("group-rewritten-for-its-reader", &other_group, &blob, "wrong-key", None);
    let id = BlobKey::new(OTHER_GROUP, Family::Native, &fixed::material()).id();
    moved[24..40].copy_from_slice(id.as_bytes());
    let blob = Pieces(vec![Piece::Bytes(moved)]);
    cases.add("group-and-key-id-rewritten-for-their-reader", &other_group, &blob, "wrong-context", None);
    let mut relabelled = secret;
    let id = BlobKey::new(GROUP, Family::Native, &fixed::other_material()).id();
    relabelled[24..40].copy_from_slice(id.as_bytes());
    let blob = Pieces(vec![Piece::Bytes(relabelled)]);
    cases.add("key-id-rewritten-for-its-reader", &other_key, &blob, "wrong-context", None);

    // A blob that is right in all but the family of its key.
    let id = BlobKey::new(GROUP, Family::Windows, &fixed::material()).id();
    let mut header = fixed::header("windows family", Suite::Aes256Gcm, 4096)?.encode();
    header[24..40].copy_from_slice(id.as_bytes());
    let blob = raw::blob(&fixed::material(), Suite::Aes256Gcm, &header, &context, &[(0, 1, b"secret")])?;
    cases.add(
        "key-of-the-windows-family",
        &windows,
        &Pieces(vec![Piece::Bytes(blob)]),
        "foreign-family",
        None,
    );

    // Several faults: the first check that fails gives the class.
    let mut version_and_suite = fixed::header("several faults", Suite::Aes256Gcm, 4096)?.encode().to_vec();
    version_and_suite[4] = 9;
    version_and_suite[6] = 9;
    cases.plain("version-and-suite-unknown", version_and_suite.clone(), "unknown-version")?;
    version_and_suite[4] = 1;
    version_and_suite[7] = 9;
    cases.plain("suite-and-flags-unknown", version_and_suite.clone(), "unknown-suite")?;
    version_and_suite[6] = 1;
    version_and_suite[75] = 9;
    cases.plain("flags-and-chunk-size-unknown", version_and_suite, "unknown-flags")?;
    let no_chunk = Pieces(vec![Piece::of("suite-1-secret", 0, PREFIX_LEN)]);
    cases.add("another-group-and-no-chunk", &other_group, &no_chunk, "truncated", Some("wrong-group"));
    Ok(())
}
