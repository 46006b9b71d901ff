//! Socket.IO v5: packets, and the two ends of a connection, over Engine.IO.
//!
//! [`client::Client`] and [`server::Server`] are machines; each is made when its connection begins
//! and owns its Engine.IO end. A whole server, with rooms and with clients that come back, is
//! [`hub::Hub`]. Many namespaces share one connection; each is joined and left on
//! its own. Source of the wire facts: `docs/socket.io-protocol/v5-current.md` of
//! socketio/socket.io, and where that is silent, the official server and parser.
//!
//! [`manager::Manager`] is what an application wants of the client's end: one server, a connection
//! that is kept up, and namespaces that are joined on each.
//!
//! Binary attachments travel as messages of their own after the packet they belong to. An
//! [`event::Event`] comes up when all of its attachments are there, and an [`event::Emission`] goes
//! out with all of its own.

pub mod assemble;
mod attachment;
mod backlog;
mod calls;
pub mod client;
mod emission;
pub mod event;
pub mod hub;
pub mod manager;
pub mod packet;
mod refusal;
pub(crate) mod secrets;
pub mod server;
#[cfg(test)]
mod stories;

use core::{borrow::Borrow, fmt, time::Duration};

use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    canonical,
    engineio::{self, payload},
    text,
};

/// The longest name of a namespace, in bytes. Names are keys that outlive the frame that brought
/// them, so a peer that sends longer ones is refused rather than remembered.
pub const NAMESPACE_BYTES_MAX: usize = 256;

/// From the open connection to the first joined namespace, or from CONNECT to its answer: 45 s by
/// default, as `connectTimeout` of the official server.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);

/// The name of a namespace: `/`, or `/` and a name without a comma.
///
/// A query string is part of the name, verbatim: `/a?b=c` is another namespace than `/a`. That is
/// what the official server does since protocol 5; auth travels in CONNECT instead.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Namespace(ByteString);
canonical!(struct Namespace(name));

impl Namespace {
    /// The main namespace, `/`.
    pub const fn root() -> Self {
        Self(ByteString::from_static("/"))
    }

    /// `None` where `name` does not start with `/`, has a comma or the separator 0x1e, with which it
    /// could not be polled, or is longer than [`NAMESPACE_BYTES_MAX`].
    pub fn new(name: &str) -> Option<Self> {
        Self::is_valid(name).then(|| Self::copy(name))
    }

    /// A name that shares the memory of the frame it stands in.
    fn of_frame(name: ByteString) -> Option<Self> {
        Self::is_valid(&name).then_some(Self(name))
    }

    /// A copy that does not keep a frame alive.
    fn detached(&self) -> Self {
        Self::copy(self.as_str())
    }

    /// The main one, which most connections have, takes no memory.
    fn copy(name: &str) -> Self {
        match name {
            "/" => Self::root(),
            _ => Self(name.into()),
        }
    }

    /// The name, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the main namespace, which is left out on the wire.
    pub fn is_root(&self) -> bool {
        self.as_str() == "/"
    }

    fn is_valid(name: &str) -> bool {
        name.starts_with('/')
            && !name.contains(',')
            && !name.contains(payload::SEPARATOR)
            && name.len() <= NAMESPACE_BYTES_MAX
    }
}

impl Borrow<str> for Namespace {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = text::deserialize(deserializer)?;
        Self::of_frame(name).ok_or_else(|| de::Error::custom("not the name of a namespace"))
    }
}

/// The number under which an event waits for its answer. The side that emits counts: the events of
/// a connection, whatever their namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AckId(u64);
canonical!(struct AckId(number));

impl AckId {
    /// The id with that number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Marks the id of an event that waits for its answer.
#[derive(Debug)]
pub enum Call {}

/// Why an event got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CallError {
    /// The peer did not answer in time. It may have seen the event.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The namespace or the connection ended first. The peer may have seen the event.
    #[error("the connection to the namespace ended before the answer")]
    Disconnected,
    /// Not sent: the namespace is not joined.
    #[error("not sent: the namespace is not joined")]
    NotConnected,
    /// Not sent: too many calls are open already.
    #[error("not sent: too many calls are waiting for their answers")]
    TooMany,
    /// Not sent: larger than the peer takes.
    #[error("not sent: larger than the peer takes")]
    TooLarge,
    /// Not sent: the namespace is not joined yet, or the connection polls, and too much waits
    /// already.
    #[error("not sent: too much waits to be sent already")]
    BufferFull,
    /// Not sent: an acknowledgement is not an event, so nobody can answer it.
    #[error("not sent: an acknowledgement cannot be called")]
    NotAnEvent,
}
canonical!(
    enum CallError {
        Timeout,
        Disconnected,
        NotConnected,
        TooMany,
        TooLarge,
        BufferFull,
        NotAnEvent,
    }
);

