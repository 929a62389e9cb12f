//! The audit log that a command reads: where it is, whose signatures it needs, and what was remembered of it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use dkm::ErrorKind;
use dkm::repository::RepositoryError;
use dkm_audit::http::{HttpOptions, HttpSource};
use dkm_audit::merkle::ProofError;
use dkm_audit::note::{KeyKind, NOTE_LEN_MAX, Note};
use dkm_audit::source::{DirectorySource, Source};
use dkm_audit::store::PUBLISHED;
use dkm_audit::tree::{Tree, TreeError};
use dkm_audit::{Checkpoint, Trust, VerifierKey};
use dkm_remote::RemoteLog;

use crate::failure::{Failure, Result};
use crate::output_file::{ORDINARY, Output};
use crate::shell::Shell;
use crate::terminal::count;

/// Where a log keeps its newest checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Longest file of keys or certificates, in bytes.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// The log that is meant, and whom to believe.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArguments {
    /// Folder of the audit log, or URL below which its files are served, as https://audit.example.com/log; if not given,
    /// the log of the dkmd server that --repository names, for its auditors
    #[arg(value_name = "DIR|URL")]
    log: Option<String>,
    /// Verifier key of the log or of a witness, as name+id+key. Repeatable
    #[arg(long, value_name = "KEY")]
    key: Vec<VerifierKey>,
    /// File with verifier keys, one a line; lines that begin with # are comments
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// How many of the witnesses must have cosigned; all whose keys are given otherwise
    #[arg(long, value_name = "NUMBER")]
    witnesses: Option<usize>,
    /// File with the certificates of the authorities to trust for https, in PEM form; the system's otherwise
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Keep the log's last checkpoint in this file, and refuse a log that does not extend the one that is there
    #[arg(long, value_name = "FILE")]
    remember: Option<PathBuf>,
}

/// A checkpoint of the log, believed as far as the arguments say.
pub(crate) struct Head {
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint as it was signed.
    pub(crate) note: Vec<u8>,
}

impl LogArguments {
    /// Whether there is somebody to believe.
    pub(crate) fn has_keys(&self) -> bool {
        !self.key.is_empty() || self.keys.is_some()
    }

