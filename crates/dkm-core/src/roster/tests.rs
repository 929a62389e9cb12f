use proptest::prelude::*;

use super::*;
use crate::id::{Digest, GroupId};
use crate::record::{Record, RosterSignature};
use crate::ring::testing::{GROUP, T0, attested};
use crate::slot::Attestation;
use crate::time::{DAY_MS, Timestamp};

const DELAY: u64 = DAY_MS;

/// Stands in for SSHSIG: a signature is made of the key and what is signed.
fn sign(key: &str, message: &[u8]) -> String {
    format!("{key} {}", Digest::of(message))
}

fn verify(key: &str, message: &[u8], signature: &str) -> bool {
    sign(key, message) == signature
}

fn person(id: &str, keys: &[&str]) -> Person {
    Person {
        id: id.into(),
        keys: keys.iter().map(|k| (*k).into()).collect(),
        accounts: vec![format!("uid:{id}")],
    }
}

fn level(name: &str, approvers: &[&str], quorum: u32) -> ApprovalLevel {
    ApprovalLevel { name: name.into(), approvers: approvers.iter().map(|a| (*a).into()).collect(), quorum }
}

/// Two levels: one of Alice and Bob, and both of Carol and Dave. Everybody's key is named like him.
fn genesis() -> RosterRecord {
    RosterRecord {
        version: 1,
        previous: Vec::new(),
        created_at_ms: T0.0,
        persons: ["alice", "bob", "carol", "dave"].map(|id| person(id, &[&format!("key-{id}")])).into(),
        levels: vec![level("team", &["alice", "bob"], 1), level("security", &["carol", "dave"], 2)],
        change_delay_ms: DELAY,
        signatures: Vec::new(),
        elevation: None,
    }
}

type Entry = (Digest, RosterRecord, Attestation);

fn entry(record: RosterRecord, created: Timestamp) -> Entry {
    let bytes = Record::Roster(record.clone()).encode(GROUP);
    // What the chain judges has passed the record's own checks.
    assert_eq!(Record::decode(&bytes), Ok((GROUP, Record::Roster(record.clone()))));
    (Digest::of(&bytes), record, attested("uid:0", created))
}

/// A version that follows others, signed as given by pairs of person and key.
fn next_signed(
    previous: &[&Entry],
    created: Timestamp,
    signers: &[(&str, &str)],
    change: impl FnOnce(&mut RosterRecord),
) -> Entry {
    let mut record = previous[0].1.clone();
    record.version = previous.iter().map(|p| p.1.version).max().unwrap() + 1;
    record.previous = previous.iter().map(|p| p.0).collect();
    record.previous.sort_unstable();
    record.signatures.clear();
    change(&mut record);
    let message = record.signed_bytes(GROUP);
    record.signatures = signers
        .iter()
        .map(|(id, key)| RosterSignature { person: (*id).into(), signature: sign(key, &message) })
        .collect();
    record.signatures.sort();
    entry(record, created)
}

const ENOUGH: [(&str, &str); 3] = [("alice", "key-alice"), ("carol", "key-carol"), ("dave", "key-dave")];

fn next(previous: &[&Entry], created: Timestamp, change: impl FnOnce(&mut RosterRecord)) -> Entry {
    next_signed(previous, created, &ENOUGH, change)
}

fn resolve(entries: &[&Entry], now: Timestamp) -> RosterChain {
    let pinned = entry(genesis(), T0).0;
    let records = entries.iter().map(|(digest, record, attested)| (*digest, record, attested));
    RosterChain::resolve(records, GROUP, Some(pinned), now, &verify)
}

fn without_bob(record: &mut RosterRecord) {
    record.persons.retain(|p| p.id != "bob");
    record.levels[0] = level("team", &["alice"], 1);
}

fn with_quorum_of_two(record: &mut RosterRecord) {
    record.levels[0].quorum = 2;
}

