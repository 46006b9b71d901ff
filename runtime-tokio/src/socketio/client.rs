//! The Socket.IO client: one connection that is kept up, and the namespaces on it.
//!
//! Each connection has one task, which drives the machine
//! [`Manager`](selvedge_core::socketio::manager::Manager); nothing else holds its state. A
//! [`Socket`] speaks with that task through channels. User code never runs in it: auth and URLs are
//! found out in tasks of their own, and events wait in the queue of their socket.
//!
//! # When nobody takes the events
//!
//! Each socket has a queue, of 1,024 events by default ([`Builder::queue`]). A consumer can stand
//! still for as long as the queue has room: the connection is read and its heartbeat answered
//! meanwhile. What happens when the queue is full is [`SlowConsumer`]'s to say. By default the
//! connection is not read any more until half of the queue is free, so that TCP holds the server
//! back, with all namespaces of that connection; what this side sends still goes out, and every
//! patience still runs. The heartbeats of the server wait too. So a consumer that stands still for
//! longer than the server's `pingInterval + pingTimeout` with a full queue loses the connection,
//! which is made again.
//!
//! Whoever makes a [call](Socket::call) in the same loop that takes the events, waits for the
//! answer while events queue up: with a full queue the call ends with its patience. Make such
//! calls in a task of their own, with a [`Sender`].
//!
//! # The end
//!
//! Dropping a [`Socket`] (or both halves of one, and all clones of its [`Sender`]) leaves its
//! namespace; with the last one the connection is closed and its task ends. [`Socket::close`] does
//! the same and waits until it is done.

mod builder;
mod desk;
mod error;
mod event;
mod polling;
mod queue;
mod socket;
mod target;
mod world;

pub use selvedge_core::{
    link::backoff::Config as Backoff,
    socketio::{
        Unsent,
        client::Buffer,
        event::{Answer, Attachment},
    },
};

pub use self::{
    builder::{Builder, NamespaceBuilder, Transport},
    error::{CallError, EmitError, OpenError},
    event::{Event, Signal},
    queue::SlowConsumer,
    socket::{Events, Sender, Socket},
    target::Dial,
};

/// Where everything begins; see [`connect`](Self::connect).
#[derive(Clone, Copy, Debug)]
pub enum Client {}

impl Client {
    /// A client of the server at `url`, to be given settings and then [opened](Builder::open).
    ///
    /// The URL is of `http`, `https`, `ws` or `wss`, with a host and perhaps a port and a query;
    /// the query goes along with every request. Which transport is used does not depend on the
    /// scheme. There is no path in it: see [`Builder::path`] and [`Builder::namespace`].
    pub fn connect(url: &str) -> Builder {
        Builder::new(url)
    }
}
