//! What a look at the domain measures between two domain controllers, and what it says where it can't.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dkm::core::GroupId;
use dkm::core::policy::Policy;
use dkm_ad::doctor::{Area, Arrival, Conclusion, Options, Report, Subject, Verdict, examine};
use dkm_testbed::{Account, Domain, Scope};

use super::stage::{Stage, Test};
use super::two::{LIMITS, password, until, while_apart, while_stopped};

pub(crate) const TESTS: &[Test] = &[
    ("convergence_is_measured_both_ways", convergence_is_measured_both_ways),
    ("a_cut_link_gives_no_number", a_cut_link_gives_no_number),
    ("a_bound_below_a_slow_replication_is_refused", a_bound_below_a_slow_replication_is_refused),
    ("who_may_not_probe_is_told_so", who_may_not_probe_is_told_so),
    ("a_controller_that_is_down_is_told", a_controller_that_is_down_is_told),
];

/// Longer than replication takes on a busy machine.
const PATIENT: Duration = Duration::from_secs(120);

fn look(stage: &Stage, account: &Account, timeout: Duration, policy: Option<Policy>) -> Result<Report> {
    let repository = stage.open_with(stage.url().clone(), password(account), LIMITS)?;
    let subject = policy.map(|policy| Subject { group: GroupId([7; 16]), name: "mail".to_owned(), policy });
    Ok(examine(&repository, &Options { probe_timeout: Some(timeout), subject })?)
}

fn told(report: &Report, area: Area, verdict: Verdict, words: &str) -> bool {
    report
        .checks
        .iter()
        .any(|check| check.area == area && check.verdict == verdict && check.what.contains(words))
}

/// Probes that are still there, on any domain controller.
fn probes(stage: &Stage) -> Result<usize> {
    stage.with(|domain| {
        let mut count = 0;
        for controller in domain.controllers() {
            count += controller.search(domain.base(), Scope::Sub, "(displayName=dkm probe)", &["cn"])?.len();
        }
        Ok(count)
    })
}

fn convergence_is_measured_both_ways(stage: &Stage) -> Result<()> {
    stage.with(Domain::replicate)?;
    let report = look(stage, &stage.maker, PATIENT, Some(Policy::for_active_directory()))?;
    let ways: Vec<_> =
        report.convergence.ways.iter().map(|way| (way.from.as_str(), way.to.as_str())).collect();
    ensure!(ways == [("dc1.dkm.test", "dc2.dkm.test"), ("dc2.dkm.test", "dc1.dkm.test")], "{report}");
    let slowest = report.convergence.slowest_ms.context("nothing was measured")?;
    let took = |arrival: &Arrival| match arrival {
        Arrival::SeenAfterMs(took) => Some(*took),
        _ => None,
    };
    let all: Vec<u64> = report.convergence.ways.iter().filter_map(|way| took(&way.arrival)).collect();
    ensure!(all.len() == 2 && all.iter().max() == Some(&slowest), "{report}");
    // Four hours are enough for what takes seconds, and a day's delay for four hours.
    ensure!(told(&report, Area::Policy, Verdict::Good, "replication_bound is 14400s"), "{report}");
    ensure!(told(&report, Area::Policy, Verdict::Good, "activation_delay is 86400s"), "{report}");
    ensure!(report.conclusion == Conclusion::NothingWrong, "{report}");
    ensure!(report.lock_out.convergence_ms == Some(slowest), "{report}");
    ensure!(report.controllers.iter().all(|facts| facts.site.is_some() && facts.error.is_none()), "{report}");
    ensure!(report.controllers[0].invocation_id != report.controllers[1].invocation_id, "{report}");
    // What each says of the other is evidence beside it.
    ensure!(told(&report, Area::Convergence, Verdict::Note, "by its own word dc"), "{report}");
    until("no probe is left", || Ok(probes(stage)? == 0))
}

