//! The guild node as a machine: takes inputs in, and lets effects out when the store has committed.

use alloc::{format, string::String, vec::Vec};
use core::time::Duration;

use crate::{
    canonical,
    engineio::sessions::SessionId,
    fabric::{realtime, types::Author},
    guild::{
        auth::{Asked, Auth, Judged, Verdict},
        calls::Calls,
        changes::{Changes, Document},
        config::Config,
        effect::{self, Effect},
        fact::Fact,
        files::Files,
        io::{Input, Load, Loaded, Output, Question, Resolve, Unavailable},
        journal::Journal,
        posts::Posts,
        presence::Presences,
        refusal::Refusal,
        rest::Call,
        rewakes::Rewakes,
        serve::respond,
        sockets::{Heard, Sockets},
        state::State,
        turns,
    },
    http::CallId,
    id::{ChannelId, FileId, MessageId, UserId},
    machine::{Machine, Wakeup, earliest},
    request::{RequestId, Requests},
    rng::Rng,
    secret::Secret,
    time::{Time, WallClock},
};

/// A guild node: the outermost machine of its process.
///
/// Start it with the rows of the store, give it [`Input::Clock`] first, and drive it with
/// [`step`](crate::machine::step). It asks three parties, and each question it asks is answered or
/// forgotten once: Center ([`Output::Introspect`], [`Output::Resolve`]) and the store
/// ([`Output::Load`]; [`Output::Store`] is never forgotten). Everything that others see waits for
/// the transactions before it. After [`Input::Shutdown`] or [`Output::Fatal`] it is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guild {
    pub(super) config: Config,
    pub(super) rng: Rng,
    pub(super) clock: WallClock,
    /// The moment of the first input.
    pub(super) started: Option<Time>,
    over: bool,
    pub(super) state: State,
    pub(super) auth: Auth<Waiter>,
    pub(super) calls: Calls,
    pub(super) posts: Posts,
    pub(super) changes: Changes,
    pub(super) names: Requests<Resolve, (NameFor, String)>,
    pub(super) loads: Requests<Load, LoadFor>,
    pub(super) journal: Journal<Effect>,
    pub(super) sockets: Sockets,
    pub(super) presences: Presences,
    pub(super) rewakes: Rewakes,
    pub(super) files: Files,
}
// The uptime, which `/health` shows, tells no states apart.
canonical!(struct Guild {
    config, clock, over, state, auth, calls, posts, changes, names, loads, journal, sockets, presences,
    rewakes, files; - rng, started
});

/// Who waits to know whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A REST call, with what it asks for.
    Call(CallId, Call),
    /// A socket's CONNECT.
    Connect(SessionId),
}
canonical!(
    enum Waiter {
        Call(call, asked),
        Connect(session),
    }
);

/// What a name is resolved for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NameFor {
    /// This author's first post.
    Post(UserId),
    /// The edit of this message.
    Edit(MessageId),
}
canonical!(
    enum NameFor {
        Post(author),
        Edit(message),
    }
);

/// What something is read for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LoadFor {
    /// The page that a call asked for.
    History(CallId),
    /// The nonce of this author's first post.
    Nonce(UserId),
    /// The first change of this document.
    Change(Document),
    /// The canvas of this channel, which a call asked for.
    Canvas(CallId, ChannelId),
    /// Where this file, which a call of this user asked for, is attached.
    File(CallId, UserId, FileId),
    /// What the speaker of this channel is to be woken with.
    Rewake(ChannelId),
}
canonical!(
    enum LoadFor {
        History(call),
        Nonce(author),
        Change(document),
        Canvas(call, channel),
        File(call, reader, file),
        Rewake(channel),
    }
);

