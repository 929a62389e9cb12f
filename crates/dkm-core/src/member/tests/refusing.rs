//! When a client does not protect, and when it does not unprotect.

use super::*;

#[test]
fn before_the_first_reading_nothing_is_done() {
    let mut member = member(1);
    assert_eq!(member.protecting_key(T0), Err(ProtectRefusal::NotRead));
    assert_eq!(member.unprotect_leave(T0, key_id(1), true), Err(UnprotectRefusal::NotRead));
    assert_eq!(member.plan(T0), Plan::Nothing { until: T0 });
    assert_eq!(member.grace_end(), None);
    // Nor with records but without a policy.
    read(&mut member, 1, T0, &[group(), key(1, T0, |_| {})]);
    assert_eq!(member.protecting_key(T0), Err(ProtectRefusal::NotRead));
}

#[test]
fn a_denial_drops_everything_at_once() {
    let mut member = ready();
    member.set_rights(Rights { read: true, create: true, own: true });
    assert_eq!(member.protecting_key(T0), Ok(key_id(1)));
    member.deny();
    assert!(member.is_denied() && member.ring().keys.is_empty() && member.ring().policy().is_none());
    assert_eq!((member.rights(), member.read_from(key_id(1))), (Rights::default(), 0));
    let records = records();
    assert!(records.iter().all(|r| !member.holds(r.room, &r.name, r.digest)), "all must be read anew");
    assert_eq!(member.protecting_key(T0), Err(ProtectRefusal::Denied));
    assert_eq!(member.unprotect_leave(T0, key_id(1), true), Err(UnprotectRefusal::Denied));

    // Let in again, it reads everything from the start.
    read(&mut member, 1, T0, &records);
    assert!(!member.is_denied() && records.iter().all(|r| member.holds(r.room, &r.name, r.digest)));
    assert_eq!(member.protecting_key(T0), Ok(key_id(1)));
    assert_eq!(member.alarms().count(), 0);
}

#[test]
fn out_of_reach_a_client_goes_on_for_the_grace_and_no_longer() {
    let mut member = ready();
    let last = T0.plus(GRACE);
    assert_eq!(member.protecting_key(last), Ok(key_id(1)));
    assert!(member.unprotect_leave(last, key_id(1), false).is_ok());
    let over = last.plus(1);
    assert_eq!(member.protecting_key(over), Err(ProtectRefusal::OutOfReach { grace_ms: GRACE }));
    let refusal = UnprotectRefusal::OutOfReach { grace_ms: GRACE };
    assert_eq!(member.unprotect_leave(over, key_id(1), true), Err(refusal));
    read(&mut member, 1, over, &records());
    assert_eq!(member.protecting_key(over), Ok(key_id(1)));
}

/// A reading at `T0` by a client whose clock is `ahead_ms` ahead of, or behind, the clocks of replicas.
fn with_clocks(offs: &[i64]) -> Member {
    let mut member = member(1);
    for (n, off) in (1u8..).zip(offs) {
        let theirs = Timestamp(T0.0.checked_add_signed(*off).unwrap());
        member.observe(T0, &Reading { clock: Some(theirs), ..reading(n, T0, &records()) });
    }
    member
}

#[test]
fn a_client_whose_clock_is_off_unprotects_and_does_nothing_else() {
    let skew = i64::try_from(MINUTE_MS).unwrap();
    for off in [skew + 1, -skew - 1] {
        let mut member = with_clocks(&[off]);
        member.set_rights(Rights { read: true, create: true, own: true });
        let refusal = ProtectRefusal::ClockOff { off_ms: MINUTE_MS + 1, skew_ms: MINUTE_MS };
        assert_eq!(member.protecting_key(T0), Err(refusal));
        assert!(member.unprotect_leave(T0, key_id(1), false).is_ok());
        assert_eq!(member.plan(T0), Plan::Nothing { until: T0 });
    }
    for off in [skew, -skew, 0] {
        assert_eq!(with_clocks(&[off]).protecting_key(T0), Ok(key_id(1)));
    }
}

#[test]
fn a_replica_whose_clock_is_off_is_outvoted_but_a_tie_is_not_trusted() {
    let off = 3_600_000;
    assert_eq!(with_clocks(&[0, 0, off]).clock_off_ms(), None);
    assert_eq!(with_clocks(&[0, off]).clock_off_ms(), Some(HOUR_MS));
    assert_eq!(with_clocks(&[0, off, -off]).clock_off_ms(), Some(HOUR_MS));
    // It is the latest reading of each replica that counts.
    let mut member = with_clocks(&[off]);
    read(&mut member, 1, T0, &records());
    assert_eq!(member.clock_off_ms(), None);
}

