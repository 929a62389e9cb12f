//! Where a repository is, and what its folder says of itself.

use std::path::Path;

use dkm::Location;
use dkm::fuzzing::{manifest_again, write_manifest};

/// A URL that is read reads back from how it is shown.
pub(crate) fn parse(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.parse::<Location>() {
        Ok(location) => {
            assert_eq!(location.to_string(), text, "a URL has one spelling");
            assert_eq!(location.to_string().parse::<Location>().ok(), Some(location));
        }
        Err(error) => assert_eq!(error.kind(), dkm::ErrorKind::Usage),
    }
}

/// A manifest that is read is written back as the same bytes, and every one that is written is read.
pub(crate) fn manifest(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match manifest_again(text) {
        Ok(again) => assert_eq!(again, text, "a manifest has one text"),
        Err(why) => assert!(!why.is_empty()),
    }
    let (path, root_keys) = match text.split_once('\0') {
        Some((path, root_keys)) => (path, Some(Path::new(root_keys))),
        None => (text, None),
    };
    if let Ok(written) = write_manifest(Path::new(path), root_keys) {
        assert_eq!(manifest_again(&written).as_ref(), Ok(&written), "what is written is not read");
    }
}
