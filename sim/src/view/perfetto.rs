//! A run as Chrome trace events, which Perfetto and `chrome://tracing` show.

use serde_json::{Value, json};

use crate::story::{Happening, Kind, Shape, Story};

/// How long an arrow's ends are drawn, in microseconds.
const END_MICROS: u64 = 200;

/// The trace as JSON: a thread for each lane, flows for arrows.
///
/// # Errors
///
/// Where it cannot be written as JSON, which is a bug.
pub fn trace(story: &Story) -> Result<String, serde_json::Error> {
    let mut events = vec![json!({
        "ph": "M", "pid": 1, "name": "process_name", "args": {"name": story.title},
    })];
    for (place, lane) in story.lanes.iter().enumerate() {
        let args = json!({"name": lane.name});
        events.push(json!({
            "ph": "M", "pid": 1, "tid": place, "name": "thread_name", "args": args,
        }));
        let args = json!({"sort_index": place});
        events.push(json!({
            "ph": "M", "pid": 1, "tid": place, "name": "thread_sort_index", "args": args,
        }));
    }
    for (number, happening) in story.happenings.iter().enumerate() {
        events.extend(of(story, number, happening));
    }
    serde_json::to_string(&json!({"displayTimeUnit": "ms", "traceEvents": events}))
}

fn of(story: &Story, number: usize, happening: &Happening) -> Vec<Value> {
    let at = happening.at.as_micros() as u64;
    let kind = happening.kind.name();
    let messages = happening.messages.iter();
    let messages: Vec<&str> = messages
        .filter_map(|message| story.messages.get(*message))
        .map(|told| told.name.as_str())
        .collect();
    let event = |phase: &str, at: u64, lane: usize| {
        json!({
            "ph": phase, "pid": 1, "tid": lane, "ts": at, "cat": kind, "name": happening.label,
            "args": {"detail": happening.detail, "messages": messages},
        })
    };
    let with = |mut event: Value, name: &str, value: Value| {
        if let Value::Object(fields) = &mut event {
            fields.insert(name.to_owned(), value);
        }
        event
    };
    match &happening.shape {
        Shape::Mark => {
            let scope = if happening.kind == Kind::Broken {
                "g"
            } else {
                "t"
            };
            vec![with(event("i", at, happening.lane), "s", scope.into())]
        }
        // These overlap on one lane, so they are not slices of its thread.
        Shape::Span { until } => {
            let until = until.unwrap_or(story.end).max(happening.at);
            let begin = with(event("b", at, happening.lane), "id", number.into());
            let end = event("e", until.as_micros() as u64, happening.lane);
            vec![begin, with(end, "id", number.into())]
        }
        Shape::Arrow { to, until, lost } => {
            let until = until.as_micros() as u64;
            let sent = with(event("X", at, happening.lane), "dur", END_MICROS.into());
            if let Some(why) = lost {
                let words = format!("{} – {why}", happening.label);
                return vec![with(sent, "name", words.into())];
            }
            let got = with(event("X", until, *to), "dur", END_MICROS.into());
            let flow = |phase: &str, at: u64, lane: usize| {
                with(event(phase, at, lane), "id", number.into())
            };
            let ends = with(flow("f", until, *to), "bp", "e".into());
            vec![sent, got, flow("s", at, happening.lane), ends]
        }
    }
}
