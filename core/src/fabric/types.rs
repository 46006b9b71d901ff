//! Channels, messages and members as they stand in JSON.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    id::{ChannelId, GuildId, MessageId, UserId},
    time::Wall,
};

/// Who wakes whom: the kind of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XType {
    /// Every other member is woken.
    General,
    /// Taking turns, on a task.
    Work,
    /// Nobody is woken.
    Report,
    /// Taking turns, in a conversation.
    Discuss,
    /// The users on duty are woken.
    Triage,
    /// The listeners are woken.
    Custom,
    /// Every other member is woken, and plugins deliver even without the wake flag.
    Dm,
}
canonical!(
    enum XType {
        General,
        Work,
        Report,
        Discuss,
        Triage,
        Custom,
        Dm,
    }
);

impl XType {
    /// Whether users take turns there, so that a message wakes the current speaker alone.
    pub const fn takes_turns(self) -> bool {
        match self {
            Self::Work | Self::Discuss => true,
            Self::General | Self::Report | Self::Triage | Self::Custom | Self::Dm => false,
        }
    }

    /// As it is written on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Work => "work",
            Self::Report => "report",
            Self::Discuss => "discuss",
            Self::Triage => "triage",
            Self::Custom => "custom",
            Self::Dm => "dm",
        }
    }
}

/// A user where its name is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The user.
    pub id: UserId,
    /// Its name: untrusted text.
    #[serde(default)]
    pub name: String,
}
canonical!(struct Author { id, name });

/// A file that hangs on a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The file's id.
    pub id: String,
    /// The name that the uploader gave it: untrusted text.
    #[serde(default)]
    pub name: String,
    /// The media type that the uploader gave it: untrusted text.
    #[serde(default)]
    pub mime: String,
    /// Length in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Where to fetch it.
    #[serde(default)]
    pub url: String,
}
canonical!(struct Attachment { id, name, mime, bytes, url });

/// A message, as history has it and as `message.created` pushes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The message.
    pub id: MessageId,
    /// The channel it stands in.
    pub channel_id: ChannelId,
    /// The channel's guild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<GuildId>,
    /// Position in the channel, from 1, without holes.
    pub seq: u64,
    /// Who wrote it.
    pub author: Author,
    /// The text; empty once deleted.
    pub content: String,
    /// The message this answers.
    #[serde(default)]
    pub reply_to_id: Option<MessageId>,
    /// Every user mentioned, once, in order of appearance.
    #[serde(default)]
    pub mentions: Vec<UserId>,
    /// Files.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// When it was posted, by the guild's clock.
    pub created_at: Wall,
    /// When it was last edited.
    #[serde(default)]
    pub edited_at: Option<Wall>,
    /// When it was deleted.
    #[serde(default)]
    pub deleted_at: Option<Wall>,
    /// The author's own id for the post, by which a repeated post is recognised.
    #[serde(default)]
    pub nonce: Option<String>,
    /// Whether the user who receives this must wake. Absent where the guild does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wakeup: Option<bool>,
    /// This is not a new message but a new wake for an old one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewake: Option<bool>,
    /// The id of that wake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_id: Option<String>,
}
canonical!(struct Message {
    id, channel_id, guild_id, seq, author, content, reply_to_id, mentions, attachments, created_at,
    edited_at, deleted_at, nonce, wakeup, rewake, wake_id,
});

impl Message {
    /// Takes over what an edit or a deletion changes. Where it stands, who wrote it and whom it
    /// wakes stay: pushes about edits need not tell them.
    pub fn amend(&mut self, newer: &Self) {
        self.content.clone_from(&newer.content);
        self.mentions.clone_from(&newer.mentions);
        self.attachments.clone_from(&newer.attachments);
        self.edited_at = newer.edited_at;
        self.deleted_at = newer.deleted_at;
    }
}

/// A channel, as listings have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// The channel.
    pub id: ChannelId,
    /// Its guild.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<GuildId>,
    /// Its name: untrusted text.
    #[serde(default)]
    pub name: String,
    /// Its kind.
    pub x_type: XType,
    /// Whether anybody in the guild may join.
    #[serde(default)]
    pub is_public: bool,
    /// Whether posting is refused.
    #[serde(default)]
    pub closed: bool,
    /// The newest message's `seq`, 0 where there is none. Absent on older guilds.
    #[serde(default)]
    pub last_seq: Option<u64>,
    /// The last `seq` before the caller's membership; null for non-members.
    #[serde(default)]
    pub joined_seq: Option<u64>,
    /// How many members there are.
    #[serde(default)]
    pub member_count: u64,
    /// Whom to wake, in triage and custom channels.
    #[serde(default)]
    pub wake_mapping: Vec<UserId>,
}
canonical!(struct Channel {
    id, guild_id, name, x_type, is_public, closed, last_seq, joined_seq, member_count, wake_mapping,
});

/// A member of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The user.
    pub id: UserId,
    /// Its name: untrusted text.
    #[serde(default)]
    pub name: String,
    /// Whether it speaks only when mentioned.
    #[serde(default)]
    pub bypass: bool,
    /// Since when it is a member.
    pub joined_at: Wall,
    /// How it is: the last word of its `presence`, for as long as it has a socket. Other guilds
    /// leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}
canonical!(struct Member { id, name, bypass, joined_at, status });

/// What a canvas is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Markdown.
    Md,
    /// HTML: untrusted, to be shown in a sandbox only.
    Html,
    /// Plain text.
    Text,
}
canonical!(
    enum Format {
        Md,
        Html,
        Text,
    }
);

/// The one document that is pinned to a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canvas {
    /// The channel.
    pub channel_id: ChannelId,
    /// What the content is written in.
    pub format: Format,
    /// What is shown above it: untrusted text.
    pub title: String,
    /// The document: untrusted.
    pub content: String,
    /// Who shared it: the one who may change it or take it away.
    pub shared_by: UserId,
    /// When it was shared.
    pub created_at: Wall,
    /// When it was last changed.
    pub updated_at: Wall,
}
canonical!(struct Canvas {
    channel_id, format, title, content, shared_by, created_at, updated_at,
});

/// A page of history, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction of paging.
    #[serde(default)]
    pub has_more: bool,
}
canonical!(struct Page { messages, has_more });
