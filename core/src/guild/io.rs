//! What can happen to a guild node, and what it asks of the world.

use alloc::{boxed::Box, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    engineio::sessions::{Arrival, Effect},
    fabric::{
        center::{Introspection, User},
        turns::Command,
        types::{Canvas, Message, Page},
    },
    guild::{
        fact::Fact,
        file::{FileRow, Received},
        rest::ACCESS_TOKEN,
    },
    http::{CallId, Request, Response},
    id::{ChannelId, FileId, MessageId, UserId},
    record::{Recorded, name_parameter},
    request::RequestId,
    secret::{self, Secret},
    socketio::secrets,
    time::Wall,
};

/// The kind of a question to Center about a token.
#[derive(Clone, Copy, Debug)]
pub enum Introspect {}
/// The kind of a question to Center about a name.
#[derive(Clone, Copy, Debug)]
pub enum Resolve {}
/// The kind of a transaction of the store.
#[derive(Clone, Copy, Debug)]
pub enum Store {}
/// The kind of a read from the store.
#[derive(Clone, Copy, Debug)]
pub enum Load {}

/// The kind of a file that is to be received.
#[derive(Clone, Copy, Debug)]
pub enum Receive {}

/// Everything that can happen to a guild node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A reading of the wall clock: first of all, and then once a minute.
    Clock(Wall),
    /// Something reached the Socket.IO path.
    Arrival(Arrival),
    /// A REST request arrived, whole.
    Http {
        /// To answer with.
        call: CallId,
        /// The request.
        request: Request,
    },
    /// The client of a REST request has gone; an answer would reach nobody.
    HttpGone(CallId),
    /// Center's answer about a token.
    Introspected(RequestId<Introspect>, Result<Introspection, Unavailable>),
    /// Center's answer about a name: a user, or that there is none.
    Resolved(RequestId<Resolve>, Result<Option<User>, Unavailable>),
    /// The store has committed, or could not.
    Stored(RequestId<Store>, Result<(), Unavailable>),
    /// The store's answer to a read.
    Loaded(RequestId<Load>, Result<Loaded, Unavailable>),
    /// The file that was to be received is on the disk, or is not: then nothing is left of it.
    Received(RequestId<Receive>, FileId, Result<Received, NotReceived>),
    /// The process is about to end: close every connection and go silent.
    Shutdown,
}

/// Everything a guild node asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Do this at the Socket.IO path.
    Effect(Effect),
    /// Answer a REST request.
    Respond {
        /// Which.
        call: CallId,
        /// With what.
        response: Response,
    },
    /// Ask Center whether a token is good.
    Introspect(
        RequestId<Introspect>,
        #[serde(with = "secret::recorded")] Secret,
    ),
    /// Ask Center for the user of a name.
    Resolve(RequestId<Resolve>, String),
    /// Write these facts in one transaction. Transactions are committed in the order in which they
    /// are asked for, and none after one that failed.
    Store(RequestId<Store>, Vec<Fact>),
    /// Read from the store. A read sees every transaction that was asked for before it.
    Load(RequestId<Load>, Query),
    /// Take the body of this request, a multipart form with a field `file`, onto the disk.
    Receive(RequestId<Receive>, Incoming),
    /// Answer a REST request with a file from the disk.
    Deliver {
        /// Which.
        call: CallId,
        /// With what.
        file: Box<FileRow>,
    },
    /// Take this file from the disk; it may not be there.
    Discard(FileId),
    /// This question's answer is not waited for any more.
    Forget(Question),
    /// The node cannot go on: the state may be ahead of the store. The process ends with this.
    Fatal(String),
}

/// A question of any kind, to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// To Center, about a token.
    Introspect(RequestId<Introspect>),
    /// To Center, about a name.
    Resolve(RequestId<Resolve>),
    /// A read from the store. (A transaction is never forgotten.)
    Load(RequestId<Load>),
    /// A file. Nothing is to be left of it on the disk, also where it has come in just now.
    Receive(RequestId<Receive>),
}

/// A file that is to be received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Incoming {
    /// The request whose body it is.
    pub call: CallId,
    /// What it is called on the disk.
    pub file: FileId,
    /// How long it may be.
    pub bytes_max: u64,
}

