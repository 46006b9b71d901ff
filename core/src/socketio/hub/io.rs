//! What can happen to a hub, and what it asks of the world and tells its embedder.

use alloc::{collections::BTreeSet, vec::Vec};
use core::{fmt, time::Duration};

use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    canon::{Canon, Canonical},
    canonical,
    engineio::sessions::{Arrival, Effect, SessionId},
    record::Recorded,
    request::RequestId,
    secret::{self, Secret},
    snapshot,
    socketio::{
        Call, CallError, CloseReason, Namespace, Unsent,
        event::{Answer, Emission, Event},
        secrets,
    },
    text,
};

/// One membership of one session in one namespace, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SocketId(pub(super) u64);

impl SocketId {
    /// An id from its number: for runtimes and tests.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number. They are numbered in the order of their CONNECTs.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Canonical for SocketId {
    fn canonical(&self, canon: &mut Canon) {
        canon.id("socket", self.0);
    }
}
snapshot!(struct SocketId(number));

/// The longest name of a room, in bytes: rooms are keys of maps.
pub const ROOM_BYTES_MAX: usize = 256;

/// The name of a room: sockets of one namespace that are spoken to together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Room(#[serde(serialize_with = "text::serialize")] ByteString);
canonical!(struct Room(name));

impl Room {
    /// `None` where `name` is longer than [`ROOM_BYTES_MAX`].
    pub fn new(name: &str) -> Option<Self> {
        (name.len() <= ROOM_BYTES_MAX).then(|| Self(name.into()))
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = text::deserialize(deserializer)?;
        Self::new(&name).ok_or_else(|| de::Error::custom("too long for the name of a room"))
    }
}

/// For whom an event is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One socket. One that is away is reached through its rooms.
    Socket(SocketId),
    /// Some sockets of the event's namespace, or all of them. Each gets it once.
    Audience(Audience),
}

/// Which sockets of a namespace; by default all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    /// Those in any of these rooms; everybody where there are none.
    #[serde(default)]
    pub rooms: Vec<Room>,
    /// But nobody in any of these,
    #[serde(default)]
    pub except_rooms: Vec<Room>,
    /// and none of these.
    #[serde(default)]
    pub except_sockets: BTreeSet<SocketId>,
}
canonical!(
    struct Audience {
        rooms,
        except_rooms,
        except_sockets,
    }
);

/// As whom a client is let in: with that, whether it goes on with what it had before.
///
/// A `pid` alone says which membership a client means, not that it is its own: it may be another
/// user's by now, who has signed in at the same page, or be stolen. So by default it counts for
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// Somebody new: it begins anew, whatever it was before.
    #[default]
    Stranger,
    /// Whoever shows the `pid`: it goes on with what that stands for, as at the official server
    /// without middlewares. For namespaces where a client is asked for nothing else.
    Bearer,
    /// The user of this name, by which the embedder tells users apart. It goes on only with what was
    /// admitted as the same user.
    User(#[serde(with = "text")] ByteString),
}
canonical!(
    enum Identity {
        Stranger,
        Bearer,
        User(name),
    }
);

impl Identity {
    /// Whether it can go on with what was admitted as `former`.
    pub(super) fn may_resume(&self, former: &Self) -> bool {
        match self {
            Self::Stranger => false,
            Self::Bearer => true,
            Self::User(_) => self == former,
        }
    }
}

/// What a client was before that asks for admission, by the `pid` that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// Its public id.
    pub sid: ByteString,
    /// As whom it was admitted.
    pub identity: Identity,
}

/// Everything that can happen to a hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Something reached the server from outside.
    Arrival(Arrival),
    /// Let a socket in. One that goes on with what it had before keeps its former `sid` and `pid`
    /// instead.
    Admit {
        /// Which one.
        socket: SocketId,
        /// Its public id: the runtime makes it, unique.
        #[serde(with = "text")]
        sid: ByteString,
        /// With what its client can come back, where recovery is on; without one it cannot. The
        /// runtime makes it, unguessable.
        #[serde(default, with = "secret::recorded::option")]
        pid: Option<Secret>,
        /// As whom: it decides whether the client goes on with what it had before. That can fail all
        /// the same, where what it has missed is not kept any more or is too much for it.
        #[serde(default)]
        identity: Identity,
    },
    /// Do not let a socket in.
    Refuse {
        /// Which one.
        socket: SocketId,
        /// Words for the client.
        #[serde(with = "text")]
        message: ByteString,
        /// JSON text to go along.
        #[serde(default, with = "text::option")]
        data: Option<ByteString>,
    },
    /// Send an event without an answer, or an answer.
    Emit {
        /// To whom.
        to: Target,
        /// What.
        emission: Emission,
        /// Not kept for those who are away.
        #[serde(default)]
        volatile: bool,
    },
    /// Send an event to one socket, and wait for its answer. It is not kept for those who are away.
    Call {
        /// Comes back with the answer; unique among the open calls.
        id: RequestId<Call>,
        /// To whom.
        socket: SocketId,
        /// The event.
        emission: Emission,
        /// How long to wait for the answer.
        patience: Duration,
    },
    /// A socket enters a room.
    Enter {
        /// Which one.
        socket: SocketId,
        /// Which room of its namespace.
        room: Room,
    },
    /// A socket leaves a room. One that is away is not in it when its client comes back.
    Exit {
        /// Which one.
        socket: SocketId,
        /// Which room of its namespace.
        room: Room,
    },
    /// End a socket. One that waits for admission is refused, and the client of one that is away
    /// does not come back as it.
    Disconnect {
        /// Which one.
        socket: SocketId,
        /// Close its whole connection.
        close: bool,
    },
    /// Close every connection, and go silent.
    Close,
}

