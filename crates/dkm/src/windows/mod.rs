//! What Windows DKM keeps: containers of keys in Active Directory, as AD FS makes them, and exports of them.
//!
//! For those who move their own data: keys are read with the caller's rights, and [`import`](crate::blocking::Group::import_windows)
//! puts them on a group's ring as archived keys, so that old blobs open
//! ([`unprotect_windows`](crate::blocking::Group::unprotect_windows)) and are protected anew
//! ([`reprotect_windows`](crate::blocking::Group::reprotect_windows)).

mod container;
mod ldif;
mod text;

pub use container::{Skipped, WindowsContainer, containers};
pub use dkm_core::KeyGuid;
pub use dkm_core::windows::{WindowsBlob, WindowsBlobError, WindowsKey, is_windows_blob};
pub use ldif::{LDIF_LEN_MAX, LdifError, read_ldif};
pub use text::{WINDOWS_TEXT_LEN_MAX, begins_like_windows_blob, without_base64};

use std::fmt;

use zeroize::Zeroizing;

/// An object of the directory, as far as a container of keys is concerned.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its distinguished name.
    pub dn: String,
    /// Values of `objectClass`; none if they were not asked for.
    pub object_classes: Vec<String>,
    /// `displayName`.
    pub display_name: Option<String>,
    /// `l`.
    pub l: Option<String>,
    /// `thumbnailPhoto`: a key, in the clear.
    pub thumbnail_photo: Option<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for DirectoryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryEntry").field("dn", &self.dn).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