/// Why a file was not received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotReceived {
    /// It is longer than it may be.
    TooLarge,
    /// The body is no multipart form with a field `file`, in the words of the runtime.
    Malformed(String),
    /// The body broke off, or came too slowly.
    Broken(String),
    /// The disk did not take it: our fault.
    Disk(String),
}

/// A read from the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// A page of history; `message.wakeup` is set to whether `asker` was woken, `rewake` and
    /// `wakeId` where it was by an older message.
    /// Without bounds the newest page. Answered by [`Loaded::Page`].
    History {
        /// The channel.
        channel: ChannelId,
        /// Who asks.
        asker: UserId,
        /// Only messages after this `seq`, the oldest first.
        after: Option<u64>,
        /// Only messages before this `seq`: the newest of them, still oldest first.
        before: Option<u64>,
        /// At most this many.
        limit: u64,
    },
    /// The message that `author` posted under `nonce`, created after `since`, or the command that it
    /// gave. Answered by [`Loaded::Message`] or [`Loaded::Command`].
    Nonce {
        /// Whose nonce.
        author: UserId,
        /// The nonce.
        nonce: String,
        /// Older messages do not count.
        since: Wall,
    },
    /// A message by its id, without any `wakeup`. Answered by [`Loaded::Message`].
    Message(MessageId),
    /// The canvas of a channel. Answered by [`Loaded::Canvas`].
    Canvas(ChannelId),
    /// The channels in which a message that is not deleted carries a file. Answered by
    /// [`Loaded::Channels`].
    Attached(FileId),
    /// The newest message of a channel that is not written by `not_by` and not deleted. Answered by
    /// [`Loaded::Message`].
    Newest {
        /// The channel.
        channel: ChannelId,
        /// Whose messages do not count.
        not_by: UserId,
    },
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loaded {
    /// A page of history.
    Page(Page),
    /// A message, or that there is none.
    Message(Option<Box<Message>>),
    /// A canvas, or that there is none.
    Canvas(Option<Box<Canvas>>),
    /// Channels, each once.
    Channels(Vec<ChannelId>),
    /// A command that was given under a nonce.
    Command {
        /// In which channel.
        channel: ChannelId,
        /// Which.
        command: Command,
    },
}

/// Center or the store could not be asked; in the words of the runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unavailable(pub String);

impl Recorded for Input {
    fn secrets(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::Arrival(arrival) => {
                arrival.secrets(found);
                arrival.texts(&mut |text| secrets::of_connect(text, Some("token"), found));
            }
            Self::Http { request, .. } => {
                if let Some(token) = &request.bearer {
                    found(token.expose());
                }
                name_parameter(&request.target, ACCESS_TOKEN, found);
            }
            Self::Clock(_)
            | Self::HttpGone(_)
            | Self::Introspected(..)
            | Self::Resolved(..)
            | Self::Stored(..)
            | Self::Loaded(..)
            | Self::Received(..)
            | Self::Shutdown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;
    use crate::{http::Method, record::Redactor};

    fn asked(target: &str, bearer: Option<&str>) -> Input {
        Input::Http {
            call: CallId(1),
            request: Request {
                method: Method::Get,
                target: target.to_string(),
                bearer: bearer.map(Secret::new),
                body: b"{}".as_slice().into(),
            },
        }
    }

    #[test]
    fn tokens_of_a_request_are_not_written() {
        let token = "header.claims.mac";
        for input in [
            asked("/api/channels", Some(token)),
            asked(&format!("/api/files/f?x=1&access_token={token}"), None),
        ] {
            let line = Redactor::default().line(&input).unwrap();
            assert!(!line.contains("claims"), "{line}");
            serde_json::from_str::<Input>(&line).unwrap();
        }
    }

    #[test]
    fn whatever_a_stranger_calls_a_token_the_recording_can_be_read_back() {
        for bearer in [
            "",
            "1",
            ":",
            "\"",
            "http",
            "call",
            "GET",
            "request",
            "/api/channels",
        ] {
            let input = asked("/api/channels?x=1", Some(bearer));
            let line = Redactor::default().line(&input).unwrap();
            let read: Input = serde_json::from_str(&line).unwrap();
            let Input::Http { call, request } = read else {
                panic!("{line}");
            };
            assert_eq!((call, request.method), (CallId(1), Method::Get));
        }
    }
}
