//! What an examination finds: a line for each check, and how many are errors.

use std::{
    fmt::Display,
    io::{self, Write},
};

use crate::commands::Failure;

/// Writes what is found, as soon as it is.
pub(super) struct Findings<'o, W> {
    out: &'o mut W,
    /// Whose matters the next lines are about; what each of them begins with.
    scope: String,
    errors: usize,
}

impl<'o, W: Write> Findings<'o, W> {
    pub(super) fn new(out: &'o mut W) -> Self {
        let scope = String::new();
        Self {
            out,
            scope,
            errors: 0,
        }
    }

    /// What follows is about this.
    pub(super) fn about(&mut self, whom: impl Display) {
        self.scope = format!("{whom}: ");
    }

    /// What follows is about everything.
    pub(super) fn about_all(&mut self) {
        self.scope.clear();
    }

    /// It works.
    pub(super) fn ok(&mut self, what: impl Display) -> io::Result<()> {
        self.line("ok", what)
    }

    /// It works, and somebody should look at it.
    pub(super) fn warning(&mut self, what: impl Display) -> io::Result<()> {
        self.line("warning", what)
    }

    /// It does not work.
    pub(super) fn error(&mut self, what: impl Display) -> io::Result<()> {
        self.errors += 1;
        self.line("error", what)
    }

    fn line(&mut self, verdict: &str, what: impl Display) -> io::Result<()> {
        writeln!(self.out, "{verdict:<7}  {}{what}", self.scope)
    }

    /// Whether everything works.
    pub(super) fn verdict(self) -> Result<(), Failure> {
        match self.errors {
            0 => Ok(()),
            1 => Err(Failure::words("one thing does not work; see above")),
            errors => Err(Failure::words(format!(
                "{errors} things do not work; see above"
            ))),
        }
    }
}
