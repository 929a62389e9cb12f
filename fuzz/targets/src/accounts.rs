//! Lines of `/etc/group` and `/etc/passwd`.

use dkm::fuzzing::{unix_group, unix_user};

/// What is read of a line is all that counts in it, and never names "unchanged", which is what the kernel takes the
/// last number for.
pub(crate) fn parse(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for line in text.lines() {
        if let Some((name, gid, members)) = unix_group(line) {
            assert!(!name.is_empty() && gid != u32::MAX);
            assert!(members.iter().all(|member| !member.is_empty() && !member.contains([':', ',', '\n'])));
            let again = format!("{name}:x:{gid}:{}", members.join(","));
            assert_eq!(unix_group(&again), Some((name, gid, members)));
        }
        if let Some((name, uid, gid)) = unix_user(line) {
            assert!(!name.is_empty() && uid != u32::MAX && gid != u32::MAX);
            let again = format!("{name}:x:{uid}:{gid}:::");
            assert_eq!(unix_user(&again), Some((name, uid, gid)));
        }
    }
}
