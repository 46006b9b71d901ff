//! The plugin of a world: what happens to it, and how what it asks for is carried out.

use std::collections::VecDeque;

use selvedge_core::{
    Machine as _, Secret,
    fabric::center::{Grant, Session, User},
    http::Request,
    plugin::{
        agent::Agent,
        io::{HostEvent, Http, Input, Output, Question},
        note::Note,
        tools::Tool,
    },
    request::RequestId,
    step,
    ws::{Action, Closed, Frame},
};
use serde_json::Value;

use super::{
    center,
    piece::Piece,
    wire::{End, Wire},
    world::{OF_GUILD, World},
};
use crate::oracle::Seen;

/// The only agent, and the only guild.
pub(super) const ONLY: usize = 0;
/// Where the guild is.
const ORIGIN: &str = "http://g.test";
/// What a CONNECT to the namespace of the pushes begins with.
const CONNECT: &str = "40/realtime,";

impl World {
    /// A rule hears of something.
    pub(super) fn see(&mut self, seen: &Seen<'_>) {
        let now = self.now;
        self.oracle.change().saw(now, seen);
    }

    /// Another process of the plugin begins, with what the last one has kept.
    pub(super) fn start_agent(&mut self) {
        let rng = self.rng("agent", self.next.life);
        self.next.life += 1;
        let config = self.fixed.config.clone();
        let kept = self.disk.kept().clone();
        let agent = Agent::with_defect(config, kept, rng, self.fixed.scene.planted);
        self.agent = Some(Piece::new(agent));
        self.step_agent(None);
    }

