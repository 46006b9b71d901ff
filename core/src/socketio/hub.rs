//! A whole Socket.IO server: namespaces, admission, rooms, and clients that come back.
//!
//! ```text
//! Arrival ──► Sessions ──► Effect              a CONNECT to a namespace that there is
//!                │                                  │ Admission, which names its socket
//!                ▼                                  ▼
//!         socketio::server ───── events ────►  asked ── Admit ──► in, and in rooms ──► Disconnected
//!                                               │ Refuse,              │ its connection was lost
//!                                               ▼ or too late          ▼ (with recovery)
//!                                              gone               away, until its client comes back
//! ```

mod admission;
mod config;
mod io;
mod log;
mod members;
mod parked;
mod speech;
#[cfg(test)]
mod tests;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::mem;

pub use self::{
    config::{Config, Recovery},
    io::{Audience, End, Former, Identity, Input, Output, ROOM_BYTES_MAX, Room, SocketId, Target},
};
use self::{
    members::{Joined, Members, Socket, Stage},
    parked::Clients,
};
use super::{
    Call, CloseReason, Namespace,
    server::{self, Server},
};
use crate::{
    canonical,
    deadlines::Deadlines,
    engineio::sessions::{Arrival, Effect, SessionId, Sessions},
    machine::{Machine, Wakeup, earliest},
    request::RequestId,
    time::Time,
};

/// The server machine.
///
/// Hand it every arrival and carry out every effect; answer each [`Output::Admission`] with
/// [`Input::Admit`] or [`Input::Refuse`] unless it is forgotten first. A socket that is in reports
/// its end once. What is said of sockets that there are not is ignored, or dropped and reported.
/// [`Output::Closed`], which [`Input::Close`] leads to, is the last output.
///
/// With [`Config::recovery`] each event that is neither volatile nor a call carries an offset as an
/// extra argument at its end. A client whose connection was lost comes back with the offset that it
/// has seen last. Where it is admitted as somebody who may go on with what it had ([`Identity`]), it
/// is sent what it has missed, and gets its `sid` and its rooms again. Where its former connection is
/// still thought alive, that one gives the socket up: whatever happens to it later is no harm to the
/// new one. Whoever may not go on with it begins anew, and costs the other one nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hub {
    config: Config,
    is_over: bool,
    sessions: Sessions<Server>,
    namespaces: BTreeMap<Namespace, Members>,
    sockets: BTreeMap<SocketId, Socket>,
    /// The socket of a session in a namespace.
    places: BTreeMap<(SessionId, Namespace), SocketId>,
    /// Until when each open admission is waited for.
    asked: Deadlines<SocketId>,
    calls: BTreeSet<RequestId<Call>>,
    clients: Clients,
    next: u64,
    /// What sessions have said and is not heard yet. Empty between steps, as the rest: kept for its
    /// memory.
    said: VecDeque<(SessionId, server::Output)>,
    fresh: Vec<(SessionId, server::Output)>,
    effects: Vec<Effect>,
}
canonical!(struct Hub {
    config, is_over, sessions, namespaces, sockets, asked, calls, clients;
    - places, next; ~ said, fresh, effects
});

