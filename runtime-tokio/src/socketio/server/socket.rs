//! A socket: one client in one namespace, as its handler has it.

use std::{
    collections::BTreeSet,
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use bytestring::ByteString;
use selvedge_core::socketio::{
    Namespace as Name, event,
    event::{Answer, Emission},
    hub::{Audience, Input, Room, SocketId, Target},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    admission::{AuthError, Credentials, Handshake},
    broadcast::Broadcast,
    error::{CallError, EmitError, End},
    event::Event,
    link::Link,
    outgoing::Outgoing,
};
use crate::{
    mailbox::{self, mailbox},
    notice::until,
    serve::shared::Shared as Table,
};

/// Which socket: what its client knows as `socket.id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    pub(super) sid: ByteString,
    pub(super) socket: SocketId,
}

impl Id {
    /// As the client knows it. One that has recovered has its former one.
    pub fn as_str(&self) -> &str {
        &self.sid
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sid)
    }
}

/// One client in one namespace: its events, and what can be done with it.
///
/// Everything that a [`Sender`] can do, this can. Events that arrive wait for [`next`](Self::next),
/// and only so many: see [`Builder::events_max`](super::Builder::events_max). There is one receiver of
/// them, so that none can wait where nobody looks: what is cloned is the [sender](Self::sender). Where
/// this is dropped, the client stays connected and its events are dropped.
#[derive(Debug)]
pub struct Socket {
    sender: Sender,
    events: Events,
}

/// What can be done with one client in one namespace. A clone is the same, and all of them together
/// do not keep the client connected.
///
/// What is emitted is handed to the server's loop and goes out from there, in order; where much
/// waits for that loop or for the client, the emitter waits too.
#[derive(Clone, Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

/// The events of one client in one namespace: the receiving half of a [`Socket`].
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    queue: mailbox::Receiver<event::Event>,
}

/// What a socket and its events share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: Id,
    pub(super) link: Link,
    outgoing: Arc<Outgoing>,
    credentials: Credentials,
    is_recovered: bool,
    rooms: Mutex<BTreeSet<Room>>,
    rooms_max: usize,
    standing: Arc<Standing>,
}

/// How a socket stands, as its two ends share it.
#[derive(Debug, Default)]
struct Standing {
    /// What waits for the handler.
    events: AtomicUsize,
    bytes: AtomicUsize,
    end: OnceLock<End>,
    /// The server's world has let go of it.
    is_gone: AtomicBool,
    /// One of the two has come to be.
    over: Notify,
}

impl Standing {
    /// Returns when the socket has ended.
    async fn over(&self) -> End {
        until(&self.over, || {
            let is_gone = self.is_gone.load(Ordering::Acquire);
            let end = self.end.get().cloned();
            end.or_else(|| is_gone.then_some(End::Closed))
        })
        .await
    }
}

/// The end of a socket that the server's world holds.
#[derive(Debug)]
pub(super) struct Member {
    outgoing: Arc<Outgoing>,
    events: mailbox::Sender<event::Event>,
    standing: Arc<Standing>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.standing.is_gone.store(true, Ordering::Release);
        self.standing.over.notify_waiters();
    }
}

/// Those of all sockets.
pub(super) type Members = Table<SocketId, Member>;

/// What a socket is made of.
pub(super) struct Parts {
    pub(super) id: Id,
    pub(super) link: Link,
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) credentials: Credentials,
    pub(super) is_recovered: bool,
    pub(super) rooms: Vec<Room>,
    pub(super) rooms_max: usize,
}

pub(super) fn pair(parts: Parts) -> (Member, Socket) {
    let (sender, queue) = mailbox(usize::MAX);
    let standing = Arc::<Standing>::default();
    let Parts {
        id,
        link,
        outgoing,
        credentials,
        is_recovered,
        rooms,
        rooms_max,
    } = parts;
    let member = Member {
        outgoing: Arc::clone(&outgoing),
        events: sender,
        standing: Arc::clone(&standing),
    };
    let shared = Shared {
        id,
        link,
        outgoing,
        credentials,
        is_recovered,
        rooms: Mutex::new(rooms.into_iter().collect()),
        rooms_max,
        standing,
    };
    let shared = Arc::new(shared);
    let socket = Socket {
        sender: Sender {
            shared: Arc::clone(&shared),
        },
        events: Events { shared, queue },
    };
    (member, socket)
}

