//! `dkm audit ingest`

use std::collections::BTreeSet;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use clap::Args;
use dkm::ErrorKind;
use dkm_audit::entry::GrantRef;
use dkm_audit::ingest::{self, Accounts, RecordError, Records};
use dkm_audit::note::KeyName;
use dkm_audit::store::{Error, FileAnchor, Receipt};
use dkm_audit::tile::TILE_WIDTH;
use dkm_audit::tree::Tree;
use dkm_audit::{Entry, Log, LogKey, Trust};
use serde_json::json;

use crate::audit_log::read_limited;
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::output_file::{Output, PRIVATE};
use crate::shell::Shell;
use crate::terminal::count;
use crate::{columns, when};

/// Entries that are handed over before the first of them must be durable.
const TOGETHER: usize = 512;
/// Records that could not be read which are told one by one.
const TOLD_MAX: usize = 100;

/// Take what Windows or Samba has recorded into an audit log, and link it to grants
///
/// Reads Windows security events 4662, 4624, 4728 and 5136, as XML of wevtutil, or as JSON of ConvertTo-Json or winlogbeat, one
/// event a line; and Samba's JSON audit lines of dsdb_json_audit and auth_json_audit. Who, what, where and when go into the
/// log, never the value of an attribute. A record that is in the log is not taken again, whichever file it comes in. What
/// can't be read is told by line, and recorded with its hash. An entry's time is now; the record's own stands in its detail.
///
/// An entry names the grant whose temporary account did it: by the list of --accounts, and by entries temporary-account of
/// the log itself. The log must not be in use: one that dkmd writes needs another log beside it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Windows:  wevtutil qe Security /f:xml /q:\"*[System[EventID=4662]]\" > events.xml
          Get-WinEvent ... | ForEach-Object { $_ | ConvertTo-Json -Compress -Depth 4 }
Samba:    log level = 1 dsdb_json_audit:5@/var/log/samba/changes.json auth_json_audit:4@/var/log/samba/logons.json

Exit codes:
  0  taken in, or there already
  3  there is no log, or no such file
  5  taken in but for what could not be read; or the log is damaged
  6  the log can't be written: what was told as taken in is in it, and another run goes on from there
  7  the log was rolled back, or is in use

Examples:
  dkm audit ingest /var/lib/dkm/ad-audit changes.json --signing-key log.key --anchor /mnt/other/anchor
  dkm audit ingest ad-audit events.xml --signing-key log.key --anchor anchor --create ad.example.com/log")]
pub(crate) struct Arguments {
    /// Folder of the audit log
    #[arg(value_name = "DIR")]
    log: PathBuf,
    /// Files to read; - or none is stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// File with the log's secret key
    #[arg(long, value_name = "FILE")]
    signing_key: PathBuf,
    /// File that keeps the log's last checkpoint outside the log, on another disk or under another account
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    /// List of temporary accounts: a grant's reference, then its account's SID or name, or both, a line
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Make the log and its key first, under this name, such as ad.example.com/log
    #[arg(long, value_name = "NAME")]
    create: Option<KeyName>,
}

/// What was taken in.
#[derive(Default)]
struct Told {
    added: u64,
    known: u64,
    linked: u64,
    unlinked: u64,
    unreadable: u64,
    others: std::collections::BTreeMap<String, u64>,
    problems: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let listed = arguments.accounts.as_deref().map(read_limited).transpose()?;
    let mut accounts = match (&listed, &arguments.accounts) {
        (Some(text), Some(path)) => {
            Accounts::parse(text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?
        }
        _ => Accounts::default(),
    };
    let log = open(arguments, shell)?;
    let mut known = look(&log, &mut accounts)?;
    let mut told = Told::default();
    let stdin = [PathBuf::from("-")];
    let files = if arguments.files.is_empty() { &stdin[..] } else { &arguments.files };
    for file in files {
        take(&log, file, &accounts, &mut known, &mut told)?;
    }
    tell(&told, &log, shell)?;
    if told.unreadable > 0 {
        return Err(Failure::new(
            ErrorKind::Corrupt,
            format!("{} could not be read", count(told.unreadable, "record")),
        )
        .help("each is in the log with its hash; export it anew, one event a line, as UTF-8"));
    }
    Ok(())
}

fn open(arguments: &Arguments, shell: &Shell) -> Result<Log> {
    let anchor = Box::new(FileAnchor::new(&arguments.anchor));
    let Some(name) = &arguments.create else {
        return Log::open(&arguments.log, signing_key(&arguments.signing_key)?, anchor)
            .map_err(|e| failed(&e));
    };
    let key = LogKey::generate(name.clone()).map_err(|error| Failure::internal(error.to_string()))?;
    let mut file = Output::file(&arguments.signing_key, PRIVATE, false)?;
    let written = std::io::Write::write_all(&mut file, key.to_text().as_bytes());
    written.map_err(|error| Failure::file("can't write", &arguments.signing_key, &error))?;
    file.commit()?;
    let public = key.public().to_string();
    let log = Log::create(&arguments.log, key, anchor).map_err(|error| failed(&error))?;
    shell.terminal.note(format!("the log's verifier key is {public}"));
    Ok(log)
}

/// Reads a secret key, into memory that is erased.
fn signing_key(path: &Path) -> Result<LogKey> {
    let mut input = Input::open(Some(path))?;
    let text = input.read_up_to(4096)?;
    let text = std::str::from_utf8(&text).map(str::trim).unwrap_or_default();
    LogKey::from_text(text).map_err(|error| {
        Failure::usage(format!("{} holds no secret key of a log: {error}", path.display()))
            .help("it has one line, PRIVATE+KEY+name+id+key")
    })
}

/// Ids of the records that the log has, and the accounts that it tells.
fn look(log: &Log, accounts: &mut Accounts) -> Result<BTreeSet<String>> {
    let damaged = |error: &dyn std::fmt::Display| Failure::new(ErrorKind::Corrupt, error.to_string());
    let trust = Trust::log(log.key()).map_err(|error| damaged(&error))?;
    let checkpoint = trust.verify(&log.checkpoint()).map_err(|error| damaged(&error))?.checkpoint;
    let source = log.source();
    let tree = Tree::new(&source, &checkpoint);
    let mut known = BTreeSet::new();
    for bundle in 0..checkpoint.size.div_ceil(TILE_WIDTH) {
        for leaf in tree.bundle(bundle).map_err(|error| damaged(&error))? {
            let entry = Entry::decode(&leaf.bytes).map_err(|error| damaged(&error))?;
            known.extend(ingest::record_of(&entry).map(str::to_owned));
            accounts.learn(&entry);
        }
    }
    Ok(known)
}

type Done = (Option<GrantRef>, bool, Result<Receipt, Error>);

/// Entries on their way into the log.
struct Writer<'a> {
    log: &'a Log,
    sender: Sender<Done>,
    receiver: Receiver<Done>,
    waiting: usize,
}

