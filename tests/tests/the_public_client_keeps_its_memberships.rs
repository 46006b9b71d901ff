//! The public Socket.IO client against the official server: losses, refusals, recovery, slow
//! consumers and the end.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, in its helpers too, also by a signal that has no place"
)]

use std::{
    convert::Infallible,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use selvedge::socketio::{
    Buffer, CallError, Client, Dial, EmitError, Signal, SlowConsumer, Socket, Transport, Unsent,
};
use selvedge_tests::{
    PATIENCE,
    application::{client, connected, disconnected, event, parts, quick, signal, slammer, stops},
    npm::{self, Peer},
};
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

async fn server(options: Value) -> Option<(Peer, u16)> {
    npm::server(&options).await
}

/// A function for the auth that gives another token each time, and how often it was asked.
fn tokens() -> (
    impl Fn() -> std::future::Ready<Result<Value, Infallible>> + Send + Sync + 'static,
    Arc<AtomicUsize>,
) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let auth = move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(json!({ "token": number })))
    };
    (auth, asked)
}

fn both() -> [Vec<Transport>; 2] {
    [vec![Transport::WebSocket], vec![Transport::Polling]]
}

#[tokio::test]
async fn after_a_restart_the_namespaces_are_joined_again_with_fresh_auth() {
    for transports in both() {
        let Some((mut peer, port)) = server(json!({})).await else {
            return;
        };
        let (auth, _) = tokens();
        let (realtime_auth, _) = tokens();
        let builder = client(port).transports(transports).auth(auth);
        let mut root = builder.open().unwrap();
        let mut realtime = root
            .namespace("/realtime")
            .auth(realtime_auth)
            .open()
            .unwrap();
        connected(&mut root).await;
        connected(&mut realtime).await;
        let open_call = tokio::spawn({
            let sender = root.sender().clone();
            async move { sender.call("mute", &()).await.unwrap_err() }
        });
        peer.saw(&json!({ "saw": "event", "name": "mute" })).await;
        peer.kill().await;
        for socket in [&mut root, &mut realtime] {
            let (why, retry_in) = disconnected(socket).await;
            assert!(!why.is_empty());
            assert!(retry_in.is_some());
        }
        let error = open_call.await.unwrap();
        assert!(matches!(error, CallError::Disconnected), "{error}");

        // What is emitted meanwhile is kept.
        root.emit("kept", &(1,)).await.unwrap();
        let (mut peer, _) = npm::server_at(port, &json!({})).await.unwrap();
        assert!(!connected(&mut root).await);
        connected(&mut realtime).await;
        for namespace in ["/", "/realtime"] {
            let wanted = json!({ "saw": "auth", "namespace": namespace, "auth": { "token": 1 } });
            peer.saw(&wanted).await;
        }
        assert_eq!(parts(&mut root).await, ("kept".into(), json!([1])));
        realtime.call("alive", &()).await.unwrap();
    }
}

#[tokio::test]
async fn a_kick_ends_one_membership_until_it_is_wanted_again() {
    let Some((_peer, port)) = server(json!({})).await else {
        return;
    };
    let mut root = client(port).open().unwrap();
    let mut realtime = root.namespace("/realtime").open().unwrap();
    connected(&mut root).await;
    connected(&mut realtime).await;
    realtime.emit("kick", &()).await.unwrap();
    assert_eq!(
        disconnected(&mut realtime).await,
        ("the server ended it".into(), None)
    );
    let error = realtime.emit("lost", &()).await.unwrap_err();
    assert!(matches!(error, EmitError::NotConnected), "{error}");
    root.call("alive", &()).await.unwrap();
    realtime.rejoin();
    connected(&mut realtime).await;
    realtime.call("alive", &()).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_told_with_its_data_and_followed_by_new_auth() {
    let Some((_peer, port)) = server(json!({})).await else {
        return;
    };
    for transports in both() {
        let count = Arc::new(AtomicUsize::new(0));
        let auth = move || {
            let token = if count.fetch_add(1, Ordering::Relaxed) < 2 {
                "bad"
            } else {
                "good"
            };
            async move { Ok::<_, Infallible>(json!({ "token": token })) }
        };
        let mut socket = client(port)
            .transports(transports)
            .auth(auth)
            .open()
            .unwrap();
        socket.emit("kept", &()).await.unwrap();
        for _ in 0..2 {
            let Signal::Refused {
                message,
                data,
                retry_in,
            } = signal(&mut socket).await
            else {
                panic!("not refused");
            };
            assert_eq!(message, "unauthorized");
            let data: Value = serde_json::from_str(&data.unwrap()).unwrap();
            assert_eq!(data, json!({ "code": 401, "retry": [true] }));
            assert!(retry_in.is_some());
        }
        connected(&mut socket).await;
        assert_eq!(parts(&mut socket).await, ("kept".into(), json!([])));
    }
    let bad = || async { Ok::<_, Infallible>(json!({ "token": "bad" })) };
    let mut socket = client(port).auth(bad).retry_refused(false).open().unwrap();
    let refused = signal(&mut socket).await;
    assert!(
        matches!(refused, Signal::Refused { retry_in: None, .. }),
        "{refused:?}"
    );
    let error = socket.emit("lost", &()).await.unwrap_err();
    assert!(matches!(error, EmitError::NotConnected), "{error}");
}

#[tokio::test]
async fn auth_that_panics_or_fails_is_a_refusal_and_asked_for_again() {
    let Some((_peer, port)) = server(json!({})).await else {
        return;
    };
    let count = Arc::new(AtomicUsize::new(0));
    let auth = move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        assert_ne!(number, 0, "a panic before the future");
        async move {
            assert_ne!(number, 1, "a panic within the future");
            match number {
                2 => Err("no token now"),
                3 => Ok(json!("no object")),
                _ => Ok(json!({ "token": "good" })),
            }
        }
    };
    let mut socket = client(port).auth(auth).open().unwrap();
    for words in [
        "the auth function panicked",
        "the auth function panicked",
        "no token now",
        "the auth is not a JSON object",
    ] {
        let Signal::Refused {
            message, retry_in, ..
        } = signal(&mut socket).await
        else {
            panic!("not refused");
        };
        assert_eq!(message, words);
        assert!(retry_in.is_some());
    }
    connected(&mut socket).await;
}

