//! A proposal: the next version of a group's roster, on its way from one who signs to the next.

use std::io::Write as _;
use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use dkm_core::record::{Record, RosterRecord, RosterSignature};
use dkm_core::{Digest, GroupId};
use dkm_lockbox::shown;
use serde::{Deserialize, Serialize};

use crate::audit_log::read_limited;
use crate::failure::{Failure, Result};
use crate::output_file::{ORDINARY, Output};

/// Version of the file.
const VERSION: u8 = 1;

/// What is proposed. Nothing in it is believed: who signs is shown the record itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) group: GroupId,
    pub(crate) record: RosterRecord,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProposalFile {
    dkm_roster_proposal: u8,
    /// What is signed, in Base64: the record without signatures. It holds the group's id.
    record: String,
    #[serde(default)]
    signatures: Vec<SignatureEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureEntry {
    person: String,
    signature: String,
}

impl Proposal {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = read_limited(path)?;
        Self::parse(&text).map_err(|why| {
            Failure::usage(format!("{} is no proposal of a roster: {why}", path.display()))
                .help("dkm roster propose makes one")
        })
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let file: ProposalFile = serde_json::from_str(text).map_err(|error| shown(&error.to_string()))?;
        if file.dkm_roster_proposal != VERSION {
            return Err(format!("its version {} is not known to this program", file.dkm_roster_proposal));
        }
        let bytes =
            BASE64_STANDARD.decode(file.record).map_err(|_| "its record is not in Base64".to_owned())?;
        let (group, record) = Record::decode(&bytes).map_err(|error| error.to_string())?;
        let Record::Roster(mut record) = record else {
            return Err(format!("it holds a {} record", record.kind_name()));
        };
        if !record.signatures.is_empty() || record.previous.is_empty() {
            return Err("its record is a first one, or signed".to_owned());
        }
        let signature =
            |entry: SignatureEntry| RosterSignature { person: entry.person, signature: entry.signature };
        record.signatures = file.signatures.into_iter().map(signature).collect();
        let mut proposal = Self { group, record };
        proposal.settle();
        Ok(proposal)
    }

    fn settle(&mut self) {
        self.record.signatures.sort();
        self.record.signatures.dedup();
    }

    /// What is signed.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        self.record.signed_bytes(self.group)
    }

    /// Adds a signature.
    pub(crate) fn add(&mut self, person: &str, signature: String) {
        self.record.signatures.push(RosterSignature { person: person.to_owned(), signature });
        self.settle();
    }

    /// Takes the signatures of another copy of the same proposal.
    pub(crate) fn merge(&mut self, other: Self) -> Result {
        if other.signed_bytes() != self.signed_bytes() {
            return Err(Failure::usage("the files are not copies of one proposal"));
        }
        self.record.signatures.extend(other.record.signatures);
        self.settle();
        Ok(())
    }

    /// Digest of what is signed.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.signed_bytes())
    }

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path, force: bool) -> Result {
        let entry = |signature: &RosterSignature| SignatureEntry {
            person: signature.person.clone(),
            signature: signature.signature.clone(),
        };
        let file = ProposalFile {
            dkm_roster_proposal: VERSION,
            record: BASE64_STANDARD.encode(self.signed_bytes()),
            signatures: self.record.signatures.iter().map(entry).collect(),
        };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|error| Failure::internal(format!("can't write JSON: {error}")))?;
        let mut output = Output::file(path, ORDINARY, force)?;
        let written = output.write_all(text.as_bytes()).and_then(|()| output.write_all(b"\n"));
        written.map_err(|error| Failure::file("can't write", path, &error))?;
        output.commit()
    }
}

#[cfg(test)]
mod tests {
    use dkm_core::record::{ApprovalLevel, Person};

    use super::*;

    fn proposal() -> Proposal {
        let person = Person { id: "alice".into(), keys: vec!["ssh-ed25519 AAAA".into()], accounts: vec![] };
        Proposal {
            group: GroupId([7; 16]),
            record: RosterRecord {
                version: 2,
                previous: vec![Digest([1; 32])],
                created_at_ms: 5,
                persons: vec![person],
                levels: vec![ApprovalLevel { name: "a".into(), approvers: vec!["alice".into()], quorum: 1 }],
                change_delay_ms: 1,
                signatures: vec![],
                elevation: None,
            },
        }
    }

    #[test]
    fn copies_are_put_together_and_other_proposals_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let (mut first, mut second) = (proposal(), proposal());
        first.add("alice", "x".into());
        second.add("bob", "y".into());
        second.add("alice", "x".into());
        first.write(&one, false).unwrap();
        second.write(&two, false).unwrap();
        let mut read = Proposal::read(&one).unwrap();
        assert_eq!(read, first);
        read.merge(Proposal::read(&two).unwrap()).unwrap();
        assert_eq!(read.record.signatures.len(), 2);
        assert_eq!(read.digest(), proposal().digest(), "signatures are not signed");
        let mut other = proposal();
        other.record.change_delay_ms = 0;
        assert_eq!(read.merge(other).unwrap_err().exit_code, 2);
    }

    #[test]
    fn what_is_no_proposal_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        proposal().write(&path, false).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in [
            ("\"dkm_roster_proposal\": 1", "\"dkm_roster_proposal\": 2"),
            ("\"signatures\"", "\"signature\""),
            ("\"record\": \"", "\"record\": \"A"),
            ("{", "["),
        ] {
            assert!(Proposal::parse(&text.replacen(from, to, 1)).is_err(), "{to}");
        }
    }
}
