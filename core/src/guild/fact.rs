//! Facts: what a rule has decided, as the state applies it and the store keeps it.

use alloc::{boxed::Box, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::{
        realtime::Activity,
        turns::Command,
        types::{Canvas, Message, XType},
    },
    guild::{file::FileRow, turn::Turn},
    id::{ChannelId, FileId, MessageId, UserId},
    time::Wall,
};

/// One change. A store writes the facts of one `Store` output in one transaction, in order; the
/// rows of a store, read back as facts, restore the state at a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A channel is there, with these fields: inserted, or replaced by `id`.
    Channel(ChannelRow),
    /// A membership is there, with these fields: inserted, or replaced by `channel` and `user`,
    /// when Center knows the user under a new name.
    Member(MemberRow),
    /// A membership row was deleted.
    NoMember {
        /// The channel.
        channel: ChannelId,
        /// The user.
        user: UserId,
    },
    /// A message was posted: a new row, and its channel's `last_seq` is its `seq`.
    Posted {
        /// The message, without any receiver's `wakeup`.
        message: Box<Message>,
        /// Who was woken by it.
        woken: Vec<UserId>,
    },
    /// A message was edited or, where it has a `deletedAt`, deleted: its row is replaced, except
    /// for where it stands, who wrote it, and who was woken by it.
    Amended(Box<Message>),
    /// A canvas is there, in place of the channel's former one.
    Canvas(Box<Canvas>),
    /// A channel's canvas was taken away.
    NoCanvas(Activity),
    /// The catalogue of slash commands: the text of a JSON array, in place of the former one.
    Commands(String),
    /// A file is on the disk.
    File(FileRow),
    /// A file is to be taken from the disk, as soon as this is committed.
    NoFile(FileId),
    /// The turns of a channel: inserted, or replaced by `channel`.
    Turn {
        /// The channel.
        channel: ChannelId,
        /// Its turns.
        turn: Box<Turn>,
    },
    /// Somebody is woken with an older message, in place of whoever was recorded for it.
    Rewoken {
        /// The message's channel.
        channel: ChannelId,
        /// The message.
        message: MessageId,
        /// Who is woken.
        user: UserId,
        /// The id of this wake.
        wake_id: String,
    },
    /// A command was carried out under a nonce.
    Commanded {
        /// Whose nonce.
        author: UserId,
        /// The nonce.
        nonce: String,
        /// In which channel.
        channel: ChannelId,
        /// Which command.
        command: Command,
        /// When, by the guild's clock.
        at: Wall,
    },
}
canonical!(
    enum Fact {
        Channel(row),
        Member(row),
        NoMember { channel, user },
        Posted { message, woken },
        Amended(message),
        Canvas(canvas),
        NoCanvas(removal),
        Commands(text),
        File(row),
        NoFile(id),
        Turn { channel, turn },
        Rewoken { channel, message, user, wake_id },
        Commanded { author, nonce, channel, command, at },
    }
);

impl Fact {
    /// The channel that it is about, if it is about one.
    pub fn channel(&self) -> Option<&ChannelId> {
        Some(match self {
            Self::Channel(row) => &row.id,
            Self::Member(row) => &row.channel,
            Self::Posted { message, .. } | Self::Amended(message) => &message.channel_id,
            Self::Canvas(canvas) => &canvas.channel_id,
            Self::NoCanvas(removal) => &removal.channel_id,
            Self::NoMember { channel, .. }
            | Self::Turn { channel, .. }
            | Self::Rewoken { channel, .. }
            | Self::Commanded { channel, .. } => channel,
            Self::Commands(_) | Self::File(_) | Self::NoFile(_) => return None,
        })
    }
}

/// A channel in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRow {
    /// The channel.
    pub id: ChannelId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub x_type: XType,
    /// Whether anybody in the guild may join.
    pub is_public: bool,
    /// Whether posting is refused.
    pub closed: bool,
    /// Whom to wake, in triage and custom channels.
    pub wake_mapping: Vec<UserId>,
    /// The newest message's `seq`, 0 where there is none.
    pub last_seq: u64,
    /// When it was created.
    pub created_at: Wall,
}
canonical!(struct ChannelRow {
    id, name, x_type, is_public, closed, wake_mapping, last_seq, created_at,
});

/// A membership in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// The channel.
    pub channel: ChannelId,
    /// The user.
    pub user: UserId,
    /// The user's name, as last introspected; the id where no token of the user was seen yet.
    pub name: String,
    /// The channel's `last_seq` when the membership began.
    pub joined_seq: u64,
    /// When the membership began.
    pub joined_at: Wall,
}
canonical!(struct MemberRow { channel, user, name, joined_seq, joined_at });