/// Why something that the embedder asked for was not sent. The embedder is at fault, or too fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Unsent {
    /// The namespace is not joined, or not yet.
    #[error("the namespace is not joined")]
    NotConnected,
    /// Larger than the peer takes.
    #[error("larger than the peer takes")]
    TooLarge,
    /// The namespace is not joined yet, or the connection polls, and too much waits already.
    #[error("too much waits to be sent already")]
    BufferFull,
    /// It was kept for a namespace that was not joined in time.
    #[error("the namespace was not joined in time")]
    Expired,
    /// One namespace more than the limit.
    #[error("too many namespaces")]
    TooMany,
    /// The namespace is joined, or about to be joined or left; or the call is open already.
    #[error("under way already")]
    Duplicate,
    /// The auth is not a JSON object, or the data of a refusal is not JSON.
    #[error("not the JSON that belongs there")]
    BadJson,
}
canonical!(
    enum Unsent {
        NotConnected,
        TooLarge,
        BufferFull,
        Expired,
        TooMany,
        Duplicate,
        BadJson,
    }
);

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It ended at the Engine.IO level, or this side closed it.
    Engine(engineio::CloseReason),
    /// At a client: the server left a CONNECT unanswered. At a server: no namespace was joined in
    /// time.
    ConnectTimeout,
    /// The peer broke the protocol.
    BadPacket(packet::DecodeError),
    /// The peer sent a packet that has no place in the namespace: at a server, one before it was
    /// admitted, or a second CONNECT.
    OutOfPlace {
        /// What it sent.
        packet: packet::Kind,
        /// Where to.
        namespace: Namespace,
    },
    /// The peer sent a binary message that no packet has announced.
    Binary,
    /// The peer sent a text where an announced attachment was due.
    MissingAttachments,
    /// The peer sent attachments of more bytes than the limit.
    AttachmentsTooLarge,
    /// The peer announced attachments, and did not send them in time.
    AttachmentsTimeout,
    /// The peer asked for more namespaces than the limit.
    TooManyNamespaces,
    /// The peer asked for more admissions than the embedder could decide.
    TooManyAdmissions,
    /// The server sent more events than the limit before it answered a CONNECT.
    TooManyEarlyEvents,
}
canonical!(
    enum CloseReason {
        Engine(reason),
        ConnectTimeout,
        BadPacket(error),
        OutOfPlace { packet, namespace },
        Binary,
        MissingAttachments,
        AttachmentsTooLarge,
        AttachmentsTimeout,
        TooManyNamespaces,
        TooManyAdmissions,
        TooManyEarlyEvents,
    }
);

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(reason) => reason.fmt(f),
            Self::ConnectTimeout => f.write_str("no namespace was joined in time"),
            Self::BadPacket(error) => write!(f, "the peer broke the protocol: {error}"),
            Self::OutOfPlace { packet, namespace } => write!(
                f,
                "the peer broke the protocol: {packet} has no place in {namespace} now"
            ),
            Self::Binary => f.write_str(
                "the peer broke the protocol: binary content that no packet has announced",
            ),
            Self::MissingAttachments => {
                f.write_str("the peer broke the protocol: a text where an attachment was due")
            }
            Self::AttachmentsTooLarge => {
                f.write_str("the peer sent attachments above the limit for one packet")
            }
            Self::AttachmentsTimeout => {
                f.write_str("the peer did not send the attachments it announced in time")
            }
            Self::TooManyNamespaces => f.write_str("the peer asked for too many namespaces"),
            Self::TooManyAdmissions => {
                f.write_str("the peer asked for too many namespaces at a time")
            }
            Self::TooManyEarlyEvents => {
                f.write_str("the peer sent too many events before it answered the CONNECT")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_namespace_starts_with_a_slash_and_has_no_comma() {
        assert!(Namespace::root().is_root());
        assert_eq!(Namespace::new("/"), Some(Namespace::root()));
        assert_eq!(Namespace::new("/a?b=c").unwrap().as_str(), "/a?b=c");
        for bad in ["", "a", "a/", "/a,b"] {
            assert_eq!(Namespace::new(bad), None, "{bad}");
        }
        let long = format!("/{}", "x".repeat(NAMESPACE_BYTES_MAX - 1));
        assert!(Namespace::new(&long).is_some());
        assert_eq!(Namespace::new(&format!("{long}x")), None);
        assert!(serde_json::from_str::<Namespace>("\"a\"").is_err());
    }
}
