//! One guild of an agent: its link, its channels, and the way of a message through the filters.

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::{
        error::ErrorBody,
        realtime::{self, Membership as Pushed},
        routes,
        session::{Command, Event, Join, Realtime},
        types::{Channel as Listed, Message},
    },
    http::{Failure, Response},
    id::{ChannelId, GuildId},
    link::{self, Authorize, AuthorizeFailure, Link},
    machine::{Machine as _, Wakeup, earliest, step},
    plugin::{
        account::Token,
        channel::Channel,
        gate::{self, Verdict},
        inbound::InboundMessage,
        io::Output,
        membership::{Joined, Membership},
        note::Note,
        sequence::Released,
        shared::{Asked, Errand, Shared},
        token::SessionNumber,
        turns::Place,
    },
    request::{RequestId, Requests},
    rng::Rng,
    socketio::{self, client},
    time::Time,
    ws::ConnId,
};

/// How many messages are kept that arrive before the first listing tells of their channels. Further
/// ones are dropped, oldest first.
const EARLY_MAX: usize = 1_000;

/// The link to one guild, with everything that is known of its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GuildLink {
    number: u32,
    pub(super) id: GuildId,
    link: Link<Realtime>,
    /// The link's question for a token, while it waits for a login.
    authorize: Option<RequestId<Authorize>>,
    /// The session that the present dial's token came from.
    session: SessionNumber,
    origin: String,
    pub(super) membership: Membership,
    joins: Requests<Join, ChannelId>,
    pub(super) channels: BTreeMap<ChannelId, Channel>,
    /// When the gap of a channel is accepted.
    gaps: Deadlines<ChannelId>,
    /// When to ask for the fields of a channel whose kind is not known.
    unknown: Deadlines<ChannelId>,
    early: VecDeque<Message>,
    /// Why there is no connection, as last said.
    down: String,
    /// The token of a listing was refused already.
    refused: bool,
}
canonical!(struct GuildLink {
    id, link, authorize, membership, joins, channels, gaps, unknown, early, refused;
    - number, session, origin, down
});

impl GuildLink {
    pub(super) fn new(number: u32, id: GuildId, shared: &Shared, rng: &Rng) -> Self {
        let config = &shared.config;
        let realtime = Realtime {
            client: client::Config::default(),
            join_patience: config.step_timeout,
            join_acks: config.join_acks,
        };
        let link = link::Config {
            step_timeout: config.step_timeout,
            backoff: config.backoff.clone(),
            first_conn: u64::from(number) << 32,
        };
        Self {
            link: Link::new(link, realtime, rng.fork(id.as_str())),
            number,
            id,
            authorize: None,
            session: 0,
            origin: String::new(),
            membership: Membership::new(config.listing_every),
            joins: Requests::default(),
            channels: BTreeMap::new(),
            gaps: Deadlines::default(),
            unknown: Deadlines::default(),
            early: VecDeque::new(),
            down: String::new(),
            refused: false,
        }
    }

    /// The number of the guild that a connection belongs to.
    pub(super) fn of_conn(conn: ConnId) -> u32 {
        u32::try_from(conn.0 >> 32).unwrap_or(u32::MAX)
    }

    pub(super) fn place(&self, channel: &ChannelId) -> Place {
        (self.number, channel.clone())
    }

    pub(super) fn is_live(&self) -> bool {
        self.link.is_live()
    }

    /// Steps the link and does what it says.
    pub(super) fn step_link(
        &mut self,
        now: Time,
        input: Option<link::Input<Realtime>>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let mut said = Vec::new();
        step(&mut self.link, now, input, &mut said);
        for output in said {
            match output {
                link::Output::Authorize(id) => {
                    self.authorize = Some(id);
                    self.on_token(now, shared, out);
                }
                link::Output::Forget(_) => self.authorize = None,
                link::Output::Dial(conn) => {
                    out.push(Output::Dial {
                        conn,
                        origin: self.origin.clone(),
                    });
                }
                link::Output::HangUp(conn) => out.push(Output::HangUp(conn)),
                link::Output::Transport(conn, action) => {
                    out.push(Output::Transport(conn, action));
                }
                link::Output::Up => self.membership.on_up(now),
                link::Output::Event(Event::Joined(id, answer)) => {
                    self.on_joined(now, id, answer, shared, out);
                }
                link::Output::Event(Event::Push(event)) => self.on_push(now, &event, shared, out),
                link::Output::Down {
                    end,
                    lived,
                    retry_in,
                } => {
                    if end.unauthorized {
                        shared.account.invalidate(self.session);
                    }
                    self.on_down();
                    if lived.is_some() || self.down != end.why {
                        self.down.clone_from(&end.why);
                        let guild = self.id.clone();
                        out.push(Output::Note(Note::Down {
                            guild,
                            why: end.why,
                            lived,
                            retry_in,
                        }));
                    }
                }
            }
        }
    }