#[tokio::test]
async fn url_and_headers_are_found_out_before_each_attempt() {
    let Some((mut peer, port)) = server(json!({})).await else {
        return;
    };
    let count = Arc::new(AtomicUsize::new(0));
    let prepare = move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                0 => Err("no key now"),
                1 => Ok(Dial::new("http://127.0.0.1:1")),
                _ => {
                    let url = format!("http://127.0.0.1:{port}?room={number}");
                    Ok(Dial::new(&url).header("X-Key", &format!("key {number}")))
                }
            }
        }
    };
    let builder = Client::connect("http://unused.invalid").backoff(quick());
    let builder = builder.transports([Transport::WebSocket]).prepare(prepare);
    let mut socket = builder.open().unwrap();
    for words in ["no key now", "no connection to 127.0.0.1:1"] {
        let Signal::Retrying { why, .. } = signal(&mut socket).await else {
            panic!("no failure");
        };
        assert!(why.contains(words), "{why}");
    }
    for number in 2..4 {
        connected(&mut socket).await;
        let key = format!("key {number}");
        let wanted = json!({ "saw": "connect", "room": number.to_string(), "key": key });
        peer.saw(&wanted).await;
        socket.emit("cut", &()).await.unwrap();
        assert!(disconnected(&mut socket).await.1.is_some());
    }
}

#[tokio::test]
async fn what_was_missed_is_recovered_where_the_server_can() {
    let options = json!({ "connectionStateRecovery": {} });
    let Some((_peer, port)) = server(options).await else {
        return;
    };
    for transports in both() {
        let mut socket = client(port).transports(transports).open().unwrap();
        assert!(!connected(&mut socket).await);
        for round in 0..3 {
            // Without an event there is no offset to recover from.
            socket.emit("echo", &(round,)).await.unwrap();
            assert_eq!(event(&mut socket).await.args::<(u32,)>().unwrap(), (round,));
            socket.emit("cut", &("one", "two")).await.unwrap();
            assert!(disconnected(&mut socket).await.1.is_some());
            assert!(connected(&mut socket).await, "round {round}");
            for missed in ["one", "two"] {
                let event = event(&mut socket).await;
                assert_eq!(
                    (event.name(), event.args::<(&str,)>().unwrap().0),
                    ("missed", missed)
                );
            }
        }
        socket.emit("cut_and_forget", &()).await.unwrap();
        disconnected(&mut socket).await;
        assert!(!connected(&mut socket).await);
        socket.call("alive", &()).await.unwrap();
    }
}

/// The consumer sleeps longer than the server waits for a pong, and events come meanwhile.
#[tokio::test]
async fn a_handler_that_takes_four_seconds_does_not_lose_the_connection() {
    let options = json!({ "pingInterval": 500, "pingTimeout": 3_000 });
    let Some((_peer, port)) = server(options).await else {
        return;
    };
    let sockets = both().map(|transports| async move {
        let mut socket = client(port).transports(transports).open().unwrap();
        connected(&mut socket).await;
        socket.emit("flood", &(900,)).await.unwrap();
        assert_eq!(parts(&mut socket).await, ("tick".into(), json!([0])));
        sleep(Duration::from_secs(4)).await;
        for i in 1..900 {
            assert_eq!(parts(&mut socket).await, ("tick".into(), json!([i])));
        }
        socket.call("alive", &()).await.unwrap();
    });
    join_all(sockets).await;
}

