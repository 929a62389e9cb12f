//! The steps, on one domain controller.

use dkm_core::GroupId;

use super::survey::{Kind, Object, Survey};
use super::{Change, Deviant, Done, Left, Limits, Progress, RepairError, Task};
use crate::accounts;
use crate::ldap::{INSUFFICIENT_ACCESS, LdapError, NO_SUCH_OBJECT, Search};
use crate::replica::AdReplica;
use crate::repository::AdRepository;
use crate::security::{Deviation, Sid, Trustees};

/// How often everything is read and put right before what still differs is given up: creators may add in between.
const PASSES_MAX: usize = 5;
/// `GROUP_TYPE_SECURITY_ENABLED`, MS-ADTS §2.2.12.
const SECURITY_ENABLED: i64 = 0x8000_0000;
/// Groups that a domain comes with have lower numbers.
const OWN_GROUPS: u32 = 1000;

/// Work on one domain controller.
pub(super) struct Work {
    replica: AdReplica,
    group: GroupId,
    limits: Limits,
    pub(super) survey: Survey,
    done: Done,
}

/// Which objects a step is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Records,
    Holders,
    All,
}

impl Part {
    const fn has(self, kind: Kind) -> bool {
        match self {
            Self::Records => matches!(kind, Kind::Record(_)),
            Self::Holders => kind.holds_others(),
            Self::All => true,
        }
    }
}

impl Work {
    /// Reads the group on a domain controller. Nothing is changed yet.
    pub(super) fn begin(
        repository: &AdRepository,
        number: usize,
        group: GroupId,
        limits: Limits,
    ) -> Result<Self, RepairError> {
        let mut replica = repository.shared().connect(number)?;
        let survey = Survey::take(&mut replica, group)?;
        let mut done = Done {
            controller: repository.shared().place(number),
            objects: survey.objects.len(),
            ..Done::default()
        };
        for object in &survey.objects {
            let kept = object.refusals(&survey.trustees, limits.refusals);
            done.refusals_kept.extend(kept.iter().map(|entry| format!("{} on {}", entry.trustee, object.dn)));
        }
        Ok(Self { replica, group, limits, survey, done })
    }

    /// Does the task. Answers the readers group and those that it replaced.
    pub(super) fn run(
        mut self,
        task: &Task,
        progress: Progress<'_>,
    ) -> Result<(Sid, Vec<Sid>, Done), RepairError> {
        let target = self.target(task)?;
        self.must_be_in_recovery()?;
        self.done.deviants = deviants(&self.survey, &target, self.limits);
        self.done.creators_outside = self.creators_outside(&target)?;
        let replaced = target.former.clone();
        if !replaced.is_empty() {
            self.write_down(&target, progress)?;
            self.settle(Part::Records, &target, &replaced, progress)?;
            self.settle(Part::Holders, &target.settled(), &[], progress)?;
            self.settle(Part::Records, &target.settled(), &[], progress)?;
            self.write_down(&target.settled(), progress)?;
        }
        self.settle(Part::All, &target.settled(), &[], progress)?;
        self.note_owners();
        Ok((target.readers, replaced, self.done))
    }

    /// Who should have access once it is done, and which readers groups that replaces.
    pub(super) fn target(&mut self, task: &Task) -> Result<Trustees, RepairError> {
        let trustees = self.survey.trustees.clone();
        let Task::ReplaceReaders { to } = task else {
            if trustees.former.is_empty() {
                return Ok(trustees);
            }
            let readers = self.named(trustees.readers);
            return Err(RepairError::Unfinished { group: self.group, readers });
        };
        let to = self.readers_group(to)?;
        let mut former = trustees.former.clone();
        former.push(trustees.readers);
        former.retain(|sid| *sid != to);
        former.sort();
        former.dedup();
        Ok(Trustees { readers: to, former, ..trustees })
    }

