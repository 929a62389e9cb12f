//! Records: listed, read, added, erased.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::prelude::{BASE64_STANDARD, Engine};
use dkm_core::record::{Purpose, RECORD_LEN_MAX, Record, public_part};
use dkm_core::{Digest, GroupId, Room, SlotName};
use dkm_remote::wire::{PutOutcome, PutView, RoomEntry, RoomView, StoredView};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::input::{self, Raw};
use crate::actions::Action;
use crate::caller::Caller;
use crate::catalog::Rights;
use crate::problem::Problem;
use crate::server::{About, Server, now};
use crate::store::records::{self as store, Mark, Put};

type Shared = State<Arc<Server>>;

const STAMP_LEN: usize = 16;
const MARK_LEN: usize = 24;

#[derive(Deserialize)]
pub(super) struct Since {
    since: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Stamp {
    stamp: String,
}

/// What a mark says beside how far a reading went: the database that was read, and with which rights. A reading with
/// other rights shows other things.
fn place_of(server: &Server, room: Room, rights: Rights) -> [u8; 8] {
    let seen = [u8::from(rights.read), u8::from(rights.create), u8::from(rights.own)];
    let digest =
        Digest::of(&[&server.store().identity().epoch[..], room.as_str().as_bytes(), &seen].concat());
    let mut place = [0u8; 8];
    place.copy_from_slice(&digest.0[..8]);
    place
}

fn mark_text(place: [u8; 8], mark: Mark) -> String {
    let bytes = [&place[..], &mark.seq.to_be_bytes(), &mark.erased.to_be_bytes()].concat();
    input::to_hex(&bytes)
}

/// How far the reading went that ended with this mark, if it says anything here and now.
fn mark_of(text: &str, place: [u8; 8], now: Mark) -> Option<i64> {
    let bytes: [u8; MARK_LEN] = input::hex(text, MARK_LEN)?.try_into().ok()?;
    let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(i64::from_be_bytes);
    let mark = Mark { seq: number(8)?, erased: number(16)? };
    (bytes[..8] == place && mark.erased == now.erased && (0..=now.seq).contains(&mark.seq))
        .then_some(mark.seq)
}

pub(super) async fn list(
    State(server): Shared,
    caller: Caller,
    Path((group, room)): Path<(String, String)>,
    Query(Since { since }): Query<Since>,
) -> Result<Json<RoomView>, Problem> {
    let (group, room) = (input::group(&group)?, input::room(&room)?);
    let rights = server.rights(&caller, group)?;
    server
        .require(rights.see, &caller, Action::ReadMetadata, &About::group(group, format!("list {room}")))
        .await?;
    let place = place_of(&server, room, rights);
    let (mark, since, listed) = server.store().read(|c| {
        let mark = store::mark(c, group, room)?;
        let since = since.as_deref().and_then(|text| mark_of(text, place, mark));
        let listed = store::list(c, group, room, since.unwrap_or(0))?;
        Ok((mark, since, listed))
    })?;
    let entries = listed.into_iter().map(|l| RoomEntry { slot: l.slot, stamp: input::to_hex(&l.stamp) });
    Ok(Json(RoomView { whole: since.is_none(), entries: entries.collect(), mark: mark_text(place, mark) }))
}

pub(super) async fn get(
    State(server): Shared,
    caller: Caller,
    Path((group, room, slot)): Path<(String, String, String)>,
    Query(Stamp { stamp }): Query<Stamp>,
) -> Result<Json<StoredView>, Problem> {
    let (group, room, slot) = (input::group(&group)?, input::room(&room)?, input::slot(&slot)?);
    let rights = server.rights(&caller, group)?;
    let about = About::group(group, format!("{room}/{slot}"));
    server.require(rights.see, &caller, Action::ReadMetadata, &about).await?;
    let gone = || Problem::not_found(format!("record {slot} is not in {room} of group {group}"));
    let stamp = input::hex(&stamp, STAMP_LEN).ok_or_else(gone)?;
    let record = server.store().read(|c| store::get(c, group, room, &slot, &stamp))?.ok_or_else(gone)?;
    let view = |bytes: &[u8], public_only| StoredView {
        record: Zeroizing::new(BASE64_STANDARD.encode(bytes)),
        public_only,
        creator: record.creator.clone(),
        created_ms: record.created_ms,
    };
    if room == Room::Control {
        return Ok(Json(view(&record.bytes, false)));
    }
    // Of what is no key's record nobody knows whether it is a secret: it goes to members alone.
    if !rights.read {
        let public = public_part(&record.bytes).ok_or_else(gone)?;
        return Ok(Json(view(&public, true)));
    }
    let key = match Record::decode(&record.bytes) {
        Ok((_, Record::Key(key))) => Some(key.id),
        _ => None,
    };
    let about = About { key, size: Some(record.bytes.len() as u64), ..about };
    let receipt = server.release(&caller, Action::ReadKey, &about).await?;
    if let Err(problem) = server.still_reads(&caller, group) {
        server.kept_back(&caller, Action::ReadKey, &about, &receipt, &problem);
        return Err(problem);
    }
    server.released(&caller, Action::ReadKey, &about, &receipt);
    Ok(Json(view(&record.bytes, false)))
}

/// What adding a record is: a key, a change of a key's state, or of what rules the group.
fn action(room: Room, record: Option<&Record>) -> Action {
    match (room, record) {
        (Room::Keys, _) => Action::AddKey,
        (Room::Control, Some(Record::Status(_) | Record::Exposed(_))) => Action::ManageLifecycle,
        (Room::Control, _) => Action::ManagePolicy,
    }
}

fn may_add(group: GroupId, room: Room, slot: &SlotName, record: Option<&Record>, rights: Rights) -> bool {
    match (room, record) {
        // A notice that a key is in use comes from any member, in its own place: a key's place is for creators to take.
        (Room::Keys, Some(notice @ Record::Status(status))) if status.purpose == Purpose::InUse => {
            rights.create || (rights.read && *slot == notice.slot(group, 0))
        }
        (Room::Keys, _) => rights.create,
        (Room::Control, _) => rights.own,
    }
}

fn record_of(group: GroupId, bytes: &[u8]) -> Option<Record> {
    Record::decode(bytes).ok().filter(|(of, _)| *of == group).map(|(_, record)| record)
}

pub(super) async fn put(
    State(server): Shared,
    caller: Caller,
    Path((group, room, slot)): Path<(String, String, String)>,
    Raw(bytes): Raw,
) -> Result<Json<PutView>, Problem> {
    let (group, room, slot) = (input::group(&group)?, input::room(&room)?, input::slot(&slot)?);
    if bytes.is_empty() || bytes.len() > RECORD_LEN_MAX {
        return Err(Problem::invalid(format!(
            "a record has 1 to {RECORD_LEN_MAX} bytes, not {}",
            bytes.len()
        )));
    }
    let rights = server.rights(&caller, group)?;
    let record = record_of(group, &bytes);
    let key = match &record {
        Some(Record::Key(key)) => Some(key.id),
        Some(Record::Status(status)) => Some(status.key),
        _ => None,
    };
    let kind = record.as_ref().map_or("record of unknown kind", Record::kind_name);
    let about =
        About { key, size: Some(bytes.len() as u64), ..About::group(group, format!("{kind} {room}/{slot}")) };
    let action = action(room, record.as_ref());
    // A grant reads, and nothing else: a notice of use would call off a destruction.
    let allowed = caller.grant().is_none() && may_add(group, room, &slot, record.as_ref(), rights);
    server.require(allowed, &caller, action, &about).await?;
    drop(record);
    let (by, bytes) = (caller.name().to_owned(), Zeroizing::new(bytes.to_vec()));
    let outcome = server
        .change(&caller, action, about, move |tx| {
            Ok(store::put(tx, group, room, &slot, &bytes, (&by, now().0))?)
        })
        .await?;
    let outcome = match outcome {
        Put::Created => PutOutcome::Created,
        Put::Taken => PutOutcome::Taken,
        Put::Tombstoned => PutOutcome::Tombstoned,
    };
    Ok(Json(PutView { outcome }))
}

pub(super) async fn shred(
    State(server): Shared,
    caller: Caller,
    Path((group, room, slot)): Path<(String, String, String)>,
    Query(Stamp { stamp }): Query<Stamp>,
) -> Result<StatusCode, Problem> {
    let (group, room, slot) = (input::group(&group)?, input::room(&room)?, input::slot(&slot)?);
    if room != Room::Keys {
        return Err(Problem::invalid("only records of keys are erased"));
    }
    let rights = server.rights(&caller, group)?;
    let about = About::group(group, format!("{room}/{slot}"));
    let allowed = caller.grant().is_none() && (rights.read || rights.own);
    server.require(allowed, &caller, Action::EraseKey, &about).await?;
    let Some(stamp) = input::hex(&stamp, STAMP_LEN) else { return Ok(StatusCode::NO_CONTENT) };
    erase(&server, &caller, group, slot, stamp, about).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn erase(
    server: &Arc<Server>,
    caller: &Caller,
    group: GroupId,
    slot: SlotName,
    stamp: Vec<u8>,
    about: About,
) -> Result<(), Problem> {
    let refused =
        Problem::not_tombstoned(format!("record {slot} belongs to no destroyed key, so it is not erased"));
    server
        .change(caller, Action::EraseKey, about, move |tx| {
            if store::shred(tx, group, &slot, &stamp)? { Ok(()) } else { Err(refused) }
        })
        .await?;
    let shared = Arc::clone(server);
    let _ = tokio::task::spawn_blocking(move || shared.store().settle()).await;
    Ok(())
}
