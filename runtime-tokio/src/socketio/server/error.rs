//! What can go wrong at a server, and who is at fault.

use std::fmt;

use selvedge_core::{
    engineio,
    socketio::{
        CallError as Fault, CloseReason,
        hub::{End as HubEnd, ROOM_BYTES_MAX},
    },
};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The name of a namespace starts with `/`, has no comma and at most 256 bytes.
    #[error("{0:?} is not the name of a namespace: start it with `/` and leave commas out")]
    BadNamespace(String),
    /// Two namespaces of one name.
    #[error("the namespace {0:?} was given twice")]
    Twice(String),
    /// Browsers may send credentials for pages of any origin.
    #[error("pages of any origin may not send credentials: list the origins that may")]
    CredentialsOfAny,
    /// Called outside of a tokio runtime.
    #[error("a server is started within a tokio runtime")]
    NoRuntime,
}

/// Why something was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The arguments are not a tuple or an array, do not serialise, or lack an attachment; or the
    /// name of the event is reserved.
    #[error("the event cannot be written: {0}")]
    Encode(#[from] serde_json::Error),
    /// It is larger than what may wait for a client allows: a quarter of
    /// [`Builder::outgoing_max`](super::Builder::outgoing_max).
    #[error("{bytes} bytes are too much at once; {max} can be sent")]
    TooLarge {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
    /// The name of a room is too long.
    #[error("the name of a room has more than {ROOM_BYTES_MAX} bytes")]
    BadRoom,
    /// The socket is in as many rooms as it can be.
    #[error("the socket is in too many rooms")]
    TooManyRooms,
    /// The server has no such namespace.
    #[error("the server has no namespace {0:?}")]
    NoNamespace(String),
    /// The socket has ended.
    #[error("the socket has ended: {0}")]
    Ended(End),
    /// The server has closed.
    #[error("the server has closed")]
    Closed,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It was not sent.
    #[error("not sent: {0}")]
    Unsent(#[from] EmitError),
    /// Too many calls of its connection wait for their answers. It was not sent.
    #[error("not sent: too many calls are waiting for their answers")]
    TooMany,
    /// The client did not answer in time. It may have seen the event.
    #[error("the client did not answer in time")]
    Timeout,
    /// The socket ended before the answer. The client may have seen the event.
    #[error("the socket ended before the answer")]
    Disconnected,
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Timeout => Self::Timeout,
            Fault::TooMany => Self::TooMany,
            // Of a socket that has ended just now. The others are no outcome at a server.
            Fault::Disconnected
            | Fault::NotConnected
            | Fault::TooLarge
            | Fault::BufferFull
            | Fault::NotAnEvent => Self::Disconnected,
        }
    }
}

/// Why a socket has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Its client has left the namespace.
    Left,
    /// It, its connection or the server was closed from this side.
    Dismissed,
    /// Its client has come back on another connection, and is another socket there.
    TakenOver,
    /// Too many of its events waited for its handler: see
    /// [`Builder::events_max`](super::Builder::events_max).
    TooSlow,
    /// Its handler has panicked.
    Panicked,
    /// Its connection has ended; the reason in words.
    Lost(String),
    /// The server has stopped without a word.
    Closed,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the client left the namespace"),
            Self::Dismissed => f.write_str("closed from this side"),
            Self::TakenOver => f.write_str("the client came back on another connection"),
            Self::TooSlow => f.write_str("its handler was too slow for its events"),
            Self::Panicked => f.write_str("its handler panicked"),
            Self::Lost(why) => f.write_str(why),
            Self::Closed => f.write_str("the server has stopped"),
        }
    }
}

impl From<HubEnd> for End {
    fn from(end: HubEnd) -> Self {
        match end {
            HubEnd::Left => Self::Left,
            HubEnd::Dismissed
            | HubEnd::Closed(CloseReason::Engine(engineio::CloseReason::Local)) => Self::Dismissed,
            HubEnd::TakenOver(_) => Self::TakenOver,
            HubEnd::Closed(reason) => Self::Lost(reason.to_string()),
        }
    }
}