impl Member {
    /// Puts an event into the queue: whether it fits. Where nobody listens, it is dropped.
    pub(super) fn push(&self, event: event::Event, limits: (usize, usize)) -> bool {
        if self.events.is_closed() {
            return true;
        }
        let bytes = bytes_of(&event);
        let events_before = self.standing.events.fetch_add(1, Ordering::Relaxed);
        let bytes_before = self.standing.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One that is alone may be as large as a message can be.
        let fits = events_before < limits.0
            && (events_before == 0 || bytes_before.saturating_add(bytes) <= limits.1);
        // The handler may have let go just now.
        fits && self.events.push(event).map_or(true, |()| true)
    }

    /// The way to its client.
    pub(super) fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// Says why the socket has ended. The first word counts.
    pub(super) fn end(&self, why: End) {
        if self.standing.end.set(why).is_ok() {
            self.standing.over.notify_waiters();
        }
    }
}

fn bytes_of(event: &event::Event) -> usize {
    let attachments: usize = event.attachments().iter().map(Bytes::len).sum();
    event.name().len() + event.raw_args().len() + attachments
}

impl Shared {
    pub(super) fn check(&self) -> Result<(), EmitError> {
        match self.ended() {
            Some(end) => Err(EmitError::Ended(end)),
            None => Ok(()),
        }
    }

    pub(super) const fn namespace(&self) -> &Name {
        &self.credentials.namespace
    }

    fn ended(&self) -> Option<End> {
        self.standing.end.get().cloned()
    }

    pub(super) async fn send(&self, emission: Emission, volatile: bool) -> Result<(), EmitError> {
        self.check()?;
        let to = Target::Socket(self.id.socket);
        let outgoing = Some(&*self.outgoing);
        self.link.emit(to, emission, volatile, outgoing).await
    }

    pub(super) async fn disconnect(&self, close: bool) -> Result<(), EmitError> {
        let socket = self.id.socket;
        self.link.tell(Input::Disconnect { socket, close }).await
    }
}

impl Socket {
    /// The next event of the client, in order; `None` once the socket has ended and all of its
    /// events are taken. Dropped before it is done, nothing is lost.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.next().await
    }

    /// The sending and the receiving half.
    pub fn split(self) -> (Sender, Events) {
        (self.sender, self.events)
    }

    /// The sending half, to be cloned into other tasks and into tables of who is there.
    pub const fn sender(&self) -> &Sender {
        &self.sender
    }
}

/// A socket can do whatever its sender can.
impl Deref for Socket {
    type Target = Sender;

    fn deref(&self) -> &Sender {
        &self.sender
    }
}

impl Events {
    /// [`Socket::next`].
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.queue.recv().await?;
        let standing = &self.shared.standing;
        standing.events.fetch_sub(1, Ordering::Relaxed);
        standing
            .bytes
            .fetch_sub(bytes_of(&event), Ordering::Relaxed);
        Some(Event::new(event, Arc::clone(&self.shared)))
    }
}

impl Sender {
    /// Which socket this is.
    pub fn id(&self) -> &Id {
        &self.shared.id
    }

    /// The name of its namespace.
    pub fn namespace(&self) -> &str {
        self.shared.namespace().as_str()
    }

    /// The auth that its client sent with the CONNECT; an empty object where it sent none.
    ///
    /// # Errors
    ///
    /// Where it has another shape.
    pub fn auth<'a, T: Deserialize<'a>>(&'a self) -> Result<T, AuthError> {
        self.shared.credentials.auth()
    }

    /// The JSON text of that auth, always an object.
    pub fn raw_auth(&self) -> &str {
        self.shared.credentials.raw_auth()
    }

    /// The request that its connection began with.
    pub fn handshake(&self) -> Option<&Handshake> {
        self.shared.credentials.handshake.as_deref()
    }

    /// Whether its client came back after its connection was lost, and was taken for the same: it
    /// has its former id and rooms, and was sent what it had missed.
    pub fn recovered(&self) -> bool {
        self.shared.is_recovered
    }

    /// Emits an event. `args` is a tuple or an array: `(&message, 7)`, `(one,)`, or `()` for none.
    /// Where much waits for the client already, this waits until it has read, for 10 s at most.
    ///
    /// # Errors
    ///
    /// Where the event cannot be written or is too large, or the socket or the server has ended. That it is
    /// written does not say that it arrives: a call says that.
    pub async fn emit(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        let emission = Emission::event(self.shared.namespace(), name, args)?;
        self.shared.send(emission, false).await
    }

