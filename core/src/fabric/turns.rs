//! Turns as they stand in JSON: whose turn it is, and the calls and commands about it.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    id::{MessageId, UserId},
};

/// A command: the whole trimmed content of a post, which then is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The current speaker passes.
    #[serde(rename = "/no-reply")]
    NoReply,
    /// Any member passes for the current speaker.
    #[serde(rename = "/force-proceed")]
    ForceProceed,
}
canonical!(
    enum Command {
        NoReply,
        ForceProceed,
    }
);

impl Command {
    /// The command that `content` is, if it is one.
    pub fn of(content: &str) -> Option<Self> {
        [Self::NoReply, Self::ForceProceed]
            .into_iter()
            .find(|command| command.as_str() == content.trim())
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoReply => "/no-reply",
            Self::ForceProceed => "/force-proceed",
        }
    }
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandDone {
    /// Always true: a refusal has another shape.
    pub ok: bool,
    /// Which command.
    pub command: Command,
    /// The channel's turns afterwards.
    pub turn: Turn,
}

/// Whether somebody has the turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nobody has: the next message starts a round.
    Idle,
    /// The current speaker has.
    Active,
}

/// The answer to `GET /channels/{id}/turn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// Whether somebody has the turn.
    pub phase: Phase,
    /// Who has.
    pub current_speaker: Option<UserId>,
    /// The members in the order in which they speak.
    pub order: Vec<UserId>,
    /// The members who speak only when mentioned.
    pub bypass: Vec<UserId>,
    /// The frames, the root first; none where the channel is idle.
    pub stack: Vec<Frame>,
    /// What the current speaker was woken with; null where the channel is idle, or the message is
    /// still being looked for.
    pub wake: Option<Wake>,
}

/// Users who speak one after another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Who.
    pub speakers: Vec<UserId>,
    /// The index of the one whose turn it is, once the frames above have ended.
    pub cursor: usize,
}

/// What the current speaker was woken with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wake {
    /// The current speaker.
    pub user_id: UserId,
    /// The waking message.
    pub message_id: MessageId,
    /// Whether the speaker has said that the wake arrived.
    pub acked: bool,
}

/// The body of `POST /channels/{id}/turn/bypass`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetBypass {
    /// Which member.
    pub user_id: UserId,
    /// Whether it speaks only when mentioned from now on.
    pub bypass: bool,
}

/// The body of `POST /channels/{id}/ack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// The message that arrived.
    pub message_id: MessageId,
}

/// The answer to an ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// Always true: a refusal has another shape.
    pub ok: bool,
    /// Whether that is the waking message; false where the turn goes on with another one.
    pub acked: bool,
}
