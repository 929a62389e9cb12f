//! The deterministic simulation of DKM: N clients and M replicas in virtual time, with everything going wrong that may.
//!
//! Each seed is a world of its own. The clients decide with the very code that products use: [`Member`] (what was read,
//! what may protect), [`plan`], [`Ring`]. What is simulated is what surrounds them: the shell that reads, puts and
//! retries, the stores, the network, the clocks and the people. A seed decides everything, so that a failing seed
//! replays exactly: `cargo xtask sim run --seed N --trace`.
//!
//! # What happens in a seed
//!
//! Drawn from the seed: 2 to 8 clients (and in some seeds a crowd of 500 or 10 000), 1 to 4 replicas, a valid policy
//! whose times are scaled so that the run covers several rollovers, and which of these troubles occur:
//!
//! * messages that take up to the policy's deadline or never arrive; partitions that split clients and replicas; single
//!   links cut; replication within the policy's bound while replicas reach each other, and a full exchange when they
//!   meet again; conflict twins survive;
//! * clients that crash between any two steps of making a key (decide, last look, put, read back), that are restarted
//!   with a cold cache, or that start anew for each use; replicas that crash, also after a put is durable and before
//!   they say so;
//! * up to `n` − 1 replicas lost for ever, replaced by an empty one, set back to an older state, or withholding records
//!   (and lying about the time), where `n` is the number of replicas that policy demands for a read-back;
//! * clocks off by up to ε/2 on clients and on replicas, clocks that are years off, and clocks that jump by years;
//! * an owner who suspends, resumes, compromises, rolls, exposes, restores an archive (also without looking at what was
//!   destroyed since), and destroys, with the waiting times of DESIGN §5; use in a cooling-off time calls it off;
//! * members who are removed, and whom each replica denies in its own time;
//! * a malicious creator: keys in wrong slots, far-future and backdated ones, keys that do not give their id, floods of
//!   slots, the highest attempt, old or current keys put anew, another first key, litter in the next slot.
//!
//! In the end all troubles stop, partitions heal, and after a calm everybody is asked for what was promised.
//!
//! # What must never happen
//!
//! Each is a [`Kind`] of violation, checked at every step and at the end:
//!
//! 1. **lost**: a blob that protect returned does not open for a fresh client after the heal, although its key was not
//!    destroyed by its owner (the key of a compromised one opens with the override).
//! 2. **not-read-back**: a client protects with a key that this process has not read from `n` distinct replicas. Counted
//!    by the simulation itself, by the replica's identity, so that a replica that was replaced counts anew.
//! 3. **flood**: see below.
//! 4. **after-denial**, **after-grace**: a client that was told *denied* protects or opens before a later reading let it in
//!    again; one out of reach does so after the end of the grace.
//! 5. **returned**, **destroyed-in-use**: destroyed material lies on a replica or opens anywhere; a key protects after its
//!    destruction began, or is destroyed although its use was noticed in time.
//! 6. **clock-off**: a client whose clock is years off makes a key or protects. It still unprotects.
//! 7. **too-early**: a client protects with a key that another client cannot open, although that one has reached all
//!    replicas, and they each other, for the replication bound + refresh × (1 + jitter) + 2 deadlines. For the first key
//!    and for keys made after a compromise or an exposure, that time counts from their creation.
//! 8. **planted**, **diverged**, **stuck**, **time-went-back**: a planted key protects; clients that have read the same do not
//!    agree on keys, states and what protects; after the calm a client does not protect; a client's time goes back.
//!
//! # Keys per rollover
//!
//! "Keys per rollover ≤ replicas not yet converged" means two things, one certain and one a matter of chance:
//!
//! * **Certain**, because a key's slot is a function of its predecessor and attempt and puts are create-only: a replica that
//!   holds a successor takes no other one. So there are at most as many successors as there were replicas that the first
//!   had not reached, whatever the number of clients and the order of events. The simulation checks this at every put of
//!   a key that a client made by its own decision, except on a replica that hides what it holds. It does not check where the rollover itself was disturbed: by records
//!   planted in the successor's slots, by a key made by hand, or where an owner's decision or an exposure began
//!   another rollover with the same predecessor.
//! * **By chance**, because clients draw their turns: how many clients *act*, that is, get as far as a put. On the draw's
//!   scale turns form a Poisson process whose first event is exponential, so that the number of clients that act before
//!   the first one's key can have reached them is geometric and does **not depend on the number of clients**. With g the
//!   time for the first key to reach the others (replication bound and three deadlines) and W the lead window, none but
//!   the first acts with probability exp(−20·g/W), and more than k others with (1 − exp(−20·g/W))^k. At the tightest
//!   policy that is valid, W = 20 g, that is 0.63^k; at the default it is 0.3 %^k. The bound is the k at which this falls
//!   below 10⁻¹²: at five million seeds an honest run does not meet it. It is checked with 500 and with 10 000 clients.
//!
//! # What is assumed
//!
//! * A replica that is up and reachable answers within the deadline, and a put lands within it or never.
//! * In seeds in which keys are destroyed, the policy's destroy grace covers the longest time for which replicas are apart,
//!   and troubles of replicas do not follow upon each other before they have converged. No rule about time can be safe
//!   against a replica that stays behind for longer than policy says. No replica withholds records in these seeds.
//! * A planted key with a short delay may protect when it comes at a moment at which every creator may make one (the
//!   protecting key was exposed or is compromised), give or take skew and refresh: it is then a key like any other, made by
//!   somebody who is trusted to make keys.
//! * A last look is one reading of all replicas in reach; at least one must answer.
//!
//! # That it can fail
//!
//! `dkm-sim prove` switches off one safeguard at a time ([`Off`]) and demands the harm that it guards against
//! ([`Off::harm`]) within [`SEEDS_MAX`] seeds.
//!
//! [`Member`]: dkm_core::member::Member
//! [`plan`]: dkm_core::plan::plan
//! [`Ring`]: dkm_core::ring::Ring

#![forbid(unsafe_code)]

mod crowd;
mod dials;
mod off;
mod prove;
mod rng;
mod run;
mod store;
mod tally;
mod trace;
mod violation;
mod world;

pub use off::Off;
pub use prove::{Proof, SEEDS_MAX, prove};
pub use run::{Outcome, Report, Span, run_seed, run_span};
pub use tally::Tally;
pub use violation::{Kind, Violation};

#[cfg(test)]
mod tests;
