//! Which WebSocket and which request belongs to which session of a server.

mod farewells;
mod io;
#[cfg(test)]
mod tests;

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use core::{fmt, mem, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use self::farewells::Farewells;
pub use self::io::{Arrival, Effect};
use super::{
    packet, server,
    transport::{ServerAction, ServerEvent},
};
use crate::{
    canon::{Canon, Canonical},
    canonical,
    deadlines::Deadlines,
    http::CallId,
    machine::{Machine, Wakeup, earliest, step},
    secret::Secret,
    snapshot,
    snapshot::Snapshot,
    socketio::server as socketio_server,
    time::Time,
    ws::{self, ConnId},
};

/// Which session. They are numbered in the order of their beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(u64);

impl SessionId {
    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Canonical for SessionId {
    fn canonical(&self, canon: &mut Canon) {
        canon.id("session", self.0);
    }
}
snapshot!(struct SessionId(number));

/// What sessions may hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many sessions there may be; 10,000 by default. Each costs a machine and its buffers. One
    /// more is answered 503, or its WebSocket closed; its client tries again.
    pub sessions_max: usize,
    /// How long the last words of a session that was closed from this side wait for its client's
    /// next poll; 10 s by default, in which a client polls again unless it has gone.
    pub farewell_life: Duration,
    /// How many sessions' last words are kept; 1,000 by default. For one more, the oldest go.
    pub farewells_max: usize,
    /// How many bytes they may have together; 10,000,000 by default. For more, the oldest go.
    pub farewell_bytes_max: usize,
}
canonical!(
    struct Limits {
        sessions_max,
        farewell_life,
        farewells_max,
        farewell_bytes_max,
    }
);

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 10_000,
            farewell_life: Duration::from_secs(10),
            farewells_max: 1_000,
            farewell_bytes_max: 10_000_000,
        }
    }
}

/// A server machine that sessions are made of.
///
/// It answers every call that it was told of, at the latest when it closes, and says nothing after
/// that.
pub trait Session: Machine + Clone + Eq + fmt::Debug + Canonical + Snapshot {
    /// How it behaves.
    type Config: Clone + Eq + fmt::Debug + Canonical + Snapshot;

    /// One on a WebSocket that opened at `now`.
    fn websocket(config: &Arc<Self::Config>, sid: &Secret, now: Time) -> Self;

    /// One for a client that polled without a session at `now`.
    fn polling(config: &Arc<Self::Config>, sid: &Secret, now: Time) -> Self;

    /// What it is told when something happens to what carries it.
    fn input(event: ServerEvent) -> Self::Input;

    /// What it wants done with what carries it, or else what it says to its embedder.
    ///
    /// # Errors
    ///
    /// With all that is for the embedder.
    fn action(output: Self::Output) -> Result<ServerAction, Self::Output>;

    /// Whether it has ended.
    fn is_closed(&self) -> bool;
}

macro_rules! session {
    ($server:ident) => {
        impl Session for $server::Server {
            type Config = $server::Config;

            fn websocket(config: &Arc<$server::Config>, sid: &Secret, now: Time) -> Self {
                Self::new(Arc::clone(config), ByteString::from(sid.expose()), now)
            }

            fn polling(config: &Arc<$server::Config>, sid: &Secret, now: Time) -> Self {
                Self::polling(Arc::clone(config), ByteString::from(sid.expose()), now)
            }

            fn input(event: ServerEvent) -> $server::Input {
                $server::Input::Transport(event)
            }

            fn action(output: $server::Output) -> Result<ServerAction, $server::Output> {
                if let $server::Output::Transport(action) = output {
                    Ok(action)
                } else {
                    Err(output)
                }
            }

            fn is_closed(&self) -> bool {
                self.is_closed()
            }
        }
    };
}
session!(server);
session!(socketio_server);

