//! The one connection lifecycle, for every protocol.

pub mod backoff;
