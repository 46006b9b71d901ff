//! What can be done to the world.

use selvedge_core::fabric::types::XType;
use serde::{Deserialize, Serialize};

use crate::{
    fault::{Damage, LoginFault, RestFault},
    net::Loss,
};

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Act {
    /// People do it.
    Deed(Deed),
    /// It befalls everybody.
    Strike(Strike),
}

/// What people do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Deed {
    /// A person creates a channel with the given members, and calls it by `name` from then on.
    Create {
        /// The channel's name.
        name: String,
        /// Its kind.
        x_type: XType,
        /// Its members besides the person.
        members: Vec<String>,
        /// Whom it wakes, in triage and custom channels.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        wakes: Vec<String>,
        /// Who speaks only when mentioned, in channels that take turns.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bypass: Vec<String>,
    },
    /// A person posts.
    Post {
        /// The channel's name.
        channel: String,
        /// The text.
        content: String,
    },
    /// A person posts so many messages, one after the other, each with its number behind the text.
    Flood {
        /// The channel's name.
        channel: String,
        /// The text.
        content: String,
        /// How many.
        messages: u64,
        /// How many milliseconds after each other.
        every: u64,
    },
    /// A person edits its newest message in a channel.
    Edit {
        /// The channel's name.
        channel: String,
        /// The new text.
        content: String,
    },
    /// A person deletes its newest message in a channel.
    Delete {
        /// The channel's name.
        channel: String,
    },
    /// A person makes somebody a member of a channel.
    Add {
        /// The channel's name.
        channel: String,
        /// Who.
        user: String,
    },
    /// A person takes somebody out of a channel.
    Remove {
        /// The channel's name.
        channel: String,
        /// Who.
        user: String,
    },
    /// A person closes a channel or opens it again.
    SetClosed {
        /// The channel's name.
        channel: String,
        /// Whether nobody can post from now on.
        closed: bool,
    },
    /// A person says whom a channel wakes from now on.
    Map {
        /// The channel's name.
        channel: String,
        /// Whom.
        wakes: Vec<String>,
    },
    /// A person says that somebody speaks only when mentioned, or not only then.
    Bypass {
        /// The channel's name.
        channel: String,
        /// Who.
        user: String,
        /// Whether only when mentioned.
        bypass: bool,
    },
}

impl Deed {
    /// The channel that it is about, by the name that people call it.
    pub const fn channel(&self) -> &String {
        match self {
            Self::Create { name: channel, .. }
            | Self::Post { channel, .. }
            | Self::Flood { channel, .. }
            | Self::Edit { channel, .. }
            | Self::Delete { channel }
            | Self::Add { channel, .. }
            | Self::Remove { channel, .. }
            | Self::SetClosed { channel, .. }
            | Self::Map { channel, .. }
            | Self::Bypass { channel, .. } => channel,
        }
    }
}

