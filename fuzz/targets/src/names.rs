//! Texts that people type or that stand in file names: slots, ids, digests, suites, groups' names.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use dkm_core::record::check_group_name;
use dkm_core::{Digest, GroupId, KeyId, ReplicaId, RepositoryId, RootKeyId, SlotName, Suite};

/// What is read reads back from how it is shown.
pub(crate) fn parse(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(name) = text.parse::<SlotName>() {
        assert_eq!(name.as_str(), text, "a slot's name is itself");
        // The directory repository makes it a file's name.
        assert!(!text.contains(['/', '.', '\0']) && !text.is_empty());
    }
    if check_group_name(text).is_ok() {
        assert!(!text.contains(['/', '\0', '\n']) && !text.is_empty());
    }
    reads_back::<GroupId>(text);
    reads_back::<KeyId>(text);
    reads_back::<ReplicaId>(text);
    reads_back::<RepositoryId>(text);
    reads_back::<RootKeyId>(text);
    reads_back::<Digest>(text);
    reads_back::<Suite>(text);
}

fn reads_back<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().ok().as_ref(), Some(&value));
    }
}