    /// There may be a token now: the link gets it, if it waits for one.
    pub(super) fn on_token(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        self.membership.on_token(now);
        let Some(id) = self.authorize else { return };
        let answer = match shared.account.token(now, &self.id) {
            Token::Wait => return,
            Token::Fresh {
                token,
                origin,
                session,
            } => match shared.origin(&self.id, origin) {
                Some(origin) => {
                    self.origin = origin;
                    self.session = session;
                    Ok(token)
                }
                None => Err(Note::NoOrigin {
                    guild: self.id.clone(),
                }),
            },
            Token::NoAccess => Err(Note::NoAccess {
                guild: self.id.clone(),
            }),
        };
        let answer = answer.map_err(|note| AuthorizeFailure::Denied(note.to_string()));
        self.authorize = None;
        self.step_link(now, Some(link::Input::Authorized(id, answer)), shared, out);
    }

    /// A login failed.
    pub(super) fn on_login_failed(
        &mut self,
        now: Time,
        why: &str,
        denied: bool,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        self.membership.on_login_failed(now);
        let Some(id) = self.authorize.take() else {
            return;
        };
        let why = format!("no login: {why}");
        let failure = if denied {
            AuthorizeFailure::Denied(why)
        } else {
            AuthorizeFailure::Unavailable(why)
        };
        self.step_link(
            now,
            Some(link::Input::Authorized(id, Err(failure))),
            shared,
            out,
        );
    }

    fn on_down(&mut self) {
        self.membership.on_down();
        self.joins = Requests::default();
        self.gaps = Deadlines::default();
        self.early.clear();
        for channel in self.channels.values_mut() {
            channel.sequence.on_down();
        }
    }

    fn on_joined(
        &mut self,
        now: Time,
        id: RequestId<Join>,
        answer: Result<realtime::JoinAck, String>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some(channel) = self.joins.answer(id) else {
            return;
        };
        match self.membership.on_join_answer(now, &channel, answer) {
            Joined::Stale => {}
            Joined::Ok(last_seq) => {
                let patience = shared.config.gap_patience;
                let state = self.channels.entry(channel.clone()).or_default();
                let released = state.sequence.on_joined(now, last_seq, patience);
                self.pass_on(now, &channel, released, shared, out);
            }
            Joined::Failed { why, token_expired } => {
                let guild = self.id.clone();
                out.push(Output::Note(Note::JoinFailed {
                    guild,
                    channel,
                    why: why.clone(),
                }));
                if token_expired {
                    self.step_link(now, Some(link::Input::Reconnect(why)), shared, out);
                }
            }
        }
    }

    fn on_push(
        &mut self,
        now: Time,
        event: &socketio::event::Event,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let outcome = match event.name() {
            realtime::MESSAGE_CREATED => event
                .args::<(Message,)>()
                .map(|(message,)| self.on_message(now, message, shared, out)),
            realtime::MESSAGE_UPDATED => event
                .args::<(Message,)>()
                .map(|(message,)| self.on_edited(now, message, shared)),
            realtime::MESSAGE_DELETED => event
                .args::<(Message,)>()
                .map(|(message,)| self.on_deleted(now, &message, shared)),
            realtime::CHANNEL_UPDATED => event
                .args::<(Listed,)>()
                .map(|(listed,)| self.on_fields(now, &listed, shared, out)),
            realtime::CHANNEL_JOINED => event
                .args::<(Pushed,)>()
                .map(|(pushed,)| self.on_joined_push(now, &pushed, shared, out)),
            realtime::CHANNEL_LEFT => event
                .args::<(Pushed,)>()
                .map(|(pushed,)| self.on_left_push(now, &pushed, shared, out)),
            _ => Ok(()),
        };
        if let Err(error) = outcome {
            out.push(Output::Note(Note::BadPush {
                guild: self.id.clone(),
                event: event.name().to_string(),
                why: error.to_string(),
            }));
        }
    }

