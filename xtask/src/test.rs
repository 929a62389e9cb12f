//! `cargo xtask test`: every check, one after the other, each with a name and a time. Within the step of the tests, those
//! that wait run beside those that work.
//!
//! Order and profiles are chosen so that dependencies are built three times in all: once as metadata (lints and
//! documentation), once in the dev profile (tests and quickstart), once in release (only what the simulation needs).

use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::{fuzz, lanes, licences, setup, shell, sim, vectors};

/// Arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Also fuzz each parser for a minute, simulate five million seeds, and let cargo-deny judge
    #[arg(long)]
    long: bool,
    /// Only steps whose name contains this
    #[arg(long)]
    only: Option<String>,
}

struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
    long_only: bool,
}

const fn step(name: &'static str, run: fn() -> Result<()>) -> Step {
    Step { name, run, long_only: false }
}

const fn long(name: &'static str, run: fn() -> Result<()>) -> Step {
    Step { name, run, long_only: true }
}

const STEPS: &[Step] = &[
    step("tools", || {
        setup::need(&[setup::AGE, setup::SSH_KEYGEN, setup::SETPRIV, setup::MOUNT])?;
        setup::need(setup::DOMAIN)?;
        setup::python()?;
        setup::schemathesis().map(drop)
    }),
    step("format", || cargo(&["fmt", "--all", "--check"])),
    step("licences", licences::check),
    long("cargo-deny-tool", || setup::cargo_tool("cargo-deny", "cargo-deny")),
    step("cargo-deny", cargo_deny),
    step("lints", || cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    // As `cargo xtask quickstart` builds it. Most libraries are built anew for it.
    long("lints-without-ad", || {
        let without = ["--package", "dkm-cli", "--no-default-features", "--", "-D", "warnings"];
        cargo(&[&["clippy", "--locked"], without.as_slice()].concat())
    }),
    step("docs", || {
        let mut doc = shell::cargo();
        doc.env("RUSTDOCFLAGS", "-Dwarnings").args(["doc", "--locked", "--workspace", "--no-deps"]);
        // Without the binary of the same name, whose pages would overwrite the library's.
        shell::run(doc.args(["--lib", "--document-private-items"]))
    }),
    step("vectors", || vectors::run(&vectors::Arguments { check: true })),
    step("independent-reader", || {
        let python = setup::python()?;
        shell::run(shell::command(&python).arg("testdata/vectors/reader.py"))?;
        shell::run(shell::command(&python).arg("testdata/windows/reader.py"))
    }),
    step("tests", lanes::run),
    step("simulation", || sim::with(&["run", "--seeds", "100000"])),
    step("simulation-can-fail", || sim::with(&["prove"])),
    step("quickstart", quickstart),
    long("simulation-long", || sim::with(&["run", "--seeds", "5000000"])),
    long("fuzz", || fuzz::all(60)),
    step("tree-unchanged", tree_unchanged),
];

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let chosen = |step: &&Step| {
        (arguments.long || !step.long_only)
            && arguments.only.as_ref().is_none_or(|part| step.name.contains(part.as_str()))
    };
    BEFORE.get_or_init(difference);
    let mut passed = Vec::new();
    let mut failed = Vec::new();
    for step in STEPS.iter().filter(chosen) {
        println!("==> {}", step.name);
        let start = Instant::now();
        let result = (step.run)();
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                println!("<== {} passed in {seconds:.1} s", step.name);
                passed.push((step.name, seconds));
            }
            Err(error) => {
                println!("<== {} FAILED after {seconds:.1} s: {error:#}", step.name);
                failed.push((step.name, seconds));
            }
        }
    }
    if passed.is_empty() && failed.is_empty() {
        bail!(
            "no step has such a name; there are: {}",
            STEPS.iter().map(|s| s.name).collect::<Vec<_>>().join(", ")
        );
    }
    println!();
    for (outcome, steps) in [("passed", &passed), ("FAILED", &failed)] {
        for (name, seconds) in steps {
            println!("{outcome}  {name:<22} {seconds:>7.1} s");
        }
    }
    println!("{} passed, {} failed", passed.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { bail!("{} steps failed", failed.len()) }
}

fn cargo(arguments: &[&str]) -> Result<()> {
    shell::run(shell::cargo().args(arguments))
}

/// A second opinion where the tool is installed. Advisories change without us, so they judge no commit.
fn cargo_deny() -> Result<()> {
    if !shell::has("cargo-deny") {
        println!("cargo-deny is not installed; the step \"licences\" applied the same rules");
        return Ok(());
    }
    cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"])
}

/// The tour, in a folder of its own, as a new user with an empty home would see it.
fn quickstart() -> Result<()> {
    let folder = shell::own_folder().join("quickstart");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("can't remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("can't create {}", folder.display()))?;
    // The command as the tests have it: a build of this package alone would choose other features of the libraries, and
    // make most of them anew.
    cargo(&["test", "--quiet", "--locked", "--workspace", "--test", "cli", "--no-run"])?;
    let dkm = shell::target().join("debug/dkm");
    shell::run(
        shell::command(dkm)
            .arg("quickstart")
            .current_dir(&folder)
            .env("HOME", &folder)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_STATE_HOME")
            .env_remove("DKM_REPOSITORY")
            .env_remove("DKM_GROUP"),
    )
}

/// The difference between committed and present files when the run began.
static BEFORE: OnceLock<Option<String>> = OnceLock::new();

/// What differs from what is committed; nothing outside of a git checkout.
fn difference() -> Option<String> {
    if !shell::root().join(".git").exists() || !shell::has("git") {
        return None;
    }
    shell::output(shell::command("git").args(["diff", "HEAD"])).ok()
}

/// No step may have changed a committed file: snapshots and vectors are compared, not written. A developer's own
/// uncommitted changes are left out of account.
fn tree_unchanged() -> Result<()> {
    let Some(now) = difference() else {
        println!("not a git checkout: nothing to compare with");
        return Ok(());
    };
    if BEFORE.get().is_some_and(|before| before.as_ref() == Some(&now)) {
        return Ok(());
    }
    shell::run(shell::command("git").args(["diff", "--stat", "HEAD"]))?;
    bail!("the run changed committed files")
}
