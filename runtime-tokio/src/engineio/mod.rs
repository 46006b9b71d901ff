//! The HTTP front of Engine.IO: polls, posts and WebSockets become arrivals at a machine, and its
//! effects become answers and frames.
//!
//! A machine that owns [`Sessions`] is put behind a [`Front`]: every request of its path goes to
//! [`Front::serve`], every [`Arrival`] that this makes into the machine's inbox, and every
//! [`Effect`] of the machine to [`Open::carry_out`]. The front checks what needs no session:
//! transport, method, the WebSocket's own handshake, origin and version. WebSockets are opened over
//! HTTP/1.1.
//!
//! [`Arrival`]: selvedge_core::engineio::sessions::Arrival
//! [`Effect`]: selvedge_core::engineio::sessions::Effect
//! [`Sessions`]: selvedge_core::engineio::sessions::Sessions

mod front;
mod handshake;
mod open;
mod origins;
mod pressure;

pub use self::{
    front::Front,
    open::Open,
    origins::{Cors, Origins},
};
pub(crate) use self::{
    open::Writers,
    pressure::{PATIENCE, Pressure},
};