#[test]
fn only_the_pinned_genesis_counts_and_at_once() {
    let first = entry(genesis(), T0);
    let chain = resolve(&[&first], T0);
    assert_eq!(chain.effective(), Some(&Roster::from(&first.1)));
    assert_eq!((chain.in_force(), chain.tips(), chain.next_version()), (&[first.0][..], &[first.0][..], 2));

    let planted = entry(RosterRecord { change_delay_ms: 0, ..genesis() }, T0.minus(1));
    let chain = resolve(&[&planted, &first], T0);
    assert_eq!((chain.in_force(), chain.ignored().len()), (&[first.0][..], 1));

    let unpinned = RosterChain::resolve([(first.0, &first.1, &first.2)], GROUP, None, T0, &verify);
    assert_eq!((unpinned.effective(), unpinned.ignored().len()), (None, 1));
}

#[test]
fn a_change_takes_effect_after_the_predecessors_delay() {
    let first = entry(genesis(), T0);
    let made = T0.plus(5 * DAY_MS);
    let second = next(&[&first], made, |r| {
        without_bob(r);
        r.change_delay_ms = 0;
    });
    let early = resolve(&[&second, &first], made.plus(DELAY - 1));
    assert_eq!((early.in_force(), early.tips()), (&[first.0][..], &[second.0][..]));
    assert_eq!(
        early.pending().map(|v| (v.digest, v.effective_at)).collect::<Vec<_>>(),
        [(second.0, made.plus(DELAY))]
    );
    let then = resolve(&[&second, &first], made.plus(DELAY));
    assert_eq!((then.in_force(), then.pending().count(), then.ignored()), (&[second.0][..], 0, &[][..]));
    assert!(then.effective().unwrap().person("bob").is_none());
}

#[test]
fn a_shortened_delay_is_not_used_before_it_is_in_force() {
    let first = entry(genesis(), T0);
    let second = next(&[&first], T0.plus(1), |r| r.change_delay_ms = 0);
    let third = next(&[&second], T0.plus(2), without_bob);
    let chain = resolve(&[&first, &second, &third], T0.plus(DELAY));
    assert_eq!(chain.in_force(), [first.0]);
    assert_eq!(chain.pending().map(|v| v.effective_at).collect::<Vec<_>>(), [T0.plus(DELAY + 1); 2]);
}

#[test]
fn every_level_of_the_predecessor_must_be_satisfied_by_its_people_and_keys() {
    let first = entry(genesis(), T0);
    let counts = |signers: &[(&str, &str)], change: fn(&mut RosterRecord)| {
        let second = next_signed(&[&first], T0.plus(1), signers, change);
        let chain = resolve(&[&first, &second], T0.plus(2 * DELAY));
        assert_eq!(chain.ignored().len(), usize::from(chain.in_force() == [first.0]));
        chain.in_force() == [second.0]
    };
    let nothing = |_: &mut RosterRecord| {};
    let (alice, carol, dave) = (ENOUGH[0], ENOUGH[1], ENOUGH[2]);
    assert!(counts(&ENOUGH, nothing));
    assert!(counts(&[("bob", "key-bob"), carol, dave], nothing));
    assert!(!counts(&[], nothing), "nobody signed");
    assert!(!counts(&[alice, carol], nothing), "a quorum of two is not one");
    assert!(!counts(&[carol, dave], nothing), "all levels must be satisfied");
    assert!(!counts(&[alice, ("bob", "key-bob"), carol], nothing), "levels do not lend each other people");
    assert!(!counts(&[alice, carol, ("dave", "key-carol")], nothing), "a key counts for its person only");
    assert!(!counts(&[alice, carol, ("eve", "key-dave")], nothing), "nobody has dave's key but dave");

    // What the change itself adds does not count for it.
    let with_eve = |r: &mut RosterRecord| {
        r.persons.push(person("eve", &["key-eve"]));
        r.levels[1] = level("security", &["carol", "eve"], 2);
    };
    assert!(!counts(&[alice, carol, ("eve", "key-eve")], with_eve));
    let with_key = |r: &mut RosterRecord| r.persons[3].keys.push("key-new".into());
    assert!(!counts(&[alice, carol, ("dave", "key-new")], with_key));
    assert!(counts(&ENOUGH, with_eve));

    // One person with two keys is one person.
    let two_keys = |r: &mut RosterRecord| r.persons[2].keys.push("key-carol-2".into());
    let second = next(&[&first], T0.plus(1), two_keys);
    let signers = [alice, carol, ("carol", "key-carol-2")];
    let third = next_signed(&[&second], T0.plus(2 * DELAY), &signers, |_| {});
    assert_eq!(resolve(&[&first, &second, &third], T0.plus(9 * DELAY)).in_force(), [second.0]);
}

