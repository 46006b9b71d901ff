//! Takes down what happens in a world, for a story.

mod faults;
mod machines;
mod network;

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{Secret, http::CallId, id::MessageId};

use super::{Happening, Kind, Lane, Party, Shape, Story, Subject, Told};
use crate::script::Head;

/// What is shown instead of a secret that has no name.
const HIDDEN: &str = "(secret)";

/// What becomes of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    /// It reaches the guild after so long.
    Arrives(Duration),
    /// It is refused.
    Refused,
    /// Nobody answers it.
    Hangs,
}

/// Takes down what happens.
#[derive(Debug)]
pub struct Teller {
    title: String,
    agents: Vec<String>,
    lanes: Vec<Lane>,
    happenings: Vec<Happening>,
    /// In which guild a happening is, and of which call it is a part.
    places: Vec<(Option<usize>, Option<CallId>)>,
    messages: Vec<Told>,
    ids: BTreeMap<(usize, String), usize>,
    /// What channels are called.
    channels: BTreeMap<(usize, String), String>,
    /// The messages of a turn.
    turns: BTreeMap<(usize, String), Vec<usize>>,
    /// Tokens, and what is shown instead.
    names: BTreeMap<String, String>,
    issued: BTreeMap<usize, u64>,
    /// Spans that have not ended.
    open: BTreeMap<(Kind, usize, String), usize>,
}

