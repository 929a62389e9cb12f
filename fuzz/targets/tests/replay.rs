//! Replays the seeds of every fuzz target, and mutations of them.

// A test stops at the first fault.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dkm_fuzz_targets::{Mutator, TARGETS};

/// Mutated inputs per target, shared among its seeds.
const MUTATIONS: usize = 20_000;
/// Long seeds cost more than they find here; libFuzzer has the patience for them.
const BYTES: usize = 40_000_000;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = fuzz().join("seeds").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|f| f.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

#[test]
fn every_target_has_a_program_and_seeds() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let programs: BTreeSet<String> = fs::read_dir(fuzz().join("fuzz_targets"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(programs, names);
    for name in &names {
        assert!(!seeds(name).is_empty(), "{name} has no seeds");
        let program = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("\"{name}\"")), "{name}.rs runs another target");
    }
}

#[test]
fn seeds_and_mutations_of_them_find_nothing() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        for seed in &seeds {
            target(seed);
        }
        let mut mutator = Mutator::new(7);
        let mut bytes = 0;
        for round in 0..MUTATIONS {
            let seed = &seeds[round % seeds.len()];
            let other = &seeds[round / seeds.len() % seeds.len()];
            let input = mutator.mutate(seed, other);
            bytes += input.len() + 1000;
            if bytes > BYTES {
                break;
            }
            target(&input);
        }
    }
}
