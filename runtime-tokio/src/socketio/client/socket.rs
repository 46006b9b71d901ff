//! The handles of an application: one membership of one namespace, kept up.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use selvedge_core::{
    SmallMap,
    socketio::{
        Namespace,
        event::{Answer, Emission},
        manager::Input,
    },
};
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};

use super::{
    CallError, EmitError, NamespaceBuilder, OpenError, Signal,
    builder::Wish,
    desk::{Ask, Way},
    error,
    queue::Queue,
    world::Member,
};
use crate::{
    mailbox,
    ws::{Backlog, Hold, Limits},
};

/// How much may wait to be written before those who emit wait too. It is enough to keep a fast
/// connection busy; what is above would only be older when it arrives.
const BACKLOG: Limits = Limits {
    frames: 512,
    bytes: 1 << 20,
};

/// How much may be on its way from the sockets to the task of the connection, in units of
/// [`ROOM_UNIT`] bytes.
pub(super) const ROOM: u32 = 1_024;

/// An emission takes one unit at least, so that there are at most [`ROOM`] of them.
const ROOM_UNIT: usize = 4 << 10;

/// What all sockets of a connection share: the way to its task.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) commands: mailbox::Sender<Ask>,
    /// The task runs as long as somebody holds this or has a use for it.
    pub(super) _wire: mailbox::Sender<Ask>,
    /// Bounds what emissions and calls put into `commands`; the others come once for a socket.
    pub(super) room: Arc<Semaphore>,
    pub(super) present: Present,
    pub(super) hold: Hold,
    pub(super) state: Mutex<State>,
    pub(super) namespaces_max: usize,
    pub(super) patience: Duration,
}

/// What waits to be written on the present connection, or on the last one.
#[derive(Clone, Debug, Default)]
pub(super) struct Present(Arc<Mutex<Backlog>>);

impl Present {
    pub(super) fn set(&self, backlog: Backlog) {
        *self.lock() = backlog;
    }

