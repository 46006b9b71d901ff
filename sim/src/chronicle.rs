//! What happened in a run: a hash over all of it, and its last lines for whoever looks into a failure.

use std::{
    collections::VecDeque,
    fmt::{self, Debug, Write as _},
    time::Duration,
};

/// Feeds a hash with every input and every output of every machine.
#[derive(Debug)]
pub struct Chronicle {
    digest: Digest,
    steps: u64,
    outputs: u64,
    lines: VecDeque<String>,
    /// How many lines are kept; writing them costs ten times what the run costs.
    lines_max: usize,
}

impl Chronicle {
    /// Keeps the last `lines_max` lines.
    pub fn new(lines_max: usize) -> Self {
        Self {
            digest: Digest::default(),
            steps: 0,
            outputs: 0,
            lines: VecDeque::new(),
            lines_max,
        }
    }

    /// Something happened to a machine.
    pub fn input(&mut self, at: Duration, who: &dyn Debug, what: &dyn Debug) {
        self.steps += 1;
        self.feed(at, who, "<-", what);
    }

    /// A machine asked for something.
    pub fn output(&mut self, at: Duration, who: &dyn Debug, what: &dyn Debug) {
        self.outputs += 1;
        self.feed(at, who, "->", what);
    }

    /// Something else that whoever reads the lines wants to know.
    pub fn remark(&mut self, at: Duration, what: &dyn Debug) {
        self.feed(at, &"world", "--", what);
    }

    fn feed(&mut self, at: Duration, who: &dyn Debug, way: &str, what: &dyn Debug) {
        self.digest.word(at.as_micros() as u64);
        // A digest takes whatever it is given.
        let _ = write!(self.digest, "{who:?}{way}{what:?}");
        if self.lines_max > 0 {
            if self.lines.len() >= self.lines_max {
                self.lines.pop_front();
            }
            let at = at.as_secs_f64() * 1_000.0;
            self.lines
                .push_back(format!("{at:>10.3} {who:?} {way} {what:?}"));
        }
    }

    /// How many steps the machines took.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// How many inputs and outputs there were.
    pub const fn events(&self) -> u64 {
        self.steps + self.outputs
    }

    /// The hash over everything so far.
    pub const fn hash(&self) -> u64 {
        self.digest.0
    }

    /// The last lines.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// A hash that takes eight bytes at a time: what it is for is telling two runs apart, not security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    const fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (place, byte) in last.iter_mut().zip(rest) {
            *place = *byte;
        }
        self.word(u64::from_le_bytes(last) ^ ((rest.len() as u64) << 56));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_apart_what_differs_anywhere() {
        let hash = |at: u64, who: &str, what: &str| {
            let mut chronicle = Chronicle::new(0);
            chronicle.input(Duration::from_micros(at), &who, &what);
            chronicle.hash()
        };
        let first = hash(1, "agent", "a long input, longer than eight bytes");
        assert_eq!(
            first,
            hash(1, "agent", "a long input, longer than eight bytes")
        );
        assert_ne!(
            first,
            hash(2, "agent", "a long input, longer than eight bytes")
        );
        assert_ne!(
            first,
            hash(1, "guild", "a long input, longer than eight bytes")
        );
        assert_ne!(
            first,
            hash(1, "agent", "a long input, longer than eight bytez")
        );
        assert_ne!(hash(1, "a", "b"), hash(1, "a", "b\0"));
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut chronicle = Chronicle::new(2);
        for what in 0..5 {
            chronicle.remark(Duration::ZERO, &what);
        }
        let lines = chronicle.into_lines();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.contains("\"world\" -- ")));
    }
}
