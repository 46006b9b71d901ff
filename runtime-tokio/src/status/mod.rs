//! How the plugin does: asked of every agent between its steps, for probes, metrics and people.
//!
//! A [`Desk`] knows whom to ask, and gives a [`Report`]; [`serve`] answers with it over HTTP, on an
//! address of its own.

mod desk;
mod metrics;
mod server;
mod table;

#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use selvedge_core::plugin::status::{AgentState, AgentStatus, GuildStatus, LinkState, Trouble};
use serde::{Deserialize, Serialize};

pub use self::{
    desk::{Desk, Questions},
    server::{PATH, StatusServer, serve},
    table::table,
};

/// How a whole plugin does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of the program.
    pub version: String,
    /// For how long the process has run.
    pub up_ms: u64,
    /// Its agents, in the order of their ids.
    pub agents: Vec<AgentStatus>,
}

impl Report {
    /// What keeps the plugin from hearing everything that it should, or from handing it over, a line
    /// each; none where every link is live and the store works.
    pub fn problems(&self) -> Vec<String> {
        self.agents.iter().flat_map(of_agent).collect()
    }
}

fn of_agent(agent: &AgentStatus) -> Vec<String> {
    let id = &agent.agent_id;
    let why = agent.why.as_deref();
    match agent.state {
        AgentState::Silent => {
            return vec![why.map_or_else(
                || {
                    format!(
                        "agent {id} does not answer: it is being started, or has too much to do"
                    )
                },
                |why| format!("agent {id} does not run, and is started again: {why}"),
            )];
        }
        AgentState::Stopped => {
            return vec![format!(
                "agent {id} is stopped: {}",
                why.unwrap_or("see the log")
            )];
        }
        AgentState::Shut => return vec![format!("agent {id} is ending")],
        AgentState::Running => {}
    }
    if let Some(by) = &agent.served_by {
        return vec![format!(
            "agent {id} waits: its account is served by {by}: end that one, or leave the agent out here"
        )];
    }
    let mut problems: Vec<String> = why
        .map(|why| format!("agent {id} cannot log in: {why}"))
        .into_iter()
        .collect();
    if agent.guilds.is_empty() && agent.absent.is_empty() && problems.is_empty() {
        problems.push(match &agent.user_id {
            None => format!("agent {id} is not logged in yet"),
            Some(_) => format!("agent {id} is in no guild: add its account to one"),
        });
    }
    if let Some(Trouble { why, ms_ago }) = &agent.store {
        problems.push(format!(
            "agent {id} begins no turn, since nothing can be kept for {}: {why}; see whether the disk \
             of [store] path is full: it goes on by itself once the store works",
            Span(*ms_ago)
        ));
    }
    if agent.user_id.is_some() {
        let absent = agent.absent.iter();
        problems.extend(absent.map(|guild| {
            format!(
                "agent {id} has no access to guild {guild}: add it to the guild, or take the guild \
                 out of `guilds`"
            )
        }));
    }
    let down = |guild: &&GuildStatus| guild.link.state != LinkState::Live;
    problems.extend(agent.guilds.iter().filter(down).map(|guild| {
        let (link, span) = (&guild.link, Span(guild.link.for_ms));
        let why = link.trouble.as_ref().map_or("", |trouble| &trouble.why);
        let colon = if why.is_empty() { "" } else { ": " };
        let state = words(link.state);
        format!(
            "agent {id}, guild {}: {state} for {span}{colon}{why}",
            guild.guild_id
        )
    }));
    problems
}

/// How a state is told to people.
const fn words(state: LinkState) -> &'static str {
    match state {
        LinkState::Waiting => "waiting to dial",
        LinkState::Login => "waiting for a token",
        LinkState::Dialing => "dialing",
        LinkState::Handshaking => "shaking hands",
        LinkState::Joining => "joining channels",
        LinkState::Live => "live",
    }
}

/// A span in milliseconds, as people read it: in its two largest units.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_millis(self.0).as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, _, _) => write!(f, "{hours} h {} min", minutes % 60),
            (_, _, _) => write!(f, "{days} d {} h", hours % 24),
        }
    }
}
