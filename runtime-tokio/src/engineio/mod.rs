//! The HTTP front of Engine.IO: polls, posts and WebSockets become arrivals at a machine, and its
//! effects become answers and frames.
//!
//! A machine that owns [`Sessions`](selvedge_core::engineio::sessions::Sessions) is put behind a
//! [`Front`]: every request of its path goes to [`Front::serve`], every
//! [`Arrival`] that this makes into the machine's inbox, and every
//! [`Effect`](selvedge_core::engineio::sessions::Effect) of the machine to [`Open::carry_out`]. The
//! front checks what needs no session, in the official server's order: method, version, transport,
//! origin and the WebSocket's own handshake. WebSockets are opened over HTTP/1.1.

mod front;
mod handshake;
mod open;
mod origins;

pub use self::{front::Front, open::Open, origins::Origins};
