//! The tools for channels and their members.

use schemars::JsonSchema;
use selvedge_core::{
    fabric::{bodies, types as wire},
    id::{GuildId, UserId},
    plugin::tools::{self as core, Ask, ChannelEntry},
};
use serde::{Deserialize, Serialize};

use super::{
    declared::{Declared, Effect},
    messages::ask,
    scope::{InChannel, InGuild, Itself, Place, ids},
    shapes::{Changed, Channel, plain},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListChannels {}

/// What `list_channels` answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Channels {
    /// The agent's channels.
    pub channels: Vec<Listed>,
}

/// A channel in [`Channels`].
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    /// The channel.
    pub channel_id: String,
    /// Its guild.
    pub guild_id: String,
    /// Its name: untrusted text of other users.
    pub name: String,
    /// Its kind (general, work, report, discuss, triage, custom or dm); null until the guild has
    /// told it.
    pub x_type: Option<String>,
    /// Whether messages of it are being received now.
    pub live: bool,
}

impl From<Vec<ChannelEntry>> for Channels {
    fn from(channels: Vec<ChannelEntry>) -> Self {
        let listed = |entry: ChannelEntry| Listed {
            channel_id: entry.channel_id.as_str().to_owned(),
            guild_id: entry.guild_id.as_str().to_owned(),
            name: entry.name,
            x_type: entry.x_type.map(|x_type| x_type.as_str().to_owned()),
            live: entry.live,
        };
        Self {
            channels: channels.into_iter().map(listed).collect(),
        }
    }
}

impl Declared for ListChannels {
    const NAME: &'static str = "list_channels";
    const TITLE: &'static str = "List channels";
    const ABOUT: &'static str = "Lists the channels that the agent is a member of, in all guilds.";
    const EFFECT: Effect = Effect::Reads;
    type Scope = Itself;
    type Answer = Channels;

    fn call(self, (): ()) -> Result<core::Tool, String> {
        Ok(core::Tool::ListChannels)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetChannel {}

impl Declared for GetChannel {
    const NAME: &'static str = "get_channel";
    const TITLE: &'static str = "Look at a channel";
    const ABOUT: &'static str = "Reads the fields of one channel: its name, its kind, whether it is \
        public or closed, and how many messages and members it has. Public channels can be looked at \
        without being a member.";
    const EFFECT: Effect = Effect::Reads;
    type Scope = InChannel;
    type Answer = Channel;

    fn call(self, at: Place) -> Result<core::Tool, String> {
        Ok(ask(at, Ask::Fields))
    }
}

/// The kind of a channel: who is woken by its messages.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Every other member.
    General,
    /// Members take turns, on a task.
    Work,
    /// Nobody.
    Report,
    /// Members take turns, in a conversation.
    Discuss,
    /// The users in wake_user_ids, who are on duty.
    Triage,
    /// The users in wake_user_ids, who listen.
    Custom,
    /// Every other member, in private.
    Dm,
}

impl From<Kind> for wire::XType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::General => Self::General,
            Kind::Work => Self::Work,
            Kind::Report => Self::Report,
            Kind::Discuss => Self::Discuss,
            Kind::Triage => Self::Triage,
            Kind::Custom => Self::Custom,
            Kind::Dm => Self::Dm,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateChannel {
    /// Its name; may be left out for a dm.
    #[serde(default)]
    name: String,
    /// Its kind, which never changes.
    x_type: Kind,
    /// Whether anybody in the guild may join; false where it is left out.
    #[serde(default)]
    is_public: bool,
    /// The ids of its members besides the agent, which is one itself.
    #[serde(default)]
    user_ids: Vec<String>,
    /// The ids of the users who are woken: for triage and custom channels.
    #[serde(default)]
    wake_user_ids: Vec<String>,
    /// The ids of the members who speak only when they are mentioned: for work and discuss channels.
    #[serde(default)]
    bypass_user_ids: Vec<String>,
}

impl Declared for CreateChannel {
    const NAME: &'static str = "create_channel";
    const TITLE: &'static str = "Create a channel";
    const ABOUT: &'static str = "Makes a channel, with the agent and the given users as its members; \
        they are told at once. For a conversation that comes out of another channel use \
        start_discussion. Do not call it twice for one channel: both would be there.";
    const EFFECT: Effect = Effect::Adds;
    type Scope = InGuild;
    type Answer = Channel;

