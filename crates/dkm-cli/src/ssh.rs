//! Signatures by `ssh-keygen`: with a private key in a file, in an agent, or on a security key.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dkm::ErrorKind;
use dkm_lockbox::{shown, sshsig};

use crate::failure::{Failure, Result};

/// What signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signer {
    /// A file: a private key, or a public one whose private part an agent holds.
    File(PathBuf),
    /// Whatever key the agent holds that is the signer's.
    Agent,
}

impl std::str::FromStr for Signer {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(if text == "agent" { Self::Agent } else { Self::File(PathBuf::from(text)) })
    }
}

/// Signs a message for a namespace. `keys` are the lines of which one must have signed, if they are known: a signature that
/// would not be taken is not given.
pub(crate) fn sign(
    signer: &Signer,
    namespace: &str,
    message: &[u8],
    keys: Option<&[String]>,
) -> Result<String> {
    let armored = match signer {
        Signer::File(path) => run(path, namespace, message)?,
        Signer::Agent => {
            let line = agent_key(keys)?;
            let mut file = tempfile::NamedTempFile::new()
                .map_err(|error| Failure::file("can't write in", &std::env::temp_dir(), &error))?;
            let written = writeln!(file, "{line}").and_then(|()| file.flush());
            written.map_err(|error| Failure::file("can't write", file.path(), &error))?;
            run(file.path(), namespace, message)?
        }
    };
    let good = |line: &String| sshsig::verify(line, namespace, message, &armored).is_ok();
    match keys {
        Some(keys) if !keys.iter().any(good) => {
            Err(Failure::new(ErrorKind::Refused, "the key that signed is none that you have in the roster")
                .help(
                    "name the key that the roster has (--key); dkm roster show lists them; nothing was sent",
                ))
        }
        _ => Ok(armored),
    }
}

fn run(key: &Path, namespace: &str, message: &[u8]) -> Result<String> {
    if let Err(error) = std::fs::metadata(key) {
        return Err(Failure::file("can't read the key", key, &error));
    }
    let mut child = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| missing("ssh-keygen", &error))?;
    // What it asks for, it asks on the terminal itself. It may end before it has read all.
    let told = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(message));
    let output = child.wait_with_output().map_err(|error| missing("ssh-keygen", &error))?;
    let words = || shown(String::from_utf8_lossy(&output.stderr).trim());
    if !output.status.success() || told.is_err() {
        return Err(Failure::new(
            ErrorKind::Denied,
            format!("ssh-keygen did not sign with {}: {}", key.display(), words()),
        )
        .help("give the private key's file, or the .pub file of a key that ssh-agent holds (ssh-add -l)"));
    }
    String::from_utf8(output.stdout).map_err(|_| Failure::internal("ssh-keygen wrote no signature"))
}

fn missing(program: &str, error: &std::io::Error) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("can't run {program}: {error}"))
        .help("install OpenSSH's client (Debian: openssh-client)")
}

/// The one key of the agent that is the signer's, or the only one that it holds.
fn agent_key(keys: Option<&[String]>) -> Result<String> {
    let output = Command::new("ssh-add")
        .arg("-L")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| missing("ssh-add", &error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let held: Vec<&str> = text.lines().filter(|line| sshsig::check_key(line).is_ok()).collect();
    let blob = |line: &str| line.split_ascii_whitespace().nth(1).map(str::to_owned);
    let fits = |line: &&str| keys.is_none_or(|keys| keys.iter().any(|key| blob(key) == blob(line)));
    let mut those = held.iter().copied().filter(fits);
    match (those.next(), those.next()) {
        (Some(line), None) => Ok(line.to_owned()),
        (Some(line), Some(_)) if keys.is_some() => Ok(line.to_owned()),
        (Some(_), Some(_)) => Err(Failure::usage("ssh-agent holds several keys that could sign")
            .help("name one by its .pub file: --key FILE")),
        (None, _) => Err(Failure::new(ErrorKind::NotFound, "ssh-agent holds no key that could sign")
            .help("add it (ssh-add FILE), or name its file: --key FILE")),
    }
}
