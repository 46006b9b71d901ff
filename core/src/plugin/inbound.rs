//! What the host gets: `notifications/plexum/channel/inbound`.

use alloc::{format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::types::{Attachment, Author, Message, XType},
    id::{AgentId, ChannelId, GuildId, MessageId, TurnId, UserId},
    time::Wall,
};

/// The notification's method.
pub const METHOD: &str = "notifications/plexum/channel/inbound";

/// One turn: messages of one channel that the agent must answer.
///
/// Everything inside of a message is untrusted text from other users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// One channel is one lasting session.
    pub session_id: String,
    /// Which agent of the configuration.
    pub agent_id: AgentId,
    /// Names this turn in `turn_done`.
    pub turn_id: TurnId,
    /// 1 for the first handing over.
    pub attempt: u32,
    /// Where it was said.
    pub channel: InboundChannel,
    /// What wakes the agent, in order of `seq`.
    pub messages: Vec<InboundMessage>,
    /// What was said since the last turn without waking the agent; newest last.
    pub context: Vec<InboundMessage>,
    /// How many messages were left out because there were too
    /// many.
    pub skipped: u64,
    /// This turn was handed over before, and nobody knows whether it was answered.
    pub redelivered: bool,
    /// These messages are old: the agent was away when they were posted.
    pub recovered: bool,
    /// The guild asks again about a message that was already posted.
    pub rewake: bool,
}
canonical!(struct Inbound {
    session_id, agent_id, turn_id, attempt, channel, messages, context, skipped, redelivered,
    recovered, rewake,
});

/// The channel of a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundChannel {
    /// The channel.
    pub id: ChannelId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub x_type: XType,
    /// Its guild.
    pub guild_id: GuildId,
}
canonical!(struct InboundChannel { id, name, x_type, guild_id });

/// A message of a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundMessage {
    /// The message.
    pub id: MessageId,
    /// Position in the channel.
    pub seq: u64,
    /// Who wrote it.
    pub author: Author,
    /// The text.
    pub content: String,
    /// Users mentioned.
    pub mentions: Vec<UserId>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// Files, as metadata.
    pub attachments: Vec<Attachment>,
    /// When it was posted.
    pub created_at: Wall,
}
canonical!(struct InboundMessage {
    id, seq, author, content, mentions, reply_to, attachments, created_at,
});

impl From<Message> for InboundMessage {
    fn from(message: Message) -> Self {
        Self {
            id: message.id,
            seq: message.seq,
            author: message.author,
            content: message.content,
            mentions: message.mentions,
            reply_to: message.reply_to_id,
            attachments: message.attachments,
            created_at: message.created_at,
        }
    }
}

/// The session of a channel whose id another guild's channel had first: the guild's id follows.
pub fn session_id_in(channel: &ChannelId, guild: &GuildId) -> String {
    format!("{}_{guild}", session_id(channel))
}

/// The session of a channel: `s_fab_` and its id.
pub fn session_id(channel: &ChannelId) -> String {
    format!("s_fab_{channel}")
}