    /// The log's key and those of its witnesses.
    pub(crate) fn trust(&self) -> Result<Trust> {
        let mut keys = self.key.clone();
        if let Some(path) = &self.keys {
            keys.extend(read_keys(path)?);
        }
        keys.sort_unstable();
        keys.dedup();
        let (logs, witnesses): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.kind() == KeyKind::Log);
        let [log] = logs.as_slice() else {
            let found = if logs.is_empty() {
                "no key of the log was given"
            } else {
                "several keys of logs were given"
            };
            return Err(Failure::usage(found).help(
                "give the verifier key of this log with --key, or in a file with --keys; one key is enough, whatever \
                 keys the log has had",
            ));
        };
        let quorum = self.witnesses.unwrap_or(witnesses.len());
        if quorum > witnesses.len() {
            return Err(Failure::usage(format!(
                "{} must have cosigned, and the keys of {} were given",
                count(quorum, "witness"),
                witnesses.len()
            ))
            .help("give the witnesses' verifier keys with --key or --keys"));
        }
        Trust::log(log.clone())
            .and_then(|trust| trust.with_witnesses(witnesses, quorum))
            .map_err(|error| Failure::usage(error.to_string()).help("check --key, --keys and --witnesses"))
    }

    /// The number that was given in the place of the log, if it is one: of the log that --repository names an entry was
    /// meant.
    pub(crate) fn or_entry(&self) -> (Self, Option<u64>) {
        match self.log.as_ref().and_then(|log| log.parse().ok()) {
            Some(entry) => (Self { log: None, ..self.clone() }, Some(entry)),
            None => (self.clone(), None),
        }
    }

    /// Where the log's files are read from.
    pub(crate) fn source(&self, shell: &Shell) -> Result<Box<dyn Source>> {
        let Some(log) = &self.log else {
            if !shell.names_a_server()? {
                return Err(Failure::usage("no audit log was named").help(
                    "name its folder or URL, or the dkmd server whose log it is: --repository https://keys.example.com",
                ));
            }
            return Ok(Box::new(ServerSource(RemoteLog::of(shell.remote()?))));
        };
        let is_url = log.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric())
        });
        if !is_url {
            return Ok(Box::new(DirectorySource::new(Path::new(log))));
        }
        let mut options = HttpOptions::default();
        if let Some(path) = &self.ca {
            let pem = read_limited(path)?;
            options = options
                .trusting_pem(pem.as_bytes())
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        }
        match HttpSource::new(log, &options) {
            Ok(source) => Ok(Box::new(source)),
            Err(error) => Err(Failure::usage(error.to_string())),
        }
    }

    /// The log as the command line names it.
    pub(crate) fn name(&self) -> &str {
        self.log.as_deref().unwrap_or("the server's audit log")
    }

    /// The newest checkpoint as it stands there, and where. If witnesses must have cosigned, it is the one that was
    /// published after they had.
    pub(crate) fn note<S: Source>(
        &self,
        source: &S,
        trust: Option<&Trust>,
    ) -> Result<(&'static str, Vec<u8>)> {
        let witnessed = trust.is_some_and(|trust| trust.quorum() > 0);
        let places = [witnessed.then_some(PUBLISHED), Some(CHECKPOINT)];
        for place in places.into_iter().flatten() {
            let read = source.read(place, NOTE_LEN_MAX);
            if let Some(note) = read.map_err(|error| self.unreadable(place, &error))? {
                return Ok((place, note));
            }
        }
        Err(Failure::new(ErrorKind::NotFound, format!("there is no audit log in {}", self.name()))
            .help("check the name; the file checkpoint lies right below it"))
    }

    /// The newest checkpoint: signed by the log and its witnesses, and an extension of the one remembered.
    pub(crate) fn head<S: Source>(&self, source: &S) -> Result<Head> {
        let trust = self.trust()?;
        let (_, note) = self.note(source, Some(&trust))?;
        let checkpoint = trust.verify(&note).map_err(|error| self.refused(&error))?.checkpoint;
        let head = Head { checkpoint, note };
        if let Some(earlier) = self.remembered()? {
            self.extends(source, &head, &earlier)?;
        }
        Ok(head)
    }

    /// The newest checkpoint, whoever has written it.
    pub(crate) fn unverified_head<S: Source>(&self, source: &S) -> Result<Head> {
        let (_, note) = self.note(source, None)?;
        Ok(Head { checkpoint: claim(&note).map_err(|why| self.damaged(&why))?, note })
    }

    /// Refuses a log that does not begin with the tree of an earlier checkpoint.
    pub(crate) fn extends<S: Source>(&self, source: &S, head: &Head, earlier: &Checkpoint) -> Result {
        if head.checkpoint.origin != earlier.origin {
            return Err(Failure::usage(format!(
                "the earlier checkpoint is of another log, {}",
                earlier.origin
            ))
            .help(format!("this log is {}: name a checkpoint of it", head.checkpoint.origin)));
        }
        match Tree::new(source, &head.checkpoint).prove_extends(earlier) {
            Ok(_) => Ok(()),
            Err(TreeError::Proof(ProofError::Shrunk { earlier, later })) => Err(Failure::new(
                ErrorKind::Corrupt,
                format!("the log was rolled back: it has {later} entries, and had {earlier} at an earlier checkpoint"),
            )
            .help(EVIDENCE)),
            Err(TreeError::Proof(ProofError::WrongRoot)) => Err(Failure::new(
                ErrorKind::Corrupt,
                format!("the log was forked: its first {} entries are not those of an earlier checkpoint", earlier.size),
            )
            .help(EVIDENCE)),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// The checkpoint that was remembered last, as it was signed.
    pub(crate) fn remembered_note(&self) -> Result<Option<Vec<u8>>> {
        let Some(path) = &self.remember else { return Ok(None) };
        match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file("can't read", path, &error)),
            Ok(file) => read_note(file, path).map(Some),
        }
    }

    fn remembered(&self) -> Result<Option<Checkpoint>> {
        let Some(note) = self.remembered_note()? else { return Ok(None) };
        claim(&note).map(Some).map_err(|why| self.not_remembered(&why))
    }

    /// Remembers a checkpoint that was verified, unless a later one was remembered meanwhile.
    pub(crate) fn remember(&self, head: &Head, shell: &Shell) -> Result {
        let Some(path) = &self.remember else { return Ok(()) };
        let earlier = self.remembered()?;
        if earlier.is_none() {
            shell
                .terminal
                .note(format!("{} is new: the log is compared with it from now on", path.display()));
        }
        if earlier.is_some_and(|earlier| earlier.size >= head.checkpoint.size) {
            return Ok(());
        }
        let mut file = Output::file(path, ORDINARY, true)?;
        let written = file.write_all(&head.note).and_then(|()| file.flush());
        written.map_err(|error| Failure::file("can't write", path, &error))?;
        file.commit()
    }

    fn not_remembered(&self, why: &str) -> Failure {
        let path = self.remember.as_deref().unwrap_or(Path::new("")).display();
        Failure::new(ErrorKind::Corrupt, format!("{path} holds no checkpoint: {why}"))
            .help("bring back the file; without it a log that was rolled back or forked is not noticed")
    }

    /// What a checkpoint that is not believed means.
    pub(crate) fn refused(&self, error: &dkm_audit::trust::TrustError) -> Failure {
        use dkm_audit::trust::TrustError;
        let failure = self.damaged(&error.to_string());
        match error {
            TrustError::NotSigned { .. } => failure.help(
                "if the log has changed its key since, dkm audit verify follows that from any key of the log, and \
                 tells the present one",
            ),
            TrustError::TooFewWitnesses { .. } => {
                failure.help("wait until more witnesses have cosigned, or say with --witnesses how many must have")
            }
            _ => failure.help(EVIDENCE),
        }
    }

    fn damaged(&self, why: &str) -> Failure {
        Failure::new(ErrorKind::Corrupt, format!("{}: {why}", self.name())).help(EVIDENCE)
    }

    fn unreadable(&self, path: &str, error: &std::io::Error) -> Failure {
        let Some(log) = &self.log else {
            let failure = error.get_ref().and_then(|inner| inner.downcast_ref::<ServerFault>());
            return failure.map_or_else(|| Failure::internal(error.to_string()), ServerFault::failure);
        };
        let place = PathBuf::from(format!("{}/{path}", log.trim_end_matches('/')));
        let failure = Failure::file("can't read", &place, error);
        if error.kind() == std::io::ErrorKind::PermissionDenied && log.starts_with("https://") {
            return failure.help(
                "if it is the log of a dkmd server, leave out the URL and name the server with --repository: then you show \
                 who you are",
            );
        }
        failure
    }

    /// What an error of the log's tree means.
    pub(crate) fn fault(&self, error: &TreeError) -> Failure {
        match error {
            TreeError::Io { path, source } => self.unreadable(path, source),
            TreeError::Proof(ProofError::NoLeaf { index, size }) => {
                Failure::new(ErrorKind::NotFound, format!("the log has no entry {index}: it has {size}"))
                    .help("entries are numbered from 0")
            }
            _ => self.damaged(&error.to_string()),
        }
    }
}

