//! What `dkmd` and its clients say to each other: JSON bodies over HTTP/1.1 (RFC 9112), with field names that stay the
//! same in all versions of `/v1`. Times are milliseconds since 1970-01-01 UTC; ids are in hexadecimal; bytes are in
//! Base64 (RFC 4648, section 4). Unknown fields of answers are ignored, unknown fields of requests are refused.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/repository` | | [`RepositoryView`] |
//! | `GET /v1/groups` | | [`Groups`] |
//! | `PUT /v1/groups/{group}` | [`Access`] | 201 |
//! | `POST /v1/groups/{group}/announcement` | | 204 |
//! | `GET /v1/groups/{group}/rights` | | [`RightsView`] |
//! | `GET /v1/groups/{group}/access` | | [`AccessView`] |
//! | `GET /v1/groups/{group}/rooms/{room}?since={mark}` | | [`RoomView`] |
//! | `GET /v1/groups/{group}/rooms/{room}/{slot}?stamp={stamp}` | | [`StoredView`] |
//! | `PUT /v1/groups/{group}/rooms/{room}/{slot}` | the record's bytes | [`PutView`] |
//! | `DELETE /v1/groups/{group}/rooms/keys/{slot}?stamp={stamp}` | | 204 |
//! | `POST /v1/enrolment` | [`Enrolment`] | [`Certificate`] |
//! | `POST /v1/renewal` | [`Renewal`] | [`Certificate`] |
//! | `GET /v1/whoami` | | [`WhoAmI`] |
//! | `GET /v1/principals` | | [`Principals`] |
//! | `PUT /v1/principals/{name}` | [`NewPrincipal`] | 201 |
//! | `POST /v1/principals/{name}/token` | | [`Token`] |
//! | `DELETE /v1/principals/{name}` | | 204: it is disabled, its certificates end |
//! | `GET /v1/directory-groups` | | [`DirectoryGroups`] |
//! | `PUT /v1/directory-groups/{name}` | [`NewDirectoryGroup`] | 201 |
//! | `PUT /v1/directory-groups/{name}/members/{member}` | | 204 |
//! | `DELETE /v1/directory-groups/{name}/members/{member}` | | 204 |
//! | `GET /v1/log/checkpoint` | | the audit log's signed checkpoint |
//! | `GET /v1/log/tile/{path}` | | a tile or a bundle of entries (C2SP tlog-tiles) |
//! | `GET /v1/log/handover/{size}` | | the checkpoint of a change of the log's key |
//!
//! An error has a status of 4xx or 5xx and the body [`Problem`].

pub mod elevation;

use serde::{Deserialize, Serialize};

/// Largest body that either side takes, in bytes (DESIGN §9).
pub const BODY_LEN_MAX: usize = 1024 * 1024;

/// Why a request was not carried out (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// One of [`Code`], as a word.
    pub code: Code,
    /// What happened, to what.
    pub detail: String,
    /// How to recover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What kind of problem it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// 401: the peer is nobody this server knows, or no longer.
    Unauthenticated,
    /// 403: decided.
    Denied,
    /// 404: not there, or not for this account to see.
    NotFound,
    /// 400, 413, 415, 422: the request can't be understood or expressed.
    Invalid,
    /// 409: a record that belongs to no destroyed key is not erased.
    NotTombstoned,
    /// 409: it is in a state that does not allow this.
    Conflict,
    /// 500-class for one record: it can't be served, others can.
    Unreadable,
    /// 429: too much at a time from this account.
    Busy,
    /// 507: no space.
    NoSpace,
    /// 503: what must be recorded first can't be: nothing was released or changed.
    AuditUnavailable,
    /// 503: something that the server needs does not work.
    Unavailable,
    /// A code of a newer server.
    #[serde(other)]
    Unknown,
}

/// The repository behind the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RepositoryView {
    /// Its id.
    pub repository: String,
    /// Id of this copy.
    pub replica: String,
    /// The server's clock.
    pub clock_ms: u64,
    /// As whom the caller is authenticated: the author of what it adds.
    pub account: String,
}

/// Groups that the caller may know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Groups {
    /// Their ids.
    pub groups: Vec<String>,
}

/// Who shall have access to a new group: names of service accounts (`service:NAME`), or of directory groups of service
/// accounts (`group:NAME`); owners and auditors may be people (`person:NAME`) too. Empty lists mean the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Who reads keys.
    pub readers: Vec<String>,
    /// Who adds keys, and reads them.
    pub creators: Vec<String>,
    /// Who adds control records: policies, states.
    pub owners: Vec<String>,
    /// Who sees everything but key material.
    pub auditors: Vec<String>,
}

