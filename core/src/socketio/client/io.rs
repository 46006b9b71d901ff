//! What goes into a client and what comes out of it.

use core::time::Duration;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    Secret,
    engineio::{
        self,
        transport::{ClientAction, ClientEvent},
    },
    request::RequestId,
    secret,
    socketio::{
        Call, CallError, CloseReason, Namespace, Unsent,
        event::{Answer, Emission, Event},
    },
    text,
};

/// What can happen to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Something happened to what carries the connection.
    Transport(ClientEvent),
    /// Join a namespace. One that is being left is joined again when that is done.
    Connect {
        /// Which one.
        namespace: Namespace,
        /// The JSON text of an object that the server judges.
        #[serde(default, with = "recorded_auth")]
        auth: Option<Secret>,
        /// The membership of an earlier connection that the server is asked to go on with.
        #[serde(default)]
        recover: Option<Recover>,
    },
    /// Send an event without an answer, or an answer.
    Emit(Emission),
    /// Send an event or an answer now, or not at all: it is never kept in the [`Buffer`](super::Buffer).
    EmitVolatile(Emission),
    /// Send an event, and wait for its answer.
    Call {
        /// Comes back with the answer; unique among the open calls.
        id: RequestId<Call>,
        /// The event.
        emission: Emission,
        /// How long to wait for the answer, from now on.
        patience: Duration,
    },
    /// Leave a namespace. Its open calls end in [`CallError::Disconnected`], and what is kept for it
    /// comes back as [`Output::Dropped`]; there is no other output about it.
    Disconnect {
        /// Which one.
        namespace: Namespace,
    },
    /// Close the connection.
    Close,
}

/// Connection-state recovery, from the client's side: which membership, and up to where its events
/// have arrived.
///
/// A server can only go on where it knows the offset. So nothing is recovered of a membership in
/// which no [event with an offset](Event::offset) has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// The `pid` of [`Output::Connected`]: whoever has it can take the membership over.
    #[serde(with = "secret::recorded")]
    pub pid: Secret,
    /// The offset of the newest event.
    #[serde(with = "text")]
    pub offset: ByteString,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Do this with what carries the connection.
    Transport(ClientAction),
    /// The Engine.IO handshake is done.
    Opened(engineio::Handshake),
    /// A namespace is joined.
    Connected {
        /// Which one.
        namespace: Namespace,
        /// This membership's id at the server.
        sid: ByteString,
        /// What to recover it by; `None` where the server does not do that.
        pid: Option<Secret>,
        /// The server has gone on with the membership that it was asked for.
        recovered: bool,
        /// How many events arrived before the answer. They follow at once; after a recovery they
        /// are those that were missed.
        early: usize,
    },
    /// The server refused to let the client into a namespace. The connection goes on, and the
    /// namespace can be asked for again.
    Refused {
        /// Which one.
        namespace: Namespace,
        /// The server's words.
        message: ByteString,
        /// JSON text, as the server sent it along.
        data: Option<ByteString>,
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
    /// The server ended this client's membership of a namespace. The connection goes on.
    Disconnected {
        /// Which one.
        namespace: Namespace,
    },
    /// A `Connect`, an `Emit`, an `EmitVolatile` or a `Call` was not carried out.
    Dropped {
        /// For which namespace.
        namespace: Namespace,
        /// Why.
        why: Unsent,
    },
    /// The connection has ended, and all memberships with it.
    Closed(CloseReason),
}

/// The auth of a CONNECT in a recording, by the rules of [`secret::recorded`](crate::secret).
mod recorded_auth {
    use alloc::string::String;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::Secret;

    pub(super) fn serialize<S: Serializer>(
        auth: &Option<Secret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        auth.as_ref().map(Secret::expose).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Secret>, D::Error> {
        let auth = Option::<String>::deserialize(deserializer)?;
        Ok(auth.map(|auth| Secret::new(&auth)))
    }
}
