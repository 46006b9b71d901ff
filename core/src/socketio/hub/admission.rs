//! Who gets in: CONNECTs, the embedder's decisions, and clients that come back.

use alloc::{collections::BTreeMap, vec::Vec};

use bytestring::ByteString;

use super::{
    Hub,
    io::{End, Former, Identity, Output, SocketId},
    log,
    members::{Joined, Socket, Stage},
    parked::Client,
};
use crate::{
    engineio::sessions::SessionId,
    secret::Secret,
    socketio::{
        Namespace,
        event::Emission,
        server::{self, Resumption},
    },
    time::Time,
};

impl Hub {
    pub(super) fn on_admission(
        &mut self,
        now: Time,
        (session, namespace): (SessionId, Namespace),
        auth: Option<ByteString>,
        resumption: Option<Resumption>,
        out: &mut Vec<Output>,
    ) {
        let words = if !self.namespaces.contains_key(&namespace) {
            Some(INVALID_NAMESPACE)
        } else if auth
            .as_ref()
            .is_some_and(|it| it.len() > self.config.auth_bytes_max)
        {
            Some(LONG_AUTH)
        } else if self.asked.len() >= self.config.admissions_max {
            Some(BUSY)
        } else {
            None
        };
        if let Some(message) = words {
            let refusal = refusal(namespace, message, None);
            return self.tell(now, session, refusal, out);
        }
        let socket = SocketId(self.next);
        self.next += 1;
        let former = resumption
            .as_ref()
            .and_then(|it| self.former(now, &namespace, it));
        // What the embedder is not told of, it cannot have agreed to.
        let resumption = resumption.filter(|_| former.is_some());
        self.places.insert((session, namespace.clone()), socket);
        let stage = Stage::Asked { resumption };
        let asking = Socket {
            session,
            namespace: namespace.clone(),
            stage,
        };
        self.sockets.insert(socket, asking);
        self.asked
            .set(socket, Some(now + self.config.admission_patience));
        out.push(Output::Admission {
            socket,
            session,
            namespace,
            auth,
            former,
        });
    }

    /// Takes out a socket that waits for admission.
    pub(super) fn take_asking(&mut self, socket: SocketId) -> Option<(Socket, Option<Resumption>)> {
        let Stage::Asked { resumption } = &mut self.sockets.get_mut(&socket)?.stage else {
            return None;
        };
        let resumption = resumption.take();
        let asking = self.sockets.remove(&socket)?;
        self.asked.set(socket, None);
        self.places
            .remove(&(asking.session, asking.namespace.clone()));
        Some((asking, resumption))
    }

    pub(super) fn admit(
        &mut self,
        now: Time,
        socket: SocketId,
        (sid, pid, identity): (ByteString, Option<Secret>, Identity),
        out: &mut Vec<Output>,
    ) {
        let Some((asking, resumption)) = self.take_asking(socket) else {
            return;
        };
        let Socket {
            session, namespace, ..
        } = asking;
        let place = (session, &namespace);
        let resumed =
            resumption.and_then(|it| self.resume(now, place, (socket, &identity), &it, out));
        let recovered = resumed.is_some();
        let (mut joined, missed) = resumed.unwrap_or_else(|| {
            let is_on = self.config.recovery.is_some();
            let joined = Joined {
                sid,
                pid: pid.filter(|pid| is_on && self.clients.is_free(pid)),
                identity: Identity::default(),
                origin: socket,
                newest: socket,
                since: self.log_end(&namespace),
                rooms: BTreeMap::new(),
            };
            (joined, Vec::new())
        });
        joined.newest = socket;
        joined.identity = identity;
        let (sid, pid) = (joined.sid.clone(), joined.pid.clone());
        let rooms = joined.rooms.keys().cloned().collect();
        if let Some(pid) = pid.clone() {
            self.clients.arrive(pid, socket);
        }
        if let Some(members) = self.namespaces.get_mut(&namespace) {
            members.insert(socket, session, joined.rooms.keys());
        }
        self.places.insert((session, namespace.clone()), socket);
        let inside = Socket {
            session,
            namespace: namespace.clone(),
            stage: Stage::Joined(joined),
        };
        self.sockets.insert(socket, inside);
        let admit = server::Input::Admit {
            namespace,
            sid: sid.clone(),
            pid,
            missed,
        };
        self.tell(now, session, admit, out);
        out.push(Output::Connected {
            socket,
            sid,
            recovered,
            rooms,
        });
    }

