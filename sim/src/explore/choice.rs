//! What can happen next in a world, and carrying it out.

use selvedge_core::{
    engineio::sessions::Arrival,
    fabric::realtime::MESSAGE_CREATED,
    guild::io as guild_io,
    http::Failure,
    plugin::io::{HostEvent, Input},
    ws::{Event, Frame},
};

use super::{
    agent::ONLY,
    wire::{End, Wire},
    world::World,
};
use crate::oracle::Seen;

/// One thing that can happen, of several of its kind by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    StartGuild,
    StartAgent,
    Login,
    Dial(usize),
    ToGuild(usize),
    ToAgent(usize),
    CommitGuild,
    Commit,
    Request(usize),
    Answer(usize),
    Ready,
    Host(usize),
    Post,
    Fire,
    Fault(Fault),
}

/// One thing that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A connection is reset: what is under way on it is lost.
    Reset(usize),
    /// A push of a new message is lost.
    LosePush(usize),
    RefuseDial(usize),
    LoseRequest(usize),
    LoseAnswer(usize),
    /// The plugin and its host are killed; what is being written is kept, or is lost.
    KillAgent {
        commits: bool,
    },
    /// The guild is killed, perhaps between its store's word and its pushes.
    KillGuild {
        commits: bool,
    },
    /// A timer fires while something is under way that is faster otherwise.
    Late,
}

impl World {
    /// What is under way and arrives without a fault, the first of each kind first.
    pub(super) fn deliverable(&self, choices: &mut Vec<Choice>) {
        if self.guild.is_none() {
            choices.push(Choice::StartGuild);
        }
        if self.agent.is_none() {
            choices.push(Choice::StartAgent);
        }
        if self.login.is_some() {
            choices.push(Choice::Login);
        }
        choices.extend((0..self.dials.len()).map(Choice::Dial));
        for (index, wire) in self.wires.iter().enumerate() {
            if !wire.to_guild.is_empty() {
                choices.push(Choice::ToGuild(index));
            }
            if !wire.to_agent.is_empty() {
                choices.push(Choice::ToAgent(index));
            }
        }
        if self.store.writing() > 0 && self.guild.is_some() {
            choices.push(Choice::CommitGuild);
        }
        if self.disk.is_writing() && self.agent.is_some() {
            choices.push(Choice::Commit);
        }
        choices.extend((0..self.requests.len()).map(Choice::Request));
        choices.extend((0..self.answers.len()).map(Choice::Answer));
        if self.agent.is_some() {
            if !self.host.is_ready() {
                choices.push(Choice::Ready);
            }
            choices.extend(self.host.going().map(Choice::Host));
        }
    }