#[test]
fn without_a_clock_to_compare_records_from_the_future_tell() {
    let mut member = member(1);
    let records = records();
    let early = T0.minus(MINUTE_MS + 1);
    member.observe(early, &Reading { clock: None, ..reading(1, early, &records) });
    assert_eq!(member.clock_off_ms(), Some(MINUTE_MS + 1));
    assert!(matches!(member.protecting_key(early), Err(ProtectRefusal::ClockOff { .. })));
    member.observe(T0, &Reading { clock: None, ..reading(1, T0, &records) });
    assert_eq!((member.clock_off_ms(), member.protecting_key(T0)), (None, Ok(key_id(1))));

    let off = Safeguards { clock_check: false, ..Safeguards::ALL };
    let mut blind = Member::new([1; 16], 1, None, off);
    blind.observe(early, &Reading { clock: None, ..reading(1, early, &records) });
    assert_eq!(blind.clock_off_ms(), None);
}

#[test]
fn without_an_active_key_nothing_is_protected() {
    for change in [Change::Suspended, Change::Deactivated, Change::Compromised, Change::Destroyed] {
        let mut member = member(1);
        read(&mut member, 1, T0, &[records(), vec![status(1, change, T0, &[])]].concat());
        assert_eq!(member.protecting_key(T0), Err(ProtectRefusal::NoKey), "{change:?}");
        let left = member.unprotect_leave(T0, key_id(1), false);
        match change {
            Change::Compromised => assert_eq!(left, Err(UnprotectRefusal::Compromised { key: key_id(1) })),
            Change::Destroyed => assert_eq!(left, Err(UnprotectRefusal::Destroyed { key: key_id(1) })),
            _ => assert!(left.is_ok(), "{change:?}"),
        }
    }
}

#[test]
fn an_override_opens_what_is_compromised_but_never_what_is_destroyed() {
    let open = |change| {
        let mut member = member(1);
        read(&mut member, 1, T0, &[records(), vec![status(1, change, T0, &[])]].concat());
        member.unprotect_leave(T0, key_id(1), true)
    };
    let leave = UnprotectLeave { notice_use: false, state: KeyState::Compromised };
    assert_eq!(open(Change::Compromised), Ok(leave));
    assert_eq!(open(Change::Destroyed), Err(UnprotectRefusal::Destroyed { key: key_id(1) }));
}

#[test]
fn a_destroyed_key_is_told_from_an_unknown_one_after_its_record_is_erased() {
    let mut member = member(1);
    let tombstone = status(1, Change::Destroyed, T0, &[]);
    read(&mut member, 1, T0, &[policy(|_| {}), tombstone]);
    let refusal = member.unprotect_leave(T0, key_id(1), true);
    assert_eq!(refusal, Err(UnprotectRefusal::Destroyed { key: key_id(1) }));
    let unknown = member.unprotect_leave(T0, key_id(9), true);
    assert_eq!(unknown, Err(UnprotectRefusal::UnknownKey { key: key_id(9) }));
}

#[test]
fn use_of_a_key_that_cools_off_is_to_be_noticed() {
    let cooling = status_for(1, Change::Suspended, Purpose::CoolingOff, T0, &[]);
    let used = status_for(1, Change::Resumed, Purpose::InUse, T0.plus(1), &[&cooling]);
    let suspended = status(1, Change::Suspended, T0, &[]);
    let notice = |statuses: &[Observed]| {
        let mut member = member(1);
        read(&mut member, 1, T0.plus(1), &[&records()[..], statuses].concat());
        member.unprotect_leave(T0.plus(1), key_id(1), false).unwrap().notice_use
    };
    assert!(notice(std::slice::from_ref(&cooling)));
    assert!(!notice(&[cooling, used]));
    assert!(!notice(&[suspended]));
}

#[test]
fn material_that_does_not_open_unprotects_nothing_and_protects_nothing() {
    let mut damaged = key(1, T0, |_| {});
    damaged.verified = false;
    let mut member = member(1);
    read(&mut member, 1, T0, &[policy(|_| {}), damaged]);
    assert_eq!(member.protecting_key(T0), Err(ProtectRefusal::NoKey));
    let refusal = member.unprotect_leave(T0, key_id(1), true);
    assert_eq!(refusal, Err(UnprotectRefusal::NotVerified { key: key_id(1) }));
}

#[test]
fn an_overdue_key_goes_on_unless_policy_sets_a_limit() {
    let late = T0.plus(90 * DAY_MS + 10);
    let protect = |limit, at| {
        let mut member = member(1);
        let policy = policy(|p| p.overdue_refuse_after_ms = limit);
        read(&mut member, 1, at, &[policy, key(1, T0, |_| {})]);
        member.protecting_key(at)
    };
    assert_eq!(protect(None, late.plus(1_000 * DAY_MS)), Ok(key_id(1)));
    assert_eq!(protect(Some(10), late), Ok(key_id(1)));
    let refusal = ProtectRefusal::Overdue { key: key_id(1), by_ms: 11, limit_ms: 10 };
    assert_eq!(protect(Some(10), late.plus(1)), Err(refusal));
}
