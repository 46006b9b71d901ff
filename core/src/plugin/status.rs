//! How an agent does, for an operator: plain data, made of what its machine knows.
//!
//! Moments are told as ages in milliseconds, since the clock of a machine means nothing outside of
//! its process. Nothing here is a secret or the text of a message.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    id::{AgentId, ChannelId, GuildId, TurnId, UserId},
    machine::Machine,
    time::Time,
};

/// A machine that can be asked how it does, between two steps, without being changed by that.
pub trait Reports: Machine {
    /// How it does at `now`.
    fn status(&self, now: Time) -> AgentStatus;
}

/// How one agent does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// The agent's name in the configuration.
    pub agent_id: AgentId,
    /// Whether it runs.
    pub state: AgentState,
    /// Why it is stopped or does not run, or why there is no login; `None` while there is nothing wrong.
    pub why: Option<String>,
    /// By whom its account is served, where that is another process: until that one ends this agent
    /// waits.
    pub served_by: Option<String>,
    /// Why nothing can be kept, and since when: until the store works again no turn begins.
    pub store: Option<Trouble>,
    /// Its account, once a login has told.
    pub user_id: Option<UserId>,
    /// How many messages wait in all its channels.
    pub waiting: u64,
    /// How many turns are parked: handed over too often without an end, and offered no more.
    pub parked: u64,
    /// How many tool calls of the host are under way.
    pub calls: u64,
    /// Guilds of the configuration that no login has listed.
    pub absent: Vec<GuildId>,
    /// Its guilds.
    pub guilds: Vec<GuildStatus>,
}

impl AgentStatus {
    /// An agent of which no more is known than this.
    pub fn of(agent_id: AgentId, state: AgentState) -> Self {
        Self {
            agent_id,
            state,
            why: None,
            served_by: None,
            store: None,
            user_id: None,
            waiting: 0,
            parked: 0,
            calls: 0,
            absent: Vec::new(),
            guilds: Vec::new(),
        }
    }
}

/// Whether an agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It does.
    Running,
    /// Not without a change of the configuration.
    Stopped,
    /// It was asked to end.
    Shut,
    /// It does not answer: it is being started again, or has too much to do.
    Silent,
}

/// How the link to one guild does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuildStatus {
    /// The guild.
    pub guild_id: GuildId,
    /// Its connection.
    #[serde(flatten)]
    pub link: LinkStatus,
    /// How many channels the agent is in.
    pub channels: u64,
    /// How many of them are joined on the present connection.
    pub joined: u64,
    /// The channels in which anything is to be done: that are not joined, are behind, or have
    /// something waiting, running or parked.
    pub busy: Vec<ChannelStatus>,
}

/// How a connection does, and what became of those before it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkStatus {
    /// How far it has come.
    pub state: LinkState,
    /// For how long it has been in that state.
    pub for_ms: u64,
    /// When the next attempt follows, where it waits for that.
    pub dial_in_ms: Option<u64>,
    /// How long ago anything was heard on the connection, heartbeats too.
    pub frame_ms_ago: Option<u64>,
    /// How long ago an event was heard.
    pub event_ms_ago: Option<u64>,
    /// How long ago a post of the agent was taken.
    pub post_ms_ago: Option<u64>,
    /// How often it has become live.
    pub lives: u64,
    /// How often its connection was replaced while it went on.
    pub rotations: u64,
    /// How often a connection was found to be deaf: the guild had stored what it did not push.
    pub deaf: u64,
    /// How many messages woke nobody because of the allow list or the loop guard.
    pub held_back: u64,
    /// How its connections have ended.
    pub ends: Ends,
    /// The last end of one.
    pub trouble: Option<Trouble>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// There is none; the next attempt follows.
    #[default]
    Waiting,
    /// A token is wanted.
    Login,
    /// It is being opened.
    Dialing,
    /// It is open, and the session begins.
    Handshaking,
    /// The session has begun, and its channels are being listed and joined.
    Joining,
    /// Everything is joined.
    Live,
}

impl LinkState {
    /// The name that the state has in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Login => "login",
            Self::Dialing => "dialing",
            Self::Handshaking => "handshaking",
            Self::Joining => "joining",
            Self::Live => "live",
        }
    }
}

/// How many connections have ended, by how far they had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ends {
    /// No token could be had.
    pub login: u64,
    /// The guild refused the token, or disconnected right after it took it.
    pub refused: u64,
    /// No connection could be opened.
    pub dial: u64,
    /// The session did not begin.
    pub handshake: u64,
    /// It ended before everything was joined.
    pub joining: u64,
    /// It was live.
    pub live: u64,
}

impl Ends {
    /// One more connection has ended, in this state.
    pub fn count(&mut self, state: LinkState, unauthorized: bool) {
        let count = match state {
            _ if unauthorized => &mut self.refused,
            LinkState::Login | LinkState::Waiting => &mut self.login,
            LinkState::Dialing => &mut self.dial,
            LinkState::Handshaking => &mut self.handshake,
            LinkState::Joining => &mut self.joining,
            LinkState::Live => &mut self.live,
        };
        *count = count.saturating_add(1);
    }

    /// Every count with its name.
    pub const fn each(&self) -> [(&'static str, u64); 6] {
        [
            ("login", self.login),
            ("refused", self.refused),
            ("dial", self.dial),
            ("handshake", self.handshake),
            ("joining", self.joining),
            ("live", self.live),
        ]
    }
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What, in words.
    pub why: String,
    /// How long ago.
    pub ms_ago: u64,
}

/// How one channel does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// The channel.
    pub channel_id: ChannelId,
    /// Its name, as last told.
    pub name: String,
    /// Whether it is joined on the present connection.
    pub joined: bool,
    /// The highest `seq` up to which everything has been received, once it is known.
    pub heard: Option<u64>,
    /// How many messages the guild is known to have beyond that.
    pub lag: u64,
    /// How many messages wait for a turn.
    pub waiting: u64,
    /// The turn that runs.
    pub turn: Option<TurnStatus>,
    /// How many turns are parked there.
    pub parked: u64,
}

/// A turn that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnStatus {
    /// Its id.
    pub turn_id: TurnId,
    /// How long it has run.
    pub age_ms: u64,
}

/// How many milliseconds before `now` that was.
pub(super) fn ago(now: Time, then: Option<Time>) -> Option<u64> {
    then.map(|then| millis(now.since(then)))
}

/// A span in milliseconds.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
