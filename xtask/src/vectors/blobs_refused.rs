//! blobs-refused.json: blobs that must not open, each with its error class.

mod pieces;

use anyhow::Result;
use dkm_core::blob::{BlobKey, HEADER_LEN, PREFIX_LEN};
use dkm_core::record::Family;
use dkm_core::{Context, Digest, Suite};

use super::blobs::{self, Sample};
use super::fixed::{self, GROUP, OTHER_GROUP};
use super::json::Json;
use super::{Topic, raw};
use pieces::{Piece, Pieces};

/// Bytes of a sealed chunk of the samples.
const FULL: usize = 4096 + 16;

/// What is handed to the reader beside the blob.
struct Reader {
    group: dkm_core::GroupId,
    family: Family,
    material: [u8; 32],
    context: Context,
}

impl Reader {
    fn right(context: &Context) -> Self {
        Self { group: GROUP, family: Family::Native, material: fixed::material(), context: context.clone() }
    }
}

struct Cases {
    samples: Vec<Sample>,
    cases: Vec<Json>,
}

impl Cases {
    /// A case; `streaming` is what a streaming reader says where it says something else.
    fn add(&mut self, name: &str, reader: &Reader, blob: &Pieces, error: &str, streaming: Option<&str>) {
        let bytes = blob.join(&self.samples);
        let mut fields = vec![
            ("name", Json::text(name)),
            ("group", Json::hex(reader.group.as_bytes())),
            ("family", Json::text(fixed::family(reader.family))),
            ("material", Json::hex(reader.material)),
            ("context", fixed::pairs(&reader.context)),
            ("blob", blob.json()),
            ("blob_sha256", Json::hex(Digest::of(&bytes).as_bytes())),
            ("error", Json::text(error)),
        ];
        if let Some(streaming) = streaming {
            fields.push(("error_streaming", Json::text(streaming)));
        }
        self.cases.push(Json::Object(fields));
    }

    fn sample(&self, name: &str) -> &Sample {
        pieces::find(&self.samples, name)
    }

    /// The usual reader, and a sample cut into pieces.
    fn cut(&mut self, name: &str, pieces: Vec<Piece>, error: &str, streaming: Option<&str>) -> Result<()> {
        self.add(name, &Reader::right(&fixed::context()?), &Pieces(pieces), error, streaming);
        Ok(())
    }

    /// The usual reader, and bytes that are written out.
    fn plain(&mut self, name: &str, bytes: Vec<u8>, error: &str) -> Result<()> {
        self.cut(name, vec![Piece::Bytes(bytes)], error, None)
    }
}

pub(crate) fn topic() -> Result<Topic> {
    let mut cases = Cases { samples: blobs::samples()?, cases: Vec::new() };
    header_fields(&mut cases)?;
    truncations(&mut cases)?;
    appended(&mut cases)?;
    moved_chunks(&mut cases)?;
    flipped_bits(&mut cases)?;
    wrong_construction(&mut cases)?;
    wrong_context(&mut cases)?;
    wrong_key(&mut cases)?;
    Ok(Topic {
        name: "blobs-refused",
        about: "Blobs that must not open, and why (docs/format.md 4.6 and 4.7)",
        cases: cases.cases,
    })
}

fn header_fields(cases: &mut Cases) -> Result<()> {
    let secret = cases.sample("suite-1-secret").blob.clone();
    let with = |at: usize, bytes: &[u8]| {
        let mut blob = secret.clone();
        blob[at..at + bytes.len()].copy_from_slice(bytes);
        blob
    };
    let flipped = |at: usize, bit: u8| with(at, &[secret[at] ^ bit]);
    for at in 0..4 {
        cases.plain(&format!("magic-byte-{at}"), flipped(at, 0x80 >> at), "not-a-blob")?;
    }
    cases.plain("magic-zero", with(0, &[0; 4]), "not-a-blob")?;
    cases.plain("text", b"The quick brown fox jumps over the lazy dog. ".repeat(3), "not-a-blob")?;
    cases.plain("windows-blob", [&[0, 0, 0, 1, 0, 0, 0, 0, 4, 16][..], &[7; 100]].concat(), "not-a-blob")?;
    cases.plain("magic-behind-one-byte", [&[0], secret.as_slice()].concat(), "not-a-blob")?;
    for version in [0, 2, 0x81, 255] {
        cases.plain(&format!("version-{version}"), with(4, &[version]), "unknown-version")?;
    }
    for suite in [0u16, 4, 0x0101, 0x0100, 0xffff] {
        let blob = with(5, &suite.to_be_bytes());
        cases.plain(&format!("suite-{suite:04x}"), blob, "unknown-suite")?;
    }
    for suite in [2u16, 3] {
        let blob = with(5, &suite.to_be_bytes());
        cases.plain(&format!("suite-1-relabelled-{suite}"), blob, "wrong-context")?;
    }
    for flags in [0x01, 0x10, 0x80, 0xff] {
        cases.plain(&format!("flags-{flags:02x}"), with(7, &[flags]), "unknown-flags")?;
    }
    for (field, from, to, error) in [
        ("group", 8, 23, "wrong-group"),
        ("key-id", 24, 39, "wrong-key"),
        ("salt", 40, 71, "wrong-context"),
        ("commitment", 76, 107, "wrong-context"),
    ] {
        cases.plain(&format!("{field}-first-bit"), flipped(from, 0x80), error)?;
        cases.plain(&format!("{field}-middle-bit"), flipped(from + (to - from) / 2, 0x08), error)?;
        cases.plain(&format!("{field}-last-bit"), flipped(to, 0x01), error)?;
        cases.plain(&format!("{field}-zero"), with(from, &vec![0; to - from + 1]), error)?;
    }
    for size in [0u32, 1, 2048, 4095, 4097, 8192, 2 << 20, 0x8000_1000, u32::MAX] {
        let blob = with(72, &size.to_be_bytes());
        cases.plain(&format!("chunk-size-{size}"), blob, "bad-chunk-size")?;
    }
    for size in [16_384u32, 1 << 20] {
        let blob = with(72, &size.to_be_bytes());
        cases.plain(&format!("chunk-size-4096-relabelled-{size}"), blob, "wrong-context")?;
    }
    Ok(())
}

