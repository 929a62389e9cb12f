//! Named steps at which a test may kill the process, to prove that a crash there loses nothing.
//!
//! Compiled to nothing unless the feature `fault-injection` is on, which only this crate's own tests do. Even then a
//! step does nothing unless the environment names one: `DKM_FAULT_STEP=17` kills the process (SIGKILL, so that no
//! destructor and no flush runs) when it comes to its seventeenth step.

/// Marks a step between two effects that a crash could separate.
#[cfg(any(test, feature = "fault-injection"))]
pub(crate) fn step(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static FATAL: OnceLock<Option<u64>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let Some(fatal) = *FATAL.get_or_init(|| std::env::var("DKM_FAULT_STEP").ok()?.parse().ok()) else {
        return;
    };
    let passed = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if passed == fatal {
        tracing::debug!(step = passed, name, "killed by fault injection");
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // Not reached: SIGKILL can be neither caught nor blocked.
        std::process::abort();
    }
}

/// Marks a step between two effects that a crash could separate; nothing in a product build.
#[cfg(not(any(test, feature = "fault-injection")))]
#[inline(always)]
pub(crate) const fn step(_name: &'static str) {}
