//! The safeguards against races, floods and lost keys, as switches.
//!
//! Products always run with [`Safeguards::ALL`]; only the simulation can switch single ones off, to prove that it
//! would notice.

/// Which safeguards are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Safeguards {
    pub(crate) read_back: bool,
    pub(crate) activation_delay: bool,
    pub(crate) slot_names: bool,
    pub(crate) jitter: bool,
    pub(crate) clock_check: bool,
}

impl Safeguards {
    /// All of them.
    pub const ALL: Self =
        Self { read_back: true, activation_delay: true, slot_names: true, jitter: true, clock_check: true };

    /// All but the named one: `read-back`, `activation-delay`, `slot-names`, `jitter` or `clock-check`.
    /// A name that is none of these leaves all on.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn without(name: &str) -> Self {
        Self {
            read_back: name != "read-back",
            activation_delay: name != "activation-delay",
            slot_names: name != "slot-names",
            jitter: name != "jitter",
            clock_check: name != "clock-check",
        }
    }
}

impl Default for Safeguards {
    fn default() -> Self {
        Self::ALL
    }
}
