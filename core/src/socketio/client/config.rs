//! How a client behaves.

use core::time::Duration;

use crate::{
    canonical, engineio,
    socketio::{CONNECT_TIMEOUT, assemble},
};

/// How a client behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Engine.IO end underneath.
    pub engine: engineio::client::Config,
    /// How long the server may take to answer a CONNECT; [`CONNECT_TIMEOUT`] by default. A server
    /// that takes longer is taken for hung, and the connection is closed.
    pub connect_timeout: Duration,
    /// How many namespaces one connection can have; 64 by default. It bounds what is remembered.
    pub namespaces_max: usize,
    /// How many calls can wait for their answers; 1,000 by default. Raised, a server that never
    /// answers costs more memory.
    pub calls_max: usize,
    /// How many events are kept that arrive before the answer to a CONNECT, of all namespaces; 256
    /// by default. Raised, a server can make the client hold more. Above, the connection is closed; a
    /// manager then begins the membership anew, and what was missed is lost.
    pub early_events_max: usize,
    /// How many bytes these events may have together; 4 MiB by default.
    pub early_bytes_max: usize,
    /// What becomes of emissions to a namespace that is asked for and not joined yet;
    /// [`Buffer::Drop`] by default.
    pub buffer: Buffer,
    /// What the attachments of one packet may come to.
    pub attachments: assemble::Limits,
}
canonical!(
    struct Config {
        engine,
        connect_timeout,
        namespaces_max,
        calls_max,
        early_events_max,
        early_bytes_max,
        buffer,
        attachments,
    }
);

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: engineio::client::Config::default(),
            connect_timeout: CONNECT_TIMEOUT,
            namespaces_max: 64,
            calls_max: 1_000,
            early_events_max: 256,
            early_bytes_max: 4 * 1024 * 1024,
            buffer: Buffer::Drop,
            attachments: assemble::Limits::default(),
        }
    }
}

/// What a client does with an event, an answer or a call between the wish to join a namespace and
/// the server's answer. Written at once, it would make the server close the whole connection.
///
/// What is kept is sent in order, right after [`Output::Connected`](super::Output::Connected). What
/// cannot be sent any more, because the namespace is refused or left or the connection ends, comes
/// back: as [`Unsent::NotConnected`](crate::socketio::Unsent::NotConnected), or as the end of the
/// call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Buffer {
    /// It is refused, and the embedder decides.
    Drop,
    /// It is kept, up to a limit for all namespaces together; what is above is refused with
    /// [`Unsent::BufferFull`](crate::socketio::Unsent::BufferFull) or
    /// [`CallError::BufferFull`](crate::socketio::CallError::BufferFull). Raised, a server that
    /// does not answer costs more memory, and gets more at once when it does.
    Keep {
        /// How many of them.
        events_max: usize,
        /// How many bytes, with their attachments.
        bytes_max: usize,
    },
}
canonical!(
    enum Buffer {
        Drop,
        Keep { events_max, bytes_max },
    }
);
