//! A group's policy beside what was measured. A bound or a delay below that is refused: clients would use keys that
//! others have not read yet.

use dkm_core::policy::Policy;
use dkm_core::time::SECOND_MS;

use super::Subject;
use super::report::{Area, Convergence, Draft};
use super::text::{about, exact};

/// How many times the slowest replication seen a policy must allow for. A few probes on an ordinary day do not see the
/// worst one.
pub const SAFETY_FACTOR: u64 = 2;
/// In which times the lead window must hold the replication bound; the policy's own check has the last word.
const LEAD_PER_BOUND: u64 = 20;

/// Compares a policy with what was measured. What was measured on some ways only refuses a policy, and proves none.
pub(super) fn compare(subject: &Subject, convergence: &Convergence, draft: &mut Draft) {
    let policy = &subject.policy;
    if let Err(error) = policy.validate() {
        let what = format!("the policy does not hold together: {error}");
        draft.wrong(Area::Policy, what, "dkm policy set");
    }
    let refused = convergence.slowest_seen_ms().is_some_and(|slowest| measured(subject, slowest, draft));
    let unseen = convergence.more_than_ms().is_some_and(|longer| unseen(policy, longer, draft));
    if convergence.slowest_ms.is_none() && !refused && !unseen {
        draft.not_checked(
            Area::Policy,
            "whether replication_bound and activation_delay are long enough",
            convergence.not_measured.as_deref().unwrap_or("nothing was measured"),
            "see above, and run it again",
        );
    }
    if let (Some(slowest), false) = (convergence.slowest_ms, refused) {
        let needed = needed(slowest);
        let what = format!("replication_bound is {}; {}", exact(policy.replication_bound_ms), found(slowest));
        draft.good(Area::Policy, what);
        let what = format!(
            "activation_delay is {}; what was measured needs {}",
            exact(policy.activation_delay_ms),
            parts(policy, needed)
        );
        draft.good(Area::Policy, what);
    }
}

/// Holds the slowest way that was seen against the policy; whether it refuses it.
fn measured(subject: &Subject, slowest: u64, draft: &mut Draft) -> bool {
    let (policy, needed) = (&subject.policy, needed(slowest));
    let short_bound = policy.replication_bound_ms < needed;
    if short_bound {
        let what =
            format!("replication_bound is {}, below {}", exact(policy.replication_bound_ms), found(slowest));
        draft.wrong(Area::Policy, what, repair(subject, needed));
    }
    let short_delay = policy.activation_delay_ms < delay_needed(policy, needed);
    if short_delay {
        let what = format!(
            "activation_delay is {}, below what was measured needs: {}",
            exact(policy.activation_delay_ms),
            parts(policy, needed)
        );
        draft.wrong(Area::Policy, what, repair(subject, needed));
    }
    short_bound || short_delay
}

/// Holds what was waited for in vain against the policy; whether it refuses it.
fn unseen(policy: &Policy, longer: u64, draft: &mut Draft) -> bool {
    if longer < policy.replication_bound_ms {
        return false;
    }
    let what = format!(
        "replication_bound is {}, and a probe was not there after {}: clients may use keys that others lack",
        exact(policy.replication_bound_ms),
        about(longer)
    );
    let advice = "have the domain controllers replicate, and run it again; where they do so by a schedule, set \
                  replication_bound to what that takes";
    draft.wrong(Area::Policy, what, advice);
    true
}

fn found(slowest: u64) -> String {
    format!("{} measured, {} with a safety factor of {SAFETY_FACTOR}", about(slowest), exact(needed(slowest)))
}

/// The delay that is needed, and of what it is made.
fn parts(policy: &Policy, needed: u64) -> String {
    format!(
        "{} = replication {} + refresh {} + 2 × io_deadline {} + 2 × clock_skew {}",
        exact(delay_needed(policy, needed)),
        exact(needed),
        exact(policy.refresh_interval_max_ms()),
        exact(policy.io_deadline_ms),
        exact(policy.clock_skew_ms)
    )
}

/// What a policy must allow for, in whole seconds.
fn needed(slowest_ms: u64) -> u64 {
    slowest_ms.saturating_mul(SAFETY_FACTOR).div_ceil(SECOND_MS).saturating_mul(SECOND_MS)
}

/// The shortest activation delay if replication takes this long; the core has the calculation.
fn delay_needed(policy: &Policy, needed_ms: u64) -> u64 {
    Policy { replication_bound_ms: needed_ms, ..policy.clone() }.activation_delay_min_ms()
}

