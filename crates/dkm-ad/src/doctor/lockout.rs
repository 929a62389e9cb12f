//! How long reading goes on after an account was taken out of the readers group: cases and reasons are those of
//! docs/active-directory-removal.md, the numbers are this domain's.

use std::time::Duration;

use super::dc::Dc;
use super::report::{Area, Case, Convergence, Draft, LockOut, ms};
use super::text::about;
use crate::repository::AdRepository;

/// Reads the lives of this account's tickets. `refresh_ms`: the longest interval between two readings.
pub(super) fn look(
    repository: &AdRepository,
    dcs: &[Dc],
    convergence: &Convergence,
    refresh_ms: Option<u64>,
    draft: &mut Draft,
) -> LockOut {
    let tgt = repository.shared().ticket_left();
    let service: Option<Duration> = dcs.iter().filter_map(|dc| dc.ticket_left).max();
    if let Err(why) = &tgt {
        draft.not_checked(
            Area::LockOut,
            "this account's ticket-granting ticket",
            why,
            "kinit, or name a keytab",
        );
    }
    if service.is_none() && !dcs.is_empty() {
        let why = "the Kerberos library does not tell";
        draft.not_checked(Area::LockOut, "this account's service tickets", why, "klist shows them");
    }
    let lock_out = cases(tgt.ok().map(ms), service.map(ms), refresh_ms, convergence.slowest_ms);
    if dcs.iter().any(|dc| dc.is_samba) {
        draft.note(
            Area::LockOut,
            "Samba ends a connection with its service ticket, and decides by the memberships in the ticket",
            "kdc:service ticket lifetime and kdc:user ticket lifetime in smb.conf, in hours, shorten it",
        );
    }
    if dcs.iter().any(|dc| !dc.is_samba) {
        draft.note(
            Area::LockOut,
            "what Windows does with a connection whose ticket has ended was not tried",
            "the domain's Kerberos policy (maximum lifetime for service ticket) shortens tickets",
        );
    }
    for case in &lock_out.cases {
        let reads = match case.reads_for_ms {
            Some(0) => "ends at once".to_owned(),
            Some(span) => format!("up to {}", about(span)),
            None => "not measured".to_owned(),
        };
        let what = format!("{}: {reads} ({})", case.has, case.because);
        draft.note(Area::LockOut, what, "to end it at once: docs/active-directory-removal.md");
    }
    lock_out
}

fn sum(parts: &[Option<u64>]) -> Option<u64> {
    parts.iter().copied().try_fold(0u64, |sum, part| Some(sum.saturating_add(part?)))
}

fn cases(
    tgt_left_ms: Option<u64>,
    service_ticket_left_ms: Option<u64>,
    refresh_ms: Option<u64>,
    convergence_ms: Option<u64>,
) -> LockOut {
    let shown = |name: &str, span: Option<u64>| match span {
        Some(span) => format!("{name} {}", about(span)),
        None => format!("{name} not known"),
    };
    let ticket = shown("service ticket", service_ticket_left_ms);
    let granting = shown("ticket-granting ticket", tgt_left_ms);
    let refresh = shown("refresh interval", refresh_ms);
    let replication = shown("replication", convergence_ms);
    let case = |has, parts: &[Option<u64>], because: Vec<&str>| Case {
        has,
        reads_for_ms: sum(parts),
        because: because.join(" + "),
    };
    let cases = vec![
        case(
            "keys in a running client",
            // It reads on until its ticket ends, and a ticket that it gets then carries what the domain controller knows.
            &[tgt_left_ms, refresh_ms, convergence_ms],
            vec![granting.as_str(), refresh.as_str(), replication.as_str()],
        ),
        case("an open connection", &[service_ticket_left_ms], vec![ticket.as_str()]),
        case("an old service ticket", &[service_ticket_left_ms], vec![ticket.as_str()]),
        case("an old ticket-granting ticket", &[tgt_left_ms], vec![granting.as_str()]),
        case("a fresh ticket", &[convergence_ms], vec![replication.as_str()]),
        case(
            "any of these, refused on both rooms by an entry for the account's SID",
            &[convergence_ms],
            vec![replication.as_str()],
        ),
    ];
    LockOut { tgt_left_ms, service_ticket_left_ms, refresh_ms, convergence_ms, cases }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_gives_no_number() {
        let all = cases(Some(10), Some(7), Some(3), Some(1));
        let spans: Vec<_> = all.cases.iter().map(|case| case.reads_for_ms).collect();
        assert_eq!(spans, [Some(14), Some(7), Some(7), Some(10), Some(1), Some(1)]);
        let some = cases(Some(10), None, None, None);
        let spans: Vec<_> = some.cases.iter().map(|case| case.reads_for_ms).collect();
        assert_eq!(spans, [None, None, None, Some(10), None, None]);
        assert!(some.cases[0].because.contains("replication not known"));
    }
}
