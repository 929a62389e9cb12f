//! Measuring side by side: candidates take turns (ABAB…), so that a machine that grows slower slows them all.

use std::time::{Duration, Instant};

/// Runs its work so many times and says how long the work took; set-up may stay outside of that time.
pub(crate) type Candidate<'a> = Box<dyn FnMut(u32) -> Duration + 'a>;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    rounds: usize,
    per_turn: Duration,
}

impl Effort {
    pub(crate) const fn new(quick: bool) -> Self {
        if quick {
            Self { rounds: 5, per_turn: Duration::from_millis(5) }
        } else {
            Self { rounds: 41, per_turn: Duration::from_millis(25) }
        }
    }
}

/// Times of one candidate, one a round, in nanoseconds per operation.
#[derive(Debug, Clone)]
pub(crate) struct Times(pub(crate) Vec<f64>);

/// A middle value with the middle half around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Middle {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Times {
    pub(crate) fn middle(&self) -> Middle {
        middle(self.0.clone())
    }

    /// How many times as long as the other, round by round: what the machine does to both falls out.
    pub(crate) fn per(&self, other: &Self) -> Middle {
        middle(self.0.iter().zip(&other.0).map(|(own, other)| own / other).collect())
    }
}

fn middle(mut values: Vec<f64>) -> Middle {
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
    Middle { median: at(2), low: at(1), high: at(3) }
}

/// Work without set-up.
pub(crate) fn plain<'a, T>(mut work: impl FnMut() -> T + 'a) -> Candidate<'a> {
    Box::new(move |times| {
        let start = Instant::now();
        for _ in 0..times {
            std::hint::black_box(work());
        }
        start.elapsed()
    })
}

/// Work whose result is let go of outside of the time.
pub(crate) fn making<'a, T>(mut work: impl FnMut() -> T + 'a) -> Candidate<'a> {
    Box::new(move |times| {
        let mut total = Duration::ZERO;
        for _ in 0..times {
            let start = Instant::now();
            let made = work();
            total += start.elapsed();
            drop(made);
        }
        total
    })
}

/// Work that consumes an input, which is made outside of the time, a few at once so that they stay in the cache.
pub(crate) fn consuming<'a, I, T>(
    mut make: impl FnMut() -> I + 'a,
    mut work: impl FnMut(I) -> T + 'a,
) -> Candidate<'a> {
    const BATCH: u32 = 16;
    Box::new(move |times| {
        let mut total = Duration::ZERO;
        let mut left = times;
        while left > 0 {
            let inputs: Vec<I> = (0..left.min(BATCH)).map(|_| make()).collect();
            left -= left.min(BATCH);
            let start = Instant::now();
            for input in inputs {
                std::hint::black_box(work(input));
            }
            total += start.elapsed();
        }
        total
    })
}

/// Measures the candidates in turns. Each gets about the same time per turn, after one turn to warm up.
pub(crate) fn compare<const N: usize>(effort: Effort, mut candidates: [Candidate<'_>; N]) -> [Times; N] {
    let counts = candidates.each_mut().map(|candidate| calibrate(candidate, effort.per_turn));
    let mut times: [Times; N] = std::array::from_fn(|_| Times(Vec::with_capacity(effort.rounds)));
    for _ in 0..effort.rounds {
        for (candidate, (count, times)) in candidates.iter_mut().zip(counts.iter().zip(&mut times)) {
            let elapsed = candidate(*count);
            times.0.push(elapsed.as_secs_f64() * 1e9 / f64::from(*count));
        }
    }
    times
}

/// How often the work fits into a turn; warms it up at the same time.
fn calibrate(candidate: &mut Candidate<'_>, turn: Duration) -> u32 {
    let mut count = 1u32;
    loop {
        let elapsed = candidate(count);
        if elapsed >= turn / 4 || count >= 1 << 28 {
            let scaled = f64::from(count) * turn.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
            return (scaled as u32).max(1);
        }
        count *= 2;
    }
}
