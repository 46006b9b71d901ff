//! The official Socket.IO client against the public server: over polling, over WebSocket, and from
//! the one to the other.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests fails the test"
)]

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use bytes::Bytes;
use selvedge::socketio::server::{
    Admission, Admitted, Attachment, Builder, CallError, End, Event, Namespace, Recovery, Refusal,
    Server, Socket,
};
use selvedge_tests::{
    PATIENCE,
    npm::{self, Peer},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

/// Each way to connect: what the client may use, where it begins, and whether it moves.
const WAYS: [(&[&str], &str, bool); 3] = [
    (&["polling", "websocket"], "polling", true),
    (&["polling"], "polling", false),
    (&["websocket"], "websocket", false),
];

/// A server whose sockets the test handles by itself.
struct Host {
    server: Server,
    port: u16,
    sockets: mpsc::UnboundedReceiver<Socket>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Host {
    /// With the namespaces `/` and `/realtime`, which want the token `token`.
    async fn start() -> Self {
        Self::with(Server::builder(), 0).await
    }

    async fn with(builder: Builder, port: u16) -> Self {
        let (sender, sockets) = mpsc::unbounded_channel();
        let namespace = Namespace::new().admit(admit).connected(move |socket| {
            sender.send(socket).unwrap();
            async {}
        });
        let builder = builder.namespace("/", namespace.clone());
        let server = builder.namespace("/realtime", namespace).start().unwrap();
        let app = Router::new().route_service("/socket.io/", server.service());
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            let serving = axum::serve(listener, app).with_graceful_shutdown(stopped);
            serving.await.unwrap();
        });
        Self {
            server,
            port,
            sockets,
            stop,
            serving,
        }
    }

    async fn socket(&mut self) -> Socket {
        let socket = timeout(PATIENCE, self.sockets.recv()).await;
        socket.expect("a socket in time").unwrap()
    }

    async fn stop(self) {
        self.server.close().await;
        let _ = self.stop.send(());
        timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

async fn admit(request: Admission) -> Result<Admitted, Refusal> {
    #[derive(Deserialize)]
    struct Auth<'a> {
        token: &'a str,
    }
    match request.auth::<Auth<'_>>()?.token {
        "token" => Ok(Admitted::user("its owner")),
        token => Err(Refusal::new("unauthorized").data(json!({ "code": 401, "not": token }))),
    }
}

#[expect(clippy::panic, reason = "an application whose admission has a bug")]
async fn undecided(_: Admission) -> Result<(), Refusal> {
    panic!("as planned")
}

/// A client that plays `scenario`, and its socket here.
async fn joined(host: &mut Host, scenario: &str, options: &Value) -> Option<(Peer, Socket)> {
    let peer = npm::client(host.port, scenario, options)?;
    Some((peer, host.socket().await))
}

async fn next(socket: &mut Socket) -> Event {
    let event = timeout(PATIENCE, socket.next()).await;
    event.expect("an event in time").expect("an event")
}

fn args(event: &Event) -> Value {
    event.args().unwrap()
}

/// What the client sees in no certain order.
async fn has_seen(peer: &mut Peer, wanted: &Value) -> Value {
    let fits = |line: &&Value| {
        let mut members = wanted.as_object().unwrap().iter();
        members.all(|(key, value)| line.get(key) == Some(value))
    };
    if let Some(line) = peer.seen().iter().find(fits) {
        return line.clone();
    }
    peer.saw(wanted).await
}

fn lost(reason: &str) -> Value {
    json!({ "saw": "disconnect", "reason": reason })
}

fn heard(name: &str, args: &Value) -> Value {
    json!({ "saw": "event", "name": name, "args": args })
}

