//! A request as its records say, whatever else a server says of it.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use dkm::ErrorKind;
use dkm_core::{Context, GroupId, RequestId, Timestamp};
use dkm_lockbox::{Elevation, Event, Mode, Record, Request, Scope, Status, shown};
use dkm_remote::ElevationError;
use dkm_remote::wire::elevation::RequestView;
use serde_json::{Value, json};

use crate::control::Control;
use crate::failure::{Failure, Result};
use crate::shell::Shell;
use crate::terminal::count;
use crate::{duration, when};

/// A request, and what came of it.
pub(crate) struct Asked {
    pub(crate) elevation: Elevation,
    pub(crate) records: Vec<Record>,
    /// What the server says beside them.
    view: RequestView,
}

/// Why a server does not do something for a person, with what helps there.
pub(crate) fn failure(error: ElevationError) -> Failure {
    let failure = match error {
        ElevationError::Other(error) => return error.into(),
        error => Failure::new(error.kind(), error.to_string()),
    };
    let help = match failure.kind {
        ErrorKind::Denied => {
            "dkm elevate show tells who asked and who may decide; dkm whoami tells who you are; docs/elevation.md has the rules"
        }
        ErrorKind::NotFound => "check the id: dkm elevate list shows a group's requests",
        _ => {
            "dkm elevate show tells what has come of a request; whoever needs access after its end asks anew"
        }
    };
    failure.help(help)
}

/// The group that is meant, which the people of its roster need not see.
pub(crate) fn group(shell: &Shell) -> Result<GroupId> {
    shell.group_id(None).map_err(|failure| match failure.kind {
        ErrorKind::NotFound => failure.help("who may not see the group names it by its id: --group ID"),
        _ => failure,
    })
}

/// Reads the id of a request.
pub(crate) fn request_id(text: &str) -> std::result::Result<RequestId, String> {
    text.parse().map_err(|error: dkm_core::id::ParseIdError| error.to_string())
}

impl Asked {
    /// Asks the server for a request.
    pub(crate) fn of(shell: &Shell, request: RequestId) -> Result<Self> {
        Self::from_view(shell.elevations()?.show(request).map_err(failure)?, Some(request))
    }

    /// Takes what a server has said; `request` is the one that it was asked for.
    pub(crate) fn from_view(view: RequestView, request: Option<RequestId>) -> Result<Self> {
        let odd = |why: String| {
            Failure::new(ErrorKind::Corrupt, format!("what the server says of the request is not understood: {why}"))
                .help("if the server is of a newer version, upgrade this program; otherwise tell who keeps the server")
        };
        let mut records = Vec::new();
        for text in &view.records {
            let bytes =
                BASE64_STANDARD.decode(text).map_err(|_| odd("a record is not in Base64".to_owned()))?;
            records.push(Record::decode(&bytes).map_err(|error| odd(error.to_string()))?);
        }
        let (first, rest) = records.split_first().ok_or_else(|| odd("it has no records".to_owned()))?;
        let elevation = Elevation::replay(first, rest).map_err(|error| odd(error.to_string()))?;
        let asked = elevation.request();
        asked.check().map_err(|error| odd(error.to_string()))?;
        if request.is_some_and(|id| id != asked.id) {
            return Err(odd(format!("it is another request, {}", asked.id)));
        }
        Ok(Self { elevation, records, view })
    }

    /// What was asked for.
    pub(crate) fn request(&self) -> &Request {
        self.elevation.request()
    }

    /// What it has come to: as this program finds it itself, where it can.
    pub(crate) fn status(&self, control: Option<&Control>) -> (String, bool) {
        let found = control.and_then(|control| {
            let in_force = control.in_force(self.request())?;
            Some(self.elevation.status(control.now(), &in_force))
        });
        match found {
            Some(status) => (status.to_string(), true),
            None => (shown(&self.view.status_text), false),
        }
    }

    /// The name of what it has come to, as the server says.
    pub(crate) fn told_status(&self) -> String {
        shown(&self.view.status)
    }

