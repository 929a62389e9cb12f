//! Blobs of Windows DKM, and exports of the container that their keys lie in.

use dkm::windows::{
    DirectoryEntry, WindowsBlob, WindowsKey, begins_like_windows_blob, containers, is_windows_blob,
    read_ldif, without_base64,
};
use dkm_core::KeyGuid;
use dkm_core::windows::{open, seal};

const GUID: KeyGuid = KeyGuid([0x47; 16]);

/// What is read encodes back to the same bytes. A blob that opens is the one that its content makes, and so nothing but
/// the order of its GUID's bytes, which are all alike here, can be changed in one that does.
pub(crate) fn blob(input: &[u8]) {
    let bytes = without_base64(input);
    assert!(*bytes == *input || begins_like_windows_blob(input));
    let Ok(blob) = WindowsBlob::parse(&bytes) else { return };
    assert_eq!(blob.encode(), *bytes, "a blob has one encoding");
    assert!(is_windows_blob(&bytes));
    let key = WindowsKey::new(GUID, &[0x4d; 32]).expect("a key of 32 bytes");
    if let Ok(plaintext) = open(&key, &bytes) {
        assert_eq!(blob.guid, GUID);
        let again = seal(&key, blob.nonce, blob.iv, &plaintext).expect("what was opened is not too long");
        assert_eq!(again, *bytes, "two blobs of one content, nonce and vector");
    }
}

/// Every object of an export gives at most one key, and no key comes from elsewhere.
pub(crate) fn ldif(input: &[u8]) {
    let Ok(entries) = read_ldif(input) else { return };
    let mut photos: Vec<&[u8]> = entries.iter().filter_map(photo).collect();
    for container in containers(&entries) {
        for key in &container.keys {
            let found = photos.iter().position(|photo| **photo == *key.material.as_slice());
            photos.swap_remove(found.expect("a key that no object holds"));
        }
        let told = container.skipped.iter().all(|skipped| entries.iter().any(|entry| entry.dn == skipped.dn));
        assert!(told, "an object is told that is not there");
    }
}

fn photo(entry: &DirectoryEntry) -> Option<&[u8]> {
    entry.thumbnail_photo.as_ref().map(|photo| photo.as_slice())
}
