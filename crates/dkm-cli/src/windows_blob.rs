//! Blobs of Windows DKM on the command line.

use std::path::Path;

use dkm::blocking::Group;
use dkm::windows::{WINDOWS_TEXT_LEN_MAX, WindowsBlob, without_base64};
use serde::Serialize;

use crate::failure::Result;
use crate::input::Input;
use crate::shape::GroupShape;

/// Reads a whole blob, as it is or as base64.
pub(crate) fn read(input: &mut Input) -> Result<Vec<u8>> {
    // One byte more: what is too long is told, not cut off.
    let bytes = input.read_up_to(WINDOWS_TEXT_LEN_MAX + 1)?;
    Ok(without_base64(&bytes).into_owned())
}

/// What a call on such a blob came to.
#[derive(Debug, Serialize)]
pub(crate) struct WindowsShape {
    pub(crate) group: GroupShape,
    pub(crate) windows_key: String,
    pub(crate) plaintext_len: usize,
    pub(crate) blob_len: usize,
    /// The file written; none for stdout.
    pub(crate) output: Option<String>,
}

impl WindowsShape {
    pub(crate) fn of(
        group: &Group,
        blob: &[u8],
        plaintext_len: usize,
        output: Option<&Path>,
    ) -> Result<Self> {
        Ok(Self {
            group: GroupShape::of(group),
            windows_key: WindowsBlob::parse(blob).map_err(dkm::Error::from)?.guid.to_string(),
            plaintext_len,
            blob_len: blob.len(),
            output: output.map(|path| path.display().to_string()),
        })
    }
}