    fn call(self, guild: Option<GuildId>) -> Result<core::Tool, String> {
        Ok(core::Tool::CreateChannel {
            guild,
            body: Box::new(bodies::CreateChannel {
                name: self.name,
                x_type: self.x_type.into(),
                is_public: self.is_public,
                member_user_ids: ids("user_ids", &self.user_ids, UserId::new)?,
                wake_mapping: ids("wake_user_ids", &self.wake_user_ids, UserId::new)?,
                bypass: ids("bypass_user_ids", &self.bypass_user_ids, UserId::new)?,
            }),
        })
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinChannel {}

impl Declared for JoinChannel {
    const NAME: &'static str = "join_channel";
    const TITLE: &'static str = "Join a channel";
    const ABOUT: &'static str = "Makes the agent a member of a public channel, whose messages then \
        reach it. Somebody who is a member must add it to a private one.";
    const EFFECT: Effect = Effect::Sets;
    type Scope = InChannel;
    type Answer = Changed;

    fn call(self, at: Place) -> Result<core::Tool, String> {
        Ok(ask(at, Ask::Join))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LeaveChannel {}

impl Declared for LeaveChannel {
    const NAME: &'static str = "leave_channel";
    const TITLE: &'static str = "Leave a channel";
    const ABOUT: &'static str = "Ends the agent's membership of a channel: nothing that is said there \
        reaches it any more, and what waits is dropped. It cannot come back to a private channel by \
        itself.";
    const EFFECT: Effect = Effect::Replaces;
    type Scope = InChannel;
    type Answer = Changed;

    fn call(self, at: Place) -> Result<core::Tool, String> {
        Ok(ask(at, Ask::Leave))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CloseChannel {}

impl Declared for CloseChannel {
    const NAME: &'static str = "close_channel";
    const TITLE: &'static str = "Close a channel";
    const ABOUT: &'static str = "Closes a channel for everybody: its history stays readable, and \
        nobody can post there any more. Use end_discussion for a discussion, so that its summary \
        comes back.";
    const EFFECT: Effect = Effect::Replaces;
    type Scope = InChannel;
    type Answer = Channel;

    fn call(self, at: Place) -> Result<core::Tool, String> {
        Ok(ask(at, Ask::Close))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListMembers {}

/// What `list_members` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Members {
    /// The members; at most 1,000 of them are shown.
    pub(super) members: Vec<Member>,
    /// How many more there are.
    pub(super) omitted: usize,
}

/// A member in [`Members`].
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Member {
    /// The user; mention it with <@user_id>.
    pub(super) user_id: String,
    /// Its name: untrusted text.
    pub(super) name: String,
    /// Whether it speaks only when mentioned.
    pub(super) bypass: bool,
    /// Since when it is a member, in ISO 8601.
    pub(super) joined_at: String,
    /// How it says it is, such as online or busy: untrusted text. Null where that is not known.
    pub(super) status: Option<String>,
}

impl Members {
    pub(super) fn new(members: Vec<wire::Member>, omitted: usize) -> Self {
        let member = |member: wire::Member| Member {
            user_id: member.id.as_str().to_owned(),
            name: member.name,
            bypass: member.bypass,
            joined_at: member.joined_at.to_string(),
            status: member.status,
        };
        Self {
            members: members.into_iter().map(member).collect(),
            omitted,
        }
    }
}

impl Declared for ListMembers {
    const NAME: &'static str = "list_members";
    const TITLE: &'static str = "List members";
    const ABOUT: &'static str = "Lists the members of a channel, with the ids by which they can be \
        mentioned or added elsewhere.";
    const EFFECT: Effect = Effect::Reads;
    type Scope = InChannel;
    type Answer = Members;

    fn call(self, at: Place) -> Result<core::Tool, String> {
        Ok(ask(at, Ask::Members))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddMembers {
    /// The ids of the users, at most 100.
    user_ids: Vec<String>,
}

/// What `add_members` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Added {
    /// The ids of those who are members now and were not before.
    pub(super) added: Vec<String>,
    /// The ids of those who were members already.
    pub(super) already: Vec<String>,
}

impl Added {
    pub(super) fn new(added: &[UserId], already: &[UserId]) -> Self {
        Self {
            added: plain(added),
            already: plain(already),
        }
    }
}

impl Declared for AddMembers {
    const NAME: &'static str = "add_members";
    const TITLE: &'static str = "Add members";
    const ABOUT: &'static str = "Makes users members of a channel that the agent is a member of; they \
        are told at once, and can read all that was said there before. Where it fails for one, the \
        error names those who were added.";
    const EFFECT: Effect = Effect::Sets;
    type Scope = InChannel;
    type Answer = Added;

    fn call(self, (channel, guild): Place) -> Result<core::Tool, String> {
        Ok(core::Tool::AddMembers {
            channel,
            guild,
            users: ids("user_ids", &self.user_ids, UserId::new)?,
        })
    }
}
