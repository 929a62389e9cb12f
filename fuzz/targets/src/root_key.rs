//! The line in a root key's file.

use dkm::fuzzing::{read_root_key, write_root_key};
use dkm_core::{GroupId, kdf};

const GROUP: GroupId = GroupId([0x47; 16]);

/// Whatever is read is what would have been written, and what is written is read; with one byte changed it is not.
pub(crate) fn line(input: &[u8]) {
    // As a line: under the id that belongs to the digits that stand in it, since no fuzzer guesses that.
    if let Some(key) = input.len().checked_sub(65).and_then(|at| from_hex(&input[at..at + 64])) {
        let id = kdf::root_key_id(GROUP, &key);
        match read_root_key(GROUP, id, input) {
            Ok(read) => {
                assert_eq!(*read, key);
                assert_eq!(write_root_key(GROUP, &key).as_slice(), input, "a root key has one line");
            }
            Err(_) => assert_ne!(write_root_key(GROUP, &key).as_slice(), input, "a line is not read"),
        }
        read_root_key(GroupId([0; 16]), id, input).expect_err("a root key of another group is read");
    }
    // As a key, and a change of its line.
    let Some((&key, rest)) = input.split_first_chunk::<32>() else { return };
    let id = kdf::root_key_id(GROUP, &key);
    let mut line = write_root_key(GROUP, &key).to_vec();
    assert_eq!(read_root_key(GROUP, id, &line).as_deref(), Ok(&key));
    if let &[at, byte, ..] = rest {
        let at = usize::from(at) % line.len();
        if line[at] != byte {
            line[at] = byte;
            read_root_key(GROUP, id, &line).expect_err("a changed line is read");
        }
    }
}

/// Any 64 hexadecimal digits, of upper case too.
fn from_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.contains('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(key)
}
