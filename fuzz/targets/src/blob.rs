//! The blob: header, whole blobs by each of the three readers, and edited blobs.

use std::io::Cursor;

use dkm_core::blob::{
    BlobError, BlobKey, ChunkCipher, HEADER_LEN, Header, PREFIX_LEN, SeekingReader, open_stream, seal,
    seal_stream,
};
use dkm_core::record::Family;
use dkm_core::{Context, GroupId, Suite};

const GROUP: GroupId = GroupId([0x47; 16]);
const MATERIAL: [u8; 32] = [0x4d; 32];

fn key() -> BlobKey {
    BlobKey::new(GROUP, Family::Native, &MATERIAL)
}

/// What is read as a header is written back as the same bytes.
pub(crate) fn header(input: &[u8]) {
    if let Ok(header) = Header::parse(input) {
        assert_eq!(header.encode(), input[..HEADER_LEN], "a header has one encoding");
    }
}

/// Slice, stream and seeking reader agree on any bytes, and what they open has one encoding.
///
/// Then once more with the input's group, key and commitment replaced by right ones, since no fuzzer guesses them: so
/// the input reaches the chunks.
pub(crate) fn open(input: &[u8]) {
    let (key, context) = (key(), Context::new());
    let opens_once = |blob: &[u8]| {
        if let Ok(plaintext) = readers_agree(&key, &context, blob) {
            let header = Header::parse(blob).expect("it was opened");
            assert_eq!(seal(&key, &header, &context, &plaintext).expect("it was sealed once"), blob);
        }
    };
    opens_once(input);
    if let Some(blob) = rightly_begun(&key, &context, input) {
        opens_once(&blob);
    }
}

/// The same blob with the header's group and key replaced by the right ones, and the commitment that belongs to it.
fn rightly_begun(key: &BlobKey, context: &Context, input: &[u8]) -> Option<Vec<u8>> {
    let found = Header::parse(input).ok()?;
    let chunk_size = u32::try_from(found.chunk_len()).expect("at most 1 MiB");
    let header = Header::new(found.suite(), key.group(), key.id(), *found.salt(), chunk_size)
        .expect("the parser let the chunk size through");
    let cipher = ChunkCipher::sealing(key, &header, context).expect("the key is the right one");
    let mut blob = input.to_vec();
    blob.resize(blob.len().max(PREFIX_LEN), 0);
    blob[..PREFIX_LEN].copy_from_slice(cipher.prefix());
    Some(blob)
}

/// Opens with all three readers; all succeed with the same plaintext or all fail.
fn readers_agree(key: &BlobKey, context: &Context, blob: &[u8]) -> Result<Vec<u8>, BlobError> {
    let whole = dkm_core::blob::open(key, context, blob).map(|plaintext| plaintext.to_vec());
    let streamed = stream(key, context, blob);
    let sought = seek(key, context, blob);
    match (&whole, &streamed, &sought) {
        (Ok(whole), Ok(streamed), Ok(sought)) => {
            assert_eq!(whole, streamed, "slice and stream disagree");
            assert_eq!(whole, sought, "slice and seeking reader disagree");
        }
        (Err(_), Err(_), Err(_)) => {}
        outcomes => panic!(
            "readers disagree: slice {:?}, stream {:?}, seeking {:?}",
            outcomes.0.as_ref().map(Vec::len),
            outcomes.1.as_ref().map(Vec::len),
            outcomes.2.as_ref().map(Vec::len)
        ),
    }
    whole
}

fn stream(key: &BlobKey, context: &Context, blob: &[u8]) -> Result<Vec<u8>, BlobError> {
    let cipher = ChunkCipher::opening(key, context, blob)?;
    let mut out = Vec::new();
    let len = open_stream(&cipher, &mut blob.get(PREFIX_LEN..).unwrap_or_default(), &mut out)?;
    assert_eq!(usize::try_from(len), Ok(out.len()));
    Ok(out)
}