    /// When access ends, as far as the records or the server say.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        let own = self.elevation.interval().map(|(_, until)| until);
        own.or(self.view.until_ms.map(Timestamp))
    }

    /// Levels that have not approved, in their order, with how many are missing and who may. What the server says where
    /// this program can't tell itself.
    pub(crate) fn missing(&self, control: Option<&Control>) -> Vec<(String, u32, Vec<String>)> {
        let found = control.and_then(|control| {
            let in_force = control.in_force(self.request())?;
            let missing = self.elevation.missing(&in_force).ok()?;
            let level = |(level, people): (&dkm_core::record::ApprovalLevel, u32)| {
                (level.name.clone(), people, level.approvers.clone())
            };
            Some(missing.into_iter().map(level).collect())
        });
        found.unwrap_or_else(|| {
            let told = self.view.missing.iter();
            told.map(|level| (level.level.clone(), level.people, level.approvers.clone())).collect()
        })
    }

    /// The lines of the request for people, by name.
    pub(crate) fn facts(&self, control: Option<&Control>) -> Vec<(&'static str, String)> {
        let request = self.request();
        let (status, own) = self.status(control);
        let status = if own { status } else { format!("{status} (as the server says)") };
        let mut facts = vec![
            ("request", request.id.to_string()),
            ("status", status),
            ("group", request.group.to_string()),
            (
                "requester",
                format!("{} ({})", shown(&request.requester.person), shown(&request.requester.account)),
            ),
            ("reason", shown(&request.reason)),
        ];
        if !request.ticket.is_empty() {
            facts.push(("ticket", shown(&request.ticket)));
        }
        if request.break_glass {
            facts.push(("emergency", "yes: to be reviewed afterwards".to_owned()));
        }
        facts.push(("for", scope_text(request)));
        facts.push(("duration", duration::format(request.duration_s.saturating_mul(1_000))));
        facts.push(("made", when::second(request.made)));
        facts.push(("approve until", when::second(request.not_after)));
        if let Some((since, until)) = self.elevation.interval() {
            facts.push(("access", format!("{} to {}", when::second(since), when::second(until))));
            let (blobs, bytes) = self.elevation.used();
            facts.push(("used", format!("{}, {bytes} bytes", count(blobs, "blob"))));
        }
        let used: Vec<String> = self
            .elevation
            .usages()
            .iter()
            .map(|usage| {
                format!("{}  by {}: {}", when::second(usage.from), shown(&usage.by), shown(&usage.what))
            })
            .collect();
        if !used.is_empty() {
            facts.push(("used offline", used.join("\n")));
            facts.push(("approved for it", self.approved_offline(control).to_owned()));
        }
        let missing: Vec<String> = self
            .missing(control)
            .iter()
            .map(|(level, people, approvers)| {
                let approvers: Vec<String> = approvers.iter().map(|id| shown(id)).collect();
                format!("{:?}: {people} of {}", shown(level), approvers.join(", "))
            })
            .collect();
        if !missing.is_empty() && !self.elevation.is_over() {
            facts.push(("still to approve", missing.join("\n")));
        }
        let history: Vec<String> = self.records.iter().map(|record| event_text(&record.event)).collect();
        facts.push(("history", history.join("\n")));
        facts
    }

    /// The request in JSON.
    pub(crate) fn json(&self, control: Option<&Control>) -> Value {
        let request = self.request();
        let (status, own) = self.status(control);
        let missing: Vec<_> = self
            .missing(control)
            .iter()
            .map(|(level, people, approvers)| json!({"level": level, "people": people, "approvers": approvers}))
            .collect();
        let used: Vec<_> = self
            .elevation
            .usages()
            .iter()
            .map(|usage| json!({"by": usage.by, "from": when::precise(usage.from), "what": usage.what}))
            .collect();
        let approved = (!used.is_empty()).then(|| self.approved_offline(control) == "yes");
        let history: Vec<_> = self
            .records
            .iter()
            .map(|record| {
                json!({"number": record.number, "event": record.event.name(), "time": when::precise(record.event.at())})
            })
            .collect();
        json!({
            "request": request.id.to_string(),
            "group": request.group.to_string(),
            "instance": request.instance.to_string(),
            "status": if own { self.own_name(control) } else { self.told_status() },
            "status_text": status,
            "status_verified": own,
            "requester": {"person": request.requester.person, "account": request.requester.account},
            "reason": request.reason,
            "ticket": request.ticket,
            "mode": request.mode.to_string(),
            "emergency": request.break_glass,
            "scope": request.scope.as_ref().map(scope_json),
            "duration_s": request.duration_s,
            "made": when::precise(request.made),
            "not_after": when::precise(request.not_after),
            "until": self.until().map(when::precise),
            "missing": missing,
            "history": history,
            "by_file": self.elevation.signature().is_some(),
            "used_offline": used,
            "approved_offline": approved,
        })
    }

    /// Whether what was done offline had been approved, in a word.
    fn approved_offline(&self, control: Option<&Control>) -> &'static str {
        let in_force = control.and_then(|control| control.in_force(self.request()));
        match in_force.and_then(|in_force| self.elevation.was_approved_offline(&in_force)) {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "not known",
        }
    }

    fn own_name(&self, control: Option<&Control>) -> String {
        let name = control.and_then(|control| {
            let in_force = control.in_force(self.request())?;
            Some(self.elevation.status(control.now(), &in_force).name().to_owned())
        });
        name.unwrap_or_else(|| self.told_status())
    }

    /// Whether the server says that access is given.
    pub(crate) fn is_active(&self) -> bool {
        let active = Status::Active { until: Timestamp::MAX };
        self.view.status == active.name()
    }
}

