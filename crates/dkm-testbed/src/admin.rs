//! The database of a controller, asked and changed as the system account.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::process::command;

/// Debian's own Python: the one that has Samba's modules.
const PYTHON: &str = "/usr/bin/python3";

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The object itself.
    Base,
    /// Its children.
    One,
    /// The object and everything below.
    Sub,
}

impl Scope {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::One => "one",
            Self::Sub => "sub",
        }
    }
}

/// An object that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its distinguished name.
    pub dn: String,
    /// Values by the attribute's name, as Samba spells it.
    pub attributes: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Entry {
    /// The first value of an attribute as text; nothing if it has none.
    #[must_use]
    pub fn text(&self, attribute: &str) -> Option<String> {
        let value = self.attributes.get(attribute)?.first()?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

/// A conversation with `helper.py`.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts it with these arguments.
    pub(crate) fn start(arguments: &[&OsStr]) -> Result<Self> {
        let mut python = command(PYTHON);
        python.args(["-c", include_str!("helper.py")]).args(arguments);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = python.spawn().with_context(|| format!("can't start {PYTHON}"))?;
        let requests = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, requests, answers })
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Value> {
        let requests = self.requests.as_mut().context("the helper has ended")?;
        let what = || format!("the helper could not {}", request["do"].as_str().unwrap_or_default());
        writeln!(requests, "{request}").with_context(what)?;
        let mut line = String::new();
        self.answers.read_line(&mut line).with_context(what)?;
        let mut answer: Value = serde_json::from_str(&line).with_context(what)?;
        if let Some(error) = answer["error"].as_str() {
            bail!("{}: {error}", what());
        }
        Ok(answer["ok"].take())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}

/// Objects in a helper's answer.
pub(crate) fn entries(answer: &Value) -> Result<Vec<Entry>> {
    answer.as_array().context("not a list")?.iter().map(entry).collect()
}

fn entry(answer: &Value) -> Result<Entry> {
    let attributes = answer["attributes"].as_object().context("no attributes")?;
    let mut entry = Entry { dn: text(answer, "dn")?, attributes: BTreeMap::new() };
    for (name, values) in attributes {
        let values = values.as_array().context("no values")?;
        let values = values.iter().map(|value| binary(value.as_str().unwrap_or_default()));
        entry.attributes.insert(name.clone(), values.collect::<Result<_>>()?);
    }
    Ok(entry)
}

/// A text in a helper's answer.
pub(crate) fn text(answer: &Value, name: &str) -> Result<String> {
    Ok(answer[name].as_str().with_context(|| format!("no {name} in the answer"))?.to_owned())
}

/// The helper's way to write bytes.
pub(crate) fn binary(text: &str) -> Result<Vec<u8>> {
    Ok(STANDARD.decode(text)?)
}

/// The helper's way to write bytes.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