/// The fields to be set, and their values, so that the policy is sound and holds together; nothing gets shorter.
fn repaired(policy: &Policy, needed_ms: u64) -> (Policy, Vec<(&'static str, u64)>) {
    let mut new = policy.clone();
    new.replication_bound_ms = new.replication_bound_ms.max(needed_ms);
    new.activation_delay_ms = new.activation_delay_ms.max(new.activation_delay_min_ms());
    new.lead_window_ms = new.lead_window_ms.max(new.replication_bound_ms.saturating_mul(LEAD_PER_BOUND));
    let rotation_min =
        new.lead_window_ms.saturating_add(new.activation_delay_ms).saturating_add(new.creation_margin_ms());
    new.rotation_period_ms = new.rotation_period_ms.max(rotation_min);
    new.cooling_off_ms = new.cooling_off_ms.max(new.cooling_off_min_ms());
    let fields = [
        ("replication_bound", policy.replication_bound_ms, new.replication_bound_ms),
        ("activation_delay", policy.activation_delay_ms, new.activation_delay_ms),
        ("lead_window", policy.lead_window_ms, new.lead_window_ms),
        ("rotation_period", policy.rotation_period_ms, new.rotation_period_ms),
        ("cooling_off", policy.cooling_off_ms, new.cooling_off_ms),
    ];
    let changed = fields.into_iter().filter(|(_, old, new)| old != new).map(|(name, _, new)| (name, new));
    (new, changed.collect())
}

/// The command that repairs it, for whoever owns the group.
pub(super) fn repair(subject: &Subject, needed_ms: u64) -> String {
    let (new, fields) = repaired(&subject.policy, needed_ms);
    let fields: Vec<String> = fields.iter().map(|(name, ms)| format!("{name}={}", exact(*ms))).collect();
    let command = format!("dkm policy set -g {} {}", subject.name, fields.join(" "));
    match new.validate() {
        Ok(()) => command,
        Err(error) => format!("{command}, and more: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use dkm_core::GroupId;
    use proptest::prelude::*;

    use super::super::report::{Arrival, Verdict, Way};
    use super::*;

    fn subject(policy: Policy) -> Subject {
        Subject { group: GroupId([1; 16]), name: "mail".to_owned(), policy }
    }

    fn seen(slowest_ms: u64) -> Convergence {
        let arrival = Arrival::SeenAfterMs(slowest_ms);
        let way = Way { from: "a".into(), to: "b".into(), arrival };
        Convergence { ways: vec![way], slowest_ms: Some(slowest_ms), ..Convergence::default() }
    }

    fn judged(policy: Policy, convergence: &Convergence) -> Draft {
        let mut draft = Draft::default();
        compare(&subject(policy), convergence, &mut draft);
        draft
    }

    #[test]
    fn a_bound_below_what_was_measured_is_refused_with_the_command_that_repairs_it() {
        let policy = Policy::for_active_directory();
        let draft = judged(policy.clone(), &seen(2 * 3_600_000));
        assert!(draft.checks.iter().all(|check| check.verdict == Verdict::Good), "{draft:?}");
        let draft = judged(policy, &seen(2 * 3_600_000 + 1));
        let wrong: Vec<_> = draft.checks.iter().filter(|check| check.verdict == Verdict::Wrong).collect();
        assert_eq!(wrong.len(), 1, "{draft:?}");
        assert_eq!(wrong[0].advice.as_deref(), Some("dkm policy set -g mail replication_bound=14401s"));
    }

    #[test]
    fn a_delay_below_what_was_measured_is_refused_too_and_other_fields_grow_along() {
        let policy = Policy::for_active_directory();
        let short = Policy { activation_delay_ms: policy.activation_delay_min_ms(), ..policy };
        let refused = |hours: u64| {
            let draft = judged(short.clone(), &seen(hours * 3_600_000));
            let wrong = draft.checks.iter().filter(|check| check.verdict == Verdict::Wrong);
            assert_eq!(wrong.count(), 2, "{draft:?}");
            assert!(draft.checks[1].what.starts_with("activation_delay is "), "{draft:?}");
            draft.checks[1].advice.clone().unwrap()
        };
        assert_eq!(refused(3), "dkm policy set -g mail replication_bound=21600s activation_delay=22590s");
        assert!(refused(5).ends_with("lead_window=720000s"), "{}", refused(5));
    }

    #[test]
    fn what_was_not_seen_for_longer_than_the_bound_refuses_it() {
        let way = Way { from: "a".into(), to: "b".into(), arrival: Arrival::NotSeenForMs(5_000) };
        let convergence =
            Convergence { ways: vec![way], not_measured: Some("not seen".into()), ..Convergence::default() };
        let mut policy = Policy::for_active_directory();
        let draft = judged(policy.clone(), &convergence);
        assert_eq!(draft.checks[0].verdict, Verdict::NotChecked);
        policy.replication_bound_ms = 5_000;
        assert_eq!(judged(policy, &convergence).checks[0].verdict, Verdict::Wrong);
    }

    #[test]
    fn what_was_measured_on_some_ways_refuses_and_proves_nothing() {
        let some = |slowest| Convergence {
            slowest_ms: None,
            not_measured: Some("dc2 was not reached".into()),
            ..seen(slowest)
        };
        let policy = Policy::for_active_directory();
        let draft = judged(policy.clone(), &some(1_000));
        assert_eq!(draft.checks.len(), 1);
        assert_eq!(draft.checks[0].verdict, Verdict::NotChecked);
        assert_eq!(judged(policy, &some(3 * 3_600_000)).checks[0].verdict, Verdict::Wrong);
    }

    proptest! {
        #[test]
        fn what_is_advised_is_sound(slowest in 0u64..40 * 86_400_000, refresh in 1_000u64..3_600_000) {
            let policy = Policy { refresh_interval_ms: refresh, ..Policy::for_active_directory() };
            let before = judged(policy.clone(), &seen(slowest));
            let (new, fields) = repaired(&policy, needed(slowest));
            prop_assert_eq!(new.validate(), Ok(()));
            let refused = before.checks.iter().any(|check| check.verdict == Verdict::Wrong);
            prop_assert!(!refused || !fields.is_empty());
            let after = judged(new, &seen(slowest));
            prop_assert!(after.checks.iter().all(|check| check.verdict == Verdict::Good));
        }
    }
}
