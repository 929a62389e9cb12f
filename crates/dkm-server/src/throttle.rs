//! How much one account may ask for.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::DefaultClock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::problem::Problem;

/// A bound on the requests of each account (token bucket: as many as a second's worth at once).
#[derive(Debug)]
pub struct Throttle {
    limiter: RateLimiter<Arc<str>, DefaultKeyedStateStore<Arc<str>>, DefaultClock>,
}

impl Throttle {
    /// So many requests a second for each account.
    #[must_use]
    pub fn per_second(requests: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_second(requests)) }
    }

    /// Takes one request of an account. Accounts are few: each has been authenticated.
    ///
    /// # Errors
    /// It asks for too much.
    pub fn check(&self, account: &str) -> Result<(), Problem> {
        self.limiter
            .check_key(&Arc::from(account))
            .map_err(|_| Problem::busy(format!("{account} asks for more than it may in this time")))
    }
}
