//! The public client against servers that go, come, fall silent and refuse: what other clients make
//! of that, the right way round.
#![expect(
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use selvedge::socketio::{CallError, Signal, Socket, Transport};
use selvedge_tests::{
    PATIENCE,
    application::{client, connected, disconnected, event, parts, signal, slammer, stops},
    npm,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Handle, time::timeout};

const BOTH: [Transport; 2] = [Transport::WebSocket, Transport::Polling];

/// A function for the auth that gives these tokens one after another, and the last one for ever.
fn tokens(
    tokens: &'static [&'static str],
) -> impl Fn() -> Ready<Result<Value, Infallible>> + Send + Sync + 'static {
    let asked = AtomicUsize::new(0);
    move || {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let token = tokens.get(number).or_else(|| tokens.last());
        ready(Ok(json!({ "token": token })))
    }
}

async fn refused(socket: &mut Socket) -> (String, Option<Duration>) {
    let Signal::Refused {
        message, retry_in, ..
    } = signal(socket).await
    else {
        panic!("not refused");
    };
    (message, retry_in)
}

/// There is nothing to register again, and nothing that could be registered twice.
#[tokio::test]
async fn an_event_is_told_once_however_often_the_client_came_back() {
    for transport in BOTH {
        let Some((_peer, port)) = npm::server(&json!({})).await else {
            return;
        };
        let mut socket = client(port).transports([transport]).open().unwrap();
        for round in 0..4 {
            connected(&mut socket).await;
            for name in ["first", "second"] {
                socket.emit(name, &(round,)).await.unwrap();
                assert_eq!(parts(&mut socket).await, (name.into(), json!([round])));
            }
            socket.call("alive", &()).await.unwrap();
            socket.emit("cut", &()).await.unwrap();
            assert!(disconnected(&mut socket).await.1.is_some());
        }
    }
}

#[tokio::test]
async fn a_refusal_after_a_loss_is_told_like_the_first_one() {
    for transport in BOTH {
        let Some((_peer, port)) = npm::server(&json!({})).await else {
            return;
        };
        let builder = client(port).transports([transport]);
        let auth = tokens(&["good", "bad", "bad", "good"]);
        let mut socket = builder.auth(auth).open().unwrap();
        connected(&mut socket).await;
        socket.emit("cut", &()).await.unwrap();
        assert!(disconnected(&mut socket).await.1.is_some());
        for _ in 0..2 {
            let (message, retry_in) = refused(&mut socket).await;
            assert_eq!(message, "unauthorized");
            assert!(retry_in.is_some());
        }
        connected(&mut socket).await;
        socket.call("alive", &()).await.unwrap();
    }
}

/// With the official client, `connect()` in the handler of `connect_error` broke the retry.
#[tokio::test]
async fn whoever_joins_again_when_refused_is_joined_once() {
    let Some((mut peer, port)) = npm::server(&json!({})).await else {
        return;
    };
    let auth = tokens(&["bad", "bad", "good"]);
    let mut socket = client(port).auth(auth).open().unwrap();
    for _ in 0..2 {
        refused(&mut socket).await;
        socket.rejoin();
        socket.rejoin();
    }
    connected(&mut socket).await;
    socket.rejoin();
    socket.call("alive", &()).await.unwrap();
    let saw = |what: &str, lines: &[Value]| lines.iter().filter(|it| it["saw"] == what).count();
    peer.saw(&json!({ "saw": "event", "name": "alive" })).await;
    assert_eq!(saw("connect", peer.seen()), 1, "{:#?}", peer.seen());
    assert_eq!(saw("auth", peer.seen()), 3, "{:#?}", peer.seen());
}

/// Its sockets stay open: only the heartbeat tells.
#[tokio::test]
async fn a_server_that_falls_silent_is_told_and_left() {
    for transport in BOTH {
        let options = json!({ "pingInterval": 300, "pingTimeout": 3_000 });
        let Some((peer, port)) = npm::server(&options).await else {
            return;
        };
        let mut socket = client(port).transports([transport]).open().unwrap();
        connected(&mut socket).await;
        let call = tokio::spawn({
            let sender = socket.sender().clone();
            async move { sender.call("mute", &()).await.unwrap_err() }
        });
        peer.freeze();
        let (why, retry_in) = disconnected(&mut socket).await;
        assert!(why.contains("heartbeat"), "{why}");
        assert!(retry_in.is_some());
        let error = timeout(PATIENCE, call).await.unwrap().unwrap();
        assert!(matches!(error, CallError::Disconnected), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_comes_later_is_found() {
    for transport in BOTH {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = nobody.local_addr().unwrap().port();
        drop(nobody);
        let mut socket = client(port).transports([transport]).open().unwrap();
        socket.emit("early", &(1,)).await.unwrap();
        for _ in 0..3 {
            let failed = signal(&mut socket).await;
            assert!(matches!(failed, Signal::Retrying { .. }), "{failed:?}");
        }
        let Some((_peer, _)) = npm::server_at(port, &json!({})).await else {
            return;
        };
        connected(&mut socket).await;
        assert_eq!(parts(&mut socket).await, ("early".into(), json!([1])));
    }
}

#[tokio::test]
async fn closing_in_an_outage_stops_the_attempts() {
    for transport in BOTH {
        let (port, count) = slammer().await;
        let mut socket = client(port).transports([transport]).open().unwrap();
        while count.load(Ordering::Relaxed) < 3 {
            signal(&mut socket).await;
        }
        timeout(PATIENCE, socket.close()).await.unwrap();
        stops(&count).await;
    }
}

#[tokio::test]
async fn attempts_that_fail_leave_nothing_running() {
    for transport in BOTH {
        let (port, count) = slammer().await;
        let before = Handle::current().metrics().num_alive_tasks();
        let mut socket = client(port).transports([transport]).open().unwrap();
        while count.load(Ordering::Relaxed) < 40 {
            signal(&mut socket).await;
        }
        // The client, its attempt, and what is just ending.
        let alive = Handle::current().metrics().num_alive_tasks();
        assert!(alive <= before + 6, "{transport:?}: {before} to {alive}");
    }
}

/// Such a string looks like an offset. The server does not know it, the client begins anew and
/// says so, and the next loss is recovered again.
#[tokio::test]
async fn a_string_at_the_end_of_a_volatile_event_costs_one_recovery() {
    let options = json!({ "connectionStateRecovery": {} });
    let Some((_peer, port)) = npm::server(&options).await else {
        return;
    };
    let mut socket = client(port).open().unwrap();
    connected(&mut socket).await;
    for (spoils, recovers) in [(true, false), (false, true), (true, false)] {
        socket.emit("echo", &(1,)).await.unwrap();
        assert_eq!(event(&mut socket).await.name(), "echo");
        if spoils {
            socket.emit("volatile", &("words",)).await.unwrap();
            assert_eq!(parts(&mut socket).await, ("now".into(), json!(["words"])));
        }
        socket.emit("cut", &("missed",)).await.unwrap();
        assert!(disconnected(&mut socket).await.1.is_some());
        assert_eq!(connected(&mut socket).await, recovers);
        if recovers {
            assert_eq!(event(&mut socket).await.name(), "missed");
        }
        socket.call("alive", &()).await.unwrap();
    }
}
