//! Engine.IO v4: packets, payloads, and the two ends of a connection.
//!
//! [`client::Client`] and [`server::Server`] are machines. Each speaks over a WebSocket, or polls and
//! may move to one. Between them they do the handshake, the heartbeat and the closing, and hand whole
//! messages up. A server of many clients keeps them in [`sessions::Sessions`].
//! Source of the wire facts: `docs/engine.io-protocol/v4-current.md` of socketio/socket.io.

#[cfg(test)]
mod both_ends;
pub mod client;
#[cfg(test)]
mod client_cases;
mod handshake;
pub mod packet;
pub mod payload;
mod polling;
pub mod server;
#[cfg(test)]
mod server_cases;
pub mod sessions;
pub mod transport;

use alloc::string::String;
use core::{fmt, time::Duration};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

pub use self::handshake::{HANDSHAKE_BYTES_MAX, HEARTBEAT_MAX, Handshake, HandshakeError};
pub use self::polling::{PollingConfig, PollingFault};
use self::transport::Answer;
use crate::{canonical, http, ws};

/// The rhythm of a connection: the server pings, the client answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// From the handshake, or from a pong, to the next ping.
    pub interval: Duration,
    /// How long the server waits for a pong. The client gives up after `interval + timeout` of
    /// silence.
    pub timeout: Duration,
}
canonical!(struct Heartbeat { interval, timeout });

impl Default for Heartbeat {
    /// What the official server does: 25 s and 20 s.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(25),
            timeout: Duration::from_secs(20),
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer was silent for longer than the heartbeat allows.
    PingTimeout,
    /// The server did not send its handshake in time.
    HandshakeTimeout,
    /// The peer sent a close packet.
    Peer,
    /// The WebSocket ended underneath, or the queue of a session that polls ran full.
    Transport(ws::Closed),
    /// The peer broke the protocol.
    BadPacket(packet::DecodeError),
    /// The peer posted a body, or answered with one, that cannot be read.
    BadPayload(payload::DecodeError),
    /// The peer broke the rules of polling.
    Polling(PollingFault),
    /// The server answered a poll or a post with anything but 200.
    Refused {
        /// The status code.
        status: u16,
        /// The server's words, at most [`WORDS_BYTES_MAX`]; may be empty.
        words: ByteString,
    },
    /// A poll or a post came to nothing.
    Unanswered(http::Failure),
    /// The embedder asked for it.
    Local,
}
canonical!(
    enum CloseReason {
        PingTimeout,
        HandshakeTimeout,
        Peer,
        Transport(closed),
        BadPacket(error),
        BadPayload(error),
        Polling(fault),
        Refused { status, words },
        Unanswered(failure),
        Local,
    }
);

/// How much is kept of the words of a refusal, in bytes: what stands in the place of a server, such
/// as a proxy, answers with pages.
pub const WORDS_BYTES_MAX: usize = 200;

impl CloseReason {
    /// A refusal: its words are the `message` where the body is JSON as Engine.IO servers write it,
    /// such as `{"code":1,"message":"Session ID unknown"}`, or its beginning.
    fn refused(answer: &Answer) -> Self {
        #[derive(Deserialize)]
        struct Wire {
            message: String,
        }
        let body = answer.body.get(..REFUSAL_BYTES_MAX).unwrap_or(&answer.body);
        let mut words = match serde_json::from_slice::<Wire>(body) {
            Ok(wire) => wire.message,
            Err(_) => String::from_utf8_lossy(body).into_owned(),
        };
        words.truncate(words.floor_char_boundary(WORDS_BYTES_MAX));
        Self::Refused {
            status: answer.status,
            words: words.trim().into(),
        }
    }
}

/// The longest refusal that is read, in bytes. Escaped, the words can be six times as long.
const REFUSAL_BYTES_MAX: usize = 8 * WORDS_BYTES_MAX;

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PingTimeout => f.write_str("the peer fell silent: its heartbeat stopped"),
            Self::HandshakeTimeout => f.write_str("the server did not send its handshake in time"),
            Self::Peer => f.write_str("the peer closed the connection"),
            Self::Transport(ws::Closed::Peer { code, reason }) if reason.is_empty() => {
                write!(f, "the peer closed the WebSocket with code {code}")
            }
            Self::Transport(ws::Closed::Peer { code, reason }) => {
                write!(
                    f,
                    "the peer closed the WebSocket with code {code}: {reason}"
                )
            }
            Self::Transport(ws::Closed::Broken(words)) => {
                write!(f, "the network broke the connection: {words}")
            }
            Self::Transport(ws::Closed::TooLarge) => {
                f.write_str("the peer sent a frame above the limit for this connection")
            }
            Self::Transport(ws::Closed::Overrun) => {
                f.write_str("the peer read too slowly: the write buffer ran full")
            }
            Self::BadPacket(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::BadPayload(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::Polling(fault) => write!(f, "the peer broke the protocol: {fault}"),
            Self::Refused { status, words } if words.is_empty() => {
                write!(f, "the server refused a request with status {status}")
            }
            Self::Refused { status, words } => {
                write!(
                    f,
                    "the server refused a request with status {status}: {words}"
                )
            }
            Self::Unanswered(failure) => write!(f, "a request came to nothing: {failure}"),
            Self::Local => f.write_str("closed from this side"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn reasons_say_who_is_at_fault() {
        let closed = |code, reason: &str| {
            CloseReason::Transport(ws::Closed::Peer {
                code,
                reason: reason.into(),
            })
        };
        assert_eq!(
            closed(1005, "").to_string(),
            "the peer closed the WebSocket with code 1005"
        );
        assert_eq!(
            closed(1001, "bye").to_string(),
            "the peer closed the WebSocket with code 1001: bye"
        );
        assert_eq!(
            CloseReason::BadPacket(packet::DecodeError::Empty).to_string(),
            "the peer broke the protocol: an empty frame"
        );
        let refused = |words: &str| CloseReason::Refused {
            status: 400,
            words: words.into(),
        };
        assert_eq!(
            refused("Session ID unknown").to_string(),
            "the server refused a request with status 400: Session ID unknown"
        );
        assert_eq!(
            refused("").to_string(),
            "the server refused a request with status 400"
        );
    }
}
