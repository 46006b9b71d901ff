//! Who is spoken to: rooms, events and calls.

use alloc::vec::Vec;
use core::{mem, time::Duration};

use super::{
    Hub,
    io::{Output, Room, SocketId, Target},
    log::Recipients,
    members::{Socket, Stage},
};
use crate::{
    engineio::sessions::SessionId,
    request::RequestId,
    socketio::{Call, CallError, Namespace, Unsent, event::Emission, server},
    time::Time,
};

impl Hub {
    pub(super) fn enter(&mut self, socket: SocketId, room: Room, out: &mut Vec<Output>) {
        let Some(Socket {
            session,
            namespace,
            stage: Stage::Joined(joined),
        }) = self.sockets.get_mut(&socket)
        else {
            return;
        };
        if joined.rooms.contains_key(&room) {
            return;
        }
        if joined.rooms.len() >= self.config.rooms_max {
            return out.push(Output::Dropped {
                socket: Some(socket),
                why: Unsent::TooMany,
            });
        }
        if let Some(members) = self.namespaces.get_mut(namespace) {
            joined.rooms.insert(room.clone(), members.log.next());
            members.enter(socket, *session, room);
        }
    }

    pub(super) fn exit(&mut self, socket: SocketId, room: &Room) {
        let Some(held) = self.sockets.get_mut(&socket) else {
            return self.clients.exit(socket, room);
        };
        if let Stage::Joined(joined) = &mut held.stage
            && joined.rooms.remove(room).is_some()
            && let Some(members) = self.namespaces.get_mut(&held.namespace)
        {
            members.exit(socket, room);
        }
    }

    /// The session of a socket that is in the namespace, and by what the log knows it.
    pub(super) fn joined(
        &self,
        socket: SocketId,
        namespace: &Namespace,
    ) -> Option<(SessionId, SocketId)> {
        let held = self.sockets.get(&socket)?;
        match &held.stage {
            Stage::Joined(joined) if held.namespace == *namespace => {
                Some((held.session, joined.origin))
            }
            Stage::Joined(_) | Stage::Asked { .. } => None,
        }
    }

    pub(super) fn emit(
        &mut self,
        now: Time,
        to: Target,
        emission: Emission,
        volatile: bool,
        out: &mut Vec<Output>,
    ) {
        let namespace = emission.namespace().clone();
        let (receivers, recipients): (Vec<_>, _) = match to {
            Target::Socket(socket) => {
                let Some((session, origin)) = self.joined(socket, &namespace) else {
                    return not_connected(Some(socket), out);
                };
                ([session].into(), Recipients::One(origin))
            }
            Target::Audience(mut audience) => {
                let Some(members) = self.namespaces.get(&namespace) else {
                    return not_connected(None, out);
                };
                let sessions = members.of(&audience);
                let known = |socket| self.joined(socket, &namespace).map(|(_, origin)| origin);
                let excepted = mem::take(&mut audience.except_sockets).into_iter();
                audience.except_sockets = excepted.map(|it| known(it).unwrap_or(it)).collect();
                (sessions, Recipients::Audience(audience))
            }
        };
        let emission = match (&self.config.recovery, self.namespaces.get_mut(&namespace)) {
            (Some(recovery), Some(members)) if emission.is_event() && !volatile => {
                members.log.push(now, recipients, &emission, recovery)
            }
            (Some(_) | None, _) => emission,
        };
        for session in receivers {
            let effects = |effect| out.push(Output::Effect(effect));
            if !self.sessions.emit_directly(session, &emission, effects) {
                let emit = server::Input::Emit(emission.clone());
                self.tell(now, session, emit, out);
            }
        }
    }

    pub(super) fn call(
        &mut self,
        now: Time,
        id: RequestId<Call>,
        socket: SocketId,
        emission: Emission,
        patience: Duration,
        out: &mut Vec<Output>,
    ) {
        if self.calls.contains(&id) {
            return out.push(Output::Dropped {
                socket: Some(socket),
                why: Unsent::Duplicate,
            });
        }
        let Some((session, _)) = self.joined(socket, emission.namespace()) else {
            let result = Err(CallError::NotConnected);
            return out.push(Output::Answered { id, result });
        };
        self.calls.insert(id);
        let call = server::Input::Call {
            id,
            emission,
            patience,
        };
        self.tell(now, session, call, out);
    }
}

fn not_connected(socket: Option<SocketId>, out: &mut Vec<Output>) {
    let why = Unsent::NotConnected;
    out.push(Output::Dropped { socket, why });
}
