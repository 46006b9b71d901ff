//! What a trace can expect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What must hold. A line may say of which `agent`; without, it is the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expect {
    /// The agent's links are live, or are not.
    Live(bool),
    /// The agent's echo of this text stands in a guild, exactly once.
    Echoed(String),
    /// The agent was never handed this text.
    NotDelivered(String),
    /// The agent was handed these texts, in this order, and nothing else.
    Delivered(Vec<String>),
    /// The agent has said this so often: the kinds of its notes.
    Noted(BTreeMap<String, usize>),
    /// The agent has never had more connections than this.
    ConnectionsAtMost(usize),
    /// The agent has dialed at most so often.
    DialsAtMost(u64),
    /// The agent has sent at most so many posts, those that it sent again included.
    PostsAtMost(u64),
    /// Exactly one tool call of the host has failed in words of which these are some.
    CallFailed(String),
    /// No guild was dialed more often than this within any tenth of a second.
    RushAtMost(usize),
    /// So many turns reached the host, those that reached it again included.
    Turns(usize),
    /// So many of them had been handed over before.
    Redelivered(usize),
    /// So many messages were left out, as the host was told.
    Skipped(u64),
    /// So many messages wait to be handed over.
    Waiting(u64),
    /// This user has the turn in a channel; without one, nobody has.
    Speaker {
        /// The channel's name.
        channel: String,
        /// Who.
        who: Option<String>,
    },
}
