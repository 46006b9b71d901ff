//! The connections of a guild node: their Socket.IO machines, their users and their rooms.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use bytestring::ByteString;
use serde::Serialize;

use crate::{
    canonical,
    deadlines::Deadlines,
    engineio::transport::ServerAction,
    fabric::{
        realtime::{
            self, Auth, CHANNEL_JOINED, CHANNEL_LEFT, CHANNEL_UPDATED, JoinAck, MESSAGE_CREATED,
            Membership,
        },
        types::{Channel, Message},
    },
    guild::{auth::Identity, config::Limits, io::Output, state::State},
    id::{ChannelId, UserId},
    machine::{Machine, Wakeup, earliest, step},
    secret::Secret,
    socketio::{
        AckId, Namespace,
        event::{Emission, Event},
        server::{Config, Input, Output as Said, Server},
    },
    time::Time,
    ws::{self, ConnId},
};

/// The longest token that Center is asked about, in bytes: ten times what a JWT takes.
const TOKEN_BYTES_MAX: usize = 8_192;

/// Every connection with its Socket.IO machine, and who is in which room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sockets {
    conns: BTreeMap<ConnId, Conn>,
    /// When each Socket.IO machine wants to be woken.
    wakeups: Deadlines<ConnId>,
    /// When a connection that is nobody's is closed.
    unadmitted: Deadlines<ConnId>,
    users: BTreeMap<UserId, BTreeSet<ConnId>>,
    channels: BTreeMap<ChannelId, BTreeSet<ConnId>>,
    live: usize,
    admission_patience: Duration,
}
canonical!(struct Sockets {
    conns, wakeups, unadmitted, users, channels, live, admission_patience,
});

#[derive(Clone, Debug, PartialEq, Eq)]
struct Conn {
    server: Server,
    socket: ByteString,
    stage: Stage,
}
canonical!(struct Conn { server, socket, stage });

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not asked to be admitted, or was refused, or has left the namespace.
    Stranger,
    /// Its CONNECT waits for an answer.
    Asking { token: Option<Secret> },
    /// It is somebody's.
    Live {
        identity: Identity,
        rooms: BTreeSet<ChannelId>,
    },
}
canonical!(enum Stage { Stranger, Asking { token }, Live { identity, rooms } });

/// What a connection asks of the guild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A CONNECT to be admitted or refused; no token where its payload holds none.
    Connect { conn: ConnId, token: Option<Secret> },
    /// An event of an admitted socket.
    Event { conn: ConnId, event: Event },
}

