//! What people change in a drawn world while everything else goes on.

use selvedge_core::Rng;

use super::{
    log_between,
    people::{Cast, deed, pick},
};
use crate::script::{Act, Deed, Line, Strike};

/// An agent leaves a channel and comes back, or joins one.
pub(super) fn membership(rng: &mut Rng, cast: &Cast, at: u64, later: u64) -> Vec<Line> {
    let (Some((place, who)), Some(user)) = (cast.place(rng), cast.agent(rng)) else {
        return vec![];
    };
    let (channel, again) = (place.name.clone(), user.clone());
    let add = |at: u64, user: String| {
        let channel = place.name.clone();
        deed(at, who, None, Deed::Add { channel, user })
    };
    match rng.chance(1, 3) {
        true => vec![add(at, user)],
        false => vec![
            deed(at, who, None, Deed::Remove { channel, user }),
            add(later, again),
        ],
    }
}

/// A channel is closed, and opened again.
pub(super) fn close(rng: &mut Rng, cast: &Cast, at: u64, later: u64) -> Vec<Line> {
    let Some((place, who)) = cast.place(rng) else {
        return vec![];
    };
    let set = |at: u64, closed: bool| {
        let channel = place.name.clone();
        deed(at, who, None, Deed::SetClosed { channel, closed })
    };
    vec![set(at, true), set(later, false)]
}

/// A message is edited or deleted.
pub(super) fn amend(rng: &mut Rng, cast: &Cast, at: u64) -> Vec<Line> {
    let Some((place, who)) = cast.place(rng) else {
        return vec![];
    };
    let channel = place.name.clone();
    let amends = match rng.chance(1, 2) {
        true => Deed::Delete { channel },
        false => {
            let content = format!("say otherwise at {at}");
            Deed::Edit { channel, content }
        }
    };
    vec![deed(at, who, None, amends)]
}

/// Somebody says very much at once.
pub(super) fn flood(rng: &mut Rng, cast: &Cast, at: u64) -> Vec<Line> {
    let Some((place, who)) = cast.place(rng) else {
        return vec![];
    };
    let floods = Deed::Flood {
        channel: place.name.clone(),
        content: format!("hush from {at} on:"),
        messages: log_between(rng, 20, 300),
        every: rng.below(20),
    };
    vec![deed(at, who, None, floods)]
}

/// Two agents that are alone with people in a channel answer each other for a while.
pub(super) fn chat(rng: &mut Rng, cast: &Cast, at: u64) -> Vec<Line> {
    let pairs: Vec<_> = cast.pairs().collect();
    let Some(place) = pick(rng, &pairs) else {
        return vec![];
    };
    let Some(who) = pick(rng, &place.people) else {
        return vec![];
    };
    let post = Deed::Post {
        channel: place.name.clone(),
        content: format!("chat {} from {at} on", log_between(rng, 4, 500)),
    };
    vec![deed(at, who, None, post)]
}

/// A channel wakes others, or somebody speaks only when mentioned from now on, or not only then.
pub(super) fn rules(rng: &mut Rng, cast: &Cast, at: u64) -> Vec<Line> {
    let (Some((place, who)), Some(user)) = (cast.place(rng), cast.agent(rng)) else {
        return vec![];
    };
    let channel = place.name.clone();
    let rules = match place.x_type.takes_turns() {
        true => Deed::Bypass {
            channel,
            user,
            bypass: rng.chance(1, 2),
        },
        false => Deed::Map {
            channel,
            wakes: vec![user],
        },
    };
    vec![deed(at, who, None, rules)]
}

/// Somebody asks an agent something and takes it back within `millis`; most often while the agent is
/// away.
pub(super) fn recant(rng: &mut Rng, cast: &Cast, at: u64, millis: u64) -> Vec<Line> {
    let (Some((place, who)), Some(agent)) = (cast.place(rng), cast.agent(rng)) else {
        return vec![];
    };
    let channel = || place.name.clone();
    let content = format!("<@{agent}> say what is taken back at {at}");
    let post = Deed::Post {
        channel: channel(),
        content,
    };
    let delete = Deed::Delete { channel: channel() };
    let crash = Strike::Crash {
        commits: rng.chance(1, 2),
        down: 2 * millis,
    };
    let mut lines = vec![
        deed(at + millis / 2, who, None, post),
        deed(at + millis, who, None, delete),
    ];
    if rng.chance(3, 4) {
        lines.push(Line::Act {
            at,
            who: "network".to_string(),
            agent: Some(agent),
            guild: None,
            r#do: Act::Strike(crash),
        });
    }
    lines
}