    fn backlog(&self) -> Backlog {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which sockets there are.
#[derive(Debug, Default)]
pub(super) struct State {
    open: SmallMap<Namespace, ()>,
    is_over: bool,
}

impl Shared {
    pub(super) fn join(self: &Arc<Self>, wish: Wish) -> Result<Socket, OpenError> {
        let namespace = Namespace::new(&wish.namespace)
            .ok_or_else(|| OpenError::Namespace(wish.namespace.clone()))?;
        let mut state = self.state();
        if state.is_over {
            return Err(OpenError::Closed);
        }
        if state.open.contains_key(&namespace) {
            return Err(OpenError::Duplicate(wish.namespace));
        }
        if state.open.len() >= self.namespaces_max {
            return Err(OpenError::TooManyNamespaces);
        }
        state.open.insert(namespace.clone(), ());
        let queue = Queue::new(wish.events_max, wish.slow_consumer, self.hold.clone());
        let queue = Arc::new(queue);
        let membership = Arc::new(Membership {
            shared: Arc::clone(self),
            namespace: namespace.clone(),
            has_left: AtomicBool::new(false),
        });
        let member = Member {
            queue: Arc::clone(&queue),
            membership: Arc::downgrade(&membership),
            auth: wish.auth,
            lost: false,
        };
        // Within the lock, so that joins and leaves arrive in the order in which they are noted.
        let sent = self.commands.push(Ask::Join(namespace, member));
        drop(state);
        sent.map_err(|_| OpenError::Closed)?;
        Ok(Socket {
            sender: Sender {
                membership: Arc::clone(&membership),
            },
            events: Events { membership, queue },
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One namespace, as long as anybody wants it.
#[derive(Debug)]
pub(super) struct Membership {
    shared: Arc<Shared>,
    namespace: Namespace,
    has_left: AtomicBool,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave(None);
    }
}

impl Membership {
    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Leaves for good. Where this was the last one of the connection, gives back what is dropped
    /// when that is closed.
    pub(super) fn leave(&self, left: Option<oneshot::Sender<()>>) -> Option<oneshot::Receiver<()>> {
        if self.has_left.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut state = self.shared.state();
        state.open.remove(&self.namespace);
        state.is_over = state.open.is_empty();
        // A task that has ended has left everything.
        let _ = (self.shared.commands).push(Ask::Leave(self.namespace.clone(), left));
        state.is_over.then(|| {
            let (closed_in, closed) = oneshot::channel();
            let _ = self.shared.commands.push(Ask::Shutdown(closed_in));
            closed
        })
    }

    pub(super) async fn answer(&self, emission: Emission, epoch: u64) -> Result<(), EmitError> {
        self.send(emission, Way::Answer(epoch)).await
    }

    async fn send(&self, emission: Emission, way: Way) -> Result<(), EmitError> {
        let room = self.room(&emission, way).await?;
        let (handed, result) = oneshot::channel();
        self.say(Ask::Emit {
            emission,
            way,
            handed,
            room,
        })?;
        match result.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(EmitError::Closed),
        }
    }

    async fn call(&self, emission: Emission, patience: Duration) -> Result<Answer, CallError> {
        let room = self.room(&emission, Way::Kept).await?;
        let (answered, result) = oneshot::channel();
        self.say(Ask::Call {
            emission,
            patience,
            answered,
            room,
        })?;
        match result.await {
            Ok(result) => error::answered(result),
            Err(_) => Err(EmitError::Closed.into()),
        }
    }

    /// Waits until there is room on the way to the server.
    async fn room(
        &self,
        emission: &Emission,
        way: Way,
    ) -> Result<tokio::sync::OwnedSemaphorePermit, EmitError> {
        let attachments: usize = emission.attachments().iter().map(Bytes::len).sum();
        let units = (emission.frame().len() + attachments) / ROOM_UNIT + 1;
        let units = u32::try_from(units).unwrap_or(ROOM).min(ROOM);
        let room = Arc::clone(&self.shared.room);
        if way == Way::Volatile {
            // Others that wait hold what there is.
            let room = room.try_acquire_many_owned(units);
            let is_free = self.shared.present.backlog().is_below(BACKLOG);
            return room.ok().filter(|_| is_free).ok_or(EmitError::Busy);
        }
        let room = room.acquire_many_owned(units);
        let room = room.await.map_err(|_| EmitError::Closed)?;
        self.shared.present.backlog().below(BACKLOG).await;
        Ok(room)
    }

    fn say(&self, ask: Ask) -> Result<(), EmitError> {
        if self.has_left.load(Ordering::Acquire) {
            return Err(EmitError::Closed);
        }
        (self.shared.commands)
            .push(ask)
            .map_err(|_| EmitError::Closed)
    }
}

/// A membership of one namespace, kept up over losses of the connection: a stream of [`Signal`]s,
/// and the way to send.
///
/// It is made by [`Builder::open`](super::Builder::open) and
/// [`NamespaceBuilder::open`](super::NamespaceBuilder::open). Events that arrive while nobody takes
/// them wait in a queue, see [the module](super).
#[derive(Debug)]
pub struct Socket {
    sender: Sender,
    events: Events,
}

/// The sending half of a [`Socket`]. Clones are cheap and send on the same membership.
#[derive(Clone)]
pub struct Sender {
    membership: Arc<Membership>,
}

/// The receiving half of a [`Socket`]: a stream of [`Signal`]s.
///
/// Dropped while a [`Sender`] is left, the membership goes on, and what arrives is thrown away.
pub struct Events {
    membership: Arc<Membership>,
    queue: Arc<Queue>,
}

impl Socket {
    /// The next signal; `None` after [`close`](Sender::close), or where the membership has ended
    /// for good. Dropped before it is done, nothing is lost.
    pub async fn next(&mut self) -> Option<Signal> {
        self.events.next().await
    }

    /// The sending and the receiving half.
    pub fn split(self) -> (Sender, Events) {
        (self.sender, self.events)
    }

    /// The sending half, to be cloned into other tasks.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// [`Sender::emit`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn emit(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        self.sender.emit(name, args).await
    }

    /// [`Sender::emit_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn emit_with(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
    ) -> Result<(), EmitError> {
        self.sender.emit_with(name, args, attachments).await
    }

    /// [`Sender::emit_volatile`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn emit_volatile(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        self.sender.emit_volatile(name, args).await
    }

    /// [`Sender::call`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn call(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<Answer, CallError> {
        self.sender.call(name, args).await
    }

    /// [`Sender::call_with_timeout`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn call_with_timeout(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        self.sender.call_with_timeout(name, args, timeout).await
    }

    /// [`Sender::call_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn call_with(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        self.sender
            .call_with(name, args, attachments, timeout)
            .await
    }

    /// [`Sender::namespace`].
    #[must_use]
    pub fn namespace(&self, name: &str) -> NamespaceBuilder {
        self.sender.namespace(name)
    }

    /// [`Sender::rejoin`].
    pub fn rejoin(&self) {
        self.sender.rejoin();
    }

    /// [`Sender::close`].
    pub async fn close(self) {
        self.sender.close().await;
    }
}

