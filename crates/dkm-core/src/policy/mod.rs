//! A group's policy: its numbers, what they must satisfy, and how concurrent versions combine.

mod chain;
mod merge;

use minicbor::{Decode, Encode};

pub use chain::{PolicyChain, PolicyVersion};

use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

/// Longest duration in a policy, in milliseconds: a hundred years, so that sums stay far from overflow.
pub const DURATION_MAX_MS: u64 = 36_525 * DAY_MS;
/// Shortest refresh interval, in milliseconds.
pub const REFRESH_MIN_MS: u64 = 100;
/// The lead window is at least this many replication bounds long, so that rarely two clients roll at once.
pub const LEAD_PER_REPLICATION_BOUND: u64 = 20;
/// Most archive recipients, owners or creators of a policy.
pub const NAMES_MAX: usize = 64;
/// Chunk sizes that a blob may have, in bytes.
pub const CHUNK_SIZES: [u32; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// How key material lies in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Wrap {
    /// As it is: the repository's access control is all that guards it.
    #[n(0)]
    None,
    /// Wrapped under a root key that does not lie in the repository.
    #[n(1)]
    RootKey,
}

/// A group's policy. All durations are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Policy {
    /// How long a key protects before its successor takes over (cryptoperiod, NIST SP 800-57 part 1 §5.3).
    #[n(0)]
    pub rotation_period_ms: u64,
    /// W: how long before the latest moment clients begin to make the successor.
    #[n(1)]
    pub lead_window_ms: u64,
    /// From a key's creation to its first use: long enough for every client to have read it.
    #[n(2)]
    pub activation_delay_ms: u64,
    /// How often a client reads the repository.
    #[n(3)]
    pub refresh_interval_ms: u64,
    /// Spread of the refresh interval, in thousandths of it, 0 to 1000.
    #[n(4)]
    pub refresh_jitter_permille: u32,
    /// Deadline of one put or one read-back.
    #[n(5)]
    pub io_deadline_ms: u64,
    /// The longest that a record takes from one replica to all others while they are connected.
    #[n(6)]
    pub replication_bound_ms: u64,
    /// ε: how far a clock may be from the repository's.
    #[n(7)]
    pub clock_skew_ms: u64,
    /// How long a client that cannot reach any replica goes on with what it has.
    #[n(8)]
    pub offline_grace_ms: u64,
    /// From how many replicas a client must have read a key before it protects with it; 0 = min(2, known replicas).
    #[n(9)]
    pub min_replicas: u32,
    /// Suite for protect, by number.
    #[n(10)]
    pub suite: u32,
    /// Chunk size for protect, in bytes.
    #[n(11)]
    pub chunk_size: u32,
    /// Suites that unprotect accepts, sorted.
    #[n(12)]
    pub unprotect_suites: Vec<u32>,
    /// After a key's end without a successor: none = go on and warn, otherwise refuse to protect after this long.
    #[n(13)]
    pub overdue_refuse_after_ms: Option<u64>,
    /// `age` recipients for archives, sorted.
    #[n(14)]
    pub archive_recipients: Vec<String>,
    /// Seal every new key to the archive recipients before it is put into the repository.
    #[n(15)]
    pub archive_before_use: bool,
    /// How long a key must have been deactivated, beyond what clients may lag, before it may be destroyed.
    #[n(16)]
    pub destroy_grace_ms: u64,
    /// How long a key stays suspended before it is destroyed; any use in that time calls the destruction off.
    #[n(17)]
    pub cooling_off_ms: u64,
    /// How key material lies in the repository.
    #[n(18)]
    pub wrap: Wrap,
    /// Who may write control records, sorted; none = whom the repository lets.
    #[n(19)]
    pub owners: Option<Vec<String>>,
    /// Who may add keys, sorted; none = whom the repository lets.
    #[n(20)]
    pub creators: Option<Vec<String>>,
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A single value is outside its limits.
    #[error("{field} is {found}; it must be {must}")]
    Field {
        /// The field, as in the policy file.
        field: &'static str,
        /// The value found.
        found: String,
        /// What it must be.
        must: String,
    },
}

fn field(field: &'static str, found: impl ToString, must: impl Into<String>) -> PolicyError {
    PolicyError::Field { field, found: found.to_string(), must: must.into() }
}

