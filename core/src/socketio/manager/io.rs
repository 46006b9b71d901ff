//! What goes into a manager and what comes out of it.

use alloc::string::String;
use core::time::Duration;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    Secret,
    engineio::transport::{ClientAction, ClientEvent},
    link::{Authorize, AuthorizeFailure},
    record::{Recorded, name_strings},
    request::RequestId,
    socketio::{
        Call, CallError, Namespace, Unsent,
        event::{Answer, Emission, Event},
        secrets,
    },
    ws::ConnId,
};

/// The kind of the question which auth a namespace is asked for with.
#[derive(Clone, Copy, Debug)]
pub enum Auth {}

/// What can happen to a manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The URL and the headers of the next attempt are known to the runtime; or there are none.
    Prepared(RequestId<Authorize>, Result<(), AuthorizeFailure>),
    /// A dialed connection is open, or could not be opened; the runtime's words for it.
    Dialed(ConnId, Result<(), String>),
    /// Something happened on a connection.
    Transport(ConnId, ClientEvent),
    /// Join a namespace, and join it again after every loss of the connection. It means nothing
    /// where that is under way or done: it can be said at any time.
    Join {
        /// Which one.
        namespace: Namespace,
    },
    /// Leave a namespace. Its open calls end, and what is kept for it comes back as
    /// [`Output::Dropped`]; there is no other output about it. With the last one the connection is
    /// closed.
    Leave {
        /// Which one.
        namespace: Namespace,
    },
    /// The auth of a CONNECT: the JSON text of an object or nothing; or why there is none.
    Auth(
        RequestId<Auth>,
        #[serde(with = "recorded_answer")] Result<Option<Secret>, String>,
    ),
    /// Send an event without an answer, or an answer. An event is kept where the namespace is wanted
    /// and not joined. An answer is not, and after [`Output::Disconnected`] there is nobody to answer
    /// any more: on the next connection it could be taken for the answer to another event.
    Emit(Emission),
    /// Send an event or an answer now, or not at all.
    EmitVolatile(Emission),
    /// Send an event, and wait for its answer. It is kept where the namespace is wanted and not
    /// joined.
    Call {
        /// Comes back with the answer; unique among the open calls.
        id: RequestId<Call>,
        /// The event.
        emission: Emission,
        /// How long to wait for the answer, from now on.
        patience: Duration,
    },
    /// Forget what is kept for a namespace: the calls end in [`CallError::NotConnected`], and the
    /// emissions come back as [`Output::Dropped`].
    ClearBuffer {
        /// Which one.
        namespace: Namespace,
    },
    /// Leave everything, close the connection, and go silent for ever.
    Shutdown,
}

/// URLs and headers, with what stands in them, are the runtime's alone: no input holds them.
impl Recorded for Input {
    fn secrets(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::Auth(_, Ok(Some(auth))) => name_strings(auth.expose(), None, found),
            Self::Transport(_, event) => {
                event.secrets(found);
                event.texts(&mut |text| secrets::of_server(text, found));
            }
            Self::Prepared(..)
            | Self::Dialed(..)
            | Self::Join { .. }
            | Self::Leave { .. }
            | Self::Auth(_, Ok(None) | Err(_))
            | Self::Emit(_)
            | Self::EmitVolatile(_)
            | Self::Call { .. }
            | Self::ClearBuffer { .. }
            | Self::Shutdown => {}
        }
    }
}

/// What a manager asks and tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Find out with which URL and headers to connect; however long that takes. They serve this one
    /// attempt, whichever transport it takes.
    Prepare(RequestId<Authorize>),
    /// That answer is not waited for any more.
    ForgetPrepare(RequestId<Authorize>),
    /// Say with which auth to ask for a namespace. It is asked for before every CONNECT.
    Auth {
        /// Comes back with the answer.
        id: RequestId<Auth>,
        /// Which one.
        namespace: Namespace,
    },
    /// That answer is not waited for any more.
    ForgetAuth(RequestId<Auth>),
    /// Open a WebSocket for a new session. A session that begins by polling is not dialed: the
    /// first that is heard of its connection is a [`ClientAction::Get`] without a `sid`.
    Dial(ConnId),
    /// Give a connection up at once, with its WebSocket and its requests, also while it is being
    /// dialed. Nothing more is heard of it.
    HangUp(ConnId),
    /// Do this on a connection.
    Transport(ConnId, ClientAction),
    /// A namespace is joined; what was kept for it follows.
    Connected {
        /// Which one.
        namespace: Namespace,
        /// This membership's id at the server.
        sid: ByteString,
        /// The server has gone on with the membership of the last connection: the events of the
        /// meantime follow, and the rooms are the same.
        recovered: bool,
    },
    /// A namespace could not be joined. The connection goes on.
    Refused {
        /// Which one.
        namespace: Namespace,
        /// The server's words; or those of the runtime, where it has no auth.
        message: ByteString,
        /// JSON text, as the server sent it along.
        data: Option<ByteString>,
        /// When it is asked for again, with new auth; `None`: not before the next
        /// [`Input::Join`].
        retry_in: Option<Duration>,
    },
    /// A namespace is not joined any more.
    Disconnected {
        /// Which one.
        namespace: Namespace,
        /// What happened, as a sentence for the log.
        why: String,
        /// It is joined again on the next connection. Otherwise the server has ended it, and it is
        /// not asked for before the next [`Input::Join`].
        retry: bool,
    },
    /// The connection is gone, or could not be made.
    Down {
        /// What happened, as a sentence for the log.
        why: String,
        /// When the next attempt follows.
        retry_in: Duration,
    },
    /// Too many attempts have failed in a row: all namespaces are left, and nothing happens until
    /// one is joined.
    GaveUp {
        /// What happened to the last attempt, as a sentence for the log.
        why: String,
    },
    /// An event arrived.
    Event {
        /// Where.
        namespace: Namespace,
        /// What.
        event: Event,
    },
    /// A call has ended; each one does once.
    Answered {
        /// Which one.
        id: RequestId<Call>,
        /// How.
        result: Result<Answer, CallError>,
    },
    /// A `Join`, an `Emit`, an `EmitVolatile` or a `Call` was not carried out.
    Dropped {
        /// For which namespace.
        namespace: Namespace,
        /// Why.
        why: Unsent,
    },
}

/// The answer to [`Output::Auth`] in a recording, by the rules of
/// [`secret::recorded`](crate::secret).
mod recorded_answer {
    use alloc::string::String;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::Secret;

    type Answer = Result<Option<Secret>, String>;

    pub(super) fn serialize<S: Serializer>(
        answer: &Answer,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let exposed = answer
            .as_ref()
            .map(|auth| auth.as_ref().map(Secret::expose));
        exposed.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Answer, D::Error> {
        let answer = Result::<Option<String>, String>::deserialize(deserializer)?;
        Ok(answer.map(|auth| auth.map(|auth| Secret::new(&auth))))
    }
}
