//! Who can come back: sockets that are in, and those whose connection was lost.

use alloc::collections::BTreeMap;

use super::{
    config::Recovery,
    io::{Room, SocketId},
    members::Joined,
};
use crate::{
    canonical,
    deadlines::Deadlines,
    engineio,
    machine::Wakeup,
    secret::Secret,
    socketio::{CloseReason, Namespace},
    time::Time,
};

/// By the `pid` that each client was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Clients {
    by_pid: BTreeMap<Secret, Client>,
    /// Until when those who are away are waited for.
    until: Deadlines<Secret>,
    /// By the newest socket that each of those had.
    away: BTreeMap<SocketId, Secret>,
}
canonical!(struct Clients { by_pid, until, away });

/// Where a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// As far as is known, it is connected.
    Here(SocketId),
    /// Its connection was lost.
    Away {
        namespace: Namespace,
        joined: Joined,
        until: Time,
    },
}
canonical!(
    enum Client {
        Here(socket),
        Away {
            namespace,
            joined,
            until,
        },
    }
);

impl Clients {
    /// Whether nobody has this `pid`.
    pub(super) fn is_free(&self, pid: &Secret) -> bool {
        !self.by_pid.contains_key(pid)
    }

    /// Where the client with this `pid` is, unless it was away for too long.
    pub(super) fn get(&self, now: Time, pid: &Secret) -> Option<&Client> {
        self.by_pid.get(pid).filter(|client| match client {
            Client::Here(_) => true,
            Client::Away { until, .. } => *until > now,
        })
    }

    /// The client is here.
    pub(super) fn arrive(&mut self, pid: Secret, socket: SocketId) {
        self.remove(&pid);
        self.by_pid.insert(pid, Client::Here(socket));
    }

    /// The client does not come back as the one it was, or is somebody else now.
    pub(super) fn remove(&mut self, pid: &Secret) -> Option<Client> {
        let client = self.by_pid.remove(pid)?;
        match &client {
            Client::Here(_) => {}
            Client::Away { joined, .. } => {
                self.away.remove(&joined.newest);
            }
        }
        self.until.set(pid.clone(), None);
        Some(client)
    }

    /// Whoever had this socket and is away does not come back.
    pub(super) fn give_up(&mut self, socket: SocketId) {
        if let Some(pid) = self.away.get(&socket).cloned() {
            self.remove(&pid);
        }
    }

    /// Whoever had this socket and is away is not in the room when it comes back.
    pub(super) fn exit(&mut self, socket: SocketId, room: &Room) {
        if let Some(pid) = self.away.get(&socket)
            && let Some(Client::Away { joined, .. }) = self.by_pid.get_mut(pid)
        {
            joined.rooms.remove(room);
        }
    }

    /// The client's connection was lost. Where too many are away, the one that has been for the
    /// longest is given up.
    pub(super) fn park(
        &mut self,
        now: Time,
        namespace: Namespace,
        joined: Joined,
        recovery: &Recovery,
    ) {
        let Some(pid) = joined.pid.clone() else {
            return;
        };
        self.remove(&pid);
        let until = now + recovery.max_age;
        self.away.insert(joined.newest, pid.clone());
        let away = Client::Away {
            namespace,
            joined,
            until,
        };
        self.by_pid.insert(pid.clone(), away);
        self.until.set(pid, Some(until));
        while self.away.len() > recovery.parked_max {
            let oldest = self.until.earliest().and_then(|at| self.until.pop_due(at));
            let Some(oldest) = oldest else { return };
            self.remove(&oldest);
        }
    }

    /// Gives up those who were away for too long.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(pid) = self.until.pop_due(now) {
            self.remove(&pid);
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        self.until.earliest().map(|at| Wakeup {
            at,
            why: "give up a lost socket",
        })
    }
}

/// Whether a client may come back after this: its connection was lost, and nobody meant that.
/// The official server has its own closes among these too (`RECOVERABLE_DISCONNECT_REASONS`).
pub(super) fn is_loss(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::Engine(
            engineio::CloseReason::PingTimeout
            | engineio::CloseReason::Transport(_)
            | engineio::CloseReason::Peer
            | engineio::CloseReason::Polling(_),
        ) => true,
        CloseReason::Engine(
            engineio::CloseReason::HandshakeTimeout
            | engineio::CloseReason::BadPacket(_)
            | engineio::CloseReason::BadPayload(_)
            | engineio::CloseReason::Refused { .. }
            | engineio::CloseReason::Unanswered(_)
            | engineio::CloseReason::Local,
        )
        | CloseReason::ConnectTimeout
        | CloseReason::BadPacket(_)
        | CloseReason::OutOfPlace { .. }
        | CloseReason::Binary
        | CloseReason::MissingAttachments
        | CloseReason::AttachmentsTooLarge
        | CloseReason::AttachmentsTimeout
        | CloseReason::TooManyNamespaces
        | CloseReason::TooManyAdmissions
        | CloseReason::TooManyEarlyEvents => false,
    }
}
