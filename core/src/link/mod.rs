//! The one connection lifecycle, for every protocol.
//!
//! ```text
//!            ┌────────────── backoff ◄─────────────────────────────┐
//!            ▼                                                     │ any end
//!  start ─► authorize ─► dial ─► handshake ─► up ─► live ──────────┘
//!            token anew   each with a timeout       told by the owner
//! ```
//!
//! A [`Protocol`] is what speaks on an open connection; [`Link`] dials, authorises, times and
//! repeats. It rests while its owner wants nothing of the peer.

pub mod backoff;
mod lifecycle;
mod protocol;
#[cfg(test)]
mod tests;

pub use lifecycle::{Authorize, AuthorizeFailure, Config, Input, Link, Output};
pub use protocol::{End, Protocol, SessionInput, SessionOutput};
