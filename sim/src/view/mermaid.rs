//! A run as a sequence diagram of Mermaid.

use std::fmt::Write as _;

use crate::story::{Happening, Kind, Party, Shape, Story};

/// How many characters of a label are shown.
const LABEL_CHARS: usize = 80;

/// The diagram; heartbeats, and what agents keep and say, are left out.
pub fn diagram(story: &Story) -> String {
    let mut text = String::from("sequenceDiagram\n");
    for (place, lane) in story.lanes.iter().enumerate() {
        let shape = match lane.party == Party::People {
            true => "actor",
            false => "participant",
        };
        let _ = writeln!(text, "    {shape} L{place} as {}", escaped(&lane.name));
    }
    for happening in &story.happenings {
        if !matches!(happening.kind, Kind::Beat | Kind::Kept | Kind::Note) {
            line(&mut text, happening);
        }
    }
    text
}

fn line(text: &mut String, happening: &Happening) {
    let at = happening.at.as_secs_f64();
    let label = escaped(&happening.label);
    let lane = happening.lane;
    let _ = match &happening.shape {
        Shape::Arrow { to, lost: None, .. } => {
            writeln!(text, "    L{lane}->>L{to}: {at:.3} s {label}")
        }
        Shape::Arrow {
            to,
            lost: Some(why),
            ..
        } => {
            let why = escaped(why);
            writeln!(text, "    L{lane}-xL{to}: {at:.3} s {label} – {why}")
        }
        Shape::Mark if happening.kind == Kind::Broken => {
            let _ = writeln!(text, "    rect rgb(255, 200, 200)");
            let _ = writeln!(text, "    Note over L{lane}: {at:.3} s {label}");
            writeln!(text, "    end")
        }
        Shape::Mark => writeln!(text, "    Note over L{lane}: {at:.3} s {label}"),
        Shape::Span { until } => {
            let until = until.map_or(String::new(), |until| {
                format!(" until {:.3} s", until.as_secs_f64())
            });
            writeln!(text, "    Note right of L{lane}: {at:.3} s {label}{until}")
        }
    };
}

/// Text in which nothing is a mark of the language: those have numbers, as in HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for mark in text.chars().take(LABEL_CHARS) {
        match mark {
            '#' | ';' | ':' | '<' | '>' | '"' | '{' | '}' | '%' | '&' | '\\' | '`' | '$' | '('
            | ')' | '[' | ']' | '+' | '-' | '@' => {
                let _ = write!(escaped, "#{};", u32::from(mark));
            }
            mark if mark.is_control() => escaped.push(' '),
            mark => escaped.push(mark),
        }
    }
    // A word alone would end a block.
    match escaped.trim() {
        "end" => "#101;nd".to_owned(),
        _ => escaped,
    }
}
