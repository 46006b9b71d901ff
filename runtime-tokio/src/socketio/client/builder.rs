//! How a connection and its namespaces are set up.

use std::{
    fmt::{self, Display},
    num::NonZeroU32,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use rustls::ClientConfig;
use selvedge_core::{
    Rng, Secret,
    socketio::manager::{Config, Manager, Transports},
};
use serde::Serialize;
use serde_json::Value;
use tokio::{runtime::Handle, sync::Semaphore};

use super::{
    Backoff, Buffer, Dial, OpenError, SlowConsumer, Socket,
    desk::Desk,
    polling::Polling,
    socket::{Membership, Present, ROOM, Shared, State},
    world::{AuthFn, ClientWorld, Mail, PrepareFn, Setup},
};
use crate::{
    clock::Clock,
    dial::{self, Dialer},
    driver::{self, INBOX_MAX},
    mailbox::mailbox,
    proxy::Proxy,
    tls,
    ws::Hold,
};

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// HTTP long-polling: where WebSockets do not get through.
    Polling,
}

/// What is wanted of a namespace.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) namespace: String,
    pub(super) auth: Option<AuthFn>,
    pub(super) events_max: usize,
    pub(super) slow_consumer: SlowConsumer,
}

impl Wish {
    fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            auth: None,
            events_max: 1_000,
            slow_consumer: SlowConsumer::default(),
        }
    }

    fn auth<F, Fut, A, E>(&mut self, auth: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
        A: Serialize,
        E: Display,
    {
        self.auth = Some(Arc::new(move || {
            let asked = auth();
            Box::pin(async move {
                let auth = asked.await.map_err(|error| error.to_string())?;
                // Its words could hold a part of the auth.
                let auth = serde_json::to_value(auth)
                    .map_err(|_| "the auth cannot be written as JSON".to_owned())?;
                match auth {
                    Value::Null => Ok(None),
                    Value::Object(_) => Ok(Some(Secret::new(&auth.to_string()))),
                    Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                        Err("the auth is not a JSON object".to_owned())
                    }
                }
            })
        }));
    }
}

/// A client before it is opened: where to, how, and the first namespace.
///
/// Its `Debug` shows no secret. Everything has a default but the URL.
pub struct Builder {
    dial: Dial,
    prepare: Option<PrepareFn>,
    path: String,
    wish: Wish,
    config: Config,
    transports: Vec<Transport>,
    ca_file: Option<PathBuf>,
    tls: Option<Arc<ClientConfig>>,
    proxy: Option<Secret>,
    patience: Duration,
    message_bytes_max: usize,
}

