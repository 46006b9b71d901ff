//! Our Socket.IO client against the official server. The sections, facts, rows and lessons that
//! are named here are those of what is known to go wrong between other clients and that server.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use selvedge::clock::Clock;
use selvedge_core::{
    RequestId, engineio,
    socketio::{
        CallError, CloseReason, Namespace, Unsent,
        client::{Buffer, Config, Input, Output},
        event::{Attachment, Emission},
    },
    ws,
};
use selvedge_tests::{
    PATIENCE,
    conformance::LATE_MAX,
    npm::{self, Peer},
    socket::{Client, binary_arguments, listen, parts, realtime, root},
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

const INTERVAL: Duration = Duration::from_millis(300);
/// Longer than a machine under load makes anybody late.
const TIMEOUT: Duration = Duration::from_secs(20);
/// For those who want to see it pass.
const SHORT_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_PAYLOAD: usize = 1_000_000;

/// The official server with a quick heartbeat; `None` where there is no Node.
async fn server() -> Option<(Peer, u16)> {
    server_that_waits(TIMEOUT).await
}

/// The same, with its patience for a pong.
async fn server_that_waits(timeout: Duration) -> Option<(Peer, u16)> {
    npm::server(&json!({
        "pingInterval": INTERVAL.as_millis() as u64,
        "pingTimeout": timeout.as_millis() as u64,
        "maxHttpBufferSize": MAX_PAYLOAD,
    }))
    .await
}

async fn open(port: u16) -> Client {
    Client::connect(port, Config::default()).await
}

async fn join(client: &mut Client, namespace: &Namespace) {
    client.join(namespace, &json!({})).await;
    client.connected(namespace).await;
}

/// A client that has joined `/`.
async fn joined(port: u16) -> Client {
    let mut client = open(port).await;
    join(&mut client, &root()).await;
    client
}

/// Makes call 1, which the server does not answer.
async fn ask_in_vain(client: &mut Client, namespace: &Namespace) {
    let question = (namespace, "mute", &json!([]));
    client.call(1, question, PATIENCE).await;
}

/// Has an event come back, which shows that the connection works both ways.
async fn assert_alive(client: &mut Client, namespace: &Namespace) {
    client.emit(namespace, "alive", &json!([])).await;
    let (name, _) = parts(&client.event(namespace).await);
    assert_eq!(name, "alive");
}

/// The handshake is the server's; and nothing is sent unasked, such as the stray pong of the last
/// row of section 4.
#[tokio::test]
async fn it_opens_with_the_handshake_that_the_server_is_set_to() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut client = open(port).await;
    let handshake = client.opened().await;
    assert!(!handshake.sid.is_empty());
    let announced = (handshake.heartbeat.interval, handshake.heartbeat.timeout);
    assert_eq!(announced, (INTERVAL, TIMEOUT));
    assert_eq!(handshake.max_payload, Some(MAX_PAYLOAD as u64));
    assert!(handshake.upgrades.is_empty());
    assert_eq!(client.written(), [""; 0]);
}

/// Lessons 1, 2 and 25: each connection and each namespace has the auth of its own CONNECT.
#[tokio::test]
async fn the_server_sees_exactly_the_auth_of_each_connect() {
    let Some((mut server, port)) = server().await else {
        return;
    };
    for token in ["first", "zwölf \"quoted\"\u{1f9f5}"] {
        let mut client = open(port).await;
        let auths = [
            (root(), json!({ "token": token })),
            (realtime(), json!({ "token": [token], "more": null })),
        ];
        for (namespace, auth) in &auths {
            client.join(namespace, auth).await;
        }
        for (namespace, auth) in &auths {
            let wanted = json!({ "saw": "auth", "namespace": namespace.as_str(), "auth": auth });
            server.saw(&wanted).await;
        }
        for (namespace, _) in &auths {
            let sid = client.connected(namespace).await;
            server.saw(&json!({ "saw": "connect", "sid": sid })).await;
        }
    }
    let client = open(port).await;
    let (namespace, auth) = (root(), None);
    client
        .send(Input::Connect {
            namespace,
            auth,
            recover: None,
        })
        .await;
    server.saw(&json!({ "saw": "auth", "auth": {} })).await;
}

