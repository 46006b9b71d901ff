//! What carries out the outputs of a client: dials, requests, auth, and the queues of the sockets.

use std::{
    fmt,
    ops::ControlFlow,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use selvedge_core::{
    RequestId, Secret, SmallMap, Time,
    engineio::transport::{ClientAction, ClientEvent, Exchange, Text},
    link::{Authorize, AuthorizeFailure},
    socketio::{
        Namespace,
        manager::{Auth, Input, Output},
    },
    ws::{Action, ConnId},
};
use tokio::{
    sync::{oneshot, watch},
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use super::{
    Dial, Event, OpenError, Signal,
    desk::{Ask, Desk, Told},
    polling::{self, Polling},
    queue::{Overrun, Queue},
    socket::{Membership, Present},
    target::Target,
};
use crate::{
    dial::Dialer,
    driver::{Inbox, World},
    mailbox,
    ws::{self, Hold, Limits, WsHandle},
};

/// How long the goodbye may take at the end: a WebSocket flushes for 5 s and waits 1 s for the
/// answer to its close frame, and a post takes less.
const FAREWELL: Duration = Duration::from_secs(6);

/// How long a poll is kept open for the last posts; less than [`FAREWELL`], whose part it is.
const POSTING: Duration = Duration::from_secs(5);

/// What one connection may hold for a server that does not read, before it is given up. Those who
/// emit wait long before; this is above what a full buffer and the largest emission come to.
const QUEUE: Limits = Limits {
    frames: 1 << 16,
    bytes: 256 << 20,
};

/// Finds out with which auth to ask for a namespace: JSON text.
pub(super) type AuthFn =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Option<Secret>, String>> + Send + Sync>;

/// Finds out where to connect.
pub(super) type PrepareFn = Arc<dyn Fn() -> BoxFuture<'static, Result<Dial, String>> + Send + Sync>;

/// Where asks arrive: from the sockets, and from the tasks of the world. Taken by turns, neither
/// holds the other up.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) commands: mailbox::Receiver<Ask>,
    pub(super) wire: mailbox::Receiver<Ask>,
}

impl Inbox<Ask> for Mail {
    async fn take(&mut self, inputs: &mut Vec<Ask>, most: usize) -> usize {
        let half = most.div_ceil(2);
        let poll = |cx: &mut Context<'_>| {
            let commands = self.commands.poll_take(cx, inputs, half);
            let wire = self.wire.poll_take(cx, inputs, half);
            match (commands, wire) {
                (Poll::Ready(commands), Poll::Ready(wire)) => Poll::Ready(commands + wire),
                (Poll::Ready(0), Poll::Pending) | (Poll::Pending, Poll::Ready(0)) => Poll::Pending,
                (Poll::Ready(taken), Poll::Pending) | (Poll::Pending, Poll::Ready(taken)) => {
                    Poll::Ready(taken)
                }
                (Poll::Pending, Poll::Pending) => Poll::Pending,
            }
        };
        std::future::poll_fn(poll).await
    }
}

/// What does not change while a client lives.
pub(super) struct Setup {
    pub(super) dialer: Dialer,
    /// Where polling is allowed.
    pub(super) polling: Option<Polling>,
    pub(super) message_bytes_max: usize,
    pub(super) path: String,
    pub(super) prepare: Option<PrepareFn>,
    pub(super) hold: Hold,
}

/// A socket, from the side of the world.
pub(super) struct Member {
    pub(super) queue: Arc<Queue>,
    pub(super) membership: Weak<Membership>,
    pub(super) auth: Option<AuthFn>,
    /// It has lost its membership just now, and is to hear when the next attempt follows.
    pub(super) lost: bool,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Member").field(&self.queue).finish()
    }
}

