//! Elevated access: asked for, approved, used, ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use base64::prelude::{BASE64_STANDARD, Engine};
use dkm_core::blob::blob_id;
use dkm_core::{Context, Digest, RequestId};
use dkm_lockbox::{Answer, Ask, Decision, Event, Mode, Record, Refusal, Scope};
use dkm_remote::wire::elevation::{
    AnswerEvidence, ControlView, EvidenceView, MissingLevel, NewAnswer, NewRequest, OpenBlob, OpenedBlob,
    RequestView, Requests, ScopeView, TicketsView,
};
use dkm_remote::wire::{Certificate, Renewal};
use zeroize::Zeroizing;

use super::input::{self, Body};
use crate::actions::Action;
use crate::caller::Caller;
use crate::elevation::{Seen, StepDetail};
use crate::problem::Problem;
use crate::server::Server;

type Shared = State<Arc<Server>>;
type Answered<T> = Result<Json<T>, Problem>;

fn view(server: &Server, seen: &Seen, records: Vec<Record>) -> RequestView {
    let elevation = &seen.elevation;
    let until = match seen.status {
        dkm_lockbox::Status::Active { until } => Some(until.0),
        _ => None,
    };
    RequestView {
        request: elevation.request().id.to_string(),
        group: seen.group.to_string(),
        status: seen.status.name().to_owned(),
        status_text: seen.status.to_string(),
        records: records.iter().map(|record| BASE64_STANDARD.encode(record.encode())).collect(),
        missing: seen
            .missing
            .iter()
            .map(|(level, people)| MissingLevel {
                level: level.name.clone(),
                people: *people,
                approvers: level.approvers.clone(),
            })
            .collect(),
        domain: server.domain_of(seen.group).ok().flatten().map(|domain| domain.url()),
        until_ms: until,
    }
}

pub(super) fn shown(server: &Server, seen: &Seen) -> Answered<RequestView> {
    let records = server.records_of(seen.elevation.request().id)?;
    Ok(Json(view(server, seen, records)))
}

fn context(pairs: &BTreeMap<String, String>) -> Result<Context, Problem> {
    pairs.iter().try_fold(Context::new(), |context, (key, value)| {
        context.with(key, value).map_err(|error| Problem::invalid(error.to_string()))
    })
}

fn request_id(text: &str) -> Result<RequestId, Problem> {
    text.parse().map_err(|error| Problem::invalid(format!("this is no request id: {error}")))
}

fn scope(view: ScopeView) -> Result<Scope, Problem> {
    let digest = |text: &String| {
        text.parse::<Digest>().map_err(|error| Problem::invalid(format!("this is no blob's digest: {error}")))
    };
    let mut blobs = view.blobs.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
    blobs.sort();
    blobs.dedup();
    let context = context(&view.context)?;
    Ok(Scope { blobs, context, count_max: view.count_max, bytes_max: view.bytes_max })
}

pub(super) async fn ask(
    State(server): Shared,
    caller: Caller,
    Path(group): Path<String>,
    Body(new): Body<NewRequest>,
) -> Answered<RequestView> {
    let group = input::group(&group)?;
    let ask = Ask {
        reason: new.reason,
        ticket: new.ticket,
        mode: if new.scope.is_some() { Mode::Brokered } else { Mode::Direct },
        scope: new.scope.map(scope).transpose()?,
        break_glass: new.break_glass,
        duration_s: new.duration_s,
    };
    let mut id = [0u8; 16];
    getrandom::fill(&mut id).map_err(|_| Problem::unavailable("the system gives no randomness"))?;
    let name = caller.name().to_owned();
    let detail = StepDetail { reason: Some(ask.reason.clone()), ..StepDetail::default() };
    let (seen, _) = server
        .step(&caller, (group, None), (Action::Request, detail), move |lockbox, at, in_force| {
            lockbox.begin(RequestId(id), ask, &name, at, in_force)
        })
        .await?;
    shown(&server, &seen)
}

