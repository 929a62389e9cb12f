//! How concurrent versions of a policy combine: field by field, to the more restrictive.

use super::{Policy, Wrap};

impl Policy {
    /// Combines two policies field by field to the more restrictive. Commutative, associative and idempotent up to
    /// the last step, which widens what would not fit together (see [`Policy::settled`]).
    #[must_use]
    pub(super) fn restrict(&self, other: &Self) -> Self {
        let (a, b) = (self, other);
        Self {
            rotation_period_ms: a.rotation_period_ms.min(b.rotation_period_ms),
            lead_window_ms: a.lead_window_ms.max(b.lead_window_ms),
            activation_delay_ms: a.activation_delay_ms.max(b.activation_delay_ms),
            refresh_interval_ms: a.refresh_interval_ms.min(b.refresh_interval_ms),
            refresh_jitter_permille: a.refresh_jitter_permille.min(b.refresh_jitter_permille),
            io_deadline_ms: a.io_deadline_ms.max(b.io_deadline_ms),
            replication_bound_ms: a.replication_bound_ms.max(b.replication_bound_ms),
            clock_skew_ms: a.clock_skew_ms.max(b.clock_skew_ms),
            offline_grace_ms: a.offline_grace_ms.min(b.offline_grace_ms),
            // 0 means min(2, known): an explicit number above 1 is stricter, and 1 is laxer.
            min_replicas: match (a.min_replicas, b.min_replicas) {
                (0, n) | (n, 0) => {
                    if n == 1 {
                        0
                    } else {
                        n
                    }
                }
                (m, n) => m.max(n),
            },
            suite: a.suite.max(b.suite),
            chunk_size: a.chunk_size.min(b.chunk_size),
            unprotect_suites: common(&a.unprotect_suites, &b.unprotect_suites),
            overdue_refuse_after_ms: match (a.overdue_refuse_after_ms, b.overdue_refuse_after_ms) {
                (Some(m), Some(n)) => Some(m.min(n)),
                (limit, None) | (None, limit) => limit,
            },
            archive_recipients: common(&a.archive_recipients, &b.archive_recipients),
            archive_before_use: a.archive_before_use || b.archive_before_use,
            destroy_grace_ms: a.destroy_grace_ms.max(b.destroy_grace_ms),
            cooling_off_ms: a.cooling_off_ms.max(b.cooling_off_ms),
            wrap: if a.wrap == Wrap::RootKey { a.wrap } else { b.wrap },
            owners: common_names(a.owners.as_ref(), b.owners.as_ref()),
            creators: common_names(a.creators.as_ref(), b.creators.as_ref()),
        }
    }

    /// Makes a combined policy usable: where single restrictions contradict each other, safety wins over frequency
    /// (a longer delay, window, grace or period), and an empty list of suites keeps the suite that protects.
    #[must_use]
    pub(super) fn settled(mut self) -> Self {
        self.activation_delay_ms = self.activation_delay_ms.max(self.activation_delay_min_ms());
        self.offline_grace_ms = self.offline_grace_ms.max(self.offline_grace_min_ms());
        self.cooling_off_ms = self.cooling_off_ms.max(self.cooling_off_min_ms());
        self.rotation_period_ms = self.rotation_period_ms.max(self.rotation_min_ms());
        if !self.unprotect_suites.contains(&self.suite) {
            self.unprotect_suites.push(self.suite);
            self.unprotect_suites.sort_unstable();
        }
        // Nothing to seal new keys to: creation is refused by the client, as `archive_before_use` demands.
        self
    }
}

fn common<T: Ord + Clone>(a: &[T], b: &[T]) -> Vec<T> {
    a.iter().filter(|item| b.contains(item)).cloned().collect()
}

fn common_names(a: Option<&Vec<String>>, b: Option<&Vec<String>>) -> Option<Vec<String>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(common(a, b)),
        (only, None) | (None, only) => only.cloned(),
    }
}
