//! The rollover decision: does the group need a new key, and does this client make it now?
//!
//! Clients decide alone, each from what it has read. A client draws once per predecessor; the distribution makes the
//! first of any number of clients come early in the lead window and the second one, as a rule, after the first one's
//! key has reached it (DESIGN: t = end of window + ln(E)/r, E ~ Exp(1), r = 20/W).

use crate::id::{Digest, KeyId};
use crate::policy::{LEAD_PER_REPLICATION_BOUND, Policy};
use crate::ring::{Distrust, Ring, RingKey};
use crate::safeguards::Safeguards;
use crate::time::Timestamp;

/// What to do about the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Nothing until the given time, as far as is known now.
    Nothing {
        /// When to plan again at the latest.
        until: Timestamp,
    },
    /// Make a key: read the ring once more, and if the plan is still the same, put the key into its slot.
    CreateKey {
        /// The key to succeed.
        predecessor: KeyId,
        /// Which slot after it.
        attempt: u32,
        /// From when the new key may protect.
        activates_at: Timestamp,
        /// Why.
        cause: Cause,
    },
    /// The protecting key is past the moment at which its successor should have been made, and this client waits for
    /// its turn, or may not create keys at all.
    Overdue {
        /// Since when.
        since: Timestamp,
        /// When this client makes the key if nobody else has; none for a client without the right to create.
        turn: Option<Timestamp>,
    },
    /// No key protects and none can succeed: an owner must act (resume, or roll by hand).
    NoKey,
}

/// Why a key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The protecting key nears its end.
    Scheduled,
    /// It is past its end.
    Overdue,
    /// A person could read it, and his access has ended.
    Exposure,
    /// It is compromised.
    Compromise,
    /// Somebody asked for it.
    Manual,
}

/// One client's luck for one predecessor: two draws from Exp(1), one for the lead window, one for being overdue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// For the lead window.
    pub lead: f64,
    /// For the short window after it.
    pub overdue: f64,
}

impl Draw {
    /// Derives the draw of a client for a predecessor from the client's random id, so that a client that asks twice, or
    /// is started anew with the same id, does not draw twice.
    #[must_use]
    pub fn derive(client: &[u8; 16], predecessor: KeyId) -> Self {
        let mut input = b"dkm draw\0".to_vec();
        input.extend_from_slice(client);
        input.extend_from_slice(predecessor.as_bytes());
        let Digest(digest) = Digest::of(&input);
        let uniform = |bytes: &[u8]| {
            let mut word = [0u8; 4];
            word.copy_from_slice(&bytes[..4]);
            // In (0, 1]: never 0, so that the logarithm is finite.
            (f64::from(u32::from_be_bytes(word)) + 1.0) / 4_294_967_296.0
        };
        Self { lead: -uniform(&digest[..4]).ln(), overdue: -uniform(&digest[4..8]).ln() }
    }
}

/// A client's turn within a window that ends at `end`.
fn turn(end: Timestamp, window_ms: u64, draw: f64, safeguards: Safeguards) -> Timestamp {
    let start = end.minus(window_ms);
    if !safeguards.jitter {
        return start;
    }
    // Windows are at most a hundred years of milliseconds, far below 2^52: exact in an f64.
    #[allow(clippy::cast_precision_loss)]
    let window = window_ms as f64;
    // 20 is exact.
    #[allow(clippy::cast_precision_loss)]
    let rate = LEAD_PER_REPLICATION_BOUND as f64 / window.max(1.0);
    let before_end = (-(draw.max(f64::MIN_POSITIVE).ln()) / rate).clamp(0.0, window);
    // Clamped to the window, which came from a u64.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let before_end_ms = before_end as u64;
    end.minus(before_end_ms).max(start)
}

/// Decides for one client.
///
/// `may_create` tells whether the client may add keys; `noticed` is since when it has been running, so that clients
/// that all come back after an outage do not all act in the same instant; `exact` plans without waiting for a turn.
#[must_use]
pub fn plan(
    ring: &Ring,
    now: Timestamp,
    draw: impl Fn(KeyId) -> Draw,
    may_create: bool,
    noticed: Option<Timestamp>,
    safeguards: Safeguards,
) -> Plan {
    let Some(policy) = ring.policy() else { return Plan::Nothing { until: now } };
    let delay_ms = if safeguards.activation_delay { policy.activation_delay_ms } else { 0 };
    let lag_ms = delay_ms.saturating_add(policy.creation_margin_ms());
    let current = ring.protecting(now).next();
    let Some(current) = current else {
        return without_key(ring, policy, now, draw, may_create, noticed, safeguards);
    };
    let short_ms = policy.replication_bound_ms.saturating_mul(LEAD_PER_REPLICATION_BOUND);

    // An ended exposure: everything that the person could read is left as soon as possible.
    if let Some(until) = current.exposure_ended(now) {
        let fresh = |k: &RingKey| k.may_ever_protect() && k.exposure_ended(now).is_none();
        if let Some(successor) = ring.keys.iter().filter(|k| fresh(k)).map(RingKey::activation).min() {
            return Plan::Nothing { until: successor };
        }
        let begin = noticed.unwrap_or(until).max(until);
        let turn = turn(begin.plus(short_ms), short_ms, draw(current.id()).overdue, safeguards);
        return create_at(ring, current, now, turn, now, until, Cause::Exposure, may_create);
    }

    let end = current.end(policy);
    let horizon = end.max(now).plus(lag_ms).plus(policy.clock_skew_ms.saturating_mul(2));
    let successor = ring
        .keys
        .iter()
        .filter(|k| k.may_ever_protect() && k.activation() > now && k.activation() <= horizon)
        .map(RingKey::activation)
        .min();
    if let Some(activation) = successor {
        return Plan::Nothing { until: activation };
    }
    let window_end = end.minus(lag_ms);
    let activates_at = end.max(now.plus(lag_ms));
    let lead = turn(window_end, policy.lead_window_ms, draw(current.id()).lead, safeguards);
    // Clients come to their turn when they wake up, and many turns are the window's very end: who is late by no more than
    // a refresh takes it all the same. Who was not there then takes turns with the others that come back.
    let was_there = noticed.is_none_or(|at| at <= window_end);
    let takes_it_late = may_create && was_there && now <= lead.plus(policy.refresh_interval_max_ms());
    if now <= window_end || takes_it_late {
        if !may_create {
            return Plan::Nothing { until: window_end };
        }
        if now < lead {
            return Plan::Nothing { until: lead };
        }
        return created(ring, current.id(), activates_at, Cause::Scheduled);
    }
    let begin = noticed.unwrap_or(window_end).max(window_end);
    let turn = turn(begin.plus(short_ms), short_ms, draw(current.id()).overdue, safeguards);
    create_at(ring, current, now, turn, activates_at, window_end, Cause::Overdue, may_create)
}

