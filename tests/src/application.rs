//! An application that uses the public Socket.IO client: it takes its signals and waits with
//! patience.

#![expect(clippy::panic, reason = "a helper of tests fails the test")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else comes fails the test"
)]

use std::time::Duration;

use selvedge::socketio::{Backoff, Builder, Client, Event, Signal, Socket};
use serde_json::Value;
use tokio::time::timeout;

use crate::PATIENCE;

/// A client of the server at `port` here, with waits that are short enough for a test.
pub fn client(port: u16) -> Builder {
    Client::connect(&format!("http://127.0.0.1:{port}")).backoff(quick())
}

/// Waits of at most 100 ms.
pub fn quick() -> Backoff {
    let most = Duration::from_millis(100);
    Backoff {
        first: most,
        most,
        after_live: most,
        after_stable: most,
        dials: 100,
        ..Backoff::default()
    }
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