/// The row on CONNECT_ERROR, and lessons 3, 4 and 5: a refusal is told with its data, and the same
/// connection can ask again with a new token.
#[tokio::test]
async fn a_refusal_comes_with_its_data_and_new_auth_is_taken() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    client.join(&realtime(), &json!({ "token": "bad" })).await;
    let data = r#"{"code":401,"retry":[true]}"#;
    assert_eq!(
        client.refused(&realtime()).await,
        ("unauthorized".into(), Some(data.into()))
    );
    client.emit(&realtime(), "event", &json!([])).await;
    assert_eq!(client.dropped().await, (realtime(), Unsent::NotConnected));
    client.join(&realtime(), &json!({ "token": "good" })).await;
    client.connected(&realtime()).await;

    let nowhere = Namespace::new("/nowhere").unwrap();
    client.join(&nowhere, &json!({})).await;
    let (message, data) = client.refused(&nowhere).await;
    assert_eq!((message.as_str(), data), ("Invalid namespace", None));
    assert_alive(&mut client, &root()).await;
    assert_alive(&mut client, &realtime()).await;
}

/// Fact 5, the row on emitting right after connect() with async middleware, and lessons 21 and 31:
/// what is emitted before the reply is reported, not written, and the connection survives.
#[tokio::test]
async fn nothing_is_written_before_the_server_has_admitted() {
    let Some((mut server, port)) = server().await else {
        return;
    };
    let mut client = open(port).await;
    client.join(&root(), &json!({ "delay": 250 })).await;
    server.saw(&json!({ "saw": "auth" })).await;
    client.emit(&root(), "early", &json!([])).await;
    assert_eq!(client.dropped().await, (root(), Unsent::NotConnected));
    client
        .call(1, (&root(), "early", &json!([])), PATIENCE)
        .await;
    assert_eq!(client.answer().await, (1, Err(CallError::NotConnected)));
    client.connected(&root()).await;
    let mut written = client.written();
    written.retain(|frame| frame != "3");
    assert_eq!(written, [r#"40{"delay":250}"#]);
    assert_alive(&mut client, &root()).await;
}

/// Lessons 7, 8, 21 and 22: what is emitted before the reply waits for it where that is wanted, and
/// is written in order after it.
#[tokio::test]
async fn what_is_kept_is_written_when_the_server_has_admitted() {
    let Some((mut server, port)) = server().await else {
        return;
    };
    let config = Config {
        buffer: Buffer::Keep {
            events_max: 3,
            bytes_max: 1_000,
        },
        ..Config::default()
    };
    let mut client = Client::connect(port, config).await;
    client.join(&root(), &json!({ "delay": 250 })).await;
    client.emit(&root(), "first", &json!([1])).await;
    server.saw(&json!({ "saw": "auth" })).await;
    let contents = vec![vec![0x1e].into(), Vec::new().into()];
    let args = json!([Attachment(0), Attachment(1)]);
    let binary = Emission::event_with(&root(), "binary", &args, contents.clone()).unwrap();
    client.send(Input::Emit(binary)).await;
    client
        .call(1, (&root(), "call", &json!([2])), PATIENCE)
        .await;
    client.emit(&root(), "surplus", &json!([])).await;
    assert_eq!(client.dropped().await, (root(), Unsent::BufferFull));
    client.connected(&root()).await;
    for (name, args) in [("first", json!([1])), ("binary", args)] {
        let event = client.event(&root()).await;
        assert_eq!(parts(&event), (name.into(), args));
    }
    assert_eq!(client.answer().await, (1, Ok(json!([2]))));
    assert_alive(&mut client, &root()).await;
}

/// Fact 5: a DISCONNECT before the reply would cost the connection too, so it waits for the reply.
#[tokio::test]
async fn a_namespace_can_be_left_before_the_server_has_admitted() {
    let Some((mut server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    client.join(&realtime(), &json!({ "delay": 200 })).await;
    let namespace = realtime();
    client.send(Input::Disconnect { namespace }).await;
    let left = json!({
        "saw": "disconnect",
        "namespace": "/realtime",
        "reason": "client namespace disconnect",
    });
    server.saw(&left).await;
    assert_alive(&mut client, &root()).await;
}

/// The rows on events without arguments, on events with the names of lifecycle handlers and on
/// 300 KB; and fact 1: an offset at the end, which a server with recovery appends, is tolerated.
#[tokio::test]
async fn events_go_both_ways_under_their_own_names_with_all_their_arguments() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    join(&mut client, &realtime()).await;
    let text = "Größe \u{1f9f5}\u{2028}\u{0}\u{1e}\"\\\n";
    for (name, args) in [
        ("plain", json!([])),
        ("several", json!([1, "two", null, [3.5], { "five": [{}] }])),
        ("ünïcödé \u{1f9f5} \"'", json!([text, { text: text }])),
        ("error", json!(["not one"])),
        ("open", json!([])),
        ("close", json!([])),
        ("message", json!(["[\"of its own\"]"])),
        ("large", json!(["x".repeat(300_000)])),
    ] {
        for namespace in [root(), realtime()] {
            client.emit(&namespace, name, &args).await;
            let event = client.event(&namespace).await;
            assert_eq!(event.arg_count(), args.as_array().unwrap().len());
            assert_eq!(parts(&event), (name.into(), args.clone()));
            assert_eq!(event.ack(), None);
        }
    }
    client.emit(&root(), "offset", &json!([7, "Q7vcNid"])).await;
    let event = client.event(&root()).await;
    assert_eq!(event.args::<(u32,)>().unwrap(), (7,));
}

/// The rows on 200 concurrent calls and on calls within answers: each gets its own answer, in
/// whatever order they come.
#[tokio::test]
async fn two_hundred_calls_get_each_its_own_answer() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    for id in 0..200 {
        let args = json!([id * 7 % 40, id]);
        client.call(id, (&root(), "after", &args), PATIENCE).await;
    }
    let mut order = Vec::new();
    for _ in 0..200 {
        let (id, result) = client.answer().await;
        assert_eq!(result, Ok(json!([id * 7 % 40, id])));
        order.push(id);
    }
    assert!(!order.is_sorted(), "answered in order: this tests nothing");
    order.sort_unstable();
    assert!(order.into_iter().eq(0..200));
    client
        .call(0, (&root(), "nothing", &json!([])), PATIENCE)
        .await;
    assert_eq!(client.answer().await, (0, Ok(json!([]))));
}

/// The row on an ack timeout, and lesson 33: a call ends once, and a late answer means nothing.
#[tokio::test]
async fn a_call_without_an_answer_ends_with_its_patience() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    let patience = Duration::from_millis(100);
    let no_args = json!([]);
    client.call(1, (&root(), "mute", &no_args), patience).await;
    client
        .call(2, (&root(), "after", &json!([1_000])), patience)
        .await;
    assert_eq!(client.answer().await, (1, Err(CallError::Timeout)));
    assert_eq!(client.answer().await, (2, Err(CallError::Timeout)));
    client
        .call(3, (&root(), "after", &json!([1_100])), PATIENCE)
        .await;
    assert_eq!(client.answer().await, (3, Ok(json!([1_100]))));
}

/// The row on a server that asks the client for an ack, and lesson 24.
#[tokio::test]
async fn the_server_gets_answers_from_the_client() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    client.emit(&root(), "ask", &json!([200, 60_000])).await;
    for _ in 0..200 {
        let event = client.event(&root()).await;
        let (i,) = event.args::<(u64,)>().unwrap();
        let answer = Emission::answer(&root(), event.ack().unwrap(), &(i * i,)).unwrap();
        client.send(Input::Emit(answer)).await;
    }
    let squares: Vec<u64> = (0..200).map(|i| i * i).collect();
    let answers = parts(&client.event(&root()).await);
    assert_eq!(answers, ("answers".into(), json!([squares])));
    // One that is left open runs into the server's timeout.
    client.emit(&root(), "ask", &json!([1, 50])).await;
    client.event(&root()).await;
    let (_, answers) = parts(&client.event(&root()).await);
    assert_eq!(answers, json!([["operation has timed out"]]));
}

