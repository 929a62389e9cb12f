//! Simple mutations of seeds, the same in every run.

/// Makes changed copies of inputs from a number: the same number, the same changes.
#[derive(Debug, Clone)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// A mutator that starts from this number.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, or 0 if that is 0.
    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        const LIMITS: [u8; 8] = [0, 1, 0x17, 0x18, 0x7f, 0x80, 0xf6, 0xff];
        match self.below(2) {
            0 => LIMITS[self.below(LIMITS.len())],
            _ => self.next().to_be_bytes()[0],
        }
    }

    /// A copy of `input` with one to four changes; pieces come from `other`.
    pub fn mutate(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut out = input.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(out.len());
            match self.below(7) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 if !out.is_empty() => out[at] = self.byte(),
                2 => out.truncate(at),
                3 => out.insert(at.min(out.len()), self.byte()),
                4 if !out.is_empty() => drop(out.remove(at)),
                5 => {
                    let from = self.below(other.len());
                    let to = from + self.below(other.len() - from);
                    out.splice(at..at, other[from..to].iter().copied());
                }
                _ => {
                    let end = at + self.below((out.len() - at).min(64));
                    let piece = out[at..end].to_vec();
                    out.splice(at..at, piece);
                }
            }
        }
        out
    }
}
