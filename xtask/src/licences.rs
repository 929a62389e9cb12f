//! Licences, sources and bans of every dependency, from `cargo metadata`, `cargo tree` and deny.toml.
//!
//! The same rules as `cargo deny check bans licenses sources`, without a tool that takes minutes to build.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::shell;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What deny.toml allows and bans.
#[derive(Debug)]
struct Rules {
    licences: BTreeSet<String>,
    banned: BTreeSet<String>,
}

/// Checks every package that may be built for any platform, tests included.
///
/// # Errors
/// A package breaks a rule; all that do are named.
pub(crate) fn check() -> Result<()> {
    let rules = rules()?;
    let metadata = shell::output(shell::cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let built = built()?;
    let (packages, others): (Vec<_>, Vec<_>) = packages.iter().partition(|package| {
        let part = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        built.contains(&(part("name"), part("version")))
    });
    if packages.len() < built.len() {
        bail!("cargo tree names packages that cargo metadata does not");
    }
    let faults: Vec<String> = packages.iter().filter_map(|package| fault(package, &rules)).collect();
    if !faults.is_empty() {
        bail!("dependencies break the rules of deny.toml:\n  {}", faults.join("\n  "));
    }
    println!("{} packages, all of allowed licence and source; {} never built", packages.len(), others.len());
    Ok(())
}

/// Names and versions of what is built with all features, for any platform, tests included. `cargo metadata` lists more:
/// what an optional dependency would need that nobody turns on.
fn built() -> Result<BTreeSet<(String, String)>> {
    let arguments = [
        "tree",
        "--locked",
        "--workspace",
        "--all-features",
        "--target",
        "all",
        "--edges",
        "normal,build,dev",
    ];
    let tree = shell::output(shell::cargo().args(arguments).args(["--prefix", "none", "--format", "{p}"]))?;
    let built: BTreeSet<_> = tree
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    if built.is_empty() {
        bail!("cargo tree names no packages");
    }
    Ok(built)
}

fn rules() -> Result<Rules> {
    let path = shell::root().join("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
    let file: toml::Table = text.parse().with_context(|| format!("{} is not TOML", path.display()))?;
    let list = |table: &str, key: &str| {
        file.get(table)
            .and_then(|table| table.get(key))
            .and_then(toml::Value::as_array)
            .with_context(|| format!("{} has no list {table}.{key}", path.display()))
    };
    let text = |value: &toml::Value| value.as_str().map(str::to_owned);
    Ok(Rules {
        licences: list("licenses", "allow")?.iter().filter_map(text).collect(),
        banned: list("bans", "deny")?
            .iter()
            .filter_map(|ban| ban.get("crate").or_else(|| ban.get("name")).unwrap_or(ban).as_str())
            .map(str::to_owned)
            .collect(),
    })
}

/// What is wrong with a package, if anything.
fn fault(package: &Value, rules: &Rules) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let version = package["version"].as_str().unwrap_or_default();
    // Our own crates come from a path, so they have no source.
    match package["source"].as_str() {
        None | Some(CRATES_IO) => {}
        Some(source) => return Some(format!("{name} {version} comes from {source}")),
    }
    if rules.banned.contains(name) {
        return Some(format!("{name} {version} is banned"));
    }
    match package["license"].as_str() {
        None => Some(format!("{name} {version} names no licence")),
        Some(licence) if allowed(licence, &rules.licences) => None,
        Some(licence) => Some(format!("{name} {version} is under {licence}")),
    }
}

/// Whether an SPDX expression can be satisfied by allowed licences only. Anything not understood is not allowed.
fn allowed(expression: &str, licences: &BTreeSet<String>) -> bool {
    // "MIT/Apache-2.0" is an old way to write OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut place = 0;
    let result = any(&words, &mut place, licences);
    result && place == words.len()
}

/// `all (OR all)*`
fn any(words: &[&str], place: &mut usize, licences: &BTreeSet<String>) -> bool {
    let mut result = all(words, place, licences);
    while words.get(*place) == Some(&"OR") {
        *place += 1;
        result |= all(words, place, licences);
    }
    result
}

/// `one (AND one)*`
fn all(words: &[&str], place: &mut usize, licences: &BTreeSet<String>) -> bool {
    let mut result = one(words, place, licences);
    while words.get(*place) == Some(&"AND") {
        *place += 1;
        result &= one(words, place, licences);
    }
    result
}

/// `( any )` or a licence, perhaps with an exception.
fn one(words: &[&str], place: &mut usize, licences: &BTreeSet<String>) -> bool {
    let Some(&word) = words.get(*place) else { return false };
    *place += 1;
    if word == "(" {
        let result = any(words, place, licences);
        let closed = words.get(*place) == Some(&")");
        *place += 1;
        return result && closed;
    }
    if words.get(*place) == Some(&"WITH") {
        let Some(exception) = words.get(*place + 1) else { return false };
        *place += 2;
        return licences.contains(&format!("{word} WITH {exception}"));
    }
    licences.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn licences() -> BTreeSet<String> {
        ["MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into()
    }

    #[test]
    fn an_expression_must_be_satisfiable() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND ISC",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
            "MIT AND ISC OR GPL-3.0",
        ] {
            assert!(allowed(good, &licences()), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "MIT AND (ISC AND GPL-3.0)",
            "GPL-3.0 WITH LLVM-exception OR GPL-3.0",
            "MIT WITH",
            "(MIT",
            "MIT )",
            "MIT ISC",
            "OR MIT",
        ] {
            assert!(!allowed(bad, &licences()), "{bad}");
        }
    }

    #[test]
    fn each_rule_is_applied() {
        let rules = Rules { licences: licences(), banned: ["ring".to_owned()].into() };
        let package = |name: &str, licence: Option<&str>, source: Option<&str>| serde_json::json!({"name": name, "version": "1.0.0", "license": licence, "source": source});
        assert_eq!(fault(&package("good", Some("MIT"), Some(CRATES_IO)), &rules), None);
        assert_eq!(fault(&package("own", Some("MIT"), None), &rules), None);
        for bad in [
            package("ring", Some("MIT"), Some(CRATES_IO)),
            package("copyleft", Some("GPL-3.0"), Some(CRATES_IO)),
            package("nameless", None, Some(CRATES_IO)),
            package("elsewhere", Some("MIT"), Some("git+https://example.org/x")),
        ] {
            assert!(fault(&bad, &rules).is_some(), "{bad}");
        }
    }
}
