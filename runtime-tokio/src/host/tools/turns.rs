//! The tools for turns: how each ends, and what is pending.

use schemars::JsonSchema;
use selvedge_core::{
    id::TurnId,
    plugin::tools::{self as core, PendingEntry},
};
use serde::{Deserialize, Serialize};

use super::{
    declared::{Declared, Effect},
    scope::{InChannel, Itself, Place, id},
    shapes::Done,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TurnDone {
    /// The turn_id of the inbound.
    turn_id: String,
}

impl Declared for TurnDone {
    const NAME: &'static str = "turn_done";
    const TITLE: &'static str = "End a turn";
    const ABOUT: &'static str = "Says that a turn is over, after all its answers have been sent. The \
        channel's next messages follow.";
    const EFFECT: Effect = Effect::Sets;
    type Scope = Itself;
    type Answer = Done;

    fn call(self, (): ()) -> Result<core::Tool, String> {
        Ok(core::Tool::TurnDone {
            turn: id("turn_id", &self.turn_id, TurnId::new)?,
        })
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoReply {}

impl Declared for NoReply {
    const NAME: &'static str = "no_reply";
    const TITLE: &'static str = "Do not answer";
    const ABOUT: &'static str =
        "Says that the running turn of a channel is over and gets no answer.";
    const EFFECT: Effect = Effect::Sets;
    type Scope = InChannel;
    type Answer = Done;

    fn call(self, (channel, guild): Place) -> Result<core::Tool, String> {
        Ok(core::Tool::NoReply { channel, guild })
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListPending {}

/// What `list_pending` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Pending {
    /// The channels in which a turn runs or messages wait.
    pub(super) channels: Vec<Waiting>,
    /// How many tool calls wait for a guild's answer.
    pub(super) calls: usize,
}

/// A channel in [`Pending`].
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Waiting {
    /// The channel.
    pub(super) channel_id: String,
    /// Its guild.
    pub(super) guild_id: String,
    /// The turn that runs there, which turn_done or no_reply ends; null where none does.
    pub(super) turn_id: Option<String>,
    /// How many messages wait for their turn.
    pub(super) waiting: usize,
    /// The turn was handed over again and again without an end, and is not any more: look at its
    /// channel, and settle it with turn_done.
    pub(super) parked: bool,
}

impl Pending {
    pub(super) fn new(channels: Vec<PendingEntry>, calls: usize) -> Self {
        let waiting = |entry: PendingEntry| Waiting {
            channel_id: entry.channel_id.as_str().to_owned(),
            guild_id: entry.guild_id.as_str().to_owned(),
            turn_id: entry.turn.map(|turn| turn.as_str().to_owned()),
            waiting: entry.waiting,
            parked: entry.parked,
        };
        Self {
            channels: channels.into_iter().map(waiting).collect(),
            calls,
        }
    }
}

impl Declared for ListPending {
    const NAME: &'static str = "list_pending";
    const TITLE: &'static str = "List what is pending";
    const ABOUT: &'static str = "Lists the turns that run and how many messages wait behind them, \
        channel by channel. Use it to find a turn that was not ended.";
    const EFFECT: Effect = Effect::Reads;
    type Scope = Itself;
    type Answer = Pending;

    fn call(self, (): ()) -> Result<core::Tool, String> {
        Ok(core::Tool::ListPending)
    }
}
