//! A Socket.IO server of ours in the process of a test, which does what `interop/server.mjs` does for
//! a client that only wants to be heard: it hands back what it gets, and tells the transport.

#![expect(clippy::expect_used, reason = "a helper of tests fails the test")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{
    Router,
    extract::Request,
    http::Method,
    middleware::{Next, from_fn},
    response::Response,
};
use selvedge::socketio::server::{EmitError, Event, Namespace, Server, Socket};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// A running server, for one client at a time. Dropping it closes its port.
#[derive(Debug)]
pub struct Host {
    port: u16,
    task: JoinHandle<()>,
}

/// What the client does.
#[derive(Debug, Default)]
struct Seen {
    /// How many polls are open.
    polls: AtomicUsize,
    /// Whether a WebSocket was opened since its session began.
    websocket: AtomicBool,
}

impl Host {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// Where there is no free port.
    pub async fn start() -> Self {
        let seen = Arc::new(Seen::default());
        let told = Arc::clone(&seen);
        let namespace =
            Namespace::new().connected(move |socket| converse(socket, Arc::clone(&told)));
        let server = Server::builder().namespace("/", namespace).start();
        let server = server.expect("a server");
        let watch = from_fn(move |request, next| watched(Arc::clone(&seen), request, next));
        let app = Router::new().route_service("/socket.io/", server.service());
        let app = app.layer(watch);
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("its own address").port();
        let task = tokio::spawn(async move {
            let _server = server;
            axum::serve(listener, app).await.expect("connections");
        });
        Self { port, task }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// A client that polls has a poll open, but for a moment now and then.
    fn transport(&self) -> &'static str {
        let polls = self.polls.load(Ordering::Relaxed) > 0;
        if self.websocket.load(Ordering::Relaxed) && !polls {
            "websocket"
        } else {
            "polling"
        }
    }
}

/// An open poll.
struct Poll(Arc<Seen>);

impl Poll {
    fn begin(seen: Arc<Seen>) -> Self {
        seen.polls.fetch_add(1, Ordering::Relaxed);
        Self(seen)
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.0.polls.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn watched(seen: Arc<Seen>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let is_websocket = query.contains("transport=websocket");
    if !query.contains("sid=") {
        seen.websocket.store(is_websocket, Ordering::Relaxed);
    } else if is_websocket {
        seen.websocket.store(true, Ordering::Relaxed);
    }
    let is_poll = request.method() == Method::GET && !is_websocket;
    let _poll = is_poll.then(|| Poll::begin(seen));
    next.run(request).await
}

async fn converse(mut socket: Socket, seen: Arc<Seen>) {
    while let Some(event) = socket.next().await {
        if hand_back(&socket, event, &seen).await.is_err() {
            return;
        }
    }
}

async fn hand_back(socket: &Socket, event: Event, seen: &Seen) -> Result<(), EmitError> {
    if event.name() == "transport" {
        return socket.emit("transport", &(seen.transport(),)).await;
    }
    let args: Vec<Value> = event.args()?;
    let attachments = event.attachments().to_vec();
    if event.wants_answer() {
        event.answer_with(&args, attachments).await
    } else {
        socket.emit_with(event.name(), &args, attachments).await
    }
}
