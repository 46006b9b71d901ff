//! What can happen to an agent, and what it asks of the world.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    fabric::center::Session,
    http::{CallId, Failure, Request, Response},
    id::{TurnId, UserId},
    plugin::{
        inbound::Inbound,
        kept::Change,
        note::Note,
        tools::{Tool, ToolAnswer, ToolError},
        transfer::Transfer,
    },
    record::Recorded,
    request::RequestId,
    socketio::secrets,
    ws::{self, ConnId, Frame},
};

/// The kind of a login at Center.
#[derive(Clone, Copy, Debug)]
pub enum Login {}
/// The kind of a REST request to a guild.
#[derive(Clone, Copy, Debug)]
pub enum Http {}
/// The kind of a batch for the agent's store.
#[derive(Clone, Copy, Debug)]
pub enum Store {}

/// The kind of a claim to the account.
#[derive(Clone, Copy, Debug)]
pub enum Claim {}

/// Everything that can happen to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The login gate let a login through: it is being sent now.
    Admitted(RequestId<Login>),
    /// Center's answer to a login.
    LoggedIn(RequestId<Login>, Result<Session, LoginFailure>),
    /// A dialed connection is open, or could not be opened; in the words of the runtime.
    Dialed(ConnId, Result<(), String>),
    /// Something happened on an open connection.
    Transport(ConnId, ws::Event),
    /// A guild's answer to a REST request.
    Http(RequestId<Http>, Result<Response, Failure>),
    /// The store keeps a batch now, or could not; in the words of the runtime.
    Stored(RequestId<Store>, Result<(), String>),
    /// The account is this process's from now on, or held by another one, in words.
    Claimed(RequestId<Claim>, Result<(), String>),
    /// Something happened at the agent's host.
    Host(HostEvent),
    /// The process is about to end: close every connection and go silent.
    Shutdown,
}

/// What happens at the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostEvent {
    /// The host is initialised.
    Ready {
        /// Whether it declares `selvedge/turns`: it will say when a turn is done.
        turns: bool,
    },
    /// The host has asked for the list of tools.
    ToolsListed,
    /// The host has these slash commands, which every guild is to have: the parameters of
    /// [its notification](crate::plugin::commands::METHOD), as JSON.
    Commands(String),
    /// The notification of this turn has been written to the host.
    Written(TurnId),
    /// The host calls a tool.
    Call {
        /// To answer with.
        call: CallId,
        /// What to do.
        tool: Tool,
    },
    /// The host does not wait for this call any more.
    Cancelled(CallId),
}

/// Why a login failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFailure {
    /// Center answered, and not with a session: the account is at fault (401, 403), or Center is.
    Refused {
        /// The status code.
        status: u16,
        /// Center's words.
        message: String,
    },
    /// Center could not be asked, or its answer makes no sense; in the words of the runtime.
    Unavailable(String),
}

/// Everything an agent asks of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Log in at Center, once the login gate allows it: say [`Input::Admitted`] when the request is
    /// sent.
    Login(RequestId<Login>),
    /// Open a WebSocket to a guild.
    Dial {
        /// The connection; answered by [`Input::Dialed`] unless it is hung up before.
        conn: ConnId,
        /// The guild node's origin, such as `http://127.0.0.1:7002`.
        origin: String,
    },
    /// Do this on an open connection.
    Transport(ConnId, ws::Action),
    /// Give a connection up at once, also while it is being dialed. Nothing more is heard of it.
    HangUp(ConnId),
    /// Send a REST request to a guild.
    Http {
        /// Answered by [`Input::Http`].
        id: RequestId<Http>,
        /// The guild node's origin.
        origin: String,
        /// The request.
        request: Request,
        /// The file of this machine that goes with it. [`Failure::Local`] says that there is none.
        file: Option<Transfer>,
    },
    /// Make sure that no other process serves this account of the agent's Center. Answered by
    /// [`Input::Claimed`]; where another one does, the agent is started anew with what its store has then
    /// once that one has ended.
    Claim(RequestId<Claim>, UserId),
    /// Keep these changes, all or none, after those of every batch before; see
    /// [`Kept::apply`](crate::plugin::kept::Kept::apply). Answered by [`Input::Stored`].
    Store(RequestId<Store>, Vec<Change>),
    /// This question's answer is not waited for any more. A batch is kept all the same.
    Forget(Question),
    /// Hand messages to the host.
    Notify(Inbound),
    /// Answer a tool call of the host.
    Answer {
        /// Which.
        call: CallId,
        /// With what.
        result: Result<ToolAnswer, ToolError>,
    },
    /// Something worth a line in the log.
    Note(Note),
}

/// A question of any kind, to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// A login.
    Login(RequestId<Login>),
    /// A REST request.
    Http(RequestId<Http>),
    /// A batch for the store.
    Store(RequestId<Store>),
    /// A claim to the account.
    Claim(RequestId<Claim>),
}

impl Recorded for Input {
    fn secrets(&self, found: &mut dyn FnMut(&str)) {
        match self {
            Self::LoggedIn(_, Ok(session)) => {
                for grant in &session.grants {
                    found(grant.token.expose());
                }
            }
            Self::Transport(_, ws::Event::Frame(Frame::Text(text))) => {
                secrets::of_server(text, found);
            }
            Self::Admitted(_)
            | Self::LoggedIn(_, Err(_))
            | Self::Dialed(..)
            | Self::Transport(_, ws::Event::Frame(Frame::Binary(_)) | ws::Event::Closed(_))
            | Self::Http(..)
            | Self::Stored(..)
            | Self::Claimed(..)
            | Self::Host(_)
            | Self::Shutdown => {}
        }
    }
}
