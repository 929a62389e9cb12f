//! The dials of a seed: how many clients and replicas, which policy, which troubles. All drawn from the seed.

use dkm_core::policy::Policy;

use crate::rng::Rng;

/// How the replicas that a seed may lose are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// For ever.
    Gone,
    /// For ever, and an empty one with a new identity takes its place.
    Replaced,
    /// Set back to what it held some time ago.
    SetBack,
    /// It keeps what it has and shows only a part of it.
    Withholding,
}

/// The dials of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Dials {
    /// Honest clients; the first is the owner's.
    pub(crate) clients: usize,
    pub(crate) replicas: usize,
    pub(crate) policy: Policy,
    /// From how many replicas a key must have been read.
    pub(crate) needed: usize,
    /// When the troubles end.
    pub(crate) run_ms: u64,
    /// Mean time between partitions; none without.
    pub(crate) partition_every_ms: Option<u64>,
    /// A partition's longest duration.
    pub(crate) partition_max_ms: u64,
    /// Mean time between cuts of a single link between client and replica.
    pub(crate) cut_every_ms: Option<u64>,
    /// Chance of a crash at each step of making a key, in thousandths.
    pub(crate) crash_permille: u64,
    /// Mean time between restarts of some client.
    pub(crate) restart_every_ms: Option<u64>,
    /// Mean time between crashes of some replica.
    pub(crate) replica_crash_every_ms: Option<u64>,
    /// How the replicas that may be lost are lost, at most `needed` − 1 of them.
    pub(crate) losses: Vec<Loss>,
    /// Mean time between an owner's actions.
    pub(crate) owner_every_ms: Option<u64>,
    /// Whether the owner destroys keys too.
    pub(crate) destroys: bool,
    /// A malicious creator's mean time between plants.
    pub(crate) plant_every_ms: Option<u64>,
    /// How many clients have a clock that is years off.
    pub(crate) clocks_off: usize,
    /// Whether clocks jump while clients run.
    pub(crate) jumps: bool,
    /// Whether some clients are removed.
    pub(crate) removals: bool,
    /// How many clients are short-lived: a new process with a cold cache for each use.
    pub(crate) brief: usize,
    /// Mean time between a client's uses.
    pub(crate) use_every_ms: u64,
    /// Whether policy names the creators.
    pub(crate) names_creators: bool,
}

impl Dials {
    /// Draws a seed's dials.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let replicas = match rng.below(10) {
            0..=2 => 1,
            3..=6 => 2,
            7 | 8 => 3,
            _ => 4,
        };
        let clients = usize::try_from(rng.range(2, 5) + rng.below(2) * rng.below(4)).unwrap_or(2);
        let mut policy = draw_policy(rng, replicas);
        let needed = policy.replicas_needed(replicas);
        let run_ms = policy.rotation_period_ms * rng.range(2, 4);
        let span = policy.rotation_period_ms;
        let every = |rng: &mut Rng, chance: u64, low: u64, high: u64| {
            rng.chance(chance).then(|| rng.range(span / low.max(1), span / high.max(1)).max(1))
        };
        let partition_every_ms = every(rng, 600, 3, 1);
        let partition_max_ms = rng.range(1, span * 2);
        let mut losses = Vec::new();
        if rng.chance(500) {
            for _ in 1..needed {
                losses.push(match rng.below(6) {
                    0..=2 => Loss::Gone,
                    3 => Loss::Replaced,
                    4 => Loss::SetBack,
                    _ => Loss::Withholding,
                });
            }
        }
        let destroys = rng.chance(350) && !losses.contains(&Loss::Withholding);
        if destroys {
            // The grace covers what policy cannot know: for how long replicas may be apart.
            policy.destroy_grace_ms = partition_max_ms;
        }
        Self {
            clients,
            replicas,
            needed,
            run_ms: if destroys {
                run_ms + policy.destroy_after_ms() + policy.cooling_off_ms
            } else {
                run_ms
            }
            .min(span * 6),
            partition_every_ms,
            partition_max_ms,
            cut_every_ms: every(rng, 300, 4, 1),
            crash_permille: if rng.chance(500) { rng.range(20, 300) } else { 0 },
            restart_every_ms: every(rng, 400, 4, 1),
            replica_crash_every_ms: every(rng, 300, 3, 1),
            losses,
            owner_every_ms: if destroys { Some(span / 2) } else { every(rng, 400, 2, 1) },
            destroys,
            plant_every_ms: every(rng, 250, 4, 1),
            clocks_off: if rng.chance(200) { 1 } else { 0 },
            jumps: rng.chance(100),
            removals: rng.chance(200),
            brief: if rng.chance(300) { 1 + rng.index(2) } else { 0 },
            use_every_ms: (policy.refresh_interval_ms * rng.range(1, 3)).max(1),
            names_creators: rng.chance(250),
            policy,
        }
    }

    /// Whether an adversary takes part.
    pub(crate) fn is_adversarial(&self) -> bool {
        self.plant_every_ms.is_some() || self.losses.contains(&Loss::Withholding)
    }
}

fn draw_policy(rng: &mut Rng, replicas: usize) -> Policy {
    let mut policy = Policy::for_directory();
    policy.replication_bound_ms = if rng.chance(100) { 0 } else { rng.range(20, 1_000) };
    policy.io_deadline_ms = rng.range(5, 300);
    policy.clock_skew_ms = if rng.chance(200) { 0 } else { rng.range(2, 500) };
    policy.lead_window_ms = match policy.replication_bound_ms * 20 {
        0 => rng.range(1, 5_000),
        least => least * rng.range(10, 25) / 10,
    };
    policy.refresh_interval_ms = (policy.lead_window_ms / rng.range(2, 6)).max(1_000);
    policy.refresh_jitter_permille = u32::try_from(rng.below(1_001)).unwrap_or(0);
    policy.activation_delay_ms = policy.activation_delay_min_ms() + rng.below(2) * rng.below(2_000);
    let least = policy.lead_window_ms + policy.activation_delay_ms + policy.creation_margin_ms();
    policy.rotation_period_ms = least * rng.range(10, 15) / 10;
    policy.offline_grace_ms = policy.offline_grace_min_ms() * rng.range(10, 50) / 10;
    policy.min_replicas =
        if rng.chance(600) { 0 } else { u32::try_from(rng.range(1, replicas as u64)).unwrap_or(1) };
    policy.overdue_refuse_after_ms =
        rng.chance(200).then(|| rng.range(policy.rotation_period_ms / 4, policy.rotation_period_ms * 2));
    policy.destroy_grace_ms = rng.below(5_000);
    policy.cooling_off_ms = policy.cooling_off_min_ms() * rng.range(10, 20) / 10;
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_drawn_is_valid() {
        for seed in 0..2_000 {
            let dials = Dials::draw(&mut Rng::new(seed));
            dials.policy.validate().unwrap();
            assert!(dials.losses.len() < dials.needed.max(1), "seed {seed} loses too many replicas");
            assert!(dials.needed <= dials.replicas);
        }
    }
}
