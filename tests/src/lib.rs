//! Helpers of the tests from outside: the laws of every machine and the machines under them, and
//! real processes on loopback.

pub mod binary;
pub mod fabric;
pub mod histories;
pub mod history;
pub mod laws;
pub mod soak;
pub mod subjects;
