//! `cargo xtask fuzz`: libFuzzer on every parser, with the stable compiler.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{setup, shell};

/// Arguments of `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Time per target, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// One target only; all of them otherwise
    target: Option<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let all = targets()?;
    match &arguments.target {
        Some(one) if all.contains(one) => fuzz(std::slice::from_ref(one), arguments.seconds),
        Some(one) => bail!("there is no fuzz target {one}; there are: {}", all.join(", ")),
        None => fuzz(&all, arguments.seconds),
    }
}

/// Fuzzes every target for this many seconds.
pub(crate) fn all(seconds: u32) -> Result<()> {
    fuzz(&targets()?, seconds)
}

/// Names of the targets: one file each.
fn targets() -> Result<Vec<String>> {
    let folder = shell::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("can't list {}", folder.display()))? {
        let path = entry?.path();
        if let (Some(stem), Some("rs")) = (path.file_stem(), path.extension().and_then(|e| e.to_str())) {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The corpus grows in fuzz/corpus, which is not committed; fuzz/seeds is only read.
fn fuzz(targets: &[String], seconds: u32) -> Result<()> {
    setup::need(&[setup::CPLUSPLUS])?;
    setup::cargo_tool("cargo-fuzz", "cargo-fuzz")?;
    let fuzz = shell::root().join("fuzz");
    for target in targets {
        println!("fuzzing {target} for {seconds} s");
        let corpus = fuzz.join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("can't create {}", corpus.display()))?;
        shell::run(
            shell::cargo()
                .args(["fuzz", "run", "--sanitizer", "none", target])
                .arg(&corpus)
                .arg(fuzz.join("seeds").join(target))
                .args(["--", &format!("-max_total_time={seconds}"), "-timeout=10", "-rss_limit_mb=1024"])
                .args(["-max_len=70000", "-print_final_stats=1", "-verbosity=0"]),
        )
        .with_context(|| {
            format!("fuzz target {target} failed; the input that did it is in fuzz/artifacts/{target}/")
        })?;
    }
    Ok(())
}
