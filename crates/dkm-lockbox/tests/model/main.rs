//! Every order in which approvers, the requester, attackers, a clock and a change of the roster can act on one request,
//! explored exhaustively. What must hold is written down a second time, in `oracle`, by other means than the crate's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod oracle;
mod world;

use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model};

use self::world::{Attack, World, trusting, verify};

const GRANTED: &str = "what is opened was approved by all levels, and in time";

/// Longer than it takes on a busy machine, so that a test that hangs is told.
const PATIENCE: Duration = Duration::from_secs(3_600);

fn explore(world: World, at_least: usize) {
    let checker = world.checker().threads(2).timeout(PATIENCE).spawn_bfs().join();
    assert!(checker.is_done());
    checker.assert_properties();
    assert!(checker.unique_state_count() > at_least, "{}", checker.unique_state_count());
}

#[test]
fn no_order_of_steps_opens_what_was_not_granted() {
    explore(World { verify, attack: Attack::Steps }, 20_000);
}

#[test]
fn no_record_that_is_slipped_into_the_store_opens_what_was_not_granted() {
    explore(World { verify, attack: Attack::Store }, 20_000);
}

#[test]
fn a_server_that_does_not_verify_signatures_is_found_out() {
    let world = World { verify: trusting, attack: Attack::Steps };
    let found = world.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    assert!(found.discovery(GRANTED).is_some());
}
