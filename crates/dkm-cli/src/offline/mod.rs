//! Emergencies while `dkmd` does not answer: requests and approvals in files.

mod file;
mod ground;

use dkm::ErrorKind;
use dkm_core::record::ApprovalLevel;
use dkm_core::{Digest, Timestamp};
use dkm_lockbox::{Decision, Gathered, Refusal, Request, Status, gather, request_statement, shown};
use serde_json::{Value, json};

pub(crate) use self::file::{OfflineFile, sent, told};
pub(crate) use self::ground::{Ground, GroundArguments, RosterFile, pinned_file};
use crate::failure::{Failure, Result};
use crate::{asked, duration, when};

/// How far the clock of whoever asks may be ahead of this one.
const AHEAD_MS: u64 = 60_000;

/// What files come to, by what is in force.
pub(crate) struct Found<'a> {
    pub(crate) file: &'a OfflineFile,
    pub(crate) gathered: Gathered,
    pub(crate) status: Status,
    /// Levels that have not approved, and how many people each lacks.
    pub(crate) missing: Vec<(&'a ApprovalLevel, u32)>,
}

/// Why a file is not good.
pub(crate) fn refused(refusal: &Refusal) -> Failure {
    let kind = match refusal {
        Refusal::Signature { .. } | Refusal::Request(_) => ErrorKind::Corrupt,
        Refusal::NotAllowed { .. } | Refusal::NotYours { .. } | Refusal::OwnRequest { .. } => {
            ErrorKind::Denied
        }
        _ => ErrorKind::Refused,
    };
    let help = match refusal {
        Refusal::Signature { .. } => {
            "somebody has changed the file, or signed with another key: get it from who signed"
        }
        Refusal::Status { .. } => "no answer changes that: whoever needs access asks anew, by another file",
        Refusal::Elsewhere { .. } => "what was made for one server or group says nothing of another",
        _ => {
            "dkm roster show, or what was exported, tells whom and what the roster allows; docs/elevation.md has the rules"
        }
    };
    Failure::new(kind, format!("the request by file is refused: {refusal}")).help(help)
}

/// Finds out what files come to at a time.
pub(crate) fn find<'a>(file: &'a OfflineFile, ground: &'a Ground, now: Timestamp) -> Result<Found<'a>> {
    let request = &file.request;
    // Clocks of two machines are never the same.
    let now = if now < request.made && request.made.since(now) <= AHEAD_MS { request.made } else { now };
    let in_force = ground.in_force()?;
    let gathered =
        gather(request, &file.signature, &file.answers, now, &in_force).map_err(|why| refused(&why))?;
    let status = gathered.elevation.status(now, &in_force);
    let missing = gathered.elevation.missing(&in_force).map_err(|why| refused(&why))?;
    Ok(Found { file, gathered, status, missing })
}

