//! The tools that the host can call.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::types::XType,
    id::{ChannelId, GuildId, MessageId, TurnId},
};

/// A tool call, as the host side has read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// Post a message.
    Send {
        /// Where to; a channel of the agent.
        channel: ChannelId,
        /// The channel's guild, where more than one guild has a channel of that id.
        guild: Option<GuildId>,
        /// The text.
        content: String,
        /// The message this answers.
        reply_to: Option<MessageId>,
    },
    /// Say that a turn is over.
    TurnDone {
        /// Which.
        turn: TurnId,
    },
    /// Say that the running turn of a channel is over and gets no answer.
    NoReply {
        /// Where.
        channel: ChannelId,
        /// The channel's guild, where more than one guild has a channel of that id.
        guild: Option<GuildId>,
    },
    /// List the channels that the agent is in.
    ListChannels,
}

/// A tool call that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolAnswer {
    /// The message stands in the channel.
    Sent {
        /// Its id.
        message: MessageId,
        /// Its position in the channel.
        seq: u64,
    },
    /// The turn is over, or was over before.
    Done,
    /// The agent's channels.
    Channels(Vec<ChannelEntry>),
}

/// A channel in `list_channels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelEntry {
    /// The channel.
    pub channel_id: ChannelId,
    /// Its guild.
    pub guild_id: GuildId,
    /// Its name: untrusted text.
    pub name: String,
    /// Its kind, once the guild has told it.
    pub x_type: Option<XType>,
    /// Whether messages of it are being received now.
    pub live: bool,
}
canonical!(struct ChannelEntry { channel_id, guild_id, name, x_type, live });

/// A tool call that failed, in words that say what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ToolError(pub String);