impl Teller {
    /// For a run of a script that begins so.
    pub fn new(head: &Head) -> Self {
        let mut lanes = vec![
            Lane {
                party: Party::People,
                name: "people".to_owned(),
            },
            Lane {
                party: Party::Center,
                name: "Center".to_owned(),
            },
        ];
        let guilds = head.guilds.iter().enumerate();
        lanes.extend(guilds.map(|(guild, name)| Lane {
            party: Party::Guild(guild),
            name: name.clone(),
        }));
        for (agent, name) in head.agents.iter().enumerate() {
            let links = head.guilds.iter().enumerate();
            lanes.extend(links.map(|(guild, of)| Lane {
                party: Party::Link(agent, guild),
                name: format!("link {name} – {of}"),
            }));
            lanes.push(Lane {
                party: Party::Agent(agent),
                name: name.clone(),
            });
            lanes.push(Lane {
                party: Party::Host(agent),
                name: format!("host of {name}"),
            });
        }
        Self {
            title: head.trace.clone(),
            agents: head.agents.clone(),
            lanes,
            happenings: Vec::new(),
            places: Vec::new(),
            messages: Vec::new(),
            ids: BTreeMap::new(),
            channels: BTreeMap::new(),
            turns: BTreeMap::new(),
            names: BTreeMap::new(),
            issued: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    fn lane(&self, party: Party) -> usize {
        let place = self.lanes.iter().position(|lane| lane.party == party);
        place.unwrap_or_default()
    }

    fn push(&mut self, guild: Option<usize>, happening: Happening) -> usize {
        self.happenings.push(happening);
        self.places.push((guild, None));
        self.happenings.len() - 1
    }

    fn mark(&mut self, at: Duration, party: Party, kind: Kind, label: &str, detail: String) {
        let guild = match party {
            Party::Guild(guild) | Party::Link(_, guild) => Some(guild),
            Party::People | Party::Center | Party::Agent(_) | Party::Host(_) => None,
        };
        let happening = Happening {
            at,
            lane: self.lane(party),
            shape: Shape::Mark,
            kind,
            label: label.to_owned(),
            detail: self.without_secrets(detail),
            messages: Vec::new(),
        };
        self.push(guild, happening);
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "an arrow has two ends, and what it is"
    )]
    fn arrow(
        &mut self,
        (at, until): (Duration, Duration),
        (from, to): (Party, Party),
        guild: Option<usize>,
        kind: Kind,
        label: String,
        detail: String,
        lost: Option<&str>,
    ) -> usize {
        let happening = Happening {
            at,
            lane: self.lane(from),
            shape: Shape::Arrow {
                to: self.lane(to),
                until,
                lost: lost.map(str::to_owned),
            },
            kind,
            label,
            detail: self.without_secrets(detail),
            messages: Vec::new(),
        };
        self.push(guild, happening)
    }

    fn begin(
        &mut self,
        at: Duration,
        lane: usize,
        kind: Kind,
        name: String,
        happening: (String, String),
    ) {
        let (label, detail) = happening;
        let shape = Shape::Span { until: None };
        let happening = Happening {
            at,
            lane,
            shape,
            kind,
            label,
            detail,
            messages: Vec::new(),
        };
        let place = self.push(None, happening);
        self.open.insert((kind, lane, name), place);
    }

    fn end(&mut self, at: Duration, lane: usize, kind: Kind, name: &str) {
        if let Some(place) = self.open.remove(&(kind, lane, name.to_owned())) {
            self.end_at(at, place);
        }
    }

    fn end_at(&mut self, at: Duration, place: usize) {
        if let Some(Happening {
            shape: Shape::Span { until },
            ..
        }) = self.happenings.get_mut(place)
            && until.is_none_or(|until| until > at)
        {
            *until = Some(at);
        }
    }

    /// Everything of that kind that is open on a lane ends.
    fn end_all(&mut self, at: Duration, lane: usize, kind: Kind) {
        let of_lane = self
            .open
            .iter()
            .filter(|((of, on, _), _)| *of == kind && *on == lane);
        let names: Vec<String> = of_lane.map(|((_, _, name), _)| name.clone()).collect();
        for name in names {
            self.end(at, lane, kind, &name);
        }
    }

    fn without_secrets(&self, mut text: String) -> String {
        for (secret, name) in &self.names {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), name);
            }
        }
        text
    }

    fn hide(&mut self, secret: &str) {
        if !secret.is_empty() {
            let shown = || HIDDEN.to_owned();
            self.names.entry(secret.to_owned()).or_insert_with(shown);
        }
    }

    fn token_named(&self, token: Option<&Secret>) -> String {
        let name = token.and_then(|token| self.names.get(token.expose()));
        name.map_or_else(String::new, |name| format!(" with {name}"))
    }

    /// A path with the names of channels in place of their ids.
    fn with_names(&self, guild: usize, path: &str) -> String {
        let parts = path.split('/').map(|part| {
            let (id, rest) = part.split_once('?').map_or((part, ""), |(id, _)| {
                (id, part.strip_prefix(id).unwrap_or_default())
            });
            let name = self.channels.get(&(guild, id.to_owned()));
            format!("{}{rest}", name.map_or(id, String::as_str))
        });
        parts.collect::<Vec<_>>().join("/")
    }

    fn known(&self, guild: usize, id: &str) -> Option<usize> {
        self.ids.get(&(guild, id.to_owned())).copied()
    }

    /// The story, of a run that ended then: what did not hold, and whom and what that is about.
    pub fn finish(
        mut self,
        end: Duration,
        failures: Vec<String>,
        broken: Option<(&str, &str)>,
        about: (Option<usize>, Option<usize>, Option<&MessageId>),
    ) -> Story {
        let (agent, guild, message) = about;
        let message = guild
            .zip(message)
            .and_then(|(guild, id)| self.known(guild, id.as_str()));
        if let Some((rule, why)) = broken {
            let party = match (agent, guild) {
                (Some(agent), _) => Party::Host(agent),
                (None, Some(guild)) => Party::Guild(guild),
                (None, None) => Party::People,
            };
            self.mark(
                end,
                party,
                Kind::Broken,
                &format!("broken: {rule}"),
                why.to_owned(),
            );
            if let Some(last) = self.happenings.last_mut() {
                last.messages.extend(message);
            }
        }
        self.find_messages();
        let total = self.happenings.len();
        let mut happenings = self.happenings;
        happenings.sort_by_key(|happening| happening.at);
        Story {
            title: self.title,
            failures,
            lanes: self.lanes,
            messages: self.messages,
            happenings,
            about: Subject {
                agent,
                guild,
                message,
            },
            end,
            total,
        }
    }

    /// Which messages everything is about: by the ids that stand in it, by the turn, by the call.
    fn find_messages(&mut self) {
        let mut of_calls: BTreeMap<CallId, Vec<usize>> = BTreeMap::new();
        let places = self.places.iter();
        for (happening, (guild, call)) in self.happenings.iter_mut().zip(places) {
            let lane = self.lanes.get(happening.lane).map(|lane| lane.party);
            let agent = match lane {
                Some(Party::Agent(agent) | Party::Host(agent)) => Some(agent),
                _ => None,
            };
            let text = [happening.label.as_str(), happening.detail.as_str()];
            let is_id = |mark: char| mark.is_alphanumeric() || matches!(mark, '-' | '_' | '.');
            let words = text.iter().flat_map(|text| text.split(|mark| !is_id(mark)));
            let mut found: Vec<usize> = Vec::new();
            for word in words.filter(|word| word.len() > 2) {
                match guild {
                    Some(guild) => found.extend(self.ids.get(&(*guild, word.to_owned()))),
                    // A host or a disk does not say of which guild an id is.
                    None => {
                        let guilds = self.lanes.len();
                        let keys = (0..guilds).map(|guild| (guild, word.to_owned()));
                        found.extend(keys.filter_map(|key| self.ids.get(&key)));
                    }
                }
                if let Some(agent) = agent {
                    let turn = self.turns.get(&(agent, word.to_owned()));
                    found.extend(turn.into_iter().flatten());
                }
            }
            happening.messages.extend(found);
            if let Some(call) = call {
                of_calls
                    .entry(*call)
                    .or_default()
                    .extend(&happening.messages);
            }
        }
        for (happening, (_, call)) in self.happenings.iter_mut().zip(&self.places) {
            if let Some(of_call) = call.as_ref().and_then(|call| of_calls.get(call)) {
                happening.messages.extend(of_call);
            }
            happening.messages.sort_unstable();
            happening.messages.dedup();
            let only = match happening.messages.as_slice() {
                [only] => self.messages.get(*only),
                _ => None,
            };
            if let Some(only) = only
                && matches!(happening.kind, Kind::Frame | Kind::Request)
            {
                happening
                    .label
                    .push_str(&format!(" ({})", only.in_channel()));
            }
        }
    }
}
