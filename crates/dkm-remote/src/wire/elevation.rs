//! Elevated access.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /v1/groups/{group}/requests` | [`NewRequest`] | [`RequestView`] |
//! | `GET /v1/groups/{group}/requests` | | [`Requests`] |
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

use serde::{Deserialize, Serialize};

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
    /// When access ends, while it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
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
    pub plaintext: zeroize::Zeroizing<String>,
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
