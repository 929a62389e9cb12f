//! Which accounts are services: an explicit list of SIDs, signed by whoever answers for it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::security::Sid;

/// What `ssh-keygen -Y sign -n` must have been given: a signature for another purpose does not count.
pub const SIGNATURE_NAMESPACE: &str = "dkm-services";
/// The most bytes that a list has.
pub const LIST_BYTES_MAX: u64 = 1024 * 1024;

/// The accounts that are services. Who is not in it is a person, or an unexpected trustee.
///
/// One account a line: its SID, and after a space a comment. Empty lines and lines that begin with `#` say nothing. Only
/// accounts count: the SID of a group would accept whoever joins it later, and is refused by the audit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Services {
    listed: BTreeMap<Sid, String>,
    signer: Option<String>,
}

/// Why a list of services can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServicesError {
    /// A file can't be read.
    #[error("can't read {path}: {why}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        why: String,
    },
    /// A line is not as it should be.
    #[error("line {line} of the list of services: {why}")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The signature is not one of the signer's over this list.
    #[error("the list of services is not signed by {signer}: {why}")]
    Signature {
        /// Who should have signed.
        signer: String,
        /// What `ssh-keygen` says.
        why: String,
    },
}

impl Services {
    /// No service at all: every effective reader is a person or unexpected.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads a list whose signature nobody checks. Whoever can write the file decides then who is a service.
    ///
    /// # Errors
    /// [`ServicesError::Line`].
    pub fn unsigned(text: &str) -> Result<Self, ServicesError> {
        let mut listed = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (sid, comment) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let wrong = |why: &str| ServicesError::Line { line: at + 1, why: why.to_owned() };
            let sid: Sid = sid.parse().map_err(|_| wrong("it does not begin with a SID"))?;
            if listed.insert(sid, comment.trim().to_owned()).is_some() {
                return Err(wrong("this SID is listed twice"));
            }
        }
        Ok(Self { listed, signer: None })
    }

    /// Reads a list from a file that nobody signed.
    ///
    /// # Errors
    /// The file can't be read, or [`ServicesError::Line`].
    pub fn from_unsigned_file(path: &Path) -> Result<Self, ServicesError> {
        Self::unsigned(&read(path)?)
    }

    /// Reads a list from a file that was signed with `ssh-keygen -Y sign -n dkm-services FILE`, which wrote `FILE.sig`.
    /// `allowed_signers` is as ssh-keygen(1) describes under ALLOWED SIGNERS; `signer` is an identity in it.
    ///
    /// # Errors
    /// A file can't be read, the signature is not the signer's, `ssh-keygen` is not there, or [`ServicesError::Line`].
    pub fn from_signed_file(
        path: &Path,
        allowed_signers: &Path,
        signer: &str,
    ) -> Result<Self, ServicesError> {
        let text = read(path)?;
        // The signature is checked over the very bytes that are read here, not over the file, which may change.
        let mut signature = path.as_os_str().to_owned();
        signature.push(".sig");
        read(Path::new(&signature))?;
        read(allowed_signers)?;
        let failed = |why: String| ServicesError::Signature { signer: signer.to_owned(), why };
        let mut verify = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-n", SIGNATURE_NAMESPACE, "-I", signer, "-f"])
            .arg(allowed_signers)
            .arg("-s")
            .arg(&signature)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("ssh-keygen can't be run: {error}")))?;
        if let Some(mut input) = verify.stdin.take() {
            // It may have given up before it read all; then its exit code tells.
            let _ = input.write_all(text.as_bytes());
        }
        let output = verify.wait_with_output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(said.lines().next().unwrap_or("the signature does not verify").to_owned()));
        }
        Ok(Self { signer: Some(signer.to_owned()), ..Self::unsigned(&text)? })
    }

    /// Whether an account is listed.
    #[must_use]
    pub fn contains(&self, sid: &Sid) -> bool {
        self.listed.contains_key(sid)
    }

    /// The listed accounts, with their comments.
    pub fn listed(&self) -> impl Iterator<Item = (&Sid, &str)> {
        self.listed.iter().map(|(sid, comment)| (sid, comment.as_str()))
    }

    /// Who signed the list; none if nobody did.
    #[must_use]
    pub fn signer(&self) -> Option<&str> {
        self.signer.as_deref()
    }
}

fn read(path: &Path) -> Result<String, ServicesError> {
    let unreadable = |why: String| ServicesError::Unreadable { path: path.display().to_string(), why };
    let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if length > LIST_BYTES_MAX {
        return Err(unreadable(format!("it has {length} bytes, more than {LIST_BYTES_MAX}")));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# mail\nS-1-5-21-1-2-3-1105 svc-exchange on mbx01\n\n  S-1-5-21-1-2-3-1106\n";

    #[test]
    fn a_list_has_a_sid_and_a_comment_a_line() {
        let services = Services::unsigned(LIST).unwrap();
        let listed: Vec<_> = services.listed().map(|(sid, comment)| format!("{sid}|{comment}")).collect();
        assert_eq!(listed, ["S-1-5-21-1-2-3-1105|svc-exchange on mbx01", "S-1-5-21-1-2-3-1106|"]);
        assert_eq!(services.signer(), None);
        for (text, line) in [("svc-a", 1), ("# x\nS-1-5-21-1 a\nS-1-5-21-1 b", 3)] {
            let error = Services::unsigned(text).unwrap_err();
            assert!(matches!(error, ServicesError::Line { line: found, .. } if found == line), "{error}");
        }
    }

    fn ssh_keygen(arguments: &[&str]) {
        let output = Command::new("ssh-keygen").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn only_a_list_that_the_signer_signed_for_this_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (key, list, allowed) = (at("key"), at("services"), at("allowed"));
        ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f", &key]);
        let public = std::fs::read_to_string(at("key.pub")).unwrap();
        std::fs::write(&allowed, format!("ciso@example.com {public}")).unwrap();
        let sign = |namespace: &str| {
            std::fs::write(&list, LIST).unwrap();
            let _ = std::fs::remove_file(at("services.sig"));
            ssh_keygen(&["-q", "-Y", "sign", "-n", namespace, "-f", &key, &list]);
        };
        let taken = |signer: &str| Services::from_signed_file(Path::new(&list), Path::new(&allowed), signer);
        sign("file");
        assert!(matches!(taken("ciso@example.com"), Err(ServicesError::Signature { .. })));
        sign(SIGNATURE_NAMESPACE);
        let services = taken("ciso@example.com").unwrap();
        assert_eq!(services.signer(), Some("ciso@example.com"));
        assert_eq!(services.listed().count(), 2);
        assert!(matches!(taken("mallory@example.com"), Err(ServicesError::Signature { .. })));
        std::fs::write(&list, format!("{LIST}S-1-5-21-1-2-3-1200 mallory\n")).unwrap();
        assert!(matches!(taken("ciso@example.com"), Err(ServicesError::Signature { .. })));
        assert_eq!(Services::from_unsigned_file(Path::new(&list)).unwrap().listed().count(), 3);
        std::fs::remove_file(at("services.sig")).unwrap();
        assert!(matches!(taken("ciso@example.com"), Err(ServicesError::Unreadable { .. })));
    }
}