impl Builder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            dial: Dial::new(url),
            prepare: None,
            path: "/socket.io/".to_owned(),
            wish: Wish::new("/"),
            config: Config::default(),
            transports: vec![Transport::WebSocket, Transport::Polling],
            ca_file: None,
            tls: None,
            proxy: None,
            patience: Duration::from_secs(30),
            message_bytes_max: dial::MESSAGE_BYTES_MAX,
        }
    }

    /// The first namespace: `/` by default.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.wish.namespace = name.to_owned();
        self
    }

    /// What the server is told at every CONNECT to the namespace: something that serialises to a
    /// JSON object, or to `null` for nothing. It is asked for each time, so that it is never stale;
    /// it may take 30 s. Its error, and a panic of it, is a [`Signal::Refused`](super::Signal) with
    /// its words, and it is asked again after a wait.
    #[must_use]
    pub fn auth<F, Fut, A, E>(mut self, auth: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
        A: Serialize,
        E: Display,
    {
        self.wish.auth(auth);
        self
    }

    /// Where to connect, found out before each attempt: for a URL or headers with a token that
    /// expires. It replaces the URL and the headers of this builder. Its error's words come back in
    /// [`Signal::Retrying`](super::Signal::Retrying) and stand in the log; another attempt follows.
    #[must_use]
    pub fn prepare<F, Fut, E>(mut self, prepare: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Dial, E>> + Send + 'static,
        E: Display,
    {
        self.prepare = Some(Arc::new(move || {
            let asked = prepare();
            Box::pin(async move { asked.await.map_err(|error| error.to_string()) })
        }));
        self
    }

    /// The path of the server: `/socket.io/` by default. It is the server's option `path`, with
    /// the slash at the end.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// What to connect by, in the order of preference; a WebSocket, then polling by default.
    ///
    /// With polling before WebSocket a session begins by polling and moves on, as that of the
    /// official client does: it gets through everywhere, but begins more slowly, and needs a server
    /// that sees all requests of a session ("sticky sessions").
    #[must_use]
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.transports = transports.into_iter().collect();
        self
    }

    /// A header for every request and WebSocket handshake, such as `Authorization`. Its value is
    /// never shown. Cookies are not kept: one that is needed is a header too.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.dial = self.dial.header(name, value);
        self
    }

    /// Several [headers](Self::header).
    #[must_use]
    pub fn headers<'h>(mut self, headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> Self {
        for (name, value) in headers {
            self.dial = self.dial.header(name, value);
        }
        self
    }

    /// A PEM file of certificates to trust besides those of the operating system.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// A TLS configuration of one's own, for a client certificate or other roots. The
    /// [`ca_file`](Self::ca_file) and the roots of the operating system are not looked at then.
    #[must_use]
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// An HTTP proxy for everything: `http://[user:password@]host[:port]`. None by default;
    /// variables of the environment are not looked at.
    #[must_use]
    pub fn proxy(mut self, url: &str) -> Self {
        self.proxy = Some(Secret::new(url));
        self
    }

    /// How long to wait between attempts: at random up to 1 s after the first failure, twice as
    /// much after each further one, up to 30 s. The wait is random from the first one on, so that
    /// the clients of a server that restarts do not all come back at once.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.link.backoff = backoff;
        self
    }

    /// How many attempts may fail in a row before the client
    /// [gives up](super::Signal::GaveUp). It never does by default: a server that is gone for an
    /// hour comes back.
    #[must_use]
    pub fn attempts_max(mut self, attempts: NonZeroU32) -> Self {
        self.config.attempts_max = Some(attempts);
        self
    }

    /// How long a dial may take, and a handshake: 20 s by default, enough for a slow mobile
    /// network.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.link.step_timeout = timeout;
        self
    }

    /// Whether a namespace that the server refused is asked for again, with new auth; it is by
    /// default. Turned off, a refusal stands until [`Sender::rejoin`](super::Sender::rejoin).
    #[must_use]
    pub fn retry_refused(mut self, retry: bool) -> Self {
        self.config.retry_refused = retry;
        self
    }

    /// How long a [call](Socket::call) waits for its answer: 30 s by default. A call always ends.
    #[must_use]
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.patience = timeout;
        self
    }

    /// How many calls may wait for their answers, on all namespaces: 1,000 by default. Raised, a
    /// server that never answers costs more memory.
    #[must_use]
    pub fn calls_max(mut self, calls: usize) -> Self {
        self.config.client.calls_max = calls;
        self
    }

    /// How many namespaces can be open at once: 64 by default.
    #[must_use]
    pub fn namespaces_max(mut self, namespaces: usize) -> Self {
        self.config.client.namespaces_max = namespaces;
        self
    }

    /// What becomes of emissions while a namespace is not joined: up to 1,000 of them, of 4 MiB
    /// together, are kept by default, for all namespaces of the connection, and sent when it is
    /// joined. An application that sends again by itself after a loss wants [`Buffer::Drop`].
    #[must_use]
    pub fn buffer(mut self, buffer: Buffer) -> Self {
        self.config.client.buffer = buffer;
        self
    }

    /// How long an emission is kept in the buffer; without a limit by default. What is older comes
    /// back as [`Signal::Unsent`](super::Signal::Unsent).
    #[must_use]
    pub fn keep_for(mut self, age: Duration) -> Self {
        self.config.keep_for = Some(age);
        self
    }

    /// How many events wait for the consumer of the first namespace; 1,000 by default. Raised, a
    /// consumer can stand still for longer, and a server can make the process hold more.
    #[must_use]
    pub fn queue(mut self, events: usize) -> Self {
        self.wish.events_max = events;
        self
    }

    /// What happens when that queue is full; [`SlowConsumer::Wait`] by default.
    #[must_use]
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.wish.slow_consumer = policy;
        self
    }

    /// The largest message, and the largest body of a poll, that is taken from the server: 16 MiB
    /// by default. It bounds what a server can make the process hold; one that sends more loses the
    /// connection.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Begins to connect, and gives the socket of the first namespace, which can be used at once. It
    /// does not wait for the server: what becomes of the connection is told by the socket's
    /// [signals](super::Signal).
    ///
    /// # Errors
    ///
    /// Where a setting cannot be used, or there is no tokio runtime.
    pub fn open(mut self) -> Result<Socket, OpenError> {
        let runtime = Handle::try_current().map_err(|_| OpenError::NoRuntime)?;
        let target = self.dial.target(&self.path)?;
        self.config.transports = transports(&self.transports)?;
        let proxy = match &self.proxy {
            Some(url) => Some(Proxy::parse(url.expose()).ok_or(OpenError::Proxy)?),
            None => None,
        };
        let tls = match (self.tls, &self.ca_file) {
            (Some(tls), _) => tls,
            (None, Some(file)) => tls::client_config(Some(file))?,
            (None, None) => system_tls()?,
        };
        let dialer = Dialer::new(tls, proxy);
        let polling = match self.config.transports {
            Transports::WebSocket => None,
            Transports::Polling | Transports::PollingWebSocket | Transports::WebSocketPolling => {
                Some(Polling::new(&dialer, self.message_bytes_max)?)
            }
        };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;

        let (commands_in, commands) = mailbox(usize::MAX);
        let (wire_in, wire) = mailbox(INBOX_MAX);
        let (hold, present) = (Hold::default(), Present::default());
        let setup = Setup {
            dialer,
            polling,
            message_bytes_max: self.message_bytes_max,
            path: self.path,
            prepare: self.prepare,
            hold: hold.clone(),
        };
        let world = ClientWorld::new(setup, target, wire_in.downgrade(), present.clone());
        let shared = Arc::new(Shared {
            commands: commands_in,
            _wire: wire_in,
            room: Arc::new(Semaphore::new(ROOM as usize)),
            present,
            hold,
            state: Mutex::<State>::default(),
            namespaces_max: self.config.client.namespaces_max,
            patience: self.patience,
        });
        let desk = Desk::new(Manager::new(self.config, Rng::from_seed(seed)));
        let mail = Mail { commands, wire };
        runtime.spawn(run(Box::new(desk), Box::new(world), mail));
        shared.join(self.wish)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("dial", &self.dial)
            .field("namespace", &self.wish.namespace)
            .field("transports", &self.transports)
            .finish_non_exhaustive()
    }
}

