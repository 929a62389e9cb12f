//! Small things of the operating system that the standard library does not have.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// The number of a Unix group, given by name or number.
///
/// Reads `/etc/group` only: a group that another service knows (LDAP, sssd) is given by its number.
///
/// # Errors
/// [`ErrorKind::NotFound`] for a name that is not there; whatever reading the file gives.
pub(crate) fn group_id(name: &str) -> io::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    group_id_in(&fs::read_to_string("/etc/group")?, name).ok_or_else(|| {
        let why =
            format!("no Unix group {name:?} in /etc/group; a group known elsewhere is given by its number");
        io::Error::new(ErrorKind::NotFound, why)
    })
}

/// Lines are `name:password:number:members`.
fn group_id_in(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// Makes what was created, renamed or removed in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Opens a regular file for reading, and nothing else: no link, no pipe that would never answer.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            io::Error::new(ErrorKind::InvalidInput, "it is a symbolic link, which is not followed")
        }
        _ => error,
    })?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// Removes a file; one that is gone already is success.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).collect()
}

/// A name for a temporary file that nobody else uses: `prefix` and 64 random bits.
pub(crate) fn temporary_name(prefix: &str) -> io::Result<String> {
    let mut random = [0u8; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    Ok(format!("{prefix}{}", hex(&random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name_and_number() {
        assert_eq!(group_id("4711").unwrap(), 4711);
        assert_eq!(group_id("root").unwrap(), 0);
        let error = group_id("no-such-group-here").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("by its number"));
    }

    #[test]
    fn only_whole_names_of_whole_lines_count() {
        let text = "mail:x:8:a,b\nmailers:x:9:\nbad:x:seven:\nshort\n";
        assert_eq!(group_id_in(text, "mail"), Some(8));
        assert_eq!(group_id_in(text, "mailers"), Some(9));
        for name in ["mai", "a", "bad", "short", "", "x"] {
            assert_eq!(group_id_in(text, name), None, "{name}");
        }
    }

    #[test]
    fn temporary_names_differ() {
        let (one, other) = (temporary_name(".tmp-").unwrap(), temporary_name(".tmp-").unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 5 + 16);
    }
}
