//! The clock that a client goes by: the system's, but within a process it never goes back.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use dkm_core::Timestamp;

/// Tells the time. Tests give their own.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now, never earlier than at any call before.
    fn now(&self) -> Timestamp;
}

/// The system's clock. A wall clock that is set back does not lengthen a grace: time then goes on with the monotonic
/// clock from the highest time seen.
#[derive(Debug)]
pub struct SystemClock {
    /// The highest wall time seen, minus the monotonic time at which it was seen, in milliseconds.
    ahead_ms: AtomicU64,
}

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { ahead_ms: AtomicU64::new(wall_ms().saturating_sub(monotonic_ms())) }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let monotonic = monotonic_ms();
        let ahead = wall_ms().saturating_sub(monotonic);
        let known = self.ahead_ms.load(Ordering::Relaxed);
        // Written only when the wall clock was set forward, so that readers on many threads share the line.
        let ahead =
            if ahead > known { self.ahead_ms.fetch_max(ahead, Ordering::Relaxed).max(ahead) } else { known };
        Timestamp(monotonic.saturating_add(ahead))
    }
}

/// The kernel answers both of these without a system call. Its quicker, coarse clocks would do for most of what policy
/// counts in, but they lag behind the times of files that were just written, by as much as the machine is busy.
fn wall_ms() -> u64 {
    milliseconds(rustix::time::clock_gettime(rustix::time::ClockId::Realtime))
}

fn monotonic_ms() -> u64 {
    milliseconds(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic))
}

fn milliseconds(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000)
}

/// A clock that stands still until it is moved: for tests.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub const fn at(time: Timestamp) -> Self {
        Self(AtomicU64::new(time.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_a_moment_ago_is_not_in_the_future() {
        let clock = SystemClock::new();
        let precise = || milliseconds(rustix::time::clock_gettime(rustix::time::ClockId::Realtime));
        let begun = precise();
        // Some ticks long: the kernel's quick answers lag behind most of the time.
        while precise() < begun + 50 {
            let made = Timestamp(precise());
            assert!(clock.now() >= made);
        }
    }

    #[test]
    fn a_wall_clock_set_back_does_not_take_time_back() {
        let clock = SystemClock::new();
        let before = clock.now();
        // As if the wall clock had shown an hour more a moment ago.
        clock.ahead_ms.fetch_add(3_600_000, Ordering::Relaxed);
        let later = clock.now();
        assert!(later.since(before) >= 3_600_000);
        assert!(clock.now() >= later);
    }
}
