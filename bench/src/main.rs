//! Measures DKM against the raw primitive and its peers, in one run.

#![forbid(unsafe_code)]

mod domain;
mod files;
mod log;
mod measure;
mod memory;
mod parts;
mod peer;
mod product;
mod raw;
mod refresh;
mod report;
mod ring;
mod served;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;

use measure::Effort;
use report::Section;

/// Measures DKM; started by `cargo xtask bench`.
#[derive(Debug, Parser)]
struct Arguments {
    /// The `dkm` command to measure
    #[arg(long)]
    dkm: PathBuf,
    /// The `dkmd` program to measure
    #[arg(long)]
    dkmd: PathBuf,
    /// A folder on a disk, for servers
    #[arg(long)]
    disk: PathBuf,
    /// Measure for a shorter time
    #[arg(long)]
    quick: bool,
    /// Only measurements whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Leave out measurements whose name contains this; the page says so
    #[arg(long)]
    without: Option<String>,
    /// Write the page here
    #[arg(long)]
    write: Option<PathBuf>,
}

impl Arguments {
    fn place(&self) -> served::Place {
        let (program, disk) = (self.dkmd.clone(), self.disk.clone());
        served::Place { program, disk, quick: self.quick }
    }
}

type Measurement = fn(&Arguments, Effort) -> Result<Vec<Section>>;

const MEASUREMENTS: &[(&str, Measurement)] = &[
    ("file", |arguments, _| one(files::large_file(&arguments.dkm, arguments.quick))),
    ("small", |_, effort| one(memory::small(effort))),
    ("parts", |_, effort| one(parts::parts(effort))),
    ("large", |_, effort| one(memory::large(effort))),
    ("ring", |_, effort| one(ring::ring(effort))),
    ("threads", |_, effort| one(memory::threads(effort))),
    ("overhead", |_, _| one(memory::overhead())),
    ("log", |arguments, effort| one(log::log(arguments.quick, effort))),
    ("dkmd-reads", |arguments, _| one(served::reads(&arguments.place()))),
    ("dkmd-brokered", |arguments, _| one(served::brokered(&arguments.place()))),
    ("dkmd-grants", |arguments, _| one(served::grants(&arguments.place()))),
    ("dkmd-soak", |arguments, _| one(served::soak(&arguments.place()))),
    ("domain", |arguments, _| domain::sections(&arguments.dkm, arguments.quick)),
];

fn one(section: Result<Section>) -> Result<Vec<Section>> {
    section.map(|section| vec![section])
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, words)) = words.split_first()
        && first == refresh::REFRESHES
    {
        return refresh::in_own_process(words);
    }
    let arguments = Arguments::parse();
    let effort = Effort::new(arguments.quick);
    let mut sections = Vec::new();
    let mut left_out = Vec::new();
    let matches = |part: &Option<String>, name: &str| part.as_ref().map(|part| name.contains(part.as_str()));
    for (name, measure) in MEASUREMENTS {
        if matches(&arguments.only, name) == Some(false) || matches(&arguments.without, name) == Some(true) {
            left_out.push(*name);
            continue;
        }
        sections.extend(measure(&arguments, effort).with_context(|| format!("measuring {name}"))?);
    }
    if let Some(path) = &arguments.write {
        let page = report::page(&sections, &left_out);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, page).with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(())
}