    fn on_joined_push(
        &mut self,
        now: Time,
        pushed: &Pushed,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        if shared.account.user() != Some(&pushed.user_id) {
            return;
        }
        let most = shared.config.channels_max;
        if !self
            .membership
            .on_joined_push(now, &pushed.channel_id, most)
        {
            return;
        }
        self.enter(now, &pushed.channel_id, out);
        if let Some(x_type) = pushed.x_type {
            let state = self.channels.entry(pushed.channel_id.clone()).or_default();
            let held = state.on_kind(x_type);
            self.filter(now, &pushed.channel_id, held, shared, out);
        }
    }

    fn on_left_push(
        &mut self,
        now: Time,
        pushed: &Pushed,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let own = shared.account.user() == Some(&pushed.user_id);
        if own && self.membership.on_left_push(&pushed.channel_id) {
            self.leave(now, &pushed.channel_id, shared, out);
        }
    }

    fn enter(&mut self, now: Time, channel: &ChannelId, out: &mut Vec<Output>) {
        self.channels.insert(channel.clone(), Channel::default());
        self.unknown.set(channel.clone(), Some(now));
        out.push(Output::Note(Note::Joined {
            guild: self.id.clone(),
            channel: channel.clone(),
        }));
    }

    fn leave(
        &mut self,
        now: Time,
        channel: &ChannelId,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        while self.joins.withdraw(|of| of == channel).is_some() {}
        self.channels.remove(channel);
        self.gaps.set(channel.clone(), None);
        self.unknown.set(channel.clone(), None);
        let dropped = shared
            .turns
            .drop_waiting(now, &shared.config, &self.place(channel));
        self.step_link(
            now,
            Some(link::Input::Command(Command::Leave(channel.clone()))),
            shared,
            out,
        );
        let (guild, channel) = (self.id.clone(), channel.clone());
        out.push(Output::Note(Note::Left {
            guild,
            channel,
            dropped,
        }));
    }

    /// The guild answered a listing, or did not.
    pub(super) fn on_listing(
        &mut self,
        now: Time,
        session: SessionNumber,
        answer: Result<Response, Failure>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let listed = match read::<Vec<Listed>>(answer) {
            Ok(listed) => listed,
            Err(Unread::Unauthorized) if !self.refused => {
                self.refused = true;
                shared.account.invalidate(session);
                self.membership.on_listing_blocked();
                self.membership.on_token(now);
                return;
            }
            Err(Unread::Unauthorized) => {
                self.listing_failed(now, "the guild refuses the token, a new one too", out);
                return;
            }
            Err(Unread::Failed(why)) => {
                self.listing_failed(now, &why, out);
                return;
            }
        };
        self.refused = false;
        let most = shared.config.channels_max;
        if listed.len() > most {
            let what = format!(
                "guild {} has {} channels, {most} are followed",
                self.id,
                listed.len()
            );
            out.push(Output::Note(Note::TooMany { what }));
        }
        let changes = self.membership.on_listing(now, &listed, most);
        for channel in &changes.left {
            self.leave(now, channel, shared, out);
        }
        for channel in &changes.joined {
            self.enter(now, channel, out);
        }
        for channel in &listed {
            self.on_fields(now, channel, shared, out);
        }
        for message in core::mem::take(&mut self.early) {
            self.on_message(now, message, shared, out);
        }
    }

    fn listing_failed(&mut self, now: Time, why: &str, out: &mut Vec<Output>) {
        self.refused = false;
        self.membership.on_listing_failed(now);
        out.push(Output::Note(Note::ListingFailed {
            guild: self.id.clone(),
            why: why.to_string(),
        }));
    }

