//! The subcommands of the binary.

pub mod center;
pub mod guild;
pub mod serving;
