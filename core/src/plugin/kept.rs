//! What a store keeps of an agent from one process to the next.

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::types::Message,
    id::{ChannelId, GuildId, MessageId, TurnId, UserId},
    plugin::dedup::is_another,
    time::{Time, Wall},
};

/// Everything that a store gives back when an agent starts; empty for a new one.
///
/// [`apply`](Self::apply) is what a store must do: whatever keeps an agent does the same to its rows.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// The agent itself.
    pub agent: KeptAgent,
    /// The channels of every guild that has been listed once.
    pub guilds: BTreeMap<GuildId, BTreeMap<ChannelId, KeptChannel>>,
    /// The turns that were begun and are not forgotten.
    pub turns: BTreeMap<TurnId, TurnRecord>,
}

canonical!(struct Kept { agent, guilds, turns });

/// What is kept of the agent itself.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeptAgent {
    /// Part of every turn id and nonce of this agent, in all its processes.
    pub name: Option<String>,
    /// The account, as its first login told.
    pub user: Option<UserId>,
    /// When it was last known to listen; a minute old at most.
    pub alive_at: Option<Time>,
}
canonical!(struct KeptAgent { name, user, alive_at });

/// What is kept of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeptChannel {
    /// Up to where everything is finished; `None` before it is known where the channel begins.
    pub cursor: Option<Cursor>,
    /// From this `seq` on there may be messages that were recorded, and not handed over yet.
    pub context_from: u64,
    /// When the agent was seen to be no member any more.
    pub left_at: Option<Time>,
    /// What the next turn has to say of what lies before the cursor.
    #[serde(default)]
    pub notice: Notice,
    /// Up to this `seq` it was missed during an outage, as far as it is not finished; 0 where nothing
    /// was.
    #[serde(default)]
    pub missed_to: u64,
}
canonical!(struct KeptChannel { cursor, context_from, left_at, notice, missed_to });

/// What a turn says besides its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notice {
    /// How many messages were left out before it.
    pub skipped: u64,
    /// Its messages were missed during an outage, or the guild was restored from a backup before.
    pub recovered: bool,
    /// The guild woke the agent once more with one of them.
    pub rewake: bool,
}
canonical!(struct Notice { skipped, recovered, rewake });

/// Up to where everything in a channel is finished.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// The `seq`.
    pub seq: u64,
    /// The message there, by which a guild is recognised that was restored from a backup; `None`
    /// where it is not known.
    pub at: Option<Mark>,
}
canonical!(struct Cursor { seq, at });

/// Tells one message from another of the same `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its id.
    pub id: MessageId,
    /// When it was posted.
    pub created_at: Wall,
}
canonical!(struct Mark { id, created_at });

impl Mark {
    /// Of this message.
    pub fn of(message: &Message) -> Self {
        Self {
            id: message.id.clone(),
            created_at: message.created_at,
        }
    }

    /// Whether this message is the one.
    pub fn is(&self, message: &Message) -> bool {
        message.id == self.id && !is_another(self.created_at, message.created_at)
    }
}

/// A turn, as it must be known to hand it over again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// Where.
    pub guild: GuildId,
    /// Where.
    pub channel: ChannelId,
    /// Its messages with their `seq`, in order.
    pub messages: Vec<(u64, MessageId)>,
    /// How often it has been handed over, this time included; 0 while it is not known whether the
    /// guild's turn engine lets it begin.
    pub attempt: u32,
    /// From this `seq` on its context was recorded.
    pub context_from: u64,
    /// How far it has come.
    pub state: TurnState,
    /// It ended without a post that the guild's turn engine waits for: a pass is owed.
    pub owes_pass: bool,
    /// What it says besides, as far as the next process cannot count it again.
    #[serde(default)]
    pub notice: Notice,
}
canonical!(struct TurnRecord {
    guild, channel, messages, attempt, context_from, state, owes_pass, notice
});

