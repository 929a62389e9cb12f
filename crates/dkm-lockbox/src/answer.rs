//! An approver's signed answer.

use dkm_core::record::{ApprovalLevel, Person};
use dkm_core::roster::Roster;
use minicbor::{Decode, Encode};

use crate::refusal::Refusal;
use crate::request::Request;
use crate::statement::{Decision, NAMESPACE, statement};

/// Whether a signature over a message, for a namespace, was made with the key of an OpenSSH line:
/// [`verify_sshsig`], with a [`Memo`](crate::Memo) where it is asked often. Parameters: the key's line, the namespace,
/// the message, the armoured signature.
pub type Verify<'a> = &'a (dyn Fn(&str, &str, &[u8], &str) -> bool + Sync);

/// [`sshsig::verify`](crate::sshsig::verify) as a [`Verify`].
#[must_use]
pub fn verify_sshsig(line: &str, namespace: &str, message: &[u8], armored: &str) -> bool {
    crate::sshsig::verify(line, namespace, message, armored).is_ok()
}

/// Whether a signature under a change of a roster was made with the key of an OpenSSH line, in the order in which
/// [`RosterChain::resolve`](dkm_core::roster::RosterChain::resolve) asks.
#[must_use]
pub fn verify_roster(line: &str, message: &[u8], armored: &str) -> bool {
    verify_sshsig(line, dkm_core::record::RosterRecord::NAMESPACE, message, armored)
}

/// What an approver says of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(map)]
pub struct Answer {
    /// The approver, a person of the roster.
    #[n(0)]
    pub approver: String,
    /// The level at which he decides.
    #[n(1)]
    pub level: String,
    /// What he decides.
    #[n(2)]
    pub decision: Decision,
    /// An SSHSIG, armoured, over the [`statement`] with the namespace [`NAMESPACE`].
    #[n(3)]
    pub signature: String,
}

/// What an answer can be checked by without DKM: `ssh-keygen -Y verify -f ALLOWED_SIGNERS -I PRINCIPAL -n dkm-approval
/// -s SIGNATURE < STATEMENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The bytes that were signed.
    pub statement: String,
    /// The signature, armoured.
    pub signature: String,
    /// The approver, as `allowed_signers` names him: his id, or its bytes in hexadecimal where it can't stand there.
    pub principal: String,
    /// His keys in the roster, as OpenSSH's `allowed_signers` file.
    pub allowed_signers: String,
}

impl Answer {
    /// Checks it: the approver may decide at this level, did not ask himself, and has signed exactly this request with a
    /// key that he has in the roster. Tells which key that is.
    ///
    /// # Errors
    /// Why it is not good.
    pub fn check<'a>(
        &self,
        request: &Request,
        levels: &[&ApprovalLevel],
        roster: &'a Roster,
        verify: Verify<'_>,
    ) -> Result<&'a str, Refusal> {
        let unknown = || Refusal::NotAnApprover { person: self.approver.clone(), level: self.level.clone() };
        let own = || Refusal::OwnRequest { person: self.approver.clone() };
        if self.approver == request.requester.person {
            return Err(own());
        }
        let level = levels.iter().find(|level| level.name == self.level).ok_or_else(unknown)?;
        if !level.approvers.contains(&self.approver) {
            return Err(unknown());
        }
        let person = roster.person(&self.approver).ok_or_else(unknown)?;
        // A requester who stands in the roster under a second name is still himself.
        if person.accounts.contains(&request.requester.account)
            || roster.person(&request.requester.person).is_some_and(|requester| is_same(person, requester))
        {
            return Err(own());
        }
        let text = statement(request, self.decision, &self.level, &self.approver);
        let signed = |line: &&String| verify(line, NAMESPACE, text.as_bytes(), &self.signature);
        person
            .keys
            .iter()
            .find(signed)
            .map(String::as_str)
            .ok_or_else(|| Refusal::Signature { person: self.approver.clone() })
    }

    /// What others can check it by. It says what was signed, not whether that is good.
    ///
    /// None if the approver is not in the roster.
    #[must_use]
    pub fn evidence(&self, request: &Request, roster: &Roster) -> Option<Evidence> {
        let text = statement(request, self.decision, &self.level, &self.approver);
        Some(Evidence::of(roster.person(&self.approver)?, NAMESPACE, text, self.signature.clone()))
    }
}

impl Evidence {
    /// What a person's signature under a statement can be checked by.
    #[must_use]
    pub fn of(person: &Person, namespace: &str, statement: String, signature: String) -> Self {
        let principal = principal(&person.id);
        let line = |key: &String| {
            let (kind, key) = key_of(key);
            format!("{principal} namespaces=\"{namespace}\" {kind} {key}\n")
        };
        let allowed_signers = person.keys.iter().map(line).collect();
        Self { statement, signature, principal, allowed_signers }
    }
}

/// Type and key of an OpenSSH line, without its comment: what tells one key from another.
pub(crate) fn key_of(line: &str) -> (&str, &str) {
    let mut words = line.split_ascii_whitespace();
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// Whether two entries of a roster are of one human.
fn is_same(one: &Person, other: &Person) -> bool {
    let keys: Vec<_> = one.keys.iter().map(|line| key_of(line)).collect();
    other.accounts.iter().any(|account| one.accounts.contains(account))
        || other.keys.iter().any(|line| keys.contains(&key_of(line)))
}

/// An id as one word without what OpenSSH takes for patterns.
fn principal(id: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._@+-".contains(&b);
    if !id.is_empty() && id.bytes().all(plain) {
        return id.to_owned();
    }
    id.bytes().fold("hex:".to_owned(), |hex, byte| format!("{hex}{byte:02x}"))
}
