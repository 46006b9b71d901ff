//! The choices of a run, drawn from the input of a fuzzer.

/// Reads choices from the front of an input. When that is used up, the run goes to its end.
#[derive(Debug)]
pub(super) struct Draws<'a> {
    rest: &'a [u8],
}

impl<'a> Draws<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next byte, or 0.
    pub(super) fn or_zero(&mut self) -> u8 {
        self.byte().unwrap_or_default()
    }

    /// As many bytes as the next one says.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.or_zero()).min(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        taken
    }
}
