//! One record's file: reading it with what the kernel attests, its stamp, and its erasure.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use dkm_core::record::{PublicPart, RECORD_LEN_MAX, Record};
use dkm_core::{Attestation, GroupId, KeyId, Principal, Timestamp};
use rustix::fs::{Mode, OFlags, Stat, fchmod, fstat, fsync, openat};
use rustix::io::Errno;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::folder::Folder;
use super::step::step;
use super::template::{Template, has_acl, is_file, mode_of};
use crate::repository::Stored;

/// Changes within this time of each other may carry the same times, however coarse the file system's clock is.
const TIMES_SETTLE_MS: u64 = 2_000;

/// What erasure writes over the beginning of a file first. No record begins so: each begins with the head of an array.
const ERASED: &[u8] = b"dkm erased\n";

/// Why a single record is not served although its room can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is gone, or being erased.
    Gone,
    /// Its author keeps it from this account, although the room is open to it. That must not look like a denial of the
    /// room: one creator could lock all readers out.
    Closed,
    /// It is no record of ours; the text says what it is.
    Odd(String),
    /// The kernel failed.
    Failed(Errno),
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT => Self::Gone,
            Errno::LOOP => Self::Odd("it is a symbolic link".to_owned()),
            Errno::ACCESS | Errno::PERM => Self::Closed,
            Errno::NXIO | Errno::NODEV | Errno::ISDIR => Self::Odd("it is not a file".to_owned()),
            error => Self::Failed(error),
        }
    }
}

/// What of a room a record's template follows from.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomTemplate {
    /// None for a room whose own access control is not one that rooms are made with.
    pub(super) template: Option<Template>,
    pub(super) gid: u32,
}

/// A file that is open.
pub(super) struct RecordFile {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
}

impl RecordFile {
    /// Opens a record's file; a fifo or device does not make it wait.
    pub(super) fn open(room: &Folder, name: &str) -> Result<Self, Fault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = openat(room, name, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        if is_file(&stat) { Ok(Self { fd, stat }) } else { Err(Fault::Odd("it is not a file".to_owned())) }
    }

    /// The bytes, with one more than a record has if there are more, so that whoever decodes them sees it.
    pub(super) fn read(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let expected = usize::try_from(self.stat.st_size).unwrap_or(0);
        read_up_to(&self.fd, expected, RECORD_LEN_MAX + 1).map_err(Fault::from)
    }

    /// Whether erasure of this record has begun.
    pub(super) fn is_being_erased(bytes: &[u8]) -> bool {
        bytes.starts_with(ERASED)
    }

    pub(super) fn stored(&self, room: RoomTemplate) -> Result<Stored, Fault> {
        let bytes = self.read()?;
        let template_ok = room.template.is_some_and(|template| {
            mode_of(&self.stat) == template.record_mode()
                && (!template.shared || self.stat.st_gid == room.gid)
                // A second name may lie where other folders' access control counts, and outlives an erasure.
                && self.stat.st_nlink == 1
        }) && !has_acl(&self.fd);
        let attested = Attestation {
            creator: Principal(format!("uid:{}", self.stat.st_uid)),
            created: written(&self.stat),
            template_ok,
        };
        Ok(Stored { bytes, attested, public: PublicPart::NotKept })
    }
}

