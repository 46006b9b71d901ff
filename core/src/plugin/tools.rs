//! The tools that the host can call.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::{
        bodies::{CreateChannel, EditMessage, ShareCanvas, UpdateCanvas},
        routes::Paging,
        types::{Attachment, Canvas, Channel, Member, Message, Page, XType},
    },
    id::{ChannelId, FileId, GuildId, MessageId, TurnId, UserId},
    plugin::{post::Sent, transfer::Saved},
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
        /// Files that the account has uploaded.
        attachments: Vec<FileId>,
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
    /// List what waits and runs.
    ListPending,
    /// Make a channel.
    CreateChannel {
        /// In which guild, where the agent is in more than one.
        guild: Option<GuildId>,
        /// What it is to be.
        body: Box<CreateChannel>,
    },
    /// Upload a file of this machine.
    Upload {
        /// To which guild, where the agent is in more than one.
        guild: Option<GuildId>,
        /// Where it is, below the folder of files.
        path: String,
        /// What it is to be called.
        name: Option<String>,
    },
    /// Download a file to this machine.
    Download {
        /// From which guild, where the agent is in more than one.
        guild: Option<GuildId>,
        /// Which.
        file: FileId,
        /// What it is to be called.
        name: Option<String>,
    },
    /// Ask something of a channel's guild.
    Ask {
        /// The channel.
        channel: ChannelId,
        /// Its guild, where that is not known otherwise.
        guild: Option<GuildId>,
        /// What.
        ask: Ask,
    },
    /// Make users members of a channel, one after the other.
    AddMembers {
        /// The channel.
        channel: ChannelId,
        /// Its guild, where that is not known otherwise.
        guild: Option<GuildId>,
        /// Who.
        users: Vec<UserId>,
    },
    /// Make a `discuss` channel that is linked to this one.
    StartDiscussion {
        /// The channel it comes from.
        channel: ChannelId,
        /// Its guild, where more than one guild has a channel of that id.
        guild: Option<GuildId>,
        /// What it is about: the name of the new channel.
        topic: String,
        /// Who takes part, besides the agent.
        users: Vec<UserId>,
        /// The first message there.
        opening: String,
    },
    /// Close a discussion and post its summary where it came from.
    EndDiscussion {
        /// The channel of the discussion.
        channel: ChannelId,
        /// Its guild, where more than one guild has a channel of that id.
        guild: Option<GuildId>,
        /// What came of it.
        summary: String,
        /// Where the summary is posted instead of the channel it came from.
        post_to: Option<ChannelId>,
    },
}

impl Tool {
    /// The channel that it names, and the channel's guild where that is said.
    pub fn names(&self) -> Option<(&ChannelId, Option<&GuildId>)> {
        match self {
            Self::Send { channel, guild, .. }
            | Self::NoReply { channel, guild }
            | Self::Ask { channel, guild, .. }
            | Self::AddMembers { channel, guild, .. }
            | Self::StartDiscussion { channel, guild, .. }
            | Self::EndDiscussion { channel, guild, .. } => Some((channel, guild.as_ref())),
            Self::TurnDone { .. }
            | Self::ListChannels
            | Self::ListPending
            | Self::CreateChannel { .. }
            | Self::Upload { .. }
            | Self::Download { .. } => None,
        }
    }

    /// Whether what the host gives is small enough to be kept until the guild has answered.
    ///
    /// # Errors
    ///
    /// What is too large, in words for the host.
    pub fn fits(&self) -> Result<(), String> {
        let (users, bytes) = match self {
            Self::TurnDone { .. }
            | Self::NoReply { .. }
            | Self::ListChannels
            | Self::ListPending => return Ok(()),
            Self::Send {
                content,
                attachments,
                ..
            } => {
                if attachments.len() > ATTACHMENTS_MAX {
                    return Err(format!(
                        "a message carries at most {ATTACHMENTS_MAX} files: post several; nothing \
                         was posted"
                    ));
                }
                (0, content.len())
            }
            Self::CreateChannel { body, .. } => {
                let lists = [&body.member_user_ids, &body.wake_mapping, &body.bypass];
                let longest = lists.map(Vec::len).into_iter().max();
                (longest.unwrap_or(0), body.name.len())
            }
            Self::Ask { ask, .. } => (0, ask.bytes()),
            Self::AddMembers { users, .. } => (users.len(), 0),
            Self::StartDiscussion {
                topic,
                users,
                opening,
                ..
            } => (users.len(), topic.len() + opening.len()),
            Self::EndDiscussion { summary, .. } => (0, summary.len()),
            Self::Upload { path, name, .. } => (0, path.len() + length(name.as_ref())),
            Self::Download { name, .. } => (0, length(name.as_ref())),
        };
        if users > USERS_MAX {
            return Err(format!(
                "{users} users are too many for one call, which takes {USERS_MAX}: call \
                 add_members several times; nothing was changed"
            ));
        }
        if bytes > TEXT_BYTES_MAX {
            return Err(format!(
                "a text of {bytes} bytes is too long, {TEXT_BYTES_MAX} are allowed: shorten it; \
                 nothing was changed"
            ));
        }
        Ok(())
    }
}

