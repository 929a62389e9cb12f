//! Windows events as JSON: by `Get-WinEvent | ConvertTo-Json`, and by winlogbeat.

use std::collections::BTreeMap;

use dkm_core::Timestamp;
use serde_json::Value;

use super::windows::{Event, names};
use super::{Record, RecordError, time};

/// An event as winlogbeat writes it.
pub(super) fn beat(event: &Value) -> Result<Record, RecordError> {
    let log = event.get("winlog").ok_or(RecordError::Malformed)?;
    let at = log.get("time_created").or_else(|| event.get("@timestamp"));
    let data = log.get("event_data").and_then(Value::as_object);
    let data = data.map(|data| data.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))));
    let failed = |word: &Value| word.as_str().is_some_and(|word| word.to_lowercase().contains("failure"));
    let keywords = log.get("keywords").and_then(Value::as_array);
    let outcome = event.get("event").and_then(|event| event.get("outcome"));
    Event {
        number: number(log.get("event_id"), "event_id")?,
        record: number(log.get("record_id"), "record_id")?,
        computer: need(log.get("computer_name"), "computer_name")?,
        channel: need(log.get("channel"), "channel")?,
        at: at
            .and_then(Value::as_str)
            .and_then(time::parse)
            .ok_or(RecordError::BadField { field: "@timestamp" })?,
        failure: keywords.is_some_and(|words| words.iter().any(failed)) || outcome.is_some_and(failed),
        data: data.map(Iterator::collect).unwrap_or_default(),
    }
    .record()
}

/// An event as PowerShell writes it. The data have no names there, but an order.
pub(super) fn power_shell(event: &Value) -> Result<Record, RecordError> {
    let number_of = number(event.get("Id"), "Id")?;
    let at =
        event.get("TimeCreated").and_then(created).ok_or(RecordError::BadField { field: "TimeCreated" })?;
    let values = event.get("Properties").and_then(Value::as_array);
    let values = values.ok_or(RecordError::BadField { field: "Properties" })?;
    let value = |property: &Value| property.get("Value").and_then(text).or_else(|| text(property));
    let data: BTreeMap<String, String> = names(number_of)
        .iter()
        .zip(values)
        .filter_map(|(name, property)| Some(((*name).to_owned(), value(property)?)))
        .collect();
    let words = event.get("KeywordsDisplayNames").and_then(Value::as_array);
    let failed = |word: &Value| word.as_str().is_some_and(|word| word.to_lowercase().contains("failure"));
    // The bit for a failed audit, in a number that PowerShell writes with a sign.
    let bit = event.get("Keywords").and_then(Value::as_i64).is_some_and(|bits| bits & (1 << 52) != 0);
    Event {
        number: number_of,
        record: number(event.get("RecordId"), "RecordId")?,
        computer: need(event.get("MachineName"), "MachineName")?,
        channel: need(event.get("LogName"), "LogName")?,
        at,
        failure: bit || words.is_some_and(|words| words.iter().any(failed)),
        data,
    }
    .record()
}

/// `/Date(1767225600000)/` of Windows PowerShell, or RFC 3339 of later ones.
fn created(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    match text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        Some(ms) => ms.parse().ok().map(Timestamp),
        None => time::parse(text),
    }
}

/// A value as text: a SID is an object with its text in `Value`.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(object) => object.get("Value").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    }
}

fn number(value: Option<&Value>, field: &'static str) -> Result<u64, RecordError> {
    value.and_then(text).and_then(|text| text.parse().ok()).ok_or(RecordError::BadField { field })
}

fn need(value: Option<&Value>, field: &'static str) -> Result<String, RecordError> {
    value.and_then(text).filter(|text| !text.is_empty()).ok_or(RecordError::BadField { field })
}