impl Writer<'_> {
    fn put(&mut self, entry: &Entry, is_record: bool, told: &mut Told) -> Result {
        while self.waiting >= TOGETHER {
            self.settle(told)?;
        }
        let (sender, grant) = (self.sender.clone(), entry.grant.clone());
        let submitted = self.log.submit(entry, move |receipt| {
            let _ = sender.send((grant, is_record, receipt));
        });
        submitted.map_err(|error| failed(&error))?;
        self.waiting += 1;
        Ok(())
    }

    /// Waits for one.
    fn settle(&mut self, told: &mut Told) -> Result {
        let (grant, is_record, receipt) =
            self.receiver.recv().map_err(|_| Failure::internal("the audit log has gone"))?;
        self.waiting -= 1;
        receipt.map_err(|error| {
            let done = told.added;
            failed(&error).during(format!("after {}", count(done, "entry")))
        })?;
        told.added += 1;
        match grant {
            Some(_) => told.linked += 1,
            None if is_record => told.unlinked += 1,
            None => {}
        }
        Ok(())
    }
}

fn take(
    log: &Log,
    file: &Path,
    accounts: &Accounts,
    known: &mut BTreeSet<String>,
    told: &mut Told,
) -> Result {
    let place = file.display().to_string();
    let mut records = Records::new(BufReader::with_capacity(64 * 1024, Input::open(Some(file))?));
    let (sender, receiver) = channel();
    let mut writer = Writer { log, sender, receiver, waiting: 0 };
    while let Some(raw) = records.next_record().map_err(|error| Failure::file("can't read", file, &error))? {
        let found = match &raw.text {
            Ok(text) => ingest::read(text),
            Err(why) => vec![Err(why.clone())],
        };
        for record in found {
            match record {
                Ok(record) if known.contains(&record.id) => told.known += 1,
                Ok(record) => {
                    let entry = record.entry(when::now(), accounts);
                    known.insert(record.id);
                    writer.put(&entry, true, told)?;
                }
                Err(RecordError::OtherKind { kind }) => {
                    let many = told.others.len() >= TOLD_MAX && !told.others.contains_key(&kind);
                    let kind = if many { "other kinds".to_owned() } else { kind };
                    *told.others.entry(kind).or_default() += 1;
                }
                Err(why) => {
                    told.unreadable += 1;
                    if told.problems.len() < TOLD_MAX {
                        told.problems.push(format!("{place}, line {}: {why}", raw.line));
                    }
                    if known.insert(ingest::unreadable_id(&raw.digest)) {
                        writer.put(&ingest::unreadable(when::now(), &place, &raw, &why), false, told)?;
                    }
                }
            }
        }
    }
    while writer.waiting > 0 {
        writer.settle(told)?;
    }
    Ok(())
}

fn tell(told: &Told, log: &Log, shell: &Shell) -> Result {
    let value = json!({
        "key": log.key().to_string(),
        "added": told.added,
        "known": told.known,
        "linked": told.linked,
        "unlinked": told.unlinked,
        "unreadable": told.unreadable,
        "problems": told.problems,
        "other_kinds": told.others,
    });
    shell.terminal.result(&value, || {
        let others: u64 = told.others.values().sum();
        let mut text = columns::facts(&[
            ("added to the log", told.added.to_string()),
            ("in it already", told.known.to_string()),
            ("linked to a grant", told.linked.to_string()),
            ("without a grant", told.unlinked.to_string()),
            ("of other kinds", others.to_string()),
            ("unreadable", told.unreadable.to_string()),
        ]);
        for (kind, number) in &told.others {
            text.push_str(&format!("passed over: {number} of {kind}\n"));
        }
        for problem in &told.problems {
            text.push_str(&format!("unreadable: {problem}\n"));
        }
        text
    })
}

/// What an error of the log means.
fn failed(error: &Error) -> Failure {
    let kind = match error {
        Error::NotALog { .. } => ErrorKind::NotFound,
        Error::Exists { .. } | Error::BadNextKey { .. } => ErrorKind::Usage,
        Error::InUse { .. }
        | Error::Behind { .. }
        | Error::Forked { .. }
        | Error::NoAnchor { .. }
        | Error::Retired { .. } => ErrorKind::Refused,
        Error::Trust(_) | Error::Tree(_) | Error::Changed { .. } => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    };
    let failure = Failure::new(kind, error.to_string());
    match error.advice() {
        Some(advice) => failure.help(advice),
        None => failure,
    }
}
