//! An approver's signed answer.

use dkm_core::record::ApprovalLevel;
use dkm_core::roster::Roster;

use crate::refusal::Refusal;
use crate::request::Request;
use crate::statement::{Decision, NAMESPACE, statement};

/// Whether a signature over a message, for a namespace, was made with the key of an OpenSSH line:
/// [`sshsig::verify`](crate::sshsig::verify), unless a test has another way.
pub type Verify<'a> = &'a dyn Fn(&str, &str, &[u8], &str) -> bool;

/// [`sshsig::verify`](crate::sshsig::verify) as a [`Verify`].
#[must_use]
pub fn verify_sshsig(line: &str, namespace: &str, message: &[u8], armored: &str) -> bool {
    crate::sshsig::verify(line, namespace, message, armored).is_ok()
}

/// What an approver says of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The approver, a person of the roster.
    pub approver: String,
    /// The level at which he decides.
    pub level: String,
    /// What he decides.
    pub decision: Decision,
    /// An SSHSIG, armoured, over the [`statement`] with the namespace [`NAMESPACE`].
    pub signature: String,
}

impl Answer {
    /// Whether it is good: the approver may decide at this level, did not ask himself, and has signed exactly this request
    /// with a key that he has in the roster.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(
        &self,
        request: &Request,
        levels: &[&ApprovalLevel],
        roster: &Roster,
        verify: Verify<'_>,
    ) -> Result<(), Refusal> {
        let unknown = || Refusal::NotAnApprover { person: self.approver.clone(), level: self.level.clone() };
        if self.approver == request.requester.person {
            return Err(Refusal::OwnRequest { person: self.approver.clone() });
        }
        let level = levels.iter().find(|level| level.name == self.level).ok_or_else(unknown)?;
        if !level.approvers.contains(&self.approver) {
            return Err(unknown());
        }
        let person = roster.person(&self.approver).ok_or_else(unknown)?;
        // A requester who stands in the roster under a second name is still himself.
        if person.accounts.contains(&request.requester.account) {
            return Err(Refusal::OwnRequest { person: self.approver.clone() });
        }
        let text = statement(request, self.decision, &self.level, &self.approver);
        let signed = |line: &String| verify(line, NAMESPACE, text.as_bytes(), &self.signature);
        if person.keys.iter().any(signed) {
            Ok(())
        } else {
            Err(Refusal::Signature { person: self.approver.clone() })
        }
    }
}