pub(super) async fn control(
    State(server): Shared,
    caller: Caller,
    Path(group): Path<String>,
) -> Answered<ControlView> {
    let group = input::group(&group)?;
    let instance = server.store().identity().instance.to_string();
    Ok(Json(ControlView { instance, records: server.control(&caller, group).await? }))
}

pub(super) async fn list(
    State(server): Shared,
    caller: Caller,
    Path(group): Path<String>,
) -> Answered<Requests> {
    let group = input::group(&group)?;
    let seen = server.requests(&caller, group).await?;
    // The request alone of each: what came of it is asked for one by one.
    let requests = seen.iter().map(|seen| {
        let request = Box::new(seen.elevation.request().clone());
        let first =
            Record { request: request.id, number: 0, event: Event::Requested { request, submitted: None } };
        view(&server, seen, vec![first])
    });
    Ok(Json(Requests { requests: requests.collect() }))
}

pub(super) async fn show(
    State(server): Shared,
    caller: Caller,
    Path(id): Path<String>,
) -> Answered<RequestView> {
    let seen = server.request(&caller, request_id(&id)?).await?;
    shown(&server, &seen)
}

pub(super) async fn evidence(
    State(server): Shared,
    caller: Caller,
    Path(id): Path<String>,
) -> Answered<EvidenceView> {
    let seen = server.request(&caller, request_id(&id)?).await?;
    let answers = server.evidence(&seen)?.into_iter().map(|evidence| AnswerEvidence {
        statement: evidence.statement,
        signature: evidence.signature,
        principal: evidence.principal,
        allowed_signers: evidence.allowed_signers,
    });
    Ok(Json(EvidenceView { answers: answers.collect() }))
}

pub(super) async fn answer(
    State(server): Shared,
    caller: Caller,
    Path(id): Path<String>,
    Body(new): Body<NewAnswer>,
) -> Answered<RequestView> {
    let id = request_id(&id)?;
    let decision = if new.approve { Decision::Approve } else { Decision::Deny };
    let answer = Answer { approver: new.approver, level: new.level, decision, signature: new.signature };
    let group = server.group_of(id)?;
    let (seen, _) = server
        .step(
            &caller,
            (group, Some(id)),
            (Action::Approve, StepDetail::default()),
            move |lockbox, at, in_force| lockbox.get(id)?.answer(answer, at, in_force),
        )
        .await?;
    shown(&server, &seen)
}

/// A step that takes nothing but who does it.
macro_rules! plain_step {
    ($name:ident, $action:ident, $step:ident) => {
        pub(super) async fn $name(
            State(server): Shared,
            caller: Caller,
            Path(id): Path<String>,
        ) -> Answered<RequestView> {
            let id = request_id(&id)?;
            let (group, name) = (server.group_of(id)?, caller.name().to_owned());
            let step = (Action::$action, StepDetail::default());
            let (seen, _) = server
                .step(&caller, (group, Some(id)), step, move |lockbox, at, in_force| {
                    lockbox.get(id)?.$step(&name, at, in_force)
                })
                .await?;
            shown(&server, &seen)
        }
    };
}

plain_step!(withdraw, Withdraw, withdraw);
plain_step!(activate, Activate, activate);
plain_step!(revoke, Revoke, revoke);
plain_step!(review, Review, review);

/// Gives out a certificate that reads the group's keys until the grant ends. That they were exposed is written down and
/// read back first.
pub(super) async fn credentials(
    State(server): Shared,
    caller: Caller,
    Path(id): Path<String>,
    Body(new): Body<Renewal>,
) -> Answered<Certificate> {
    let (account, issued) = server.issue_credentials(&caller, request_id(&id)?, &new.request).await?;
    Ok(super::enrolment::view(&server, &account, issued))
}