/// The world of one client. Everything that takes time is a task of its own, which answers through
/// the inbox.
pub(super) struct ClientWorld {
    setup: Arc<Setup>,
    /// Weakly held: the last socket and the last task close the inbox, and that ends the drive.
    wire: mailbox::WeakSender<Ask>,
    present: Present,
    target: Arc<Target>,
    tasks: JoinSet<()>,
    members: SmallMap<Namespace, Member>,
    connections: SmallMap<ConnId, Connection>,
    prepares: SmallMap<RequestId<Authorize>, AbortHandle>,
    auths: SmallMap<RequestId<Auth>, AbortHandle>,
    /// Dropped when all is done.
    closed: Option<oneshot::Sender<()>>,
}

/// One connection: its WebSocket and its requests.
struct Connection {
    target: Arc<Target>,
    /// It dials, then pumps.
    socket: Option<AbortHandle>,
    /// Once it is open.
    handle: Option<WsHandle>,
    requests: SmallMap<RequestId<Exchange>, AbortHandle>,
    /// Once there are any.
    posts: Option<Posts>,
}

/// The posts of a connection go out one after another: a server ends a session for two at once.
/// Behind one that was lost none goes out: what follows would be taken for the rest of it.
#[derive(Debug, Default)]
struct Posts {
    asked: u64,
    progress: watch::Sender<Progress>,
}

/// How far they are.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    done: u64,
    /// One was not taken. None after it goes out.
    is_torn: bool,
}

/// The turn of one post. The next one's comes when this is dropped.
struct Turn {
    number: u64,
    progress: watch::Sender<Progress>,
    is_taken: bool,
}

impl Posts {
    fn ask(&mut self) -> Turn {
        self.asked += 1;
        Turn {
            number: self.asked,
            progress: self.progress.clone(),
            is_taken: false,
        }
    }

    /// Whether none is under way.
    fn are_done(&self) -> bool {
        self.progress.borrow().done >= self.asked
    }
}

impl Turn {
    /// Waits until all before it are done: whether it may go out.
    async fn come(&self) -> bool {
        wait(self.progress.subscribe(), self.number - 1).await;
        !self.progress.borrow().is_torn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.progress.send_modify(|progress| {
            progress.done = self.number.max(progress.done);
            progress.is_torn |= !self.is_taken;
        });
    }
}

async fn wait(mut progress: watch::Receiver<Progress>, number: u64) {
    // Where nobody is left to post, there is nothing to wait for.
    let _ = progress.wait_for(|it| it.done >= number).await;
}

impl Connection {
    fn is_over(&self) -> bool {
        let mut tasks = self.socket.iter().chain(self.requests.values());
        tasks.all(AbortHandle::is_finished)
    }
}

impl ClientWorld {
    pub(super) fn new(
        setup: Setup,
        target: Arc<Target>,
        wire: mailbox::WeakSender<Ask>,
        present: Present,
    ) -> Self {
        Self {
            setup: Arc::new(setup),
            wire,
            present,
            target,
            tasks: JoinSet::new(),
            members: SmallMap::default(),
            connections: SmallMap::default(),
            prepares: SmallMap::default(),
            auths: SmallMap::default(),
            closed: None,
        }
    }

    /// Tells everybody that the client has a bug.
    pub(super) fn broke(&self) {
        let why = "the client broke; please report this as a bug of Selvedge";
        tracing::error!(server = self.target.origin(), "{why}");
        for member in self.members.values() {
            let why = why.to_owned();
            member.queue.push(Signal::GaveUp { why });
        }
    }