    /// The group that is to read: one of those that may be in a ticket, and that somebody is in.
    fn readers_group(&mut self, name: &str) -> Result<Sid, RepairError> {
        let no = |why: &str| RepairError::NoReaders { name: name.to_owned(), why: why.to_owned() };
        let domain = self.replica.shared.url.domain_dn();
        let found = accounts::find(&mut self.replica.connection, &domain, name)
            .map_err(self.replica.error(name))?
            .map_err(|why| no(&why))?;
        let search = Search::base(found.dn.as_str(), vec!["groupType", "member"]);
        let object = self.replica.connection.find(&search).map_err(self.replica.error(name))?;
        let kind = object.as_ref().and_then(|object| object.text("groupType")?.parse::<i64>().ok());
        let Some(kind) = kind else { return Err(no("it is no group")) };
        if kind & SECURITY_ENABLED == 0 {
            return Err(no("it is a distribution group, which is in nobody's ticket"));
        }
        let trustees = &self.survey.trustees;
        let is_own = found.sid.parent() == Some(trustees.domain.sid)
            && found.sid.rid().is_some_and(|rid| rid >= OWN_GROUPS);
        if !is_own {
            return Err(no("it is one of those that the domain came with; make one for the purpose"));
        }
        if found.sid == trustees.recovery {
            return Err(no("it is the recovery group"));
        }
        let is_empty =
            object.is_none_or(|object| object.bytes("member").is_none() && !object.is_cut("member"));
        if is_empty && !self.limits.even_if_empty {
            return Err(no("nobody is in it, so nobody would read the keys; put the members in first"));
        }
        Ok(found.sid)
    }

    /// So that whoever is not learns it in plain words and before anything is changed. What decides is the access control.
    fn must_be_in_recovery(&mut self) -> Result<(), RepairError> {
        let recovery = self.survey.trustees.recovery;
        if self.replica.greeting.token.contains(&recovery) {
            return Ok(());
        }
        Err(RepairError::NotInRecovery { recovery: self.named(recovery) })
    }

    /// A SID with the name that this account sees.
    fn named(&mut self, sid: Sid) -> String {
        let domain = self.replica.shared.url.domain_dn();
        match accounts::find(&mut self.replica.connection, &domain, &sid.to_string()) {
            Ok(Ok(account)) => account.name.map_or_else(|| sid.to_string(), |name| format!("{sid} ({name})")),
            _ => sid.to_string(),
        }
    }

    /// Writes down who has access, unless that is what is written down.
    fn write_down(&mut self, target: &Trustees, progress: Progress<'_>) -> Result<(), RepairError> {
        if self.survey.trustees == *target {
            return Ok(());
        }
        let change = Change::roles(&self.survey.control, target);
        if let Err(error) = self.write(&change, progress)? {
            if error.code() != Some(INSUFFICIENT_ACCESS) {
                return Err(self.replica.error(&change.dn)(error).into());
            }
            // The room does not let the recovery group write it down: that is put right first, with both groups in it.
            let both = |object: &&Object| object.kind == Kind::Room(dkm_core::Room::Control);
            let control = self.survey.objects.iter().find(both);
            let dacl = control.map(|control| {
                let template = control.template(target, self.limits.refusals);
                Change::dacl(&control.dn, &template, &target.domain)
            });
            for change in dacl.transpose()?.into_iter().chain([change]) {
                self.write(&change, progress)?.map_err(self.replica.error(&change.dn))?;
            }
        }
        self.survey = Survey::take(&mut self.replica, self.group)?;
        if self.survey.trustees == *target {
            return Ok(());
        }
        let why = format!(
            "what was written to {} does not read back: somebody else changes it",
            self.survey.control
        );
        Err(self.replica.shared.odd(self.replica.number, &why).into())
    }

    /// Gives objects the DACL of their templates and reads them back, until nothing differs. `spared` are former readers
    /// whose entries need not be there.
    fn settle(
        &mut self,
        part: Part,
        trustees: &Trustees,
        spared: &[Sid],
        progress: Progress<'_>,
    ) -> Result<(), RepairError> {
        let mut left = Vec::new();
        for pass in 0.. {
            left.clear();
            let mut changes = Vec::new();
            for object in self.survey.objects.iter().filter(|object| part.has(object.kind)) {
                match object.deviations(trustees, self.limits.refusals) {
                    None => left.push(self.unreadable(&object.dn)),
                    Some(deviations) if deviations.iter().all(|deviation| is_spared(deviation, spared)) => {}
                    Some(deviations) if pass >= PASSES_MAX => {
                        let why = deviations.first().map_or_else(String::new, ToString::to_string);
                        left.push(Left {
                            dn: object.dn.clone(),
                            why: format!("it differs again and again: {why}"),
                        });
                    }
                    Some(_) => {
                        let template = object.template(trustees, self.limits.refusals);
                        changes.push(Change::dacl(&object.dn, &template, &trustees.domain)?);
                    }
                }
            }
            if part.has(Kind::Container) {
                left.extend(self.survey.unseen.iter().map(|dn| self.unseen(dn)));
            }
            if changes.is_empty() {
                break;
            }
            let mut refused = Vec::new();
            let count = changes.len();
            for change in changes {
                match self.write(&change, progress)? {
                    // Renamed or erased since: the next look tells.
                    Err(error) if error.code() == Some(NO_SUCH_OBJECT) => {}
                    Err(error) => refused.push(Left { dn: change.dn, why: refusal(&error) }),
                    Ok(()) => {}
                }
            }
            self.survey = Survey::take(&mut self.replica, self.group)?;
            if refused.len() == count {
                left.extend(refused);
                break;
            }
        }
        if !left.is_empty() && !self.limits.leave_behind && part != Part::All {
            return Err(RepairError::LeftBehind { controller: self.done.controller.clone(), left });
        }
        for left in left {
            if !self.done.left.contains(&left) {
                self.done.left.push(left);
            }
        }
        Ok(())
    }