#[test]
fn signatures_are_bound_to_what_they_sign() {
    let first = entry(genesis(), T0);
    let second = next(&[&first], T0.plus(1), |_| {});
    let mut other = second.1.clone();
    other.change_delay_ms += 1;
    let other = entry(other, T0.plus(1));
    assert_eq!(resolve(&[&first, &other], T0.plus(9 * DELAY)).in_force(), [first.0]);
    let chain = RosterChain::resolve(
        [(first.0, &first.1, &first.2), (second.0, &second.1, &second.2)],
        GroupId([9; 16]),
        Some(first.0),
        T0.plus(9 * DELAY),
        &verify,
    );
    assert_eq!(chain.in_force(), [first.0], "another group's signatures");
}

#[test]
fn a_roster_without_levels_can_never_be_changed() {
    let bare = entry(RosterRecord { levels: Vec::new(), ..genesis() }, T0);
    let second = next(&[&bare], T0.plus(1), |r| r.levels = genesis().levels);
    let records = [&bare, &second].map(|(d, r, a)| (*d, r, a));
    let chain = RosterChain::resolve(records, GROUP, Some(bare.0), T0.plus(9 * DELAY), &verify);
    assert_eq!(chain.in_force(), [bare.0]);
    assert!(!chain.effective().unwrap().is_satisfied_by(&BTreeSet::from(["alice", "carol", "dave"])));
}

#[test]
fn gaps_wrong_numbers_and_loose_access_control_do_not_count() {
    let first = entry(genesis(), T0);
    let second = next(&[&first], T0.plus(1), |_| {});
    let third = next(&[&second], T0.plus(2), |_| {});
    assert_eq!(resolve(&[&first, &third], T0.plus(9 * DELAY)).in_force(), [first.0]);
    let misnumbered = next(&[&first], T0.plus(1), |r| r.version = 3);
    assert_eq!(resolve(&[&first, &misnumbered], T0.plus(9 * DELAY)).in_force(), [first.0]);
    let around = next(&[&first, &second], T0.plus(2), |_| {});
    let chain = resolve(&[&first, &second, &around], T0.plus(9 * DELAY));
    assert_eq!((chain.in_force(), chain.ignored().len()), (&[second.0][..], 1));
    let mut loose = second;
    loose.2.template_ok = false;
    assert_eq!(resolve(&[&first, &loose], T0.plus(9 * DELAY)).in_force(), [first.0]);
}

#[test]
fn siblings_take_effect_together_and_combine_to_the_more_restrictive() {
    let first = entry(genesis(), T0);
    let left = next(&[&first], T0.plus(DAY_MS), |r| {
        r.persons.push(person("eve", &["key-eve"]));
        r.levels[1] = level("security", &["carol", "dave", "eve"], 2);
        r.change_delay_ms = 2 * DELAY;
    });
    let right = next(&[&first], T0.plus(DAY_MS + DELAY), |r| {
        r.levels.push(level("legal", &["bob"], 1));
        r.levels[0].quorum = 2;
    });
    let all = [&first, &left, &right];
    let alone = resolve(&all, T0.plus(DAY_MS + DELAY));
    assert_eq!((alone.in_force(), alone.pending().count()), (&[first.0][..], 2));
    let chain = resolve(&all, T0.plus(DAY_MS + 2 * DELAY));
    let both = chain.effective().unwrap();
    assert_eq!(chain.in_force().len(), 2);
    assert!(both.person("eve").is_none() && both.person("bob").is_some());
    assert_eq!(
        both.levels,
        [
            level("team", &["alice", "bob"], 2),
            level("security", &["carol", "dave"], 2),
            level("legal", &["bob"], 1)
        ]
    );
    assert_eq!(both.change_delay_ms, 2 * DELAY);

    // A version that both are satisfied with settles them.
    let signers = [ENOUGH[0], ("bob", "key-bob"), ENOUGH[1], ENOUGH[2]];
    let made = T0.plus(10 * DAY_MS);
    let settled = next_signed(&[&left, &right], made, &ENOUGH, |_| {});
    let all = [&first, &left, &right, &settled];
    assert_eq!(resolve(&all, made.plus(9 * DELAY)).in_force().len(), 2, "right wants both of the team");
    let settled = next_signed(&[&left, &right], made, &signers, |_| {});
    let all = [&first, &left, &right, &settled];
    assert_eq!(resolve(&all, made.plus(2 * DELAY - 1)).in_force().len(), 2);
    assert_eq!(resolve(&all, made.plus(2 * DELAY)).in_force(), [settled.0], "after the longer delay of both");
}