impl Found<'_> {
    /// What is missing, in a sentence.
    pub(crate) fn lacks(&self) -> String {
        let level = |(level, people): &(&ApprovalLevel, u32)| {
            let approvers: Vec<String> = level.approvers.iter().map(|id| shown(id)).collect();
            format!("level {:?} lacks {people} of {}", shown(&level.name), approvers.join(", "))
        };
        self.missing.iter().map(level).collect::<Vec<_>>().join("; ")
    }

    /// Refuses what is not approved by all levels.
    pub(crate) fn must_be_complete(&self) -> Result {
        match self.status {
            Status::Approved { .. } => Ok(()),
            Status::Pending => Err(Failure::new(
                ErrorKind::Refused,
                format!("approvals are missing: {}", self.lacks()),
            )
            .help("hand the file to who is missing: dkm lockbox offline approve; nobody may act by it yet")),
            status => Err(Failure::new(ErrorKind::Refused, format!("the request is {status}"))
                .help("nobody may act by it")),
        }
    }

    /// Until when somebody may begin to act by it.
    pub(crate) fn until(&self) -> Timestamp {
        let request = &self.file.request;
        request.not_after.min(request.made.plus(request.activation_window_s.saturating_mul(1_000)))
    }

    /// The lines for people, by name.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = asked_facts(&self.file.request);
        facts.push(("begin before", when::second(self.until())));
        facts.insert(1, ("status", self.status.to_string()));
        let answers: Vec<String> = self
            .gathered
            .elevation
            .answers()
            .map(|answer| {
                let decision = if answer.decision == Decision::Approve { "approves" } else { "denies" };
                format!("{} {decision} at level {:?}", shown(&answer.approver), shown(&answer.level))
            })
            .collect();
        if !answers.is_empty() {
            facts.push(("answers", answers.join("\n")));
        }
        let not: Vec<String> = self
            .gathered
            .refused
            .iter()
            .map(|(answer, why)| {
                format!(
                    "{} at level {:?}: {}",
                    shown(&answer.approver),
                    shown(&answer.level),
                    shown(&why.to_string())
                )
            })
            .collect();
        if !not.is_empty() {
            facts.push(("do not count", not.join("\n")));
        }
        if self.status == Status::Pending {
            facts.push(("missing", self.lacks().replace("; ", "\n")));
        }
        let used: Vec<String> = self
            .file
            .usages
            .iter()
            .map(|usage| {
                format!("{}  by {}: {}", when::second(usage.from), shown(&usage.by), shown(&usage.what))
            })
            .collect();
        if !used.is_empty() {
            facts.push(("used", used.join("\n")));
        }
        facts
    }

    /// The same in JSON.
    pub(crate) fn json(&self, ground: &Ground) -> Value {
        let request = &self.file.request;
        let missing: Vec<_> = self.missing.iter().map(|(level, people)| {
            json!({"level": level.name, "people": people, "approvers": level.approvers})
        }).collect();
        let answers: Vec<_> = self.gathered.elevation.answers().map(|answer| {
            json!({"approver": answer.approver, "level": answer.level, "approve": answer.decision == Decision::Approve})
        }).collect();
        let refused: Vec<_> = self.gathered.refused.iter().map(|(answer, why)| {
            json!({"approver": answer.approver, "level": answer.level, "why": why.to_string()})
        }).collect();
        let used: Vec<_> = self
            .file
            .usages
            .iter()
            .map(|usage| json!({"by": usage.by, "from": when::precise(usage.from), "what": usage.what}))
            .collect();
        json!({
            "request": request.id.to_string(),
            "group": request.group.to_string(),
            "instance": request.instance.to_string(),
            "digest": digest(request).to_string(),
            "status": self.status.name(),
            "complete": matches!(self.status, Status::Approved { .. }),
            "requester": {"person": request.requester.person, "account": request.requester.account},
            "reason": request.reason,
            "ticket": request.ticket,
            "mode": request.mode.to_string(),
            "duration_s": request.duration_s,
            "made": when::precise(request.made),
            "begin_before": when::precise(self.until()),
            "answers": answers,
            "refused": refused,
            "missing": missing,
            "used": used,
            "checked_by": ground.source,
        })
    }
}

/// Digest of what the requester has signed.
pub(crate) fn digest(request: &Request) -> Digest {
    Digest::of(request_statement(request).as_bytes())
}

fn asked_facts(request: &Request) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("request", request.id.to_string()),
        ("group", request.group.to_string()),
        ("server", request.instance.to_string()),
        (
            "requester",
            format!("{} ({})", shown(&request.requester.person), shown(&request.requester.account)),
        ),
        ("reason", shown(&request.reason)),
    ];
    if !request.ticket.is_empty() {
        facts.push(("ticket", shown(&request.ticket)));
    }
    facts.push(("for", asked::scope_text(request)));
    facts.push(("duration", duration::format(request.duration_s.saturating_mul(1_000))));
    facts.push(("made", when::second(request.made)));
    facts
}