fn a_cut_link_gives_no_number(stage: &Stage) -> Result<()> {
    while_apart(stage, || {
        let timeout = Duration::from_secs(3);
        let report = look(stage, &stage.maker, timeout, None)?;
        ensure!(report.convergence.slowest_ms.is_none(), "{report}");
        let unseen = |arrival: &Arrival| matches!(arrival, Arrival::NotSeenForMs(ms) if *ms >= 3_000);
        ensure!(report.convergence.ways.len() == 2, "{report}");
        ensure!(report.convergence.ways.iter().all(|way| unseen(&way.arrival)), "{report}");
        ensure!(report.conclusion == Conclusion::Unavailable, "{report}");
        ensure!(report.lock_out.convergence_ms.is_none(), "{report}");
        // A bound that is longer than the wait is not refused for it, and not called sound either.
        let report = look(stage, &stage.maker, timeout, Some(Policy::for_active_directory()))?;
        ensure!(told(&report, Area::Policy, Verdict::NotChecked, "not every probe was seen"), "{report}");
        ensure!(report.conclusion == Conclusion::Unavailable, "{report}");
        // One that is shorter is.
        let report = look(stage, &stage.maker, timeout, Some(Stage::policy()))?;
        ensure!(told(&report, Area::Policy, Verdict::Wrong, "replication_bound is 1s"), "{report}");
        ensure!(report.conclusion == Conclusion::Wrong, "{report}");
        Ok(())
    })?;
    until("no probe is left", || Ok(probes(stage)? == 0))
}

fn a_bound_below_a_slow_replication_is_refused(stage: &Stage) -> Result<()> {
    let policy = Stage::policy();
    let slow = Duration::from_millis(policy.replication_bound_ms);
    let report = while_apart(stage, || {
        thread::scope(|scope| {
            let looking = scope.spawn(|| look(stage, &stage.maker, PATIENT, Some(policy.clone())));
            until("a probe on each side", || Ok(probes(stage)? == 2))?;
            // Slow for certain: what is there now has not replicated for longer than the policy allows.
            let since = Instant::now();
            while since.elapsed() < slow {
                thread::sleep(slow.saturating_sub(since.elapsed()));
            }
            stage.with(Domain::link_up)?;
            looking.join().map_err(|_| anyhow::anyhow!("looking failed"))?
        })
    })?;
    let slowest = report.convergence.slowest_ms.context("nothing was measured")?;
    ensure!(slowest >= policy.replication_bound_ms, "{report}");
    ensure!(report.conclusion == Conclusion::Wrong, "{report}");
    let refused = report
        .checks
        .iter()
        .find(|check| check.verdict == Verdict::Wrong && check.what.starts_with("replication_bound is 1s"))
        .context("not refused")?;
    let advice = refused.advice.clone().unwrap_or_default();
    ensure!(advice.starts_with("dkm policy set -g mail replication_bound="), "{advice}");
    until("no probe is left", || Ok(probes(stage)? == 0))
}

fn who_may_not_probe_is_told_so(stage: &Stage) -> Result<()> {
    let outsider = stage.account("outsider")?;
    stage.with(Domain::replicate)?;
    let report = look(stage, &outsider, PATIENT, Some(Policy::for_active_directory()))?;
    ensure!(report.convergence.ways.is_empty() && report.convergence.slowest_ms.is_none(), "{report}");
    ensure!(told(&report, Area::Convergence, Verdict::NotChecked, "may not make containers"), "{report}");
    ensure!(told(&report, Area::Policy, Verdict::NotChecked, "may not make containers"), "{report}");
    ensure!(told(&report, Area::Convergence, Verdict::Note, "by its own word"), "{report}");
    ensure!(report.conclusion == Conclusion::NotMeasured, "{report}");
    ensure!(probes(stage)? == 0, "it left probes");
    Ok(())
}

fn a_controller_that_is_down_is_told(stage: &Stage) -> Result<()> {
    while_stopped(stage, 1, || {
        let report = look(stage, &stage.maker, Duration::from_secs(1), None)?;
        ensure!(report.controllers[1].error.is_some() && report.controllers[0].error.is_none(), "{report}");
        ensure!(
            told(&report, Area::Controllers, Verdict::Warning, "dc2.dkm.test was not looked at"),
            "{report}"
        );
        ensure!(report.convergence.ways.is_empty() && report.convergence.slowest_ms.is_none(), "{report}");
        ensure!(report.conclusion == Conclusion::Unavailable, "{report}");
        Ok(())
    })
}
