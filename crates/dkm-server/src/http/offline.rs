//! Requests that were made by file while the server did not answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use dkm_core::Timestamp;
use dkm_lockbox::{Answer, Decision, Request, Usage, parse_request};
use dkm_remote::wire::elevation::{NewOffline, RequestView};

use super::elevation::shown;
use super::input::{self, Body};
use crate::actions::Action;
use crate::caller::Caller;
use crate::elevation::StepDetail;
use crate::problem::Problem;
use crate::server::Server;

/// Most answers that come along with what was done.
const ANSWERS_MAX: usize = 64;

/// Takes a request that was made by file. Where it was used meanwhile, that is recorded, and nothing is given by it any more;
/// else it goes on as one that was made here, and answers follow.
pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(group): Path<String>,
    Body(new): Body<NewOffline>,
) -> Result<Json<RequestView>, Problem> {
    let group = input::group(&group)?;
    let request = parse_request(&new.request).map_err(|error| Problem::invalid(error.to_string()))?;
    let id = request.id;
    let (name, signature) = (caller.name().to_owned(), new.signature);
    let step = |request: &Request| {
        (Action::Submit, StepDetail { reason: Some(request.reason.clone()), ..StepDetail::default() })
    };
    let Some(usage) = new.usage else {
        if !new.answers.is_empty() {
            return Err(Problem::invalid("answers to a request that was not used follow one by one"));
        }
        let taken = server.step(&caller, (group, None), step(&request), move |lockbox, at, in_force| {
            lockbox.admit(request, signature, &name, at, in_force)
        });
        let (seen, _) = taken.await?;
        return shown(&server, &seen);
    };
    if new.answers.len() > ANSWERS_MAX {
        return Err(Problem::invalid(format!("at most {ANSWERS_MAX} answers come along with what was done")));
    }
    let usage =
        Usage { by: usage.by, from: Timestamp(usage.from_ms), what: usage.what, signature: usage.signature };
    let answers = new.answers.into_iter().map(|answer| Answer {
        approver: answer.approver,
        level: answer.level,
        decision: if answer.approve { Decision::Approve } else { Decision::Deny },
        signature: answer.signature,
    });
    let answers: Vec<Answer> = answers.collect();
    match server.group_of(id) {
        Ok(known) if known == group => {
            let asked = server.records_of(id)?.into_iter().next();
            let is_same = matches!(asked.map(|record| record.event),
                Some(dkm_lockbox::Event::Requested { request: known, .. }) if *known == request);
            if !is_same {
                return Err(Problem::conflict(format!("request {id} says something else here")));
            }
        }
        Ok(_) => return Err(Problem::conflict(format!("request {id} is for another group"))),
        Err(_) => {
            let (used, step) = (usage.clone(), step(&request));
            let taken = server.step(&caller, (group, None), step, move |lockbox, at, in_force| {
                lockbox.admit_used((request, signature), &used, &name, at, in_force)
            });
            taken.await?;
        }
    }
    let detail = StepDetail { reason: Some(usage.what.clone()), ..StepDetail::default() };
    let told =
        server.step(&caller, (group, Some(id)), (Action::Submit, detail), move |lockbox, at, in_force| {
            lockbox.get(id)?.use_offline(usage, answers, at, in_force)
        });
    let (seen, _) = told.await?;
    shown(&server, &seen)
}
