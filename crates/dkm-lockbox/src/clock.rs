//! A time that does not go back.

use dkm_core::Timestamp;

use crate::refusal::Refusal;

/// The highest time seen so far. What is decided by time is decided by this one, so that a clock that is set back
/// revives nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    highest: Timestamp,
}

impl Clock {
    /// Begins with what is known: the highest time in the verified log.
    #[must_use]
    pub const fn new(highest: Timestamp) -> Self {
        Self { highest }
    }

    /// Takes in a time that another source tells, such as the database's.
    pub fn saw(&mut self, at: Timestamp) {
        self.highest = self.highest.max(at);
    }

    /// The time to decide by, when the system's clock says `clock`.
    ///
    /// # Errors
    /// [`Refusal::ClockBack`] if that is more than `skew_ms` before what was seen already. Nothing is granted then; what
    /// ends, ends by [`Clock::highest`].
    pub fn now(&mut self, clock: Timestamp, skew_ms: u64) -> Result<Timestamp, Refusal> {
        let behind_ms = self.highest.since(clock);
        if behind_ms > skew_ms {
            return Err(Refusal::ClockBack { clock, behind_ms });
        }
        self.saw(clock);
        Ok(self.highest)
    }

    /// The highest time seen.
    #[must_use]
    pub const fn highest(&self) -> Timestamp {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back_and_a_step_back_is_told() {
        let mut clock = Clock::new(Timestamp(1_000));
        assert_eq!(clock.now(Timestamp(900), 100), Ok(Timestamp(1_000)));
        assert_eq!(clock.now(Timestamp(1_500), 100), Ok(Timestamp(1_500)));
        clock.saw(Timestamp(2_000));
        let refused = clock.now(Timestamp(1_899), 100);
        assert_eq!(refused, Err(Refusal::ClockBack { clock: Timestamp(1_899), behind_ms: 101 }));
        assert_eq!(clock.highest(), Timestamp(2_000));
        assert_eq!(clock.now(Timestamp(1_900), 100), Ok(Timestamp(2_000)));
    }
}
