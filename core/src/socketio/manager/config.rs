//! How a manager behaves.

use core::{num::NonZeroU32, time::Duration};

use crate::{
    link::{self, backoff},
    snapshot,
    socketio::client::{self, Buffer},
};

/// How a manager behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a dial and a handshake may take, 20 s each by default, and how long to wait between
    /// connections. A connection counts as live from the first namespace that is joined on it.
    pub link: link::Config,
    /// The session on each connection.
    ///
    /// [`client::Config::buffer`] is what the manager keeps for namespaces that are not joined, over
    /// connections and between them: 1,000 emissions of 4 MiB together by default.
    /// [`client::Config::calls_max`] counts the calls that wait in there too.
    pub client: client::Config,
    /// What to connect by; over WebSocket alone by default.
    pub transports: Transports,
    /// How many attempts may fail in a row before the manager [gives up](super::Output::GaveUp);
    /// by default it never does. An attempt has failed when the connection ends before a namespace
    /// is joined on it.
    pub attempts_max: Option<NonZeroU32>,
    /// How long the answer to [`Output::Auth`](super::Output::Auth) may take; 30 s by default. A
    /// server closes a connection on which no namespace is asked for in time, the official one
    /// after 45 s.
    pub auth_patience: Duration,
    /// Whether a namespace that the server refused is asked for again, with new auth, after a wait
    /// that grows as that of the link does; by default it is. Turned off, a refusal is the end of
    /// it until the next [`Input::Join`](super::Input::Join), as with the official client.
    pub retry_refused: bool,
    /// How long an emission without an answer is kept for a namespace that is not joined; without
    /// a limit by default. What is older comes back as
    /// [`Unsent::Expired`](crate::socketio::Unsent::Expired). A call has its own patience.
    pub keep_for: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            link: link::Config {
                step_timeout: Duration::from_secs(20),
                rotation_timeout: Duration::from_secs(30),
                backoff: backoff::Config::default(),
                first_conn: 0,
            },
            client: client::Config {
                buffer: Buffer::Keep {
                    events_max: 1_000,
                    bytes_max: 4 * 1024 * 1024,
                },
                ..client::Config::default()
            },
            transports: Transports::WebSocket,
            attempts_max: None,
            auth_patience: Duration::from_secs(30),
            retry_refused: true,
            keep_for: None,
        }
    }
}

/// What to connect by, in the order of preference.
///
/// Where there are two, an attempt that fails before the handshake makes the next attempt begin with
/// the other one; what has worked is begun with again. Wherever both are allowed, a session that
/// begins by polling moves on to a WebSocket if it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transports {
    /// WebSocket and nothing else.
    WebSocket,
    /// HTTP long-polling and nothing else.
    Polling,
    /// Begin by polling and upgrade to a WebSocket, as the official client does by default; a
    /// WebSocket from the start where polling fails.
    PollingWebSocket,
    /// A WebSocket; polling where that fails.
    WebSocketPolling,
}
snapshot!(
    enum Transports {
        WebSocket,
        Polling,
        PollingWebSocket,
        WebSocketPolling,
    }
);
