//! What happened in a seed: always as a hash, as text only when somebody looks.

/// A running hash of all that happened, and the text if it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(seed: u64, tracing: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325 ^ seed, lines: tracing.then(Vec::new) }
    }

    fn mix(&mut self, word: u64) {
        // FNV-1a, a word at a time, with the high bits brought down.
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.hash ^= self.hash >> 29;
    }

    pub(crate) fn note(&mut self, at: u64, tag: &'static str, number: u64, text: impl FnOnce() -> String) {
        self.mix(at);
        self.mix(number);
        for byte in tag.bytes() {
            self.mix(u64::from(byte));
        }
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{at:>9} ms  {tag:<10} {}", text()));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
