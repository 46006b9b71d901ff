//! The subcommands of the binary.

pub mod center;
pub mod demo;
pub mod doctor;
pub mod echo;
pub mod guild;
pub mod plugin;
pub mod record;
pub mod serving;
mod session;
pub mod status;
pub mod store;

use std::{error::Error, fmt, path::Path};

use crate::{
    config::{Config, ConfigError},
    report::chain,
};

/// The configuration at `path`, with what the environment of the process overrides.
fn configured(path: &Path) -> Result<Config, ConfigError> {
    Config::load(path, environment())
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

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