#[test]
fn a_level_that_nobody_can_satisfy_is_reported_and_nothing_passes_until_it_is_settled() {
    let first = entry(genesis(), T0);
    let left = next(&[&first], T0.plus(1), without_bob);
    let right = next(&[&first], T0.plus(1), with_quorum_of_two);
    let now = T0.plus(1 + DELAY);
    let chain = resolve(&[&first, &left, &right], now);
    let both = chain.effective().unwrap();
    assert_eq!(both.unsatisfiable().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["team"]);
    assert!(!both.is_satisfied_by(&BTreeSet::from(["alice", "bob", "carol", "dave"])));

    let signers = [ENOUGH[0], ("bob", "key-bob"), ENOUGH[1], ENOUGH[2]];
    let settled = next_signed(&[&left, &right], now, &signers, |_| {});
    let chain = resolve(&[&first, &left, &right, &settled], now.plus(DELAY));
    assert_eq!(chain.in_force(), [settled.0]);
    assert_eq!(chain.effective().unwrap().unsatisfiable().count(), 0);
}

#[test]
fn who_was_removed_cannot_come_back_to_the_version_that_named_him() {
    let first = entry(genesis(), T0);
    let second = next(&[&first], T0.plus(1), without_bob);
    let now = T0.plus(1 + DELAY);
    let old =
        next_signed(&[&first], now.plus(1), &[("bob", "key-bob"), ENOUGH[1], ENOUGH[2]], with_quorum_of_two);
    let chain = resolve(&[&first, &second, &old], now.plus(9 * DELAY));
    assert_eq!((chain.in_force(), chain.ignored()[0].0), (&[second.0][..], old.0));
    // At the very end of the delay an objection is still in time.
    let objection = next(&[&first], now, with_quorum_of_two);
    assert_eq!(resolve(&[&first, &second, &objection], now).in_force(), [first.0]);
    assert_eq!(resolve(&[&first, &second, &objection], now.plus(DELAY)).in_force().len(), 2);
}

fn rosters() -> impl Strategy<Value = Roster> {
    let names = ["a", "b", "c"];
    let keys = proptest::collection::btree_set(0u8..3, 0..3);
    let persons = proptest::collection::vec(proptest::option::of(keys), 3);
    let approvers = proptest::collection::btree_set(0usize..3, 0..3);
    let levels = proptest::collection::vec((0usize..3, approvers, 1u32..3), 0..4);
    (persons, levels, 0u64..5).prop_map(move |(persons, levels, change_delay_ms)| {
        let persons: Vec<Person> = names
            .iter()
            .zip(persons)
            .filter_map(|(id, keys)| {
                let keys = keys?.into_iter().map(|k| format!("key-{id}-{k}")).collect();
                Some(Person { id: (*id).into(), keys, accounts: vec![format!("uid:{id}")] })
            })
            .collect();
        let mut seen = BTreeSet::new();
        let levels = levels
            .into_iter()
            .filter(|(name, ..)| seen.insert(*name))
            .map(|(name, approvers, quorum)| {
                let there = |id: &&str| persons.iter().any(|p| p.id == *id);
                let approvers: Vec<&str> = approvers.into_iter().map(|i| names[i]).filter(there).collect();
                level(names[name], &approvers, quorum)
            })
            .collect();
        Roster { persons, levels, change_delay_ms, elevation: None }
    })
}

