//! Which safeguard is switched off.

use dkm_core::safeguards::Safeguards;

use crate::violation::Kind;

/// A safeguard that the proof switches off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Off {
    /// A key counts as read from everywhere once its put was acknowledged.
    ReadBack,
    /// A key protects as soon as it is made.
    ActivationDelay,
    /// Keys lie in slots named by their own content, so that no two clients ever meet in one.
    SlotNames,
    /// All clients take their turn at the beginning of the window.
    Jitter,
    /// Stores take back what was destroyed.
    Tombstones,
    /// Clients do not compare their clock with the repository's.
    ClockCheck,
}

impl Off {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ReadBack,
        Self::ActivationDelay,
        Self::SlotNames,
        Self::Jitter,
        Self::Tombstones,
        Self::ClockCheck,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadBack => "read-back",
            Self::ActivationDelay => "activation-delay",
            Self::SlotNames => "slot-names",
            Self::Jitter => "jitter",
            Self::Tombstones => "tombstones",
            Self::ClockCheck => "clock-check",
        }
    }

    /// The harm that must be noticed while it is off. For the read-back that is the loss itself, not only the use of
    /// a key that was not read back.
    #[must_use]
    pub const fn harm(self) -> Kind {
        match self {
            Self::ReadBack => Kind::Lost,
            Self::ActivationDelay => Kind::TooEarly,
            Self::SlotNames | Self::Jitter => Kind::Flood,
            Self::Tombstones => Kind::Returned,
            Self::ClockCheck => Kind::ClockOff,
        }
    }

    /// The switches for the deciding code. Tombstones are the stores' affair.
    #[must_use]
    pub fn safeguards(off: Option<Self>) -> Safeguards {
        off.map_or(Safeguards::ALL, |off| Safeguards::without(off.as_str()))
    }
}
