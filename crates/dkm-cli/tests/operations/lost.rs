//! *Lose a domain controller.*

use dkm_testbed::Options;

use crate::world::{Runbook, World};

#[test]
fn a_domain_controller_is_lost() {
    let Some(world) = World::start(&Options::two()) else { return };
    let ops = world.ops();
    let book = Runbook::open("lost controller");
    ops.protect("old", "before the loss");
    world.domain.replicate().unwrap();
    world.domain.lose(&world.domain.controllers()[0]).unwrap();

    let seen = book.follow("lost-dc-see", &ops);
    seen.says("dkm doctor ended with 6");
    seen.says("replica 0");
    ops.opens(&ops.home.join("old.dkm"), "before the loss");

    let ops = ops.with("DKM_REPOSITORY", &world.url_of(1));
    book.follow("lost-dc-lacks", &ops).says("No key is lacking");
    book.follow("lost-dc-decisions", &ops).says("min_replicas");
    let done = book.follow("lost-dc-done", &ops);
    done.says("0 errors");
    done.says("one copy is all there is");
    book.close();

    ops.opens(&ops.home.join("old.dkm"), "before the loss");
    let made = ops.keys()["keys"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    ops.until_protects(&made);
    assert_eq!(ops.protect("new", "after the loss"), made);
}