proptest! {
    #[test]
    fn combining_is_no_laxer_and_does_not_depend_on_order(
        rosters in proptest::collection::vec(rosters(), 1..4), approved in 0u8..8,
    ) {
        let refs: Vec<&Roster> = rosters.iter().collect();
        let all = Roster::combine(&refs).unwrap();
        let reversed: Vec<&Roster> = rosters.iter().rev().collect();
        prop_assert_eq!(&Roster::combine(&reversed).unwrap(), &all);
        prop_assert_eq!(&Roster::combine(&[&all]).unwrap(), &all);
        prop_assert_eq!(&Roster::combine(&[&rosters[0]]).unwrap(), &rosters[0]);
        let approved: BTreeSet<&str> =
            ["a", "b", "c"].into_iter().enumerate().filter(|(i, _)| approved >> i & 1 == 1).map(|(_, n)| n).collect();
        for roster in &rosters {
            prop_assert!(!all.is_satisfied_by(&approved) || roster.is_satisfied_by(&approved));
            prop_assert!(all.change_delay_ms >= roster.change_delay_ms);
            for person in &all.persons {
                let there = roster.person(&person.id).unwrap();
                prop_assert!(person.keys.iter().all(|k| there.keys.contains(k)));
                prop_assert!(person.accounts.iter().all(|a| there.accounts.contains(a)));
            }
        }
    }

    /// A tree of versions with random parents, times and signers: the outcome does not depend on the order in which
    /// records arrive or on repetitions; a version in force was approved and has waited; time only ever moves
    /// versions from pending to in force.
    #[test]
    fn the_chain_does_not_depend_on_order_and_every_change_waits(
        shape in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0u64..6, 0u8..8), 1..8),
        now in 0u64..40, turn in any::<prop::sample::Index>(),
    ) {
        let first = entry(genesis(), T0);
        let mut entries = vec![first];
        for (parent, both, at, choice) in shape {
            let mut parents = vec![&entries[parent.index(entries.len())]];
            if both && entries.last().unwrap().0 != parents[0].0 {
                parents.push(entries.last().unwrap());
            }
            let signers: &[(&str, &str)] = if choice == 0 { &ENOUGH[1..] } else { &ENOUGH };
            let made = T0.plus(at * DELAY / 2);
            let child = next_signed(&parents, made, signers, |r| match choice {
                1 => without_bob(r),
                2 if r.levels[0].approvers.len() == 2 => with_quorum_of_two(r),
                3 => r.change_delay_ms = 0,
                _ => r.created_at_ms += 1,
            });
            entries.push(child);
        }
        let now = T0.plus(now * DELAY / 4);
        let mut refs: Vec<&Entry> = entries.iter().collect();
        let chain = resolve(&refs, now);
        refs.reverse();
        prop_assert_eq!(&resolve(&refs, now), &chain);
        let turn = turn.index(refs.len());
        refs.rotate_left(turn);
        refs.push(&entries[0]);
        prop_assert_eq!(&resolve(&refs, now), &chain);

        let by_digest = |d: &Digest| chain.versions().iter().find(|v| v.digest == *d).unwrap();
        for version in chain.versions() {
            for previous in &version.previous {
                let previous = by_digest(previous);
                prop_assert!(version.effective_at >= version.created.plus(previous.roster.change_delay_ms));
                prop_assert!(version.effective_at >= previous.effective_at.plus(previous.roster.change_delay_ms));
            }
        }
        prop_assert!(!chain.in_force().is_empty());
        let later = resolve(&refs, now.plus(DELAY));
        prop_assert!(later.pending().all(|v| chain.pending().any(|p| p == v)));
        prop_assert_eq!(later.ignored(), chain.ignored());
        prop_assert_eq!(chain.versions().len() + chain.ignored().len(), {
            let digests: BTreeSet<Digest> = entries.iter().map(|e| e.0).collect();
            digests.len()
        });
    }
}
