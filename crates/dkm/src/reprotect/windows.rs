//! Windows DKM blobs that become a group's own.

use std::io::{Read, Write};

use dkm_core::blob::{BlobError, Header};
use dkm_core::{Context, GroupId};

use super::Renewer;
use super::file::{Outcome, Verdict, judge};
use crate::blocking::Group;
use crate::windows::{WINDOWS_TEXT_LEN_MAX, WindowsBlobError, begins_like_windows_blob, without_base64};
use crate::{Reprotected, Result};

/// A group that renews Windows blobs, and leaves alone what is its own already.
pub(super) struct FromWindows<'a>(pub(super) &'a Group);

impl Renewer for FromWindows<'_> {
    fn id(&self) -> GroupId {
        self.0.id()
    }

    fn judge(&self, beginning: &[u8]) -> Verdict {
        if begins_like_windows_blob(beginning) {
            return Verdict::Renew;
        }
        match judge(self.0, beginning) {
            // Renewed by an earlier run.
            Verdict::Renew => Verdict::Leave(Outcome::Current),
            Verdict::Leave(Outcome::Skipped(_)) if Header::parse(beginning) == Err(BlobError::NotABlob) => {
                Verdict::Leave(Outcome::Skipped("it is not a Windows DKM blob".to_owned()))
            }
            leave => leave,
        }
    }

    fn is_outdated(&self, header: &Header) -> Result<bool> {
        self.0.is_outdated(header)
    }

    fn renew(&self, context: &Context, blob: &[u8]) -> Result<Reprotected> {
        self.0.reprotect_windows(context, &without_base64(blob)).map(Reprotected::Renewed)
    }

    /// Whole, because nothing of such a blob is authentic before all of it is.
    fn open(&self, _: &Context, from: &mut (dyn Read + Send), to: &mut dyn Write) -> Result<()> {
        let mut blob = Vec::new();
        // One byte more: what is longer is told, and not read to its end.
        from.take(WINDOWS_TEXT_LEN_MAX as u64 + 1)
            .read_to_end(&mut blob)
            .map_err(|error| BlobError::Io(error.to_string()))?;
        if blob.len() > WINDOWS_TEXT_LEN_MAX {
            return Err(WindowsBlobError::TooLarge { len: blob.len() }.into());
        }
        let plaintext = self.0.unprotect_windows(&without_base64(&blob))?;
        Ok(to.write_all(&plaintext).map_err(|error| BlobError::Io(error.to_string()))?)
    }

    fn seal(&self, context: &Context, from: &mut (dyn Read + Send), to: &mut dyn Write) -> Result<()> {
        self.0.seal(context, from, to)
    }
}