/// What is asked for, in a few words.
pub(crate) fn scope_text(request: &Request) -> String {
    let Some(scope) = &request.scope else { return "every key of the group (direct)".to_owned() };
    let mut parts: Vec<String> = scope.blobs.iter().map(|blob| format!("blob {blob}")).collect();
    parts.extend(pairs(&scope.context).map(|(key, value)| format!("{key}={value}")));
    parts.push(format!("at most {} and {} bytes", count(scope.count_max, "blob"), scope.bytes_max));
    match request.mode {
        Mode::Brokered => parts.join("\n"),
        Mode::Direct => "every key of the group (direct)".to_owned(),
    }
}

fn pairs(context: &Context) -> impl Iterator<Item = (String, String)> {
    let text = |bytes: &[u8]| shown(&String::from_utf8_lossy(bytes));
    context.pairs().map(move |(key, value)| (text(key), text(value))).collect::<Vec<_>>().into_iter()
}

fn scope_json(scope: &Scope) -> Value {
    let context: Vec<_> = scope
        .context
        .pairs()
        .map(|(key, value)| json!([String::from_utf8_lossy(key), String::from_utf8_lossy(value)]))
        .collect();
    let blobs: Vec<String> = scope.blobs.iter().map(ToString::to_string).collect();
    json!({"blobs": blobs, "context": context, "count_max": scope.count_max, "bytes_max": scope.bytes_max})
}

fn event_text(event: &Event) -> String {
    let more = match event {
        Event::Answered { answer, .. } => {
            format!(" by {} at level {:?}", shown(&answer.approver), shown(&answer.level))
        }
        Event::Revoked { by, .. } | Event::Reviewed { by, .. } => format!(" by {}", shown(by)),
        Event::UsedOffline { usage, .. } => format!(", says {}: {}", shown(&usage.by), shown(&usage.what)),
        Event::Requested { submitted: Some(submitted), .. } => {
            format!(" by file, brought by {}", shown(&submitted.by))
        }
        Event::Activated { until, .. } => format!(" until {}", when::second(*until)),
        Event::Opened { blob, bytes, .. } | Event::Continued { blob, bytes, .. } => {
            format!(" blob {blob}, {bytes} bytes")
        }
        _ => String::new(),
    };
    format!("{}  {}{more}", when::second(event.at()), event.name())
}

#[cfg(test)]
mod tests;
