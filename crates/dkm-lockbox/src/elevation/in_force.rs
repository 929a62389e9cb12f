//! What is in force, and what it lets people ask for.

use dkm_core::policy::PolicyChain;
use dkm_core::record::{ApprovalLevel, BreakGlass, ElevationRules};
use dkm_core::roster::{Roster, RosterChain, RosterVersion};
use dkm_core::{Digest, GroupId, InstanceId};

use crate::answer::Verify;
use crate::refusal::Refusal;
use crate::request::{Mode, Request};

/// What is in force in a group at a server, now. A request made under anything else is void.
#[derive(Clone, Copy)]
pub struct InForce<'a> {
    /// The server.
    pub instance: InstanceId,
    /// The group.
    pub group: GroupId,
    /// Digests of the policies in force, sorted.
    pub policy: &'a [Digest],
    /// Digests of the rosters in force, sorted.
    pub rosters: &'a [Digest],
    /// What the rosters come to.
    pub roster: &'a Roster,
    /// All versions of the roster that count.
    pub versions: &'a [RosterVersion],
    /// How signatures are verified.
    pub verify: Verify<'a>,
}

impl<'a> InForce<'a> {
    /// What the group's chains say; none while there is no policy, or no roster in force.
    #[must_use]
    pub fn new(
        instance: InstanceId,
        group: GroupId,
        policy: &'a PolicyChain,
        roster: &'a RosterChain,
        verify: Verify<'a>,
    ) -> Option<Self> {
        policy.effective()?;
        let (rosters, versions) = (roster.in_force(), roster.versions());
        Some(Self {
            instance,
            group,
            policy: policy.heads(),
            rosters,
            roster: roster.effective()?,
            versions,
            verify,
        })
    }

    /// The rules of elevated access.
    pub(super) fn rules(&self) -> Result<&'a ElevationRules, Refusal> {
        self.roster.elevation.as_ref().ok_or(Refusal::NotAllowed { what: "elevated access" })
    }

    fn break_glass(&self) -> Result<&'a BreakGlass, Refusal> {
        self.rules()?.break_glass.as_ref().ok_or(Refusal::NotAllowed { what: "emergency access" })
    }

    /// How long after the end of an emergency's grant it may be left without a review, in milliseconds.
    pub(super) fn review_within_ms(&self) -> u64 {
        self.break_glass().map_or(0, |rules| rules.review_within_ms)
    }

    /// The rosters whose people may have signed what belongs to a request: that in force, and those of when it was made.
    pub(crate) fn of_then(&self, request: &Request) -> impl Iterator<Item = &'a Roster> {
        let then = self.versions.iter().filter(|version| request.roster.contains(&version.digest));
        std::iter::once(self.roster)
            .chain(then.map(|version| &version.roster))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// The one person who has an account.
    pub(crate) fn person_of(&self, account: &str) -> Result<&'a str, Refusal> {
        let has = |accounts: &[String]| accounts.iter().any(|known| known == account);
        let mut people = self.roster.persons.iter().filter(|person| has(&person.accounts));
        match (people.next(), people.next()) {
            (Some(person), None) => Ok(&person.id),
            _ => Err(Refusal::UnknownPerson { account: account.to_owned() }),
        }
    }

    /// How long a request that is made now may wait, in milliseconds, and an approved one, in seconds.
    pub(crate) fn waits(&self) -> Result<(u64, u64), Refusal> {
        // A window of less than a second is one second: zero would be none.
        self.rules().map(|rules| (rules.untouched_ms, (rules.activation_window_ms / 1_000).max(1)))
    }

    /// The levels that must approve a request, in their order; whether it was made under just this policy and roster is
    /// not looked at.
    ///
    /// # Errors
    /// It is not as a request must be, was made elsewhere or in another's name, or the roster does not allow it.
    pub(crate) fn permit(&self, request: &Request) -> Result<Vec<&'a ApprovalLevel>, Refusal> {
        request.check()?;
        self.must_be_here(request)?;
        let person = self.person_of(&request.requester.account)?;
        if person != request.requester.person {
            return Err(Refusal::NotYours { person: person.to_owned(), what: "ask in another's name" });
        }
        let levels = self.levels(request)?;
        let max_ms = match request.break_glass {
            true => self.break_glass()?.duration_max_ms,
            false => self.rules()?.duration_max_ms,
        };
        if request.duration_s.saturating_mul(1_000) > max_ms {
            return Err(Refusal::TooLong { asked_s: request.duration_s, max_s: max_ms / 1_000 });
        }
        let (untouched_ms, window_s) = self.waits()?;
        if request.not_after != request.made.plus(untouched_ms) || request.activation_window_s != window_s {
            return Err(Refusal::NotAllowed { what: "a request to wait for another time than its own" });
        }
        Ok(levels)
    }

    /// That a request was made to this server, for this group.
    pub(crate) fn must_be_here(&self, request: &Request) -> Result<(), Refusal> {
        if request.instance != self.instance {
            return Err(Refusal::Elsewhere { what: "server" });
        }
        if request.group != self.group {
            return Err(Refusal::Elsewhere { what: "group" });
        }
        Ok(())
    }

    fn levels(&self, request: &Request) -> Result<Vec<&'a ApprovalLevel>, Refusal> {
        let not_allowed = |what| Refusal::NotAllowed { what };
        let direct = self.rules()?.direct.as_deref();
        let levels: Vec<&ApprovalLevel> = match (request.break_glass, request.mode) {
            (true, Mode::Direct) if direct.is_none() || !self.break_glass()?.direct => {
                return Err(not_allowed("direct access in an emergency"));
            }
            (true, _) => self.break_glass()?.levels.iter().collect(),
            (false, Mode::Brokered) => self.roster.levels.iter().collect(),
            (false, Mode::Direct) => {
                let direct = direct.ok_or(not_allowed("direct access"))?;
                if self.roster.levels.is_empty() {
                    return Err(not_allowed("access that nobody approves"));
                }
                self.roster.levels.iter().chain(direct).collect()
            }
        };
        // Without levels every level would approve: nobody's approval must not be enough.
        if levels.is_empty() { Err(not_allowed("access that nobody approves")) } else { Ok(levels) }
    }

    /// Whether a person approves at one of these levels or at the roster's, or may end grants.
    pub(super) fn is_overseer(&self, person: &str, levels: &[&ApprovalLevel]) -> bool {
        let revokes = self.rules().is_ok_and(|rules| rules.revokers.iter().any(|id| id == person));
        let approves = |level: &ApprovalLevel| level.approvers.iter().any(|id| id == person);
        revokes || self.roster.levels.iter().chain(levels.iter().copied()).any(approves)
    }
}