/// The sessions of one server.
///
/// Hand over whatever arrives, and step a session with what is for its machine. `effects` are to be
/// carried out in order; `said` is what the machines say to their embedder, never about what
/// carries them. A session is forgotten when its machine has closed: what is meant for it after
/// that is ignored, or answered as for one that never was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions<S: Session> {
    config: Arc<S::Config>,
    limits: Limits,
    /// In boxes, because a map whose keys only grow stays half empty.
    live: BTreeMap<SessionId, Box<Live<S>>>,
    sids: BTreeMap<Secret, SessionId>,
    conns: BTreeMap<ConnId, SessionId>,
    /// The calls that are not answered.
    calls: BTreeMap<CallId, SessionId>,
    wakeups: Deadlines<SessionId>,
    farewells: Farewells,
    next: u64,
    /// Empty between steps: kept for its memory.
    scratch: Vec<S::Output>,
}

/// A session and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Live<S> {
    machine: S,
    sid: Secret,
    /// Its WebSocket, or the one that it may move to.
    socket: Option<Socket>,
    /// The one before, in case that the session refuses `socket`.
    former: Option<Socket>,
}

/// A WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    conn: ConnId,
    /// Its client takes no binary frames.
    base64: bool,
}
canonical!(struct Socket { conn, base64 });

impl Socket {
    /// Does something with it.
    fn effect(self, action: ws::Action) -> Effect {
        let action = match action {
            ws::Action::Send(frame) if self.base64 => ws::Action::Send(packet::in_text(frame)),
            ws::Action::Send(_) | ws::Action::Close => action,
        };
        Effect::Transport(self.conn, action)
    }
}

impl<S: Session> Canonical for Sessions<S> {
    fn canonical(&self, canon: &mut Canon) {
        // The maps from outside follow from the sessions, but for the calls.
        let Self {
            config,
            limits,
            live,
            sids: _,
            conns: _,
            calls,
            wakeups,
            farewells,
            next: _,
            scratch: _,
        } = self;
        config.canonical(canon);
        limits.canonical(canon);
        live.canonical(canon);
        calls.canonical(canon);
        wakeups.canonical(canon);
        farewells.canonical(canon);
    }
}

impl<S: Canonical> Canonical for Live<S> {
    fn canonical(&self, canon: &mut Canon) {
        let Self {
            machine,
            sid,
            socket,
            former,
        } = self;
        machine.canonical(canon);
        sid.canonical(canon);
        socket.canonical(canon);
        former.canonical(canon);
    }
}

snapshot!(struct Sessions[S: Session] {
    config, limits, live, sids, conns, calls, wakeups, farewells, next; ~ scratch
});
snapshot!(struct Live[S] { machine, sid, socket, former });