impl Sockets {
    /// No connections yet.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            conns: BTreeMap::new(),
            wakeups: Deadlines::default(),
            unadmitted: Deadlines::default(),
            users: BTreeMap::new(),
            channels: BTreeMap::new(),
            live: 0,
            admission_patience: limits.admission_patience,
        }
    }

    /// How many sockets are admitted.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Whose a socket is.
    pub(super) fn identity(&self, conn: ConnId) -> Option<&Identity> {
        match &self.conns.get(&conn)?.stage {
            Stage::Live { identity, .. } => Some(identity),
            Stage::Stranger | Stage::Asking { .. } => None,
        }
    }

    /// Whether a connection waits to be admitted with this token.
    pub(super) fn is_asking(&self, conn: ConnId, with: &Secret) -> bool {
        match self.conns.get(&conn).map(|conn| &conn.stage) {
            Some(Stage::Asking { token }) => token.as_ref() == Some(with),
            Some(Stage::Stranger | Stage::Live { .. }) | None => false,
        }
    }

    /// A WebSocket was accepted.
    pub(super) fn accept(
        &mut self,
        now: Time,
        conn: ConnId,
        sid: &Secret,
        socket: ByteString,
        limits: &Limits,
        out: &mut Vec<Output>,
    ) {
        if self.conns.contains_key(&conn) {
            return;
        }
        if self.conns.len() >= limits.sockets_max {
            out.push(Output::Transport(conn, ws::Action::Close));
            return;
        }
        let mut config = Config::default();
        config.engine.max_payload = limits.frame_bytes_max;
        let server = Server::new(config, ByteString::from(sid.expose()), now);
        let stage = Stage::Stranger;
        let fresh = Conn {
            server,
            socket,
            stage,
        };
        self.conns.insert(conn, fresh);
        let until = now + self.admission_patience;
        self.unadmitted.set(conn, Some(until));
        self.drive(now, conn, None, out);
    }

    /// Something happened on a WebSocket.
    pub(super) fn on_transport(
        &mut self,
        now: Time,
        conn: ConnId,
        event: ws::Event,
        out: &mut Vec<Output>,
    ) -> Vec<Heard> {
        self.drive(now, conn, Some(Input::Transport(event.into())), out)
    }

    /// Admits a socket that asked; one too many of its user is refused.
    pub(super) fn admit(
        &mut self,
        now: Time,
        conn: ConnId,
        identity: Identity,
        limits: &Limits,
        out: &mut Vec<Output>,
    ) {
        let user = identity.author.id.clone();
        let Some(asking) = self.conns.get_mut(&conn) else {
            return;
        };
        let Stage::Asking { .. } = asking.stage else {
            return;
        };
        let others = self.users.get(&user).map_or(0, BTreeSet::len);
        if others >= limits.sockets_per_user_max {
            return self.refuse(now, conn, realtime::TOO_MANY_SOCKETS, out);
        }
        asking.stage = Stage::Live {
            identity,
            rooms: BTreeSet::new(),
        };
        let sid = asking.socket.clone();
        self.live += 1;
        self.users.entry(user).or_default().insert(conn);
        self.unadmitted.set(conn, None);
        let namespace = namespace();
        let admit = Input::Admit {
            namespace,
            sid,
            pid: None,
            missed: Vec::new(),
        };
        self.drive(now, conn, Some(admit), out);
    }

    /// Refuses a socket that asked. Its connection stays until the client closes it, or until the
    /// patience for strangers is over.
    pub(super) fn refuse(
        &mut self,
        now: Time,
        conn: ConnId,
        message: &'static str,
        out: &mut Vec<Output>,
    ) {
        let Some(asking) = self.conns.get_mut(&conn) else {
            return;
        };
        let Stage::Asking { .. } = asking.stage else {
            return;
        };
        asking.stage = Stage::Stranger;
        let refusal = Input::Refuse {
            namespace: namespace(),
            message: ByteString::from_static(message),
            data: None,
        };
        self.drive(now, conn, Some(refusal), out);
    }

    /// Closes a connection.
    pub(super) fn close(&mut self, now: Time, conn: ConnId, out: &mut Vec<Output>) {
        self.drive(now, conn, Some(Input::Close), out);
    }

    /// Closes every connection.
    pub(super) fn close_all(&mut self, now: Time, out: &mut Vec<Output>) {
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            self.close(now, conn, out);
        }
    }

    /// A socket enters a channel's room.
    pub(super) fn enter(&mut self, conn: ConnId, channel: ChannelId) {
        if let Some(Conn {
            stage: Stage::Live { rooms, .. },
            ..
        }) = self.conns.get_mut(&conn)
        {
            rooms.insert(channel.clone());
            self.channels.entry(channel).or_default().insert(conn);
        }
    }

    /// A socket leaves a channel's room.
    pub(super) fn exit(&mut self, conn: ConnId, channel: &ChannelId) {
        if let Some(Conn {
            stage: Stage::Live { rooms, .. },
            ..
        }) = self.conns.get_mut(&conn)
        {
            rooms.remove(channel);
        }
        take_from(&mut self.channels, channel, conn);
    }

    /// Acknowledges a socket's event.
    pub(super) fn acknowledge(
        &mut self,
        now: Time,
        conn: ConnId,
        ack: AckId,
        body: &JoinAck,
        out: &mut Vec<Output>,
    ) {
        if self.identity(conn).is_some()
            && let Ok(emission) = Emission::answer(&namespace(), ack, &(body,))
        {
            self.drive(now, conn, Some(Input::Emit(emission)), out);
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
        for (conn, user) in room {
            let emission = if woken.contains(&user) {
                loud.get_or_insert_with(|| emission(true))
            } else {
                quiet.get_or_insert_with(|| emission(false))
            };
            self.emit(now, conn, emission.as_ref(), out);
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
        for (conn, user) in self.room(&channel.id) {
            let joined_seq = state
                .channel(&channel.id)
                .and_then(|channel| channel.joined_seq(&user));
            let emission = emissions.entry(joined_seq).or_insert_with(|| {
                channel.joined_seq = joined_seq;
                event(CHANNEL_UPDATED, &channel)
            });
            self.emit(now, conn, emission.as_ref(), out);
        }
    }

    /// `channel.joined` to the user's room.
    pub(super) fn push_joined(&mut self, now: Time, began: &Membership, out: &mut Vec<Output>) {
        self.push_to_user(now, CHANNEL_JOINED, began, out);
    }

    /// Takes the user's sockets out of the channel's room, then `channel.left` to the user's room.
    pub(super) fn push_left(&mut self, now: Time, ended: &Membership, out: &mut Vec<Output>) {
        for conn in self.sockets_of(&ended.user_id) {
            self.exit(conn, &ended.channel_id);
        }
        self.push_to_user(now, CHANNEL_LEFT, ended, out);
    }

    /// Wakes the Socket.IO machines that want it, and closes strangers who stayed too long.
    pub(super) fn tick(&mut self, now: Time, out: &mut Vec<Output>) -> Vec<Heard> {
        let mut heard = Vec::new();
        while let Some(conn) = self.wakeups.pop_due(now) {
            heard.append(&mut self.drive(now, conn, None, out));
        }
        while let Some(conn) = self.unadmitted.pop_due(now) {
            self.close(now, conn, out);
        }
        heard
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        let wakeup = |why| move |at| Wakeup { at, why };
        earliest([
            self.wakeups.earliest().map(wakeup("socket")),
            self.unadmitted.earliest().map(wakeup("close a stranger")),
        ])
    }

    fn room(&self, channel: &ChannelId) -> Vec<(ConnId, UserId)> {
        let conns = self.channels.get(channel).into_iter().flatten();
        conns
            .filter_map(|conn| Some((*conn, self.identity(*conn)?.author.id.clone())))
            .collect()
    }

    fn sockets_of(&self, user: &UserId) -> Vec<ConnId> {
        self.users
            .get(user)
            .into_iter()
            .flatten()
            .copied()
            .collect()
    }

    fn push_to_user(
        &mut self,
        now: Time,
        name: &str,
        membership: &Membership,
        out: &mut Vec<Output>,
    ) {
        let emission = event(name, membership);
        for conn in self.sockets_of(&membership.user_id) {
            self.emit(now, conn, emission.as_ref(), out);
        }
    }

    /// Steps one Socket.IO machine, and does what it says.
    fn drive(
        &mut self,
        now: Time,
        conn: ConnId,
        input: Option<Input>,
        out: &mut Vec<Output>,
    ) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut refusals = Vec::new();
        let mut next = Some(input);
        while let Some(input) = next.take()
            && let Some(Conn { server, .. }) = self.conns.get_mut(&conn)
        {
            let mut said = Vec::new();
            step(server, now, input, &mut said);
            let wakeup = server.next_wakeup().map(|wakeup| wakeup.at);
            self.wakeups.set(conn, wakeup);
            for said in said {
                match said {
                    Said::Transport(ServerAction::WebSocket(action)) => {
                        out.push(Output::Transport(conn, action));
                    }
                    // Its session lives on a WebSocket from the start.
                    Said::Transport(
                        ServerAction::Refused(_)
                        | ServerAction::Answer { .. }
                        | ServerAction::Farewell(_),
                    ) => {}
                    Said::Admission {
                        namespace, auth, ..
                    } => {
                        if namespace.as_str() == realtime::NAMESPACE {
                            let token = token_of(auth.as_deref());
                            let asking = Stage::Asking {
                                token: token.clone(),
                            };
                            self.set_stage(conn, asking);
                            heard.push(Heard::Connect { conn, token });
                        } else {
                            refusals.push(Input::Refuse {
                                namespace,
                                message: ByteString::from_static(realtime::INVALID_NAMESPACE),
                                data: None,
                            });
                        }
                    }
                    Said::Event { event, .. } => heard.push(Heard::Event { conn, event }),
                    Said::Disconnected { .. } => {
                        self.set_stage(conn, Stage::Stranger);
                        let until = now + self.admission_patience;
                        self.unadmitted.set(conn, Some(until));
                    }
                    Said::Closed(_) => self.remove(conn),
                    // The guild calls no client, and what was not sent is in the history.
                    Said::Answered { .. } | Said::Dropped { .. } => {}
                }
            }
            next = refusals.pop().map(Some);
        }
        heard
    }

    /// Moves a connection to a stage in which it is nobody's, and out of every room.
    fn set_stage(&mut self, conn: ConnId, stage: Stage) {
        let Some(entry) = self.conns.get_mut(&conn) else {
            return;
        };
        if let Stage::Live { identity, rooms } = core::mem::replace(&mut entry.stage, stage) {
            self.live -= 1;
            take_from(&mut self.users, &identity.author.id, conn);
            for channel in &rooms {
                take_from(&mut self.channels, channel, conn);
            }
        }
    }

    fn remove(&mut self, conn: ConnId) {
        self.set_stage(conn, Stage::Stranger);
        self.conns.remove(&conn);
        self.wakeups.set(conn, None);
        self.unadmitted.set(conn, None);
    }

    fn emit(
        &mut self,
        now: Time,
        conn: ConnId,
        emission: Option<&Emission>,
        out: &mut Vec<Output>,
    ) {
        if let Some(emission) = emission {
            self.drive(now, conn, Some(Input::Emit(emission.clone())), out);
        }
    }
}

fn namespace() -> Namespace {
    Namespace::new(realtime::NAMESPACE).unwrap_or_else(Namespace::root)
}

/// The token in a CONNECT's payload.
fn token_of(auth: Option<&str>) -> Option<Secret> {
    let Auth { token } = serde_json::from_str(auth?).ok()?;
    (1..=TOKEN_BYTES_MAX)
        .contains(&token.len())
        .then(|| Secret::new(&token))
}

/// An event with one argument. One that does not serialise, which is a bug of its type, is not
/// sent.
fn event(name: &str, payload: &impl Serialize) -> Option<Emission> {
    Emission::event(&namespace(), name, &(payload,)).ok()
}

fn take_from<K: Ord>(rooms: &mut BTreeMap<K, BTreeSet<ConnId>>, key: &K, conn: ConnId) {
    if let Some(room) = rooms.get_mut(key) {
        room.remove(&conn);
        if room.is_empty() {
            rooms.remove(key);
        }
    }
}