impl Guild {
    /// A node with the channels and members that the store's `rows` say: every
    /// [`Fact::Channel`] with its current `last_seq`, every [`Fact::Member`], [`Fact::Turn`] and
    /// [`Fact::File`]. `rng` makes the ids of channels, which are not secrets, and shuffles.
    pub fn new(config: Config, rng: Rng, rows: Vec<Fact>) -> Self {
        let state = State::from_rows(&rows);
        Self {
            sockets: Sockets::new(&config.limits, &rng),
            rewakes: Rewakes::new(rng.fork("turns"), &state),
            config,
            rng,
            clock: WallClock::default(),
            started: None,
            over: false,
            state,
            auth: Auth::default(),
            calls: Calls::default(),
            posts: Posts::default(),
            changes: Changes::default(),
            names: Requests::default(),
            loads: Requests::default(),
            journal: Journal::default(),
            presences: Presences::default(),
            files: Files::default(),
        }
    }

    /// The channels and members, as decided so far: the store may not have committed all of it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Makes facts true, and returns the pushes that follow.
    pub(super) fn apply(&mut self, now: Time, facts: &[Fact]) -> Vec<Effect> {
        let wall = self.clock.wall(now);
        let effects = effect::pushes(&self.state, &self.config.guild_id, wall, facts);
        facts.iter().for_each(|fact| self.state.apply(fact));
        effects
    }

    /// Hands facts to the store; the effects follow when it has committed.
    pub(super) fn write(
        &mut self,
        now: Time,
        facts: Vec<Fact>,
        effects: Vec<Effect>,
        out: &mut Vec<Output>,
    ) {
        if facts.is_empty() {
            for effect in effects {
                self.after(now, effect, out);
            }
        } else {
            let touched = turns::touched(&self.state, &facts);
            out.push(Output::Store(self.journal.write(now, effects), facts));
            self.after_facts(now, touched, out);
        }
    }

    /// Lets an effect out behind everything that was decided before it.
    pub(super) fn after(&mut self, now: Time, effect: Effect, out: &mut Vec<Output>) {
        if let Some(effect) = self.journal.after(effect) {
            self.carry_out(now, effect, out);
        }
    }

    fn carry_out(&mut self, now: Time, effect: Effect, out: &mut Vec<Output>) {
        match effect {
            Effect::Respond(call, response) => {
                if self.calls.close(call) {
                    respond(call, response, out);
                }
            }
            Effect::Deliver(call, file) => {
                if self.calls.close(call) {
                    out.push(Output::Deliver { call, file });
                }
            }
            Effect::Discard(file) => out.push(Output::Discard(file)),
            Effect::Created { message, woken } => {
                self.sockets.push_created(now, *message, &woken, out);
            }
            Effect::Amended(message) => self.sockets.push_amended(now, &message, out),
            Effect::Shared(canvas) => self.sockets.push_shared(now, &canvas, out),
            Effect::Unshared(removal) => self.sockets.push_unshared(now, &removal, out),
            Effect::Typing(typing) => self.sockets.push_typing(now, &typing, out),
            Effect::Presence(presence) => {
                let channels = self.state.channels_of(&presence.user_id);
                let channels = channels.map(|channel| &channel.row.id);
                self.sockets.push_presence(now, channels, &presence, out);
            }
            Effect::Rewoken { message, user } => {
                self.sockets.push_rewoken(now, &message, &user, out);
            }
            Effect::Updated(channel) => self.sockets.push_updated(now, &self.state, *channel, out),
            Effect::Joined(membership) => self.sockets.push_joined(now, &membership, out),
            Effect::Left(membership) => self.sockets.push_left(now, &membership, out),
            Effect::Enter {
                session,
                channel,
                ack,
                last_seq,
                fresh,
            } => {
                if fresh {
                    self.forget_ack(session, &channel);
                }
                self.enter(now, session, channel, (ack, last_seq), out);
            }
            Effect::Exit(session, channel) => self.sockets.exit(session, &channel),
            Effect::Ack(session, ack, body) => {
                self.sockets.acknowledge(now, session, ack, &body, out)
            }
        }
    }

    /// It is known whose a token is: everybody who waited goes on, in order.
    fn on_judged(
        &mut self,
        now: Time,
        (token, verdict, waiting): Judged<Waiter>,
        out: &mut Vec<Output>,
    ) {
        for waiter in waiting {
            self.on_verdict(now, &token, &verdict, waiter, out);
        }
    }