/// How far a turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// Nobody knows whether it was answered.
    Open,
    /// It is over; its messages are finished.
    Ended,
    /// It was handed over too often without an end: nobody is asked again.
    Parked,
}
canonical!(
    enum TurnState {
        Open,
        Ended,
        Parked,
    }
);

/// One row of a store as it is from now on. The changes of a batch are kept together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The agent itself.
    Agent(KeptAgent),
    /// A guild was listed.
    Guild(GuildId),
    /// A channel of a guild.
    Channel(GuildId, ChannelId, KeptChannel),
    /// A channel is forgotten.
    NoChannel(GuildId, ChannelId),
    /// A turn.
    Turn(TurnId, TurnRecord),
    /// A turn is forgotten.
    NoTurn(TurnId),
}
canonical!(
    enum Change {
        Agent(agent),
        Guild(guild),
        Channel(guild, channel, kept),
        NoChannel(guild, channel),
        Turn(turn, record),
        NoTurn(turn),
    }
);

impl Kept {
    /// Keeps a batch.
    pub fn apply(&mut self, batch: &[Change]) {
        for change in batch {
            match change.clone() {
                Change::Agent(agent) => self.agent = agent,
                Change::Guild(guild) => {
                    self.guilds.entry(guild).or_default();
                }
                Change::Channel(guild, channel, kept) => {
                    self.guilds.entry(guild).or_default().insert(channel, kept);
                }
                Change::NoChannel(guild, channel) => {
                    if let Some(channels) = self.guilds.get_mut(&guild) {
                        channels.remove(&channel);
                    }
                }
                Change::Turn(turn, record) => {
                    self.turns.insert(turn, record);
                }
                Change::NoTurn(turn) => {
                    self.turns.remove(&turn);
                }
            }
        }
    }
}

impl TurnRecord {
    /// The `seq` of its first message.
    pub fn first_seq(&self) -> u64 {
        self.messages.first().map_or(0, |(seq, _)| *seq)
    }

    /// Whether a message is one of its own.
    pub fn has(&self, message: &MessageId) -> bool {
        self.messages.iter().any(|(_, id)| id == message)
    }

    /// The `seq` of its last message in the channel.
    pub fn last_seq(&self) -> u64 {
        self.messages.iter().map(|(seq, _)| *seq).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString as _, vec};

    use super::*;

    #[test]
    fn what_is_kept_is_the_last_word_about_each_row() {
        let guild = GuildId::new("g").unwrap();
        let channel = |id| ChannelId::new(id).unwrap();
        let turn = |id| TurnId::new(id).unwrap();
        let row = |seq| KeptChannel {
            cursor: Some(Cursor { seq, at: None }),
            ..KeptChannel::default()
        };
        let record = TurnRecord {
            guild: guild.clone(),
            channel: channel("c"),
            messages: vec![(7, MessageId::new("m").unwrap())],
            attempt: 1,
            context_from: 3,
            state: TurnState::Open,
            owes_pass: false,
            notice: Notice::default(),
        };
        let mut kept = Kept::default();
        kept.apply(&[
            Change::Agent(KeptAgent {
                name: Some("n".to_string()),
                ..KeptAgent::default()
            }),
            Change::Guild(guild.clone()),
            Change::Channel(guild.clone(), channel("c"), row(1)),
            Change::Channel(guild.clone(), channel("d"), row(1)),
            Change::Turn(turn("t"), record.clone()),
            Change::Turn(turn("u"), record.clone()),
        ]);
        kept.apply(&[
            Change::Guild(guild.clone()),
            Change::Channel(guild.clone(), channel("c"), row(2)),
            Change::NoChannel(guild.clone(), channel("d")),
            Change::NoTurn(turn("t")),
        ]);
        assert_eq!(kept.agent.name.as_deref(), Some("n"));
        assert_eq!(
            kept.guilds,
            [(guild, [(channel("c"), row(2))].into())].into()
        );
        assert_eq!(kept.turns, [(turn("u"), record)].into());
        let written = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Kept>(&written).unwrap(), kept);
    }
}
