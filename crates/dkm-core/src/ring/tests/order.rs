//! The ring is a function of the set of records: their order, and how often one was read, do not show.

use proptest::prelude::*;

use super::*;

fn records() -> impl Strategy<Value = Vec<Observed>> {
    let record = (0u8..8, 0u8..4, 0u64..6, any::<prop::sample::Index>(), 0u8..4, any::<bool>());
    proptest::collection::vec(record, 0..16).prop_map(|choices| {
        let mut all: Vec<Observed> = vec![group(), policy(|_| {})];
        for (kind, n, at, other, flavour, odd) in choices {
            let at = T0.plus(at * HOUR_MS);
            let other = all[other.index(all.len())].clone();
            let mut seen = match kind {
                0 => key(n, at, |k| k.attempt = u32::from(flavour)),
                1 => successor(n, flavour, at),
                2 => key(n, at, |k| k.origin = [Origin::Restored, Origin::Imported][usize::from(odd)]),
                3 => exposed(at, at.plus(HOUR_MS * (1 + u64::from(flavour)))),
                4 => policy_after(&[&all[1].clone()], 2, at, |p| {
                    p.chunk_size = 4096;
                    p.activation_delay_ms *= 1 + u64::from(flavour);
                }),
                5 => status_for(n, Change::Suspended, Purpose::CoolingOff, at, &[&other]),
                6 => status_for(n, Change::Resumed, Purpose::InUse, at, &[&other]),
                _ => {
                    let change = [Change::Suspended, Change::Resumed, Change::Compromised, Change::Destroyed];
                    let mut seen = status(n, change[usize::from(flavour)], at, &[&other]);
                    if let Record::Status(status) = &mut seen.record {
                        status.reason = format!("{flavour} at {at}");
                        seen.digest = Digest::of(&seen.record.encode(GROUP));
                    }
                    seen
                }
            };
            // The same record in another slot, of another author, with looser access control or not opened.
            match (odd, flavour) {
                (true, 0) => seen.name = "elsewhere".parse().unwrap(),
                (true, 1) => seen.attested.creator.0 = "uid:7".into(),
                (true, 2) => seen.attested.template_ok = false,
                (true, 3) => seen.verified = seen.room == Room::Control,
                _ => {}
            }
            all.push(seen);
        }
        all
    })
}

proptest! {
    #[test]
    fn the_ring_does_not_depend_on_the_order_of_records(
        (records, shuffled) in records().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle())),
        again in any::<prop::sample::Index>(), hours in 0u64..12,
    ) {
        let now = T0.plus(hours * HOUR_MS);
        let expected = ring(&records, now);
        prop_assert_eq!(&ring(&shuffled, now), &expected);
        let mut repeated = shuffled;
        repeated.push(repeated[again.index(repeated.len())].clone());
        prop_assert_eq!(&ring(&repeated, now), &expected);
    }

    /// More records never make a compromised or destroyed key anything less, whatever they are.
    #[test]
    fn the_end_of_a_key_is_final(records in records(), more in records()) {
        let now = T0.plus(12 * HOUR_MS);
        let before = ring(&records, now);
        let after = ring(&[&records[..], &more[..]].concat(), now);
        // The policies of both sets restrict who may own and create alike, so that no status loses its right.
        for key in &before.keys {
            let state = key.state(now);
            if state >= KeyState::Compromised {
                prop_assert!(after.key(key.id()).unwrap().state(now) >= state);
            }
            prop_assert!(!before.is_destroyed(key.id()) || after.is_destroyed(key.id()));
        }
    }
}