#[tokio::test]
async fn a_full_queue_holds_the_server_back_and_loses_nothing() {
    let Some((_peer, port)) = server(json!({})).await else {
        return;
    };
    for (transports, count) in both().into_iter().zip([20_000, 9_000]) {
        let builder = client(port).transports(transports).queue(10);
        let mut socket = builder.open().unwrap();
        connected(&mut socket).await;
        socket.emit("flood", &(count,)).await.unwrap();
        sleep(Duration::from_millis(500)).await;
        for i in 0..count {
            assert_eq!(parts(&mut socket).await, ("tick".into(), json!([i])));
        }
        socket.call("alive", &()).await.unwrap();
    }
}

/// The other side of it: the heartbeat is held back as well.
#[tokio::test]
async fn a_full_queue_that_nobody_takes_from_loses_the_connection_and_gets_another() {
    let options = json!({ "pingInterval": 500, "pingTimeout": 3_000 });
    let Some((_peer, port)) = server(options).await else {
        return;
    };
    for transports in both() {
        let builder = client(port).transports(transports).queue(10);
        let mut socket = builder.open().unwrap();
        connected(&mut socket).await;
        socket.emit("flood", &(5_000,)).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        let (_, retry_in) = disconnected(&mut socket).await;
        assert!(retry_in.is_some());
        connected(&mut socket).await;
        socket.call("alive", &()).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_queue_can_drop_and_count_or_leave() {
    let Some((_peer, port)) = server(json!({})).await else {
        return;
    };
    let drop = client(port).queue(10).slow_consumer(SlowConsumer::Drop);
    let mut socket = drop.open().unwrap();
    connected(&mut socket).await;
    socket.emit("flood", &(100,)).await.unwrap();
    // An answer comes after everything.
    socket.call("alive", &()).await.unwrap();
    for i in 0..10 {
        assert_eq!(parts(&mut socket).await, ("tick".into(), json!([i])));
    }
    let lagged = signal(&mut socket).await;
    assert!(matches!(lagged, Signal::Lagged(90)), "{lagged:?}");
    socket.emit("echo", &()).await.unwrap();
    assert_eq!(parts(&mut socket).await.0, "echo");

    let leave = socket.namespace("/realtime").queue(10);
    let mut leaving = leave
        .slow_consumer(SlowConsumer::Disconnect)
        .open()
        .unwrap();
    connected(&mut leaving).await;
    leaving.emit("flood", &(100,)).await.unwrap();
    socket.call("alive", &()).await.unwrap();
    let (why, retry_in) = disconnected(&mut leaving).await;
    assert!(why.contains("did not take the events"), "{why}");
    assert_eq!(retry_in, None);
    assert!(leaving.next().await.is_none());
    let error = leaving.emit("lost", &()).await.unwrap_err();
    assert!(matches!(error, EmitError::Closed), "{error}");
    // The name is free again, and the old socket does not take it along.
    let mut again = socket.namespace("/realtime").open().unwrap();
    drop_now(leaving);
    connected(&mut again).await;
    again.call("alive", &()).await.unwrap();
}

fn drop_now<T>(it: T) {
    drop(it);
}

/// With the waits of production: 2 s hold the first wait of at most 1 s and what follows.
#[tokio::test]
async fn a_server_that_accepts_and_closes_meets_no_hot_loop() {
    let (port, count) = slammer().await;
    let url = format!("http://127.0.0.1:{port}");
    let mut socket = Client::connect(&url).open().unwrap();
    let first = signal(&mut socket).await;
    assert!(matches!(first, Signal::Retrying { .. }), "{first:?}");
    sleep(Duration::from_secs(2)).await;
    assert!(
        (1..=12).contains(&count.load(Ordering::Relaxed)),
        "{count:?}"
    );

    // One that closes after it has let the client in.
    let Some((mut peer, port)) = server(json!({})).await else {
        return;
    };
    let cut = || async { Ok::<_, Infallible>(json!({ "cut": true })) };
    let url = format!("http://127.0.0.1:{port}");
    let mut socket = Client::connect(&url).auth(cut).open().unwrap();
    connected(&mut socket).await;
    sleep(Duration::from_secs(3)).await;
    let connects = peer.seen().iter().filter(|line| line["saw"] == "connect");
    assert!((1..=12).contains(&connects.count()), "{:#?}", peer.seen());
}

#[tokio::test]
async fn dropping_the_last_socket_stops_the_attempts() {
    let (port, count) = slammer().await;
    let mut socket = client(port).open().unwrap();
    while count.load(Ordering::Relaxed) < 3 {
        signal(&mut socket).await;
    }
    let (sender, events) = socket.split();
    drop_now(events);
    sender.emit("kept", &()).await.unwrap();
    drop_now(sender);
    stops(&count).await;
}

#[tokio::test]
async fn close_says_goodbye_and_ends_everything() {
    let Some((mut peer, port)) = server(json!({})).await else {
        return;
    };
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for transports in both() {
        let mut socket = client(port).transports(transports).open().unwrap();
        connected(&mut socket).await;
        let sender = socket.sender().clone();
        socket.emit("last", &("word",)).await.unwrap();
        timeout(PATIENCE, socket.close()).await.unwrap();
        peer.saw(&json!({ "saw": "event", "name": "last" })).await;
        // Over polling, the server takes the goodbye of the connection, in the same body, first.
        peer.saw(&json!({ "saw": "disconnect" })).await;
        let error = sender.emit("lost", &()).await.unwrap_err();
        assert!(matches!(error, EmitError::Closed), "{error}");
        let error = sender.namespace("/realtime").open().unwrap_err();
        assert!(error.to_string().contains("connect anew"), "{error}");
        timeout(PATIENCE, sender.close()).await.unwrap();
    }
    let no_more = async {
        while tasks() > before {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, no_more).await.unwrap();
}

#[tokio::test]
async fn a_client_with_a_limit_gives_up_and_can_begin_anew() {
    let (port, count) = slammer().await;
    let limited = client(port)
        .attempts_max(NonZeroU32::new(3).unwrap())
        .transports([Transport::WebSocket])
        .buffer(Buffer::Keep {
            events_max: 2,
            bytes_max: 1_000,
        });
    let mut socket = limited.open().unwrap();
    socket.emit("kept", &()).await.unwrap();
    socket.emit("kept", &()).await.unwrap();
    let error = socket.emit("above", &()).await.unwrap_err();
    assert!(matches!(error, EmitError::BufferFull), "{error}");
    for round in 1..=2 {
        let why = loop {
            match signal(&mut socket).await {
                Signal::Retrying { .. } => {}
                Signal::GaveUp { why } => break why,
                other => panic!("{other:?}"),
            }
        };
        assert!(!why.is_empty());
        assert_eq!(count.load(Ordering::Relaxed), 3 * round);
        if round == 1 {
            let unsent = signal(&mut socket).await;
            let is_told = matches!(
                unsent,
                Signal::Unsent {
                    why: Unsent::NotConnected,
                    count: 2
                }
            );
            assert!(is_told, "{unsent:?}");
            socket.rejoin();
        }
    }
}

/// An answer to a question of a connection that is gone would answer another question.
#[tokio::test]
async fn an_answer_does_not_go_out_on_another_connection() {
    let Some((_peer, port)) = server(json!({})).await else {
        return;
    };
    let mut socket = client(port).open().unwrap();
    connected(&mut socket).await;
    socket.emit("ask", &(1, 60_000)).await.unwrap();
    let question = event(&mut socket).await;
    socket.emit("cut", &()).await.unwrap();
    disconnected(&mut socket).await;
    connected(&mut socket).await;
    let error = question.answer(&()).await.unwrap_err();
    assert!(matches!(error, EmitError::NotConnected), "{error}");
    drop_now(socket);
    let error = question.answer(&()).await.unwrap_err();
    assert!(matches!(error, EmitError::Closed), "{error}");
}

/// Lessons of others: what is replayed after the application has sent it again, and what fills up.
#[tokio::test]
async fn what_is_kept_can_be_cleared_and_grows_old() {
    let (port, _) = slammer().await;
    let unsent = async |socket: &mut Socket| loop {
        match signal(socket).await {
            Signal::Retrying { .. } => {}
            Signal::Unsent { why, count } => return (why, count),
            other => panic!("{other:?}"),
        }
    };
    let mut socket = client(port).open().unwrap();
    socket.emit("kept", &(1,)).await.unwrap();
    socket.emit("kept", &(2,)).await.unwrap();
    socket.sender().clear_buffer();
    assert_eq!(unsent(&mut socket).await, (Unsent::NotConnected, 2));

    let aging = client(port).keep_for(Duration::from_millis(50));
    let mut socket = aging.open().unwrap();
    socket.emit("kept", &()).await.unwrap();
    assert_eq!(unsent(&mut socket).await, (Unsent::Expired, 1));
    let error = socket.call_with_timeout("kept", &(), Duration::from_millis(20));
    assert!(matches!(error.await.unwrap_err(), CallError::Timeout));

    let mut socket = client(port).buffer(Buffer::Drop).open().unwrap();
    let error = socket.emit("dropped", &()).await.unwrap_err();
    assert!(matches!(error, EmitError::NotConnected), "{error}");
    assert!(matches!(signal(&mut socket).await, Signal::Retrying { .. }));
}
