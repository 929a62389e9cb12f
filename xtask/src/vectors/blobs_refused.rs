//! blobs-refused.json: blobs that must not open, each with its error class.

mod pieces;
mod wrong;

use anyhow::Result;
use dkm_core::blob::{HEADER_LEN, PREFIX_LEN};
use dkm_core::record::Family;
use dkm_core::{Context, Digest};

use super::Topic;
use super::blobs::{self, Sample};
use super::fixed::{self, GROUP};
use super::json::Json;
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
    wrong::construction(&mut cases)?;
    wrong::context(&mut cases)?;
    wrong::key(&mut cases)?;
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