impl Recorded for Input {
    fn secrets(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::Arrival(arrival) => {
                arrival.secrets(found);
                arrival.texts(&mut |text| secrets::of_connect(text, None, found));
            }
            Self::Admit { pid: Some(pid), .. } => found(pid.expose()),
            Self::Admit { pid: None, .. }
            | Self::Refuse { .. }
            | Self::Emit { .. }
            | Self::Call { .. }
            | Self::Enter { .. }
            | Self::Exit { .. }
            | Self::Disconnect { .. }
            | Self::Close => {}
        }
    }
}

/// Everything that a hub asks of the world and tells its embedder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Do this outside.
    Effect(Effect),
    /// A connection has begun. Of one step, this comes before the effects.
    Opened {
        /// Which one.
        session: SessionId,
        /// The `sid` that it was given when it arrived.
        sid: Secret,
    },
    /// A connection has ended, and all of its sockets before.
    Ended {
        /// Which one.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// A client asks to join a namespace: answer with `Admit` or `Refuse`.
    Admission {
        /// The socket that it would have.
        socket: SocketId,
        /// Its connection.
        session: SessionId,
        /// Which namespace.
        namespace: Namespace,
        /// The JSON text of an object, as the client sent it.
        auth: Option<ByteString>,
        /// What it was before, and could go on with: its rooms, and what it has missed. Whether it
        /// does is for the answer to say.
        former: Option<Former>,
    },
    /// This question is not waited for any more: it took too long, or the connection has ended.
    ForgetAdmission {
        /// The socket that would have been.
        socket: SocketId,
    },
    /// A socket is in.
    Connected {
        /// Which one.
        socket: SocketId,
        /// Its public id.
        sid: ByteString,
        /// It is taken for the one that had this `sid` before: it is in its rooms, and was sent
        /// what it had missed.
        recovered: bool,
        /// The rooms that it is in: none, unless it has recovered.
        rooms: Vec<Room>,
    },
    /// An event arrived.
    Event {
        /// From whom.
        socket: SocketId,
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
    /// A socket has ended, once for each that was in.
    Disconnected {
        /// Which one.
        socket: SocketId,
        /// Why.
        why: End,
    },
    /// Something that the embedder asked for was not done.
    Dropped {
        /// For which socket, where it was for one that there is.
        socket: Option<SocketId>,
        /// Why.
        why: Unsent,
    },
    /// The hub has closed. Nothing follows.
    Closed,
}

/// Why a socket has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Its client has left the namespace.
    Left,
    /// The embedder has disconnected it.
    Dismissed,
    /// Its client has come back on another connection: it is that socket now.
    TakenOver(SocketId),
    /// Its connection has ended.
    Closed(CloseReason),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("the client left the namespace"),
            Self::Dismissed => f.write_str("disconnected from this side"),
            Self::TakenOver(_) => f.write_str("the client came back on another connection"),
            Self::Closed(reason) => reason.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_holds_neither_ids_nor_auth() {
        let frame = r#"40{"pid":"private-id","token":"header.claims"}"#;
        let frame = crate::ws::Frame::Text(frame.into());
        let socket = SocketId(0);
        let mut redactor = crate::record::Redactor::default();
        for input in [
            Input::Arrival(Arrival::Transport(
                crate::ws::ConnId(0),
                crate::ws::Event::Frame(frame.clone()),
            )),
            Input::Admit {
                socket,
                sid: "public".into(),
                pid: Some(Secret::new("private-id")),
                identity: Identity::default(),
            },
        ] {
            let line = redactor.line(&input).unwrap();
            for secret in ["private-id", "header.claims"] {
                assert!(!line.contains(secret), "{line}");
            }
            serde_json::from_str::<Input>(&line).unwrap();
        }
    }
}
