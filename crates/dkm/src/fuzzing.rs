//! Doors to private parsers for the fuzz targets. No part of the library's interface: it may change at any time.

use std::io::{BufReader, Read, Write};
use std::ops::Range;
use std::path::Path;

use dkm_core::blob::Header;
use dkm_core::{Context, GroupId, RootKeyId};
use zeroize::Zeroizing;

use crate::accounts::{UnixGroup, UnixUser};
use crate::archive::{Identities, Recipients};
use crate::json_lines::{JsonPointer, Lines};
use crate::repository::directory::manifest::{Manifest, root_keys_text};
use crate::reprotect::lines::{Source, copy};
use crate::reprotect::{JsonOptions, Renewer, Summary};
use crate::root_key::file::text;
use crate::{Error, Reprotected, Result};

/// The line of a root key's file.
#[must_use]
pub fn write_root_key(group: GroupId, key: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    text::write(group, key)
}

/// Reads the line of a root key's file.
///
/// # Errors
/// It is another line than that key's.
pub fn read_root_key(
    group: GroupId,
    id: RootKeyId,
    line: &[u8],
) -> std::result::Result<Zeroizing<[u8; 32]>, &'static str> {
    text::read(group, id, line)
}

/// Reads the manifest of a directory repository, and writes it again.
///
/// # Errors
/// It is none.
pub fn manifest_again(text: &str) -> std::result::Result<String, String> {
    Manifest::parse(text).map(|manifest| manifest.to_text())
}

/// The manifest of a repository at `path`.
///
/// # Errors
/// A path that the manifest cannot hold.
pub fn write_manifest(path: &Path, root_keys: Option<&Path>) -> std::result::Result<String, String> {
    let root_keys = root_keys_text(path, root_keys)?;
    let (repository, replica) = (dkm_core::RepositoryId([1; 16]), dkm_core::ReplicaId([2; 16]));
    Ok(Manifest { repository, replica, root_keys }.to_text())
}

/// A value in a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it stands.
    pub range: Range<usize>,
    /// Its content, if it is a string.
    pub string: Option<String>,
    /// What it is called in a context.
    pub scalar: Option<String>,
}

/// Looks for a field in a line.
///
/// # Errors
/// The line is no JSON, or a name on the way stands twice.
pub fn find(pointer: &JsonPointer, line: &str) -> std::result::Result<Option<Found>, String> {
    let found = pointer.find(line)?;
    Ok(found.map(|place| Found { string: place.string(), scalar: place.scalar(), range: place.range }))
}

/// Gives the renewed blob.
pub type Renew = dyn Fn(&Context, &[u8]) -> Option<Vec<u8>> + Sync;

/// Renews the blobs in lines of JSON that are in memory. Lines longer than `len_max` are too long.
///
/// A blob is outdated, and renewed, as the two functions say.
///
/// # Errors
/// None by a single line.
pub fn renew_lines(
    input: &[u8],
    len_max: u64,
    options: &JsonOptions,
    group: GroupId,
    is_outdated: &(dyn Fn(&Header) -> bool + Sync),
    renew: &Renew,
) -> Result<(Vec<u8>, Summary)> {
    let source = Source {
        path: Path::new("lines"),
        len: input.len() as u64,
        // Smaller than most lines, so that they are put together from pieces.
        lines: Lines::with_len_max(BufReader::with_capacity(64, input), len_max),
    };
    let mut summary = Summary::default();
    let mut out = Vec::new();
    let group = Given { group, is_outdated, renew };
    copy(&group, source, &mut out, options, &mut summary, &mut |_| ())?;
    Ok((out, summary))
}

struct Given<'a> {
    group: GroupId,
    is_outdated: &'a (dyn Fn(&Header) -> bool + Sync),
    renew: &'a Renew,
}

impl Renewer for Given<'_> {
    fn id(&self) -> GroupId {
        self.group
    }

    fn is_outdated(&self, header: &Header) -> Result<bool> {
        Ok((self.is_outdated)(header))
    }

    fn renew(&self, context: &Context, blob: &[u8]) -> Result<Reprotected> {
        let renewed = (self.renew)(context, blob);
        renewed.map(Reprotected::Renewed).ok_or_else(|| Error::Invalid("it is not to be renewed".to_owned()))
    }

    fn open(&self, _: &Context, _: &mut (dyn Read + Send), _: &mut dyn Write) -> Result<()> {
        Err(Error::Internal("lines are not streamed".to_owned()))
    }

    fn seal(&self, _: &Context, _: &mut (dyn Read + Send), _: &mut dyn Write) -> Result<()> {
        Err(Error::Internal("lines are not streamed".to_owned()))
    }
}

/// A line of `/etc/group`: name, number, members.
#[must_use]
pub fn unix_group(line: &str) -> Option<(String, u32, Vec<String>)> {
    UnixGroup::parse(line).map(|group| (group.name, group.gid, group.members))
}

/// A line of `/etc/passwd`: name, number, number of the group.
#[must_use]
pub fn unix_user(line: &str) -> Option<(String, u32, u32)> {
    UnixUser::parse(line).map(|user| (user.name, user.uid, user.gid))
}

/// The identities that stand in a file.
///
/// # Errors
/// There are none, or they can't be used.
pub fn identities(bytes: &[u8]) -> std::result::Result<Identities, String> {
    let mut identities = Identities::default();
    identities.add(bytes)?;
    Ok(identities)
}

/// Seals an archive's bytes, or any others.
///
/// # Errors
/// The recipients can't be used together.
pub fn seal(recipients: &Recipients, plain: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    crate::archive::seal::seal(recipients, plain, &mut out)?;
    Ok(out)
}