impl<S: Session> Sessions<S> {
    /// No sessions yet.
    pub fn new(config: S::Config, limits: Limits) -> Self {
        Self {
            config: Arc::new(config),
            limits,
            live: BTreeMap::new(),
            sids: BTreeMap::new(),
            conns: BTreeMap::new(),
            calls: BTreeMap::new(),
            wakeups: Deadlines::default(),
            farewells: Farewells::default(),
            next: 0,
            scratch: Vec::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// All of them, the oldest first.
    pub fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.live.keys().copied()
    }

    /// The one that began last, of those that have not ended.
    pub fn newest(&self) -> Option<SessionId> {
        self.live.last_key_value().map(|(id, _)| *id)
    }

    /// The machine of a session.
    pub fn get(&self, id: SessionId) -> Option<&S> {
        self.live.get(&id).map(|live| &live.machine)
    }

    /// The machine of a session, and what a frame on its WebSocket is, where it has one.
    pub(crate) fn on_websocket(&self, id: SessionId) -> Option<(&S, impl Fn(ws::Frame) -> Effect)> {
        let live = self.live.get(&id)?;
        let socket = live.socket?;
        Some((&live.machine, move |frame| {
            socket.effect(ws::Action::Send(frame))
        }))
    }

    /// Takes in what has arrived. What is late or unknown is ignored, and what wants an answer gets
    /// one.
    pub fn arrive(
        &mut self,
        now: Time,
        arrival: Arrival,
        effects: &mut Vec<Effect>,
        said: &mut Vec<(SessionId, S::Output)>,
    ) {
        match arrival {
            Arrival::Socket {
                conn,
                sid,
                fresh,
                base64,
            } => {
                if !self.conns.contains_key(&conn) {
                    let socket = Socket { conn, base64 };
                    match sid {
                        None => self.on_new_socket(now, socket, fresh, effects, said),
                        Some(sid) => self.on_upgrade(now, socket, &sid, effects, said),
                    }
                }
            }
            Arrival::Transport(conn, event) => {
                let id = match event {
                    ws::Event::Frame(_) => self.conns.get(&conn).copied(),
                    ws::Event::Closed(_) => self.release(conn),
                };
                self.tell(now, id, ServerEvent::WebSocket(event), effects, said);
            }
            Arrival::Poll { call, sid, fresh } => {
                if !self.calls.contains_key(&call) {
                    let id = self.on_poll(now, call, sid, fresh, effects);
                    self.tell(now, id, ServerEvent::Poll { call }, effects, said);
                }
            }
            Arrival::Posting { call, sid } => {
                if !self.calls.contains_key(&call) {
                    let id = self.sids.get(&sid).copied();
                    self.open(call, id, effects);
                    self.tell(now, id, ServerEvent::Posting { call }, effects, said);
                }
            }
            Arrival::Post { call, body } => {
                let id = self.calls.get(&call).copied();
                self.tell(now, id, ServerEvent::Post { call, body }, effects, said);
            }
            Arrival::Gone { call } => {
                let id = self.calls.remove(&call);
                self.tell(now, id, ServerEvent::Gone { call }, effects, said);
            }
        }
    }

    /// Hands an input to the machine of a session.
    pub fn step(
        &mut self,
        now: Time,
        id: SessionId,
        input: S::Input,
        effects: &mut Vec<Effect>,
        said: &mut Vec<(SessionId, S::Output)>,
    ) {
        self.drive(now, id, Some(input), effects, said);
    }

    /// Ticks the machines for which it is time.
    pub fn tick(
        &mut self,
        now: Time,
        effects: &mut Vec<Effect>,
        said: &mut Vec<(SessionId, S::Output)>,
    ) {
        while let Some(id) = self.wakeups.pop_due(now) {
            self.drive(now, id, None, effects, said);
        }
        self.farewells.expire(now);
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        let session = self
            .wakeups
            .earliest()
            .map(|at| Wakeup { at, why: "session" });
        earliest([session, self.farewells.next_wakeup()])
    }

    fn on_new_socket(
        &mut self,
        now: Time,
        socket: Socket,
        fresh: Secret,
        effects: &mut Vec<Effect>,
        said: &mut Vec<(SessionId, S::Output)>,
    ) {
        let Some(id) = self.begin(now, fresh, Some(socket)) else {
            return effects.push(socket.effect(ws::Action::Close));
        };
        self.conns.insert(socket.conn, id);
        self.drive(now, id, None, effects, said);
    }

    /// A WebSocket names its session: that says whether it has a use for it.
    fn on_upgrade(
        &mut self,
        now: Time,
        socket: Socket,
        sid: &Secret,
        effects: &mut Vec<Effect>,
        said: &mut Vec<(SessionId, S::Output)>,
    ) {
        let id = self.sids.get(sid).copied();
        let Some((id, live)) = id.and_then(|id| Some((id, self.live.get_mut(&id)?))) else {
            return effects.push(socket.effect(ws::Action::Close));
        };
        live.former = live.socket.replace(socket);
        self.conns.insert(socket.conn, id);
        let accepted = ServerEvent::Accepted(socket.conn);
        self.tell(now, Some(id), accepted, effects, said);
    }

    /// Whose poll it is; it is answered at once where it is nobody's.
    fn on_poll(
        &mut self,
        now: Time,
        call: CallId,
        sid: Option<Secret>,
        fresh: Secret,
        effects: &mut Vec<Effect>,
    ) -> Option<SessionId> {
        let Some(sid) = sid else {
            let id = self.begin(now, fresh, None);
            match id {
                Some(id) => {
                    self.calls.insert(call, id);
                }
                None => effects.push(answer(call, 503, TOO_MANY)),
            }
            return id;
        };
        if let Some(body) = self.farewells.take(&sid) {
            effects.push(answer(call, 200, body));
            return None;
        }
        let id = self.sids.get(&sid).copied();
        self.open(call, id, effects);
        id
    }

    /// Opens a call of a session, or answers it where there is no such session.
    fn open(&mut self, call: CallId, id: Option<SessionId>, effects: &mut Vec<Effect>) {
        match id {
            Some(id) => {
                self.calls.insert(call, id);
            }
            None => effects.push(answer(call, 400, SESSION_UNKNOWN)),
        }
    }

    /// Begins a session, on a WebSocket or by polling. There is none where there are too many, or
    /// where the runtime has used its `sid` before.
    fn begin(&mut self, now: Time, sid: Secret, socket: Option<Socket>) -> Option<SessionId> {
        if self.live.len() >= self.limits.sessions_max || self.sids.contains_key(&sid) {
            return None;
        }
        let id = SessionId(self.next);
        self.next += 1;
        let machine = match socket {
            Some(_) => S::websocket(&self.config, &sid, now),
            None => S::polling(&self.config, &sid, now),
        };
        self.sids.insert(sid.clone(), id);
        let live = Live {
            machine,
            sid,
            socket,
            former: None,
        };
        self.live.insert(id, Box::new(live));
        Some(id)
    }

    fn tell(
        &mut self,
        now: Time,
        id: Option<SessionId>,
        event: ServerEvent,
        effects: &mut Vec<Effect>,
        said: &mut Vec<(SessionId, S::Output)>,
    ) {
        if let Some(id) = id {
            self.drive(now, id, Some(S::input(event)), effects, said);
        }
    }

    /// Steps one machine, and does what it says.
    fn drive(
        &mut self,
        now: Time,
        id: SessionId,
        input: Option<S::Input>,
        effects: &mut Vec<Effect>,
        said: &mut Vec<(SessionId, S::Output)>,
    ) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        let mut scratch = mem::take(&mut self.scratch);
        step(&mut live.machine, now, input, &mut scratch);
        let is_closed = live.machine.is_closed();
        let wakeup = live.machine.next_wakeup();
        self.wakeups.set(id, wakeup.map(|wakeup| wakeup.at));
        for output in scratch.drain(..) {
            match S::action(output) {
                Ok(action) => self.act(now, id, action, effects),
                Err(output) => said.push((id, output)),
            }
        }
        self.scratch = scratch;
        if is_closed {
            self.end(id);
        }
    }

