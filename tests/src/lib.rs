//! Helpers of the tests from outside: the laws of every machine, and the machines under them.

pub mod histories;
pub mod history;
pub mod laws;
pub mod subjects;
