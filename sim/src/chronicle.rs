//! What happened in a run: a hash over all of it, and its last lines for whoever looks into a failure.

use std::{collections::VecDeque, fmt::Debug, time::Duration};

use selvedge_core::record::fold;
use serde::Serialize;

/// Feeds a hash with every input and every output of every machine.
#[derive(Debug)]
pub struct Chronicle {
    hash: u64,
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
            hash: 0,
            steps: 0,
            outputs: 0,
            lines: VecDeque::new(),
            lines_max,
        }
    }

    /// A machine takes a step: something happened to it, or, where there is no input, its deadline has
    /// come.
    pub fn step(&mut self, at: Duration, who: &str, input: Option<&(impl Serialize + Debug)>) {
        self.steps += 1;
        if let Some(input) = input {
            self.feed(at, who, Way::In, input);
        }
    }

    /// A machine asked for something.
    pub fn output(&mut self, at: Duration, who: &str, what: &(impl Serialize + Debug)) {
        self.outputs += 1;
        self.feed(at, who, Way::Out, what);
    }

    /// Something else that whoever reads the lines wants to know. It is a consequence of what is hashed.
    pub fn remark(&mut self, at: Duration, what: &dyn Debug) {
        self.tell(at, "world", Way::Aside, what);
    }

    fn feed(&mut self, at: Duration, who: &str, way: Way, what: &(impl Serialize + Debug)) {
        let at_micros = at.as_micros() as u64;
        self.hash = fold(self.hash, &(at_micros, who, way as u8));
        self.hash = fold(self.hash, what);
        self.tell(at, who, way, what);
    }

    fn tell(&mut self, at: Duration, who: &str, way: Way, what: &dyn Debug) {
        if self.lines_max == 0 {
            return;
        }
        if self.lines.len() >= self.lines_max {
            self.lines.pop_front();
        }
        let at = at.as_secs_f64() * 1_000.0;
        let way = match way {
            Way::In => "<-",
            Way::Out => "->",
            Way::Aside => "--",
        };
        self.lines
            .push_back(format!("{at:>10.3} {who} {way} {what:?}"));
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
        self.hash
    }

    /// The last lines.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

/// To a machine, out of it, or neither.
#[derive(Clone, Copy, Debug)]
enum Way {
    In,
    Out,
    Aside,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_apart_what_differs_anywhere() {
        let hash = |at: u64, who: &str, what: &str| {
            let mut chronicle = Chronicle::new(0);
            chronicle.step(Duration::from_micros(at), who, Some(&what));
            chronicle.hash()
        };
        let first = hash(1, "agent", "an input");
        assert_eq!(first, hash(1, "agent", "an input"));
        assert_ne!(first, hash(2, "agent", "an input"));
        assert_ne!(first, hash(1, "guild", "an input"));
        assert_ne!(first, hash(1, "agent", "an inpuT"));
        let mut out = Chronicle::new(0);
        out.output(Duration::from_micros(1), "agent", &"an input");
        assert_ne!(first, out.hash());
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut chronicle = Chronicle::new(2);
        for what in 0..5 {
            chronicle.remark(Duration::ZERO, &what);
        }
        let lines = chronicle.into_lines();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.contains("world -- ")));
    }
}