/// A fault, or its end. A line may say to which `agent` and `guild`; without, all of them are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Strike {
    /// The network resets every connection.
    Reset,
    /// The network resets the oldest connection.
    ResetOldest,
    /// Every connection is closed in order, by whoever stands between.
    Close,
    /// The guild sends a Disconnect on every connection.
    Disconnect,
    /// The network resets the next so many connections so long after their dial.
    Doom {
        /// How many.
        dials: u32,
        /// Milliseconds.
        after: u64,
    },
    /// Dials take so many milliseconds longer.
    DelayDials(u64),
    /// The next so many dials are never answered.
    HangDials(u32),
    /// Everything takes so many milliseconds longer on connections that are open now or dialed later.
    DelayFrames(u64),
    /// The guild's heartbeats come so many milliseconds later.
    DelayPings(u64),
    /// Nothing arrives on open connections for so many milliseconds; then all of it does.
    Stall(u64),
    /// The next frame to the agent is damaged, on every open connection.
    Damage(Damage),
    /// Every connection that is open now swallows this, for as long as it lives.
    Lose(Loss),
    /// The network swallows the next so many answers to what the agent asks for on a connection.
    LoseAcks(u32),
    /// Center takes every token of the agent back.
    Revoke,
    /// The next so many logins go wrong.
    FailLogins {
        /// How many.
        logins: u32,
        /// In which way.
        how: LoginFault,
    },
    /// Center cannot be reached from now on, or can again.
    RefuseLogins(bool),
    /// Center's next so many sessions lack the guild.
    LackGuild(u32),
    /// Center does not answer the guild's next so many questions about tokens.
    FailIntrospections(u32),
    /// The network refuses dials from now on, or does not any more.
    RefuseDials(bool),
    /// The network swallows the next so many pushes of new messages to the agent, as a guild does
    /// that restarts between storing and pushing.
    LosePushes(u32),
    /// The guild pushes the next so many new messages twice.
    RepeatPushes(u32),
    /// The guild pushes its last new message once more, on every connection.
    RepeatLast,
    /// The guild takes so many milliseconds longer to answer the agent's REST requests.
    DelayRest(u64),
    /// The next so many REST requests of the agent go wrong.
    FailRest {
        /// How many.
        requests: u32,
        /// In which way.
        how: RestFault,
    },
    /// For so many milliseconds the guild takes no post of the agent, and says how long that is.
    LimitPosts(u64),
    /// The host loses the next so many notifications, without a word.
    LoseNotifications(u32),
    /// The plugin and its host are killed.
    Kill {
        /// Whether what the plugin's disk is writing is committed all the same, or lost.
        commits: bool,
    },
    /// The plugin and its host start again.
    Start,
    /// Somebody makes a backup of the plugin's disk.
    BackUp,
    /// Somebody puts that backup in the disk's place, while the plugin is killed.
    Restore,
    /// The plugin's disk takes so many milliseconds for a commit.
    DelayCommits(u64),
    /// The plugin's disk does not take the next so many batches.
    FailCommits(u32),
    /// The plugin and its host are killed, and start again.
    Crash {
        /// Whether what the plugin's disk is writing is committed all the same, or lost.
        commits: bool,
        /// How many milliseconds they are away.
        down: u64,
    },
    /// The host crashes. Its plugin notices, ends in order, and both start again.
    CrashHost {
        /// Whether what the plugin's disk is writing is committed all the same, or lost.
        commits: bool,
        /// How many milliseconds they are away.
        down: u64,
    },
    /// Guilds are backed up.
    BackUpGuild,
    /// Guilds crash, lose their disk, and start again with the backup so many milliseconds later.
    RestoreGuild {
        /// Milliseconds.
        down: u64,
    },
    /// The guild node is killed, and starts again.
    CrashGuild {
        /// Whether what its disk is writing is committed all the same, or lost.
        commits: bool,
        /// Whether its clients are told that their connections have ended, or find out.
        told: bool,
        /// How many milliseconds it is away.
        down: u64,
    },
    /// The guild's wall clock is off by so many milliseconds.
    SetClock(i64),
    /// The next time that this is about to happen, something else does before it.
    Before {
        /// What is about to happen.
        moment: Moment,
        /// What happens before.
        r#do: Box<Self>,
    },
    /// Every fault ends: what is down starts, and what goes wrong goes well. What the agents owe is
    /// demanded of them from here on.
    Quiet,
}

/// Moments at which a fault strikes hardest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The plugin gives its store a batch.
    Commit,
    /// The plugin's store tells that a batch is kept.
    Committed,
    /// The plugin hands a turn to its host.
    Notify,
    /// The plugin asks a guild for something.
    Request,
    /// The plugin posts.
    Post,
    /// The plugin is told that its post stands.
    Posted,
    /// The plugin dials.
    Dial,
    /// The plugin hears of a new message.
    Push,
    /// The guild gives its store a transaction.
    GuildCommit,
    /// The guild's store tells that a transaction is kept.
    GuildCommitted,
}