    fn act(&mut self, now: Time, id: SessionId, action: ServerAction, effects: &mut Vec<Effect>) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        match action {
            ServerAction::WebSocket(action) => {
                let socket = match action {
                    ws::Action::Send(_) => live.socket,
                    ws::Action::Close => live.socket.take().inspect(|socket| {
                        self.conns.remove(&socket.conn);
                    }),
                };
                effects.extend(socket.map(|socket| socket.effect(action)));
            }
            ServerAction::Refused(conn) => {
                live.socket = live.former.take();
                self.conns.remove(&conn);
                effects.push(Effect::Transport(conn, ws::Action::Close));
            }
            ServerAction::Answer { call, status, body } => {
                if self.calls.remove(&call).is_some() {
                    effects.push(answer(call, status, body));
                }
            }
            ServerAction::Farewell(body) => {
                self.farewells
                    .keep(now, live.sid.clone(), body, &self.limits);
            }
        }
    }

    /// Takes a WebSocket from its session: whose it was.
    fn release(&mut self, conn: ConnId) -> Option<SessionId> {
        let id = self.conns.remove(&conn)?;
        if let Some(live) = self.live.get_mut(&id) {
            live.socket.take_if(|it| it.conn == conn);
        }
        Some(id)
    }

    fn end(&mut self, id: SessionId) {
        if let Some(live) = self.live.remove(&id) {
            let Live { sid, socket, .. } = *live;
            self.sids.remove(&sid);
            if let Some(socket) = socket {
                self.conns.remove(&socket.conn);
            }
        }
        self.wakeups.set(id, None);
    }
}

fn answer(call: CallId, status: u16, body: impl Into<Bytes>) -> Effect {
    let body = body.into();
    Effect::Answer { call, status, body }
}

/// The official server's words for a `sid` that is nobody's.
const SESSION_UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;
/// In the manner of the words above: the official server knows no limit.
const TOO_MANY: &str = r#"{"code":3,"message":"Too many sessions"}"#;
