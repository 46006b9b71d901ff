//! Helpers of the tests: what they have in common.

pub mod binary;
pub mod fabric;
pub mod soak;