    /// Everything that can happen.
    pub(super) fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::new();
        self.deliverable(&mut choices);
        let quiet = choices.is_empty();
        if self.left.posts > 0 && self.guild.is_some() {
            choices.push(Choice::Post);
        }
        let fires = self.left.firings > 0 && self.next_firing().is_some();
        if quiet && fires {
            choices.push(Choice::Fire);
        }
        if self.left.faults > 0 {
            let late = (!quiet && fires).then_some(Fault::Late);
            choices.extend(self.faults().chain(late).map(Choice::Fault));
        }
        choices
    }

    fn faults(&self) -> impl Iterator<Item = Fault> {
        let wires = || self.wires.iter().enumerate();
        let stands = |wire: &Wire| wire.agent.is_some() && wire.guild.is_some();
        let resets = wires().filter(move |(_, wire)| stands(wire));
        let pushes = wires().filter(|(_, wire)| wire.to_agent.front().is_some_and(is_push));
        let kills = |lives: bool, writes: bool| {
            let lost = lives.then_some(false);
            let kept = (lives && writes).then_some(true);
            [lost, kept].into_iter().flatten()
        };
        let agent = kills(self.agent.is_some(), self.disk.is_writing());
        let guild = kills(self.guild.is_some(), self.store.writing() > 0);
        let asked = self
            .requests
            .iter()
            .enumerate()
            .filter(|(_, (id, _))| id.is_some());
        resets
            .map(|(index, _)| Fault::Reset(index))
            .chain(pushes.map(|(index, _)| Fault::LosePush(index)))
            .chain((0..self.dials.len()).map(Fault::RefuseDial))
            .chain(asked.map(|(index, _)| Fault::LoseRequest(index)))
            .chain((0..self.answers.len()).map(Fault::LoseAnswer))
            .chain(agent.map(|commits| Fault::KillAgent { commits }))
            .chain(guild.map(|commits| Fault::KillGuild { commits }))
    }

    /// It happens.
    pub(super) fn take(&mut self, choice: Choice) {
        match choice {
            Choice::StartGuild => self.start_guild(),
            Choice::StartAgent => self.start_agent(),
            Choice::Login => self.log_in(),
            Choice::Dial(index) => self.accept(index),
            Choice::ToGuild(index) => {
                if let Some((conn, event)) = self.arrival(index, End::Guild) {
                    let arrival = Arrival::Transport(conn, event);
                    self.step_guild(Some(guild_io::Input::Arrival(arrival)));
                }
            }
            Choice::ToAgent(index) => {
                if let Some((conn, event)) = self.arrival(index, End::Agent) {
                    self.step_agent(Some(Input::Transport(conn, event)));
                }
            }
            Choice::CommitGuild => self.commit_guild(),
            Choice::Commit => self.commit(),
            Choice::Request(index) => {
                let (id, request) = self.requests.remove(index);
                self.ask(id, request);
            }
            Choice::Answer(index) => {
                let (id, answer) = self.answers.remove(index);
                self.see(&Seen::Answered {
                    agent: ONLY,
                    id,
                    answer: &answer,
                });
                self.step_agent(Some(Input::Http(id, answer)));
            }
            Choice::Ready => {
                if self.host.change().initialise() {
                    let ready = HostEvent::Ready { turns: true };
                    self.step_agent(Some(Input::Host(ready)));
                }
            }
            Choice::Host(index) => {
                if let Some(event) = self.host.change().go_on(index) {
                    self.step_agent(Some(Input::Host(event)));
                }
            }
            Choice::Post => self.post(),
            Choice::Fire => {
                self.left.firings = self.left.firings.saturating_sub(1);
                self.fire();
            }
            Choice::Fault(fault) => {
                self.left.faults = self.left.faults.saturating_sub(1);
                self.go_wrong(fault);
            }
        }
        self.wires.retain(|wire| !wire.is_over());
    }

    fn arrival(&mut self, index: usize, end: End) -> Option<(selvedge_core::ws::ConnId, Event)> {
        self.wires.get_mut(index)?.arrive(end)
    }

    fn go_wrong(&mut self, fault: Fault) {
        match fault {
            Fault::Reset(index) => {
                if let Some(wire) = self.wires.get_mut(index) {
                    wire.reset();
                }
            }
            Fault::LosePush(index) => {
                if let Some(wire) = self.wires.get_mut(index) {
                    wire.to_agent.pop_front();
                }
            }
            Fault::RefuseDial(index) => self.refuse(index),
            Fault::LoseRequest(index) => {
                let (id, _) = self.requests.remove(index);
                let failure = Failure::Broken("connection reset".into());
                self.answers.extend(id.map(|id| (id, Err(failure))));
            }
            Fault::LoseAnswer(index) => {
                if let Some((_, answer)) = self.answers.get_mut(index) {
                    *answer = Err(Failure::Broken("connection reset".into()));
                }
            }
            Fault::KillAgent { commits } => self.kill_agent(commits),
            Fault::KillGuild { commits } => self.kill_guild(commits),
            Fault::Late => {
                self.left.firings = self.left.firings.saturating_sub(1);
                self.fire();
            }
        }
    }
}

fn is_push(event: &Event) -> bool {
    match event {
        Event::Frame(Frame::Text(text)) => text.contains(MESSAGE_CREATED),
        Event::Frame(Frame::Binary(_)) | Event::Closed(_) => false,
    }
}
