//! The file that goes from one who signs to the next.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use dkm_core::Timestamp;
use dkm_lockbox::{Answer, Decision, Request, Usage, parse_request, request_statement, shown};
use dkm_remote::wire::elevation::{NewAnswer, NewUsage};
use serde::{Deserialize, Serialize};

use crate::audit_log::read_limited;
use crate::failure::{Failure, Result};
use crate::output_file::{ORDINARY, Output};

/// Version of the file.
const VERSION: u8 = 1;
/// Most answers and accounts of what was done in a file.
const ENTRIES_MAX: usize = 64;

/// A request, what was answered, and what was done by it. Nothing in it is believed before it is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfflineFile {
    pub(crate) request: Request,
    /// The requester's.
    pub(crate) signature: String,
    pub(crate) answers: Vec<Answer>,
    pub(crate) usages: Vec<Usage>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    dkm_offline_request: u8,
    /// What the requester has signed: `ssh-keygen -Y verify -n dkm-request` takes it as it is.
    request: String,
    signature: String,
    #[serde(default)]
    answers: Vec<NewAnswer>,
    #[serde(default)]
    used: Vec<NewUsage>,
}

/// An answer as it is sent.
pub(crate) fn sent(answer: &Answer) -> NewAnswer {
    NewAnswer {
        approver: answer.approver.clone(),
        level: answer.level.clone(),
        approve: answer.decision == Decision::Approve,
        signature: answer.signature.clone(),
    }
}

/// What was done, as it is sent.
pub(crate) fn told(usage: &Usage) -> NewUsage {
    NewUsage {
        by: usage.by.clone(),
        from_ms: usage.from.0,
        what: usage.what.clone(),
        signature: usage.signature.clone(),
    }
}

impl OfflineFile {
    /// Reads files that are copies of one request.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut all: Option<Self> = None;
        for path in paths {
            let text = read_limited(path)?;
            let read = Self::parse(&text).map_err(|why| {
                Failure::usage(format!("{} is no request by file: {why}", path.display()))
                    .help("dkm lockbox offline request makes one")
            })?;
            match &mut all {
                None => all = Some(read),
                Some(first) => first.merge(read).map_err(|failure| failure.during(path.display()))?,
            }
        }
        all.ok_or_else(|| Failure::usage("no file was named"))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let content: Content = serde_json::from_str(text).map_err(|error| shown(&error.to_string()))?;
        if content.dkm_offline_request != VERSION {
            return Err(format!("its version {} is not known to this program", content.dkm_offline_request));
        }
        let request = parse_request(&content.request).map_err(|error| shown(&error.to_string()))?;
        if content.answers.len() > ENTRIES_MAX || content.used.len() > ENTRIES_MAX {
            return Err(format!("it holds more than {ENTRIES_MAX} answers"));
        }
        let answer = |answer: NewAnswer| Answer {
            approver: answer.approver,
            level: answer.level,
            decision: if answer.approve { Decision::Approve } else { Decision::Deny },
            signature: answer.signature,
        };
        let usage = |usage: NewUsage| Usage {
            by: usage.by,
            from: Timestamp(usage.from_ms),
            what: usage.what,
            signature: usage.signature,
        };
        Ok(Self {
            request,
            signature: content.signature,
            answers: content.answers.into_iter().map(answer).collect(),
            usages: content.used.into_iter().map(usage).collect(),
        })
    }

    fn merge(&mut self, other: Self) -> Result {
        if other.request != self.request {
            return Err(Failure::usage("the files are not copies of one request"));
        }
        for answer in other.answers {
            if !self.answers.contains(&answer) {
                self.answers.push(answer);
            }
        }
        for usage in other.usages {
            if !self.usages.contains(&usage) {
                self.usages.push(usage);
            }
        }
        Ok(())
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path, force: bool) -> Result {
        let content = Content {
            dkm_offline_request: VERSION,
            request: request_statement(&self.request),
            signature: self.signature.clone(),
            answers: self.answers.iter().map(sent).collect(),
            used: self.usages.iter().map(told).collect(),
        };
        let text = serde_json::to_string_pretty(&content)
            .map_err(|error| Failure::internal(format!("can't write JSON: {error}")))?;
        let mut output = Output::file(path, ORDINARY, force)?;
        let written = output.write_all(text.as_bytes()).and_then(|()| output.write_all(b"\n"));
        written.map_err(|error| Failure::file("can't write", path, &error))?;
        output.commit()
    }
}
