//! The roster record: people, their keys, and the levels that must approve an elevation or a change of the roster.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};

use super::elevation::ElevationRules;
use super::policy::check_chain;
use super::{check_sorted, check_text};
use crate::id::{Digest, GroupId};

/// Most people of a roster.
pub(super) const PERSONS_MAX: usize = 256;
/// Most levels of a roster.
pub(super) const LEVELS_MAX: usize = 16;
/// Most keys of a person.
pub(super) const PERSON_KEYS_MAX: usize = 16;

/// A human being: all accounts and keys of one human stand under one id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Person {
    /// 1 to 128 characters; unique in the roster.
    #[n(0)]
    pub id: String,
    /// Public keys as OpenSSH lines (`ssh-ed25519 AAAA…`), sorted.
    #[n(1)]
    pub keys: Vec<String>,
    /// Principals that are this person (`uid:1000`, SIDs, certificate names), sorted.
    #[n(2)]
    pub accounts: Vec<String>,
}

/// One level of approval; all levels must be satisfied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct ApprovalLevel {
    /// 1 to 128 characters; unique in the roster.
    #[n(0)]
    pub name: String,
    /// Ids of the people who may approve at this level, sorted.
    #[n(1)]
    pub approvers: Vec<String>,
    /// How many different people must approve, at least 1.
    #[n(2)]
    pub quorum: u32,
}

/// A signature under a change of the roster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct RosterSignature {
    /// Id of the person who signs, as the predecessor knows him.
    #[n(0)]
    pub person: String,
    /// SSHSIG, armored, namespace `dkm-roster`, over [`RosterRecord::signed_bytes`].
    #[n(1)]
    pub signature: String,
}

/// One version of a group's roster.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RosterRecord {
    /// 1 for the genesis, otherwise one more than what it follows.
    #[n(0)]
    pub version: u32,
    /// Digests of the records that this one follows, sorted.
    #[n(1)]
    pub previous: Vec<Digest>,
    /// When its author says it was made: a hint.
    #[n(2)]
    pub created_at_ms: u64,
    /// The people, sorted by id.
    #[n(3)]
    pub persons: Vec<Person>,
    /// The levels, in order.
    #[n(4)]
    pub levels: Vec<ApprovalLevel>,
    /// How long a following change waits, visible to all, before it counts, in milliseconds.
    #[n(5)]
    pub change_delay_ms: u64,
    /// Signatures that satisfy the predecessor's levels; none on the genesis. Sorted.
    #[n(6)]
    pub signatures: Vec<RosterSignature>,
    /// What people may ask for; none: nothing.
    #[n(7)]
    pub elevation: Option<ElevationRules>,
}

impl RosterRecord {
    /// SSHSIG namespace of signatures under roster changes.
    pub const NAMESPACE: &'static str = "dkm-roster";

    /// What approvers sign: the record's canonical encoding without signatures.
    #[must_use]
    pub fn signed_bytes(&self, group: GroupId) -> Vec<u8> {
        super::Record::Roster(Self { signatures: Vec::new(), ..self.clone() }).encode(group)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        check_chain(self.version, &self.previous)?;
        if self.persons.len() > PERSONS_MAX || self.levels.len() > LEVELS_MAX {
            return Err(format!("more than {PERSONS_MAX} people or {LEVELS_MAX} levels"));
        }
        check_sorted("signatures", &self.signatures)?;
        let ids: Vec<&str> = self.persons.iter().map(|p| p.id.as_str()).collect();
        check_sorted("people", &ids)?;
        for person in &self.persons {
            if person.id.is_empty() || person.keys.len() > PERSON_KEYS_MAX {
                return Err(format!("person {:?} has no id or more than {PERSON_KEYS_MAX} keys", person.id));
            }
            check_text("person id", &person.id, 128)?;
            check_sorted("keys of a person", &person.keys)?;
            check_sorted("accounts of a person", &person.accounts)?;
        }
        check_levels(self.levels.iter(), &ids)?;
        if let Some(rules) = &self.elevation {
            rules.check(&self.levels, &ids)?;
        }
        // A key or an account belongs to one human: otherwise one person could count as two.
        let mut keys: Vec<_> = self.persons.iter().flat_map(|p| &p.keys).map(|line| key_of(line)).collect();
        keys.sort_unstable();
        check_sorted("keys across people", &keys)?;
        let mut accounts: Vec<&String> = self.persons.iter().flat_map(|p| &p.accounts).collect();
        accounts.sort();
        check_sorted("accounts across people", &accounts)
    }
}

/// What tells an OpenSSH line from that of another key: its type and the key itself. The comment is anybody's choice.
fn key_of(line: &str) -> (Option<&str>, Option<&str>) {
    let mut words = line.split_ascii_whitespace();
    (words.next(), words.next())
}

/// What holds of every list of levels: names differ, approvers are people of the roster, and the quorum can be met.
pub(super) fn check_levels<'a>(
    levels: impl Iterator<Item = &'a ApprovalLevel>,
    people: &[&str],
) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for level in levels {
        check_text("level name", &level.name, 128)?;
        check_sorted("approvers", &level.approvers)?;
        if level.name.is_empty() || !names.insert(level.name.as_str()) {
            return Err(format!("level name {:?} is empty or stands twice", level.name));
        }
        if let Some(stranger) = level.approvers.iter().find(|a| !people.contains(&a.as_str())) {
            return Err(format!("level {:?} names {stranger:?}, who is not in the roster", level.name));
        }
        if level.quorum == 0 || usize::try_from(level.quorum).map_or(true, |q| q > level.approvers.len()) {
            return Err(format!(
                "level {:?} needs {} of {} approvers",
                level.name,
                level.quorum,
                level.approvers.len()
            ));
        }
    }
    if names.len() > LEVELS_MAX {
        return Err(format!("more than {LEVELS_MAX} levels"));
    }
    Ok(())
}
