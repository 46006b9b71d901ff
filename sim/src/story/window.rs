//! What of a story is drawn: a run can be longer than anybody looks at.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
    time::Duration,
};

use super::{Happening, Kind, Story, Subject, Told};

/// How much is drawn at most.
const DRAWN_MAX: usize = 10_000;
/// How much of what the message of the broken rule is about is kept, from each end.
const PATH_MAX: usize = 500;
/// How long around the storing of that message everything is kept.
const AROUND: Duration = Duration::from_secs(2);

impl Story {
    /// Keeps what happened within so long before the end, around the moment when the message was
    /// stored that the broken rule is about, everything about that message, and the last faults
    /// before it.
    pub fn keep_last(&mut self, span: Duration) {
        self.keep_until(self.end, span);
    }

    /// The same of another run of the script, for looking at it beside `other`: it is about the same,
    /// and ends no later.
    pub fn keep_beside(&mut self, other: &Self, span: Duration) {
        let name = other.about.message.and_then(|it| other.messages.get(it));
        let same = |told: &Told| name.is_some_and(|name| told.name == name.name);
        self.about = Subject {
            message: self.messages.iter().position(same),
            ..other.about.clone()
        };
        self.keep_until(other.end, span);
        self.end = self.end.min(other.end);
    }

    fn keep_until(&mut self, end: Duration, span: Duration) {
        let from = end.saturating_sub(span);
        let about = self.about.message;
        let is_path = |it: &Happening| about.is_some_and(|about| it.is_about(about));
        let stored = self.happenings.iter();
        let stored = stored.filter(|it| it.kind == Kind::Stored && is_path(it));
        let stored: Vec<Duration> = stored.map(|it| it.at).take(1).collect();
        let is_near = |it: &Happening| {
            let near = |at: &Duration| it.at + AROUND >= *at && it.at <= *at + AROUND;
            stored.iter().any(near)
        };
        let path: Vec<usize> = self.places(is_path);
        let fault = self.places(|it| it.kind == Kind::Fault);
        let recent = self.places(|it| it.over(end) >= from);
        let near = self.places(is_near);
        let mut kept: BTreeSet<usize> = BTreeSet::new();
        kept.extend(path.iter().take(PATH_MAX));
        kept.extend(path.iter().rev().take(PATH_MAX));
        kept.extend(fault.iter().rev().take(PATH_MAX));
        let is_beat = |place: &&usize| {
            let happening = self.happenings.get(**place);
            happening.is_some_and(|it| it.kind == Kind::Beat)
        };
        // Where not everything fits, heartbeats go first, and then what is oldest.
        let near = near.iter().rev();
        let recent = recent.iter().rev();
        let all: Vec<&usize> = near.chain(recent).collect();
        let sound = all.iter().filter(|place| !is_beat(place));
        let beats = all.iter().filter(|place| is_beat(place));
        for place in sound.chain(beats) {
            if kept.len() >= DRAWN_MAX {
                break;
            }
            kept.insert(**place);
        }
        kept.retain(|place| self.happenings.get(*place).is_some_and(|it| it.at <= end));
        let happenings = take(&mut self.happenings).into_iter();
        let numbered = happenings.enumerate();
        self.happenings = numbered
            .filter(|(place, _)| kept.contains(place))
            .map(|(_, happening)| happening)
            .collect();
        self.name_fewer_messages();
    }

    fn places(&self, is: impl Fn(&Happening) -> bool) -> Vec<usize> {
        let numbered = self.happenings.iter().enumerate();
        numbered
            .filter(|(_, it)| is(it))
            .map(|(place, _)| place)
            .collect()
    }

    /// Drops the messages that nothing is about any more.
    fn name_fewer_messages(&mut self) {
        let named = self.happenings.iter().flat_map(|it| &it.messages);
        let named: BTreeSet<usize> = named.copied().chain(self.about.message).collect();
        let by_old: BTreeMap<usize, usize> = named
            .iter()
            .enumerate()
            .map(|(new, old)| (*old, new))
            .collect();
        for happening in &mut self.happenings {
            for message in &mut happening.messages {
                *message = by_old.get(message).copied().unwrap_or_default();
            }
        }
        self.about.message = self.about.message.and_then(|old| by_old.get(&old).copied());
        let messages = take(&mut self.messages).into_iter();
        let numbered = messages.enumerate();
        self.messages = numbered
            .filter(|(place, _)| named.contains(place))
            .map(|(_, message)| message)
            .collect();
    }
}
