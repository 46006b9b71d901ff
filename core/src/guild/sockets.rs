//! The sessions of a guild node: their Socket.IO machines, their users and their rooms.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    vec::Vec,
};
use core::{iter, time::Duration};

use bytestring::ByteString;
use serde::Serialize;

use crate::{
    canonical,
    deadlines::Deadlines,
    engineio::sessions::{self, Arrival, Effect, SessionId, Sessions},
    fabric::{
        realtime::{
            self, Activity, Auth, CANVAS_REMOVED, CANVAS_UPDATED, CHANNEL_JOINED, CHANNEL_LEFT,
            CHANNEL_UPDATED, JoinAck, MESSAGE_CREATED, MESSAGE_DELETED, MESSAGE_UPDATED,
            Membership, PRESENCE, Presence, TYPING,
        },
        types::{Canvas, Channel, Message},
    },
    guild::{auth::Identity, config::Limits, io::Output, state::State},
    id::{ChannelId, UserId},
    link::backoff::Bucket,
    machine::{Wakeup, earliest},
    rng::Rng,
    secret::Secret,
    socketio::{
        AckId, Namespace,
        event::{Emission, Event},
        server::{Config, Input, Output as Said, Server},
    },
    time::Time,
};

/// The longest token that Center is asked about, in bytes: ten times what a JWT takes.
const TOKEN_BYTES_MAX: usize = 8_192;

/// Events of a socket that others hear of at once, such as typing: so many in a burst, and one more
/// every so often. Those beyond are acknowledged and not passed on: they are forgotten anyway.
const CHATTER_MAX: u32 = 20;
const CHATTER_REFILL: Duration = Duration::from_millis(250);

/// Every session with its Socket.IO machine, and who is in which room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sockets {
    sessions: Sessions<Server>,
    /// Those that ask to be admitted, or are somebody's. The others are strangers: they have not
    /// asked, or were refused, or have left the namespace.
    stages: BTreeMap<SessionId, Stage>,
    /// When a session that has left the namespace is closed.
    unadmitted: Deadlines<SessionId>,
    users: BTreeMap<UserId, BTreeSet<SessionId>>,
    channels: BTreeMap<ChannelId, BTreeSet<SessionId>>,
    live: usize,
    admission_patience: Duration,
    /// Makes the ids of sockets, which are not secrets.
    ids: Rng,
}
canonical!(struct Sockets {
    sessions, stages, unadmitted, users, channels, live, admission_patience; - ids
});

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Its CONNECT waits for an answer.
    Asking {
        token: Option<Secret>,
        hears_chatter: bool,
    },
    /// It is somebody's.
    Live {
        identity: Identity,
        rooms: BTreeSet<ChannelId>,
        /// Whether it is told how others are and that they type.
        hears_chatter: bool,
        /// What it may send: events of any kind, and those of them that others hear of at once.
        events: Bucket,
        chatter: Bucket,
    },
}
canonical!(enum Stage {
    Asking { token, hears_chatter },
    Live { identity, rooms, hears_chatter, events, chatter },
});

/// What a session asks of the guild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A CONNECT to be admitted or refused; no token where its payload holds none.
    Connect {
        session: SessionId,
        token: Option<Secret>,
    },
    /// An event of an admitted socket.
    Event { session: SessionId, event: Event },
    /// The last socket of a user has ended.
    Gone(UserId),
}

impl Sockets {
    /// No sessions yet.
    pub(super) fn new(limits: &Limits, rng: &Rng) -> Self {
        let mut config = Config {
            connect_timeout: limits.admission_patience,
            ..Config::default()
        };
        config.engine.max_payload = limits.frame_bytes_max;
        let of_sessions = sessions::Limits {
            sessions_max: limits.sockets_max,
            ..sessions::Limits::default()
        };
        Self {
            sessions: Sessions::new(config, of_sessions),
            stages: BTreeMap::new(),
            unadmitted: Deadlines::default(),
            users: BTreeMap::new(),
            channels: BTreeMap::new(),
            live: 0,
            admission_patience: limits.admission_patience,
            ids: rng.fork("sockets"),
        }
    }