#[tokio::test]
async fn a_client_connects_by_each_way() {
    for (transports, transport, moves) in WAYS {
        let mut host = Host::start().await;
        let more = json!({ "extraHeaders": { "x-team": "blue" } });
        let options = json!({ "transports": transports, "more": more });
        let Some((mut peer, mut socket)) = joined(&mut host, "stay", &options).await else {
            return;
        };
        let sid = socket.id().as_str();
        peer.saw(&json!({ "saw": "connect", "sid": sid })).await;
        let handshake = socket.handshake().unwrap();
        assert_eq!(handshake.header("x-team"), Some("blue"));
        assert_eq!(handshake.query("transport"), Some(transport));
        assert!(handshake.remote_addr().unwrap().ip().is_loopback());
        assert_eq!(socket.raw_auth(), r#"{"token":"token"}"#);
        if moves {
            has_seen(
                &mut peer,
                &json!({ "saw": "upgrade", "transport": "websocket" }),
            )
            .await;
        }
        let large = json!(["x".repeat(300_000), { "n": [1, null] }]);
        socket.emit("large", &large).await.unwrap();
        peer.saw(&heard("large", &large)).await;
        let handed = json!(["back", large[0], large[1]]);
        socket.emit("hand_back", &handed).await.unwrap();
        let back = next(&mut socket).await;
        assert_eq!((back.name(), args(&back)), ("back", large.clone()));
        assert!(!back.wants_answer());
        peer.stop().await;
        assert_eq!(socket.ended().await, End::Left);
        assert!(socket.next().await.is_none());
        host.stop().await;
    }
}

#[tokio::test]
async fn two_hundred_calls_at_once_each_get_their_answer_both_ways() {
    for (transports, ..) in WAYS {
        let mut host = Host::start().await;
        let events: Vec<_> = (0..200).map(|i| json!(["square", i])).collect();
        let options = json!({ "transports": transports, "events": events });
        let Some((mut peer, mut socket)) = joined(&mut host, "call", &options).await else {
            return;
        };
        let calls = (0..200).map(|i| {
            let socket = socket.sender().clone();
            tokio::spawn(async move {
                let answer = socket.call("echo", &(i, "e"), PATIENCE).await.unwrap();
                assert_eq!(answer.args::<(i32, String)>().unwrap(), (i, "e".into()));
            })
        });
        let calls: Vec<_> = calls.collect();
        let mut asked = Vec::new();
        for _ in 0..200 {
            asked.push(next(&mut socket).await);
        }
        for event in asked.into_iter().rev() {
            let (i,) = event.args::<(u64,)>().unwrap();
            assert!(event.wants_answer());
            event.answer(&(i * i,)).await.unwrap();
        }
        for i in (0..200).rev() {
            peer.saw(&json!({ "saw": "answer", "i": i, "answer": [i * i] }))
                .await;
        }
        for call in calls {
            call.await.unwrap();
        }
        let mute = socket.call("mute", &(), Duration::from_millis(50)).await;
        assert!(matches!(mute, Err(CallError::Timeout)));
        host.stop().await;
    }
}

#[tokio::test]
async fn binary_goes_both_ways_with_events_and_answers() {
    let (bytes, mark) = (Bytes::from_static(&[1, 2, 3]), Bytes::from_static(&[0x1e]));
    for (transports, ..) in WAYS {
        let mut host = Host::start().await;
        let options = json!({ "transports": transports });
        let Some((_peer, mut socket)) = joined(&mut host, "send_bytes", &options).await else {
            return;
        };
        let event = next(&mut socket).await;
        let (place,) = event.args::<(Attachment,)>().unwrap();
        assert_eq!(event.attachment(&place), Some(&bytes));
        assert_eq!(
            next(&mut socket).await.attachments(),
            [mark.clone(), Bytes::new()]
        );
        assert_eq!(
            next(&mut socket).await.attachments(),
            [mark.clone(), bytes.clone()]
        );
        assert_eq!(args(&next(&mut socket).await), json!(["text"]));
        let question = next(&mut socket).await;
        assert_eq!(question.attachments(), [mark.clone(), Bytes::new()]);
        let given = vec![bytes.clone(), mark.clone()];
        let places = (Attachment(0), "and", Attachment(1));
        let listed = ([Attachment(0), Attachment(1)],);
        question.answer_with(&listed, given.clone()).await.unwrap();
        let back = next(&mut socket).await;
        assert_eq!((back.name(), back.attachments()), ("back", &given[..]));
        let answer = socket.call_with("echo", &places, given.clone(), PATIENCE);
        assert_eq!(answer.await.unwrap().attachments(), given);
        let event = ("back", Attachment(0), 7, Attachment(1));
        socket
            .emit_with("hand_back", &event, given.clone())
            .await
            .unwrap();
        assert_eq!(next(&mut socket).await.attachments(), given);
        host.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_is_not_let_in_is_told_why() {
    let host = Host::start().await;
    let options = json!({
        "namespaces": ["/", "/realtime", "/nowhere"],
        "tokens": ["wrong", 7, "token"],
        "transports": ["polling", "websocket"],
    });
    let Some(mut peer) = npm::client(host.port, "stay", &options) else {
        return;
    };
    for (namespace, message, data) in [
        ("/", "unauthorized", json!({ "code": 401, "not": "wrong" })),
        ("/realtime", "invalid auth", Value::Null),
        ("/nowhere", "Invalid namespace", Value::Null),
    ] {
        let wanted = json!({
            "saw": "connect_error",
            "namespace": namespace,
            "message": message,
            "will_retry": false,
        });
        let line = has_seen(&mut peer, &wanted).await;
        assert_eq!(line.get("data").unwrap_or(&Value::Null), &data);
    }
}

#[tokio::test]
async fn rooms_hear_what_is_for_them() {
    let mut host = Host::start().await;
    let options = json!({ "namespaces": ["/realtime"] });
    let mut clients = Vec::new();
    for _ in 0..3 {
        let Some(client) = joined(&mut host, "stay", &options).await else {
            return;
        };
        clients.push(client);
    }
    let [(_, one), (_, two), (_, three)] = &clients[..] else {
        panic!("not three");
    };
    one.join("a").await.unwrap();
    two.join("a").await.unwrap();
    two.join("b").await.unwrap();
    assert_eq!(two.rooms(), ["a", "b"]);
    let all = || host.server.namespace("/realtime");
    all().to("a").to("b").emit("n", &(1,)).await.unwrap();
    all().except(one.id()).emit("n", &(2,)).await.unwrap();
    all()
        .except_room("b")
        .emit_volatile("n", &(3,))
        .await
        .unwrap();
    one.broadcast().to("a").emit("n", &(4,)).await.unwrap();
    two.leave("a").await.unwrap();
    all().to("a").emit("n", &(5,)).await.unwrap();
    three.emit_volatile("n", &(6,)).await.unwrap();
    all().emit("n", &(7,)).await.unwrap();
    let nobody = host.server.namespace("/nowhere").emit("n", &()).await;
    assert!(nobody.is_err());
    for ((peer, _), wanted) in
        clients
            .iter_mut()
            .zip([&[1, 3, 5, 7][..], &[1, 2, 4, 7], &[2, 3, 6, 7]])
    {
        peer.saw(&heard("n", &json!([7]))).await;
        let heard: Vec<_> = peer
            .seen()
            .iter()
            .filter(|line| line["saw"] == "event")
            .map(|line| line["args"][0].clone())
            .collect();
        assert_eq!(heard, wanted);
    }
}

/// What waits for a client that polls comes at once when it moves to a WebSocket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_reaches_clients_by_each_way() {
    for (transports, ..) in WAYS {
        let mut host = Host::start().await;
        let options = json!({ "transports": transports });
        let Some((mut peer, _socket)) = joined(&mut host, "stay", &options).await else {
            return;
        };
        let content = "x".repeat(1_000);
        for number in 0..5_000 {
            let all = host.server.namespace("/");
            all.emit("n", &(number, &content)).await.unwrap();
        }
        peer.saw(&heard("n", &json!([4_999, content]))).await;
        let numbers = peer.seen().iter().filter(|line| line["saw"] == "event");
        let numbers: Vec<_> = numbers.map(|line| line["args"][0].as_u64()).collect();
        assert!(numbers == (0..5_000).map(Some).collect::<Vec<_>>());
        host.stop().await;
    }
}

#[tokio::test]
async fn a_lost_client_gets_what_it_missed_or_begins_anew() {
    let mut recovery = Recovery::default();
    recovery.log_events_max = 3;
    for (transports, ..) in WAYS {
        let builder = Server::builder().recovery(recovery.clone());
        let mut host = Host::with(builder, 0).await;
        let more = json!({ "reconnectionDelay": 1_000, "reconnectionDelayMax": 1_000 });
        let options = json!({ "transports": transports, "more": more });
        let Some((mut peer, first)) = joined(&mut host, "stay", &options).await else {
            return;
        };
        assert!(!first.recovered());
        first.join("blue").await.unwrap();
        let all = || host.server.namespace("/");
        all().to("blue").emit("before", &(1,)).await.unwrap();
        first.emit("lose", &()).await.unwrap();
        let End::Lost(_) = first.ended().await else {
            panic!("not lost: {:?}", first.end());
        };
        all().to("blue").emit("missed", &(2,)).await.unwrap();
        let second = host.socket().await;
        assert!(second.recovered());
        assert_eq!(
            (second.id().as_str(), second.rooms()),
            (first.id().as_str(), vec!["blue".into()])
        );
        peer.saw(&json!({ "saw": "event", "name": "missed" })).await;
        peer.saw(&json!({ "saw": "connect", "recovered": true }))
            .await;

        second.emit("lose", &()).await.unwrap();
        second.ended().await;
        let all = || host.server.namespace("/");
        for i in 0..4 {
            all().emit("too_many", &(i,)).await.unwrap();
        }
        let third = host.socket().await;
        assert!(!third.recovered());
        assert_ne!(third.id().as_str(), second.id().as_str());
        peer.saw(&json!({ "saw": "connect", "recovered": false }))
            .await;
        host.stop().await;
    }
}

#[tokio::test]
async fn a_kick_ends_one_namespace_and_a_hang_up_all() {
    for (transports, ..) in WAYS {
        let mut host = Host::start().await;
        let options = json!({ "namespaces": ["/", "/realtime"], "transports": transports });
        let Some((mut peer, one)) = joined(&mut host, "stay", &options).await else {
            return;
        };
        let other = host.socket().await;
        one.disconnect().await.unwrap();
        peer.saw(&lost("io server disconnect")).await;
        assert_eq!(one.ended().await, End::Dismissed);
        assert!(one.emit("n", &()).await.is_err());
        other.call("echo", &(1,), PATIENCE).await.unwrap();
        other.close().await.unwrap();
        peer.saw(&lost("transport close")).await;
        assert_eq!(other.ended().await, End::Dismissed);
        host.stop().await;
    }
}

#[tokio::test]
async fn clients_come_back_whenever_the_server_does() {
    let mut host = Host::start().await;
    let port = host.port;
    let mut peers = Vec::new();
    for (transports, ..) in [WAYS[0], WAYS[2]] {
        let options = json!({ "transports": transports });
        let Some(peer) = npm::client(port, "stay", &options) else {
            return;
        };
        peers.push(peer);
    }
    for round in 0..4 {
        for _ in 0..2 {
            let socket = host.socket().await;
            let answer = socket.call("echo", &(round,), PATIENCE).await.unwrap();
            assert_eq!(answer.args::<(i32,)>().unwrap(), (round,));
        }
        host.stop().await;
        for peer in &mut peers {
            peer.saw(&lost("transport close")).await;
        }
        host = Host::with(Server::builder(), port).await;
    }
    for _ in 0..2 {
        host.socket().await;
    }
}

/// The client's heartbeat goes on, its handler's queue is bounded, and nobody else notices.
#[tokio::test]
async fn a_handler_that_is_too_slow_or_panics_costs_its_own_client_alone() {
    let builder = Server::builder().events_max(10, 1_000_000);
    let mut host = Host::with(builder, 0).await;
    let Some((mut other, calm)) = joined(&mut host, "stay", &json!({})).await else {
        return;
    };
    let events: Vec<_> = (0..11).map(|i| json!(["n", i])).collect();
    let options = json!({ "events": events });
    let (mut peer, mut slow) = joined(&mut host, "emit", &options).await.unwrap();
    peer.saw(&lost("transport close")).await;
    assert_eq!(slow.ended().await, End::TooSlow);
    for i in 0..10 {
        assert_eq!(args(&next(&mut slow).await), json!([i]));
    }
    assert!(slow.next().await.is_none());
    calm.emit("still", &()).await.unwrap();
    other.saw(&heard("still", &json!([]))).await;

    let panics = Namespace::new().connected(|_| async { panic!("as planned") });
    let undecided = Namespace::new().admit(undecided);
    let builder = Server::builder()
        .namespace("/panics", panics)
        .namespace("/undecided", undecided);
    let mut host = Host::with(builder, 0).await;
    let options = json!({ "namespaces": ["/panics", "/undecided", "/"] });
    let mut peer = npm::client(host.port, "stay", &options).unwrap();
    let calm = host.socket().await;
    has_seen(
        &mut peer,
        &json!({ "namespace": "/panics", "reason": "io server disconnect" }),
    )
    .await;
    has_seen(
        &mut peer,
        &json!({ "namespace": "/undecided", "message": "internal error" }),
    )
    .await;
    calm.call("echo", &(1,), PATIENCE).await.unwrap();
}
