//! The guild of a world: what happens to it, and how what it asks for is carried out.

use std::{collections::VecDeque, rc::Rc};

use selvedge_core::{
    Machine as _, Secret,
    engineio::sessions::{Arrival, Effect},
    fabric::{
        bodies::CreateChannel,
        routes::{self, PostBody},
        types::Channel,
    },
    guild::{
        Guild,
        io::{Input, Output, Unavailable},
    },
    http::{CallId, Failure, Request, Response},
    request::RequestId,
    step,
    ws::{Closed, ConnId},
};

use super::{
    agent::ONLY,
    center,
    piece::Piece,
    wire::End,
    world::{OF_GUILD, World},
};
use crate::oracle::{Breach, Seen, because::About};

impl World {
    /// Another process of the guild begins, with what the last one has stored.
    pub(super) fn start_guild(&mut self) {
        let rng = self.rng("guild", self.next.guild_life);
        self.next.guild_life += 1;
        let guild = Guild::new(self.fixed.guild.clone(), rng, self.store.rows());
        self.guild = Some(Piece::new(guild));
        self.step_guild(Some(Input::Clock(self.wall())));
    }

    /// Something happens to the guild, or its deadline has come.
    pub(super) fn step_guild(&mut self, input: Option<Input>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let due = |guild: &Piece<Guild>| {
                let due = guild.next_wakeup();
                due.is_some_and(|wakeup| wakeup.at <= self.now)
            };
            let Some(guild) = self
                .guild
                .as_mut()
                .filter(|guild| input.is_some() || due(guild))
            else {
                return;
            };
            let mut out = Vec::new();
            step(guild.change(), self.now, input, &mut out);
            for output in out {
                let then = self.carry_out_guild(output);
                inputs.extend(then.map(Some));
            }
            // A read sees every transaction before it, and is answered at once then.
            while let Some((_, id, query)) = self.loads.pop_front_if(|(behind, ..)| *behind == 0) {
                let loaded = self.store.load(&query);
                inputs.push_back(Some(Input::Loaded(id, Ok(loaded))));
            }
        }
    }

    /// Does what the guild asks for; gives back what it hears at once.
    fn carry_out_guild(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Effect(Effect::Transport(conn, action)) => {
                let mut wires = self.wires.iter_mut();
                if let Some(wire) = wires.find(|wire| wire.guild == Some(conn)) {
                    wire.act(End::Guild, action);
                }
            }
            Output::Respond { call, response } => self.respond(call, response),
            Output::Introspect(id, token) => {
                let fixed = &self.fixed;
                let guild = &fixed.guild.guild_id;
                let whose =
                    center::introspect(self.wall(), &token, guild, &fixed.agent, &fixed.person);
                return Some(Input::Introspected(id, Ok(whose)));
            }
            Output::Resolve(id, _) => {
                let nobody = Unavailable("this Center resolves no names".to_owned());
                return Some(Input::Resolved(id, Err(nobody)));
            }
            Output::Store(id, facts) => self.store.change().write(id, facts),
            Output::Load(id, query) => self.loads.push_back((self.store.writing(), id, query)),
            // Nobody polls, and nobody has files.
            Output::Effect(Effect::Answer { .. })
            | Output::Receive(..)
            | Output::Deliver { .. }
            | Output::Discard(_)
            | Output::Forget(_) => {}
            Output::Fatal(why) => {
                let (rule, at) = ("no guild stops by itself", self.now);
                self.oracle.change().breach(Breach {
                    rule,
                    at,
                    why,
                    about: About::default(),
                });
            }
        }
        None
    }

    fn respond(&mut self, call: CallId, response: Response) {
        let Some(caller) = self.callers.remove(&call) else {
            return;
        };
        match caller {
            Some(id) => self.answers.push((id, Ok(response))),
            // The person's answers say nothing, but for the channels.
            None => {
                if let Ok(channel) = serde_json::from_slice::<Channel>(&response.body) {
                    Rc::make_mut(&mut self.channels).push(channel.id);
                }
            }
        }
    }

    /// A connection reaches the guild.
    pub(super) fn open(&mut self, conn: ConnId, fresh: Secret) {
        self.step_guild(Some(Input::Arrival(Arrival::Socket {
            conn,
            sid: None,
            fresh,
            base64: false,
        })));
    }

    /// A request reaches the guild, where there is one.
    pub(super) fn ask(
        &mut self,
        id: Option<RequestId<selvedge_core::plugin::io::Http>>,
        request: Request,
    ) {
        if self.guild.is_none() {
            let failure = Failure::Unreachable("connection refused".into());
            return self.answers.extend(id.map(|id| (id, Err(failure))));
        }
        let call = CallId(OF_GUILD + self.next.call);
        self.next.call += 1;
        self.callers.insert(call, id);
        self.step_guild(Some(Input::Http { call, request }));
    }

    /// The store of the guild is done with a transaction.
    pub(super) fn commit_guild(&mut self) {
        let Some((id, facts)) = self.store.change().commit() else {
            return;
        };
        let (guild, facts) = (ONLY, &facts);
        self.see(&Seen::Committed { guild, facts });
        for (behind, ..) in &mut self.loads {
            *behind = behind.saturating_sub(1);
        }
        self.step_guild(Some(Input::Stored(id, Ok(()))));
    }

    /// The guild is gone; what it was storing is kept all the same, or is lost. Its peers hear of it.
    pub(super) fn kill_guild(&mut self, commits: bool) {
        self.guild = None;
        self.loads.clear();
        self.store.change().kill(commits);
        while let Some((_, facts)) = self.store.change().commit() {
            let (guild, facts) = (ONLY, &facts);
            self.see(&Seen::Committed { guild, facts });
        }
        for wire in &mut self.wires {
            if wire.guild.is_some() {
                wire.leave(End::Guild, Closed::Broken("the guild is gone".into()));
            }
        }
        for id in core::mem::take(&mut self.callers).into_values().flatten() {
            let failure = Failure::Broken("connection reset".into());
            self.answers.push((id, Err(failure)));
        }
    }

    /// The person posts the next message.
    pub(super) fn post(&mut self) {
        let number = self.fixed.scene.messages - self.left.posts;
        self.left.posts = self.left.posts.saturating_sub(1);
        let Some(channel) = self.channels.get(number % self.channels.len().max(1)) else {
            return;
        };
        let body = PostBody {
            content: format!("message {}", number + 1),
            reply_to_id: None,
            attachments: Vec::new(),
            nonce: None,
        };
        if let Ok(request) = routes::post_message(person(), channel, &body) {
            self.ask(None, request);
        }
    }

    /// The person makes the channels.
    pub(super) fn make_channels(&mut self) {
        for number in 1..=self.fixed.scene.channels {
            let body = CreateChannel {
                name: format!("channel {number}"),
                x_type: self.fixed.scene.x_type,
                is_public: false,
                member_user_ids: vec![self.fixed.agent.clone()],
                wake_mapping: Vec::new(),
                bypass: Vec::new(),
            };
            if let Ok(request) = routes::create_channel(person(), &body) {
                self.ask(None, request);
            }
            self.commit_guild();
        }
    }
}

fn person() -> Secret {
    Secret::new("ann")
}