impl Sender {
    /// Sends an event. `args` is a tuple or an array of the arguments after the name: `(&message,
    /// 7)`, `(one,)`, or `()` for none.
    ///
    /// It is done when the event is handed over to the connection, in the order of the calls; where
    /// the namespace is not joined, when it is in the [buffer](super::Builder::buffer). While the
    /// server is slow to read a WebSocket, it waits; over polling, what waits for the next post has
    /// a limit (9,999 packets, 10 MB), and [`EmitError::BufferFull`] says that it is reached.
    /// Whether the event has arrived, only a [`call`](Self::call) can tell: a connection that is
    /// lost takes along what was on its way. Dropped before it is done, the event may be sent all
    /// the same.
    ///
    /// # Errors
    ///
    /// Where it was not taken; the server has seen nothing then.
    pub async fn emit(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        self.membership
            .send(self.event(name, args, Vec::new())?, Way::Kept)
            .await
    }

    /// Sends an event with binary content: `args` as in [`emit`](Self::emit), with an
    /// [`Attachment`](super::Attachment) at any depth where one of `attachments` belongs, at most
    /// 10 of them.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub async fn emit_with(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
    ) -> Result<(), EmitError> {
        self.membership
            .send(self.event(name, args, attachments)?, Way::Kept)
            .await
    }

    /// Sends an event now or not at all: it is neither kept for later nor does it wait for a server
    /// that is slow to read. For what is soon outdated, such as a position.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit); [`EmitError::NotConnected`] and [`EmitError::Busy`] say that it was
    /// dropped.
    pub async fn emit_volatile(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<(), EmitError> {
        self.membership
            .send(self.event(name, args, Vec::new())?, Way::Volatile)
            .await
    }

    /// Sends an event and waits for its answer, as long as
    /// [`Builder::ack_timeout`](super::Builder::ack_timeout) says. Any number of calls can be under
    /// way at once, up to [`Builder::calls_max`](super::Builder::calls_max). Dropped before it is
    /// done, the event is sent all the same.
    ///
    /// # Errors
    ///
    /// Where there is no answer; the error says whether the server can have seen the event.
    pub async fn call(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<Answer, CallError> {
        let timeout = self.membership.shared.patience;
        self.call_with_timeout(name, args, timeout).await
    }

    /// As [`call`](Self::call), with a patience of its own. It runs from now on, also while the
    /// event waits for the namespace to be joined.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn call_with_timeout(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        self.call_with(name, args, Vec::new(), timeout).await
    }

    /// As [`call_with_timeout`](Self::call_with_timeout), with binary content as in
    /// [`emit_with`](Self::emit_with).
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub async fn call_with(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let emission = self.event(name, args, attachments)?;
        self.membership.call(emission, timeout).await
    }

    /// Another namespace, on the same connection: a [`Socket`] of its own.
    #[must_use]
    pub fn namespace(&self, name: &str) -> NamespaceBuilder {
        NamespaceBuilder::new(Arc::clone(&self.membership), name)
    }

    /// Asks for the namespace again after the server has ended the membership or refused it for
    /// good, or the client has given up. It means nothing where that is under way or done.
    pub fn rejoin(&self) {
        let namespace = self.membership.namespace.clone();
        // What is closed is not joined again; that is what every other method says.
        let _ = self.membership.say(Ask::Manager(Input::Join { namespace }));
    }

    /// Forgets what is kept for the namespace while it is not joined: its calls end in
    /// [`EmitError::NotConnected`], and [`Signal::Unsent`] counts the others.
    pub fn clear_buffer(&self) {
        let namespace = self.membership.namespace.clone();
        // Of what is closed nothing is kept.
        let _ = (self.membership).say(Ask::Manager(Input::ClearBuffer { namespace }));
    }

    /// Leaves the namespace, for all clones, and waits until that is done. With the last one of the
    /// connection it waits until the server was told and the connection is closed, for 6 s at most.
    pub async fn close(&self) {
        let (left, done) = oneshot::channel();
        let closed = self.membership.leave(Some(left));
        // A task that has ended answers by that.
        let _ = done.await;
        if let Some(closed) = closed {
            let _ = closed.await;
        }
    }

    fn event(
        &self,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
    ) -> Result<Emission, EmitError> {
        let namespace = &self.membership.namespace;
        let event = if attachments.is_empty() {
            Emission::event(namespace, name, args)
        } else {
            Emission::event_with(namespace, name, args, attachments)
        };
        event.map_err(EmitError::Encode)
    }
}

impl Events {
    /// [`Socket::next`].
    pub async fn next(&mut self) -> Option<Signal> {
        std::future::poll_fn(|cx| self.queue.poll_next(cx)).await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl Stream for Events {
    type Item = Signal;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        self.queue.poll_next(cx)
    }
}

impl Stream for Socket {
    type Item = Signal;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        self.events.queue.poll_next(cx)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender")
            .field(&self.membership.namespace)
            .finish()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events")
            .field(&self.membership.namespace)
            .finish()
    }
}
