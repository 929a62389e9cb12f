//! `dkm audit prove`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use dkm_audit::proof::{ConsistencyProof, InclusionProof};
use dkm_audit::source::Source;
use dkm_audit::tree::Tree;
use serde_json::{Value, json};

use crate::audit_log::{Head, LogArguments, checkpoint_file};
use crate::failure::{Failure, Result};
use crate::output_file::{ORDINARY, OutputArguments};
use crate::shell::Shell;

/// Prove that an entry is in an audit log, or that the log has only grown
///
/// The proof of an entry is a C2SP tlog-proof, with the entry in its line extra: whoever has the log's key can check it
/// without the log. The proof from an earlier checkpoint has the form of a request to a C2SP witness: the earlier size,
/// the hashes of RFC 6962, and the newest checkpoint. Each is verified before it is written.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  proved
  3  there is no log, or no such entry
  5  the log is damaged, forged, rolled back or forked: there is no proof
  6  the log can't be read

Examples:
  dkm audit prove /var/lib/dkmd/audit 4711 --keys log.keys -o 4711.tlog-proof
  dkm audit prove 4711 --key dkm.log/4f1c+c4...= --repository https://keys.example.com
  dkm audit prove /var/lib/dkmd/audit --from yesterday.checkpoint --keys log.keys")]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    /// Number of the entry, from 0
    #[arg(value_name = "ENTRY", conflicts_with = "from")]
    entry: Option<u64>,
    /// An earlier checkpoint, from which the log is proved to have grown
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,
}

/// What is to be proved.
enum Wanted<'a> {
    /// That the log begins with what a checkpoint covers.
    Growth(&'a Path),
    /// That it holds an entry.
    Entry(u64),
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let (log, wanted) = match (&arguments.from, arguments.entry) {
        (Some(earlier), _) => (arguments.log.clone(), Wanted::Growth(earlier)),
        (None, Some(index)) => (arguments.log.clone(), Wanted::Entry(index)),
        (None, None) => match arguments.log.or_entry() {
            (log, Some(index)) => (log, Wanted::Entry(index)),
            (_, None) => {
                return Err(Failure::usage("neither an entry nor a checkpoint was named")
                    .help("give the number of the entry, or an earlier checkpoint with --from"));
            }
        },
    };
    let log = &log;
    let source = log.source(shell)?;
    let head = log.head(&source)?;
    let (text, value) = match wanted {
        Wanted::Growth(earlier) => grown(log, &source, &head, earlier)?,
        Wanted::Entry(index) => entry(log, &source, &head, index)?,
    };
    log.remember(&head, shell)?;
    if arguments.output.is_stdout() {
        return shell.terminal.result(&value, || String::from_utf8_lossy(&text).into_owned());
    }
    let mut output = arguments.output.open(ORDINARY)?;
    let written = output.write_all(&text).and_then(|()| output.flush());
    written.map_err(|error| output.failure().unwrap_or_else(|| Failure::internal(error.to_string())))?;
    output.commit()?;
    shell.terminal.result(&value, || "Proved.\n".to_owned())
}

fn entry<S: Source>(log: &LogArguments, source: &S, head: &Head, index: u64) -> Result<(Vec<u8>, Value)> {
    let tree = Tree::new(source, &head.checkpoint);
    let (leaf, hashes) = tree.prove(index).map_err(|error| log.fault(&error))?;
    let leaf_hash = dkm_audit::merkle::leaf_hash(&leaf);
    let value = json!({
        "entry": index,
        "leaf": leaf_hash.to_string(),
        "size": head.checkpoint.size,
        "root": head.checkpoint.root.to_string(),
        "hashes": hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "checkpoint": String::from_utf8_lossy(&head.note),
    });
    let proof = InclusionProof { leaf: Some(leaf), index, hashes, checkpoint: head.note.clone() };
    // What somebody else will check is checked as he will.
    proof.verify(&log.trust()?).map_err(|error| Failure::internal(error.to_string()))?;
    Ok((proof.encode(), value))
}

fn grown<S: Source>(log: &LogArguments, source: &S, head: &Head, earlier: &Path) -> Result<(Vec<u8>, Value)> {
    let (_, earlier) = checkpoint_file(earlier)?;
    log.extends(source, head, &earlier)?;
    let tree = Tree::new(source, &head.checkpoint);
    let hashes = tree.prove_extends(&earlier).map_err(|error| log.fault(&error))?;
    let value = json!({
        "from": {"size": earlier.size, "root": earlier.root.to_string()},
        "size": head.checkpoint.size,
        "root": head.checkpoint.root.to_string(),
        "hashes": hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "checkpoint": String::from_utf8_lossy(&head.note),
    });
    let proof = ConsistencyProof { old_size: earlier.size, hashes, checkpoint: head.note.clone() };
    Ok((proof.encode(), value))
}
