//! blobs.json and blobs-large.json: blobs that open.

use anyhow::{Context as _, Result};
use dkm_core::blob::{Header, PREFIX_LEN, blob_id, seal};
use dkm_core::{Context, Digest, Suite};

use super::json::Json;
use super::{Topic, fixed};

/// A blob that opens, and what it was made of.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) header: Header,
    pub(crate) context: Context,
    pub(crate) plaintext: Json,
    pub(crate) blob: Vec<u8>,
}

impl Sample {
    fn new(
        name: &str,
        suite: Suite,
        chunk_size: u32,
        context: &Context,
        plaintext: (Vec<u8>, Json),
    ) -> Result<Self> {
        let header = fixed::header(name, suite, chunk_size)?;
        let blob = seal(&fixed::key(), &header, context, &plaintext.0).with_context(|| name.to_owned())?;
        let context = context.clone();
        Ok(Self { name: name.to_owned(), header, context, plaintext: plaintext.1, blob })
    }

    fn counting(name: &str, suite: Suite, chunk_size: u32, len: usize) -> Result<Self> {
        let plaintext = (fixed::counting(len), Json::counting(len));
        Self::new(name, suite, chunk_size, &fixed::context()?, plaintext)
    }

    fn text(name: &str, suite: Suite, context: &Context, text: &[u8]) -> Result<Self> {
        Self::new(name, suite, 4096, context, (text.to_vec(), Json::bytes(text)))
    }

    fn json(&self, blob: Vec<(&'static str, Json)>) -> Json {
        let (prefix, _) = self.blob.split_first_chunk::<PREFIX_LEN>().unwrap_or((&[0; PREFIX_LEN], &[]));
        let mut fields = vec![
            ("name", Json::text(&self.name)),
            ("group", Json::hex(self.header.group().as_bytes())),
            ("family", Json::text("native")),
            ("material", Json::hex(fixed::material())),
            ("suite", Json::from(u32::from(self.header.suite().number()))),
            ("salt", Json::hex(self.header.salt())),
            ("chunk_size", Json::from(self.header.chunk_len())),
            ("context", fixed::pairs(&self.context)),
            ("plaintext", self.plaintext.clone()),
            ("key_id", Json::hex(self.header.key().as_bytes())),
            ("blob_id", Json::hex(blob_id(prefix).as_bytes())),
        ];
        fields.extend(blob);
        Json::Object(fields)
    }

    fn whole(&self) -> Json {
        self.json(vec![("blob", Json::bytes(&self.blob))])
    }

    fn hashed(&self) -> Json {
        self.json(vec![
            ("blob_prefix", Json::hex(&self.blob[..PREFIX_LEN])),
            ("blob_len", Json::from(self.blob.len())),
            ("blob_sha256", Json::hex(Digest::of(&self.blob).as_bytes())),
        ])
    }
}

/// A secret as people keep it.
const SECRET: &[u8] = b"correct horse battery staple 32b";

/// All blobs of blobs.json.
pub(crate) fn samples() -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for suite in Suite::ALL {
        let number = suite.number();
        samples.push(Sample::text(&format!("suite-{number}-secret"), suite, &fixed::context()?, SECRET)?);
        for len in [0, 1, 15, 16, 17, 4095, 4096, 4097, 8192, 8193] {
            samples.push(Sample::counting(&format!("suite-{number}-{len}-bytes"), suite, 4096, len)?);
        }
    }
    let gcm = Suite::Aes256Gcm;
    samples.push(Sample::counting("three-chunks", gcm, 4096, 3 * 4096)?);
    let with = |key: &[u8], value: &[u8]| Context::new().with(key, value);
    let full =
        (0..64).try_fold(Context::new(), |context, i| context.with(format!("key-{i:02}"), format!("{i}")))?;
    let contexts = [
        ("context-without-pairs", Context::new()),
        ("context-one-pair", with(b"account", b"alice@example.org")?),
        ("context-empty-value", with(b"account", b"")?),
        ("context-binary", with(&[0x00, 0xff], &[0xfe, 0x00])?.with([0x80], [])?),
        ("context-utf-8", with("nom".as_bytes(), "Zo\u{eb}".as_bytes())?),
        ("context-most-pairs", full),
        ("context-longest", with(b"k", &vec![0; 8192 - 7])?),
    ];
    for (name, context) in contexts {
        samples.push(Sample::text(name, gcm, &context, SECRET)?);
    }
    Ok(samples)
}

pub(crate) fn topic() -> Result<Topic> {
    let cases = samples()?.iter().map(Sample::whole).collect();
    Ok(Topic { name: "blobs", about: "Blobs that open, whole (docs/format.md 4)", cases })
}

pub(crate) fn large() -> Result<Topic> {
    let mut cases = Vec::new();
    for chunk_size in [16_384u32, 65_536, 262_144, 1_048_576] {
        let size = usize::try_from(chunk_size)?;
        for len in [size - 1, size, size + 1] {
            let name = format!("chunks-of-{chunk_size}-{len}-bytes");
            cases.push(Sample::counting(&name, Suite::Aes256Gcm, chunk_size, len)?.hashed());
        }
    }
    for suite in [Suite::ChaCha20Poly1305, Suite::Aes256GcmSiv] {
        let name = format!("suite-{}-chunks-of-65536-three", suite.number());
        cases.push(Sample::counting(&name, suite, 65_536, 3 * 65_536)?.hashed());
    }
    // Counters of more than one byte.
    cases.push(
        Sample::counting("chunks-of-4096-more-than-256", Suite::Aes256Gcm, 4096, 257 * 4096 + 9)?.hashed(),
    );
    Ok(Topic {
        name: "blobs-large",
        about: "Blobs that are too long to stand here: make them from their parts, compare length and SHA-256, and open them",
        cases,
    })
}