/// What the caller may do with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RightsView {
    /// Read keys.
    pub read: bool,
    /// Add keys.
    pub create: bool,
    /// Add control records.
    pub own: bool,
}

/// Who has access to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccessView {
    /// One line for each.
    pub access: Vec<AccessLine>,
}

/// One line of [`AccessView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccessLine {
    /// The principal or directory group.
    pub who: String,
    /// What it may do.
    pub may: String,
    /// Whether that is wider than it should be.
    pub alarming: bool,
}

/// What a room holds, or what came since a mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoomView {
    /// Whether `entries` is all; otherwise it is what was added since.
    pub whole: bool,
    /// The records.
    pub entries: Vec<RoomEntry>,
    /// What to ask with next time; the same as was asked with means that nothing was written and nothing erased.
    pub mark: String,
}

/// A record as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoomEntry {
    /// Its slot.
    pub slot: String,
    /// Opaque hexadecimal.
    pub stamp: String,
}

/// A record. No `Debug`: it may hold key material.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoredView {
    /// Its bytes, in Base64; the public part alone where `public_only`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub record: zeroize::Zeroizing<String>,
    /// Whether these are the parts of a key's record that are no secret: the caller may not read its material.
    pub public_only: bool,
    /// Who added it, as the server authenticated him.
    pub creator: String,
    /// When.
    pub created_ms: u64,
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PutView {
    /// See [`PutOutcome`].
    pub outcome: PutOutcome,
}

/// What became of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PutOutcome {
    /// The record is durable.
    Created,
    /// The slot holds another record.
    Taken,
    /// The key was destroyed.
    Tombstoned,
}

/// What a caller without a certificate sends to get its first one. No `Debug`: the token is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The one-time token.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: zeroize::Zeroizing<String>,
    /// A PKCS #10 request (RFC 2986) in PEM; only its key is used.
    pub request: String,
}

/// What a caller with a certificate sends to get the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// A PKCS #10 request in PEM; only its key is used.
    pub request: String,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Certificate {
    /// As whom it authenticates: `service:NAME` or `person:NAME`.
    pub account: String,
    /// The certificate, in PEM.
    pub certificate: String,
    /// The server's authority, in PEM.
    pub authority: String,
    /// When it begins.
    pub not_before_ms: u64,
    /// When it ends.
    pub not_after_ms: u64,
}

/// As whom the caller is authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhoAmI {
    /// `service:NAME` or `person:NAME`.
    pub account: String,
    /// Directory groups that it is in, by every route.
    pub groups: Vec<String>,
    /// Whether it administers principals and directory groups.
    pub administrator: bool,
    /// Whether it reads the audit log.
    #[serde(default)]
    pub auditor: bool,
}

/// What a principal is. Only service accounts are ever members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The account of a service.
    Service,
    /// A human being.
    Person,
}

/// A principal to be made, or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPrincipal {
    /// What it is; never changes.
    pub kind: Kind,
    /// Unix accounts that are this principal on the server's own machine, over its socket.
    #[serde(default)]
    pub uids: Vec<u32>,
    /// Whether it administers principals and directory groups; people only.
    #[serde(default)]
    pub administrator: bool,
    /// Whether it reads the audit log.
    #[serde(default)]
    pub auditor: bool,
}

/// A principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PrincipalView {
    /// `service:NAME` or `person:NAME`.
    pub account: String,
    /// Its Unix accounts on the server's machine.
    pub uids: Vec<u32>,
    /// Whether it administers principals and directory groups.
    pub administrator: bool,
    /// Whether it reads the audit log.
    #[serde(default)]
    pub auditor: bool,
    /// Whether it may do anything at all.
    pub enabled: bool,
}

/// All principals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Principals {
    /// Sorted by account.
    pub principals: Vec<PrincipalView>,
}

/// A one-time token for an enrolment. No `Debug`: it is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// The token.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: zeroize::Zeroizing<String>,
    /// When it ends, used or not.
    pub not_after_ms: u64,
}

/// A directory group to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewDirectoryGroup {
    /// Of what its members are; never changes.
    pub kind: Kind,
}

/// A directory group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DirectoryGroup {
    /// `group:NAME`.
    pub name: String,
    /// Of what its members are.
    pub kind: Kind,
    /// Principals and directory groups that are in it directly.
    pub members: Vec<String>,
}

/// All directory groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DirectoryGroups {
    /// Sorted by name.
    pub groups: Vec<DirectoryGroup>,
}
