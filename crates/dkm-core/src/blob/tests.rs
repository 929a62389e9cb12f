use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::id::{GroupId, KeyId};
use crate::record::Family;
use crate::suite::Suite;

const GROUP: GroupId = GroupId([5; 16]);
const CHUNK: u32 = 4096;

fn key() -> BlobKey {
    BlobKey::new(GROUP, Family::Native, &[9; 32])
}

fn header(suite: Suite) -> Header {
    Header::new(suite, GROUP, key().id(), [3; 32], CHUNK).unwrap()
}

fn context() -> Context {
    Context::new().with("owner", "alice").unwrap()
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

const LENGTHS: [usize; 9] = [0, 1, 15, 16, 4095, 4096, 4097, 8192, 12_289];

#[test]
fn whole_streamed_and_seeking_agree_in_every_suite_and_at_every_boundary() {
    for suite in Suite::ALL {
        for len in LENGTHS {
            let plain = text(len);
            let blob = seal(&key(), &header(suite), &context(), &plain).unwrap();
            assert_eq!(*open(&key(), &context(), &blob).unwrap(), plain, "{suite} {len}");

            let cipher = ChunkCipher::sealing(&key(), &header(suite), &context()).unwrap();
            let mut streamed = Vec::new();
            seal_stream(&cipher, &mut plain.as_slice(), &mut streamed).unwrap();
            assert_eq!(streamed, blob, "{suite} {len}");
            let cipher = ChunkCipher::opening(&key(), &context(), &blob).unwrap();
            let mut opened = Vec::new();
            open_stream(&cipher, &mut &blob[PREFIX_LEN..], &mut opened).unwrap();
            assert_eq!(opened, plain);

            let mut seeking = SeekingReader::new(Cursor::new(&blob), &key(), &context()).unwrap();
            let from = len / 3;
            let mut out = vec![0; len];
            let read = seeking.read_at(from as u64, &mut out).unwrap();
            assert_eq!(&out[..read], &plain[from..]);
        }
    }
}

#[test]
fn a_small_secret_costs_124_bytes() {
    assert_eq!(seal(&key(), &header(Suite::Aes256Gcm), &context(), &[0; 32]).unwrap().len(), 32 + 124);
}

#[test]
fn every_cut_is_noticed_and_so_is_anything_appended() {
    let blob = seal(&key(), &header(Suite::Aes256Gcm), &context(), &text(8193)).unwrap();
    for len in (0..blob.len()).step_by(7).chain([PREFIX_LEN, PREFIX_LEN + 4112, PREFIX_LEN + 8224]) {
        let cut = &blob[..len];
        assert!(open(&key(), &context(), cut).is_err(), "{len}");
        assert!(SeekingReader::new(Cursor::new(cut), &key(), &context()).is_err(), "{len}");
        if len >= PREFIX_LEN {
            let cipher = ChunkCipher::opening(&key(), &context(), cut).unwrap();
            assert!(open_stream(&cipher, &mut &cut[PREFIX_LEN..], &mut Vec::new()).is_err(), "{len}");
        }
    }
    let longer = [blob.as_slice(), &[0]].concat();
    assert!(open(&key(), &context(), &longer).is_err());
}

#[test]
fn chunks_do_not_move_repeat_or_go() {
    let blob = seal(&key(), &header(Suite::Aes256Gcm), &context(), &text(3 * 4096)).unwrap();
    let chunks: Vec<&[u8]> = blob[PREFIX_LEN..].chunks(4096 + TAG_LEN).collect();
    let order = |order: &[usize]| {
        let mut out = blob[..PREFIX_LEN].to_vec();
        order.iter().for_each(|i| out.extend_from_slice(chunks[*i]));
        out
    };
    assert!(open(&key(), &context(), &order(&[0, 1, 2])).is_ok());
    for wrong in [&[1, 0, 2][..], &[0, 0, 1, 2], &[0, 2], &[1, 2], &[0, 1], &[0, 1, 1], &[0, 1, 2, 2], &[2]] {
        assert!(open(&key(), &context(), &order(wrong)).is_err(), "{wrong:?}");
    }
}

#[test]
fn an_empty_chunk_behind_others_is_refused_though_its_tag_is_right() {
    let cipher = ChunkCipher::sealing(&key(), &header(Suite::Aes256Gcm), &context()).unwrap();
    assert_eq!(cipher.seal_chunk(1, true, &mut []), Err(BlobError::Corrupt { chunk: 1 }));
    assert_eq!(cipher.seal_chunk_to(1, true, &[], &mut [0; 16]), Err(BlobError::Corrupt { chunk: 1 }));
    assert_eq!(cipher.seal_chunk(0, false, &mut [0; 5]), Err(BlobError::Corrupt { chunk: 0 }));
}

#[test]
fn a_chunk_sealed_elsewhere_is_the_chunk_sealed_in_place() {
    for suite in Suite::ALL {
        let cipher = ChunkCipher::sealing(&key(), &header(suite), &context()).unwrap();
        for (index, last, len) in
            [(0, true, 0), (0, true, 1), (0, false, 4096), (7, false, 4096), (7, true, 100)]
        {
            let plain = text(len);
            let (mut in_place, mut elsewhere) = (plain.clone(), vec![0xaa; len + TAG_LEN]);
            in_place.extend(cipher.seal_chunk(index, last, &mut plain.clone()).unwrap());
            cipher.seal_chunk(index, last, &mut in_place[..len]).unwrap();
            cipher.seal_chunk_to(index, last, &plain, &mut elsewhere).unwrap();
            assert_eq!(elsewhere, in_place, "{suite} {index} {last} {len}");
        }
        for wrong in [0, 15, 16, 4096, 4111, 4113] {
            let result = cipher.seal_chunk_to(0, false, &text(4096), &mut vec![0; wrong]);
            assert_eq!(result, Err(BlobError::Truncated), "{wrong}");
        }
    }
}

#[test]
fn memory_that_is_used_again_changes_nothing_but_where_the_result_lies() {
    let (mut blob, mut plain) = (Vec::new(), Plaintext::default());
    let mut lengths = LENGTHS.to_vec();
    lengths.extend(LENGTHS.iter().rev());
    // From here on there is room for the longest.
    let mut places = None;
    for len in lengths {
        let text = text(len);
        let expected = seal(&key(), &header(Suite::Aes256Gcm), &context(), &text).unwrap();
        assert_eq!(expected.capacity(), expected.len(), "one allocation of the blob's length");
        seal_into(&key(), &header(Suite::Aes256Gcm), &context(), &text, &mut blob).unwrap();
        assert_eq!(blob, expected, "{len}");
        open_into(&key(), &context(), &blob, &mut plain).unwrap();
        assert_eq!(*plain, text, "{len}");
        let now = (blob.as_ptr(), plain.as_ptr());
        if len == 12_289 || places.is_some() {
            assert_eq!(*places.get_or_insert(now), now, "{len}");
        }
    }
}

#[test]
fn after_an_error_nothing_of_the_former_content_is_taken_for_the_result() {
    let good = seal(&key(), &header(Suite::Aes256Gcm), &context(), &text(9000)).unwrap();
    let damaged = |at: usize| {
        let mut blob = good.clone();
        blob[at] ^= 1;
        blob
    };
    for wrong in [damaged(0), damaged(50), damaged(HEADER_LEN), damaged(good.len() - 1), Vec::new()] {
        let mut plain = Plaintext::from(vec![7; 10_000]);
        assert!(open_into(&key(), &context(), &wrong, &mut plain).is_err());
        assert!(plain.is_empty());
        // Neither what was there nor the chunks before the damaged one come back.
        plain.resize(10_000);
        assert!(plain.iter().all(|byte| *byte == 0));
    }
    let other = BlobKey::new(GROUP, Family::Native, &[8; 32]);
    let mut blob = good;
    assert!(seal_into(&other, &header(Suite::Aes256Gcm), &context(), b"x", &mut blob).is_err());
    assert!(blob.is_empty());
}

#[test]
fn no_chunk_lies_beyond_the_longest_blob() {
    let cipher = ChunkCipher::sealing(&key(), &header(Suite::Aes256Gcm), &context()).unwrap();
    // So many whole chunks, with their tags and the prefix, are just within the limit.
    let fit = (BLOB_LEN_MAX - 108) / (4096 + 16);
    for last in [false, true] {
        let (mut plain, mut sealed) = ([7; 4096], [0; 4096 + TAG_LEN]);
        assert_eq!(cipher.seal_chunk_to(fit - 1, last, &plain, &mut sealed), Ok(()));
        assert_eq!(cipher.open_chunk(fit - 1, last, &sealed, &mut plain), Ok(()));
        for beyond in [fit, 1 << 60, u64::MAX] {
            assert_eq!(cipher.seal_chunk_to(beyond, last, &plain, &mut sealed), Err(BlobError::TooLarge));
            assert_eq!(cipher.open_chunk(beyond, last, &sealed, &mut plain), Err(BlobError::TooLarge));
            assert_eq!(cipher.seal_chunk(beyond, last, &mut plain), Err(BlobError::TooLarge));
        }
    }
}

#[test]
fn wrong_context_group_key_and_family_each_have_their_error() {
    let blob = seal(&key(), &header(Suite::Aes256Gcm), &context(), b"x").unwrap();
    assert_eq!(open(&key(), &Context::new(), &blob), Err(BlobError::WrongContext));
    let other = BlobKey::new(GROUP, Family::Native, &[8; 32]);
    assert!(matches!(open(&other, &context(), &blob), Err(BlobError::WrongKey { .. })));
    let other = BlobKey::new(GroupId([6; 16]), Family::Native, &[9; 32]);
    assert!(matches!(open(&other, &context(), &blob), Err(BlobError::WrongGroup { .. })));
    let windows = BlobKey::new(GROUP, Family::Windows, &[9; 32]);
    let header = Header::new(Suite::Aes256Gcm, GROUP, windows.id(), [3; 32], CHUNK).unwrap();
    assert!(matches!(seal(&windows, &header, &context(), b"x"), Err(BlobError::ForeignFamily { .. })));
}

#[test]
fn header_fields_out_of_range_each_have_their_error() {
    let good = header(Suite::Aes256Gcm).encode();
    let with = |at: usize, value: u8| {
        let mut bytes = good;
        bytes[at] = value;
        Header::parse(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 0), BlobError::NotABlob);
    assert_eq!(with(4, 2), BlobError::UnknownVersion { version: 2 });
    assert_eq!(with(6, 4), BlobError::UnknownSuite { suite: 4 });
    assert_eq!(with(5, 1), BlobError::UnknownSuite { suite: 257 });
    assert_eq!(with(7, 1), BlobError::UnknownFlags { flags: 1 });
    assert_eq!(with(75, 1), BlobError::BadChunkSize { size: 4097 });
    assert_eq!(Header::parse(b""), Err(BlobError::NotABlob));
    assert_eq!(Header::parse(&good[..75]), Err(BlobError::Truncated));
    assert!(Header::new(Suite::Aes256Gcm, GROUP, KeyId([0; 16]), [0; 32], 0).is_err());
}

#[test]
fn lengths_convert_both_ways() {
    for len in LENGTHS {
        let layout = Layout::of_plaintext(len as u64, 4096).unwrap();
        assert_eq!(Layout::of_blob(layout.blob_len(), 4096), Ok(layout), "{len}");
    }
    assert!(Layout::of_plaintext(BLOB_LEN_MAX, 4096).is_err());
    for len in [0, 107, 108, 123, 108 + 4112 + 1, 108 + 4112 + 16] {
        assert_eq!(Layout::of_blob(len, 4096), Err(BlobError::Truncated), "{len}");
    }
}

proptest! {
    #[test]
    fn any_flipped_bit_is_noticed(len in 0usize..9000, at in any::<prop::sample::Index>(), bit in 0u8..8, suite in 0usize..3) {
        let mut blob = seal(&key(), &header(Suite::ALL[suite]), &context(), &text(len)).unwrap();
        let i = at.index(blob.len());
        blob[i] ^= 1 << bit;
        prop_assert!(open(&key(), &context(), &blob).is_err());
    }

    #[test]
    fn any_range_reads_as_it_was(len in 1usize..20_000, from in any::<prop::sample::Index>(), want in 0usize..20_000) {
        let plain = text(len);
        let blob = seal(&key(), &header(Suite::Aes256Gcm), &context(), &plain).unwrap();
        let from = from.index(len);
        let mut out = vec![0; want];
        let read = SeekingReader::new(Cursor::new(&blob), &key(), &context()).unwrap().read_at(from as u64, &mut out).unwrap();
        prop_assert_eq!(&out[..read], &plain[from..(from + want).min(len)]);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), start in 0usize..=8) {
        let mut bytes = bytes;
        let header = header(Suite::Aes256Gcm).encode();
        let n = (start * 13).min(bytes.len()).min(HEADER_LEN);
        bytes[..n].copy_from_slice(&header[..n]);
        prop_assert!(open(&key(), &context(), &bytes).is_err());
    }
}
