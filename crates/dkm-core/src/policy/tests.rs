use proptest::prelude::*;

use super::*;

#[test]
fn defaults_are_valid() {
    Policy::for_directory().validate().unwrap();
}

#[test]
fn a_delay_shorter_than_what_clients_need_to_learn_of_a_key_is_refused() {
    let mut policy = Policy::for_directory();
    policy.activation_delay_ms = policy.activation_delay_min_ms() - 1;
    let PolicyError::Field { field, must, .. } = policy.validate().unwrap_err();
    assert_eq!(field, "activation_delay");
    assert!(must.contains(&policy.activation_delay_min_ms().to_string()), "{must}");
}

#[test]
fn each_bound_is_held() {
    let refused = |change: fn(&mut Policy)| {
        let mut policy = Policy::for_directory();
        change(&mut policy);
        policy.validate().is_err()
    };
    assert!(refused(|p| p.lead_window_ms = p.replication_bound_ms * 20 - 1));
    assert!(refused(|p| p.rotation_period_ms = p.lead_window_ms));
    assert!(refused(|p| p.refresh_interval_ms = 99));
    assert!(refused(|p| p.refresh_jitter_permille = 1001));
    assert!(refused(|p| p.offline_grace_ms = p.refresh_interval_ms));
    assert!(refused(|p| p.io_deadline_ms = 0));
    assert!(refused(|p| p.chunk_size = 5000));
    assert!(refused(|p| p.suite = 4));
    assert!(refused(|p| p.unprotect_suites = vec![2, 3]));
    assert!(refused(|p| p.unprotect_suites = vec![1, 1]));
    assert!(refused(|p| p.archive_before_use = true));
    assert!(refused(|p| p.min_replicas = 17));
    assert!(refused(|p| p.owners = Some(vec!["b".into(), "a".into()])));
    assert!(refused(|p| p.cooling_off_ms = u64::MAX));
    assert!(refused(|p| p.cooling_off_ms = p.cooling_off_min_ms() - 1));
    // Grace, refresh with its jitter, replication, and both clocks' skew.
    let policy = Policy::for_directory();
    assert_eq!(policy.cooling_off_min_ms(), 8 * HOUR_MS + 330 * SECOND_MS + MINUTE_MS + 2 * MINUTE_MS);
    Policy { cooling_off_ms: policy.cooling_off_min_ms(), ..policy }.validate().unwrap();
}

#[test]
fn automatic_replicas_are_two_where_two_are_known() {
    let mut policy = Policy::for_directory();
    assert_eq!([0, 1, 2, 5].map(|known| policy.replicas_needed(known)), [1, 1, 2, 2]);
    policy.min_replicas = 3;
    assert_eq!(policy.replicas_needed(1), 3);
}

prop_compose! {
    fn policies()(
        rotation in 1u64..1000, lead in 20u64..1000, delay in 1u64..1000, refresh in 1u64..100, grace in 1u64..1000,
        replicas in 0u32..5, suite in 1u32..=3, suites in 0u32..8, limit in proptest::option::of(0u64..9), before in any::<bool>(),
        creators in proptest::option::of(proptest::collection::btree_set("[a-c]", 0..3)),
    ) -> Policy {
        Policy {
            rotation_period_ms: rotation * MINUTE_MS,
            lead_window_ms: lead * MINUTE_MS,
            activation_delay_ms: delay * MINUTE_MS,
            refresh_interval_ms: refresh * SECOND_MS,
            offline_grace_ms: grace * SECOND_MS,
            cooling_off_ms: grace * SECOND_MS,
            min_replicas: replicas,
            suite,
            unprotect_suites: (1..=3).filter(|s| *s == suite || suites & (1 << (s - 1)) != 0).collect(),
            overdue_refuse_after_ms: limit,
            archive_recipients: vec!["age1".into()],
            archive_before_use: before,
            creators: creators.map(|c| c.into_iter().collect()),
            ..Policy::for_directory()
        }
    }
}

proptest! {
    #[test]
    fn restricting_does_not_depend_on_order(a in policies(), b in policies(), c in policies()) {
        prop_assert_eq!(a.restrict(&b), b.restrict(&a));
        prop_assert_eq!(a.restrict(&b).restrict(&c), a.restrict(&b.restrict(&c)));
    }

    #[test]
    fn combined_policies_are_usable_and_no_laxer(a in policies(), b in policies()) {
        let both = a.restrict(&b).settled();
        prop_assert!(both.activation_delay_ms >= a.activation_delay_ms.max(b.activation_delay_ms));
        prop_assert!(both.activation_delay_ms >= both.activation_delay_min_ms());
        prop_assert!(both.destroy_grace_ms >= a.destroy_grace_ms);
        prop_assert!(both.cooling_off_ms >= a.cooling_off_ms.max(both.cooling_off_min_ms()));
        prop_assert!(both.validate().is_ok() || both.archive_recipients.is_empty(), "{:?}", both.validate());
        prop_assert!(both.unprotect_suites.iter().all(|s| *s == both.suite || (a.unprotect_suites.contains(s) && b.unprotect_suites.contains(s))));
    }
}