    /// The guild answered about the fields of one channel, or did not.
    pub(super) fn on_fields_answer(
        &mut self,
        now: Time,
        channel: &ChannelId,
        session: SessionNumber,
        answer: Result<Response, Failure>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        match read::<Listed>(answer) {
            Ok(listed) => self.on_fields(now, &listed, shared, out),
            Err(unread) => {
                let why = match unread {
                    Unread::Unauthorized => {
                        shared.account.invalidate(session);
                        "the guild refuses the token".to_string()
                    }
                    Unread::Failed(why) => why,
                };
                self.ask_fields_later(now, channel, shared);
                out.push(Output::Note(Note::ListingFailed {
                    guild: self.id.clone(),
                    why,
                }));
            }
        }
    }

    /// The next listing brings the fields as well, so once in between is enough.
    fn ask_fields_later(&mut self, now: Time, channel: &ChannelId, shared: &Shared) {
        if self
            .channels
            .get(channel)
            .is_some_and(|state| state.x_type.is_none())
        {
            self.unknown
                .set(channel.clone(), Some(now + shared.config.step_timeout));
        }
    }

    fn on_fields(
        &mut self,
        now: Time,
        listed: &Listed,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.channels.get_mut(&listed.id) else {
            return;
        };
        let held = state.on_fields(listed);
        self.unknown.set(listed.id.clone(), None);
        self.filter(now, &listed.id, held, shared, out);
    }

    /// A message was pushed: sequence first.
    fn on_message(
        &mut self,
        now: Time,
        message: Message,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let id = message.channel_id.clone();
        let Some(state) = self.channels.get_mut(&id) else {
            if !self.membership.has_listed() {
                self.early.push_back(message);
                if self.early.len() > EARLY_MAX {
                    self.early.pop_front();
                }
            }
            return;
        };
        if message.rewake == Some(true) {
            return;
        }
        let released = state
            .sequence
            .on_message(now, message, shared.config.gap_patience);
        self.pass_on(now, &id, released, shared, out);
    }

    fn pass_on(
        &mut self,
        now: Time,
        id: &ChannelId,
        released: Released,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let Some(state) = self.channels.get(id) else {
            return;
        };
        self.gaps.set(id.clone(), state.sequence.patience());
        if released.missing > 0 {
            let (guild, channel, missing) = (self.id.clone(), id.clone(), released.missing);
            out.push(Output::Note(Note::GapAccepted {
                guild,
                channel,
                missing,
            }));
        }
        self.filter(now, id, released.messages, shared, out);
    }

    /// What is in sequence: self, dedup, gate, queue.
    fn filter(
        &mut self,
        now: Time,
        id: &ChannelId,
        messages: Vec<Message>,
        shared: &mut Shared,
        out: &mut Vec<Output>,
    ) {
        let place = self.place(id);
        for message in messages {
            let Some(state) = self.channels.get_mut(id) else {
                return;
            };
            let Some(x_type) = state.x_type else {
                state.hold(message);
                continue;
            };
            if shared.account.user() == Some(&message.author.id) {
                let ours = |nonce: &String| nonce.starts_with(&shared.nonces);
                if !state.foreign_posts && message.nonce.as_ref().is_some_and(|nonce| !ours(nonce))
                {
                    state.foreign_posts = true;
                    let (guild, channel) = (self.id.clone(), id.clone());
                    out.push(Output::Note(Note::ForeignPost { guild, channel }));
                }
                continue;
            }
            if !shared.dedup.insert(&self.id, &message.id) {
                continue;
            }
            match gate::judge(&shared.config, &mut state.guard, now, x_type, &message) {
                Verdict::Record(gate::Reason::Deleted) => {}
                Verdict::Record(_) => {
                    state
                        .context
                        .record(message.into(), shared.config.context_max);
                }
                Verdict::Deliver => {
                    if !shared
                        .turns
                        .push(now, &shared.config, &place, message.into())
                    {
                        let (guild, channel) = (self.id.clone(), id.clone());
                        out.push(Output::Note(Note::Skipped { guild, channel }));
                    }
                }
            }
        }
        self.settle_cursor(id, shared);
    }

    /// Moves the cursor up to what is not finished.
    pub(super) fn settle_cursor(&mut self, id: &ChannelId, shared: &Shared) {
        let unfinished = shared.turns.unfinished(&self.place(id));
        let Some(state) = self.channels.get_mut(id).filter(|state| !state.holds()) else {
            return;
        };
        let heard = state.sequence.heard().unwrap_or_default();
        let finished = unfinished.map_or(heard, |seq| seq.saturating_sub(1));
        state.sequence.on_finished(finished);
    }

