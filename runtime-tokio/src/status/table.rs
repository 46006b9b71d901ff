//! The report as people read it.

use selvedge_core::plugin::status::{AgentState, ChannelStatus, GuildStatus};

use super::{Report, Span, words};
use crate::report::clipped;

/// How many busy channels of a guild are shown.
const CHANNELS_MAX: usize = 20;

/// How much of a name or of others' words is shown, on one line.
const SHOWN: usize = 200;

/// The columns of the table.
const HEAD: [&str; 9] = [
    "AGENT",
    "GUILD",
    "STATE",
    "SINCE",
    "CHANNELS",
    "EVENT",
    "POST",
    "ROTATIONS",
    "ENDS",
];

/// A line for each link, and below it what is wrong there and what its channels have to do.
pub fn table(report: &Report) -> String {
    let mut rows = vec![Row::Cells(HEAD.map(str::to_owned))];
    for agent in &report.agents {
        if agent.guilds.is_empty() {
            let state = match agent.state {
                AgentState::Running if agent.served_by.is_some() => "waiting",
                AgentState::Running => "no guild",
                AgentState::Stopped => "stopped",
                AgentState::Shut => "ending",
                AgentState::Silent => "no answer",
            };
            rows.push(cells(agent.agent_id.as_str(), "-", state));
        }
        for guild in &agent.guilds {
            rows.push(Row::Cells(link(agent.agent_id.as_str(), guild)));
            rows.extend(beneath(guild).into_iter().map(Row::Line));
        }
    }
    let problems = report.problems();
    let mut text = lay_out(&rows);
    if !problems.is_empty() {
        text.push('\n');
        for problem in problems {
            text.push_str(&clipped(&problem, 2 * SHOWN));
            text.push('\n');
        }
    }
    text
}

enum Row {
    Cells([String; HEAD.len()]),
    Line(String),
}

fn cells(agent: &str, guild: &str, state: &str) -> Row {
    let mut cells = HEAD.map(|_| "-".to_owned());
    for (cell, text) in cells.iter_mut().zip([agent, guild, state]) {
        text.clone_into(cell);
    }
    Row::Cells(cells)
}

fn link(agent: &str, guild: &GuildStatus) -> [String; HEAD.len()] {
    let link = &guild.link;
    let age = |age: Option<u64>| age.map_or_else(|| "-".to_owned(), |age| Span(age).to_string());
    let ends: Vec<String> = link
        .ends
        .each()
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    [
        agent.to_owned(),
        guild.guild_id.to_string(),
        words(link.state).to_owned(),
        Span(link.for_ms).to_string(),
        format!("{}/{}", guild.joined, guild.channels),
        age(link.event_ms_ago),
        age(link.post_ms_ago),
        link.rotations.to_string(),
        if ends.is_empty() {
            "-".to_owned()
        } else {
            ends.join(", ")
        },
    ]
}

/// What follows the line of a link.
fn beneath(guild: &GuildStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(trouble) = &guild.link.trouble {
        let span = Span(trouble.ms_ago);
        lines.push(format!(
            "last end, {span} ago: {}",
            clipped(&trouble.why, SHOWN)
        ));
    }
    lines.extend(guild.busy.iter().take(CHANNELS_MAX).map(channel));
    let more = guild.busy.len().saturating_sub(CHANNELS_MAX);
    if more > 0 {
        lines.push(format!("and {more} more channel(s); --json shows all"));
    }
    lines
}

fn channel(channel: &ChannelStatus) -> String {
    let mut parts = Vec::new();
    if !channel.joined {
        parts.push("not joined".to_owned());
    }
    if channel.lag > 0 {
        parts.push(format!("{} behind", channel.lag));
    }
    if channel.waiting > 0 {
        parts.push(format!("{} waiting", channel.waiting));
    }
    if let Some(turn) = &channel.turn {
        parts.push(format!("turn {} for {}", turn.turn_id, Span(turn.age_ms)));
    }
    if channel.parked > 0 {
        parts.push(format!(
            "{} parked (the tool list_pending names them, turn_done ends them)",
            channel.parked
        ));
    }
    let name = clipped(&channel.name, SHOWN);
    format!("{name} ({}): {}", channel.channel_id, parts.join(", "))
}

/// Columns as wide as what stands in them, two spaces apart.
fn lay_out(rows: &[Row]) -> String {
    let mut widths = [0; HEAD.len()];
    for row in rows {
        if let Row::Cells(cells) = row {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = cell.chars().count().max(*width);
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let line = match row {
            Row::Cells(cells) => {
                let padded = cells.iter().zip(widths);
                let padded: Vec<_> = padded
                    .map(|(cell, width)| format!("{cell:<width$}"))
                    .collect();
                padded.join("  ")
            }
            Row::Line(line) => format!("  {line}"),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
