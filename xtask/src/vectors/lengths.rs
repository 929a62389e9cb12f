//! lengths.json and lengths-refused.json: how long blobs are, up to the limit.

use anyhow::{Context as _, Result};
use dkm_core::blob::{BLOB_LEN_MAX, Layout, PREFIX_LEN};

use super::Topic;
use super::json::Json;

pub(crate) fn topic() -> Result<Topic> {
    let mut cases = Vec::new();
    for (plaintext_len, chunk_size) in [
        (0, 4096),
        (1, 4096),
        (4095, 4096),
        (4096, 4096),
        (4097, 4096),
        (8192, 4096),
        (12_289, 4096),
        (65_536, 65_536),
        (1 << 30, 65_536),
        ((1 << 20) + 1, 1 << 20),
        (most(4096), 4096),
        (most(1 << 20), 1 << 20),
    ] {
        let layout = Layout::of_plaintext(plaintext_len, chunk_size)
            .with_context(|| format!("{plaintext_len} bytes do not fit into a blob"))?;
        cases.push(Json::object([
            ("name", Json::text(format!("{plaintext_len}-bytes-in-chunks-of-{chunk_size}"))),
            ("chunk_size", Json::from(chunk_size)),
            ("plaintext_len", Json::from(plaintext_len)),
            ("chunks", Json::from(layout.chunks())),
            ("blob_len", Json::from(layout.blob_len())),
        ]));
    }
    Ok(Topic { name: "lengths", about: "Lengths of plaintexts and their blobs (docs/format.md 4.5)", cases })
}

/// The longest plaintext: the blob has 2^48 bytes, or the most below it that is possible.
fn most(chunk_size: u64) -> u64 {
    let sealed = BLOB_LEN_MAX - u64::try_from(PREFIX_LEN).unwrap_or(0);
    let chunks = sealed.div_ceil(chunk_size + 16);
    sealed - 16 * chunks
}

pub(crate) fn refused() -> Topic {
    let blob = |name: &str, chunk_size: u64, len: u64, error: &str| {
        Json::object([
            ("name", Json::text(name)),
            ("chunk_size", Json::from(chunk_size)),
            ("blob_len", Json::from(len)),
            ("error", Json::text(error)),
        ])
    };
    let plaintext = |name: &str, chunk_size: u64, len: u64| {
        Json::object([
            ("name", Json::text(name)),
            ("chunk_size", Json::from(chunk_size)),
            ("plaintext_len", Json::from(len)),
            ("error", Json::text("too-large")),
        ])
    };
    let cases = vec![
        blob("no-bytes", 4096, 0, "truncated"),
        blob("no-chunk", 4096, 108, "truncated"),
        blob("less-than-a-tag", 4096, 123, "truncated"),
        blob("one-byte-behind-a-full-chunk", 4096, 108 + 4112 + 1, "truncated"),
        blob("a-tag-without-content-behind-a-full-chunk", 4096, 108 + 4112 + 16, "truncated"),
        blob("a-tag-without-content-behind-two", 4096, 108 + 2 * 4112 + 16, "truncated"),
        blob("one-byte-behind-a-full-chunk-of-64-kib", 65_536, 108 + 65_552 + 1, "truncated"),
        blob("blob-beyond-the-limit", 4096, BLOB_LEN_MAX + 1, "too-large"),
        blob("blob-of-the-greatest-length", 1 << 20, u64::MAX, "too-large"),
        plaintext("plaintext-one-byte-beyond-the-limit", 4096, most(4096) + 1),
        plaintext("plaintext-of-the-limit-of-blobs", 65_536, BLOB_LEN_MAX),
        plaintext("plaintext-of-the-greatest-length", 1 << 20, u64::MAX),
    ];
    Topic { name: "lengths-refused", about: "Lengths that no blob has (docs/format.md 4.5)", cases }
}