    /// Lets what is being said come to its end.
    pub(super) async fn farewell(mut self: Box<Self>) {
        self.members.clear();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL, ended).await.is_err() {
            tracing::debug!(
                server = self.target.origin(),
                "the connection was not closed in time"
            );
        }
    }

    /// Runs a task that answers through the inbox; none where the drive is ending.
    fn spawn<F>(&mut self, task: impl FnOnce(mailbox::Sender<Ask>) -> F) -> Option<AbortHandle>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.reap();
        let wire = self.wire.upgrade()?;
        Some(self.tasks.spawn(task(wire)))
    }

    /// Forgets the tasks that are done, which hold memory until then.
    fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.prepares.retain(|_, task| !task.is_finished());
        self.auths.retain(|_, task| !task.is_finished());
    }

    fn prepare(&mut self, id: RequestId<Authorize>) {
        let (setup, target) = (Arc::clone(&self.setup), Arc::clone(&self.target));
        let task = self.spawn(|wire| async move {
            let target = match &setup.prepare {
                None => Ok(target),
                Some(prepare) => match guarded("prepare", || prepare()).await {
                    Ok(dial) => dial
                        .target(&setup.path)
                        .map_err(|error: OpenError| AuthorizeFailure::Denied(error.to_string())),
                    Err(why) => Err(AuthorizeFailure::Unavailable(why)),
                },
            };
            answer(&wire, Ask::Prepared(id, target)).await;
        });
        self.prepares.extend(task.map(|task| (id, task)));
    }

    fn find_auth(&mut self, id: RequestId<Auth>, namespace: &Namespace) {
        let auth = self.members.get(namespace).and_then(|it| it.auth.clone());
        let task = self.spawn(|wire| async move {
            let auth = match auth {
                None => Ok(None),
                Some(auth) => guarded("auth", || auth()).await,
            };
            answer(&wire, Ask::Manager(Input::Auth(id, auth))).await;
        });
        self.auths.extend(task.map(|task| (id, task)));
    }

    /// A connection, which begins where it is not known.
    fn connection(&mut self, conn: ConnId) -> Option<&mut Connection> {
        if !self.connections.contains_key(&conn) {
            // Nothing tells when a connection that was closed in order is over.
            self.connections.retain(|_, it| !it.is_over());
            let connection = Connection {
                target: Arc::clone(&self.target),
                socket: None,
                handle: None,
                requests: SmallMap::default(),
                posts: None,
            };
            self.connections.insert(conn, connection);
        }
        self.connections.get_mut(&conn)
    }

    /// Opens a WebSocket: of a new session, or of the one with that `sid`.
    fn dial(&mut self, conn: ConnId, sid: Option<String>) {
        let setup = Arc::clone(&self.setup);
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let target = Arc::clone(&connection.target);
        let task = self.spawn(|wire| async move {
            // In a box, so that the task does not keep the room for it while it pumps.
            let opened = Box::pin(async {
                let url = target.url("websocket", sid.as_deref());
                let (dialer, most) = (&setup.dialer, setup.message_bytes_max);
                dialer.open(&url, &target.headers, most).await
            })
            .await;
            let dialed = |result: Result<(), String>| match sid {
                None => Input::Dialed(conn, result),
                Some(_) => {
                    let result = result.map_err(|why| Text(why.into()));
                    Input::Transport(conn, ClientEvent::Dialed(result))
                }
            };
            match opened {
                Ok(socket) => {
                    let (handle, pump) = ws::open_within(socket, QUEUE);
                    if wire
                        .send(Ask::Opened(conn, handle, dialed(Ok(()))))
                        .await
                        .is_ok()
                    {
                        let input = move |event| {
                            Ask::Manager(Input::Transport(conn, ClientEvent::WebSocket(event)))
                        };
                        pump.run_with(setup.hold.clone(), wire, input).await;
                    }
                }
                Err(error) => answer(&wire, Ask::Manager(dialed(Err(error.words())))).await,
            }
        });
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.socket = task;
        }
    }

    fn exchange(
        &mut self,
        conn: ConnId,
        id: RequestId<Exchange>,
        sid: Option<String>,
        ask: polling::Ask,
    ) {
        let setup = Arc::clone(&self.setup);
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let target = Arc::clone(&connection.target);
        let mut turn = match ask {
            polling::Ask::Get => None,
            polling::Ask::Post(_) => Some(connection.posts.get_or_insert_default().ask()),
        };
        let task = self.spawn(|wire| async move {
            // The machine does not poll where that is not allowed.
            let Some(polling) = &setup.polling else {
                return;
            };
            match &turn {
                None => setup.hold.free().await,
                Some(turn) if turn.come().await => {}
                Some(_) => return,
            }
            let result = polling
                .exchange(&setup.dialer, &target, sid.as_deref(), ask)
                .await;
            if let Some(turn) = &mut turn {
                turn.is_taken = result.as_ref().is_ok_and(|answer| answer.status == 200);
            }
            let event = ClientEvent::Answered { id, result };
            answer(&wire, Ask::Manager(Input::Transport(conn, event))).await;
        });
        if let Some(Connection { requests, .. }) = self.connections.get_mut(&conn) {
            requests.retain(|_, task| !task.is_finished());
            requests.extend(task.map(|task| (id, task)));
        }
    }

    fn transport(&mut self, conn: ConnId, action: ClientAction) {
        match action {
            ClientAction::WebSocket(action) => {
                let Some(connection) = self.connections.get_mut(&conn) else {
                    return;
                };
                match (&mut connection.handle, action) {
                    (Some(handle), action) => handle.send(action),
                    (None, Action::Close) => abort(connection.socket.take()),
                    (None, Action::Send(_)) => {}
                }
            }
            ClientAction::Dial { sid } => self.dial(conn, Some(sid.to_string())),
            ClientAction::Get { id, sid } => {
                let sid = sid.map(|sid| sid.to_string());
                self.exchange(conn, id, sid, polling::Ask::Get);
            }
            ClientAction::Post { id, sid, body } => {
                self.exchange(conn, id, Some(sid.to_string()), polling::Ask::Post(body));
            }
            ClientAction::Abort(id) => self.abort(conn, id),
        }
    }

    /// Gives up a request, once what is posted is there: a server takes a poll that is given up for
    /// the end of the session, and would not hear the rest.
    fn abort(&mut self, conn: ConnId, id: RequestId<Exchange>) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let Some(task) = connection.requests.remove(&id) else {
            return;
        };
        let Some(posts) = connection.posts.as_ref().filter(|it| !it.are_done()) else {
            return task.abort();
        };
        let (progress, posts) = (posts.progress.subscribe(), posts.asked);
        self.tasks.spawn(async move {
            // A server that takes no post hears nothing more anyway.
            let _ = timeout(POSTING, wait(progress, posts)).await;
            task.abort();
        });
    }

    fn hang_up(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.remove(&conn) {
            abort(connection.socket);
            for task in connection.requests.values() {
                task.abort();
            }
        }
    }

    fn tell(&self, namespace: &Namespace, signal: Signal) {
        if let Some(member) = self.members.get(namespace) {
            member.queue.push(signal);
        }
    }

    fn on_event(
        &mut self,
        namespace: &Namespace,
        event: selvedge_core::socketio::event::Event,
        epoch: u64,
    ) {
        let Some(member) = self.members.get(namespace) else {
            return;
        };
        let event = Event::new(event, Weak::clone(&member.membership), epoch);
        if let Err(Overrun) = member.queue.push_event(event) {
            let why = "the consumer did not take the events, and the queue is full".to_owned();
            member.queue.push(Signal::Disconnected {
                why,
                retry_in: None,
            });
            member.queue.close();
            if let Some(membership) = member.membership.upgrade() {
                membership.leave(None);
            }
        }
    }

    /// Tells everybody how the connection stands.
    fn on_down(&mut self, why: &str, retry_in: Option<Duration>) {
        for member in self.members.values_mut() {
            let why = why.to_owned();
            match (std::mem::take(&mut member.lost), retry_in) {
                (true, _) => member.queue.push(Signal::Disconnected { why, retry_in }),
                (false, Some(retry_in)) => member.queue.push(Signal::Retrying { why, retry_in }),
                (false, None) => {}
            }
        }
    }

    fn on_manager(&mut self, output: Output) {
        let server = self.target.origin();
        match output {
            Output::Prepare(id) => self.prepare(id),
            Output::ForgetPrepare(id) => abort(self.prepares.remove(&id)),
            Output::Auth { id, namespace } => self.find_auth(id, &namespace),
            Output::ForgetAuth(id) => abort(self.auths.remove(&id)),
            Output::Dial(conn) => self.dial(conn, None),
            Output::HangUp(conn) => self.hang_up(conn),
            Output::Transport(conn, action) => self.transport(conn, action),
            Output::Connected {
                namespace,
                sid,
                recovered,
            } => {
                tracing::info!(server, %namespace, recovered, "joined");
                self.reap();
                let sid = sid.to_string();
                self.tell(&namespace, Signal::Connected { sid, recovered });
            }
            Output::Refused {
                namespace,
                message,
                data,
                retry_in,
            } => {
                // Its words may be those of the application's auth.
                tracing::info!(server, %namespace, ?retry_in, "not let in");
                let signal = Signal::Refused {
                    message: message.to_string(),
                    data: data.map(|data| data.to_string()),
                    retry_in,
                };
                self.tell(&namespace, signal);
            }
            Output::Disconnected {
                namespace,
                why,
                retry,
            } => {
                tracing::info!(server, %namespace, why, "not joined any more");
                if retry {
                    // What follows about the connection says when.
                    if let Some(member) = self.members.get_mut(&namespace) {
                        member.lost = true;
                    }
                } else {
                    let retry_in = None;
                    self.tell(&namespace, Signal::Disconnected { why, retry_in });
                }
            }
            Output::Down { why, retry_in } => {
                tracing::debug!(server, why, ?retry_in, "no connection");
                self.on_down(&why, Some(retry_in));
            }
            Output::GaveUp { why } => {
                tracing::warn!(server, why, "gave up");
                self.on_down(&why, None);
                for member in self.members.values() {
                    member.queue.push(Signal::GaveUp { why: why.clone() });
                }
            }
            Output::Dropped { namespace, why } => {
                self.tell(&namespace, Signal::Unsent { why, count: 1 });
            }
            // The desk has taken these out.
            Output::Event { .. } | Output::Answered { .. } => {}
        }
    }
}