    /// Something happens to the plugin, or its deadline has come.
    pub(super) fn step_agent(&mut self, input: Option<Input>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let due = |agent: &Piece<Agent>| {
                let due = agent.next_wakeup();
                due.is_some_and(|wakeup| wakeup.at <= self.now)
            };
            let Some(agent) = self
                .agent
                .as_mut()
                .filter(|agent| input.is_some() || due(agent))
            else {
                return;
            };
            let mut out = Vec::new();
            let call = match &input {
                Some(Input::Host(HostEvent::Call { tool, .. })) => Some(tool.clone()),
                Some(_) | None => None,
            };
            let is_ready = matches!(input, Some(Input::Host(HostEvent::Ready { .. })));
            step(agent.change(), self.now, input, &mut out);
            if let Some(Tool::TurnDone { turn }) = &call {
                self.see(&Seen::TurnOver { agent: ONLY, turn });
            }
            if is_ready {
                self.see(&Seen::HostReady { agent: ONLY });
            }
            for output in out {
                let then = self.carry_out_agent(output);
                inputs.extend(then.map(Some));
            }
        }
    }

    /// Does what the plugin asks for; gives back what it hears at once.
    fn carry_out_agent(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Login(id) => {
                self.login = Some(id);
                let under_way = 1;
                self.see(&Seen::LoggingIn {
                    agent: ONLY,
                    at_once: under_way,
                    under_way,
                });
                return Some(Input::Admitted(id));
            }
            Output::Claim(id, _) => return Some(Input::Claimed(id, Ok(()))),
            Output::Dial { conn, .. } => {
                let open = self.wires.iter().filter(|wire| wire.agent.is_some());
                let open = open.count() + self.dials.len() + 1;
                self.dials.push(conn);
                let (agent, guild) = (ONLY, ONLY);
                self.see(&Seen::Dialed { agent, guild, open });
            }
            Output::Transport(conn, action) => {
                self.show_token(&action);
                let mut wires = self.wires.iter_mut();
                if let Some(wire) = wires.find(|wire| wire.agent == Some(conn)) {
                    wire.act(End::Agent, action);
                }
            }
            Output::HangUp(conn) => {
                self.dials.retain(|dial| *dial != conn);
                let mut wires = self.wires.iter_mut();
                if let Some(wire) = wires.find(|wire| wire.agent == Some(conn)) {
                    wire.leave(End::Agent, Closed::Broken("the agent hung up".into()));
                }
            }
            Output::Http { id, request, .. } => {
                self.show_request(id, &request);
                self.requests.push((Some(id), request));
            }
            Output::Store(id, batch) => self.disk.change().write(id, batch),
            Output::Forget(Question::Login(id)) => {
                self.login.take_if(|login| *login == id);
            }
            Output::Forget(Question::Http(_) | Question::Store(_) | Question::Claim(_)) => {}
            Output::Notify(inbound) => {
                self.see(&Seen::Notified {
                    agent: ONLY,
                    guild: ONLY,
                    inbound: &inbound,
                });
                self.host.change().on_notify(&inbound);
                return Some(Input::Host(HostEvent::Written(inbound.turn_id)));
            }
            Output::Answer { call, result } => {
                for (channel, message) in self.host.change().on_answer(call, result) {
                    let place = (ONLY, ONLY, channel);
                    let message = &message;
                    self.see(&Seen::Sent { place, message });
                }
            }
            Output::Note(Note::Live { .. }) => {
                let (agent, guild) = (ONLY, ONLY);
                self.see(&Seen::Live { agent, guild });
            }
            Output::Note(Note::TurnParked { turn, .. }) => {
                self.see(&Seen::Parked {
                    agent: ONLY,
                    turn: &turn,
                });
            }
            Output::Note(_) => {}
        }
        None
    }

    fn show_token(&mut self, action: &Action) {
        if let Action::Send(Frame::Text(text)) = action
            && let Some(auth) = text.strip_prefix(CONNECT)
        {
            let auth: Value = serde_json::from_str(auth).unwrap_or_default();
            let token = auth.get("token").and_then(Value::as_str);
            self.see(&Seen::Presented {
                agent: ONLY,
                guild: ONLY,
                expires: token.and_then(center::expires),
                wall: self.wall(),
                others: &[],
            });
        }
    }

    fn show_request(&mut self, id: RequestId<Http>, request: &Request) {
        let token = request.bearer.as_ref();
        self.see(&Seen::Requested {
            agent: ONLY,
            guild: ONLY,
            id,
            request,
            expires: token.and_then(|token| center::expires(token.expose())),
            wall: self.wall(),
        });
    }

    /// Center answers a login.
    pub(super) fn log_in(&mut self) {
        let Some(id) = self.login.take() else {
            return;
        };
        let life = self.fixed.scene.token_life;
        let token = center::token(self.next.token, self.wall() + life);
        self.next.token += 1;
        let session = Session {
            grants: vec![Grant {
                token,
                node_id: self.fixed.guild.node_id.clone(),
                guild_id: self.fixed.guild.guild_id.clone(),
                base_url: Some(ORIGIN.to_owned()),
                life,
            }],
            user: User {
                id: self.fixed.agent.clone(),
                name: self.fixed.agent.to_string(),
            },
        };
        self.step_agent(Some(Input::LoggedIn(id, Ok(session))));
    }

    /// A dial reaches the guild, where there is one.
    pub(super) fn accept(&mut self, index: usize) {
        if self.guild.is_none() {
            return self.refuse(index);
        }
        let conn = self.dials.remove(index);
        let number = selvedge_core::ws::ConnId(OF_GUILD + self.next.conn);
        self.next.conn += 1;
        self.wires.push(Wire::new(conn, number));
        self.step_agent(Some(Input::Dialed(conn, Ok(()))));
        let fresh = Secret::new(&format!("engine-{}", self.next.conn));
        self.open(number, fresh);
    }

    /// A dial is refused.
    pub(super) fn refuse(&mut self, index: usize) {
        let conn = self.dials.remove(index);
        let refused = Err("connection refused".to_owned());
        self.step_agent(Some(Input::Dialed(conn, refused)));
    }

    /// The disk of the plugin is done with a batch.
    pub(super) fn commit(&mut self) {
        let Some((id, result)) = self.disk.change().commit() else {
            return;
        };
        if let Ok(changes) = &result {
            let agent = ONLY;
            self.see(&Seen::Kept { agent, changes });
        }
        self.step_agent(Some(Input::Stored(id, result.map(drop))));
    }

    /// The plugin and its host are gone; what is being written is kept all the same, or is lost.
    pub(super) fn kill_agent(&mut self, commits: bool) {
        self.agent = None;
        self.host.change().restart();
        for changes in self.disk.change().kill(commits) {
            let (agent, changes) = (ONLY, &changes);
            self.see(&Seen::Kept { agent, changes });
        }
        self.see(&Seen::Killed { agent: ONLY });
        self.login = None;
        self.dials.clear();
        self.answers.clear();
        self.requests.iter_mut().for_each(|(id, _)| *id = None);
        self.callers.values_mut().for_each(|id| *id = None);
        for wire in &mut self.wires {
            if wire.agent.is_some() {
                wire.leave(End::Agent, Closed::Broken("the plugin was killed".into()));
            }
        }
    }
}