/// Reads a file of about `expected` bytes from its beginning, at most `len_max` bytes of it.
pub(super) fn read_up_to(
    fd: impl AsFd,
    expected: usize,
    len_max: usize,
) -> Result<Zeroizing<Vec<u8>>, Errno> {
    // One byte more shows the end. A buffer that is too small is replaced, not grown: growing would leave a copy of key
    // material behind.
    let mut bytes = Zeroizing::new(vec![0u8; expected.saturating_add(1).min(len_max)]);
    let mut len = 0;
    loop {
        if len == bytes.len() {
            if len == len_max {
                return Ok(bytes);
            }
            let mut larger = Zeroizing::new(vec![0u8; len_max]);
            larger[..len].copy_from_slice(&bytes);
            bytes = larger;
        }
        match rustix::io::pread(&fd, &mut bytes[len..], u64::try_from(len).unwrap_or(u64::MAX)) {
            Ok(0) => break,
            Ok(n) => {
                len += n;
                // A file as long as its status says, and more was asked for: this was its end.
                if len == expected && len < bytes.len() {
                    break;
                }
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn milliseconds(seconds: i128, nanoseconds: i128) -> Timestamp {
    Timestamp(u64::try_from(seconds * 1_000 + nanoseconds / 1_000_000).unwrap_or(0))
}

/// What a folder's names depend on; none while a further change might not show in it.
pub(super) fn folder_stamp(stat: &Stat) -> Option<Vec<u8>> {
    let listing = Listing { now: wall_clock(), once: [0; 8] };
    is_settled(stat, listing.now).then(|| stamp(stat, &listing))
}

/// A record's stamp: what changes when its bytes or its attestation change.
///
/// A file changed twice in the same tick of the file system's clock keeps its times. So a file that was changed just
/// now gets a stamp that will not come again: it is read again until its times have settled.
pub(super) fn stamp(stat: &Stat, listing: &Listing) -> Vec<u8> {
    let mut stamp = Vec::with_capacity(72);
    stamp.extend_from_slice(&stat.st_ino.to_be_bytes());
    for (seconds, nanoseconds) in times(stat) {
        stamp.extend_from_slice(&seconds.to_be_bytes()[8..]);
        stamp.extend_from_slice(&nanoseconds.to_be_bytes()[12..]);
    }
    stamp.extend_from_slice(&stat.st_size.to_be_bytes());
    for number in [stat.st_mode, stat.st_uid, stat.st_gid] {
        stamp.extend_from_slice(&number.to_be_bytes());
    }
    stamp.push(u8::from(stat.st_nlink == 1));
    if !is_settled(stat, listing.now) {
        stamp.extend_from_slice(&listing.once);
    }
    stamp
}

fn times(stat: &Stat) -> [(i128, i128); 2] {
    [(stat.st_mtime.into(), stat.st_mtime_nsec.into()), (stat.st_ctime.into(), stat.st_ctime_nsec.into())]
}

/// When a file was last written, or a folder's names last changed. A file's owner can set the time of modification to any
/// time, but not the time at which he did so, which the kernel keeps: nothing is dated ahead of that. One record from
/// the future would make every client think that its clock is behind.
pub(super) fn written(stat: &Stat) -> Timestamp {
    let [modified, changed] = times(stat).map(|(seconds, nanoseconds)| milliseconds(seconds, nanoseconds));
    modified.min(changed)
}

/// Whether the last change is so long ago that a further one shows in the times.
fn is_settled(stat: &Stat, now: Timestamp) -> bool {
    times(stat).into_iter().all(|(s, ns)| milliseconds(s, ns).distance(now) > TIMES_SETTLE_MS)
}

/// What all stamps of one listing share.
pub(super) struct Listing {
    now: Timestamp,
    once: [u8; 8],
}

impl Listing {
    pub(super) fn begin() -> Result<Self, Errno> {
        let mut once = [0u8; 8];
        aws_lc_rs::rand::fill(&mut once).map_err(|_| Errno::IO)?;
        Ok(Self { now: wall_clock(), once })
    }

    #[cfg(test)]
    pub(super) fn at(now: Timestamp) -> Self {
        Self { now, ..Self::begin().unwrap() }
    }
}

/// The clock that file times are taken from, where the file system is this machine's.
fn wall_clock() -> Timestamp {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    Timestamp(u64::try_from(ms).unwrap_or(u64::MAX))
}

/// The key whose record this is, if it is a key record of the group.
pub(super) fn key_of(group: GroupId, bytes: &[u8]) -> Option<KeyId> {
    match Record::decode(bytes) {
        Ok((of, Record::Key(key))) if of == group => Some(key.id),
        _ => None,
    }
}

/// Overwrites a file's bytes where this account may, and makes that durable; whether it did.
///
/// A mark goes first: from then on the file is no record any more, however far the rest comes.
pub(super) fn overwrite(room: &Folder, name: &str, file: &RecordFile) -> Result<bool, Errno> {
    let euid = geteuid();
    if !euid.is_root() && euid.as_raw() != file.stat.st_uid {
        return Ok(false);
    }
    step("make a condemned file writable")?;
    fchmod(&file.fd, Mode::RUSR | Mode::WUSR)?;
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match openat(room, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error),
    };
    let now = fstat(&fd)?;
    if (now.st_dev, now.st_ino) != (file.stat.st_dev, file.stat.st_ino) {
        return Ok(false);
    }
    let len = usize::try_from(now.st_size).unwrap_or(0).min(RECORD_LEN_MAX);
    let mut all = vec![0u8; len.max(ERASED.len())];
    all[..ERASED.len()].copy_from_slice(ERASED);
    for part in [ERASED, &all] {
        step("overwrite")?;
        let written = rustix::io::pwrite(&fd, part, 0)?;
        step("sync the overwritten")?;
        fsync(&fd)?;
        if written != part.len() {
            return Ok(false);
        }
    }
    Ok(true)
}