    pub(super) fn log_end(&self, namespace: &Namespace) -> u64 {
        let members = self.namespaces.get(namespace);
        members.map_or(0, |members| members.log.next())
    }

    /// What the client was before, if it could go on with that.
    fn former(
        &mut self,
        now: Time,
        namespace: &Namespace,
        resumption: &Resumption,
    ) -> Option<Former> {
        self.offset_to_resume(now, namespace, resumption)?;
        let joined = self.had(now, resumption)?;
        Some(Former {
            sid: joined.sid.clone(),
            identity: joined.identity.clone(),
        })
    }

    /// What the client has or had that is known by this `pid`.
    fn had(&self, now: Time, resumption: &Resumption) -> Option<&Joined> {
        match self.clients.get(now, &resumption.pid)? {
            Client::Away { joined, .. } => Some(joined),
            Client::Here(former) => match &self.sockets.get(former)?.stage {
                Stage::Joined(joined) => Some(joined),
                Stage::Asked { .. } => None,
            },
        }
    }

    /// After which event the client that was here before goes on, if it can.
    fn offset_to_resume(
        &mut self,
        now: Time,
        namespace: &Namespace,
        resumption: &Resumption,
    ) -> Option<u64> {
        let recovery = self.config.recovery.as_ref()?;
        let place = match self.clients.get(now, &resumption.pid)? {
            Client::Here(socket) => &self.sockets.get(socket)?.namespace,
            Client::Away { namespace, .. } => namespace,
        };
        if place != namespace {
            return None;
        }
        let log = &mut self.namespaces.get_mut(namespace)?.log;
        log.trim(now, recovery);
        let offset = log::offset_of(&resumption.offset)?;
        log.reaches(offset).then_some(offset)
    }

    /// Takes a client up again as `by`: what it had, and what it has missed. It begins anew where
    /// that was somebody else's, or is more than its session can take.
    fn resume(
        &mut self,
        now: Time,
        (session, namespace): (SessionId, &Namespace),
        (by, identity): (SocketId, &Identity),
        resumption: &Resumption,
        out: &mut Vec<Output>,
    ) -> Option<(Joined, Vec<Emission>)> {
        let offset = self.offset_to_resume(now, namespace, resumption)?;
        let joined = self.had(now, resumption)?;
        if !identity.may_resume(&joined.identity) {
            return None;
        }
        let missed = self.namespaces.get(namespace)?.log.missed(joined, offset);
        if !self.sessions.get(session)?.has_room(&missed) {
            return None;
        }
        let joined = match self.clients.remove(&resumption.pid)? {
            Client::Away { joined, .. } => joined,
            Client::Here(former) => {
                let session = self.sockets.get(&former)?.session;
                let namespace = namespace.clone();
                let dismissal = server::Input::Disconnect { namespace };
                self.tell(now, session, dismissal, out);
                self.leave(former, End::TakenOver(by), out)?.1
            }
        };
        Some((joined, missed))
    }

    pub(super) fn refuse(
        &mut self,
        now: Time,
        socket: SocketId,
        message: ByteString,
        data: Option<ByteString>,
        out: &mut Vec<Output>,
    ) {
        if let Some((asking, _)) = self.take_asking(socket) {
            let refusal = refusal(asking.namespace, message, data);
            self.tell(now, asking.session, refusal, out);
        }
    }
}

fn refusal(namespace: Namespace, message: ByteString, data: Option<ByteString>) -> server::Input {
    server::Input::Refuse {
        namespace,
        message,
        data,
    }
}

/// The official server's words.
const INVALID_NAMESPACE: ByteString = ByteString::from_static("Invalid namespace");
/// The auth is more than an embedder is to keep.
const LONG_AUTH: ByteString = ByteString::from_static("Auth too large");
/// There is no room for another question.
const BUSY: ByteString = ByteString::from_static("Too many admissions");
/// The embedder has not answered in time.
pub(super) const TOO_LATE: ByteString = ByteString::from_static("Admission timeout");
/// The embedder has disconnected a socket that was not in yet.
pub(super) const DISCONNECTED: ByteString = ByteString::from_static("Disconnected");