fn seek(key: &BlobKey, context: &Context, blob: &[u8]) -> Result<Vec<u8>, BlobError> {
    let mut reader = SeekingReader::new(Cursor::new(blob), key, context)?;
    let len = usize::try_from(reader.plaintext_len()).expect("no longer than the blob");
    assert!(len <= blob.len(), "a plaintext is shorter than its blob");
    let mut out = vec![0; len + 1];
    let read = reader.read_at(0, &mut out)?;
    assert_eq!(read, len, "the reader gives what it announced");
    out.truncate(len);
    // A range in the middle is the middle of the whole.
    let (from, to) = (len / 3, len - len / 4);
    let mut middle = vec![0; to.saturating_sub(from)];
    let read = reader.read_at(u64::try_from(from).expect("small"), &mut middle)?;
    assert_eq!(middle[..read], out[from..from + read]);
    Ok(out)
}

/// Seals a plaintext, edits the blob as the input says, and opens it: it opens only if it is the blob that was sealed,
/// in the context it was sealed in.
///
/// Input: suite, chunk size, kind of edit, two 4-byte places, length of the plaintext in two bytes, then plaintext.
pub(crate) fn edit(input: &[u8]) {
    let Some((&[suite, size, kind, a, b, c, d, e, f, g, h, high, low], rest)) = input.split_first_chunk()
    else {
        return;
    };
    let suites = [Suite::Aes256Gcm, Suite::ChaCha20Poly1305, Suite::Aes256GcmSiv];
    let suite = suites[usize::from(suite) % suites.len()];
    // The smallest chunks mostly: they make most chunks a byte of input.
    let chunk_size = if size == 0 { 16 * 1024 } else { 4096 };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let plaintext: Vec<u8> =
        rest.iter().copied().cycle().take(if rest.is_empty() { 0 } else { len }).collect();
    let key = key();
    let context = Context::new().with("purpose", "fuzz").expect("a small context");
    let header = Header::new(suite, GROUP, key.id(), [suite.number().to_be_bytes()[1]; 32], chunk_size)
        .expect("the chunk size is allowed");
    let blob = seal(&key, &header, &context, &plaintext).expect("small");
    let cipher = ChunkCipher::sealing(&key, &header, &context).expect("the right key");
    let mut streamed = Vec::new();
    seal_stream(&cipher, &mut plaintext.as_slice(), &mut streamed).expect("memory does not fail");
    assert_eq!(blob, streamed, "slice and stream write the same blob");

    let (x, y) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    let edited = edited(&blob, kind, place(x, blob.len()), place(y, blob.len()));
    match readers_agree(&key, &context, &edited) {
        Ok(opened) => {
            assert_eq!(edited, blob, "an edited blob opens");
            assert_eq!(opened, plaintext, "a blob opens to something else");
        }
        Err(_) => assert_ne!(edited, blob, "a blob does not open"),
    }
    let other = Context::new().with("purpose", "fuzzy").expect("a small context");
    readers_agree(&key, &other, &edited).expect_err("a blob opens in another context");
}

fn place(number: u32, len: usize) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX) % len
}

fn edited(blob: &[u8], kind: u8, x: usize, y: usize) -> Vec<u8> {
    const SEALED: usize = 4096 + 16;
    let mut out = blob.to_vec();
    match kind % 8 {
        1 => out[x] ^= 1 << (y % 8),
        2 => out.truncate(x),
        3 => out.extend_from_slice(&blob[x..]),
        4 => out.swap(x, y),
        5 => drop(out.drain(x.min(y)..x.max(y))),
        // Chunks change places, come twice or go missing.
        6 | 7 => {
            let mut chunks: Vec<&[u8]> = blob[PREFIX_LEN..].chunks(SEALED).collect();
            let (i, j) = (x % chunks.len(), y % chunks.len());
            if kind % 8 == 6 {
                chunks.swap(i, j);
            } else if y.is_multiple_of(2) {
                chunks.insert(i, chunks[j]);
            } else {
                chunks.remove(i);
            }
            out = [&[&blob[..PREFIX_LEN]], chunks.as_slice()].concat().concat();
        }
        _ => {}
    }
    out
}
