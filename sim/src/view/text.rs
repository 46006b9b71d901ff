//! A run as lines for a terminal.

use std::fmt::Write as _;

use crate::story::{Happening, Kind, Shape, Story};

/// The marks before a line: the broken rule, a fault, what is lost, the message in question.
const MARKS: [&str; 5] = ["!!", "* ", "x ", "> ", "  "];

/// The lines. What the broken rule's message is about begins with `>`, what is lost with `x`, a fault
/// with `*`, the broken rule with `!!`; heartbeats are left out.
pub fn lines(story: &Story) -> String {
    let mut text = String::new();
    for failure in &story.failures {
        let _ = writeln!(text, "{}", plain(failure));
    }
    if story.happenings.len() < story.total {
        let drawn = story.happenings.len();
        let _ = writeln!(text, "{drawn} of {} happenings are shown", story.total);
    }
    for happening in story.happenings.iter().filter(|it| it.kind != Kind::Beat) {
        line(&mut text, story, happening);
    }
    text
}

fn line(text: &mut String, story: &Story, happening: &Happening) {
    let lane = |at: usize| story.lanes.get(at).map_or("", |lane| lane.name.as_str());
    let about = story.about.message.is_some_and(|it| happening.is_about(it));
    let lost = match &happening.shape {
        Shape::Arrow { lost, .. } => lost.as_deref(),
        Shape::Mark | Shape::Span { .. } => None,
    };
    let [broken, fault, gone, path, other] = MARKS;
    let mark = match (
        happening.kind == Kind::Broken,
        happening.kind == Kind::Fault,
    ) {
        (true, _) => broken,
        (_, true) => fault,
        _ if lost.is_some() => gone,
        _ if about => path,
        _ => other,
    };
    let at = happening.at.as_secs_f64();
    let _ = write!(text, "{mark} {at:>10.3} s  {}", lane(happening.lane));
    match &happening.shape {
        Shape::Arrow { to, until, .. } => {
            let _ = write!(text, " → {}: {}", lane(*to), plain(&happening.label));
            let after = until.saturating_sub(happening.at);
            if !after.is_zero() && lost.is_none() {
                let _ = write!(text, " (after {} ms)", after.as_millis());
            }
        }
        Shape::Mark => {
            let _ = write!(text, ": {}", plain(&happening.label));
        }
        Shape::Span { until } => {
            let _ = write!(text, ": {}", plain(&happening.label));
            if let Some(until) = until {
                let _ = write!(text, " (until {:.3} s)", until.as_secs_f64());
            }
        }
    }
    if let Some(lost) = lost {
        let _ = write!(text, " – {}", plain(lost));
    }
    let names = happening.messages.iter();
    let names: Vec<&str> = names
        .filter_map(|message| story.messages.get(*message))
        .map(|told| told.name.as_str())
        .collect();
    match names.as_slice() {
        [] => {}
        [name] => {
            let _ = write!(text, " [{}]", plain(name));
        }
        [name, rest @ ..] => {
            let _ = write!(text, " [{} and {} more]", plain(name), rest.len());
        }
    }
    text.push('\n');
}

/// Text that people wrote, on one line, and without what moves a terminal's cursor.
fn plain(text: &str) -> String {
    let shown = |mark: char| match mark {
        '\n' | '\r' | '\t' => ' ',
        mark if mark.is_control() => '\u{fffd}',
        mark => mark,
    };
    text.chars().map(shown).collect()
}