/// The plan for a key at once, because somebody asks for it: no turn, no window, but the full activation delay.
/// None where no key can be succeeded.
#[must_use]
pub fn plan_manual(ring: &Ring, now: Timestamp, cause: Cause) -> Option<Plan> {
    let policy = ring.policy()?;
    let trusted = || ring.keys.iter().rev().find(|k| k.distrust.is_none());
    // A key whose access control was opened up, or whose public part was changed, does not protect, but it did: without a
    // way past it, whoever does that to the only key would stop the group for good.
    let spoilt =
        |k: &&RingKey| matches!(k.distrust, Some(Distrust::LooseAccessControl | Distrust::Misdescribed));
    let opened = || ring.keys.iter().rev().find(spoilt);
    let protecting = ring.protecting(now).next();
    let predecessor = protecting.or_else(trusted).or_else(opened)?;
    // An owner has marked the key that protected, and left its replacement to who may make it: nobody is served by waiting.
    let stopped = protecting.is_none() && predecessor.status.compromised.is_some();
    let activates_at = match cause {
        _ if stopped => now,
        Cause::Compromise | Cause::Exposure => now,
        _ => now.plus(policy.activation_delay_ms).plus(policy.creation_margin_ms()),
    };
    Some(created(ring, predecessor.id(), activates_at, cause))
}

fn created(ring: &Ring, predecessor: KeyId, activates_at: Timestamp, cause: Cause) -> Plan {
    Plan::CreateKey { predecessor, attempt: ring.free_attempt(Some(predecessor)), activates_at, cause }
}

#[allow(clippy::too_many_arguments)]
fn create_at(
    ring: &Ring,
    current: &RingKey,
    now: Timestamp,
    turn: Timestamp,
    activates_at: Timestamp,
    since: Timestamp,
    cause: Cause,
    may_create: bool,
) -> Plan {
    if !may_create {
        Plan::Overdue { since, turn: None }
    } else if now < turn {
        Plan::Overdue { since, turn: Some(turn) }
    } else {
        created(ring, current.id(), activates_at, cause)
    }
}

/// Nothing protects: the last trusted key is suspended, deactivated or compromised, or not active yet.
fn without_key(
    ring: &Ring,
    policy: &Policy,
    now: Timestamp,
    draw: impl Fn(KeyId) -> Draw,
    may_create: bool,
    noticed: Option<Timestamp>,
    safeguards: Safeguards,
) -> Plan {
    let Some(last) = ring.keys.iter().rev().find(|k| k.distrust.is_none() && k.activation() <= now) else {
        // No key at all: the group is being made, or its records are still on their way. Only `group create` makes
        // the first key.
        return ring
            .keys
            .iter()
            .map(RingKey::activation)
            .filter(|at| *at > now)
            .min()
            .map_or(Plan::NoKey, |until| Plan::Nothing { until });
    };
    if let Some(next) = ring.keys.iter().find(|k| k.may_ever_protect() && k.activation() > now) {
        return Plan::Nothing { until: next.activation() };
    }
    let (since, at, cause) = match (last.status.compromised, last.status.deactivated) {
        (Some(at), _) => (at, now, Cause::Compromise),
        (None, Some(at)) => {
            (at, now.plus(policy.activation_delay_ms).plus(policy.creation_margin_ms()), Cause::Overdue)
        }
        // Suspended: an owner resumes it or rolls; a client does not decide against the owner.
        (None, None) => return Plan::NoKey,
    };
    let short_ms = match cause {
        // Nothing is protected, and the new key takes over at once: a key too many for each replica that has not heard yet
        // of the first is the lesser evil.
        Cause::Compromise => policy.refresh_interval_max_ms(),
        _ => policy.replication_bound_ms.saturating_mul(LEAD_PER_REPLICATION_BOUND),
    };
    let begin = noticed.unwrap_or(since).max(since);
    let turn = turn(begin.plus(short_ms), short_ms, draw(last.id()).overdue, safeguards);
    create_at(ring, last, now, turn, at, since, cause, may_create)
}

#[cfg(test)]
mod tests;