    /// How many sockets are admitted.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Whose a socket is.
    pub(super) fn identity(&self, session: SessionId) -> Option<&Identity> {
        match self.stages.get(&session)? {
            Stage::Live { identity, .. } => Some(identity),
            Stage::Asking { .. } => None,
        }
    }

    /// Whether a socket may send an event now.
    pub(super) fn may_send(&mut self, now: Time, session: SessionId) -> bool {
        match self.stages.get_mut(&session) {
            Some(Stage::Live { events, .. }) => events.take(now).is_ok(),
            Some(Stage::Asking { .. }) | None => false,
        }
    }

    /// Whether others may hear of a socket's chatter now.
    pub(super) fn may_chatter(&mut self, now: Time, session: SessionId) -> bool {
        match self.stages.get_mut(&session) {
            Some(Stage::Live { chatter, .. }) => chatter.take(now).is_ok(),
            Some(Stage::Asking { .. }) | None => false,
        }
    }

    /// Whether a session waits to be admitted with this token.
    pub(super) fn is_asking(&self, session: SessionId, with: &Secret) -> bool {
        match self.stages.get(&session) {
            Some(Stage::Asking { token, .. }) => token.as_ref() == Some(with),
            Some(Stage::Live { .. }) | None => false,
        }
    }

    /// Something reached the server.
    pub(super) fn arrive(
        &mut self,
        now: Time,
        arrival: Arrival,
        out: &mut Vec<Output>,
    ) -> Vec<Heard> {
        self.with_sessions(now, out, |sessions, effects, said| {
            sessions.arrive(now, arrival, effects, said);
        })
    }

    /// Admits a socket that asked; one too many of its user is refused.
    pub(super) fn admit(
        &mut self,
        now: Time,
        session: SessionId,
        identity: Identity,
        limits: &Limits,
        out: &mut Vec<Output>,
    ) {
        let user = identity.author.id.clone();
        let Some(Stage::Asking { hears_chatter, .. }) = self.stages.get(&session) else {
            return;
        };
        let hears_chatter = *hears_chatter;
        let others = self.users.get(&user).map_or(0, BTreeSet::len);
        if others >= limits.sockets_per_user_max {
            return self.refuse(now, session, realtime::TOO_MANY_SOCKETS, out);
        }
        let live = Stage::Live {
            identity,
            rooms: BTreeSet::new(),
            hears_chatter,
            events: Bucket::new(limits.events_max, limits.events_refill),
            chatter: Bucket::new(CHATTER_MAX, CHATTER_REFILL),
        };
        self.stages.insert(session, live);
        let sid = format!("{:016x}{:016x}", self.ids.next_u64(), self.ids.next_u64());
        self.live += 1;
        self.users.entry(user).or_default().insert(session);
        self.unadmitted.set(session, None);
        let namespace = namespace();
        let admit = Input::Admit {
            namespace,
            sid: sid.into(),
            pid: None,
            missed: Vec::new(),
        };
        self.step(now, session, admit, out);
    }

    /// Refuses a socket that asked. Its session stays until the client closes it, or until the
    /// patience for strangers is over.
    pub(super) fn refuse(
        &mut self,
        now: Time,
        session: SessionId,
        message: &'static str,
        out: &mut Vec<Output>,
    ) {
        if !self.waits(session) {
            return;
        }
        self.stages.remove(&session);
        let refusal = Input::Refuse {
            namespace: namespace(),
            message: ByteString::from_static(message),
            data: None,
        };
        self.step(now, session, refusal, out);
    }

    /// Closes a session.
    pub(super) fn close(&mut self, now: Time, session: SessionId, out: &mut Vec<Output>) {
        self.step(now, session, Input::Close, out);
    }

    /// Closes every session.
    pub(super) fn close_all(&mut self, now: Time, out: &mut Vec<Output>) {
        let sessions: Vec<_> = self.sessions.ids().collect();
        for session in sessions {
            self.close(now, session, out);
        }
    }

    /// A socket enters a channel's room; false where it was there before.
    pub(super) fn enter(&mut self, session: SessionId, channel: ChannelId) -> bool {
        let Some(Stage::Live { rooms, .. }) = self.stages.get_mut(&session) else {
            return false;
        };
        let is_new = rooms.insert(channel.clone());
        self.channels.entry(channel).or_default().insert(session);
        is_new
    }

