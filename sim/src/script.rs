//! Traces: what the world does, and what must have happened, one JSON object a line.
//!
//! The first line names the scenario and the report it stands for. Every other line is either
//! `{"at": ms, "who": …, "do": …}` or `{"at": ms, "expect": …}`.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{
    fabric::types::XType,
    plugin::{config::Profile, defect::Defect},
};
use serde::Deserialize;

use crate::net::Loss;

/// A scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The first line.
    pub head: Head,
    /// The other lines, in order of time.
    pub lines: Vec<Line>,
}

/// The first line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The scenario's name.
    pub trace: String,
    /// What was reported, in words.
    pub report: String,
    /// The planted defect with which the trace must fail.
    pub defect: String,
    /// The seed of every generator.
    #[serde(default)]
    pub seed: u64,
    /// How long a guild token lives.
    #[serde(default = "token_life")]
    pub token_life_ms: u64,
    /// Whether the guild accepts expired tokens and then goes deaf.
    #[serde(default)]
    pub deaf_on_expired_token: bool,
    /// How the host is handed its turns.
    #[serde(default = "profile")]
    pub profile: Profile,
    /// The least and the greatest latency, each way.
    #[serde(default = "latency")]
    pub latency_ms: (u64, u64),
}

fn token_life() -> u64 {
    900_000
}

fn profile() -> Profile {
    Profile::Plexum
}

fn latency() -> (u64, u64) {
    (1, 5)
}

/// Something at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// Somebody or something acts.
    Act {
        /// Milliseconds from the start.
        at: u64,
        /// A person, `center`, `network`, `host`, `plugin` or `disk`.
        who: String,
        /// What it does.
        r#do: Act,
    },
    /// Something must hold.
    Expect {
        /// Milliseconds from the start.
        at: u64,
        /// What.
        expect: Expect,
    },
}

impl Line {
    /// When, from the start.
    pub fn at(&self) -> Duration {
        match self {
            Self::Act { at, .. } | Self::Expect { at, .. } => Duration::from_millis(*at),
        }
    }
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// A person creates a channel with the given members, and calls it by `name` from then on.
    Create {
        /// The channel's name.
        name: String,
        /// Its kind.
        x_type: XType,
        /// Its members besides the person.
        members: Vec<String>,
    },
    /// A person posts.
    Post {
        /// The channel's name.
        channel: String,
        /// The text.
        content: String,
    },
    /// The network resets every connection.
    Reset,
    /// The network resets the oldest connection.
    ResetOldest,
    /// The network resets the next so many connections so long after their dial.
    Doom {
        /// How many.
        dials: u32,
        /// Milliseconds.
        after: u64,
    },
    /// Dials take so many milliseconds longer.
    DelayDials(u64),
    /// Every connection that is open now swallows this, for as long as it lives.
    Lose(Loss),
    /// The network swallows the next so many answers to what the agent asks for on a connection.
    LoseAcks(u32),
    /// Center takes every token of the agent back.
    Revoke,
    /// The network refuses dials from now on, or does not any more.
    RefuseDials(bool),
    /// The network swallows the next so many pushes of new messages to the agent, as a guild does
    /// that restarts between storing and pushing.
    LosePushes(u32),
    /// The guild takes so many milliseconds longer to answer the agent's REST requests.
    DelayRest(u64),
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
}

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expect {
    /// The agent's link is live, or is not.
    Live(bool),
    /// The agent's echo of this text stands in the guild, exactly once.
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
    /// So many turns reached the host, those that reached it again included.
    Turns(usize),
    /// So many of them had been handed over before.
    Redelivered(usize),
    /// This user has the turn in a channel; without one, nobody has.
    Speaker {
        /// The channel's name.
        channel: String,
        /// Who.
        who: Option<String>,
    },
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// There is not even a first line.
    #[error("the trace is empty: its first line must name the scenario")]
    Empty,
    /// A line does not parse.
    #[error("line {line} of the trace: {source}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line lies before the one above it.
    #[error("line {line} of the trace is earlier than the line above it")]
    Order {
        /// Counted from 1.
        line: usize,
    },
    /// The first line names no defect that exists.
    #[error("there is no planted defect `{name}`; there are: {known}")]
    Defect {
        /// As written.
        name: String,
        /// The names of all.
        known: String,
    },
}

impl Script {
    /// Reads a trace.
    ///
    /// # Errors
    ///
    /// With the line at fault.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .filter(|(_, line)| !line.trim().is_empty());
        let (number, first) = lines.next().ok_or(ScriptError::Empty)?;
        let head = serde_json::from_str(first).map_err(|source| ScriptError::Line {
            line: number,
            source,
        })?;
        let mut script = Self {
            head,
            lines: Vec::new(),
        };
        script.defect()?;
        for (number, line) in lines {
            let line: Line = serde_json::from_str(line).map_err(|source| ScriptError::Line {
                line: number,
                source,
            })?;
            if script
                .lines
                .last()
                .is_some_and(|above| above.at() > line.at())
            {
                return Err(ScriptError::Order { line: number });
            }
            script.lines.push(line);
        }
        Ok(script)
    }

    /// The planted defect that the trace is about.
    ///
    /// # Errors
    ///
    /// Where there is no such defect.
    pub fn defect(&self) -> Result<Defect, ScriptError> {
        let name = &self.head.defect;
        Defect::ALL
            .into_iter()
            .find(|defect| defect.name() == name)
            .ok_or_else(|| {
                let known: Vec<&str> = Defect::ALL.into_iter().map(Defect::name).collect();
                ScriptError::Defect {
                    name: name.clone(),
                    known: known.join(", "),
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"trace":"t","report":"r","defect":"reuses_first_token"}"#;

    #[test]
    fn a_fault_names_its_line() {
        let error = |text: &str| Script::parse(text).unwrap_err().to_string();
        assert!(error("").contains("empty"));
        assert!(error("{}").starts_with("line 1"));
        assert!(error(&format!("{HEAD}\n\n{{\"at\":1}}")).starts_with("line 3"));
        let early = format!(
            "{HEAD}\n{{\"at\":2,\"expect\":{{\"live\":true}}}}\n{{\"at\":1,\"expect\":{{\"live\":true}}}}"
        );
        assert!(error(&early).contains("line 3"));
        assert!(error(&HEAD.replace("reuses", "loses")).contains("there are: reuses_first_token"));
    }
}