impl World<Desk> for ClientWorld {
    fn carry_out(&mut self, _: Time, told: Told) -> ControlFlow<()> {
        match told {
            Told::Manager(output) => self.on_manager(output),
            Told::Prepared(target) => self.target = target,
            Told::Opened(conn, handle) => {
                // Of a connection that was hung up meanwhile, this hangs up.
                if let Some(connection) = self.connections.get_mut(&conn) {
                    self.present.set(handle.backlog().clone());
                    connection.handle = Some(handle);
                }
            }
            Told::Join(namespace, member) => {
                self.members.insert(namespace, member);
            }
            Told::Event(namespace, event, epoch) => self.on_event(&namespace, event, epoch),
            // Whoever has given up waiting needs no answer.
            Told::Handed(handed, result) => {
                let _ = handed.send(result);
            }
            Told::Answered(answered, result) => {
                let _ = answered.send(result);
            }
            Told::Left(namespace, left) => {
                self.members.remove(&namespace);
                if let Some(left) = left {
                    // As above.
                    let _ = left.send(());
                }
            }
            Told::Over(closed) => {
                self.closed = Some(closed);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

fn abort(task: Option<AbortHandle>) {
    if let Some(task) = task {
        task.abort();
    }
}

async fn answer(wire: &mailbox::Sender<Ask>, ask: Ask) {
    // A client that is gone needs no answer.
    let _ = wire.send(ask).await;
}

/// Asks the application, which may panic: that is a failure as any other.
async fn guarded<T>(
    what: &str,
    ask: impl FnOnce() -> BoxFuture<'static, Result<T, String>>,
) -> Result<T, String> {
    let asked = AssertUnwindSafe(async { ask().await }).catch_unwind();
    asked
        .await
        .unwrap_or_else(|_| Err(format!("the {what} function panicked")))
}