    fn on_edited(&mut self, now: Time, message: Message, shared: &mut Shared) {
        if message.deleted_at.is_some() {
            self.on_deleted(now, &message, shared);
            return;
        }
        let place = self.place(&message.channel_id);
        let Some(state) = self.channels.get_mut(&message.channel_id) else {
            return;
        };
        let message = InboundMessage::from(message);
        state.context.update(&message);
        shared.turns.update(&place, &message);
    }

    fn on_deleted(&mut self, now: Time, message: &Message, shared: &mut Shared) {
        let place = self.place(&message.channel_id);
        let Some(state) = self.channels.get_mut(&message.channel_id) else {
            return;
        };
        state.context.remove(&message.id);
        shared
            .turns
            .remove(now, &shared.config, &place, &message.id);
        self.settle_cursor(&message.channel_id, shared);
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        if self
            .link
            .next_wakeup()
            .is_some_and(|wakeup| wakeup.at <= now)
        {
            self.step_link(now, None, shared, out);
        }
        if self.membership.listing_due(now) {
            self.list(now, shared, out);
        }
        while let Some(channel) = self.membership.join_due(now) {
            let id = self.joins.ask(now, None, channel.clone());
            let join = link::Input::Command(Command::Join(id, channel));
            self.step_link(now, Some(join), shared, out);
        }
        while let Some(id) = self.gaps.pop_due(now) {
            let patience = shared.config.gap_patience;
            let state = self.channels.get_mut(&id);
            if let Some(released) = state.and_then(|state| state.sequence.expire(now, patience)) {
                self.pass_on(now, &id, released, shared, out);
            }
        }
        while let Some(channel) = self.unknown.pop_due(now) {
            let errand = Errand::Fields {
                guild: self.number,
                channel: channel.clone(),
            };
            let request = |token| Some(routes::read_channel(token, &channel));
            if shared.ask(now, &self.id, errand, request, out) != Asked::Yes {
                self.ask_fields_later(now, &channel, shared);
            }
        }
        if self.can_go_live() {
            self.step_link(now, Some(link::Input::Live), shared, out);
            self.down.clear();
            let (guild, channels) = (self.id.clone(), self.membership.len());
            out.push(Output::Note(Note::Live { guild, channels }));
        }
    }

    fn list(&mut self, now: Time, shared: &mut Shared, out: &mut Vec<Output>) {
        let errand = Errand::Listing { guild: self.number };
        let request = |token| Some(routes::list_channels(token, &self.id));
        match shared.ask(now, &self.id, errand, request, out) {
            Asked::Yes => self.membership.on_listing_asked(),
            Asked::Blocked => self.membership.on_listing_blocked(),
            Asked::Impossible(why) => self.listing_failed(now, &why, out),
        }
    }

    fn can_go_live(&self) -> bool {
        self.membership.is_settled() && !self.link.is_live()
    }

    /// When there is something to do.
    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        earliest([
            self.can_go_live().then_some(Wakeup {
                at: Time::ZERO,
                why: "live",
            }),
            self.link.next_wakeup(),
            self.membership.next_wakeup(),
            self.gaps.earliest().map(|at| Wakeup {
                at,
                why: "gap accepted",
            }),
            self.unknown.earliest().map(|at| Wakeup {
                at,
                why: "channel to be read",
            }),
        ])
    }
}

enum Unread {
    Unauthorized,
    Failed(String),
}

/// The value of a good answer, or why there is none, in words.
fn read<T: serde::de::DeserializeOwned>(answer: Result<Response, Failure>) -> Result<T, Unread> {
    let response = answer.map_err(|failure| Unread::Failed(failure.to_string()))?;
    match response.status {
        200..=299 => serde_json::from_slice(&response.body)
            .map_err(|error| Unread::Failed(format!("its answer cannot be read: {error}"))),
        401 => Err(Unread::Unauthorized),
        status => {
            let words = serde_json::from_slice::<ErrorBody>(&response.body)
                .map_or_else(|_| String::new(), |body| format!(": {}", body.message));
            Err(Unread::Failed(format!("it answered {status}{words}")))
        }
    }
}
