//! A service that keeps a group's keys in memory, and puts back what the repository has lost when an operator says so.
//!
//! `service URL GROUP PIPE JOURNAL`. The operator's word is a line into the pipe, which he alone may write to:
//!
//! ```text
//! mkfifo -m 600 /run/mail/control
//! echo 'republish both domain controllers were restored from a backup' > /run/mail/control
//! ```
//!
//! What was done is a line for each key on stdout. `end` ends the service.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;

use dkm::Location;
use dkm::blocking::{Client, Group, Options};
use dkm::journal::FileJournal;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, group, pipe, journal] = arguments.as_slice() else {
        return Err("usage: service URL GROUP PIPE JOURNAL".into());
    };
    serve(url, group, Path::new(pipe), Path::new(journal))
}

/// Serves until it is told to end.
pub(crate) fn serve(url: &str, group: &str, pipe: &Path, journal: &Path) -> Result<(), Box<dyn Error>> {
    // Republishing is recorded before it happens, and refused where it can't be.
    let options = Options { journal: Some(Arc::new(FileJournal::open(journal)?)), ..Options::default() };
    let client = match url.parse()? {
        Location::ActiveDirectory { url } => dkm_ad::open(&url, options)?,
        directory => Client::open(&directory, options)?,
    };
    let group = client.group(group)?;
    println!("serving {}", group.name());
    // Here the service would work with `group`, whose keys a thread keeps fresh.
    if !pipe.metadata()?.file_type().is_fifo() {
        return Err(format!("{} is not a pipe: make it with mkfifo -m 600", pipe.display()).into());
    }
    loop {
        // Opens when somebody writes, and comes to its end when he has done.
        for line in BufReader::new(File::open(pipe)?).lines() {
            match line?.split_once(' ').unwrap_or_default() {
                ("republish", reason) if !reason.trim().is_empty() => republish(&group, reason),
                ("end", _) => return Ok(()),
                _ => println!("not understood: say \"republish REASON\", or \"end now\""),
            }
        }
    }
}

fn republish(group: &Group, reason: &str) {
    match group.republish(&[], reason) {
        Ok(done) => {
            for key in &done.keys {
                println!("key {}: {:?}", key.key, key.fate);
            }
            for (replica, why) in &done.unread {
                println!("replica {replica} was not read: {why}");
            }
            if done.control_left > 0 {
                println!("{} words on keys are for an owner to put back", done.control_left);
            }
            match (&done.rolled, &done.not_rolled) {
                (Some(new), _) => println!("key {} takes over", new.key),
                (None, Some(why)) => println!("a new key is needed and was not made: {why}"),
                (None, None) => {}
            }
            println!("republished");
        }
        Err(error) => println!("not republished: {error}; {}", error.advice().unwrap_or_default()),
    }
}