    /// Writes a change; the inner result is the domain controller's.
    fn write(
        &mut self,
        change: &Change,
        progress: Progress<'_>,
    ) -> Result<Result<(), LdapError>, RepairError> {
        if progress(self.done.written).is_break() {
            return Err(RepairError::Ended { written: self.done.written });
        }
        match change.write(&mut self.replica.connection) {
            Ok(()) => {
                self.done.written += 1;
                Ok(Ok(()))
            }
            Err(error) if error.is_fatal() => Err(self.replica.error(&change.dn)(error).into()),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Creators who will not be able to read what they make, if the readers group is to be another.
    pub(super) fn creators_outside(&mut self, target: &Trustees) -> Result<Vec<String>, RepairError> {
        let mut outside = Vec::new();
        if target.former.is_empty() {
            return Ok(outside);
        }
        for creator in &target.creators {
            let is_outside = *creator != target.readers
                && self.replica.token_of(*creator)?.is_some_and(|token| !token.contains(&target.readers));
            if is_outside {
                outside.push(self.named(*creator));
            }
        }
        Ok(outside)
    }

    /// Owners that only whoever takes ownership can change.
    fn note_owners(&mut self) {
        let owned = |object: &&Object| object.owner().is_some_and(|owner| self.survey.taken.contains(&owner));
        let keys: Vec<Left> = self
            .survey
            .objects
            .iter()
            .filter(|object| object.kind == Kind::Record(dkm_core::Room::Keys))
            .filter(owned)
            .map(|object| Left {
                dn: object.dn.clone(),
                why: "an administrator owns it, who must have taken it, so it does not protect; only whoever may set \
                      owners can give it back"
                    .to_owned(),
            })
            .collect();
        self.done.left.extend(keys);
    }

    fn unreadable(&self, dn: &str) -> Left {
        Left {
            dn: dn.to_owned(),
            why: "the recovery group may not read its descriptor: only its owner, or an administrator who takes \
                  ownership, can give it back"
                .to_owned(),
        }
    }

    fn unseen(&self, dn: &str) -> Left {
        Left {
            dn: dn.to_owned(),
            why:
                "this account does not see it: it must be allowed to list the repository's container, which \
                  dkm ad init lets the recovery group do"
                    .to_owned(),
        }
    }
}

/// The objects that differ from what they should be. Readers groups that are replaced are no deviation.
pub(super) fn deviants(survey: &Survey, target: &Trustees, limits: Limits) -> Vec<Deviant> {
    let mut deviants = Vec::new();
    for object in &survey.objects {
        let deviations = object.deviations(target, limits.refusals).unwrap_or_default();
        let spared: Vec<Sid> = target.all_readers().copied().collect();
        let deviations: Vec<_> = deviations
            .iter()
            .filter(|deviation| target.former.is_empty() || !is_spared(deviation, &spared))
            .collect();
        if deviations.is_empty() {
            continue;
        }
        deviants.push(Deviant {
            dn: object.dn.clone(),
            key: object.key.clone(),
            was_open: deviations.iter().any(|deviation| deviation.widens()),
            deviations: deviations.iter().map(ToString::to_string).collect(),
        });
    }
    deviants
}

fn is_spared(deviation: &Deviation, spared: &[Sid]) -> bool {
    matches!(deviation, Deviation::MissingRights { granted } if spared.contains(&granted.trustee))
}

fn refusal(error: &LdapError) -> String {
    match error.code() {
        Some(INSUFFICIENT_ACCESS) => {
            "its DACL does not let the recovery group write it: only its owner, or an \
                                      administrator who takes ownership, can"
                .to_owned()
        }
        _ => error.to_string(),
    }
}
