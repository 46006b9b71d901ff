//! Notes: what an agent tells its log, as values with a level and a sentence.

use alloc::string::String;
use core::{fmt, time::Duration};

use serde::Serialize;

use crate::id::{ChannelId, GuildId, TurnId, UserId};

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For whoever looks into one message.
    Debug,
    /// What an operator reads.
    Info,
    /// Something went wrong and is being mended.
    Warn,
    /// Somebody must act.
    Error,
}

/// Something worth a line in the log. No secret and no message text is ever part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// A login succeeded.
    LoggedIn {
        /// How many guilds it opens.
        guilds: usize,
    },
    /// A login failed and is tried again.
    LoginFailed {
        /// Why.
        why: String,
    },
    /// A login answered another account than before: the agent stops.
    AccountChanged {
        /// The account it had.
        before: UserId,
        /// The account that Center answered.
        after: UserId,
    },
    /// A guild of the configuration or of a running link is not in the session.
    NoAccess {
        /// The guild.
        guild: GuildId,
    },
    /// The origin of a guild node is known neither from Center nor from the configuration.
    NoOrigin {
        /// The guild.
        guild: GuildId,
    },
    /// A link is live: connected, and every channel joined.
    Live {
        /// The guild.
        guild: GuildId,
        /// How many channels.
        channels: usize,
    },
    /// A connection ended, or could not be made.
    Down {
        /// The guild.
        guild: GuildId,
        /// What happened, and whose doing it was.
        why: String,
        /// How long it had been live; `None` where it never was.
        lived: Option<Duration>,
        /// When the next dial follows; `None` where another connection was being made already.
        retry_in: Option<Duration>,
    },
    /// A connection was replaced by another one, without a gap.
    Rotated {
        /// The guild.
        guild: GuildId,
        /// Why.
        why: String,
        /// How long the old one had been live; `None` where it never was.
        lived: Option<Duration>,
    },
    /// A connection could not be replaced yet; it goes on, and the replacing is tried again.
    NotRotated {
        /// The guild.
        guild: GuildId,
        /// Why.
        why: String,
        /// When the next attempt follows.
        retry_in: Duration,
    },
    /// What the guild has stored was not pushed on a connection that seems to be sound: it is
    /// replaced.
    Deaf {
        /// The guild.
        guild: GuildId,
        /// The channel whose messages did not come.
        channel: ChannelId,
    },
    /// A listing or a read of channels failed and is tried again.
    ListingFailed {
        /// The guild.
        guild: GuildId,
        /// Why.
        why: String,
    },
    /// A join was refused, or not answered, and is tried again.
    JoinFailed {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
        /// Why.
        why: String,
    },
    /// The account became a member.
    Joined {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
    },
    /// The account is not a member any more.
    Left {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
        /// How many waiting messages were dropped with it.
        dropped: usize,
    },
    /// More channels or guilds than the configured limit: the rest is ignored.
    TooMany {
        /// What there is too much of, and the limit.
        what: String,
    },
    /// The history of a channel could not be read; it is tried again.
    HistoryFailed {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
        /// Why.
        why: String,
    },
    /// Too much was said while the agent was away: the oldest messages are counted as skipped.
    BackfillSkipped {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
        /// How many.
        skipped: u64,
    },
    /// A guild was restored from a backup: what was read of it before may be gone, and what it has
    /// now may bear numbers that were others' before.
    Restored {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
        /// How many messages were posted there since.
        found: usize,
        /// How many of them are counted as skipped, because they are too many.
        skipped: u64,
    },
    /// Messages are missing that the guild's history does not have either.
    GapAccepted {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
        /// How many are missing.
        missing: u64,
    },
    /// A push could not be read and was dropped.
    BadPush {
        /// The guild.
        guild: GuildId,
        /// The event's name.
        event: String,
        /// What is wrong with it.
        why: String,
    },
    /// A message with a nonce that is not ours came from our own account: another process posts as
    /// it.
    ForeignPost {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
    },
    /// A message that should have woken the agent did not: its author or channel is not on the allow
    /// list, or its author is silenced.
    HeldBack {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
        /// The author.
        author: UserId,
    },
    /// An author was silenced in a channel: it and the agent answered each other too often.
    LoopSilenced {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
        /// The author.
        author: UserId,
    },
    /// The host did not end a turn in time: the channel goes on without.
    TurnTimedOut {
        /// The turn.
        turn: TurnId,
        /// The channel.
        channel: ChannelId,
    },
    /// The host's slash commands cannot be read: those it had before stay.
    BadCommands {
        /// What is wrong with them.
        why: String,
    },
    /// A guild has the host's slash commands now.
    CommandsReplaced {
        /// The guild.
        guild: GuildId,
        /// How many.
        commands: usize,
    },
    /// A guild does not take the host's slash commands.
    CommandsRefused {
        /// The guild.
        guild: GuildId,
        /// Why.
        why: String,
    },
    /// Nothing shows that the host got the inbound of a turn: it is handed over once more.
    OfferedAgain {
        /// The turn.
        turn: TurnId,
        /// The channel.
        channel: ChannelId,
    },
    /// A turn was handed over again and again, and no end of it was seen: nobody is asked again.
    TurnParked {
        /// The turn.
        turn: TurnId,
        /// The channel.
        channel: ChannelId,
        /// How often it was handed over.
        attempts: u32,
    },
    /// The store cannot keep anything: no turn begins until it can.
    StoreFailed {
        /// Why.
        why: String,
    },
    /// The store keeps what it is given again.
    StoreMended,
    /// The store does not know of turns that earlier processes have handed over in a channel: it was
    /// restored from a backup.
    StoreIsOlder {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
    },
    /// Another process serves the account.
    Claimed {
        /// Which.
        by: String,
    },
    /// A queue was full: a message is counted as skipped.
    Skipped {
        /// The guild.
        guild: GuildId,
        /// The channel.
        channel: ChannelId,
    },
}

