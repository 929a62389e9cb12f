//! Samba's JSON audit lines: `dsdb_json_audit` and `auth_json_audit`.

use dkm_core::Digest;
use serde_json::Value;

use super::{Account, Happened, Record, RecordError, id, other_kind, shown, time};

pub(super) fn read(event: &Value, bytes: &[u8]) -> Result<Record, RecordError> {
    let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
    let at = text(event, "timestamp").as_deref().and_then(time::parse);
    let at = at.ok_or(RecordError::BadField { field: "timestamp" })?;
    let body = event.get(kind).ok_or(RecordError::BadField { field: "type" })?;
    // Samba numbers nothing; a line has its microseconds and ids of session and transaction.
    let id = id(&["samba", &Digest::of(bytes).to_string()]);
    let (what, done, who, facts) = match kind {
        "dsdbChange" => change(body)?,
        "Authentication" => authentication(body)?,
        "Authorization" => authorization(body)?,
        other => return Err(other_kind("Samba", other)),
    };
    let facts = facts.into_iter().filter_map(|(name, value)| Some((name, shown(&value?)))).collect();
    Ok(Record { id, at, what, done, who, member: None, facts })
}

type Facts = Vec<(&'static str, Option<String>)>;

fn change(body: &Value) -> Result<(Happened, bool, Account, Facts), RecordError> {
    let code = body.get("statusCode").and_then(Value::as_i64);
    let code = code.ok_or(RecordError::BadField { field: "statusCode" })?;
    let who = Account { sid: text(body, "userSid"), ..Account::default() };
    let dn = text(body, "dn").ok_or(RecordError::BadField { field: "dn" })?;
    // Names alone: Samba writes the values too, and they may be keys.
    let attributes = body.get("attributes").and_then(Value::as_object);
    let attributes = attributes.map(|map| {
        let mut names: Vec<&str> = map.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.join(",")
    });
    let facts = vec![
        ("operation", text(body, "operation")),
        ("object", Some(dn)),
        ("attributes", attributes),
        ("from", text(body, "remoteAddress")),
        ("status", (code != 0).then(|| text(body, "status")).flatten()),
        ("session", text(body, "sessionId")),
    ];
    Ok((Happened::Change, code == 0, who, facts))
}

fn authentication(body: &Value) -> Result<(Happened, bool, Account, Facts), RecordError> {
    let status = text(body, "status").ok_or(RecordError::BadField { field: "status" })?;
    let done = status == "NT_STATUS_OK";
    let sid = text(body, "becameSid");
    let who = if done || sid.is_some() {
        Account {
            sid,
            name: text(body, "becameAccount").or_else(|| text(body, "mappedAccount")),
            domain: text(body, "becameDomain").or_else(|| text(body, "mappedDomain")),
        }
    } else if status == "NT_STATUS_NO_SUCH_USER" {
        // What was typed in place of a name may be a password.
        Account::default()
    } else {
        Account { sid: None, name: text(body, "mappedAccount"), domain: text(body, "mappedDomain") }
    };
    let facts = vec![
        ("service", text(body, "serviceDescription")),
        ("by", text(body, "authDescription")),
        ("from", text(body, "remoteAddress")),
        ("status", (!done).then_some(status)),
        ("logon", text(body, "logonId")),
    ];
    Ok((Happened::Logon, done, who, facts))
}

fn authorization(body: &Value) -> Result<(Happened, bool, Account, Facts), RecordError> {
    let sid = text(body, "sid").ok_or(RecordError::BadField { field: "sid" })?;
    let who = Account { sid: Some(sid), name: text(body, "account"), domain: text(body, "domain") };
    let facts = vec![
        ("service", text(body, "serviceDescription")),
        ("by", text(body, "authType")),
        ("from", text(body, "remoteAddress")),
        ("protection", text(body, "transportProtection")),
        ("session", text(body, "sessionId")),
    ];
    Ok((Happened::Session, true, who, facts))
}

fn text(body: &Value, name: &str) -> Option<String> {
    body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}