/// Another namespace on a connection, before it is opened; see
/// [`Sender::namespace`](super::Sender::namespace).
pub struct NamespaceBuilder {
    /// Keeps the connection up until the namespace is open.
    membership: Arc<Membership>,
    wish: Wish,
}

impl NamespaceBuilder {
    pub(super) fn new(membership: Arc<Membership>, name: &str) -> Self {
        Self {
            membership,
            wish: Wish::new(name),
        }
    }

    /// [`Builder::auth`], of this namespace. Each has an auth of its own; without one the server is
    /// told nothing.
    #[must_use]
    pub fn auth<F, Fut, A, E>(mut self, auth: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, E>> + Send + 'static,
        A: Serialize,
        E: Display,
    {
        self.wish.auth(auth);
        self
    }

    /// [`Builder::queue`], of this namespace.
    #[must_use]
    pub fn queue(mut self, events: usize) -> Self {
        self.wish.events_max = events;
        self
    }

    /// [`Builder::slow_consumer`], of this namespace.
    #[must_use]
    pub fn slow_consumer(mut self, policy: SlowConsumer) -> Self {
        self.wish.slow_consumer = policy;
        self
    }

    /// Begins to join it.
    ///
    /// # Errors
    ///
    /// Where the name is none, or the namespace is open already, or the connection was closed.
    pub fn open(self) -> Result<Socket, OpenError> {
        self.membership.shared().join(self.wish)
    }
}

impl fmt::Debug for NamespaceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamespaceBuilder")
            .field(&self.wish.namespace)
            .finish()
    }
}

/// What is large is in boxes, because an `async fn` has room for its arguments twice.
async fn run(mut desk: Box<Desk>, mut world: Box<ClientWorld>, mut mail: Mail) {
    let drive = driver::drive(&mut *desk, Clock::start(), &mut mail, &mut *world, ());
    if AssertUnwindSafe(drive).catch_unwind().await.is_err() {
        world.broke();
    }
    drop(desk);
    // Whoever still wants to hand something in hears that it is too late.
    drop(mail);
    world.farewell().await;
}

fn transports(wanted: &[Transport]) -> Result<Transports, OpenError> {
    let (mut websocket, mut polling) = (None, None);
    for (place, transport) in wanted.iter().enumerate() {
        let first = match transport {
            Transport::WebSocket => &mut websocket,
            Transport::Polling => &mut polling,
        };
        first.get_or_insert(place);
    }
    match (websocket, polling) {
        (None, None) => Err(OpenError::NoTransport),
        (Some(_), None) => Ok(Transports::WebSocket),
        (None, Some(_)) => Ok(Transports::Polling),
        (Some(websocket), Some(polling)) if websocket < polling => Ok(Transports::WebSocketPolling),
        (Some(_), Some(_)) => Ok(Transports::PollingWebSocket),
    }
}

/// The roots of the operating system, read once in a process: that takes tens of milliseconds.
fn system_tls() -> Result<Arc<ClientConfig>, tls::TlsError> {
    static TLS: OnceLock<Mutex<Option<Arc<ClientConfig>>>> = OnceLock::new();
    let read = TLS.get_or_init(Mutex::default);
    let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tls) = &*read {
        return Ok(Arc::clone(tls));
    }
    let tls = tls::client_config(None)?;
    *read = Some(Arc::clone(&tls));
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read for each client, they would cost each of them tens of milliseconds of CPU.
    #[test]
    fn the_roots_of_the_operating_system_are_read_once_in_a_process() {
        let (one, other) = (system_tls().unwrap(), system_tls().unwrap());
        assert!(Arc::ptr_eq(&one, &other));
    }
}
