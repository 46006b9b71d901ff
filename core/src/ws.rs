//! A WebSocket as the machines see it: frames in, frames out, and how it ends.

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    canon::{Canon, Canonical},
    canonical, snapshot, text,
};

/// One WebSocket of a machine, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnId(pub u64);

impl Canonical for ConnId {
    fn canonical(&self, canon: &mut Canon) {
        canon.id("connection", self.0);
    }
}
snapshot!(struct ConnId(number));

/// One whole message of a WebSocket. The content is shared, not copied, when it is cloned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// UTF-8.
    Text(#[serde(with = "text")] ByteString),
    /// Anything.
    Binary(Bytes),
}
canonical!(
    enum Frame {
        Text(text),
        Binary(bytes),
    }
);

impl Frame {
    /// Length of the content in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What happens on an open WebSocket. Control frames (ping, pong, close) are the runtime's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A message arrived.
    Frame(Frame),
    /// The connection has ended; nothing follows.
    Closed(Closed),
}
canonical!(
    enum Event {
        Frame(frame),
        Closed(how),
    }
);

/// What a machine does with an open WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Send a message.
    Send(Frame),
    /// Flush what was sent, then close. No event follows this; a machine that has said it is done
    /// with the connection.
    Close,
}

/// How a WebSocket ended, as far as the runtime can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// The peer sent a close frame.
    Peer {
        /// The close code, 1005 where there was none.
        code: u16,
        /// The peer's reason; may be empty.
        #[serde(with = "text")]
        reason: ByteString,
    },
    /// The transport broke or ended without a close frame; the runtime's words for it.
    Broken(#[serde(with = "text")] ByteString),
    /// A frame was larger than the runtime's limit for this connection.
    TooLarge,
    /// The peer did not read for so long that the runtime's write buffer is full.
    Overrun,
}
canonical!(enum Closed { Peer { code, reason }, Broken(text), TooLarge, Overrun });
