//! Entries for other programs, with the field names of the Open Cybersecurity Schema Framework (class API Activity).

use dkm_core::Digest;
use serde_json::{Map, Value, json};

use super::{Entry, Phase};

impl Entry {
    /// One line of JSON, without a newline, for a search engine or SIEM. It repeats what the log holds and proves
    /// nothing by itself; `metadata` says where in the log the entry stands.
    ///
    /// `origin` is the log's, `index` the entry's, and `leaf` the hash of its leaf.
    #[must_use]
    pub fn to_ocsf(&self, origin: &str, index: u64, leaf: &Digest) -> String {
        let (status_id, status) = match self.phase {
            Phase::Success { .. } => (1, "Success"),
            Phase::Failure { .. } | Phase::Denied => (2, "Failure"),
            Phase::Intent | Phase::Recorded => (99, "Other"),
        };
        let denied = self.phase == Phase::Denied;
        let (action_id, action) = if denied { (2, "Denied") } else { (1, "Allowed") };
        let resource = |kind: &str, id: Option<String>| id.map(|id| json!({"type": kind, "uid": id}));
        let resources: Vec<Value> = [
            resource("group", self.group.map(|id| id.to_string())),
            resource("key", self.key.map(|id| id.to_string())),
            resource("blob", self.blob.map(|id| id.to_string())),
        ]
        .into_iter()
        .flatten()
        .collect();
        let more = [
            ("phase", Some(json!(self.phase.as_str()))),
            ("intent", self.phase.intent().map(Value::from)),
            ("grant", self.grant.as_ref().map(|grant| json!(grant.as_str()))),
            ("context", self.context.map(|mac| json!(mac.to_string()))),
            ("size", self.size.map(Value::from)),
            ("next_key", self.next_key.as_ref().map(|key| json!(key.to_string()))),
        ];
        let unmapped: Map<String, Value> =
            more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let mut line = json!({
            "category_uid": 6, "class_uid": 6003, "activity_id": 99, "type_uid": 600_399,
            "activity_name": self.action.as_str(),
            "action_id": action_id, "action": action,
            "severity_id": if denied { 2 } else { 1 },
            "status_id": status_id, "status": status,
            "time": self.time.0,
            "actor": {"user": {"uid": self.actor.as_str()}},
            "api": {"operation": self.action.as_str()},
            "metadata": {
                "version": "1.3.0",
                "product": {"name": "DKM", "vendor_name": "DKM"},
                "log_name": origin, "sequence": index, "uid": leaf.to_string(),
            },
            "unmapped": unmapped,
        });
        if let Some(line) = line.as_object_mut() {
            for (name, text) in [
                ("message", self.reason.as_ref().map(super::Reason::as_str)),
                ("status_detail", self.detail.as_ref().map(super::Detail::as_str)),
            ] {
                if let Some(text) = text {
                    line.insert(name.to_owned(), json!(text));
                }
            }
            if !resources.is_empty() {
                line.insert("resources".to_owned(), Value::Array(resources));
            }
        }
        line.to_string()
    }
}
