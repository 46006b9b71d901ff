//! The official Socket.IO client against our server. The sections, facts, rows and lessons that
//! are named here are those of what is known to go wrong between other servers and that client.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use selvedge::clock::Clock;
use selvedge_core::{
    RequestId,
    engineio::{self, Heartbeat, packet::DecodeError},
    socketio::{
        CallError, CloseReason, Namespace,
        event::{Attachment, Emission},
        server::{Config, Input, Output},
    },
    ws,
};
use selvedge_tests::{
    PATIENCE,
    conformance::LATE_MAX,
    npm::{self, Peer},
    socket::{Server, binary_arguments, listen, parts, realtime, root},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

const INTERVAL: Duration = Duration::from_millis(300);
/// Longer than a machine under load makes anybody late.
const TIMEOUT: Duration = Duration::from_secs(20);
/// For those who want to see it pass.
const SHORT_TIMEOUT: Duration = Duration::from_secs(3);

/// Quick heartbeats.
fn config() -> Config {
    config_with(TIMEOUT)
}

/// The same, with the patience for a pong.
fn config_with(timeout: Duration) -> Config {
    let mut config = Config::default();
    config.engine.heartbeat = Heartbeat {
        interval: INTERVAL,
        timeout,
    };
    config
}

/// A client that plays `scenario`, and our end of its connection; `None` where there is no Node.
async fn connection(scenario: &str, options: &Value) -> Option<(Peer, Server)> {
    connection_with(config(), scenario, options).await
}

async fn connection_with(
    config: Config,
    scenario: &str,
    options: &Value,
) -> Option<(Peer, Server)> {
    let (listener, port) = listen().await;
    let peer = npm::client(port, scenario, options)?;
    let server = Server::accept(&listener, config).await;
    Some((peer, server))
}

/// The same, with the client let into `/`.
async fn joined(scenario: &str, options: &Value) -> Option<(Peer, Server)> {
    let (mut peer, mut server) = connection(scenario, options).await?;
    let_in(&mut peer, &mut server, &root()).await;
    Some((peer, server))
}

/// A client in `/` that only stays, and our end, which waits [`SHORT_TIMEOUT`] for a pong.
async fn watched() -> Option<(Peer, Server)> {
    let config = config_with(SHORT_TIMEOUT);
    let (mut peer, mut server) = connection_with(config, "stay", &json!({})).await?;
    let_in(&mut peer, &mut server, &root()).await;
    Some((peer, server))
}

/// Lets the client into `namespace`, and waits until it knows.
async fn let_in(peer: &mut Peer, server: &mut Server, namespace: &Namespace) {
    server.asked(namespace).await;
    server.admit(namespace, "some-sid").await;
    peer.saw(&json!({ "saw": "connect", "namespace": namespace.as_str() }))
        .await;
}

/// What the client prints when it has lost a namespace.
fn left(namespace: &str, reason: &str, will_retry: bool) -> Value {
    json!({
        "saw": "disconnect",
        "namespace": namespace,
        "reason": reason,
        "will_retry": will_retry,
    })
}

/// Has a question answered, which shows that the connection works both ways.
async fn assert_alive(server: &mut Server, namespace: &Namespace) {
    let question = (namespace, "alive", &json!(["?"]));
    server.call(u64::MAX, question, PATIENCE).await;
    assert_eq!(server.answer().await, (u64::MAX, Ok(json!(["?"]))));
}

/// Lesson 25: many namespaces on one connection, each with its auth and a `sid` of its own.
#[tokio::test]
async fn a_client_is_asked_for_and_let_into_each_namespace() {
    let options = json!({ "namespaces": ["/", "/realtime"], "tokens": ["zwölf \"12\"", "two"] });
    let Some((mut peer, mut server)) = connection("stay", &options).await else {
        return;
    };
    for (namespace, token) in [(root(), "zwölf \"12\""), (realtime(), "two")] {
        let auth = server.asked(&namespace).await;
        assert_eq!(auth, json!({ "token": token }));
    }
    // In the other order, and not before it is asked for by the test.
    sleep(Duration::from_millis(100)).await;
    assert_eq!(peer.seen().len(), 0);
    for (namespace, sid) in [(realtime(), "sid-1"), (root(), "sid-2")] {
        server.admit(&namespace, sid).await;
        let name = namespace.as_str();
        let wanted = json!({ "saw": "connect", "namespace": name, "sid": sid });
        peer.saw(&wanted).await;
    }
    assert_alive(&mut server, &root()).await;
    assert_alive(&mut server, &realtime()).await;
}

/// Lessons 4 and 5: `connect_error` has our words and data, and other namespaces go on. A client
/// does not ask again by itself.
#[tokio::test]
async fn a_refusal_reaches_the_client_with_its_data() {
    let options = json!({ "namespaces": ["/", "/realtime", "/nowhere"] });
    let Some((mut peer, mut server)) = joined("stay", &options).await else {
        return;
    };
    let nowhere = Namespace::new("/nowhere").unwrap();
    let data = json!({ "code": 401, "words": ["ü", null] });
    for (namespace, message, data) in [
        (realtime(), "unauthorized", Some(data)),
        (nowhere, "Invalid namespace", None),
    ] {
        server.asked(&namespace).await;
        let mut wanted = json!({
            "saw": "connect_error",
            "namespace": namespace.as_str(),
            "message": message,
            "will_retry": false,
        });
        server
            .send(Input::Refuse {
                namespace,
                message: message.into(),
                data: data.as_ref().map(|data| data.to_string().into()),
            })
            .await;
        let line = peer.saw(&wanted).await;
        wanted["data"] = data.unwrap_or_default();
        assert_eq!(line.get("data").unwrap_or(&Value::Null), &wanted["data"]);
    }
    assert_alive(&mut server, &root()).await;
}

/// The rows on events without arguments, on names and on size; and that what the client emits
/// while it waits for its admission arrives after it, in order.
#[tokio::test]
async fn events_go_both_ways_under_their_own_names_with_all_their_arguments() {
    let text = "Größe \u{1f9f5}\u{2028}\u{0}\u{1e}\"\\\n";
    let events = json!([
        ["plain"],
        ["several", 1, "two", null, [3.5], { "five": [{}] }],
        ["ünïcödé \u{1f9f5} \"'", text, { text: text }],
        ["error", "not one"],
        ["open"],
        ["close"],
        ["message", "[\"of its own\"]"],
    ]);
    for scenario in ["emit", "emit_early"] {
        let options = json!({ "events": events });
        let Some((mut peer, mut server)) = connection(scenario, &options).await else {
            return;
        };
        server.asked(&root()).await;
        sleep(Duration::from_millis(100)).await;
        server.admit(&root(), "sid").await;
        for event in events.as_array().unwrap() {
            let (name, args) = event.as_array().unwrap().split_first().unwrap();
            let (name, args) = (name.as_str().unwrap(), json!(args));
            let event = server.event(&root()).await;
            assert_eq!(parts(&event), (name.into(), args.clone()));
            assert_eq!(event.ack(), None);
            server.emit(&root(), name, &args).await;
            let wanted = json!({ "saw": "event", "namespace": "/", "name": name, "args": args });
            peer.saw(&wanted).await;
        }
        let large = json!(["x".repeat(300_000)]);
        server.call(1, (&root(), "large", &large), PATIENCE).await;
        assert_eq!(server.answer().await, (1, Ok(large)));
    }
}

/// The row on 200 concurrent calls, and lesson 32, from the client: each call gets the answer that
/// we give to it, in whatever order we give them.
#[tokio::test]
async fn the_client_gets_each_of_two_hundred_answers() {
    let events: Vec<_> = (0..200).map(|i| json!(["square", i])).collect();
    let options = json!({ "events": events });
    let Some((mut peer, mut server)) = joined("call", &options).await else {
        return;
    };
    let mut asked = Vec::new();
    for _ in 0..200 {
        let event = server.event(&root()).await;
        let (i,) = event.args::<(u64,)>().unwrap();
        asked.push((i, event.ack().unwrap()));
    }
    for (i, ack) in asked.into_iter().rev() {
        let answer = Emission::answer(&root(), ack, &(i * i, "sqüare")).unwrap();
        server.send(Input::Emit(answer)).await;
    }
    for i in (0..200).rev() {
        let wanted = json!({ "saw": "answer", "i": i, "answer": [i * i, "sqüare"] });
        peer.saw(&wanted).await;
    }
    peer.stop().await;
    server.disconnected(&root()).await;
}

/// The rows on 200 concurrent calls and on an ack timeout, and lessons 24 and 33, from this side.
#[tokio::test]
async fn calls_to_the_client_end_each_with_its_own_answer() {
    let options = json!({ "namespaces": ["/", "/realtime"] });
    let Some((mut peer, mut server)) = joined("stay", &options).await else {
        return;
    };
    let_in(&mut peer, &mut server, &realtime()).await;
    let patience = Duration::from_millis(100);
    let no_args = json!([]);
    server
        .call(999, (&root(), "mute", &no_args), patience)
        .await;
    for id in 0..200 {
        let namespace = if id % 2 == 0 { root() } else { realtime() };
        let args = json!([id, { "half": id / 2 }]);
        server.call(id, (&namespace, "echo", &args), PATIENCE).await;
    }
    let mut ended = Vec::new();
    for _ in 0..201 {
        ended.push(server.answer().await);
    }
    ended.sort_by_key(|(id, _)| *id);
    assert_eq!(ended.pop(), Some((999, Err(CallError::Timeout))));
    for (i, ended) in (0..200).zip(ended) {
        assert_eq!(ended, (i, Ok(json!([i, { "half": i / 2 }]))));
    }
    let question = (&root(), "nothing", &no_args);
    server.call(1, question, PATIENCE).await;
    assert_eq!(server.answer().await, (1, Ok(json!([]))));
}

/// Lesson 33: a client whose question stays open runs into its own timeout, and goes on.
#[tokio::test]
async fn a_question_that_is_left_open_costs_the_client_its_patience_alone() {
    let options = json!({ "events": [["open", 1]], "timeout": 100 });
    let Some((mut peer, mut server)) = joined("call", &options).await else {
        return;
    };
    let ack = server.event(&root()).await.ack().unwrap();
    let late = json!({ "saw": "answer", "i": 0, "answer": "operation has timed out" });
    peer.saw(&late).await;
    let answer = Emission::answer(&root(), ack, &("late",)).unwrap();
    server.send(Input::Emit(answer)).await;
    assert_alive(&mut server, &root()).await;
}

/// Lesson 14: the client can tell a kick from the end of the connection.
#[tokio::test]
async fn a_kick_reaches_the_client_and_leaves_its_other_namespace() {
    let options = json!({ "namespaces": ["/", "/realtime"] });
    let Some((mut peer, mut server)) = joined("stay", &options).await else {
        return;
    };
    let_in(&mut peer, &mut server, &realtime()).await;
    let question = (&realtime(), "mute", &json!([]));
    server.call(1, question, PATIENCE).await;
    let namespace = realtime();
    server.send(Input::Disconnect { namespace }).await;
    assert_eq!(server.answer().await, (1, Err(CallError::Disconnected)));
    peer.saw(&left("/realtime", "io server disconnect", false))
        .await;
    assert_alive(&mut server, &root()).await;
    server.send(Input::Close).await;
    peer.saw(&left("/", "transport close", true)).await;
}

/// Lessons 1, 2 and 6: the auth callback is asked at each connect, and the new token arrives.
#[tokio::test]
async fn a_client_that_comes_back_brings_new_auth() {
    let (listener, port) = listen().await;
    let options = json!({ "tokens": ["one", "two", "three"] });
    let Some(mut peer) = npm::client(port, "stay", &options) else {
        return;
    };
    for token in ["one", "two", "three"] {
        let mut server = Server::accept(&listener, config()).await;
        assert_eq!(server.asked(&root()).await, json!({ "token": token }));
        server.admit(&root(), token).await;
        peer.saw(&json!({ "saw": "connect", "sid": token })).await;
        assert_alive(&mut server, &root()).await;
        if token == "one" {
            server.send(Input::Close).await;
            let reason = server.closed().await;
            assert_eq!(reason, CloseReason::Engine(engineio::CloseReason::Local));
        }
        // Otherwise as in a crash: dropped without a word.
        drop(server);
        peer.saw(&left("/", "transport close", true)).await;
        peer.saw(&json!({ "saw": "reconnect_attempt", "attempt": 1 }))
            .await;
    }
}

/// A client that leaves its last namespace hangs up; one that leaves another stays.
#[tokio::test]
async fn a_client_that_leaves_is_told_from_one_that_is_lost() {
    let options = json!({ "namespaces": ["/", "/realtime"] });
    let Some((mut peer, mut server)) = connection("leave", &options).await else {
        return;
    };
    server.asked(&root()).await;
    server.asked(&realtime()).await;
    for namespace in [root(), realtime()] {
        server.admit(&namespace, "sid").await;
        server.disconnected(&namespace).await;
        let wanted = left(namespace.as_str(), "io client disconnect", false);
        peer.saw(&wanted).await;
    }
    let CloseReason::Engine(engineio::CloseReason::Transport(ws::Closed::Peer { .. })) =
        server.closed().await
    else {
        panic!("not a hang-up: {:#?}", server.seen());
    };

    let Some((mut peer, mut server)) = joined("stay", &json!({})).await else {
        return;
    };
    peer.kill().await;
    let reason = server.closed().await;
    let is_crash = matches!(
        reason,
        CloseReason::Engine(engineio::CloseReason::Transport(ws::Closed::Broken(_)))
    );
    assert!(is_crash, "{reason}");
    let namespace = root();
    assert!(!server.seen().contains(&Output::Disconnected { namespace }));
}

/// The row on a slow handler: pings go out and pongs are taken however long nobody takes the
/// outputs. The client holds us to the rhythm that the handshake announced.
#[tokio::test]
async fn the_heartbeat_keeps_a_quiet_connection() {
    let clock = Clock::start();
    let began = clock.now();
    let Some((_peer, mut server)) = watched().await else {
        return;
    };
    sleep(INTERVAL + SHORT_TIMEOUT + INTERVAL * 3).await;
    let written = server.written();
    let pings = written.iter().filter(|frame| *frame == "2").count();
    let intervals = clock.now().since(began).as_millis() / INTERVAL.as_millis();
    let expected = 3..=intervals as usize;
    assert!(expected.contains(&pings), "{written:?}");
    assert_alive(&mut server, &root()).await;
}

/// Lessons 10, 13 and 14: a silent client is given up in interval + timeout, with a reason.
#[tokio::test]
async fn a_client_that_stops_answering_is_given_up() {
    let Some((peer, mut server)) = watched().await else {
        return;
    };
    let question = (&root(), "mute", &json!([]));
    server.call(1, question, PATIENCE).await;
    peer.freeze();
    let bound = INTERVAL + SHORT_TIMEOUT + LATE_MAX;
    let ended = timeout(bound, async {
        let ended = server.answer().await;
        assert_eq!(ended, (1, Err(CallError::Disconnected)));
        server.closed().await
    });
    let silence = CloseReason::Engine(engineio::CloseReason::PingTimeout);
    assert_eq!(ended.await, Ok(silence));
}

/// The other way about: a client that hears no ping within interval + timeout leaves.
#[tokio::test]
async fn a_client_gives_up_a_server_that_does_not_keep_its_rhythm() {
    let (listener, port) = listen().await;
    let Some(mut peer) = npm::client(port, "stay", &json!({})) else {
        return;
    };
    let (tcp, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut silent = tokio_tungstenite::accept_async(tcp).await.unwrap();
    for frame in [
        r#"0{"sid":"x","upgrades":[],"pingInterval":1000,"pingTimeout":1000,"maxPayload":9}"#,
        r#"40{"sid":"y"}"#,
    ] {
        silent.send(Message::text(frame)).await.unwrap();
    }
    peer.saw(&left("/", "ping timeout", true)).await;
}

/// Fact 6 and lesson 29: what is above the limit that we announced ends the session, with a reason.
#[tokio::test]
async fn what_is_not_taken_ends_the_session_with_a_reason() {
    let (listener, port) = listen().await;
    let options = json!({ "events": [["event", "x".repeat(2_000)]] });
    let Some(mut peer) = npm::client(port, "emit", &options) else {
        return;
    };
    let mut config = config();
    config.engine.max_payload = 1_000;
    let mut server = Server::accept(&listener, config).await;
    let_in(&mut peer, &mut server, &root()).await;
    let too_large = DecodeError::TooLarge {
        bytes: 2_014,
        max: 1_000,
    };
    assert_eq!(
        server.closed().await,
        CloseReason::Engine(engineio::CloseReason::BadPacket(too_large))
    );
    peer.saw(&left("/", "transport close", true)).await;
}

/// The rows on binary content, and lesson 23: several attachments, nested, empty and with the byte
/// that separates packets elsewhere; and what follows them is not lost.
#[tokio::test]
async fn attachments_of_the_client_arrive_with_their_events() {
    let Some((_peer, mut server)) = joined("send_bytes", &json!({})).await else {
        return;
    };
    let place = |num: usize| json!({ "_placeholder": true, "num": num });
    let (bytes, empty, mark) = (&[1, 2, 3][..], &[][..], &[0x1e][..]);
    for (name, args, contents) in [
        ("bytes", json!([place(0)]), vec![bytes]),
        (
            "several",
            json!([{ "json": [1] }, place(0), place(1)]),
            vec![mark, empty],
        ),
        (
            "nested",
            json!([{ "a": [{ "b": place(0) }, "text"], "c": place(1) }, null]),
            vec![mark, bytes],
        ),
        ("after", json!(["text"]), vec![]),
    ] {
        let event = server.event(&root()).await;
        assert_eq!(parts(&event), (name.into(), args));
        assert_eq!(event.attachments(), contents);
    }
    let question = server.event(&root()).await;
    let (first, seven, second) = question.args::<(Attachment, u8, Attachment)>().unwrap();
    assert_eq!((first, seven, second), (Attachment(0), 7, Attachment(1)));
    let contents = question.attachments().to_vec();
    assert_eq!(contents, [mark, empty]);
    // The client hands what stands in the array back as arguments.
    let args = [[place(1), place(0)]];
    let ack = question.ack().unwrap();
    let answer = Emission::answer_with(&root(), ack, &args, contents).unwrap();
    server.send(Input::Emit(answer)).await;
    let back = server.event(&root()).await;
    assert_eq!(parts(&back), ("back".into(), json!([place(0), place(1)])));
    assert_eq!(back.attachments(), [empty, mark]);
}

/// The other direction: the client hands events and answers with attachments back as they came.
#[tokio::test]
async fn attachments_reach_the_client_with_their_events_and_answers() {
    let Some((_peer, mut server)) = joined("stay", &json!({})).await else {
        return;
    };
    for (id, (args, contents)) in (0..).zip(binary_arguments()) {
        let mut handed = vec![json!("back")];
        handed.extend(args.as_array().unwrap().clone());
        let emission =
            Emission::event_with(&root(), "hand_back", &handed, contents.clone()).unwrap();
        server.send(Input::Emit(emission)).await;
        let back = server.event(&root()).await;
        assert_eq!(parts(&back), ("back".into(), args.clone()));
        assert_eq!(back.attachments(), contents);

        let question = Emission::event_with(&root(), "echo", &args, contents.clone()).unwrap();
        server
            .send(Input::Call {
                id: RequestId::from_number(id),
                emission: question,
                patience: PATIENCE,
            })
            .await;
        let answer = server.whole_answer().await;
        assert_eq!(answer.args::<Value>().unwrap(), args);
        assert_eq!(answer.attachments(), contents);
    }
}

/// Facts 3, 4 and 5, and lessons 16 and 19, with a client of our own that breaks the protocol: the
/// server hangs up and says why.
#[tokio::test]
async fn malformed_frames_end_the_session_with_a_reason() {
    let (listener, port) = listen().await;
    for (frames, words) in [
        (&["x"][..], "unknown packet type 'x'"),
        (&[""], "an empty frame"),
        (&["2"], "\"ping\" where it has no place"),
        (&["4abc"], "unknown packet type 'a'"),
        (&["42[\"early\"]"], "EVENT has no place in /"),
        (&["41/other"], "DISCONNECT has no place in /other"),
        (&["40", "40"], "CONNECT has no place in /"),
        (&["40[]"], "of type CONNECT"),
        (&["40", "42{}"], "of type EVENT"),
        (&["40", "42abc[\"a\",\"b\"]"], "of type EVENT"),
        (&["40", "42[\"disconnect\"]"], "the reserved name"),
        (&["40", "450-[\"a\"]"], "an illegal count"),
        (&["1"], "the peer closed the connection"),
    ] {
        let peer = async {
            let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket");
            let (mut socket, _) = tokio_tungstenite::client_async(url, tcp).await.unwrap();
            for frame in frames {
                // The server may have hung up already.
                let _ = socket.send(Message::text(*frame)).await;
            }
            while let Some(Ok(frame)) = socket.next().await {
                if frame.is_close() {
                    return;
                }
            }
            panic!("no close frame after {frames:?}");
        };
        let server = async {
            let mut server = Server::accept(&listener, config()).await;
            let reason = server.closed().await.to_string();
            assert!(reason.contains(words), "{frames:?}: {reason}");
            server
        };
        let both = async { tokio::join!(peer, server) };
        timeout(PATIENCE, both).await.unwrap();
    }
}
