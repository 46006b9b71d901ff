//! Who is in a namespace, and in which rooms.

use alloc::{collections::BTreeMap, vec::Vec};

use bytestring::ByteString;

use super::{
    io::{Audience, Identity, Room, SocketId},
    log::Log,
};
use crate::{
    canonical,
    engineio::sessions::SessionId,
    secret::Secret,
    socketio::{Namespace, server::Resumption},
};

/// A socket: one that waits for admission, or one that is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) session: SessionId,
    pub(super) namespace: Namespace,
    pub(super) stage: Stage,
}
canonical!(struct Socket { session, namespace, stage });

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The embedder has been asked for admission.
    Asked { resumption: Option<Resumption> },
    /// It is in.
    Joined(Joined),
}
canonical!(
    enum Stage {
        Asked { resumption },
        Joined(joined),
    }
);

/// What a socket has as long as it is in, and takes along when it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) sid: ByteString,
    pub(super) pid: Option<Secret>,
    /// As whom the client was admitted.
    pub(super) identity: Identity,
    /// The first socket that this client had: it is known by that in the log.
    pub(super) origin: SocketId,
    /// The newest one. The embedder may still mean the client by that when it is away.
    pub(super) newest: SocketId,
    /// The offset of the first event that it can have got.
    pub(super) since: u64,
    /// Its rooms, each with the offset of the first event that it can have got there.
    pub(super) rooms: BTreeMap<Room, u64>,
}
canonical!(struct Joined { sid, pid, identity, origin, newest, since, rooms });

/// Sockets, each with the session that carries it.
type Sockets = BTreeMap<SocketId, SessionId>;

/// One namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    sockets: Sockets,
    rooms: BTreeMap<Room, Sockets>,
    pub(super) log: Log,
}
canonical!(struct Members { sockets, rooms, log });

impl Members {
    pub(super) fn insert<'a>(
        &mut self,
        socket: SocketId,
        session: SessionId,
        rooms: impl IntoIterator<Item = &'a Room>,
    ) {
        self.sockets.insert(socket, session);
        for room in rooms {
            self.enter(socket, session, room.clone());
        }
    }

    pub(super) fn remove<'a>(
        &mut self,
        socket: SocketId,
        rooms: impl IntoIterator<Item = &'a Room>,
    ) {
        self.sockets.remove(&socket);
        for room in rooms {
            self.exit(socket, room);
        }
    }

    pub(super) fn enter(&mut self, socket: SocketId, session: SessionId, room: Room) {
        self.rooms.entry(room).or_default().insert(socket, session);
    }

    pub(super) fn exit(&mut self, socket: SocketId, room: &Room) {
        if let Some(sockets) = self.rooms.get_mut(room) {
            sockets.remove(&socket);
            if sockets.is_empty() {
                self.rooms.remove(room);
            }
        }
    }

    /// The session of everybody of an audience, each socket once, in the order of their CONNECTs.
    pub(super) fn of(&self, audience: &Audience) -> Vec<SessionId> {
        let mut rooms = audience
            .rooms
            .iter()
            .filter_map(|room| self.rooms.get(room));
        let of_rooms: Sockets;
        let sockets = match (audience.rooms.len(), rooms.next()) {
            (0, _) => &self.sockets,
            (_, None) => return Vec::new(),
            (1, Some(room)) => room,
            (_, Some(room)) => {
                of_rooms = room
                    .iter()
                    .chain(rooms.flatten())
                    .map(|(socket, session)| (*socket, *session))
                    .collect();
                &of_rooms
            }
        };
        let excepted = |socket: &SocketId| {
            audience.except_sockets.contains(socket)
                || audience.except_rooms.iter().any(|room| {
                    let sockets = self.rooms.get(room);
                    sockets.is_some_and(|sockets| sockets.contains_key(socket))
                })
        };
        sockets
            .iter()
            .filter(|(socket, _)| !excepted(socket))
            .map(|(_, session)| *session)
            .collect()
    }
}
