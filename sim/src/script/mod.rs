//! Traces: what the world does, and what must have happened, one JSON object a line.
//!
//! The first line names the scenario and the report it stands for. Every other line is either
//! `{"at": ms, "who": …, "do": …}` or `{"at": ms, "expect": …}`. A random run is a script too: its
//! seed makes one, and running a script takes no decision that is not in it.

pub mod act;
pub mod expect;

use std::time::Duration;

use selvedge_core::plugin::{config::Profile, defect::Defect};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use self::{
    act::{Act, Deed, Moment, Strike},
    expect::Expect,
};

/// A scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The first line.
    pub head: Head,
    /// The other lines, in order of time.
    pub lines: Vec<Line>,
}

/// The first line of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The scenario's name.
    pub trace: String,
    /// What was reported, in words.
    pub report: String,
    /// The planted defect with which the trace must fail; empty where it is about none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub defect: String,
    /// The seed of every generator.
    #[serde(default)]
    pub seed: u64,
    /// The accounts of the agents, all in one process: their names, or how many there are.
    #[serde(default = "agents", deserialize_with = "names")]
    pub agents: Vec<String>,
    /// The guilds, all of which every agent belongs to.
    #[serde(default = "guilds")]
    pub guilds: Vec<String>,
    /// Those of them that are older: they know no nonces, and history does not say whom a message
    /// wakes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older_guilds: Vec<String>,
    /// Those of them that do not know when an agent's process enters a channel for the first time: what
    /// was acked they do not tell it again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reticent_guilds: Vec<String>,
    /// Whether all guilds give the same ids.
    #[serde(default)]
    pub same_ids: bool,
    /// How long a guild token lives.
    #[serde(default = "token_life")]
    pub token_life_ms: u64,
    /// Whether the guilds accept expired tokens and then go deaf.
    #[serde(default)]
    pub deaf_on_expired_token: bool,
    /// How the host is handed its turns.
    #[serde(default = "profile")]
    pub profile: Profile,
    /// Whether a host of the profile `plexum` says when a turn is done.
    #[serde(default = "turns")]
    pub turns: bool,
    /// How long a turn of the host takes.
    #[serde(default = "turn_ms")]
    pub turn_ms: u64,
    /// The least and the greatest latency, each way.
    #[serde(default = "latency")]
    pub latency_ms: (u64, u64),
    /// What of the plugin's configuration is not as by default.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
}

impl Head {
    /// One agent, one guild, and everything as by default.
    pub fn named(trace: &str, report: &str) -> Self {
        Self {
            trace: trace.to_string(),
            report: report.to_string(),
            defect: String::new(),
            seed: 0,
            agents: agents(),
            guilds: guilds(),
            older_guilds: Vec::new(),
            reticent_guilds: Vec::new(),
            same_ids: false,
            token_life_ms: token_life(),
            deaf_on_expired_token: false,
            profile: profile(),
            turns: turns(),
            turn_ms: turn_ms(),
            latency_ms: latency(),
            config: Map::new(),
        }
    }
}

fn agents() -> Vec<String> {
    vec!["echo".to_string()]
}

/// Reads names, or the number of those that are called `agent-1` and so on.
fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Names(Vec<String>),
        Number(usize),
    }
    Ok(match Written::deserialize(from)? {
        Written::Names(names) => names,
        Written::Number(number) => numbered(number),
    })
}

/// The names of so many agents.
pub fn numbered(agents: usize) -> Vec<String> {
    let numbers = 1..=agents;
    numbers.map(|number| format!("agent-{number}")).collect()
}

fn guilds() -> Vec<String> {
    vec!["guild-1".to_string()]
}

fn token_life() -> u64 {
    900_000
}

fn profile() -> Profile {
    Profile::Plexum
}

fn turns() -> bool {
    true
}

fn turn_ms() -> u64 {
    200
}

fn latency() -> (u64, u64) {
    (1, 5)
}

/// Something at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// Somebody or something acts.
    Act {
        /// Milliseconds from the start.
        at: u64,
        /// A person, `center`, `network`, `guild`, `host`, `plugin` or `disk`.
        who: String,
        /// The one agent that is meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// The one guild that is meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guild: Option<String>,
        /// What it does.
        r#do: Act,
    },
    /// Something must hold.
    Expect {
        /// Milliseconds from the start.
        at: u64,
        /// The agent that is meant, where it is not the first; `*` for every one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
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

    /// Whether it means one agent or one guild, of that name.
    pub fn is_about(&self, name: &str) -> bool {
        let (agent, guild) = match self {
            Self::Act { agent, guild, .. } => (agent.as_deref(), guild.as_deref()),
            Self::Expect { agent, .. } => (agent.as_deref(), None),
        };
        agent == Some(name) || guild == Some(name)
    }

    /// Whether it makes a channel of that name.
    pub fn makes(&self, channel: &str) -> bool {
        let Self::Act { r#do, .. } = self else {
            return false;
        };
        matches!(r#do, Act::Deed(Deed::Create { name, .. }) if name == channel)
    }

    /// Whether it says what must hold.
    pub const fn expects(&self) -> bool {
        match self {
            Self::Act { .. } => false,
            Self::Expect { .. } => true,
        }
    }
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

    /// Writes it as it is read.
    ///
    /// # Errors
    ///
    /// Where a line does not serialise, which is a bug of its type.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string(&self.head)?;
        for line in &self.lines {
            text.push('\n');
            text.push_str(&serde_json::to_string(line)?);
        }
        text.push('\n');
        Ok(text)
    }

    /// The planted defect that the trace is about, if it is about one.
    ///
    /// # Errors
    ///
    /// Where there is no such defect.
    pub fn defect(&self) -> Result<Option<Defect>, ScriptError> {
        match self.head.defect.as_str() {
            "" => Ok(None),
            name => named(name).map(Some),
        }
    }
}

/// The planted defect of a name.
///
/// # Errors
///
/// Where there is no such defect.
pub fn named(name: &str) -> Result<Defect, ScriptError> {
    let mut all = Defect::ALL.into_iter();
    all.find(|defect| defect.name() == name).ok_or_else(|| {
        let known: Vec<&str> = Defect::ALL.into_iter().map(Defect::name).collect();
        ScriptError::Defect {
            name: name.to_string(),
            known: known.join(", "),
        }
    })
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
