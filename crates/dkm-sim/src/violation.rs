//! What must never happen.

use std::fmt;

/// A kind of violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A blob that protect returned does not open although its key was not destroyed.
    Lost,
    /// A client protected with a key that it had not read from enough replicas.
    NotReadBack,
    /// A client protected with a key that a connected, refreshed client could not open.
    TooEarly,
    /// More keys, or more clients making keys, than the bound allows.
    Flood,
    /// A client went on after it was told *denied*.
    AfterDenial,
    /// A client went on after the end of the grace.
    AfterGrace,
    /// A destroyed key came back.
    Returned,
    /// A key was used after its destruction had begun, or destroyed although its use was noticed.
    DestroyedInUse,
    /// A client whose clock is years off made a key or protected.
    ClockOff,
    /// A planted key protected.
    Planted,
    /// Clients that have read the same do not agree.
    Diverged,
    /// The calm has lasted, and yet a client does not protect.
    Stuck,
    /// A client's time went back.
    TimeWentBack,
}

impl Kind {
    /// The name in the output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::NotReadBack => "not-read-back",
            Self::TooEarly => "too-early",
            Self::Flood => "flood",
            Self::AfterDenial => "after-denial",
            Self::AfterGrace => "after-grace",
            Self::Returned => "returned",
            Self::DestroyedInUse => "destroyed-in-use",
            Self::ClockOff => "clock-off",
            Self::Planted => "planted",
            Self::Diverged => "diverged",
            Self::Stuck => "stuck",
            Self::TimeWentBack => "time-went-back",
        }
    }
}

/// One violation of one seed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The seed.
    pub seed: u64,
    /// Its kind.
    pub kind: Kind,
    /// When, in milliseconds of the seed's own time.
    pub at_ms: u64,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {} at {} ms: {}", self.seed, self.kind.as_str(), self.at_ms, self.what)
    }
}