/// Gives out tickets of a temporary account in the group's domain.
pub(super) async fn tickets(
    State(server): Shared,
    caller: Caller,
    Path(id): Path<String>,
) -> Answered<TicketsView> {
    let id = request_id(&id)?;
    // To its end even if the caller goes away: what was made must be looked at once more.
    let issuing = tokio::spawn(async move { server.issue_tickets(&caller, id).await });
    let issued = issuing.await.unwrap_or_else(|_| Err(Problem::unavailable("it was broken off")));
    let (group, repository, tickets) = issued?;
    Ok(Json(TicketsView {
        group: group.to_string(),
        repository,
        account: tickets.account,
        sid: tickets.sid,
        until_ms: tickets.until.0,
        services: tickets.services,
        cache: Zeroizing::new(BASE64_STANDARD.encode(&*tickets.cache)),
    }))
}

/// Opens a blob under a grant. It is opened first, in the server's memory, and then decided once more, recorded and given
/// out: a blob that does not open uses nothing up, and what is not recorded does not leave.
pub(super) async fn unprotect(
    State(server): Shared,
    caller: Caller,
    Path(id): Path<String>,
    Body(open): Body<OpenBlob>,
) -> Answered<OpenedBlob> {
    let id = request_id(&id)?;
    let group = server.group_of(id)?;
    let known_size = open.known_size;
    let context = context(&open.context)?;
    let blob =
        BASE64_STANDARD.decode(&open.blob).map_err(|_| Problem::invalid("the blob is not in Base64"))?;
    let digest = blob
        .first_chunk()
        .map(blob_id)
        .ok_or_else(|| Problem::invalid("this is no blob: it is too short"))?;
    let detail = StepDetail {
        blob: Some(digest),
        context: Some(server.context_key().mac(group, &context)),
        ..StepDetail::default()
    };
    let decide = |name: String, context: Context, bytes: u64| {
        move |lockbox: &dkm_lockbox::Lockbox,
              at,
              in_force: &dkm_lockbox::InForce<'_>|
              -> Result<Record, Refusal> {
            lockbox.get(id)?.open(&name, digest, &context, bytes, at, in_force)
        }
    };
    let name = caller.name().to_owned();
    server
        .try_step(
            &caller,
            group,
            (Action::Unprotect, detail.clone()),
            decide(name.clone(), context.clone(), 0),
        )
        .await?;
    let (opener, own_context) = (Arc::clone(&server), context.clone());
    let opened = tokio::task::spawn_blocking(move || opener.open_blob(group, &own_context, &blob)).await;
    let plaintext = opened.unwrap_or_else(|_| Err(Problem::unavailable("opening the blob was broken off")));
    let plaintext = match plaintext {
        Ok(plaintext) => plaintext,
        Err(problem) => {
            return server.deny_step(&caller, group, id, (Action::Unprotect, detail), problem).await;
        }
    };
    let bytes = plaintext.len() as u64;
    let detail = StepDetail { size: Some(bytes), ..detail };
    let (seen, receipt) = server
        .step(&caller, (group, Some(id)), (Action::Unprotect, detail), decide(name, context, bytes))
        .await?;
    // Recording may have taken long: access that has ended in the meantime has ended.
    if !matches!(seen.status, dkm_lockbox::Status::Active { .. }) {
        return Err(Problem::conflict(format!("the request is {}", seen.status)));
    }
    let hashes = |proof: &[Digest]| -> Vec<String> {
        proof.iter().map(|hash| BASE64_STANDARD.encode(hash.as_bytes())).collect()
    };
    let consistency = match known_size {
        Some(size) => server.audit().prove_extends(size, &receipt.checkpoint)?,
        None => Vec::new(),
    };
    Ok(Json(OpenedBlob {
        plaintext: Zeroizing::new(BASE64_STANDARD.encode(&*plaintext)),
        leaf: receipt.index,
        entry: BASE64_STANDARD.encode(&receipt.entry),
        proof: hashes(&receipt.proof),
        checkpoint: String::from_utf8_lossy(&receipt.checkpoint).into_owned(),
        log_key: server.audit().log().key().to_string(),
        consistency: hashes(&consistency),
    }))
}