/// The log of a dkmd server.
struct ServerSource(RemoteLog);

/// Why a server's log can't be read.
#[derive(Debug)]
struct ServerFault(RepositoryError);

impl std::fmt::Display for ServerFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ServerFault {}

impl ServerFault {
    fn failure(&self) -> Failure {
        let failure = Failure::from(self.0.clone());
        match &self.0 {
            RepositoryError::Denied { .. } => failure
                .help("an administrator of the server makes an auditor: dkm principal add ACCOUNT --auditor"),
            _ => failure,
        }
    }
}

impl Source for ServerSource {
    fn read(&self, path: &str, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
        self.0.read(path, limit).map_err(|error| std::io::Error::other(ServerFault(error)))
    }

    /// None: a server does not list its log's files.
    fn names(&self, _: &str) -> std::io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// What to do with a log that is not in order.
pub(crate) const EVIDENCE: &str =
    "keep the log and the checkpoints as evidence; dkm audit verify tells all that is wrong, and where";

/// Reads a checkpoint's note from a file.
pub(crate) fn checkpoint_file(path: &Path) -> Result<(Vec<u8>, Checkpoint)> {
    let file = File::open(path).map_err(|error| Failure::file("can't read", path, &error))?;
    let note = read_note(file, path)?;
    let checkpoint = claim(&note).map_err(|why| {
        Failure::new(ErrorKind::Corrupt, format!("{} holds no checkpoint: {why}", path.display()))
    })?;
    Ok((note, checkpoint))
}

pub(crate) fn claim(note: &[u8]) -> Result<Checkpoint, String> {
    let note = Note::parse(note).map_err(|error| error.to_string())?;
    note.text().parse().map_err(|error: dkm_audit::checkpoint::CheckpointError| error.to_string())
}

fn read_note(file: File, path: &Path) -> Result<Vec<u8>> {
    let mut note = Vec::new();
    let most = u64::try_from(NOTE_LEN_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut note).map_err(|error| Failure::file("can't read", path, &error))?;
    Ok(note)
}

/// A text file of at most [`FILE_LEN_MAX`] bytes.
pub(crate) fn read_limited(path: &Path) -> Result<String> {
    let fail = |error: &std::io::Error| Failure::file("can't read", path, error);
    let mut text = String::new();
    let file = File::open(path).map_err(|error| fail(&error))?;
    file.take(FILE_LEN_MAX + 1).read_to_string(&mut text).map_err(|error| fail(&error))?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(Failure::usage(format!("{} has more than {FILE_LEN_MAX} bytes", path.display())));
    }
    Ok(text)
}

fn read_keys(path: &Path) -> Result<Vec<VerifierKey>> {
    let text = read_limited(path)?;
    let lines = (1..).zip(text.lines().map(str::trim));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            line.parse()
                .map_err(|error| Failure::usage(format!("{}, line {number}: {error}", path.display())))
        })
        .collect()
}
