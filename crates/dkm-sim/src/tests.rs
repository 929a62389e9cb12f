use super::*;

#[test]
fn a_seed_replays_exactly_and_seeds_differ() {
    for seed in [1, 2, 3] {
        let (once, again) = (run_seed(seed, None, false), run_seed(seed, None, true));
        assert_eq!((once.hash, once.tally), (again.hash, again.tally));
        assert!(once.lines.is_empty() && !again.lines.is_empty());
        assert_eq!(again.lines, run_seed(seed, None, true).lines);
    }
    assert_ne!(run_seed(1, None, false).hash, run_seed(2, None, false).hash);
}

#[test]
fn the_number_of_threads_does_not_show() {
    let report = |threads| run_span(Span { from: 500, seeds: 70, threads }, None, |_, _| {});
    let one = report(1);
    assert_eq!(one, report(2));
    assert_eq!(one, report(5));
}

#[test]
fn a_small_run_passes_and_is_not_vacuous() {
    let report = run_span(Span { from: 0, seeds: 300, threads: 2 }, None, |_, _| {});
    assert_eq!(report.violations, []);
    assert_eq!((report.passed, report.failed), (300, 0));
    for (label, count) in report.tally.lines() {
        assert!(count > 0, "no {}", label.trim());
    }
}

#[test]
fn without_a_safeguard_its_harm_is_noticed() {
    for off in Off::ALL {
        let proof = prove(off, 0, 500);
        let found = proof.found.unwrap_or_else(|| panic!("nothing noticed without {}", off.as_str()));
        assert_eq!(found.kind, off.harm());
        // The same seed is clean with all safeguards on.
        assert_eq!(run_seed(found.seed, None, false).violations, []);
    }
}

#[test]
fn a_failing_span_keeps_the_lowest_seeds() {
    let span = |threads| Span { from: 0, seeds: 120, threads };
    let report = run_span(span(2), Some(Off::SlotNames), |_, _| {});
    assert!(report.failed > 20);
    assert_eq!(report.passed + report.failed, 120);
    assert!(report.violations.is_sorted());
    assert_eq!(report, run_span(span(1), Some(Off::SlotNames), |_, _| {}));
}