impl Note {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::LoggedIn { .. }
            | Self::Joined { .. }
            | Self::Left { .. }
            | Self::HeldBack { .. } => Level::Debug,
            Self::Live { .. }
            | Self::Down { .. }
            | Self::Rotated { .. }
            | Self::CommandsReplaced { .. }
            | Self::StoreMended => Level::Info,
            Self::LoginFailed { .. }
            | Self::ListingFailed { .. }
            | Self::JoinFailed { .. }
            | Self::NotRotated { .. }
            | Self::Deaf { .. }
            | Self::HistoryFailed { .. }
            | Self::BackfillSkipped { .. }
            | Self::Restored { .. }
            | Self::GapAccepted { .. }
            | Self::BadPush { .. }
            | Self::ForeignPost { .. }
            | Self::LoopSilenced { .. }
            | Self::TurnTimedOut { .. }
            | Self::OfferedAgain { .. }
            | Self::BadCommands { .. }
            | Self::CommandsRefused { .. }
            | Self::TurnParked { .. }
            | Self::StoreIsOlder { .. }
            | Self::Skipped { .. } => Level::Warn,
            Self::AccountChanged { .. }
            | Self::Claimed { .. }
            | Self::StoreFailed { .. }
            | Self::NoAccess { .. }
            | Self::NoOrigin { .. }
            | Self::TooMany { .. } => Level::Error,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoggedIn { guilds } => {
                write!(f, "logged in; the account is in {guilds} guild(s)")
            }
            Self::LoginFailed { why } => write!(f, "login failed: {why}; trying again"),
            Self::AccountChanged { before, after } => write!(
                f,
                "Center logged this agent in as {after}, it was {before} before: the agent stops; \
                 give it the key of its own account"
            ),
            Self::NoAccess { guild } => write!(
                f,
                "the account has no access to guild {guild}: add it to the guild, or take the \
                 guild out of `guilds`"
            ),
            Self::NoOrigin { guild } => write!(
                f,
                "Center does not say where guild {guild} is: set `url` in [guild.{guild}]"
            ),
            Self::Live { guild, channels } => {
                write!(f, "live in guild {guild} with {channels} channel(s)")
            }
            Self::Down {
                guild,
                why,
                lived,
                retry_in,
            } => {
                match lived {
                    Some(lived) => {
                        let lived = lived.as_secs_f32();
                        write!(f, "lost guild {guild} after {lived:.1} s: {why}; ")?;
                    }
                    None => write!(f, "no connection to guild {guild}: {why}; ")?,
                }
                match retry_in {
                    Some(wait) => write!(f, "dialing again in {:.1} s", wait.as_secs_f32()),
                    None => write!(f, "the next one is on its way"),
                }
            }
            Self::Rotated { guild, why, lived } => write!(
                f,
                "replaced the connection to guild {guild} after {:.1} s: {why}",
                lived.unwrap_or_default().as_secs_f32()
            ),
            Self::NotRotated {
                guild,
                why,
                retry_in,
            } => write!(
                f,
                "could not replace the connection to guild {guild}: {why}; it goes on, and the \
                 next attempt follows in {:.1} s",
                retry_in.as_secs_f32()
            ),
            Self::Deaf { guild, channel } => write!(
                f,
                "guild {guild} does not push the messages of channel {channel} to this connection: \
                 it is replaced"
            ),
            Self::ListingFailed { guild, why } => {
                write!(
                    f,
                    "could not list the channels of guild {guild}: {why}; trying again"
                )
            }
            Self::JoinFailed {
                guild,
                channel,
                why,
            } => {
                write!(
                    f,
                    "could not join channel {channel} of guild {guild}: {why}; trying again"
                )
            }
            Self::Joined { guild, channel } => {
                write!(f, "now a member of channel {channel} of guild {guild}")
            }
            Self::Left {
                guild,
                channel,
                dropped,
            } => write!(
                f,
                "no longer a member of channel {channel} of guild {guild}; {dropped} waiting \
                 message(s) dropped"
            ),
            Self::TooMany { what } => write!(f, "{what}: the rest is ignored"),
            Self::HistoryFailed {
                guild,
                channel,
                why,
            } => write!(
                f,
                "could not read the history of channel {channel} of guild {guild}: {why}; trying \
                 again"
            ),
            Self::BackfillSkipped {
                guild,
                channel,
                skipped,
            } => write!(
                f,
                "too much was missed in channel {channel} of guild {guild}: the {skipped} oldest \
                 message(s) are counted as skipped"
            ),
            Self::Restored {
                guild,
                channel,
                found,
                skipped,
            } => {
                write!(
                    f,
                    "guild {guild} was restored from a backup: {found} message(s) of channel \
                     {channel} are new, {skipped} before them are counted as skipped"
                )
            }
            Self::GapAccepted {
                guild,
                channel,
                missing,
            } => {
                write!(
                    f,
                    "{missing} message(s) missing in channel {channel} of guild {guild}"
                )
            }
            Self::BadPush { guild, event, why } => {
                write!(
                    f,
                    "guild {guild} sent `{event}` that cannot be read: {why}; dropped"
                )
            }
            Self::ForeignPost { guild, channel } => write!(
                f,
                "another process posts as this account in channel {channel} of guild {guild}: run \
                 one plugin for an account"
            ),
            Self::HeldBack {
                guild,
                channel,
                author,
            } => write!(
                f,
                "a message of {author} in channel {channel} of guild {guild} was recorded, not \
                 delivered: it is not allowed to wake the agent now"
            ),
            Self::LoopSilenced {
                guild,
                channel,
                author,
            } => write!(
                f,
                "{author} and the agent keep answering each other in channel {channel} of guild \
                 {guild}: {author} does not wake it there for a while"
            ),
            Self::TurnTimedOut { turn, channel } => {
                write!(
                    f,
                    "the host did not end turn {turn} of channel {channel} in time"
                )
            }
            Self::BadCommands { why } => {
                write!(f, "the host's commands are left as they were: {why}")
            }
            Self::CommandsReplaced { guild, commands } => {
                write!(f, "guild {guild} has the host's {commands} commands now")
            }
            Self::CommandsRefused { guild, why } => write!(
                f,
                "guild {guild} does not take the host's commands: {why}; they are offered again \
                 when its link was away"
            ),
            Self::OfferedAgain { turn, channel } => write!(
                f,
                "the host has shown no sign of turn {turn} of channel {channel}: it is handed over \
                 once more"
            ),
            Self::TurnParked {
                turn,
                channel,
                attempts,
            } => write!(
                f,
                "turn {turn} of channel {channel} was handed over {attempts} times without an end: \
                 it is parked, and the channel goes on; `list_pending` shows it, `turn_done` \
                 settles it"
            ),
            Self::StoreFailed { why } => write!(
                f,
                "the store cannot be written: {why}; no turn begins until it can, nothing is lost"
            ),
            Self::Claimed { by } => write!(
                f,
                "the account is served by {by}: this agent waits until that one has ended"
            ),
            Self::StoreIsOlder { guild, channel } => write!(
                f,
                "the store is older than what this agent has posted in channel {channel} of guild \
                 {guild}: what was handed over there before it was restored is not handed over again"
            ),
            Self::StoreMended => f.write_str("the store can be written again"),
            Self::Skipped { guild, channel } => write!(
                f,
                "the queue of channel {channel} of guild {guild} is full: a message is counted as \
                 skipped"
            ),
        }
    }
}