impl Policy {
    /// The default where records spread at once or within a minute: directories on one host or a shared file system.
    #[must_use]
    pub fn for_directory() -> Self {
        Self {
            rotation_period_ms: 90 * DAY_MS,
            lead_window_ms: 7 * DAY_MS,
            activation_delay_ms: HOUR_MS,
            refresh_interval_ms: 5 * MINUTE_MS,
            refresh_jitter_permille: 100,
            io_deadline_ms: 30 * SECOND_MS,
            replication_bound_ms: MINUTE_MS,
            clock_skew_ms: MINUTE_MS,
            offline_grace_ms: 8 * HOUR_MS,
            min_replicas: 0,
            suite: 1,
            chunk_size: 64 << 10,
            unprotect_suites: vec![1, 2, 3],
            overdue_refuse_after_ms: None,
            archive_recipients: Vec::new(),
            archive_before_use: false,
            destroy_grace_ms: 30 * DAY_MS,
            cooling_off_ms: 30 * DAY_MS,
            wrap: Wrap::RootKey,
            owners: None,
            creators: None,
        }
    }

    /// The default in Active Directory, where records travel between sites by a schedule (three hours by default) and
    /// Kerberos lets clocks differ by five minutes.
    #[must_use]
    pub fn for_active_directory() -> Self {
        Self {
            activation_delay_ms: DAY_MS,
            replication_bound_ms: 4 * HOUR_MS,
            clock_skew_ms: 5 * MINUTE_MS,
            wrap: Wrap::None,
            ..Self::for_directory()
        }
    }

    /// The shortest activation delay that is safe with the other numbers: replication bound + refresh × (1 + jitter) +
    /// put and read-back deadlines + 2ε.
    #[must_use]
    pub fn activation_delay_min_ms(&self) -> u64 {
        self.replication_bound_ms
            .saturating_add(self.refresh_interval_max_ms())
            .saturating_add(self.io_deadline_ms.saturating_mul(2))
            .saturating_add(self.clock_skew_ms.saturating_mul(2))
    }

    /// The longest interval between two refreshes, jitter included.
    #[must_use]
    pub fn refresh_interval_max_ms(&self) -> u64 {
        let jitter = self.refresh_interval_ms.saturating_mul(u64::from(self.refresh_jitter_permille)) / 1000;
        self.refresh_interval_ms.saturating_add(jitter)
    }

    /// The shortest offline grace that lets a connected client go on from one refresh to the end of the next.
    #[must_use]
    pub fn offline_grace_min_ms(&self) -> u64 {
        self.refresh_interval_max_ms().saturating_add(self.io_deadline_ms)
    }

    /// What a creator adds to the activation delay, because the repository's word on the creation time comes later
    /// than the creator's clock by the put's duration and may differ by the skew of both clocks.
    #[must_use]
    pub fn creation_margin_ms(&self) -> u64 {
        self.io_deadline_ms.saturating_add(self.clock_skew_ms.saturating_mul(2))
    }

    /// How long a key must have been deactivated before its destruction may begin: no client, not even one out of
    /// reach, can then still protect with it.
    #[must_use]
    pub fn destroy_after_ms(&self) -> u64 {
        self.destroy_grace_ms.saturating_add(self.cooling_off_min_ms())
    }

    /// The shortest cooling-off time in which a use can call a destruction off: a client learns within grace or refresh
    /// that the key is to be destroyed, and its note of the use takes the replication bound to whoever destroys.
    #[must_use]
    pub fn cooling_off_min_ms(&self) -> u64 {
        self.offline_grace_ms
            .saturating_add(self.refresh_interval_max_ms())
            .saturating_add(self.replication_bound_ms)
            .saturating_add(self.clock_skew_ms.saturating_mul(2))
    }

    /// From how many replicas a key must be read, where `known` replicas exist.
    #[must_use]
    pub fn replicas_needed(&self, known: usize) -> usize {
        match usize::try_from(self.min_replicas) {
            Ok(0) | Err(_) => known.clamp(1, 2),
            Ok(n) => n,
        }
    }

