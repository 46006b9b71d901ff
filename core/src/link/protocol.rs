//! What a protocol is to the link that carries it.

use alloc::string::String;
use core::fmt::Debug;

use crate::{canon::Canonical, canonical, machine::Machine, snapshot::Snapshot, time::Time};

/// A protocol on top of a link: how a session on a fresh connection begins.
pub trait Protocol: Clone + Eq + Debug + Canonical + Snapshot {
    /// What happens on an open connection, such as [`ws::Event`](crate::ws::Event).
    type Happened;
    /// What a session does on it, such as [`ws::Action`](crate::ws::Action).
    type Action;
    /// What a dial is authorised with. It is asked for at every dial, and used for that one alone.
    type Auth: Clone + Eq + Debug + Canonical + Snapshot;
    /// What the owner can ask of a session that is up.
    type Command;
    /// What a session tells its owner.
    type Event;
    /// One session, on one connection.
    type Session: Machine<
            Input = SessionInput<Self::Happened, Self::Command>,
            Output = SessionOutput<Self::Action, Self::Event>,
        > + Clone
        + Eq
        + Debug
        + Canonical
        + Snapshot;

    /// Begins a session on a connection that is open.
    fn session(&self, now: Time, auth: Self::Auth) -> Self::Session;
}

/// What can happen to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionInput<H, C> {
    /// Something happened on its connection.
    Transport(H),
    /// The owner wants something.
    Command(C),
    /// Say goodbye and close the connection. Events that follow tell how what was under way has
    /// ended.
    Close,
}

/// What a session asks and tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionOutput<A, E> {
    /// Do this on the connection.
    Transport(A),
    /// The handshake is done. Events may come before this.
    Ready,
    /// Something for the owner.
    Event(E),
    /// The session is over. It has closed its connection where that was still open; no output
    /// follows.
    Ended(End),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The peer would not have what the dial was authorised with.
    pub unauthorized: bool,
    /// What happened and whose doing it was, as a sentence for the log.
    pub why: String,
}
canonical!(struct End { unauthorized, why });
