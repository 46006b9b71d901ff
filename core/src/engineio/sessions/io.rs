//! What reaches a server of sessions from outside, and what it asks of the world.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    engineio::payload,
    http::CallId,
    record::name_broken,
    secret::{self, Secret},
    text,
    ws::{self, ConnId},
};

/// What reaches a server of sessions from outside.
///
/// Whoever knows a `sid` can speak for its session, so each is a [`Secret`]. `fresh` is the one of
/// the session that may begin with this: the runtime makes it, unguessable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// A WebSocket was opened.
    Socket {
        /// Which one.
        conn: ConnId,
        /// The session that it names. Without one a session begins.
        #[serde(default, with = "secret::recorded::option")]
        sid: Option<Secret>,
        /// For a session that begins.
        #[serde(with = "secret::recorded")]
        fresh: Secret,
        /// Its query has `b64` with a value: the client takes binary messages as base64 in text. What
        /// an earlier request of the session has in its query is no matter, as in the official server.
        #[serde(default)]
        base64: bool,
    },
    /// Something happened on a WebSocket.
    Transport(ConnId, ws::Event),
    /// A client polls.
    Poll {
        /// Comes back with the answer.
        call: CallId,
        /// The session that it names. Without one a session begins.
        #[serde(default, with = "secret::recorded::option")]
        sid: Option<Secret>,
        /// For a session that begins.
        #[serde(with = "secret::recorded")]
        fresh: Secret,
    },
    /// A client has begun to post; the body is being read.
    Posting {
        /// Comes back with the answer, which may come before the body does: then the body is not
        /// wanted.
        call: CallId,
        /// The session that it names.
        #[serde(with = "secret::recorded")]
        sid: Secret,
    },
    /// The body of a post is there.
    Post {
        /// Which one: it has been announced by `Posting`.
        call: CallId,
        /// All of it.
        #[serde(with = "text::body")]
        body: Bytes,
    },
    /// The client of a call has gone before the answer.
    Gone {
        /// Which one.
        call: CallId,
    },
}

impl Arrival {
    /// The `sid` of the session that begins with this, if one does.
    pub fn begins(&self) -> Option<&Secret> {
        match self {
            Self::Socket {
                sid: None, fresh, ..
            }
            | Self::Poll {
                sid: None, fresh, ..
            } => Some(fresh),
            Self::Socket { sid: Some(_), .. }
            | Self::Poll { sid: Some(_), .. }
            | Self::Transport(..)
            | Self::Posting { .. }
            | Self::Post { .. }
            | Self::Gone { .. } => None,
        }
    }

    /// Names the ids of sessions in it, and what makes no sense as a whole. What clients have written
    /// is in [`texts`](Self::texts).
    pub fn secrets(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::Socket { sid, fresh, .. } | Self::Poll { sid, fresh, .. } => {
                found(fresh.expose());
                if let Some(sid) = sid {
                    found(sid.expose());
                }
            }
            Self::Posting { sid, .. } => found(sid.expose()),
            Self::Post { body, .. } => name_broken(body, found),
            Self::Transport(..) | Self::Gone { .. } => {}
        }
    }

    /// Every packet of the client in it that is text: where its own secrets are.
    pub fn texts(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::Transport(_, ws::Event::Frame(ws::Frame::Text(text))) => found(text),
            Self::Post { body, .. } => payload::texts(body, found),
            Self::Transport(_, ws::Event::Frame(ws::Frame::Binary(_)) | ws::Event::Closed(_))
            | Self::Socket { .. }
            | Self::Poll { .. }
            | Self::Posting { .. }
            | Self::Gone { .. } => {}
        }
    }
}

/// What a server of sessions asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Do this with a WebSocket.
    Transport(ConnId, ws::Action),
    /// Answer a poll or a post.
    Answer {
        /// Which one.
        call: CallId,
        /// 200, or the status of a refusal.
        status: u16,
        /// A payload or `ok`, as text; or with a refusal, the reason as JSON.
        #[serde(with = "text::body")]
        body: Bytes,
    },
}
