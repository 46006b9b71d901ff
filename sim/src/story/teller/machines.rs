//! What agents, hosts and guilds do.

use std::time::Duration;

use selvedge_core::{
    fabric::types::Message,
    guild::fact::Fact,
    id::TurnId,
    plugin::{
        inbound::Inbound,
        io::{HostEvent, Input, Output},
        kept::Change,
        note::{Level, Note},
        tools::Tool,
    },
};

use super::Teller;
use crate::story::{
    Kind, Party, Told,
    frames::{cut, name_of},
};

impl Teller {
    /// Something happens to an agent.
    pub fn to_agent(&mut self, at: Duration, agent: usize, input: &Input, guilds: &[String]) {
        if let Input::LoggedIn(_, Ok(session)) = input {
            for grant in &session.grants {
                let issued = self.issued.entry(agent).or_default();
                *issued += 1;
                let of = self.agents.get(agent).map_or("", String::as_str);
                let name = format!("token {issued} of {of}");
                self.names
                    .insert(grant.token.expose().to_owned(), name.clone());
                let guild = guilds
                    .iter()
                    .position(|known| known == grant.guild_id.as_str());
                if let Some(guild) = guild {
                    let lane = self.lane(Party::Link(agent, guild));
                    let until = at + grant.life;
                    let detail = format!("expires at {} ms", until.as_millis());
                    self.begin(at, lane, Kind::Token, name.clone(), (name.clone(), detail));
                    if let Some(place) = self.open.get(&(Kind::Token, lane, name)).copied() {
                        self.end_at(until, place);
                    }
                }
            }
        }
        let Input::Host(event) = input else {
            return;
        };
        let (label, detail) = match event {
            HostEvent::Ready { .. } => ("ready".to_owned(), String::new()),
            HostEvent::ToolsListed => ("lists tools".to_owned(), String::new()),
            HostEvent::Call { tool, .. } => {
                self.end_turns(at, agent, tool);
                (name_of(tool), cut(&format!("{tool:?}")))
            }
            HostEvent::Cancelled(_) => ("gives a call up".to_owned(), String::new()),
            HostEvent::Written(_) | HostEvent::Commands(_) => return,
        };
        let ends = (Party::Host(agent), Party::Agent(agent));
        let mut guild = None;
        if let HostEvent::Call { tool, .. } = event {
            let named = tool.names().and_then(|(_, guild)| guild);
            guild = named.and_then(|id| guilds.iter().position(|known| known == id.as_str()));
        }
        self.arrow((at, at), ends, guild, Kind::Host, label, detail, None);
    }

    fn end_turns(&mut self, at: Duration, agent: usize, tool: &Tool) {
        let lane = self.lane(Party::Host(agent));
        if let Tool::TurnDone { turn } = tool {
            self.end(at, lane, Kind::Turn, turn.as_str());
        }
        if let Tool::NoReply { channel, .. } = tool {
            let is_there = |place: &usize| {
                let turn = self.happenings.get(*place);
                turn.is_some_and(|turn| turn.detail.contains(channel.as_str()))
            };
            let mut running = self.open.iter();
            let ended = running.find(|((kind, on, _), place)| {
                *kind == Kind::Turn && *on == lane && is_there(place)
            });
            if let Some(((_, _, name), _)) = ended {
                let name = name.clone();
                self.end(at, lane, Kind::Turn, &name);
            }
        }
    }

    /// An agent asks for something that does not go over the network.
    pub fn from_agent(&mut self, at: Duration, agent: usize, output: &Output) {
        let ends = (Party::Agent(agent), Party::Host(agent));
        if let Output::Answer { result, .. } = output {
            let label = match result {
                Ok(_) => "done",
                Err(_) => "failed",
            };
            let detail = cut(&format!("{result:?}"));
            let label = label.to_owned();
            self.arrow((at, at), ends, None, Kind::Host, label, detail, None);
        }
        if let Output::Note(note) = output {
            self.noted(at, agent, note);
        }
    }

    fn noted(&mut self, at: Duration, agent: usize, note: &Note) {
        if note.level() > Level::Debug {
            let words = note.to_string();
            self.mark(at, Party::Agent(agent), Kind::Note, &words, String::new());
        }
    }

