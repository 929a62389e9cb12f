//! Windows security events, whatever form they were exported in.

use std::collections::BTreeMap;

use dkm_core::Timestamp;

use super::{Account, Happened, Record, RecordError, id, other_kind, shown};

/// An event: what its System part says, and its named data.
pub(super) struct Event {
    pub(super) number: u64,
    pub(super) record: u64,
    pub(super) computer: String,
    pub(super) channel: String,
    pub(super) at: Timestamp,
    pub(super) failure: bool,
    pub(super) data: BTreeMap<String, String>,
}

/// Names of an event's data in the order of its template, for exports that leave the names out.
pub(super) fn names(number: u64) -> &'static [&'static str] {
    match number {
        4624 => &[
            "SubjectUserSid",
            "SubjectUserName",
            "SubjectDomainName",
            "SubjectLogonId",
            "TargetUserSid",
            "TargetUserName",
            "TargetDomainName",
            "TargetLogonId",
            "LogonType",
            "LogonProcessName",
            "AuthenticationPackageName",
            "WorkstationName",
            "LogonGuid",
            "TransmittedServices",
            "LmPackageName",
            "KeyLength",
            "ProcessId",
            "ProcessName",
            "IpAddress",
            "IpPort",
        ],
        4662 => &[
            "SubjectUserSid",
            "SubjectUserName",
            "SubjectDomainName",
            "SubjectLogonId",
            "ObjectServer",
            "ObjectType",
            "ObjectName",
            "OperationType",
            "HandleId",
            "AccessList",
            "AccessMask",
            "Properties",
        ],
        4728 => &[
            "MemberName",
            "MemberSid",
            "TargetUserName",
            "TargetDomainName",
            "TargetSid",
            "SubjectUserSid",
            "SubjectUserName",
            "SubjectDomainName",
            "SubjectLogonId",
        ],
        5136 => &[
            "OpCorrelationID",
            "AppCorrelationID",
            "SubjectUserSid",
            "SubjectUserName",
            "SubjectDomainName",
            "SubjectLogonId",
            "DSName",
            "DSType",
            "ObjectDN",
            "ObjectGUID",
            "ObjectClass",
            "AttributeLDAPDisplayName",
            "AttributeSyntaxOID",
            "AttributeValue",
            "OperationType",
        ],
        _ => &[],
    }
}

impl Event {
    fn text(&self, name: &str) -> Option<String> {
        // "-" stands for nothing in these events.
        let text =
            self.data.get(name).map(|text| text.trim()).filter(|text| !text.is_empty() && *text != "-");
        text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn need(&self, name: &'static str) -> Result<String, RecordError> {
        self.text(name).ok_or(RecordError::BadField { field: name })
    }

    fn account(&self, whose: &str) -> Account {
        let part = |what: &str| self.text(&format!("{whose}{what}"));
        Account { sid: part("UserSid"), name: part("UserName"), domain: part("DomainName") }
    }

    pub(super) fn record(&self) -> Result<Record, RecordError> {
        let (what, who, member, facts) = match self.number {
            4624 => {
                self.need("TargetUserSid")?;
                let facts = vec![
                    ("type", self.text("LogonType")),
                    ("by", self.text("AuthenticationPackageName")),
                    ("from", self.text("IpAddress")),
                    ("logon", self.text("TargetLogonId")),
                ];
                (Happened::Logon, self.account("Target"), None, facts)
            }
            4662 => {
                self.need("SubjectUserSid")?;
                let facts = vec![
                    ("operation", self.text("OperationType")),
                    ("object", Some(self.need("ObjectName")?)),
                    ("access", self.text("AccessMask")),
                    ("properties", self.text("Properties")),
                    ("logon", self.text("SubjectLogonId")),
                ];
                (Happened::Access, self.account("Subject"), None, facts)
            }
            4728 => {
                let member = Account {
                    sid: Some(self.need("MemberSid")?),
                    name: self.text("MemberName"),
                    domain: None,
                };
                let facts = vec![
                    ("member", member.sid.clone()),
                    ("group", Some(self.need("TargetUserName")?)),
                    ("group_sid", self.text("TargetSid")),
                    ("logon", self.text("SubjectLogonId")),
                ];
                (Happened::MemberAdded, self.account("Subject"), Some(member), facts)
            }
            5136 => {
                self.need("SubjectUserSid")?;
                // Not the attribute's value, which may be a key.
                let facts = vec![
                    ("operation", self.text("OperationType")),
                    ("object", Some(self.need("ObjectDN")?)),
                    ("attributes", Some(self.need("AttributeLDAPDisplayName")?)),
                    ("logon", self.text("SubjectLogonId")),
                ];
                (Happened::Change, self.account("Subject"), None, facts)
            }
            other => return Err(other_kind("Windows", &other.to_string())),
        };
        // A computer that was set up anew counts from 1 again: the time belongs to the id.
        let (record, at) = (self.record.to_string(), self.at.0.to_string());
        let computer = self.computer.to_lowercase();
        let id = id(&["windows", &computer, &self.channel, &record, &at]);
        let facts = facts.into_iter().filter_map(|(name, value)| Some((name, shown(&value?)))).collect();
        Ok(Record { id, at: self.at, what, done: !self.failure, who, member, facts }.numbered())
    }
}
