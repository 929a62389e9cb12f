//! Names and numbers of users and groups: `/etc/passwd` and `/etc/group`, and what `getent` knows besides.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A name service that does not answer for so long is not asked further.
const GETENT_DEADLINE: Duration = Duration::from_secs(5);

/// A Unix group and who is named in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnixGroup {
    pub(crate) name: String,
    pub(crate) gid: u32,
    pub(crate) members: Vec<String>,
}

/// A Unix user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnixUser {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl UnixGroup {
    /// `name:password:gid:member,member`
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields[..] else { return None };
        let members = members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
        let name = Some(name).filter(|name| !name.is_empty())?.to_owned();
        Some(Self { name, gid: number(gid)?, members })
    }
}

impl UnixUser {
    /// `name:password:uid:gid:…`
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
        let uid = number(fields.nth(1)?)?;
        Some(Self { name, uid, gid: number(fields.next()?)? })
    }
}

/// The number of a group given by name or number.
pub(crate) fn group_id(text: &str) -> Option<u32> {
    number(text)
        .or_else(|| find("/etc/group", "group", text, UnixGroup::parse, |g| g.name == text).map(|g| g.gid))
}

/// The user given by name or number; a number need not have a name.
pub(crate) fn user_id(text: &str) -> Option<u32> {
    number(text)
        .or_else(|| find("/etc/passwd", "passwd", text, UnixUser::parse, |u| u.name == text).map(|u| u.uid))
}

pub(crate) fn group_by_id(gid: u32) -> Option<UnixGroup> {
    find("/etc/group", "group", &gid.to_string(), UnixGroup::parse, |g| g.gid == gid)
}

pub(crate) fn user_by_id(uid: u32) -> Option<UnixUser> {
    find("/etc/passwd", "passwd", &uid.to_string(), UnixUser::parse, |u| u.uid == uid)
}

/// Users of `/etc/passwd` whose own group this is: they are in it without being named.
pub(crate) fn users_with_primary(gid: u32) -> Vec<String> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    text.lines().filter_map(UnixUser::parse).filter(|u| u.gid == gid).map(|u| u.name).collect()
}

/// The last number of either kind means *unchanged* to the kernel, so it names nobody.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX)
}

fn find<T>(
    file: &str,
    database: &str,
    key: &str,
    parse: fn(&str) -> Option<T>,
    fits: impl Fn(&T) -> bool,
) -> Option<T> {
    let find_in = |text: &str| text.lines().filter_map(parse).find(|found| fits(found));
    find_in(&fs::read_to_string(file).unwrap_or_default()).or_else(|| find_in(&getent(database, key)?))
}

/// Asks the system's name service (LDAP, sssd). No answer in time, or no such program, is no answer.
fn getent(database: &str, key: &str) -> Option<String> {
    if key.is_empty() || key.starts_with('-') || key.contains(|c: char| c.is_control() || c == ':') {
        return None;
    }
    let mut child = Command::new("/usr/bin/getent")
        .args([database, key])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let started = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if started.elapsed() < GETENT_DEADLINE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut text = String::new();
    // A program that has ended has written no more than the pipe holds.
    child.stdout.take()?.take(64 * 1024).read_to_string(&mut text).ok()?;
    status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_parse_or_are_passed_over() {
        assert_eq!((UnixGroup::parse(":x:5:"), UnixGroup::parse("none:x:4294967295:")), (None, None));
        assert_eq!(
            (UnixUser::parse("none:x:4294967295:5"), UnixUser::parse("none:x:5:4294967295")),
            (None, None)
        );
        let group = UnixGroup::parse("mail:x:8:alice,bob").unwrap();
        assert_eq!((group.gid, group.members.len()), (8, 2));
        assert!(UnixGroup::parse("mail:x:8:").unwrap().members.is_empty());
        let user = UnixUser::parse("alice:x:1000:1001:Alice:/home/alice:/bin/sh").unwrap();
        assert_eq!((user.uid, user.gid), (1000, 1001));
        for line in ["", "#comment", "mail:x", "mail:x:eight:", ":x:1:1:::", "a:x:-1:0"] {
            assert!(UnixUser::parse(line).is_none(), "{line}");
            assert!(UnixGroup::parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn names_and_numbers_are_found() {
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(group_id("root"), Some(0));
        assert_eq!(group_by_id(0).unwrap().name, "root");
        assert_eq!(user_by_id(0).unwrap().name, "root");
        assert_eq!(group_id("54321"), Some(54321));
        for text in ["no-such-name", "", "-x", "4294967295", "4294967296"] {
            assert_eq!(group_id(text), None, "{text}");
            assert_eq!(user_id(text), None, "{text}");
        }
        assert!(users_with_primary(0).contains(&"root".to_owned()));
    }
}
