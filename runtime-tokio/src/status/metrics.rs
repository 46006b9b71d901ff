//! The report in the text format of Prometheus.
//!
//! Labels are an agent, a guild, and words of this file: a series for each link and name, however
//! many channels there are.

use std::fmt::{self, Write as _};

use selvedge_core::plugin::status::{AgentState, AgentStatus, GuildStatus, LinkState, LinkStatus};

use super::Report;

/// What is told of the format, so that a scraper knows it.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type OfAgent = (&'static str, &'static str, fn(&AgentStatus) -> f64);
type OfLink = (&'static str, &'static str, fn(&GuildStatus) -> Option<f64>);

type Count = (&'static str, &'static str, fn(&LinkStatus) -> u64);

/// Gauges of an agent: their names, what they tell, and where it stands.
const AGENTS: &[OfAgent] = &[
    (
        "selvedge_agent_up",
        "Whether the agent runs and answers.",
        |agent| f64::from(u8::from(agent.state == AgentState::Running)),
    ),
    (
        "selvedge_agent_logged_in",
        "Whether its last login succeeded.",
        |agent| f64::from(u8::from(agent.user_id.is_some() && agent.why.is_none())),
    ),
    (
        "selvedge_agent_store_works",
        "Whether what must be kept is kept; while it is not, no turn begins.",
        |agent| {
            f64::from(u8::from(
                agent.state == AgentState::Running && agent.store.is_none(),
            ))
        },
    ),
    (
        "selvedge_agent_parked_turns",
        "Turns that were handed over too often without an end, and are offered no more.",
        |agent| number(agent.parked),
    ),
    (
        "selvedge_agent_waiting_messages",
        "Messages that wait for a turn in all its channels.",
        |agent| number(agent.waiting),
    ),
    (
        "selvedge_agent_open_calls",
        "Tool calls of the host that are under way.",
        |agent| number(agent.calls),
    ),
];

/// Gauges of a link.
const LINKS: &[OfLink] = &[
    (
        "selvedge_link_live",
        "Whether the link is live: connected, and every channel joined.",
        |guild| Some(f64::from(u8::from(guild.link.state == LinkState::Live))),
    ),
    (
        "selvedge_link_state_age_seconds",
        "For how long the link has been in its state.",
        |guild| Some(seconds(guild.link.for_ms)),
    ),
    (
        "selvedge_link_frame_age_seconds",
        "How long ago anything was heard, heartbeats too.",
        |guild| guild.link.frame_ms_ago.map(seconds),
    ),
    (
        "selvedge_link_event_age_seconds",
        "How long ago an event was heard.",
        |guild| guild.link.event_ms_ago.map(seconds),
    ),
    (
        "selvedge_link_post_age_seconds",
        "How long ago a post of the agent was taken.",
        |guild| guild.link.post_ms_ago.map(seconds),
    ),
    (
        "selvedge_link_channels",
        "Channels that the agent is in.",
        |guild| Some(number(guild.channels)),
    ),
    (
        "selvedge_link_joined_channels",
        "Channels that are joined on the present connection.",
        |guild| Some(number(guild.joined)),
    ),
    (
        "selvedge_link_lag_messages",
        "Messages that the guild is known to have and the agent has not, in all channels.",
        |guild| Some(sum(guild, |channel| channel.lag)),
    ),
    (
        "selvedge_link_waiting_messages",
        "Messages that wait for a turn.",
        |guild| Some(sum(guild, |channel| channel.waiting)),
    ),
    (
        "selvedge_link_parked_turns",
        "Turns that were handed over too often without an end, in channels of the agent.",
        |guild| Some(sum(guild, |channel| channel.parked)),
    ),
    (
        "selvedge_link_running_turns",
        "Turns that the host has not ended.",
        |guild| Some(sum(guild, |channel| u64::from(channel.turn.is_some()))),
    ),
    (
        "selvedge_link_oldest_turn_seconds",
        "How long the oldest of them has run.",
        |guild| {
            let turns = guild
                .busy
                .iter()
                .filter_map(|channel| channel.turn.as_ref());
            turns.map(|turn| turn.age_ms).max().map(seconds)
        },
    ),
];

/// Counters of a link.
const COUNTS: &[Count] = &[
    (
        "selvedge_link_lives_total",
        "How often the link has become live.",
        |link| link.lives,
    ),
    (
        "selvedge_link_rotations_total",
        "How often the connection was replaced while it went on.",
        |link| link.rotations,
    ),
    (
        "selvedge_link_deaf_total",
        "How often the connection was found not to be told what the guild has stored.",
        |link| link.deaf,
    ),
    (
        "selvedge_link_held_back_total",
        "How many messages woke nobody because of the allow list or the loop guard.",
        |link| link.held_back,
    ),
];

/// The report, for a scraper.
pub(super) fn metrics(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a text never fails.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> fmt::Result {
    head(
        text,
        "selvedge_build_info",
        "gauge",
        "The version of the program.",
    )?;
    let version = Label(&report.version);
    writeln!(text, "selvedge_build_info{{version=\"{version}\"}} 1")?;
    head(
        text,
        "selvedge_up_seconds",
        "gauge",
        "For how long the process has run.",
    )?;
    writeln!(text, "selvedge_up_seconds {}", seconds(report.up_ms))?;
    for (name, help, value) in AGENTS {
        head(text, name, "gauge", help)?;
        for agent in &report.agents {
            let id = Label(agent.agent_id.as_str());
            writeln!(text, "{name}{{agent=\"{id}\"}} {}", value(agent))?;
        }
    }
    for (name, help, value) in LINKS {
        head(text, name, "gauge", help)?;
        for (labels, guild) in links(report) {
            if let Some(value) = value(guild) {
                writeln!(text, "{name}{{{labels}}} {value}")?;
            }
        }
    }
    for (name, help, value) in COUNTS {
        head(text, name, "counter", help)?;
        for (labels, guild) in links(report) {
            writeln!(text, "{name}{{{labels}}} {}", value(&guild.link))?;
        }
    }
    let name = "selvedge_link_ends_total";
    let help = "Connections that have ended, by how far they had come.";
    head(text, name, "counter", help)?;
    for (labels, guild) in links(report) {
        for (reason, count) in guild.link.ends.each() {
            writeln!(text, "{name}{{{labels},reason=\"{reason}\"}} {count}")?;
        }
    }
    Ok(())
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// Every link with its labels.
fn links(report: &Report) -> impl Iterator<Item = (String, &GuildStatus)> {
    report.agents.iter().flat_map(|agent| {
        agent.guilds.iter().map(|guild| {
            let (agent, id) = (agent.agent_id.as_str(), guild.guild_id.as_str());
            let labels = format!("agent=\"{}\",guild=\"{}\"", Label(agent), Label(id));
            (labels, guild)
        })
    })
}

fn sum(
    guild: &GuildStatus,
    of: impl Fn(&selvedge_core::plugin::status::ChannelStatus) -> u64,
) -> f64 {
    number(guild.busy.iter().map(of).fold(0, u64::saturating_add))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what is counted stays below 2^53"
)]
const fn number(count: u64) -> f64 {
    count as f64
}

fn seconds(millis: u64) -> f64 {
    number(millis) / 1_000.0
}

/// The value of a label, escaped.
struct Label<'l>(&'l str);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}