    pub(super) fn on_verdict(
        &mut self,
        now: Time,
        token: &Secret,
        verdict: &Verdict,
        waiter: Waiter,
        out: &mut Vec<Output>,
    ) {
        if let Verdict::Good(identity) = verdict {
            self.rename(now, &identity.author, out);
        }
        match waiter {
            Waiter::Call(call, asked) => self.on_call_verdict(now, verdict, call, asked, out),
            Waiter::Connect(session) => self.on_connect_verdict(now, token, verdict, session, out),
        }
    }

    /// Where Center knows the user under another name than the state, that is put right. With very
    /// many transactions under way this is left to the next time.
    fn rename(&mut self, now: Time, author: &Author, out: &mut Vec<Output>) {
        let known = self.state.name_of(&author.id);
        let differs = known.is_some_and(|name| name != author.name);
        if differs && self.journal.len() < self.config.limits.calls_max {
            let renamed = self.state.renamed(author);
            let effects = self.apply(now, &renamed);
            self.write(now, renamed, effects, out);
        }
    }

    fn on_heard(&mut self, now: Time, heard: Vec<Heard>, out: &mut Vec<Output>) {
        for heard in heard {
            match heard {
                Heard::Connect { session, token } => self.on_connect(now, session, token, out),
                Heard::Event { session, event } => self.on_event(now, session, &event, out),
                Heard::Gone(user) => self.on_user_gone(now, user, out),
            }
        }
    }

    fn on_connect(
        &mut self,
        now: Time,
        session: SessionId,
        token: Option<Secret>,
        out: &mut Vec<Output>,
    ) {
        let Some(token) = token else {
            return self
                .sockets
                .refuse(now, session, realtime::UNAUTHORIZED, out);
        };
        let wall = self.clock.wall(now);
        let waiter = Waiter::Connect(session);
        match self.auth.ask(now, wall, &self.config, &token, waiter) {
            Asked::Known(verdict, waiter) => self.on_verdict(now, &token, &verdict, waiter, out),
            Asked::Ask(id) => out.push(Output::Introspect(id, token)),
            Asked::Waits => {}
            Asked::TokenBusy(_) | Asked::Busy(_) => {
                self.sockets
                    .refuse(now, session, realtime::UNAVAILABLE, out);
            }
        }
    }

    fn on_stored(
        &mut self,
        now: Time,
        id: RequestId<crate::guild::io::Store>,
        stored: Result<(), Unavailable>,
        out: &mut Vec<Output>,
    ) {
        match stored {
            Ok(()) => {
                for effect in self.journal.committed(id) {
                    self.carry_out(now, effect, out);
                }
            }
            Err(Unavailable(why)) => {
                if self.journal.failed(id) {
                    let message = "the store failed, so it is unknown whether this was done: \
                                   look, or try again with the same nonce";
                    let refusal = Refusal::for_now(503, message, Duration::from_secs(5));
                    self.end(now, &refusal, out);
                    out.push(Output::Fatal(format!(
                        "a write to the store failed, and the state is ahead of it: {why}"
                    )));
                }
            }
        }
    }

    /// Closes every session, answers every call, forgets every question, and goes silent.
    fn end(&mut self, now: Time, refusal: &Refusal, out: &mut Vec<Output>) {
        self.over = true;
        self.sockets.close_all(now, out);
        while let Some(call) = self.calls.pop() {
            respond(call, refusal.clone().response(), out);
        }
        while let Some(id) = self.auth.withdraw() {
            out.push(Output::Forget(Question::Introspect(id)));
        }
        while let Some((id, _)) = self.names.withdraw(|_| true) {
            out.push(Output::Forget(Question::Resolve(id)));
        }
        while let Some((id, _)) = self.loads.withdraw(|_| true) {
            out.push(Output::Forget(Question::Load(id)));
        }
        while let Some(id) = self.files.withdraw(None) {
            out.push(Output::Forget(Question::Receive(id)));
        }
        self.auth = Auth::default();
        self.posts.clear();
        self.changes.clear();
        self.rewakes.clear();
        self.journal = Journal::default();
        self.presences = Presences::default();
        self.files = Files::default();
        self.sockets = Sockets::new(&self.config.limits, &self.rng);
    }