fn truncations(cases: &mut Cases) -> Result<()> {
    let secret = cases.sample("suite-1-secret").blob.clone();
    cases.plain("cut-to-0-nothing-left", Vec::new(), "not-a-blob")?;
    for (len, place) in [
        (1, "within-magic"),
        (4, "behind-magic"),
        (5, "behind-version"),
        (7, "behind-suite"),
        (8, "behind-flags"),
        (24, "behind-group"),
        (40, "behind-key-id"),
        (72, "behind-salt"),
        (75, "within-chunk-size"),
        (HEADER_LEN, "behind-header"),
        (77, "within-commitment"),
        (107, "within-commitment-last-byte"),
        (PREFIX_LEN, "behind-commitment"),
        (PREFIX_LEN + 1, "first-byte-of-chunk"),
        (PREFIX_LEN + 15, "less-than-a-tag"),
    ] {
        cases.plain(&format!("cut-to-{len}-{place}"), secret[..len].to_vec(), "truncated")?;
    }
    for (len, place) in [
        (PREFIX_LEN + 16, "within-chunk-as-long-as-a-tag"),
        (PREFIX_LEN + 31, "within-chunk"),
        (PREFIX_LEN + 32, "behind-ciphertext-without-tag"),
        (PREFIX_LEN + 47, "within-tag"),
    ] {
        cases.plain(&format!("cut-to-{len}-{place}"), secret[..len].to_vec(), "corrupt")?;
    }
    let cut = |len| vec![Piece::of("three-chunks", 0, len)];
    let (second, third) = (PREFIX_LEN + FULL, PREFIX_LEN + 2 * FULL);
    cases.cut("three-chunks-cut-within-first", cut(PREFIX_LEN + 100), "corrupt", None)?;
    cases.cut("three-chunks-cut-within-first-tag", cut(second - 1), "corrupt", None)?;
    cases.cut("three-chunks-cut-behind-first", cut(second), "corrupt", None)?;
    cases.cut("three-chunks-cut-one-byte-behind-first", cut(second + 1), "truncated", None)?;
    cases.cut("three-chunks-cut-a-tag-behind-first", cut(second + 16), "truncated", Some("corrupt"))?;
    cases.cut("three-chunks-cut-seventeen-behind-first", cut(second + 17), "corrupt", None)?;
    cases.cut("three-chunks-cut-within-second-tag", cut(third - 5), "corrupt", None)?;
    cases.cut("three-chunks-cut-behind-second", cut(third), "corrupt", None)?;
    cases.cut("three-chunks-cut-within-last", cut(third + 2000), "corrupt", None)?;
    cases.cut("three-chunks-cut-within-last-tag", cut(third + FULL - 1), "corrupt", None)?;
    cases.cut(
        "last-chunk-of-one-byte-cut-to-its-tag",
        vec![Piece::of("suite-1-8193-bytes", 0, third + 16)],
        "truncated",
        Some("corrupt"),
    )
}

