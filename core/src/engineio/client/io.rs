//! How an Engine.IO client behaves, what goes into it, and what comes out of it.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    engineio::{
        CloseReason, Handshake, payload,
        transport::{ClientAction, ClientEvent},
    },
    ws,
};

/// How a client behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// From the open WebSocket, or from the first poll, to the server's handshake; 10 s by default.
    /// Raise it for servers that are slow to start; until it runs out a mute server holds the
    /// connection.
    pub handshake_timeout: Duration,
    /// From the dial of a WebSocket to the end of polling; 8 s by default, because servers give a
    /// WebSocket up that has not moved within 10 s of its opening. While the session moves, it sends
    /// nothing: so long can a server delay it that answers the probe, but not the last poll.
    pub upgrade_timeout: Duration,
    /// How many bytes may wait for a post; 10,000,000 by default. What is above is
    /// [`Output::Unsent`]. Raised, a server that is slow to take posts costs more memory.
    pub queue_bytes_max: u64,
    /// How many packets may; 1 below [`payload::PACKETS_MAX`] by default, because with a close
    /// packet behind them they may all be put into one body. It bounds what empty messages cost.
    pub queue_packets_max: usize,
}
canonical!(
    struct Config {
        handshake_timeout,
        upgrade_timeout,
        queue_bytes_max,
        queue_packets_max,
    }
);

impl Default for Config {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(8),
            queue_bytes_max: 10_000_000,
            queue_packets_max: payload::PACKETS_MAX - 1,
        }
    }
}

/// What can happen to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Something happened to what carries the session.
    Transport(ClientEvent),
    /// Send a message.
    Send(ws::Frame),
    /// Send a frame that already is a whole message packet: a text that starts with `4`, or binary.
    /// It is not copied.
    SendEncoded(ws::Frame),
    /// Close the connection.
    Close,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Do this with what carries the session.
    Transport(ClientAction),
    /// The handshake is done: messages can be sent.
    Opened(Handshake),
    /// The session has moved from polling to its WebSocket.
    Upgraded,
    /// A message arrived.
    Message(ws::Frame),
    /// A message was not sent: [`Client::check`](super::Client::check) says why, or it is a text that
    /// holds [`payload::SEPARATOR`], which cannot be posted.
    Unsent(ws::Frame),
    /// The connection has ended.
    Closed(CloseReason),
}

/// Why a client does not send a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There has been no handshake yet, or the connection has ended.
    NotOpen,
    /// It is larger than the server takes.
    TooLarge,
    /// Too much waits for a post already.
    Full,
}
