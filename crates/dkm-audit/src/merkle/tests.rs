use dkm_core::Digest;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// MTH, word for word from RFC 6962 §2.1.
fn mth(leaves: &[Vec<u8>]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [leaf] => Digest::of(&[&[0][..], leaf].concat()),
        _ => {
            let (left, right) = leaves.split_at(k(leaves.len()));
            Digest::of(&[&[1][..], mth(left).as_bytes(), mth(right).as_bytes()].concat())
        }
    }
}

fn k(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// PATH, word for word from RFC 6962 §2.1.1.
fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<Digest> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = k(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) =
        if m < k { (path(m, left), mth(right)) } else { (path(m - k, right), mth(left)) };
    proof.push(sibling);
    proof
}

/// SUBPROOF, word for word from RFC 6962 §2.1.2.
fn subproof(m: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<Digest> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = k(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if m <= k {
        (subproof(m, left, whole), mth(right))
    } else {
        (subproof(m - k, right, false), mth(left))
    };
    proof.push(sibling);
    proof
}

fn leaves(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| i.to_string().into_bytes()).collect()
}

fn hashes(leaves: &[Vec<u8>]) -> Vec<Digest> {
    leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
}

fn frontier(hashes: &[Digest]) -> Frontier {
    let mut frontier = Frontier::new();
    for hash in hashes {
        assert!(frontier.push(*hash, |_, _, _| {}));
    }
    frontier
}

const N: u64 = 70;

#[test]
fn every_root_and_every_proof_of_small_trees_is_what_the_rfc_defines() {
    let all = leaves(70);
    let hashes = hashes(&all);
    for n in 0..=N {
        let len = usize::try_from(n).unwrap();
        let root = mth(&all[..len]);
        assert_eq!(frontier(&hashes[..len]).root(), root);
        for m in 0..n {
            let at = usize::try_from(m).unwrap();
            let proof = prove_inclusion(&hashes[..len], m, n).unwrap();
            assert_eq!(proof, path(at, &all[..len]));
            verify_inclusion(&hashes[at], m, n, &root, &proof).unwrap();
        }
        for m in 1..=n {
            let at = usize::try_from(m).unwrap();
            let proof = prove_consistency(&hashes[..len], m, n).unwrap();
            assert_eq!(proof, subproof(at, &all[..len], true));
            verify_consistency((m, &mth(&all[..at])), (n, &root), &proof).unwrap();
        }
    }
}

#[test]
fn the_nodes_made_while_growing_are_those_of_the_tree() {
    let all = leaves(70);
    let mut grown = Frontier::new();
    let mut made = 0;
    for hash in hashes(&all) {
        let pushed = grown.push(hash, |level, index, node| {
            let start = usize::try_from(index << level).unwrap();
            assert_eq!(node, mth(&all[start..start + (1 << level)]));
            made += 1;
        });
        assert!(pushed);
        let size = usize::try_from(grown.size()).unwrap();
        let roots = grown.subtrees().map(|(level, index, root)| {
            let start = usize::try_from(index << level).unwrap();
            assert_eq!(root, mth(&all[start..start + (1 << level)]));
            root
        });
        let roots: Vec<_> = roots.collect();
        assert_eq!(Frontier::from_roots(grown.size(), roots), Some(grown.clone()));
        assert_eq!(grown.root(), mth(&all[..size]));
    }
    assert_eq!(made, 70 + 35 + 17 + 8 + 4 + 2 + 1);
}

#[test]
fn a_full_tree_takes_no_more_leaves() {
    let mut full = Frontier::from_roots(u64::MAX, vec![Digest([1; 32]); 64]).unwrap();
    let before = full.clone();
    assert!(!full.push(Digest([2; 32]), |_, _, _| panic!("nothing is made")));
    assert_eq!(full, before);
    assert_eq!(Frontier::from_roots(3, vec![Digest([1; 32])]), None);
}

#[test]
fn proofs_of_what_is_not_there_are_refused() {
    let hashes = hashes(&leaves(5));
    assert_eq!(prove_inclusion(&hashes[..], 5, 5), Err(ProofError::NoLeaf { index: 5, size: 5 }));
    assert_eq!(prove_inclusion(&hashes[..], 0, 0), Err(ProofError::NoLeaf { index: 0, size: 0 }));
    assert_eq!(prove_consistency(&hashes[..], 0, 5), Err(ProofError::Empty));
    assert_eq!(prove_consistency(&hashes[..], 6, 5), Err(ProofError::Shrunk { earlier: 6, later: 5 }));
    // Claims of more leaves than there are, up to the largest.
    for size in [6, 1 << 40, u64::MAX] {
        assert!(matches!(prove_inclusion(&hashes[..], 0, size), Err(ProofError::NoLeaf { .. })));
        assert!(matches!(prove_consistency(&hashes[..], 3, size), Err(ProofError::NoLeaf { .. })));
    }
}