    /// Emits an event with binary attachments, each in its place by an
    /// [`Attachment`](super::Attachment).
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), and where there are more than ten attachments, or `args` has the
    /// place of one that is not there.
    pub async fn emit_with(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
    ) -> Result<(), EmitError> {
        let emission = Emission::event_with(self.shared.namespace(), name, args, attachments)?;
        self.shared.send(emission, false).await
    }

    /// Emits an event that may be lost: it is dropped while too much waits for the server's loop or
    /// for the client, and is not kept for a client that comes back.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub async fn emit_volatile(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        let emission = Emission::event(self.shared.namespace(), name, args)?;
        self.shared.send(emission, true).await
    }

    /// Emits an event, and waits for the client's answer, for at most `patience`.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), and where there is no answer in time, or before the socket ends.
    pub async fn call(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        patience: Duration,
    ) -> Result<Answer, CallError> {
        self.call_with(name, args, Vec::new(), patience).await
    }

    /// [`call`](Self::call), with binary attachments as in [`emit_with`](Self::emit_with).
    ///
    /// # Errors
    ///
    /// As both.
    pub async fn call_with(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
        patience: Duration,
    ) -> Result<Answer, CallError> {
        let written = Emission::event_with(self.shared.namespace(), name, args, attachments);
        let emission = written.map_err(EmitError::from)?;
        self.shared.check()?;
        let socket = self.shared.id.socket;
        let Shared { link, outgoing, .. } = &*self.shared;
        link.call(socket, emission, patience, outgoing).await
    }

    /// Enters a room. What is emitted to the room from now on reaches the client.
    ///
    /// # Errors
    ///
    /// Where the name is too long, the socket is in too many rooms, or it or the server has ended.
    pub async fn join(&self, room: &str) -> Result<(), EmitError> {
        self.shared.check()?;
        let room = Room::new(room).ok_or(EmitError::BadRoom)?;
        let socket = self.shared.id.socket;
        let enter = || {
            let mut rooms = self.rooms_now();
            if rooms.len() >= self.shared.rooms_max && !rooms.contains(&room) {
                return Err(EmitError::TooManyRooms);
            }
            rooms.insert(room.clone());
            Ok(Input::Enter { socket, room })
        };
        self.shared.link.tell_made(enter).await
    }

    /// Leaves a room. It can be said of a socket whose connection was lost too: its client is not in
    /// the room then when it comes back. Where it is back already, it is another socket, of which
    /// that is to be said.
    ///
    /// # Errors
    ///
    /// Where the name is too long, or the server has closed.
    pub async fn leave(&self, room: &str) -> Result<(), EmitError> {
        let room = Room::new(room).ok_or(EmitError::BadRoom)?;
        let socket = self.shared.id.socket;
        let exit = || {
            self.rooms_now().remove(&room);
            Ok(Input::Exit { socket, room })
        };
        self.shared.link.tell_made(exit).await
    }

    /// The rooms that it is in.
    pub fn rooms(&self) -> Vec<String> {
        let rooms = self.rooms_now();
        rooms.iter().map(|room| room.as_str().to_owned()).collect()
    }

    /// Everybody else in the namespace, or in rooms of it: `socket.broadcast().to("blue")`.
    pub fn broadcast(&self) -> Broadcast {
        let audience = Audience {
            except_sockets: [self.shared.id.socket].into(),
            ..Audience::default()
        };
        let namespace = self.shared.namespace().clone();
        Broadcast::new(self.shared.link.clone(), Ok(namespace), audience)
    }

    /// Ends this socket. The client's other namespaces go on. Where its connection was lost, its
    /// client can not come back as this socket any more.
    ///
    /// # Errors
    ///
    /// Where the server has closed.
    pub async fn disconnect(&self) -> Result<(), EmitError> {
        self.shared.disconnect(false).await
    }

    /// Closes the whole connection of the client, with all of its namespaces.
    ///
    /// # Errors
    ///
    /// Where the server has closed.
    pub async fn close(&self) -> Result<(), EmitError> {
        self.shared.disconnect(true).await
    }

    /// Why the socket has ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.shared.ended()
    }

    /// Returns when the socket has ended.
    pub async fn ended(&self) -> End {
        self.shared.standing.over().await
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn rooms_now(&self) -> std::sync::MutexGuard<'_, BTreeSet<Room>> {
        let rooms = self.shared.rooms.lock();
        rooms.unwrap_or_else(PoisonError::into_inner)
    }
}
