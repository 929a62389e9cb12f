//! Elevated access.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /v1/groups/{group}/requests` | [`NewRequest`] | [`RequestView`] |
//! | `GET /v1/groups/{group}/requests` | | [`Requests`] |
//! | `POST /v1/groups/{group}/offline` | [`NewOffline`] | [`RequestView`] |
//! | `GET /v1/requests/{request}` | | [`RequestView`] |
//! | `GET /v1/requests/{request}/evidence` | | [`EvidenceView`] |
//! | `POST /v1/requests/{request}/answers` | [`NewAnswer`] | [`RequestView`] |
//! | `POST /v1/requests/{request}/withdrawal` | | [`RequestView`] |
//! | `POST /v1/requests/{request}/activation` | | [`RequestView`] |
//! | `POST /v1/requests/{request}/revocation` | | [`RequestView`] |
//! | `POST /v1/requests/{request}/review` | | [`RequestView`] |
//! | `POST /v1/requests/{request}/credentials` | [`Renewal`](super::Renewal) | [`Certificate`](super::Certificate) |
//! | `POST /v1/requests/{request}/unprotect` | [`OpenBlob`] | [`OpenedBlob`] |

use std::collections::BTreeMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What somebody asks for. Who asks, the server knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// Why.
    pub reason: String,
    /// Where the work is written down.
    #[serde(default)]
    pub ticket: String,
    /// What is to be opened, by the server; none: credentials that are in the group (*direct* access).
    pub scope: Option<ScopeView>,
    /// Whether it is an emergency.
    #[serde(default)]
    pub break_glass: bool,
    /// How long access shall last, in seconds.
    pub duration_s: u64,
}

/// What a brokered grant opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ScopeView {
    /// Ids of blobs, as `dkm inspect` shows them; empty: any that has the context.
    #[serde(default)]
    pub blobs: Vec<String>,
    /// Pairs that a blob's context must hold.
    #[serde(default)]
    pub context: BTreeMap<String, String>,
    /// How many blobs may be opened in all.
    pub count_max: u64,
    /// How many bytes of plaintext may be given out in all.
    pub bytes_max: u64,
}

/// A request and what came of it. The records are what `dkm-lockbox` writes: a client reads from them what it shows and
/// signs, and needs to believe nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RequestView {
    /// Its id.
    pub request: String,
    /// The group.
    pub group: String,
    /// What it has come to, in a word.
    pub status: String,
    /// The same as a sentence.
    pub status_text: String,
    /// Its records in Base64, in their order.
    pub records: Vec<String>,
    /// Levels that have not approved yet, in their order.
    pub missing: Vec<MissingLevel>,
    /// The URL of the domain's repository, if the group lies in one: tickets read it, not a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// When access ends, while it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// Tickets of a temporary account that is a member of a group of a domain. Nobody has its password, and it is closed: others
/// can't be got with them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TicketsView {
    /// The group.
    pub group: String,
    /// The URL of the repository that they are for.
    pub repository: String,
    /// The account, as the domain names it.
    pub account: String,
    /// Its security identifier.
    pub sid: String,
    /// When they end.
    pub until_ms: u64,
    /// The services that they are for, one for each domain controller.
    pub services: Vec<String>,
    /// A credential cache as MIT Kerberos writes it in a file, in Base64: a secret.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub cache: Zeroizing<String>,
}

impl fmt::Debug for TicketsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, account, until_ms, services, .. } = self;
        write!(f, "TicketsView({account} for group {group} until {until_ms}: {services:?})")
    }
}

/// A group's control records: policies, rosters, states. By them clients check by themselves what is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControlView {
    /// The server that keeps the group's requests: they name it.
    #[serde(default)]
    pub instance: String,
    /// In no order.
    pub records: Vec<ControlRecord>,
}

/// A control record, and what the repository attests of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControlRecord {
    /// Where it lies.
    pub slot: String,
    /// The record in Base64.
    pub record: String,
    /// Who wrote it.
    pub creator: String,
    /// When, in milliseconds since the epoch.
    pub created_ms: u64,
}

impl ControlRecord {
    /// A record as it is sent.
    #[must_use]
    pub fn new(slot: &str, record: &[u8], creator: &str, created_ms: u64) -> Self {
        Self {
            slot: slot.to_owned(),
            record: BASE64_STANDARD.encode(record),
            creator: creator.to_owned(),
            created_ms,
        }
    }
}

/// A level that has not approved yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingLevel {
    /// Its name.
    pub level: String,
    /// How many more people must approve.
    pub people: u32,
    /// Who may.
    pub approvers: Vec<String>,
}

/// Requests of a group that the caller may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Requests {
    /// The newest first.
    pub requests: Vec<RequestView>,
}

/// An approver's signed answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAnswer {
    /// The approver's id in the roster.
    pub approver: String,
    /// The level.
    pub level: String,
    /// Whether he approves; otherwise he denies.
    pub approve: bool,
    /// SSHSIG over the statement, armoured.
    pub signature: String,
}

/// A request that was made by file while the server did not answer. Answers to it follow as they do to any other; where it was
/// used meanwhile, those that were there for that come along, and nothing is given by it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewOffline {
    /// What the requester has signed: the whole request.
    pub request: String,
    /// His SSHSIG over it with the namespace `dkm-request`, armoured.
    pub signature: String,
    /// What was done by it, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<NewUsage>,
    /// The answers that were there for that.
    #[serde(default)]
    pub answers: Vec<NewAnswer>,
}

/// What somebody says that he has done while the server did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUsage {
    /// His id in the roster.
    pub by: String,
    /// From when on, in milliseconds since the epoch.
    pub from_ms: u64,
    /// What.
    pub what: String,
    /// SSHSIG over these with the namespace `dkm-offline-use`, armoured.
    pub signature: String,
}

/// What answers can be verified by without DKM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EvidenceView {
    /// One for each answer, in their order.
    pub answers: Vec<AnswerEvidence>,
}

/// `ssh-keygen -Y verify -f ALLOWED_SIGNERS -I PRINCIPAL -n dkm-approval -s SIGNATURE < STATEMENT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnswerEvidence {
    /// The bytes that were signed.
    pub statement: String,
    /// The signature, armoured.
    pub signature: String,
    /// The approver, as `allowed_signers` names him.
    pub principal: String,
    /// OpenSSH's `allowed_signers` file.
    pub allowed_signers: String,
}

/// A blob to be opened under a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenBlob {
    /// Its whole context.
    #[serde(default)]
    pub context: BTreeMap<String, String>,
    /// The blob, in Base64.
    pub blob: String,
    /// Entries under the audit log's checkpoint that the caller has kept: the answer proves that its own extends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_size: Option<u64>,
}

/// What was in it. No `Debug`: it is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenedBlob {
    /// The plaintext, in Base64.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub plaintext: Zeroizing<String>,
    /// Index of the audit log's entry that was durable before it left.
    pub leaf: u64,
    /// That entry, in Base64.
    pub entry: String,
    /// Proof that the entry is in the checkpoint's tree: hashes in Base64.
    pub proof: Vec<String>,
    /// The log's signed checkpoint.
    pub checkpoint: String,
    /// The log's verifier key, for who does not know it yet: whoever does, believes no other.
    pub log_key: String,
    /// Proof that the checkpoint's tree begins with that of the checkpoint of [`OpenBlob::known_size`]: hashes in Base64.
    #[serde(default)]
    pub consistency: Vec<String>,
}
