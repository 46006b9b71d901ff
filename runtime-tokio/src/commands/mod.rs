//! The subcommands of the binary.

pub mod center;
pub mod check;
pub mod demo;
pub mod echo;
pub mod guild;
pub mod plugin;
pub mod serving;
mod session;

use std::{error::Error, fmt};

use crate::report::chain;

/// Why a command failed: one sentence with its causes.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// From an error and its causes.
    pub fn new(error: impl Error + 'static) -> Self {
        Self(chain(&error))
    }

    /// From a sentence.
    pub fn words(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