    /// The client has gone: what is only read for it is not needed any more. A post goes on: an
    /// author who tries again with the same nonce meets it.
    fn on_http_gone(&mut self, call: CallId, out: &mut Vec<Output>) {
        if !self.calls.close(call) {
            return;
        }
        if let Some((id, _)) = self.loads.withdraw(|purpose| match purpose {
            LoadFor::History(reader) | LoadFor::Canvas(reader, _) | LoadFor::File(reader, ..) => {
                *reader == call
            }
            LoadFor::Nonce(_) | LoadFor::Change(_) | LoadFor::Rewake(_) => false,
        }) {
            out.push(Output::Forget(Question::Load(id)));
        }
        if let Some(id) = self.files.withdraw(Some(call)) {
            out.push(Output::Forget(Question::Receive(id)));
        }
    }
}

impl Machine for Guild {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.over {
            return;
        }
        self.started.get_or_insert(now);
        match input {
            Input::Clock(wall) => {
                self.clock.on_reading(now, wall);
                if self.state.files_total().files > 0 {
                    self.files.expect(now);
                }
            }
            Input::Arrival(arrival) => {
                let heard = self.sockets.arrive(now, arrival, out);
                self.on_heard(now, heard, out);
            }
            Input::Http { call, request } => self.on_http(now, call, &request, out),
            Input::HttpGone(call) => self.on_http_gone(call, out),
            Input::Introspected(id, answer) => {
                let wall = self.clock.wall(now);
                if let Some(judged) = self.auth.answer(now, wall, &self.config, id, answer) {
                    self.on_judged(now, judged, out);
                }
            }
            Input::Resolved(id, answer) => {
                if let Some(asked) = self.names.answer(id) {
                    let user = answer.ok().flatten().map(|user| user.id);
                    self.on_name(now, asked, user, out);
                }
            }
            Input::Stored(id, stored) => self.on_stored(now, id, stored, out),
            Input::Loaded(id, loaded) => {
                if let Some(purpose) = self.loads.answer(id) {
                    self.on_loaded(now, purpose, loaded, out);
                }
            }
            Input::Received(id, file, received) => self.on_received(now, id, file, received, out),
            Input::Shutdown => {
                self.end(now, &Refusal::shutting_down(), out);
            }
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        let wall = self.clock.wall(now);
        while let Some((id, judged)) = self.auth.expire(now, wall, &self.config) {
            out.push(Output::Forget(Question::Introspect(id)));
            self.on_judged(now, judged, out);
        }
        while let Some((id, asked)) = self.names.expire(now) {
            out.push(Output::Forget(Question::Resolve(id)));
            self.on_name(now, asked, None, out);
        }
        while let Some((id, purpose)) = self.loads.expire(now) {
            out.push(Output::Forget(Question::Load(id)));
            let late = Unavailable(String::from("it did not answer in time"));
            self.on_loaded(now, purpose, Err::<Loaded, _>(late), out);
        }
        self.tick_files(now, out);
        self.read_again(now, out);
        let heard = self.sockets.tick(now, out);
        self.on_heard(now, heard, out);
        while let Some((user, status)) = self.presences.expire(now) {
            self.tell_presence(now, user, status, out);
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        if self.over {
            return None;
        }
        let [uploads, sweep] = self.files.next_wakeup();
        earliest([
            uploads,
            sweep,
            self.auth.next_wakeup(),
            self.names.next_wakeup("names in a text"),
            self.loads.next_wakeup("read from the store"),
            self.sockets.next_wakeup(),
            self.presences.next_wakeup(),
            self.rewakes.next_wakeup(),
        ])
    }
}
