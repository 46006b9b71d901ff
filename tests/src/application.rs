//! An application that uses the public Socket.IO client: it takes its signals and waits with
//! patience.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a helper of tests fails the test"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else comes fails the test"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use selvedge::socketio::{Backoff, Builder, Client, Event, Signal, Socket};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};

use crate::PATIENCE;

/// A client of the server at `port` here, with waits that are short enough for a test.
pub fn client(port: u16) -> Builder {
    Client::connect(&format!("http://127.0.0.1:{port}")).backoff(quick())
}

/// Waits of at most 100 ms.
pub fn quick() -> Backoff {
    let most = Duration::from_millis(100);
    let mut quick = Backoff::default();
    quick.first = most;
    quick.most = most;
    quick.after_live = most;
    quick.after_stable = most;
    quick.dials = 100;
    quick
}

/// A server that takes TCP connections and closes them, and how many there were.
///
/// # Panics
///
/// Where there is no free port.
pub async fn slammer() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let port = listener.local_addr().expect("its own address").port();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok(accepted) = listener.accept().await {
            drop(accepted);
            seen.fetch_add(1, Ordering::Relaxed);
        }
    });
    (port, count)
}

/// Waits until there are no more attempts: seven times the longest wait of [`quick`] without one.
///
/// # Panics
///
/// If they go on for [`PATIENCE`].
pub async fn stops(count: &AtomicUsize) {
    let stopping = async {
        loop {
            let then = count.load(Ordering::Relaxed);
            sleep(Duration::from_millis(700)).await;
            if count.load(Ordering::Relaxed) == then {
                return;
            }
        }
    };
    let stopped = timeout(PATIENCE, stopping).await;
    stopped.expect("no more attempts");
}

/// The next signal.
///
/// # Panics
///
/// If there is none within [`PATIENCE`], or the stream has ended.
pub async fn signal(socket: &mut Socket) -> Signal {
    match timeout(PATIENCE, socket.next()).await {
        Ok(Some(signal)) => signal,
        Ok(None) => panic!("{socket:?} has ended"),
        Err(_) => panic!("{socket:?} is silent"),
    }
}

/// Waits until the namespace is joined, past failed attempts: was it recovered?
///
/// # Panics
///
/// If anything else comes before.
pub async fn connected(socket: &mut Socket) -> bool {
    loop {
        match signal(socket).await {
            Signal::Connected { recovered, .. } => return recovered,
            Signal::Retrying { .. } => {}
            other => panic!("not joined: {other:?}"),
        }
    }
}

/// The next signal, which is an event.
///
/// # Panics
///
/// If it is not.
pub async fn event(socket: &mut Socket) -> Event {
    match signal(socket).await {
        Signal::Event(event) => event,
        other => panic!("not an event: {other:?}"),
    }
}

/// The name and the arguments of the next signal, which is an event.
///
/// # Panics
///
/// If it is not.
pub async fn parts(socket: &mut Socket) -> (String, Value) {
    let event = event(socket).await;
    let args = event.args();
    let args = args.unwrap_or_else(|error| panic!("{event:?}: {error}"));
    (event.name().to_owned(), args)
}

/// Waits until the server, which answers the event `transport`, sees the client on this one.
///
/// # Panics
///
/// If it does not within [`PATIENCE`], or anything else comes.
pub async fn arrives_at(socket: &mut Socket, transport: &str) {
    let arriving = async {
        loop {
            let asked = socket.emit("transport", &()).await;
            asked.expect("a connection");
            let (name, args) = parts(socket).await;
            assert_eq!(name, "transport");
            if args == json!([transport]) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let arrived = timeout(PATIENCE, arriving).await;
    arrived.unwrap_or_else(|_| panic!("not on {transport}"));
}

/// Waits until the namespace is not joined any more, past events: why, and when it is tried again.
///
/// # Panics
///
/// If anything else comes before.
pub async fn disconnected(socket: &mut Socket) -> (String, Option<Duration>) {
    loop {
        match signal(socket).await {
            Signal::Disconnected { why, retry_in } => return (why, retry_in),
            Signal::Event(_) => {}
            other => panic!("not a loss: {other:?}"),
        }
    }
}
