//! What carries a session: at most one WebSocket, and the requests of HTTP long-polling.
//!
//! The machines of both ends say here what they want of the world, and the world what has happened.
//! A request is always a whole one. Where a `sid` is named, it stands in the query beside
//! `EIO=4&transport=polling` or `EIO=4&transport=websocket`.

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    engineio::payload,
    http::{CallId, Failure},
    record::name_broken,
    request::RequestId,
    text,
    ws::{self, ConnId},
};

/// The kind of a client's request.
#[derive(Clone, Copy, Debug)]
pub enum Exchange {}

/// What happens to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientEvent {
    /// Something happened on the WebSocket: the one that the session started on, or the one that it
    /// dialed.
    WebSocket(ws::Event),
    /// The WebSocket that was dialed is open, or could not be opened; the runtime's words for it.
    Dialed(Result<(), Text>),
    /// A request has ended.
    Answered {
        /// Which one.
        id: RequestId<Exchange>,
        /// How.
        result: Result<Answer, Failure>,
    },
}

impl ClientEvent {
    /// Names what makes no sense as a whole. What the server has written is in
    /// [`texts`](Self::texts).
    pub fn secrets(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::Answered {
                result: Ok(Answer { body, .. }),
                ..
            } => name_broken(body, found),
            Self::WebSocket(_) | Self::Answered { result: Err(_), .. } | Self::Dialed(_) => {}
        }
    }

    /// Every packet of the server in it that is text: where its secrets are.
    pub fn texts(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::WebSocket(ws::Event::Frame(ws::Frame::Text(text))) => found(text),
            Self::Answered {
                result: Ok(Answer { body, .. }),
                ..
            } => payload::texts(body, found),
            Self::WebSocket(ws::Event::Frame(ws::Frame::Binary(_)) | ws::Event::Closed(_))
            | Self::Answered { result: Err(_), .. }
            | Self::Dialed(_) => {}
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAction {
    /// Do this with the WebSocket. Its `Close` also gives up a dial.
    WebSocket(ws::Action),
    /// Open a WebSocket for the session.
    Dial {
        /// Which session.
        #[serde(with = "text")]
        sid: ByteString,
    },
    /// Poll.
    Get {
        /// Comes back with the answer.
        id: RequestId<Exchange>,
        /// Which session; none where one is to begin.
        #[serde(default, with = "text::option")]
        sid: Option<ByteString>,
    },
    /// Post. A session's posts are carried out one after another: the last ones may be asked for
    /// while one is under way, when the session ends, and wait for it. They are let through also
    /// when the machine has said that it is done. But after one that was not answered with 200, none
    /// is carried out, nor answered: the server would take what comes after a gap for what is next.
    Post {
        /// Comes back with the answer.
        id: RequestId<Exchange>,
        /// Which session.
        #[serde(with = "text")]
        sid: ByteString,
        /// A payload, as `text/plain;charset=UTF-8`.
        #[serde(with = "text::body")]
        body: Bytes,
    },
    /// Give a poll up. Its answer is not waited for. Let the posts that were asked for before it come
    /// to their end first: a server takes a poll that breaks off for the end of the session.
    Abort(RequestId<Exchange>),
}

/// What a server said to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The whole body.
    #[serde(with = "text::body")]
    pub body: Bytes,
}
canonical!(struct Answer { status, body });

/// Words in a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(#[serde(with = "text")] pub ByteString);

/// What happens to a server's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerEvent {
    /// Something happened on the WebSocket of the session: the one that it started on, or the one
    /// that was accepted last and not refused.
    WebSocket(ws::Event),
    /// A WebSocket was opened with the id of this session.
    Accepted(ConnId),
    /// The client polls.
    Poll {
        /// Comes back with the answer. A call that was answered is over.
        call: CallId,
    },
    /// The client has begun to post, and the body is being read. Without it the machine cannot tell
    /// when two are under way at once.
    Posting {
        /// Comes back with the answer, which may come before the body does: then the body is not
        /// wanted.
        call: CallId,
    },
    /// The client has posted.
    Post {
        /// Comes back with the answer.
        call: CallId,
        /// All of it.
        #[serde(with = "text::body")]
        body: Bytes,
    },
    /// The client has given up a poll or a post; no answer is wanted.
    Gone {
        /// Which one.
        call: CallId,
    },
}

/// What a server's session asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAction {
    /// Do this with the WebSocket of the session.
    WebSocket(ws::Action),
    /// Close this WebSocket, which the session has no use for. Nothing that happens on it is for
    /// the session.
    Refused(ConnId),
    /// Answer a poll or a post: also where a message of the same step, handed up before it, has
    /// made the embedder close the session.
    Answer {
        /// Which one.
        call: CallId,
        /// 200, or the status of a refusal.
        status: u16,
        /// The payload, `ok`, or the reason as JSON.
        body: Bytes,
    },
    /// The session was closed from this side, and no poll was open to say so: answer the next one
    /// with this, if it comes soon. Without it the client loses what still waited, and takes the
    /// end for an accident.
    Farewell(Bytes),
}

impl From<ws::Event> for ClientEvent {
    fn from(event: ws::Event) -> Self {
        Self::WebSocket(event)
    }
}

impl From<ws::Event> for ServerEvent {
    fn from(event: ws::Event) -> Self {
        Self::WebSocket(event)
    }
}
