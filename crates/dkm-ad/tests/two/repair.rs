//! A readers group that is replaced on one domain controller, or on both while they don't hear of each other.

use std::ops::ControlFlow;

use anyhow::{Context as _, Result, ensure};
use dkm::ErrorKind;
use dkm::blocking::Group;
use dkm::core::Room;
use dkm::core::policy::Policy;
use dkm_ad::repair::{Limits, Report, Task, carry_out};
use dkm_ad::{AdUrl, Identity};
use dkm_testbed::{Account, Domain, Group as Readers, Scope};

use super::stage::{Stage, Test};
use super::two::{
    LIMITS, client_at, context, fails, new_group, opens, protecting, readers, url_of, while_apart,
};

pub(crate) const TESTS: &[Test] = &[
    ("readers_replaced_on_one_controller_are_on_the_other", replaced_on_one_controller_are_on_the_other),
    ("readers_are_replaced_on_both_while_they_are_apart", replaced_on_both_while_apart),
];

/// A group, who reads it, who is to read it, and who sees to that.
struct Scene<'a> {
    stage: &'a Stage,
    old: Account,
    new: Account,
    to: Readers,
    operator: Account,
    recovery: Readers,
    group: Group,
    blob: Vec<u8>,
}

impl<'a> Scene<'a> {
    fn new(stage: &'a Stage, name: &str) -> Result<Self> {
        let (old, new) = (stage.account("svc-old")?, stage.account("svc-new")?);
        let operator = stage.account("operator")?;
        let from = readers(stage, &[&stage.maker, &old])?;
        let to = readers(stage, &[&stage.maker, &new])?;
        // A rolled key waits for so long that the first one protects until the end.
        let policy = Policy { min_replicas: 1, ..Stage::policy() };
        let group =
            client_at(stage, &stage.maker, 0)?.create_group(new_group(name, policy, &stage.maker, &from))?;
        let blob = group.protect(&context(), b"secret")?;
        let dn = format!("CN=recovery,{}", stage.url().container_dn());
        let recovery = Readers { sam: String::new(), sid: String::new(), dn };
        stage.with(|domain| {
            domain.add_member(&recovery, &operator.dn)?;
            domain.replicate()
        })?;
        Ok(Self { stage, old, new, to, operator, recovery, group, blob })
    }

    fn replace(&self, url: AdUrl) -> Result<Report> {
        let operator = &self.operator;
        let identity = Identity::Password {
            principal: operator.principal.clone(),
            password: operator.password.clone().into(),
        };
        let repository = self.stage.open_with(url, identity, LIMITS)?;
        let task = Task::ReplaceReaders { to: self.to.sam.clone() };
        let report = carry_out(&repository, self.group.id(), &task, Limits::default(), &mut |_| {
            ControlFlow::Continue(())
        })?;
        ensure!(report.controllers.iter().all(|done| done.left.is_empty()), "{report:?}");
        Ok(report)
    }

    /// On a domain controller the new readers read everything, and the old ones nothing.
    fn is_done_at(&self, number: usize) -> Result<()> {
        let id = self.group.id().to_string();
        let error = fails(client_at(self.stage, &self.old, number)?.group(&id))?;
        ensure!(error.kind() == ErrorKind::NotFound, "{error}");
        for account in [&self.new, &self.stage.maker] {
            let group = client_at(self.stage, account, number)?.group(&id)?;
            opens(&group, &self.blob, b"secret")?;
            let view = group.view()?;
            ensure!(view.ring.findings.is_empty() && view.unread.is_empty(), "{:?}", view.ring.findings);
            ensure!(protecting(&group)? == protecting(&self.group)?);
        }
        Ok(())
    }

    /// Who has access, and each object's descriptor, as a domain controller has them.
    fn state(&self, number: usize) -> Result<Vec<String>> {
        let rooms = Room::ALL.map(|room| self.stage.room(self.group.id(), room));
        self.stage.with(|domain| {
            let controller = domain.controllers().get(number).context("no such controller")?;
            let mut state = Vec::new();
            for room in rooms {
                let room = room?;
                for found in controller.search(&room, Scope::Sub, "(objectClass=*)", &["description"])? {
                    let mut roles = found.attributes.get("description").cloned().unwrap_or_default();
                    roles.sort();
                    state.push(format!("{} {roles:?} {}", found.dn, controller.descriptor(&found.dn)?));
                }
            }
            state.sort();
            Ok(state)
        })
    }

    fn end(&self) -> Result<()> {
        self.stage.with(|domain| {
            domain.remove_member(&self.recovery, &self.operator.dn)?;
            domain.replicate()
        })
    }
}

fn replaced_on_one_controller_are_on_the_other(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage, "replaced-on-one")?;
    let report = scene.replace(url_of(stage, 0))?;
    ensure!(report.controllers.len() == 1, "{report:?}");
    scene.is_done_at(0)?;
    stage.with(Domain::replicate)?;
    scene.is_done_at(1)?;
    ensure!(scene.state(0)? == scene.state(1)?);
    // Where it has arrived there is nothing left to do.
    let report = scene.replace(stage.url().clone())?;
    ensure!(report.controllers.iter().all(|done| done.written == 0 && done.failure.is_none()), "{report:?}");
    scene.end()
}

fn replaced_on_both_while_apart(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage, "replaced-apart")?;
    let made = while_apart(stage, || {
        // A key that the first domain controller knows nothing of.
        let there = client_at(stage, &stage.maker, 1)?.group(&scene.group.id().to_string())?;
        let made = there.roll("while they are apart")?.key;
        let report = scene.replace(stage.url().clone())?;
        ensure!(report.controllers.len() == 2, "{report:?}");
        ensure!(
            report.controllers.iter().all(|done| done.written > 0 && done.failure.is_none()),
            "{report:?}"
        );
        scene.is_done_at(0)?;
        scene.is_done_at(1)?;
        Ok(made)
    })?;
    stage.with(Domain::replicate)?;
    for number in 0..2 {
        scene.is_done_at(number)?;
        let group = client_at(stage, &scene.new, number)?.group(&scene.group.id().to_string())?;
        let view = group.view()?;
        let key = view.ring.key(made).context("the key that was made apart has not come")?;
        ensure!(key.distrust.is_none(), "{key:?}");
    }
    ensure!(scene.state(0)? == scene.state(1)?, "{:?}\n{:?}", scene.state(0)?, scene.state(1)?);
    scene.end()
}