/// The rows on a slow handler and on the stray pong: pings are answered however long nobody takes
/// the outputs, with one pong each and none else.
#[tokio::test]
async fn the_heartbeat_keeps_a_quiet_connection() {
    let Some((_server, port)) = server_that_waits(SHORT_TIMEOUT).await else {
        return;
    };
    let clock = Clock::start();
    let began = clock.now();
    let mut client = joined(port).await;
    sleep(INTERVAL + SHORT_TIMEOUT + INTERVAL * 3).await;
    let written = client.written();
    let (first, pongs) = written.split_first().unwrap();
    assert_eq!(first, "40{}");
    let intervals = clock.now().since(began).as_millis() / INTERVAL.as_millis();
    let expected = 3..=intervals as usize;
    assert!(expected.contains(&pongs.len()), "{written:?}");
    assert!(pongs.iter().all(|frame| frame == "3"), "{written:?}");
    assert_alive(&mut client, &root()).await;
}

/// Lessons 13, 14 and 16: a silent peer ends the connection in interval + timeout, with a reason.
#[tokio::test]
async fn a_server_that_stops_pinging_is_given_up() {
    let Some((server, port)) = server_that_waits(SHORT_TIMEOUT).await else {
        return;
    };
    let mut client = joined(port).await;
    ask_in_vain(&mut client, &root()).await;
    server.freeze();
    let bound = INTERVAL + SHORT_TIMEOUT + LATE_MAX;
    let ended = tokio::time::timeout(bound, async {
        let ended = (client.answer().await, client.closed().await);
        assert_eq!(ended.0, (1, Err(CallError::Disconnected)));
        ended.1
    });
    let silence = CloseReason::Engine(engineio::CloseReason::PingTimeout);
    assert_eq!(ended.await, Ok(silence));
}