    /// A host is handed a turn, or would be if that were not lost.
    pub fn notified(
        &mut self,
        at: Duration,
        agent: usize,
        guild: Option<usize>,
        inbound: &Inbound,
        lost: bool,
    ) {
        let ids = inbound.messages.iter().map(|message| &message.id);
        let known: Vec<usize> = ids
            .filter_map(|id| self.known(guild?, id.as_str()))
            .collect();
        let mut label = match inbound.redelivered {
            true => "turn again".to_owned(),
            false => "turn".to_owned(),
        };
        if let Some(told) = known.last().and_then(|last| self.messages.get(*last)) {
            label.push_str(": ");
            label.push_str(told.in_channel());
        }
        if known.len() > 1 {
            label.push_str(&format!(" and {} before", known.len() - 1));
        }
        let detail = cut(&serde_json::to_string(inbound).unwrap_or_default());
        let ends = (Party::Agent(agent), Party::Host(agent));
        let why = lost.then_some("the host loses it");
        self.arrow(
            (at, at),
            ends,
            guild,
            Kind::Host,
            label.clone(),
            detail.clone(),
            why,
        );
        let turn: &TurnId = &inbound.turn_id;
        let key = (agent, turn.to_string());
        self.turns.entry(key).or_default().extend(known);
        let lane = self.lane(Party::Host(agent));
        if !lost
            && !self
                .open
                .contains_key(&(Kind::Turn, lane, turn.to_string()))
        {
            self.begin(at, lane, Kind::Turn, turn.to_string(), (label, detail));
        }
    }

    /// A host that does not say when its turns are done was told that its message stands.
    pub fn turn_answered(&mut self, at: Duration, agent: usize) {
        let lane = self.lane(Party::Host(agent));
        self.end_all(at, lane, Kind::Turn);
    }

    /// An agent's disk has committed.
    pub fn kept(&mut self, at: Duration, agent: usize, changes: &[Change]) {
        let label = format!("kept {} changes", changes.len());
        let detail = cut(&format!("{changes:?}"));
        self.mark(at, Party::Agent(agent), Kind::Kept, &label, detail);
    }

    /// A guild has committed.
    pub fn committed(&mut self, at: Duration, guild: usize, facts: &[Fact]) {
        for fact in facts {
            if let Fact::Channel(row) = fact {
                let key = (guild, row.id.to_string());
                self.channels.insert(key, row.name.clone());
            }
            if let Fact::Posted { message, woken } = fact {
                let seq = self.learn(guild, message);
                let mut label = format!("stored {seq}");
                if !woken.is_empty() {
                    let woken: Vec<&str> = woken.iter().map(|user| user.as_str()).collect();
                    label.push_str(&format!(", wakes {}", woken.join(", ")));
                }
                let detail = cut(&format!("{}: {}", message.author.name, message.content));
                self.mark(at, Party::Guild(guild), Kind::Stored, &label, detail);
                let known = self.known(guild, message.id.as_str());
                if let Some(last) = self.happenings.last_mut() {
                    last.messages.extend(known);
                }
            } else {
                let words = name_of(fact);
                self.mark(
                    at,
                    Party::Guild(guild),
                    Kind::Stored,
                    &words,
                    cut(&format!("{fact:?}")),
                );
            }
        }
    }

    fn learn(&mut self, guild: usize, message: &Message) -> String {
        let lane = self.lane(Party::Guild(guild));
        let guild_name = self.lanes.get(lane).map_or("", |lane| lane.name.as_str());
        let channel = message.channel_id.to_string();
        let called = self.channels.get(&(guild, channel.clone()));
        let channel = called.cloned().unwrap_or(channel);
        let name = format!("message {} of {channel} in {guild_name}", message.seq);
        let key = (guild, message.id.to_string());
        self.messages.push(Told {
            name,
            content: cut(&message.content),
            author: message.author.name.clone(),
        });
        self.ids.insert(key, self.messages.len() - 1);
        format!("message {} of {channel}", message.seq)
    }

    /// The process of an agent or a guild is killed, or starts again.
    pub fn process(&mut self, at: Duration, party: Party, runs: bool) {
        let lane = self.lane(party);
        if runs {
            self.end(at, lane, Kind::Down, "");
            self.mark(at, party, Kind::Note, "starts", String::new());
        } else {
            self.begin(
                at,
                lane,
                Kind::Down,
                String::new(),
                ("down".to_owned(), String::new()),
            );
            self.mark(at, party, Kind::Fault, "killed", String::new());
        }
        if let (false, Party::Agent(agent)) = (runs, party) {
            let host = self.lane(Party::Host(agent));
            self.end_all(at, host, Kind::Turn);
        }
    }
}