    /// Checks every number and how they fit together.
    ///
    /// # Errors
    /// The first field that does not fit, what was found and what it must be.
    pub fn validate(&self) -> Result<(), PolicyError> {
        for (name, value) in [
            ("rotation_period", self.rotation_period_ms),
            ("lead_window", self.lead_window_ms),
            ("activation_delay", self.activation_delay_ms),
            ("refresh_interval", self.refresh_interval_ms),
            ("io_deadline", self.io_deadline_ms),
            ("replication_bound", self.replication_bound_ms),
            ("clock_skew", self.clock_skew_ms),
            ("offline_grace", self.offline_grace_ms),
            ("destroy_grace", self.destroy_grace_ms),
            ("cooling_off", self.cooling_off_ms),
            ("overdue_refuse_after", self.overdue_refuse_after_ms.unwrap_or(0)),
        ] {
            if value > DURATION_MAX_MS {
                return Err(field(name, value, format!("at most {DURATION_MAX_MS} ms (a hundred years)")));
            }
        }
        if self.refresh_interval_ms < REFRESH_MIN_MS {
            return Err(field(
                "refresh_interval",
                self.refresh_interval_ms,
                format!("at least {REFRESH_MIN_MS} ms"),
            ));
        }
        if self.refresh_jitter_permille > 1000 {
            return Err(field("refresh_jitter", self.refresh_jitter_permille, "0 to 1000 thousandths"));
        }
        if self.io_deadline_ms == 0 {
            return Err(field("io_deadline", 0, "at least 1 ms"));
        }
        let delay_min = self.activation_delay_min_ms();
        if self.activation_delay_ms < delay_min {
            let why = format!(
                "at least {delay_min} ms = replication_bound + refresh_interval × (1 + jitter) + 2 × io_deadline + 2 × clock_skew, so that every client has read a key before it is used"
            );
            return Err(field("activation_delay", self.activation_delay_ms, why));
        }
        let lead_min = self.replication_bound_ms.saturating_mul(LEAD_PER_REPLICATION_BOUND).max(1);
        if self.lead_window_ms < lead_min {
            let why = format!("at least {lead_min} ms = {LEAD_PER_REPLICATION_BOUND} × replication_bound");
            return Err(field("lead_window", self.lead_window_ms, why));
        }
        let rotation_min = self.rotation_min_ms();
        if self.rotation_period_ms < rotation_min {
            let why = format!(
                "at least {rotation_min} ms = lead_window + activation_delay + io_deadline + 2 × clock_skew, or successors would come too late"
            );
            return Err(field("rotation_period", self.rotation_period_ms, why));
        }
        let grace_min = self.offline_grace_min_ms();
        if self.offline_grace_ms < grace_min {
            let why = format!(
                "at least {grace_min} ms = refresh_interval × (1 + jitter) + io_deadline, or a client would be out of reach between two refreshes"
            );
            return Err(field("offline_grace", self.offline_grace_ms, why));
        }
        let cooling_min = self.cooling_off_min_ms();
        if self.cooling_off_ms < cooling_min {
            let why = format!(
                "at least {cooling_min} ms = offline_grace + refresh_interval × (1 + jitter) + replication_bound + 2 × clock_skew, or a use could not call a destruction off in time"
            );
            return Err(field("cooling_off", self.cooling_off_ms, why));
        }
        if self.min_replicas > 16 {
            return Err(field("min_replicas", self.min_replicas, "0 (automatic) to 16"));
        }
        self.validate_names()
    }

    fn rotation_min_ms(&self) -> u64 {
        self.lead_window_ms.saturating_add(self.activation_delay_ms).saturating_add(self.creation_margin_ms())
    }

    fn validate_names(&self) -> Result<(), PolicyError> {
        if !CHUNK_SIZES.contains(&self.chunk_size) {
            return Err(field("chunk_size", self.chunk_size, format!("one of {CHUNK_SIZES:?} bytes")));
        }
        if !(1..=3).contains(&self.suite) {
            return Err(field(
                "suite",
                self.suite,
                "1 (AES-256-GCM), 2 (ChaCha20-Poly1305) or 3 (AES-256-GCM-SIV)",
            ));
        }
        if !self.unprotect_suites.contains(&self.suite) {
            return Err(field(
                "unprotect_suites",
                format!("{:?}", self.unprotect_suites),
                "a list that holds suite",
            ));
        }
        let empty = Vec::new();
        let lists = [
            ("archive_recipients", &self.archive_recipients),
            ("owners", self.owners.as_ref().unwrap_or(&empty)),
            ("creators", self.creators.as_ref().unwrap_or(&empty)),
        ];
        for (name, list) in lists {
            if list.len() > NAMES_MAX || list.iter().any(|item| item.is_empty() || item.len() > 1024) {
                return Err(field(
                    name,
                    list.len(),
                    format!("at most {NAMES_MAX} entries of 1 to 1024 bytes"),
                ));
            }
            if list.windows(2).any(|pair| pair[0] >= pair[1]) {
                return Err(field(name, format!("{list:?}"), "sorted, each entry once"));
            }
        }
        if self.unprotect_suites.len() > 16 || self.unprotect_suites.windows(2).any(|pair| pair[0] >= pair[1])
        {
            return Err(field(
                "unprotect_suites",
                format!("{:?}", self.unprotect_suites),
                "sorted, each suite once",
            ));
        }
        if self.archive_before_use && self.archive_recipients.is_empty() {
            return Err(field("archive_before_use", "true", "false while archive_recipients is empty"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