fn digest(value: &Value) -> Option<Digest> {
    use base64::prelude::{BASE64_STANDARD, Engine};
    BASE64_STANDARD.decode(value.as_str()?).ok()?.try_into().map(Digest).ok()
}

fn proof(value: &Value) -> Option<Vec<Digest>> {
    value.as_array().map_or(Some(Vec::new()), |hashes| hashes.iter().map(digest).collect())
}

#[test]
fn the_vectors_of_transparency_dev_agree() {
    let read = |text| serde_json::from_str::<Vec<Value>>(text).unwrap();
    let inclusion = read(include_str!("../../testdata/inclusion.json"));
    let consistency = read(include_str!("../../testdata/consistency.json"));
    assert_eq!((inclusion.len(), consistency.len()), (98, 98));
    for vector in &inclusion {
        let verified = digest(&vector["leafHash"])
            .zip(digest(&vector["root"]))
            .zip(proof(&vector["proof"]))
            .is_some_and(|((leaf, root), proof)| {
                // A negative index stands in the vectors for one that is not in the tree.
                let index = vector["leafIdx"].as_u64().unwrap_or(u64::MAX);
                let size = vector["treeSize"].as_u64().unwrap();
                verify_inclusion(&leaf, index, size, &root, &proof).is_ok()
            });
        assert_eq!(verified, !vector["wantErr"].as_bool().unwrap(), "{}", vector["file"]);
    }
    for vector in &consistency {
        let roots = digest(&vector["root1"]).zip(digest(&vector["root2"]));
        // Two vectors have placeholders for roots that are equal.
        let placeholders = vector["root1"] == vector["root2"] && roots.is_none();
        let roots = roots.or(placeholders.then_some((Digest([7; 32]), Digest([7; 32]))));
        let verified = roots.zip(proof(&vector["proof"])).is_some_and(|((one, two), proof)| {
            let size = |name| vector[name].as_u64().unwrap();
            verify_consistency((size("size1"), &one), (size("size2"), &two), &proof).is_ok()
        });
        assert_eq!(verified, !vector["wantErr"].as_bool().unwrap(), "{}", vector["file"]);
    }
}

proptest! {
    #[test]
    fn a_changed_proof_proves_nothing(
        n in 2usize..200,
        m in any::<prop::sample::Index>(),
        change in any::<prop::sample::Index>(),
        bit in 0usize..256,
    ) {
        let all = leaves(n);
        let hashes = hashes(&all);
        let root = mth(&all);
        let (size, at) = (u64::try_from(n).unwrap(), m.index(n));
        let index = u64::try_from(at).unwrap();
        let good = prove_inclusion(&hashes[..], index, size).unwrap();
        let check = |proof: &[Digest]| verify_inclusion(&hashes[at], index, size, &root, proof);
        prop_assert_eq!(check(&good), Ok(()));
        let mut bad = good.clone();
        bad[change.index(good.len())].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(check(&bad), Err(ProofError::WrongRoot));
        prop_assert!(check(&good[1..]).is_err());
        prop_assert!(check(&good[..good.len() - 1]).is_err());
        prop_assert_eq!(check(&[&good[..], &[root]].concat()), Err(ProofError::WrongLength));
        prop_assert!(verify_inclusion(&hashes[at], index ^ 1, size, &root, &good).is_err());

        let earlier = 1 + m.index(n - 1);
        let first = (u64::try_from(earlier).unwrap(), &mth(&all[..earlier]));
        let good = prove_consistency(&hashes[..], first.0, size).unwrap();
        let check = |proof: &[Digest]| verify_consistency(first, (size, &root), proof);
        prop_assert_eq!(check(&good), Ok(()));
        let mut bad = good.clone();
        bad[change.index(good.len())].0[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(check(&bad), Err(ProofError::WrongRoot));
        prop_assert!(check(&good[1..]).is_err());
        prop_assert!(check(&[&good[..], &[root]].concat()).is_err());
        prop_assert!(verify_consistency((first.0, &root), (size, &root), &good).is_err());
    }

    #[test]
    fn nothing_that_is_claimed_makes_verification_fail_otherwise_than_by_an_error(
        index in any::<u64>(),
        size in any::<u64>(),
        other in any::<u64>(),
        proof in prop::collection::vec(any::<[u8; 32]>().prop_map(Digest), 0..130),
    ) {
        let root = Digest([3; 32]);
        prop_assert!(verify_inclusion(&root, index, size, &root, &proof).is_err() || proof.is_empty());
        prop_assert!(
            verify_consistency((other, &root), (size, &root), &proof).is_err() || (other == size && proof.is_empty())
        );
    }
}
