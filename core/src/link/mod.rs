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
//!
//! A connection that is to be replaced goes on until another one is live: make before break. A link
//! then holds two of them, and never more.

pub mod backoff;
mod connection;
mod lifecycle;
mod protocol;
#[cfg(test)]
mod tests;

pub use lifecycle::{Authorize, AuthorizeFailure, Config, Input, Link, Output};
pub use protocol::{End, Protocol, SessionInput, SessionOutput};
