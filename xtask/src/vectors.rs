//! `cargo xtask vectors`: writes `testdata/vectors/` and `testdata/windows/` anew, bit for bit, or checks that they
//! would not change.
//!
//! Everything that looks random is fixed: materials, salts and ids are named in [`fixed`]. One file per topic, one
//! module per file. docs/format.md §12 and testdata/vectors/README.md say what the files mean.

mod archives;
mod blobs;
mod blobs_refused;
mod contexts;
mod derivations;
mod fixed;
mod json;
mod lengths;
mod raw;
mod records;
mod records_refused;
mod slots;
mod windows;
mod wrapping;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::shell;
use json::Json;

/// Arguments of `cargo xtask vectors`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail if a file would change
    #[arg(long)]
    pub(crate) check: bool,
}

/// What people wrote and this command leaves alone.
const BY_HAND: [&str; 2] = ["README.md", "reader.py"];

/// The cases of one topic.
pub(crate) struct Topic {
    /// Name of the file, without its ending.
    name: &'static str,
    /// What the cases have in common, for people.
    about: &'static str,
    cases: Vec<Json>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for (folder, topics) in [("testdata/vectors", own()?), ("testdata/windows", foreign()?)] {
        let files = files(topics)?;
        if arguments.check {
            check(folder, &files)?;
        } else {
            write(&shell::root().join(folder), &files)?;
        }
    }
    Ok(())
}

/// DKM's own formats.
fn own() -> Result<Vec<Topic>> {
    Ok(vec![
        derivations::topic()?,
        contexts::topic()?,
        contexts::refused()?,
        lengths::topic()?,
        lengths::refused(),
        blobs::topic()?,
        blobs::large()?,
        blobs_refused::topic()?,
        records::topic()?,
        records_refused::topic(),
        slots::topic()?,
        slots::refused(),
        wrapping::topic()?,
        wrapping::refused()?,
        archives::topic()?,
        archives::refused()?,
    ])
}

/// Blobs of Windows DKM.
fn foreign() -> Result<Vec<Topic>> {
    Ok(vec![windows::derivations()?, windows::blobs()?, windows::refused()])
}

/// Every file that this command makes in a folder, by name.
fn files(topics: Vec<Topic>) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut names = BTreeSet::new();
    for topic in topics {
        for case in &topic.cases {
            let name = case.name().with_context(|| format!("a case of {} has no name", topic.name))?;
            if !names.insert(format!("{}/{name}", topic.name)) {
                bail!("{} has two cases with the name {name}", topic.name);
            }
        }
        let text = Json::object([
            ("topic", Json::text(topic.name)),
            ("about", Json::text(topic.about)),
            ("cases", Json::List(topic.cases)),
        ]);
        files.insert(format!("{}.json", topic.name), text.pretty());
    }
    Ok(files)
}

fn write(folder: &PathBuf, files: &BTreeMap<String, String>) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
    for name in strays(folder, files)? {
        // Only files of the kind that this command writes: anything else is somebody's work.
        if !name.ends_with(".json") {
            bail!("{} is not one of ours: move it elsewhere", folder.join(&name).display());
        }
        let path = folder.join(&name);
        fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
        println!("removed {name}");
    }
    let mut written = 0;
    for (name, text) in files {
        let path = folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|there| there == *text) {
            continue;
        }
        fs::write(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        println!("wrote {name}");
        written += 1;
    }
    println!("{written} of {} files changed", files.len());
    Ok(())
}

fn check(named: &str, files: &BTreeMap<String, String>) -> Result<()> {
    let folder = &shell::root().join(named);
    let mut faults: Vec<String> = Vec::new();
    for (name, text) in files {
        match fs::read_to_string(folder.join(name)) {
            Ok(there) if there == *text => {}
            Ok(_) => faults.push(format!("{name} differs")),
            Err(error) => faults.push(format!("{name}: {error}")),
        }
    }
    faults.extend(strays(folder, files)?.into_iter().map(|name| format!("{name} is not one of ours")));
    if faults.is_empty() {
        println!("{} files of {named} are as they must be", files.len());
        return Ok(());
    }
    bail!(
        "{named} is not what `cargo xtask vectors` writes:\n  {}\nA format on disk is frozen: look for the \
         fault in the code before writing the vectors anew",
        faults.join("\n  ")
    )
}

/// Files that neither this command nor a person put there.
fn strays(folder: &PathBuf, files: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut strays = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("can't list {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !files.contains_key(&name) && !BY_HAND.contains(&name.as_str()) {
            strays.push(name);
        }
    }
    strays.sort();
    Ok(strays)
}
