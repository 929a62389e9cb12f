//! All tests. Those that mostly wait for domain controllers run beside the others, which need the processors.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write as _};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{setup, shell};

/// A test target, and what it is told.
type Target = (&'static str, &'static [&'static str]);

/// Lanes beside the main one. The targets of a lane run one after the other.
const BESIDE: &[&[Target]] = &[
    // Each of its tests has a domain of its own, in which it waits until keys take over.
    &[("operations", &["--test-threads=6"]), ("tls", &[])],
    // Replication, partitions and time limits: one test after the other, in one domain.
    &[("two", &[])],
    // Servers, people and domain controllers, who wait for each other.
    &[("elevation", &[])],
    // Processes that are killed at each of their steps, and files that are made durable; then one domain controller.
    &[("store", &[]), ("ad", &[])],
];

/// Builds everything, then runs all lanes to their ends. What the lanes beside the main one say comes last, in one piece.
///
/// # Errors
/// A test fails or does not build; all targets that failed are named.
pub(crate) fn run() -> Result<()> {
    let required = domain_is_required()?;
    let schemathesis = setup::schemathesis()?;
    let test = |arguments: &[&str]| {
        let mut test = shell::cargo();
        test.args(["test", "--locked", "--workspace"]).args(arguments);
        test.env("DKM_SCHEMATHESIS", &schemathesis);
        if required {
            test.env("DKM_TESTBED", "required");
        }
        test
    };
    shell::run(&mut test(&["--no-run"]))?;
    let metadata = ["metadata", "--format-version", "1", "--no-deps", "--locked"];
    let metadata = shell::output(shell::cargo().args(metadata))?;
    let metadata = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let others = others(&metadata)?;
    let mut failed = Vec::new();
    thread::scope(|scope| {
        let beside: Vec<_> = BESIDE.iter().map(|lane| scope.spawn(|| beside(lane, test))).collect();
        let mut rest = vec!["--lib", "--bins"];
        rest.extend(others.iter().flat_map(|name| ["--test", name]));
        // A target that fails does not keep the others from being tried.
        rest.push("--no-fail-fast");
        for (name, arguments) in [("others", rest.as_slice()), ("documentation", &["--doc"])] {
            if let Err(error) = shell::run(&mut test(arguments)) {
                println!("{error:#}");
                failed.push(name);
            }
        }
        for lane in beside {
            failed.extend(lane.join().unwrap_or_else(|_| vec!["a lane, which panicked"]));
        }
    });
    if failed.is_empty() { Ok(()) } else { bail!("tests failed: {}", failed.join(", ")) }
}

/// Whoever can run a domain must: a test of access control that was skipped shows nothing.
fn domain_is_required() -> Result<bool> {
    let root = shell::output(shell::command("id").arg("-u"))?.trim() == "0";
    Ok(root && env::var_os("DKM_TESTBED").is_none())
}

/// Runs the targets of a lane, and names those that failed.
fn beside(lane: &[Target], test: impl Fn(&[&str]) -> Command) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for (name, arguments) in lane {
        let mut test = test(&["--test", name, "--"]);
        let passed = test.args(*arguments).output().and_then(|output| {
            let mut out = io::stdout().lock();
            writeln!(out, "--- beside: {name}")?;
            out.write_all(&output.stderr)?;
            out.write_all(&output.stdout)?;
            Ok(output.status.success())
        });
        if !passed.unwrap_or_else(|error| {
            println!("{name}: {error}");
            false
        }) {
            failed.push(*name);
        }
    }
    failed
}

/// The names of the test targets that are in no lane beside the main one.
///
/// # Errors
/// A target of such a lane is not there: it would silently not be run.
fn others(metadata: &Value) -> Result<BTreeSet<&str>> {
    let targets = metadata["packages"].as_array().into_iter().flatten();
    let targets = targets.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let is_test =
        |target: &&Value| target["kind"].as_array().is_some_and(|kinds| kinds.contains(&"test".into()));
    let mut names: BTreeSet<&str> =
        targets.filter(is_test).filter_map(|target| target["name"].as_str()).collect();
    for (name, _) in BESIDE.iter().copied().flatten() {
        if !names.remove(name) {
            bail!("there is no test target {name}: correct the table in xtask/src/lanes.rs");
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn metadata(names: &[&str]) -> Value {
        let target = |kind: &str, name: &str| serde_json::json!({"kind": [kind], "name": name});
        let targets: Vec<Value> = names.iter().map(|name| target("test", name)).collect();
        serde_json::json!({"packages": [{"targets": [target("lib", "dkm")]}, {"targets": targets}]})
    }

    #[test]
    fn every_target_is_in_one_lane() {
        let beside: Vec<&str> = BESIDE.iter().copied().flatten().map(|(name, _)| *name).collect();
        let names = [&beside[..], &["cli", "vectors"]].concat();
        assert_eq!(others(&metadata(&names)).unwrap(), ["cli", "vectors"].into());
        // One that has another name now.
        assert!(others(&metadata(&names[1..])).is_err());
    }
}