impl Hub {
    /// A server with no connections yet.
    pub fn new(config: Config) -> Self {
        let namespaces = config.namespaces.iter().cloned();
        Self {
            sessions: Sessions::new(config.connection.clone(), config.sessions.clone()),
            namespaces: namespaces.map(|name| (name, Members::default())).collect(),
            config,
            is_over: false,
            sockets: BTreeMap::new(),
            places: BTreeMap::new(),
            asked: Deadlines::default(),
            calls: BTreeSet::new(),
            clients: Clients::default(),
            next: 0,
            said: VecDeque::new(),
            fresh: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// How many connections there are, with or without a socket.
    pub fn connections(&self) -> usize {
        self.sessions.len()
    }

    /// Lets the sessions do something, and keeps what they say.
    fn with_sessions(
        &mut self,
        out: &mut Vec<Output>,
        act: impl FnOnce(&mut Sessions<Server>, &mut Vec<Effect>, &mut Vec<(SessionId, server::Output)>),
    ) {
        act(&mut self.sessions, &mut self.effects, &mut self.fresh);
        out.extend(self.effects.drain(..).map(Output::Effect));
        self.said.extend(self.fresh.drain(..));
    }

    fn arrive(&mut self, now: Time, arrival: Arrival, out: &mut Vec<Output>) {
        let (before, at) = (self.sessions.newest(), out.len());
        let sid = arrival.begins().cloned();
        self.with_sessions(out, |sessions, effects, said| {
            sessions.arrive(now, arrival, effects, said);
        });
        if let Some(sid) = sid
            && let Some(session) = self.sessions.newest()
            && Some(session) > before
        {
            out.insert(at, Output::Opened { session, sid });
        }
    }

    fn tell(&mut self, now: Time, id: SessionId, input: server::Input, out: &mut Vec<Output>) {
        self.with_sessions(out, |sessions, effects, said| {
            sessions.step(now, id, input, effects, said);
        });
    }

    /// Hears all that sessions have said, and what they say to the answers.
    fn settle(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((session, said)) = self.said.pop_front() {
            self.on_said(now, session, said, out);
        }
    }

    fn on_said(
        &mut self,
        now: Time,
        session: SessionId,
        said: server::Output,
        out: &mut Vec<Output>,
    ) {
        match said {
            server::Output::Admission {
                namespace,
                auth,
                resumption,
            } => self.on_admission(now, (session, namespace), auth, resumption, out),
            server::Output::Event { namespace, event } => {
                if let Some(socket) = self.places.get(&(session, namespace)).copied() {
                    out.push(Output::Event { socket, event });
                }
            }
            server::Output::Answered { id, result } => {
                if self.calls.remove(&id) {
                    out.push(Output::Answered { id, result });
                }
            }
            server::Output::Disconnected { namespace } => {
                if let Some(socket) = self.places.get(&(session, namespace)).copied() {
                    self.leave(socket, End::Left, out);
                }
            }
            server::Output::Dropped { namespace, why } => {
                let socket = self.places.get(&(session, namespace)).copied();
                out.push(Output::Dropped { socket, why });
            }
            server::Output::Closed(reason) => self.on_closed(now, session, reason, out),
            // The sessions have taken it out.
            server::Output::Transport(_) => {}
        }
    }

    /// The connection of a session has ended.
    fn on_closed(
        &mut self,
        now: Time,
        session: SessionId,
        reason: CloseReason,
        out: &mut Vec<Output>,
    ) {
        let first = (session, Namespace::root());
        while let Some((_, socket)) = self.places.range(&first..).next()
            && let socket = *socket
            && let Some(held) = self.sockets.get(&socket)
            && held.session == session
        {
            match &held.stage {
                Stage::Asked { .. } => {
                    self.take_asking(socket);
                    out.push(Output::ForgetAdmission { socket });
                }
                Stage::Joined(_) => {
                    let end = End::Closed(reason.clone());
                    if let Some((namespace, joined)) = self.leave(socket, end, out)
                        && let Some(recovery) = &self.config.recovery
                        && parked::is_loss(&reason)
                    {
                        self.clients.park(now, namespace, joined, recovery);
                    }
                }
            }
        }
        out.push(Output::Ended { session, reason });
    }

    /// Takes out a socket that is in, and reports its end.
    fn leave(
        &mut self,
        socket: SocketId,
        why: End,
        out: &mut Vec<Output>,
    ) -> Option<(Namespace, Joined)> {
        let Socket {
            session,
            namespace,
            stage: Stage::Joined(joined),
        } = self.sockets.remove(&socket)?
        else {
            return None;
        };
        self.places.remove(&(session, namespace.clone()));
        if let Some(members) = self.namespaces.get_mut(&namespace) {
            members.remove(socket, joined.rooms.keys());
        }
        if let Some(pid) = &joined.pid {
            self.clients.remove(pid);
        }
        out.push(Output::Disconnected { socket, why });
        Some((namespace, joined))
    }

    fn disconnect(&mut self, now: Time, socket: SocketId, close: bool, out: &mut Vec<Output>) {
        let Some(held) = self.sockets.get(&socket) else {
            return self.clients.give_up(socket);
        };
        let session = held.session;
        if close {
            return self.tell(now, session, server::Input::Close, out);
        }
        match &held.stage {
            Stage::Asked { .. } => {
                self.refuse(now, socket, admission::DISCONNECTED, None, out);
                out.push(Output::ForgetAdmission { socket });
            }
            Stage::Joined(_) => {
                if let Some((namespace, _)) = self.leave(socket, End::Dismissed, out) {
                    let dismissal = server::Input::Disconnect { namespace };
                    self.tell(now, session, dismissal, out);
                }
            }
        }
    }

    /// Closes every connection; what is left of them is of no use to anybody.
    fn close(&mut self, now: Time, out: &mut Vec<Output>) {
        let sessions: Vec<_> = self.sessions.ids().collect();
        for session in sessions {
            self.tell(now, session, server::Input::Close, out);
        }
        self.settle(now, out);
        *self = Self::new(mem::take(&mut self.config));
        self.is_over = true;
        out.push(Output::Closed);
    }
}

impl Machine for Hub {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.is_over {
            return;
        }
        match input {
            Input::Arrival(arrival) => self.arrive(now, arrival, out),
            Input::Admit {
                socket,
                sid,
                pid,
                identity,
            } => self.admit(now, socket, (sid, pid, identity), out),
            Input::Refuse {
                socket,
                message,
                data,
            } => self.refuse(now, socket, message, data, out),
            Input::Emit {
                to,
                emission,
                volatile,
            } => self.emit(now, to, emission, volatile, out),
            Input::Call {
                id,
                socket,
                emission,
                patience,
            } => self.call(now, id, socket, emission, patience, out),
            Input::Enter { socket, room } => self.enter(socket, room, out),
            Input::Exit { socket, room } => self.exit(socket, &room),
            Input::Disconnect { socket, close } => self.disconnect(now, socket, close, out),
            Input::Close => self.close(now, out),
        }
        self.settle(now, out);
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        self.with_sessions(out, |sessions, effects, said| {
            sessions.tick(now, effects, said);
        });
        self.settle(now, out);
        while let Some(socket) = self.asked.pop_due(now) {
            self.refuse(now, socket, admission::TOO_LATE, None, out);
            out.push(Output::ForgetAdmission { socket });
            self.settle(now, out);
        }
        self.clients.expire(now);
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        let admission = self.asked.earliest().map(|at| Wakeup {
            at,
            why: "refuse who waits for admission",
        });
        earliest([
            self.sessions.next_wakeup(),
            admission,
            self.clients.next_wakeup(),
        ])
    }
}