    /// Whether a socket is in a channel's room.
    pub(super) fn is_in(&self, session: SessionId, channel: &ChannelId) -> bool {
        let stage = self.stages.get(&session);
        matches!(stage, Some(Stage::Live { rooms, .. }) if rooms.contains(channel))
    }

    /// A socket leaves a channel's room.
    pub(super) fn exit(&mut self, session: SessionId, channel: &ChannelId) {
        if let Some(Stage::Live { rooms, .. }) = self.stages.get_mut(&session) {
            rooms.remove(channel);
        }
        take_from(&mut self.channels, channel, session);
    }

    /// Acknowledges a socket's event.
    pub(super) fn acknowledge(
        &mut self,
        now: Time,
        session: SessionId,
        ack: AckId,
        body: &JoinAck,
        out: &mut Vec<Output>,
    ) {
        if self.identity(session).is_some()
            && let Ok(emission) = Emission::answer(&namespace(), ack, &(body,))
        {
            self.step(now, session, Input::Emit(emission), out);
        }
    }

    /// `message.created` to the channel's room: encoded once for those who are woken and once for
    /// the others.
    pub(super) fn push_created(
        &mut self,
        now: Time,
        mut message: Message,
        woken: &[UserId],
        out: &mut Vec<Output>,
    ) {
        let woken: BTreeSet<_> = woken.iter().collect();
        let room = self.room(&message.channel_id);
        let mut emission = |wakeup| {
            message.wakeup = Some(wakeup);
            event(MESSAGE_CREATED, &message)
        };
        let (mut loud, mut quiet) = (None, None);
        for (session, user) in room {
            let emission = if woken.contains(&user) {
                loud.get_or_insert_with(|| emission(true))
            } else {
                quiet.get_or_insert_with(|| emission(false))
            };
            self.emit(now, session, emission.as_ref(), out);
        }
    }

    /// `message.updated` or `message.deleted` to the channel's room.
    pub(super) fn push_amended(&mut self, now: Time, message: &Message, out: &mut Vec<Output>) {
        let name = match message.deleted_at {
            Some(_) => MESSAGE_DELETED,
            None => MESSAGE_UPDATED,
        };
        self.push_to_room(now, &message.channel_id, name, message, out);
    }

    /// `canvas.updated` to the channel's room.
    pub(super) fn push_shared(&mut self, now: Time, canvas: &Canvas, out: &mut Vec<Output>) {
        self.push_to_room(now, &canvas.channel_id, CANVAS_UPDATED, canvas, out);
    }

    /// `canvas.removed` to the channel's room.
    pub(super) fn push_unshared(&mut self, now: Time, removal: &Activity, out: &mut Vec<Output>) {
        self.push_to_room(now, &removal.channel_id, CANVAS_REMOVED, removal, out);
    }

    /// `typing` to those sockets in the channel's room that are told of it.
    pub(super) fn push_typing(&mut self, now: Time, typing: &Activity, out: &mut Vec<Output>) {
        self.push_chatter(now, iter::once(&typing.channel_id), TYPING, typing, out);
    }