/// Lesson 14: a kick, a hang-up and a crash are told apart, and a kick leaves the connection.
#[tokio::test]
async fn the_ways_in_which_a_server_ends_it_are_told_apart() {
    let Some((mut server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    join(&mut client, &realtime()).await;
    let no_args = json!([]);
    ask_in_vain(&mut client, &realtime()).await;
    client.emit(&realtime(), "kick", &no_args).await;
    assert_eq!(client.answer().await, (1, Err(CallError::Disconnected)));
    client.disconnected(&realtime()).await;
    assert_alive(&mut client, &root()).await;
    join(&mut client, &realtime()).await;

    client.emit(&root(), "hang_up", &no_args).await;
    client.disconnected(&root()).await;
    client.disconnected(&realtime()).await;
    let CloseReason::Engine(engineio::CloseReason::Transport(ws::Closed::Peer { code, .. })) =
        client.closed().await
    else {
        panic!("not a hang-up: {:#?}", client.seen());
    };
    assert_eq!(code, 1005);

    let mut client = joined(port).await;
    server.kill().await;
    let reason = client.closed().await;
    let is_crash = matches!(
        reason,
        CloseReason::Engine(engineio::CloseReason::Transport(ws::Closed::Broken(_)))
    );
    assert!(is_crash, "{reason}");
    let namespace = root();
    assert!(!client.seen().contains(&Output::Disconnected { namespace }));
}

/// Lessons 1 and 14: a restart ends the old connection with a reason, and a new one starts from
/// nothing with auth of its own.
#[tokio::test]
async fn after_a_restart_a_new_connection_works() {
    for token in ["before", "after"] {
        let Some((mut server, port)) = server().await else {
            return;
        };
        let mut client = open(port).await;
        let auth = json!({ "token": token });
        client.join(&realtime(), &auth).await;
        client.connected(&realtime()).await;
        server.saw(&json!({ "saw": "auth", "auth": auth })).await;
        assert_alive(&mut client, &realtime()).await;
        server.stop().await;
        let reason = client.closed().await;
        let is_theirs = matches!(
            reason,
            CloseReason::Engine(engineio::CloseReason::Transport(_) | engineio::CloseReason::Peer)
        );
        assert!(is_theirs, "{reason}");
    }
}

/// Fact 6 and lesson 29: the server would hang up on a larger frame without a word.
#[tokio::test]
async fn an_event_above_the_limit_of_the_server_is_refused_here() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    let fits = "x".repeat(MAX_PAYLOAD - r#"42["size",""]"#.len());
    let surplus = json!([format!("{fits}x")]);
    let args = json!([fits]);
    client.emit(&root(), "size", &args).await;
    assert_eq!(client.event(&root()).await.raw_args().len(), fits.len() + 2);
    client.emit(&root(), "size", &surplus).await;
    assert_eq!(client.dropped().await, (root(), Unsent::TooLarge));
    // The id of a call takes one byte more.
    client.call(1, (&root(), "size", &args), PATIENCE).await;
    assert_eq!(client.answer().await, (1, Err(CallError::TooLarge)));
    assert_alive(&mut client, &root()).await;
}

/// Lesson 25: one of two namespaces ends, by this side, and the other goes on.
#[tokio::test]
async fn leaving_one_namespace_leaves_the_other() {
    let Some((mut server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    join(&mut client, &realtime()).await;
    ask_in_vain(&mut client, &root()).await;
    let namespace = root();
    client.send(Input::Disconnect { namespace }).await;
    assert_eq!(client.answer().await, (1, Err(CallError::Disconnected)));
    let left = |namespace: &str, reason: &str| json!({ "saw": "disconnect", "namespace": namespace, "reason": reason });
    server.saw(&left("/", "client namespace disconnect")).await;
    assert_alive(&mut client, &realtime()).await;
    join(&mut client, &root()).await;
    client.send(Input::Close).await;
    let reason = client.closed().await;
    assert_eq!(reason, CloseReason::Engine(engineio::CloseReason::Local));
    server.saw(&left("/realtime", "transport close")).await;
}

/// The rows on binary content, and lesson 23: several attachments, nested, empty and with the byte
/// that separates packets elsewhere; and what follows them is not lost.
#[tokio::test]
async fn events_with_attachments_go_both_ways() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    for (args, contents) in binary_arguments() {
        let emission = Emission::event_with(&root(), "file", &args, contents.clone()).unwrap();
        client.send(Input::Emit(emission)).await;
        client.emit(&root(), "next", &json!(["text"])).await;
        let event = client.event(&root()).await;
        assert_eq!(parts(&event), ("file".into(), args));
        assert_eq!(event.attachments(), contents);
        let next = client.event(&root()).await;
        assert_eq!(parts(&next), ("next".into(), json!(["text"])));
    }
    client.emit(&root(), "send_bytes", &json!([])).await;
    let event = client.event(&root()).await;
    let (bytes,) = event.args::<(Attachment,)>().unwrap();
    assert_eq!(event.attachment(&bytes).unwrap()[..], [1, 2, 3]);
    assert_alive(&mut client, &root()).await;
}

/// The same with answers, those of the server and ours.
#[tokio::test]
async fn answers_with_attachments_go_both_ways() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut client = joined(port).await;
    for (id, (args, contents)) in (0..).zip(binary_arguments()) {
        let question = Emission::event_with(&root(), "file", &args, contents.clone()).unwrap();
        client
            .send(Input::Call {
                id: RequestId::from_number(id),
                emission: question,
                patience: PATIENCE,
            })
            .await;
        let answer = client.whole_answer().await;
        assert_eq!(answer.args::<Value>().unwrap(), args);
        assert_eq!(answer.attachments(), contents);

        let order = Emission::event_with(&root(), "ask_bytes", &args, contents.clone()).unwrap();
        client.send(Input::Emit(order)).await;
        let event = client.event(&root()).await;
        assert_eq!(parts(&event), ("question".into(), args.clone()));
        let contents = event.attachments().to_vec();
        let ack = event.ack().unwrap();
        let answer = Emission::answer_with(&root(), ack, &[&args], contents.clone()).unwrap();
        client.send(Input::Emit(answer)).await;
        let event = client.event(&root()).await;
        assert_eq!(parts(&event), ("answers".into(), args));
        assert_eq!(event.attachments(), contents);
    }
}

/// Facts 3 and 4, and lessons 16 and 19, with a server of our own that breaks the protocol: the
/// client hangs up and says why.
#[tokio::test]
async fn malformed_frames_end_the_session_with_a_reason() {
    const OPEN: &str = r#"0{"sid":"x","upgrades":[],"pingInterval":9000,"pingTimeout":9000}"#;
    const JOINED: &str = r#"40{"sid":"y"}"#;
    let (listener, port) = listen().await;
    for (frames, words) in [
        (&["x"][..], "unknown packet type 'x'"),
        (&["é"], "unknown packet type 'é'"),
        (&[""], "an empty frame"),
        (&["0{}"], "a bad handshake"),
        (&["2"], "\"ping\" where it has no place"),
        (&[OPEN, OPEN], "\"open\" where it has no place"),
        (&[OPEN, "4"], "an empty message"),
        (&[OPEN, "49"], "unknown packet type '9'"),
        (&[OPEN, "40{}"], "no sid"),
        (&[OPEN, JOINED, "42{}"], "of type EVENT"),
        (&[OPEN, JOINED, "42[\"a\",1"], "of type EVENT"),
        (&[OPEN, JOINED, "42[\"connect\"]"], "the reserved name"),
        (&[OPEN, JOINED, "43[]"], "without the id"),
        (&[OPEN, JOINED, "450-[\"a\"]"], "an illegal count"),
        (&[OPEN, JOINED, "4511-[\"a\"]"], "too many attachments"),
        (&[OPEN, "1"], "the peer closed the connection"),
    ] {
        let peer = async {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
            for frame in frames {
                // The client may have hung up already.
                let _ = socket.send(Message::text(*frame)).await;
            }
            while let Some(Ok(frame)) = socket.next().await {
                if frame.is_close() {
                    return;
                }
            }
            panic!("no close frame after {frames:?}");
        };
        let client = async {
            let mut client = open(port).await;
            client.join(&root(), &json!({})).await;
            let reason = client.closed().await.to_string();
            assert!(reason.contains(words), "{frames:?}: {reason}");
            sleep(Duration::from_millis(20)).await;
        };
        let both = async { tokio::join!(peer, client) };
        tokio::time::timeout(PATIENCE, both).await.unwrap();
    }
}
