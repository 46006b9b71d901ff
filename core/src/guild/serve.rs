//! What the guild does for a REST call, from its arrival to its answer.

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use crate::{
    fabric::{bodies::Health, types::Author},
    guild::{
        Guild, answer,
        auth::{Asked, Verdict},
        bodies,
        changes::{Change, Document, Wish},
        channel::{self, By},
        effect::Effect,
        fact::Fact,
        io::{Load, Loaded, Output, Query, Unavailable},
        node::{LoadFor, NameFor, Waiter},
        outcome::{Done, commands},
        posts::Need,
        refusal::Refusal,
        rest::{self, Call},
        state::Channel,
        turns,
    },
    http::{CallId, Request, Response},
    id::{ChannelId, UserId},
    request::RequestId,
    time::{Time, Wall},
};

/// When to come back after the node or Center was too busy.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Guild {
    /// A request arrived.
    pub(super) fn on_http(
        &mut self,
        now: Time,
        call: CallId,
        request: &Request,
        out: &mut Vec<Output>,
    ) {
        if self.calls.is_open(call) {
            return;
        }
        let asked = match rest::parse(request, &self.config.limits) {
            Ok(Call::Health) => return respond(call, self.health(now), out),
            Ok(asked) => asked,
            Err(refusal) => return respond(call, refusal.response(), out),
        };
        let Some(token) = &rest::token(&asked, request) else {
            let refusal = Refusal::unauthorized(
                "send the guild token that Center gave you as `Authorization: Bearer …`",
            );
            return respond(call, refusal.response(), out);
        };
        if !self.calls.open(call, &self.config.limits) {
            let refusal = Refusal::for_now(503, "the node has too many calls", RETRY_AFTER);
            return respond(call, refusal.response(), out);
        }
        let wall = self.clock.wall(now);
        let waiter = Waiter::Call(call, asked);
        match self.auth.ask(now, wall, &self.config, token, waiter) {
            Asked::Known(verdict, waiter) => self.on_verdict(now, token, &verdict, waiter, out),
            Asked::Ask(id) => out.push(Output::Introspect(id, token.clone())),
            Asked::Waits => {}
            Asked::TokenBusy(_) => self.refuse(call, too_many_calls(), out),
            Asked::Busy(_) => self.refuse(
                call,
                Refusal::for_now(503, "too many new tokens wait for Center", RETRY_AFTER),
                out,
            ),
        }
    }

    /// It is known whose call this is, or that it is nobody's.
    pub(super) fn on_call_verdict(
        &mut self,
        now: Time,
        verdict: &Verdict,
        call: CallId,
        asked: Call,
        out: &mut Vec<Output>,
    ) {
        // Nobody waits for it any more, and nothing was promised yet.
        if !self.calls.is_open(call) {
            return;
        }
        let identity = match verdict {
            Verdict::Good(identity) => identity,
            Verdict::Dead => {
                let refusal = Refusal::unauthorized(
                    "the token is not good for this guild, or has expired: log in at Center again",
                );
                return self.refuse(call, refusal, out);
            }
            Verdict::Unavailable => {
                let refusal = Refusal::for_now(
                    503,
                    "Center cannot be asked about this token: try again",
                    RETRY_AFTER,
                );
                return self.refuse(call, refusal, out);
            }
        };
        let author = &identity.author;
        if !self
            .calls
            .assign(now, call, &author.id, &self.config.limits)
        {
            return self.refuse(call, too_many_calls(), out);
        }
        if let Err(refusal) = self.serve(now, call, asked, author, out) {
            self.answer(now, call, refusal.response(), out);
        }
    }

    fn serve(
        &mut self,
        now: Time,
        call: CallId,
        asked: Call,
        author: &Author,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let wall = self.clock.wall(now);
        let by = By { author, wall };
        let limits = &self.config.limits;
        let state = &self.state;
        match asked {
            Call::Health => {
                let health = self.health(now);
                self.answer(now, call, health, out);
            }
            Call::ListChannels { guild, public } => {
                if guild.is_some_and(|guild| guild != self.config.guild_id) {
                    return Err(Refusal::new(
                        403,
                        "guildId: the token is for another guild; ask that guild's node",
                    ));
                }
                let on_wire =
                    |channel: &Channel| channel.on_wire(&self.config.guild_id, Some(&author.id));
                let listed: Vec<_> = if public {
                    let public = state.channels().filter(|channel| channel.row.is_public);
                    public.map(on_wire).collect()
                } else {
                    state.channels_of(&author.id).map(on_wire).collect()
                };
                self.answer(now, call, answer::json(200, &listed), out);
            }
            Call::CreateChannel(body) => {
                let body = bodies::create(&body)?;
                let id = self.new_channel_id();
                let (limits, state) = (&self.config.limits, &self.state);
                let facts = channel::create(state, limits, by, id.clone(), body)?;
                self.commit(
                    now,
                    call,
                    facts,
                    &Done::Channel(201, id, author.id.clone()),
                    out,
                );
            }
            Call::ReadChannel(id) => {
                let found = channel::readable(state, &id, &author.id)?;
                let body = found.on_wire(&self.config.guild_id, Some(&author.id));
                self.answer(now, call, answer::json(200, &body), out);
            }
            Call::UpdateChannel(id, body) => {
                let body = bodies::update(&body)?;
                let facts = channel::update(state, limits, by, &id, body)?;
                self.commit(
                    now,
                    call,
                    facts,
                    &Done::Channel(200, id, author.id.clone()),
                    out,
                );
            }
            Call::Join(id) => {
                let facts = channel::join(state, limits, by, &id)?;
                self.commit(now, call, facts, &Done::Changed(201), out);
            }
            Call::Leave(id) => {
                let facts = channel::leave(state, by, &id)?;
                self.commit(now, call, facts, &Done::Changed(201), out);
            }
            Call::ListMembers(id) => {
                let mut members = channel::readable(state, &id, &author.id)?.members_on_wire();
                for member in &mut members {
                    member.status = self.presences.of(&member.id);
                }
                self.answer(now, call, answer::json(200, &members), out);
            }
            Call::AddMember(id, body) => {
                let user = bodies::member(&body)?;
                let facts = channel::add(state, limits, by, &id, user)?;
                self.commit(now, call, facts, &Done::Changed(201), out);
            }
            Call::RemoveMember(id, user) => {
                let facts = channel::remove(state, by, &id, user)?;
                self.commit(now, call, facts, &Done::Changed(200), out);
            }
            Call::History {
                channel,
                after,
                before,
                limit,
            } => {
                channel::as_member(state, &channel, &author.id)?;
                let query = Query::History {
                    channel,
                    asker: author.id.clone(),
                    after,
                    before,
                    limit,
                };
                self.load(now, query, LoadFor::History(call), out);
            }
            Call::Post(id, body) => {
                let body = bodies::post(&body, limits)?;
                self.posts
                    .push(limits, call, author.clone(), id, body)
                    .map_err(|_| too_many_calls())?;
                self.advance_posts(now, &author.id, out);
            }
            Call::Edit(id, body) => {
                let wish = Wish::Edit(bodies::edit(&body, limits)?);
                let change = Change::new(call, author.clone(), wish);
                self.change(now, Document::Message(id), change, out)?;
            }
            Call::Delete(id) => {
                let change = Change::new(call, author.clone(), Wish::Delete);
                self.change(now, Document::Message(id), change, out)?;
            }
            Call::ReadCanvas(id) => {
                channel::readable(state, &id, &author.id)?;
                let purpose = LoadFor::Canvas(call, id.clone());
                self.load(now, Query::Canvas(id), purpose, out);
            }
            Call::ShareCanvas(id, body) => {
                let wish = Wish::Share(bodies::share(&body, limits)?);
                self.change_canvas(now, call, author, id, wish, out)?;
            }
            Call::UpdateCanvas(id, body) => {
                let wish = Wish::Update(bodies::canvas(&body, limits)?);
                self.change_canvas(now, call, author, id, wish, out)?;
            }
            Call::RemoveCanvas(id) => {
                self.change_canvas(now, call, author, id, Wish::Remove, out)?;
            }
            Call::ListCommands => {
                let commands = commands(state.commands());
                self.answer(now, call, commands, out);
            }
            Call::ReplaceCommands(body) => {
                let text = bodies::commands(&body, limits)?;
                let changed = (text != state.commands()).then(|| Fact::Commands(text.clone()));
                let facts = changed.into_iter().collect();
                self.commit(now, call, facts, &Done::Commands(text), out);
            }
            Call::Upload => self.upload(now, call, author, out)?,
            Call::ReadFile(id) => self.read_file(now, call, &author.id, id, out)?,
            Call::ReadTurn(id) => {
                let turn = turns::read(state, &id, &author.id)?;
                self.answer(now, call, answer::json(200, &turn), out);
            }
            Call::SetBypass(id, body) => {
                let body = bodies::set_bypass(&body)?;
                let facts = turns::set_bypass(state, &mut self.rewakes.rng, by, &id, body)?;
                self.commit(now, call, facts, &Done::Changed(201), out);
            }
            Call::Ack(id, body) => {
                let message = bodies::ack(&body)?;
                let (acked, facts) = turns::ack(state, by, &id, &message)?;
                self.commit(now, call, facts, &Done::Ack(acked), out);
            }
        }
        Ok(())
    }

    fn change_canvas(
        &mut self,
        now: Time,
        call: CallId,
        author: &Author,
        channel: ChannelId,
        wish: Wish,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        // A stranger's wish need not wait for the store to be refused.
        channel::as_member(&self.state, &channel, &author.id)?;
        let change = Change::new(call, author.clone(), wish);
        self.change(now, Document::Canvas(channel), change, out)
    }

    /// Works on the author's first post, and on the next once that is decided.
    pub(super) fn advance_posts(&mut self, now: Time, author: &UserId, out: &mut Vec<Output>) {
        while let Some(need) = self.posts.need(&self.state, &self.config.limits, author) {
            match need {
                Need::Nothing => return,
                Need::Nonce(nonce) => {
                    let life = self.config.limits.nonce_life.as_millis();
                    let life = i64::try_from(life).unwrap_or(i64::MAX);
                    let wall = self.clock.wall(now).as_millis();
                    let query = Query::Nonce {
                        author: author.clone(),
                        nonce,
                        since: Wall::from_millis(wall.saturating_sub(life)),
                    };
                    self.load(now, query, LoadFor::Nonce(author.clone()), out);
                    return;
                }
                Need::Names(names) => {
                    return self.resolve(now, &NameFor::Post(author.clone()), names, out);
                }
                Need::Refusal(refusal) => {
                    if let Some(post) = self.posts.pop(author) {
                        self.answer(now, post.call, refusal.response(), out);
                    }
                }
                Need::Command(command) => {
                    let Some(post) = self.posts.pop(author) else {
                        return;
                    };
                    let by = By {
                        author: &post.author,
                        wall: self.clock.wall(now),
                    };
                    let rng = &mut self.rewakes.rng;
                    let channel = &post.channel;
                    match turns::command(&self.state, rng, by, channel, command, &post.body) {
                        Ok(facts) => {
                            let done = Done::Command(post.channel, post.author.id, command);
                            self.commit(now, post.call, facts, &done, out);
                        }
                        Err(refusal) => self.answer(now, post.call, refusal.response(), out),
                    }
                }
                Need::Decision(draft) => {
                    let Some(post) = self.posts.pop(author) else {
                        return;
                    };
                    let by = By {
                        author: &post.author,
                        wall: self.clock.wall(now),
                    };
                    match channel::post(&self.state, &self.config, by, &post.channel, draft) {
                        Ok(facts) => self.commit(now, post.call, facts, &Done::Posted, out),
                        Err(refusal) => self.answer(now, post.call, refusal.response(), out),
                    }
                }
            }
        }
    }

    /// Asks Center whose these names are.
    pub(super) fn resolve(
        &mut self,
        now: Time,
        asker: &NameFor,
        names: Vec<String>,
        out: &mut Vec<Output>,
    ) {
        let patience = Some(self.config.limits.names_patience);
        for name in names {
            let id = self.names.ask(now, patience, (asker.clone(), name.clone()));
            out.push(Output::Resolve(id, name));
        }
    }

    /// Center has said, or did not say in time, whose a name is.
    pub(super) fn on_name(
        &mut self,
        now: Time,
        (asker, name): (NameFor, String),
        user: Option<UserId>,
        out: &mut Vec<Output>,
    ) {
        match asker {
            NameFor::Post(author) => {
                self.posts.on_name(&author, name, user);
                self.advance_posts(now, &author, out);
            }
            NameFor::Edit(message) => self.on_edit_name(now, message, name, user, out),
        }
    }

    /// The store has read something, or could not in time.
    pub(super) fn on_loaded(
        &mut self,
        now: Time,
        purpose: LoadFor,
        loaded: Result<Loaded, Unavailable>,
        out: &mut Vec<Output>,
    ) {
        match purpose {
            LoadFor::History(call) => {
                let response = match loaded {
                    Ok(Loaded::Page(page)) => answer::json(200, &page),
                    Ok(
                        Loaded::Message(_)
                        | Loaded::Canvas(_)
                        | Loaded::Channels(_)
                        | Loaded::Command { .. },
                    ) => unreadable("it answered another question"),
                    Err(Unavailable(why)) => unreadable(&why),
                };
                self.answer(now, call, response, out);
            }
            LoadFor::Change(document) => self.on_document(now, &document, loaded, out),
            LoadFor::Canvas(call, channel) => self.on_canvas(now, (call, &channel), loaded, out),
            LoadFor::File(call, reader, id) => {
                self.on_attached(now, (call, &reader, &id), loaded, out);
            }
            LoadFor::Rewake(channel) => self.on_rewake_read(now, channel, loaded, out),
            LoadFor::Nonce(author) => {
                let response = match loaded {
                    Ok(Loaded::Message(None)) => {
                        self.posts.on_nonce_unknown(&author);
                        return self.advance_posts(now, &author, out);
                    }
                    Ok(Loaded::Message(Some(mut message))) => {
                        message.wakeup = None;
                        answer::json(201, &message)
                    }
                    Ok(Loaded::Command { channel, command }) => {
                        turns::done(&self.state, &channel, &author, command)
                    }
                    Ok(Loaded::Page(_) | Loaded::Canvas(_) | Loaded::Channels(_)) => {
                        unreadable("it answered another question")
                    }
                    Err(Unavailable(why)) => unreadable(&why),
                };
                if let Some(post) = self.posts.pop(&author) {
                    self.answer(now, post.call, response, out);
                }
                self.advance_posts(now, &author, out);
            }
        }
    }

    /// Answers a call behind everything that was decided before it.
    pub(super) fn answer(
        &mut self,
        now: Time,
        call: CallId,
        response: Response,
        out: &mut Vec<Output>,
    ) {
        self.after(now, Effect::Respond(call, response), out);
    }

    /// Refuses an open call at once: nothing in the refusal is about the state.
    fn refuse(&mut self, call: CallId, refusal: Refusal, out: &mut Vec<Output>) {
        if self.calls.close(call) {
            respond(call, refusal.response(), out);
        }
    }

    pub(super) fn load(
        &mut self,
        now: Time,
        query: Query,
        purpose: LoadFor,
        out: &mut Vec<Output>,
    ) -> RequestId<Load> {
        let patience = Some(self.config.limits.read_patience);
        let id = self.loads.ask(now, patience, purpose);
        out.push(Output::Load(id, query));
        id
    }

    fn health(&self, now: Time) -> Response {
        let started = self.started.unwrap_or(now);
        answer::json(
            200,
            &Health {
                ok: true,
                node_id: self.config.node_id.clone(),
                version: self.config.version.clone(),
                uptime_ms: u64::try_from(now.since(started).as_millis()).unwrap_or(u64::MAX),
                sockets: self.sockets.live() as u64,
                max_message_chars: self.config.limits.message_chars_max as u64,
                max_file_bytes: self.config.limits.file_bytes_max,
            },
        )
    }

    /// An id that no channel has: a store that was filled under the same seed may have some.
    fn new_channel_id(&mut self) -> ChannelId {
        loop {
            let id = format!("c{:016x}", self.rng.next_u64());
            if let Some(id) = ChannelId::new(&id)
                && self.state.channel(&id).is_none()
            {
                return id;
            }
        }
    }
}

pub(super) fn respond(call: CallId, response: Response, out: &mut Vec<Output>) {
    out.push(Output::Respond { call, response });
}

pub(super) fn too_many_calls() -> Refusal {
    Refusal::for_now(
        429,
        "too many of your calls are under way, or came at once: wait for their answers",
        RETRY_AFTER,
    )
}

pub(super) fn unreadable(why: &str) -> Response {
    let message: String = format!("the store could not be read ({why}): try again");
    Refusal::for_now(503, message, RETRY_AFTER).response()
}