fn length(text: Option<&String>) -> usize {
    text.map_or(0, String::len)
}

/// What one request asks of a channel's guild.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The channel's fields.
    Fields,
    /// Its members.
    Members,
    /// A page of its history.
    History(Paging),
    /// To become a member.
    Join,
    /// To be a member no more.
    Leave,
    /// That nothing can be posted any more.
    Close,
    /// That a message reads differently.
    Edit(MessageId, EditMessage),
    /// That a message is gone.
    Delete(MessageId),
    /// Its canvas.
    Canvas,
    /// That this is its canvas.
    ShareCanvas(ShareCanvas),
    /// That its canvas reads differently.
    UpdateCanvas(UpdateCanvas),
    /// That it has no canvas.
    RemoveCanvas,
}
canonical!(
    enum Ask {
        Fields,
        Members,
        History(paging),
        Join,
        Leave,
        Close,
        Edit(message, body),
        Delete(message),
        Canvas,
        ShareCanvas(body),
        UpdateCanvas(body),
        RemoveCanvas,
    }
);

impl Ask {
    /// How much text the host gave for it.
    fn bytes(&self) -> usize {
        match self {
            Self::Edit(_, body) => body.content.len(),
            Self::ShareCanvas(body) => body.title.len() + body.content.len(),
            Self::UpdateCanvas(body) => {
                let texts = [&body.title, &body.content];
                texts.map(|text| length(text.as_ref())).iter().sum()
            }
            Self::Fields
            | Self::Members
            | Self::History(_)
            | Self::Join
            | Self::Leave
            | Self::Close
            | Self::Delete(_)
            | Self::Canvas
            | Self::RemoveCanvas => 0,
        }
    }
}

/// A tool call that succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolAnswer {
    /// The messages stand in the channel: several where the text was too long for one.
    Sent(Vec<SentMessage>),
    /// It is so now, or was so before.
    Done,
    /// Whether it was not so before.
    Changed(bool),
    /// The agent's channels.
    Channels(Vec<ChannelEntry>),
    /// What waits and runs in each channel where anything does.
    Pending {
        /// The channels.
        channels: Vec<PendingEntry>,
        /// How many tool calls wait for a guild.
        calls: usize,
    },
    /// A file that was uploaded.
    Uploaded(Attachment),
    /// A file that was downloaded.
    Downloaded(Saved),
    /// A channel's fields.
    Channel(Channel),
    /// A channel's members.
    Members {
        /// The first of them, at most [`MEMBERS_SHOWN_MAX`].
        members: Vec<Member>,
        /// How many more there are.
        omitted: usize,
    },
    /// Who is a member now.
    Added {
        /// Those who were not before.
        added: Vec<UserId>,
        /// Those who were already.
        already: Vec<UserId>,
    },
    /// A page of history, oldest first.
    History(Page),
    /// A message as it stands now.
    Message(Box<Message>),
    /// A canvas as it stands now.
    Canvas(Box<Canvas>),
    /// The discussion has begun.
    Started {
        /// Its channel.
        channel: ChannelId,
        /// The first message there.
        message: MessageId,
    },
    /// The discussion is closed.
    Ended {
        /// Where its summary stands.
        channel: ChannelId,
        /// The summary.
        message: MessageId,
        /// Its position in that channel.
        seq: u64,
    },
}

/// A message that a call of `send` is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMessage {
    /// Its id.
    pub message: MessageId,
    /// Its position in the channel.
    pub seq: u64,
    /// What it says, where it stood there before the call: an earlier process had posted it.
    #[serde(rename = "content")]
    pub already: Option<String>,
}

impl ToolAnswer {
    pub(super) fn sent(messages: Vec<Sent>) -> Self {
        let shown = |Sent { message, already }: Sent| SentMessage {
            message: message.id,
            seq: message.seq,
            already: already.then_some(message.content),
        };
        Self::Sent(messages.into_iter().map(shown).collect())
    }
}

/// How many members of a channel one answer shows: an agent that must know them all can look at the
/// channel itself, and a model has no use for more.
pub const MEMBERS_SHOWN_MAX: usize = 1_000;

/// How many users one call names at most: each is a request of its own.
pub const USERS_MAX: usize = 100;

/// How many files one message carries at most; guilds have limits of their own below it.
pub const ATTACHMENTS_MAX: usize = 100;

/// How many bytes of text one page of history has at most; the messages farthest from where the page
/// begins are then left to the next one. A model reads all of it.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;

/// How many bytes a text has at most that the host gives: as many as the longest canvas.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;

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

/// A channel in `list_pending`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingEntry {
    /// The channel.
    pub channel_id: ChannelId,
    /// Its guild.
    pub guild_id: GuildId,
    /// The turn that runs there, or is parked.
    pub turn: Option<TurnId>,
    /// How many messages wait for their turn.
    pub waiting: usize,
    /// The turn was handed over too often without an end, and does not run any more.
    pub parked: bool,
}

/// A tool call that failed, in words that say what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ToolError(pub String);
