//! `dkm inspect`

use std::io::Read as _;

use clap::Args;
use dkm::windows::{WINDOWS_TEXT_LEN_MAX, WindowsBlob, begins_like_windows_blob, without_base64};
use dkm::{ErrorKind, archive};
use dkm_core::blob::{BlobError, Header, Layout, PREFIX_LEN, blob_id};
use serde_json::json;

use crate::columns;
use crate::failure::{Failure, Result};
use crate::input::{Input, InputArguments};
use crate::shell::Shell;
use crate::terminal::count;

/// Tell what a file is: a blob, with its group, key and suite, an archive, or a blob of Windows DKM
///
/// Needs no key and no repository, and so proves nothing: only unprotect tells whether a blob is authentic.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm inspect password.dkm")]
pub(crate) struct Arguments {
    #[command(flatten)]
    input: InputArguments,
}

/// First bytes of a file that age sealed, and of its armoured form.
const AGE: [&[u8]; 2] = [b"age-encryption.org/v1\n", b"-----BEGIN AGE ENCRYPTED FILE-----"];

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let mut input = arguments.input.open()?;
    let head = input.read_up_to(PREFIX_LEN)?;
    if AGE.iter().any(|magic| head.starts_with(magic)) {
        return inspect_sealed(&head, &mut input, shell);
    }
    if begins_like_windows_blob(&head) {
        return inspect_windows(&head, &mut input, shell);
    }
    let header = Header::parse(&head).map_err(|error| input.fault(error.into()))?;
    let blob_len = match input.len() {
        Some(len) => len,
        None => count_rest(&mut input, head.len())?,
    };
    let layout = Layout::of_blob(blob_len, header.chunk_len()).map_err(|error| input.fault(error.into()))?;
    let prefix = head.first_chunk().ok_or_else(|| input.fault(BlobError::Truncated.into()))?;
    let id = blob_id(prefix);
    let value = json!({
        "kind": "blob",
        "version": dkm_core::blob::VERSION,
        "suite": header.suite().as_str().to_ascii_lowercase(),
        "suite_number": header.suite().number(),
        "group": header.group().to_string(),
        "key": header.key().to_string(),
        "chunk_size": header.chunk_len(),
        "chunks": layout.chunks(),
        "plaintext_len": layout.plaintext_len(),
        "blob_len": blob_len,
        "blob_id": id.to_string(),
    });
    shell.terminal.result(&value, || {
        columns::facts(&[
            ("kind", format!("DKM blob, version {}", dkm_core::blob::VERSION)),
            ("group", header.group().to_string()),
            ("key", header.key().to_string()),
            ("suite", format!("{} ({})", header.suite(), header.suite().number())),
            ("plaintext", format!("{} bytes, not authenticated here", layout.plaintext_len())),
            (
                "blob",
                format!(
                    "{blob_len} bytes, in {} of {} KiB",
                    count(layout.chunks(), "chunk"),
                    header.chunk_len() >> 10
                ),
            ),
            ("blob id", id.to_string()),
        ])
    })
}

/// A blob of Windows is told from its whole, which is not long.
fn inspect_windows(head: &[u8], input: &mut Input, shell: &Shell) -> Result {
    let rest = input.read_up_to(WINDOWS_TEXT_LEN_MAX)?;
    let bytes = [head, &rest].concat();
    let blob = without_base64(&bytes);
    let parts = WindowsBlob::parse(&blob).map_err(dkm::Error::from)?;
    let encoding = if matches!(blob, std::borrow::Cow::Borrowed(_)) { "binary" } else { "base64" };
    let value = json!({
        "kind": "windows-blob",
        "version": 1,
        "key": parts.guid.to_string(),
        "cipher": "aes-128-cbc-hmac-sha-256",
        "encoding": encoding,
        "ciphertext_len": parts.ciphertext.len(),
        "blob_len": blob.len(),
    });
    shell.terminal.result(&value, || {
        let most = parts.ciphertext.len().saturating_sub(1);
        columns::facts(&[
            ("kind", "blob of Windows DKM (AD FS), version 1".to_owned()),
            ("key", format!("{}, as Windows calls it", parts.guid)),
            ("cipher", "AES-128-CBC, then HMAC-SHA-256".to_owned()),
            ("plaintext", format!("{} to {most} bytes, not authenticated here", most.saturating_sub(15))),
            ("blob", format!("{} bytes, {encoding} here", blob.len())),
        ])
    })
}

/// What is sealed with age shows of what kind its recipients are; in its armoured form, not even that.
pub(super) fn inspect_sealed(head: &[u8], input: &mut Input, shell: &Shell) -> Result {
    let recipients = if head.starts_with(AGE[1]) {
        Vec::new()
    } else {
        let sealing = archive::inspect(head.chain(&mut *input));
        sealing.map_err(|error| input.fault(error))?.recipients
    };
    let value = json!({"kind": "archive", "sealed_with": "age", "recipients": recipients});
    shell.terminal.result(&value, || {
        columns::facts(&[
            (
                "kind",
                "sealed with age: an archive, if dkm archive inspect --identity FILE opens it".to_owned(),
            ),
            ("recipients", if recipients.is_empty() { "unknown".to_owned() } else { recipients.join(", ") }),
        ])
    })
}

/// The length of a stream, which has to be read for it.
fn count_rest(input: &mut Input, head: usize) -> Result<u64> {
    let mut counted = u64::try_from(head).unwrap_or(u64::MAX);
    let mut buffer = vec![0u8; 64 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(counted),
            Ok(count) => counted = counted.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let failure = Failure::new(ErrorKind::Unavailable, format!("can't read: {error}"));
                return Err(input.failure().unwrap_or(failure));
            }
        }
    }
}
