//! What can happen to a server, and what it asks for.

use alloc::vec::Vec;
use core::time::Duration;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    engineio::transport::{ServerAction, ServerEvent},
    request::RequestId,
    secret::{self, Secret},
    socketio::{
        Call, CallError, CloseReason, Namespace, Unsent,
        event::{Answer, Emission, Event},
    },
    text,
};

/// What can happen to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Something happened to what carries the connection.
    Transport(ServerEvent),
    /// Let the client into a namespace that it asked for.
    Admit {
        /// Which one.
        namespace: Namespace,
        /// The membership's id: the runtime makes it, unguessable.
        #[serde(with = "text")]
        sid: ByteString,
        /// With what the client may come back and be taken for the same, where that is offered:
        /// the runtime makes it, unguessable.
        #[serde(default, with = "secret::recorded::option")]
        pid: Option<Secret>,
        /// What it has missed since it was here before, oldest first. It goes out before the client
        /// is told that it is in, as from the official server. What is for another namespace is
        /// left out.
        #[serde(default)]
        missed: Vec<Emission>,
    },
    /// Do not let the client into a namespace that it asked for.
    Refuse {
        /// Which one.
        namespace: Namespace,
        /// Words for the client. The official server's, where there is no such namespace:
        /// `Invalid namespace`.
        #[serde(with = "text")]
        message: ByteString,
        /// JSON text to go along.
        #[serde(default, with = "text::option")]
        data: Option<ByteString>,
    },
    /// Send an event without an answer, or an answer.
    Emit(Emission),
    /// Send an event, and wait for its answer.
    Call {
        /// Comes back with the answer; unique among the open calls.
        id: RequestId<Call>,
        /// The event.
        emission: Emission,
        /// How long to wait for the answer.
        patience: Duration,
    },
    /// End the client's membership of a namespace. Its open calls end in
    /// [`CallError::Disconnected`]; there is no other output about it. A namespace that waits for
    /// admission is refused instead.
    Disconnect {
        /// Which one.
        namespace: Namespace,
    },
    /// Close the connection.
    Close,
}

/// A client that was here before says who it was, and what it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Resumption {
    /// The `pid` that it was given.
    #[serde(with = "secret::recorded")]
    pub pid: Secret,
    /// The offset of the last event that it has seen.
    #[serde(with = "text")]
    pub offset: ByteString,
}

canonical!(struct Resumption { pid, offset });

/// The longest `pid` and the longest offset that are looked at, in bytes: what is longer is none
/// that a server has given out.
pub const RESUMPTION_BYTES_MAX: usize = 256;

impl Resumption {
    /// What an auth says of it, where both are strings, as the official server wants them.
    pub(super) fn of(auth: &str) -> Option<Self> {
        let resumption = serde_json::from_str::<Self>(auth).ok()?;
        let is_short = |text: &str| text.len() <= RESUMPTION_BYTES_MAX;
        (is_short(resumption.pid.expose()) && is_short(&resumption.offset)).then_some(resumption)
    }
}

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Do this with what carries the connection. Of one step, this comes before all else.
    Transport(ServerAction),
    /// The client asks to join a namespace: answer with `Admit` or `Refuse`. The question ends with
    /// the connection.
    Admission {
        /// Which one.
        namespace: Namespace,
        /// The JSON text of an object, as the client sent it.
        auth: Option<ByteString>,
        /// What the client was before, by its own account.
        resumption: Option<Resumption>,
    },
    /// An event arrived.
    Event {
        /// Where.
        namespace: Namespace,
        /// What.
        event: Event,
    },
    /// A call has ended.
    Answered {
        /// Which one.
        id: RequestId<Call>,
        /// How.
        result: Result<Answer, CallError>,
    },
    /// The client left a namespace. The connection goes on.
    Disconnected {
        /// Which one.
        namespace: Namespace,
    },
    /// An `Emit` or a `Call` was not carried out, or the data of a refusal left out.
    Dropped {
        /// For which namespace.
        namespace: Namespace,
        /// Why.
        why: Unsent,
    },
    /// The connection has ended, and all memberships with it.
    Closed(CloseReason),
}
