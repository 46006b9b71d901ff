//! One page that shows a run, and beside it another one. It needs no network.

use std::time::Duration;

use serde::Serialize;

use crate::story::{Happening, Party, Shape, Story};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

#[derive(Serialize)]
struct Data<'s> {
    runs: Vec<Run<'s>>,
}

#[derive(Serialize)]
struct Run<'s> {
    name: &'s str,
    title: &'s str,
    failures: &'s [String],
    lanes: Vec<Lane<'s>>,
    messages: Vec<Message<'s>>,
    items: Vec<Item<'s>>,
    about: About,
    end: f64,
    total: usize,
}

#[derive(Serialize)]
struct Lane<'s> {
    name: &'s str,
    agent: Option<usize>,
    guild: Option<usize>,
}

#[derive(Serialize)]
struct Message<'s> {
    name: &'s str,
    author: &'s str,
    content: &'s str,
}

#[derive(Serialize)]
struct About {
    agent: Option<usize>,
    guild: Option<usize>,
    message: Option<usize>,
}

/// Something that happened; moments are milliseconds from the start.
#[derive(Serialize)]
struct Item<'s> {
    at: f64,
    lane: usize,
    shape: &'static str,
    kind: &'static str,
    label: &'s str,
    detail: &'s str,
    messages: &'s [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<&'s str>,
}

/// The page of a run, and of another one beside it; each has a name.
///
/// # Errors
///
/// Where a story cannot be written as JSON, which is a bug of its type.
pub fn page(
    story: (&str, &Story),
    beside: Option<(&str, &Story)>,
) -> Result<String, serde_json::Error> {
    let runs = [Some(story), beside].into_iter().flatten();
    let data = Data {
        runs: runs.map(|(name, story)| run(name, story)).collect(),
    };
    // Whatever people wrote cannot end the element that it stands in.
    let data = serde_json::to_string(&data)?.replace('<', "\\u003c");
    let mut page = String::new();
    let mut rest = PAGE;
    for (mark, content) in [
        ("{style}", STYLE),
        ("{data}", data.as_str()),
        ("{script}", SCRIPT),
    ] {
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        page.push_str(before);
        page.push_str(content);
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

fn run<'s>(name: &'s str, story: &'s Story) -> Run<'s> {
    let lanes = story.lanes.iter().map(|lane| {
        let (agent, guild) = match lane.party {
            Party::People | Party::Center => (None, None),
            Party::Guild(guild) => (None, Some(guild)),
            Party::Link(agent, guild) => (Some(agent), Some(guild)),
            Party::Agent(agent) | Party::Host(agent) => (Some(agent), None),
        };
        let name = &lane.name;
        Lane { name, agent, guild }
    });
    let messages = story.messages.iter().map(|told| Message {
        name: &told.name,
        author: &told.author,
        content: &told.content,
    });
    Run {
        name,
        title: &story.title,
        failures: &story.failures,
        lanes: lanes.collect(),
        messages: messages.collect(),
        items: story.happenings.iter().map(item).collect(),
        about: About {
            agent: story.about.agent,
            guild: story.about.guild,
            message: story.about.message,
        },
        end: millis(story.end),
        total: story.total,
    }
}

fn item(happening: &Happening) -> Item<'_> {
    let (shape, to, until, lost) = match &happening.shape {
        Shape::Arrow { to, until, lost } => ("arrow", Some(*to), Some(*until), lost.as_deref()),
        Shape::Mark => ("mark", None, None, None),
        Shape::Span { until } => ("span", None, *until, None),
    };
    Item {
        at: millis(happening.at),
        lane: happening.lane,
        shape,
        kind: happening.kind.name(),
        label: &happening.label,
        detail: &happening.detail,
        messages: &happening.messages,
        to,
        until: until.map(millis),
        lost,
    }
}

fn millis(moment: Duration) -> f64 {
    moment.as_micros() as f64 / 1_000.0
}
