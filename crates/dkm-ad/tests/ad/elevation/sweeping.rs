//! What is cleared away, after the end or after a process was killed.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use dkm::core::{RequestId, Timestamp};
use dkm_ad::elevation::{HALF_MADE_AFTER_MS, Step};
use dkm_testbed::Scope;

use super::{LONG_MS, Scene, now, request, sign_in};
use crate::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    // They sweep with a clock that is ahead, and would end what others hold.
    ("alone_elevation_sweep_removes_what_has_ended_alone", sweep_removes_what_has_ended_alone),
    ("alone_elevation_killed_in_between_leaves_nothing", killed_in_between_leaves_nothing),
];

fn sweep_removes_what_has_ended_alone(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let before = stage.with(|domain| domain.descriptor(&scene.objects.keys))?;
    let (ended, early, live) = (request(), request(), request());
    let start = now();
    let first = scene.issue(ended, LONG_MS)?;
    let revoked = scene.issue(early, LONG_MS)?;
    let stays = scene.issue(live, 2 * LONG_MS)?;
    scene.elevator.revoke(scene.id(), early)?;
    ensure!(!swept(&scene, start)?.contains(&ended));
    ensure!(scene.members()? == 2);
    let gone = scene.elevator.sweep(start.plus(LONG_MS + 60_000))?;
    let first_gone = gone.iter().find(|gone| gone.account == first.tickets.account).context("it is left")?;
    ensure!(first_gone.request == Some(ended) && first_gone.group == Some(scene.id()), "{first_gone:?}");
    ensure!(scene.account(&first.tickets.account)?.is_none() && scene.members()? == 1);
    // Its tickets, whose end has not come in truth, are refused still.
    ensure!(!gone.iter().any(|gone| gone.account == revoked.tickets.account) && !revoked.reads()?);
    stays.unprotects()?;
    ensure!(swept(&scene, start.plus(LONG_MS + 700_000))?.contains(&early));
    ensure!(scene.account(&revoked.tickets.account)?.is_none());
    ensure!(stage.with(|domain| domain.descriptor(&scene.objects.keys))? == before, "no trace is left");
    stays.unprotects()?;
    // Another's refusals are not ours to take away, nor other accounts in the container, of a newer program say.
    let operator = "(D;;RPLCLORC;;;S-1-5-21-1-2-3-4)";
    let dn = format!("CN=dkm-t-newer,CN=temporary,{}", stage.url().container_dn());
    stage.with(|domain| {
        domain
            .set_descriptor(&scene.objects.keys, &before.replacen("D:PAI", &format!("D:PAI{operator}"), 1))?;
        domain.modify_ldif(&format!(
            "dn: {dn}\nchangetype: add\nobjectClass: user\nsAMAccountName: dkm-t-newer\n\
             description: dkm temporary access 2: whatever\n"
        ))
    })?;
    ensure!(swept(&scene, start.plus(3 * LONG_MS))?.contains(&live));
    let kept = stage.with(|domain| domain.descriptor(&scene.objects.keys))?;
    ensure!(kept.contains(operator), "{kept}");
    ensure!(scene.account("dkm-t-newer")?.is_some() && scene.members()? == 0);
    stage.with(|domain| domain.delete(&dn))?;
    ensure!(scene.elevator.sweep(start.plus(3 * LONG_MS))?.is_empty(), "once is enough");
    scene.others_go_on()
}

fn swept(scene: &Scene<'_>, at: Timestamp) -> Result<Vec<RequestId>> {
    Ok(scene.elevator.sweep(at)?.into_iter().filter_map(|gone| gone.request).collect())
}

fn killed_in_between_leaves_nothing(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let steps = [Step::Made, Step::Member, Step::Enabled, Step::Ticketed, Step::Disabled];
    for last in steps {
        let request = request();
        let start = now();
        let mut killed = |step| if step == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let until = start.plus(LONG_MS);
        let result = scene.elevator.issue_stepwise(scene.id(), request, until, &mut killed);
        ensure!(result.is_err(), "{last:?}");
        let left = leftovers()?;
        ensure!(left.is_empty(), "{last:?}: {left:?}");
        let filter = format!("(description=*{request}*)");
        let look = || {
            let wanted = ["sAMAccountName", "description", "userAccountControl"];
            stage.with(|domain| domain.search(domain.base(), Scope::Sub, &filter, &wanted))
        };
        let found = look()?;
        let found = found.first().context("no account")?;
        let name = found.text("sAMAccountName").context("no name")?;
        // Nobody can sign in: it is disabled, or only the process knew its password.
        let realm = stage.with(|domain| Ok(domain.realm().to_owned()))?;
        for password in ["", "password", &name, &request.to_string()] {
            sign_in(stage, &format!("{name}@{realm}"), password)?;
        }
        let is_enabled = found.text("userAccountControl").as_deref() == Some("1049088");
        ensure!(is_enabled == matches!(last, Step::Enabled | Step::Ticketed), "{last:?} {found:?}");
        // One that is just being made is let be. Later it is taken for what it is, but not where it was finished.
        ensure!(!swept(&scene, start)?.contains(&request), "{last:?}");
        let later = swept(&scene, start.plus(HALF_MADE_AFTER_MS + 60_000))?;
        ensure!(later.contains(&request) == (last != Step::Disabled), "{last:?}: {later:?}");
        if last == Step::Disabled {
            ensure!(swept(&scene, until.plus(60_000))?.contains(&request));
        }
        ensure!(look()?.is_empty() && scene.members()? == 0, "{last:?}");
        // And the same request goes through afterwards.
        scene.issue(request, LONG_MS)?.unprotects()?;
        scene.elevator.sweep(until.plus(LONG_MS))?;
    }
    scene.others_go_on()
}

/// Folders in which tickets were fetched.
fn leftovers() -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/dev/shm")? {
        let path = entry?.path();
        // Tests of this program's own parts use the place, too, with names of their own.
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("dkm-elevation-")) {
            left.push(path);
        }
    }
    Ok(left)
}