    /// `presence` to the rooms of `channels`, once to each socket in any of them that is told of it.
    pub(super) fn push_presence<'c>(
        &mut self,
        now: Time,
        channels: impl Iterator<Item = &'c ChannelId>,
        presence: &Presence,
        out: &mut Vec<Output>,
    ) {
        self.push_chatter(now, channels, PRESENCE, presence, out);
    }

    fn push_chatter<'c>(
        &mut self,
        now: Time,
        channels: impl Iterator<Item = &'c ChannelId>,
        name: &str,
        payload: &impl Serialize,
        out: &mut Vec<Output>,
    ) {
        let rooms = channels.filter_map(|channel| self.channels.get(channel));
        let hearing = rooms
            .flatten()
            .filter(|session| self.hears_chatter(session));
        let sessions: BTreeSet<_> = hearing.copied().collect();
        let emission = event(name, payload);
        for session in sessions {
            self.emit(now, session, emission.as_ref(), out);
        }
    }

    /// `message.created` once more, to those sockets in the channel's room that are the user's.
    pub(super) fn push_rewoken(
        &mut self,
        now: Time,
        message: &Message,
        user: &UserId,
        out: &mut Vec<Output>,
    ) {
        let emission = event(MESSAGE_CREATED, message);
        let room = self.room(&message.channel_id).into_iter();
        for (session, _) in room.filter(|(_, socket_of)| socket_of == user) {
            self.emit(now, session, emission.as_ref(), out);
        }
    }

    /// `channel.updated` to the channel's room: encoded once for all who joined at the same `seq`.
    pub(super) fn push_updated(
        &mut self,
        now: Time,
        state: &State,
        mut channel: Channel,
        out: &mut Vec<Output>,
    ) {
        let mut emissions = BTreeMap::new();
        for (session, user) in self.room(&channel.id) {
            let joined_seq = state
                .channel(&channel.id)
                .and_then(|channel| channel.joined_seq(&user));
            let emission = emissions.entry(joined_seq).or_insert_with(|| {
                channel.joined_seq = joined_seq;
                event(CHANNEL_UPDATED, &channel)
            });
            self.emit(now, session, emission.as_ref(), out);
        }
    }

    /// `channel.joined` to the user's room.
    pub(super) fn push_joined(&mut self, now: Time, began: &Membership, out: &mut Vec<Output>) {
        self.push_to_user(now, CHANNEL_JOINED, began, out);
    }

    /// Takes the user's sockets out of the channel's room, then `channel.left` to the user's room.
    pub(super) fn push_left(&mut self, now: Time, ended: &Membership, out: &mut Vec<Output>) {
        for session in self.sockets_of(&ended.user_id) {
            self.exit(session, &ended.channel_id);
        }
        self.push_to_user(now, CHANNEL_LEFT, ended, out);
    }

    /// Wakes the sessions that want it, and closes strangers who stayed too long.
    pub(super) fn tick(&mut self, now: Time, out: &mut Vec<Output>) -> Vec<Heard> {
        let heard = self.with_sessions(now, out, |sessions, effects, said| {
            sessions.tick(now, effects, said);
        });
        while let Some(session) = self.unadmitted.pop_due(now) {
            self.close(now, session, out);
        }
        heard
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        let close = self.unadmitted.earliest().map(|at| Wakeup {
            at,
            why: "close a stranger",
        });
        earliest([self.sessions.next_wakeup(), close])
    }

    fn hears_chatter(&self, session: &SessionId) -> bool {
        match self.stages.get(session) {
            Some(Stage::Live { hears_chatter, .. }) => *hears_chatter,
            Some(Stage::Asking { .. }) | None => false,
        }
    }

    fn waits(&self, session: SessionId) -> bool {
        match self.stages.get(&session) {
            Some(Stage::Asking { .. }) => true,
            Some(Stage::Live { .. }) | None => false,
        }
    }

    fn room(&self, channel: &ChannelId) -> Vec<(SessionId, UserId)> {
        let sessions = self.channels.get(channel).into_iter().flatten();
        sessions
            .filter_map(|session| Some((*session, self.identity(*session)?.author.id.clone())))
            .collect()
    }

    fn sockets_of(&self, user: &UserId) -> Vec<SessionId> {
        self.users
            .get(user)
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }

    fn push_to_room(
        &mut self,
        now: Time,
        channel: &ChannelId,
        name: &str,
        payload: &impl Serialize,
        out: &mut Vec<Output>,
    ) {
        let emission = event(name, payload);
        for (session, _) in self.room(channel) {
            self.emit(now, session, emission.as_ref(), out);
        }
    }

    fn push_to_user(
        &mut self,
        now: Time,
        name: &str,
        membership: &Membership,
        out: &mut Vec<Output>,
    ) {
        let emission = event(name, membership);
        for session in self.sockets_of(&membership.user_id) {
            self.emit(now, session, emission.as_ref(), out);
        }
    }

    fn step(
        &mut self,
        now: Time,
        session: SessionId,
        input: Input,
        out: &mut Vec<Output>,
    ) -> Vec<Heard> {
        self.with_sessions(now, out, |sessions, effects, said| {
            sessions.step(now, session, input, effects, said);
        })
    }

    /// Lets the sessions do something, and does what they say.
    fn with_sessions(
        &mut self,
        now: Time,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Sessions<Server>, &mut Vec<Effect>, &mut Vec<(SessionId, Said)>),
    ) -> Vec<Heard> {
        let (mut effects, mut said) = (Vec::new(), Vec::new());
        act(&mut self.sessions, &mut effects, &mut said);
        out.extend(effects.into_iter().map(Output::Effect));
        let mut heard = Vec::new();
        for (session, said) in said {
            match said {
                Said::Admission {
                    namespace, auth, ..
                } => {
                    if namespace.as_str() == realtime::NAMESPACE {
                        let auth = auth_of(auth.as_deref());
                        let (token, hears_chatter) = auth.unzip();
                        let asking = Stage::Asking {
                            token: token.clone(),
                            hears_chatter: hears_chatter.unwrap_or_default(),
                        };
                        heard.extend(self.set_stage(session, Some(asking)));
                        heard.push(Heard::Connect { session, token });
                    } else {
                        let refusal = Input::Refuse {
                            namespace,
                            message: ByteString::from_static(realtime::INVALID_NAMESPACE),
                            data: None,
                        };
                        heard.append(&mut self.step(now, session, refusal, out));
                    }
                }
                Said::Event { event, .. } => heard.push(Heard::Event { session, event }),
                Said::Disconnected { .. } => {
                    heard.extend(self.set_stage(session, None));
                    let until = now + self.admission_patience;
                    self.unadmitted.set(session, Some(until));
                }
                Said::Closed(_) => {
                    heard.extend(self.set_stage(session, None));
                    self.unadmitted.set(session, None);
                }
                // The sessions have taken that out; the guild calls no client; and what was not
                // sent is in the history.
                Said::Transport(_) | Said::Answered { .. } | Said::Dropped { .. } => {}
            }
        }
        heard
    }

    /// Moves a session to a stage in which it is nobody's, and out of every room.
    fn set_stage(&mut self, session: SessionId, stage: Option<Stage>) -> Option<Heard> {
        let before = match stage {
            Some(stage) => self.stages.insert(session, stage),
            None => self.stages.remove(&session),
        };
        let Some(Stage::Live {
            identity, rooms, ..
        }) = before
        else {
            return None;
        };
        self.live -= 1;
        for channel in &rooms {
            take_from(&mut self.channels, channel, session);
        }
        let user = identity.author.id;
        take_from(&mut self.users, &user, session);
        (!self.users.contains_key(&user)).then_some(Heard::Gone(user))
    }

    fn emit(
        &mut self,
        now: Time,
        session: SessionId,
        emission: Option<&Emission>,
        out: &mut Vec<Output>,
    ) {
        let Some(emission) = emission else {
            return;
        };
        let effects = |effect| out.push(Output::Effect(effect));
        if !self.sessions.emit_directly(session, emission, effects) {
            self.step(now, session, Input::Emit(emission.clone()), out);
        }
    }
}

fn namespace() -> Namespace {
    Namespace::new(realtime::NAMESPACE).unwrap_or_else(Namespace::root)
}

/// The token in a CONNECT's payload, and whether the socket is told of chatter.
fn auth_of(auth: Option<&str>) -> Option<(Secret, bool)> {
    let Auth { token, chatter } = serde_json::from_str(auth?).ok()?;
    (1..=TOKEN_BYTES_MAX)
        .contains(&token.len())
        .then(|| (Secret::new(&token), chatter))
}

/// An event with one argument. One that does not serialise, which is a bug of its type, is not
/// sent.
fn event(name: &str, payload: &impl Serialize) -> Option<Emission> {
    Emission::event(&namespace(), name, &(payload,)).ok()
}

fn take_from<K: Ord>(rooms: &mut BTreeMap<K, BTreeSet<SessionId>>, key: &K, session: SessionId) {
    if let Some(room) = rooms.get_mut(key) {
        room.remove(&session);
        if room.is_empty() {
            rooms.remove(key);
        }
    }
}