fn appended(cases: &mut Cases) -> Result<()> {
    let secret = cases.sample("suite-1-secret").blob.clone();
    for len in [1usize, 16, 17] {
        let blob = [secret.as_slice(), &vec![0; len]].concat();
        cases.plain(&format!("appended-{len}"), blob, "corrupt")?;
    }
    cases.plain("blob-twice", secret.repeat(2), "corrupt")?;
    let empty = cases.sample("suite-1-0-bytes").blob.clone();
    cases.plain("appended-1-to-empty-plaintext", [empty.as_slice(), &[0]].concat(), "corrupt")?;
    cases.plain("empty-blob-twice", empty.repeat(2), "corrupt")?;
    // Behind a full chunk the length alone may show it; a streaming reader opens the chunk before it knows.
    let whole = Piece::of("suite-1-4096-bytes", 0, PREFIX_LEN + FULL);
    for (len, error, streaming) in
        [(1, "truncated", Some("corrupt")), (16, "truncated", Some("corrupt")), (17, "corrupt", None)]
    {
        let pieces = vec![whole.clone(), Piece::Bytes(vec![0; len])];
        cases.cut(&format!("full-chunk-appended-{len}"), pieces, error, streaming)?;
    }
    Ok(())
}

fn moved_chunks(cases: &mut Cases) -> Result<()> {
    let prefix = Piece::of("three-chunks", 0, PREFIX_LEN);
    let chunk = |i: usize| Piece::of("three-chunks", PREFIX_LEN + i * FULL, PREFIX_LEN + (i + 1) * FULL);
    for (name, order) in [
        ("chunks-swapped-first-and-second", &[1, 0, 2][..]),
        ("chunks-swapped-second-and-last", &[0, 2, 1]),
        ("chunks-reversed", &[2, 1, 0]),
        ("chunk-repeated-first", &[0, 0, 1, 2]),
        ("chunk-repeated-second", &[0, 1, 1, 2]),
        ("chunk-repeated-last", &[0, 1, 2, 2]),
        ("chunk-in-place-of-another", &[0, 0, 2]),
        ("chunk-dropped-first", &[1, 2]),
        ("chunk-dropped-second", &[0, 2]),
        ("chunk-dropped-last", &[0, 1]),
        ("chunk-last-alone", &[2]),
        ("chunks-twice", &[0, 1, 2, 0, 1, 2]),
    ] {
        let pieces = std::iter::once(prefix.clone()).chain(order.iter().map(|i| chunk(*i))).collect();
        cases.cut(name, pieces, "corrupt", None)?;
    }
    let foreign = Piece::of("suite-1-8192-bytes", PREFIX_LEN, PREFIX_LEN + FULL);
    cases.cut("chunk-of-another-blob", vec![prefix, foreign, chunk(1), chunk(2)], "corrupt", None)?;
    let body = Piece::of("three-chunks", PREFIX_LEN, PREFIX_LEN + 3 * FULL);
    let other = Piece::of("suite-1-8192-bytes", 0, PREFIX_LEN);
    cases.cut("prefix-of-another-blob", vec![other, body], "corrupt", None)?;
    let header = Piece::of("three-chunks", 0, HEADER_LEN);
    let rest = Piece::of("suite-1-8192-bytes", HEADER_LEN, PREFIX_LEN + 2 * FULL);
    cases.cut("header-of-another-blob", vec![header, rest], "wrong-context", None)
}

fn flipped_bits(cases: &mut Cases) -> Result<()> {
    for suite in 1..=3 {
        let blob = cases.sample(&format!("suite-{suite}-secret")).blob.clone();
        for (place, at, bit) in [
            ("ciphertext-first-bit", PREFIX_LEN, 0x80),
            ("ciphertext-last-bit", PREFIX_LEN + 31, 0x01),
            ("tag-first-bit", PREFIX_LEN + 32, 0x80),
            ("tag-last-bit", PREFIX_LEN + 47, 0x01),
        ] {
            let mut blob = blob.clone();
            blob[at] ^= bit;
            cases.plain(&format!("suite-{suite}-{place}"), blob, "corrupt")?;
        }
    }
    let blob = cases.sample("three-chunks").blob.clone();
    let len = blob.len();
    for (place, at) in [
        ("first-chunk", PREFIX_LEN + 7),
        ("second-chunk", PREFIX_LEN + FULL + 2000),
        ("second-tag", PREFIX_LEN + 2 * FULL - 1),
        ("last-chunk", PREFIX_LEN + 2 * FULL),
    ] {
        let pieces = vec![
            Piece::of("three-chunks", 0, at),
            Piece::Bytes(vec![blob[at] ^ 0x10]),
            Piece::of("three-chunks", at + 1, len),
        ];
        cases.cut(&format!("three-chunks-bit-in-{place}"), pieces, "corrupt", None)?;
    }
    Ok(())
}

/// Made with the right key, by a writer that breaks a rule.
fn wrong_construction(cases: &mut Cases) -> Result<()> {
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

fn wrong_context(cases: &mut Cases) -> Result<()> {
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

fn wrong_key(cases: &mut Cases) -> Result<()> {
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
