//! The public Socket.IO client against the official server: transports, events, answers and binary
//! content. The tests are named after the right outcome of what goes wrong between other clients and
//! that server.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use selvedge::socketio::{Attachment, CallError, Client, EmitError, Signal, Transport};
use selvedge_tests::{
    PATIENCE,
    application::{arrives_at, client, connected, event, parts, signal},
    npm::{self, Peer},
    socket::binary_arguments,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Each way to connect, and how it begins and ends at the server.
const WAYS: [(&[Transport], &str, bool); 4] = [
    (&[Transport::WebSocket], "websocket", false),
    (&[Transport::Polling], "polling", false),
    (&[Transport::Polling, Transport::WebSocket], "polling", true),
    (
        &[Transport::WebSocket, Transport::Polling],
        "websocket",
        false,
    ),
];

/// The official server with a quick heartbeat, and patience with whoever is slow to answer.
async fn server() -> Option<(Peer, u16)> {
    npm::server(&json!({ "pingInterval": 300, "pingTimeout": 20_000 })).await
}

#[tokio::test]
async fn every_transport_connects_and_polling_moves_to_a_websocket() {
    let Some((mut server, port)) = server().await else {
        return;
    };
    for (transports, begins, moves) in WAYS {
        let transports = transports.iter().copied();
        let mut socket = client(port).transports(transports).open().unwrap();
        assert!(!connected(&mut socket).await);
        let begun = json!({ "saw": "connect", "transport": begins });
        if moves {
            // It may have moved before the namespace is joined.
            server.saw(&json!({ "saw": "connect" })).await;
        } else {
            server.saw(&begun).await;
        }
        for i in 0..5 {
            socket.emit("echo", &(i, "é")).await.unwrap();
            assert_eq!(parts(&mut socket).await, ("echo".into(), json!([i, "é"])));
            sleep(Duration::from_millis(100)).await;
        }
        arrives_at(&mut socket, if moves { "websocket" } else { begins }).await;
        socket.close().await;
        server.saw(&json!({ "saw": "disconnect" })).await;
    }
}

#[tokio::test]
async fn a_websocket_that_is_refused_gives_way_to_polling_and_the_other_way_round() {
    for (only, other) in [("polling", "websocket"), ("websocket", "polling")] {
        let Some((mut server, port)) = npm::server(&json!({ "transports": [only] })).await else {
            return;
        };
        let mut order = [Transport::WebSocket, Transport::Polling];
        if other == "polling" {
            order.reverse();
        }
        let mut socket = client(port).transports(order).open().unwrap();
        assert!(matches!(signal(&mut socket).await, Signal::Retrying { .. }));
        connected(&mut socket).await;
        let wanted = json!({ "saw": "connect", "transport": only });
        server.saw(&wanted).await;
    }
}

#[tokio::test]
async fn query_headers_and_path_arrive_on_every_transport() {
    let options = json!({ "path": "/live/" });
    let Some((mut server, port)) = npm::server(&options).await else {
        return;
    };
    for (transports, ..) in WAYS {
        let url = format!("http://127.0.0.1:{port}?room=a%20b");
        let mut socket = Client::connect(&url)
            .path("/live/")
            .header("X-Key", "hunter2")
            .transports(transports.iter().copied())
            .open()
            .unwrap();
        connected(&mut socket).await;
        let wanted = json!({ "saw": "connect", "room": "a b", "key": "hunter2" });
        server.saw(&wanted).await;
    }
}

#[tokio::test]
async fn an_event_without_arguments_keeps_its_name_and_no_name_is_special() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut socket = client(port).open().unwrap();
    connected(&mut socket).await;
    for name in ["plain", "message", "error", "close", "open", "ä \"quoted\""] {
        socket.emit(name, &()).await.unwrap();
        assert_eq!(parts(&mut socket).await, (name.into(), json!([])));
        socket.emit(name, &(1, Value::Null)).await.unwrap();
        assert_eq!(parts(&mut socket).await, (name.into(), json!([1, null])));
    }
    let error = socket.emit("disconnect", &()).await.unwrap_err();
    assert!(matches!(error, EmitError::Encode(_)), "{error}");
}

#[tokio::test]
async fn binary_content_goes_both_ways_on_every_transport() {
    let Some((_server, port)) = server().await else {
        return;
    };
    for (transports, ..) in WAYS {
        let transports = transports.iter().copied();
        let mut socket = client(port).transports(transports).open().unwrap();
        connected(&mut socket).await;
        for (args, contents) in binary_arguments() {
            socket
                .emit_with("file", &args, contents.clone())
                .await
                .unwrap();
            socket.emit("next", &("text",)).await.unwrap();
            let back = event(&mut socket).await;
            assert_eq!(
                (back.name(), back.args::<Value>().unwrap()),
                ("file", args.clone())
            );
            assert_eq!(back.attachments(), contents);
            assert_eq!(parts(&mut socket).await, ("next".into(), json!(["text"])));

            let answer = socket.call_with("file", &args, contents.clone(), PATIENCE);
            let answer = answer.await.unwrap();
            assert_eq!(answer.args::<Value>().unwrap(), args);
            assert_eq!(answer.attachments(), contents);

            socket
                .emit_with("ask_bytes", &args, contents.clone())
                .await
                .unwrap();
            let question = event(&mut socket).await;
            assert!(question.wants_answer());
            let theirs = question.attachments().to_vec();
            question.answer_with(&[&args], theirs).await.unwrap();
            let answers = event(&mut socket).await;
            assert_eq!(answers.args::<Value>().unwrap(), args);
            assert_eq!(answers.attachments(), contents);
        }
    }
}

#[tokio::test]
async fn an_attachment_is_found_by_its_place() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut socket = client(port).open().unwrap();
    let content = Bytes::from_static(&[0x1e, 0, 0xff]);
    let args = ("name", Attachment(0));
    socket
        .emit_with("file", &args, vec![content.clone()])
        .await
        .unwrap();
    connected(&mut socket).await;
    let event = event(&mut socket).await;
    let (name, file): (&str, Attachment) = event.args().unwrap();
    assert_eq!((name, event.attachment(&file)), ("name", Some(&content)));
}

#[tokio::test]
async fn large_events_go_both_ways_over_polling() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let polling = client(port).transports([Transport::Polling]);
    let mut socket = polling.open().unwrap();
    connected(&mut socket).await;
    for size in [8_000, 300_000, 900_000] {
        let text = "é".repeat(size / 2);
        socket.emit("large", &(&text,)).await.unwrap();
        socket.emit("after", &()).await.unwrap();
        assert_eq!(parts(&mut socket).await, ("large".into(), json!([text])));
        assert_eq!(parts(&mut socket).await, ("after".into(), json!([])));
    }
}

#[tokio::test]
async fn what_the_server_does_not_take_is_refused_here() {
    let Some((_server, port)) = server().await else {
        return;
    };
    for (transports, ..) in WAYS {
        let transports = transports.iter().copied();
        let mut socket = client(port).transports(transports).open().unwrap();
        connected(&mut socket).await;
        let text = "x".repeat(1_000_001);
        let error = socket.emit("large", &(&text,)).await.unwrap_err();
        assert!(matches!(error, EmitError::TooLarge), "{error}");
        let error = socket.call("large", &(&text,)).await.unwrap_err();
        assert!(
            matches!(error, CallError::Unsent(EmitError::TooLarge)),
            "{error}"
        );
        socket.call("alive", &()).await.unwrap();
    }
}

/// Also while a task waits: calls are made from many tasks with one sender.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_at_once_get_each_its_own_answer() {
    let Some((_server, port)) = server().await else {
        return;
    };
    for (transports, ..) in WAYS {
        let transports = transports.iter().copied();
        let socket = client(port).transports(transports).open().unwrap();
        let calls = (0..200_u64).map(|i| {
            let sender = socket.sender().clone();
            tokio::spawn(async move {
                let answer = sender.call("after", &(i * 7 % 40, i)).await.unwrap();
                answer.args::<(u64, u64)>().unwrap()
            })
        });
        let answers: Vec<_> = join_all(calls)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let wanted: Vec<_> = (0..200).map(|i| (i * 7 % 40, i)).collect();
        assert_eq!(answers, wanted);
    }
}

#[tokio::test]
async fn a_call_in_the_handling_of_an_answer_or_an_event_is_answered() {
    let impatient = json!({ "pingInterval": 300, "pingTimeout": 3_000 });
    let Some((_server, port)) = npm::server(&impatient).await else {
        return;
    };
    let mut socket = client(port).open().unwrap();
    connected(&mut socket).await;
    let nested = async {
        let (n,): (u32,) = socket.call("n", &(1,)).await.unwrap().args().unwrap();
        let (n,): (u32,) = socket.call("n", &(n + 1,)).await.unwrap().args().unwrap();
        socket.call("n", &(n + 1,)).await.unwrap().args::<(u32,)>()
    };
    assert_eq!(nested.await.unwrap(), (3,));
    socket.emit("echo", &(4,)).await.unwrap();
    let event = event(&mut socket).await;
    let (n,): (u32,) = event.args().unwrap();
    let (n,): (u32,) = socket.call("n", &(n + 1,)).await.unwrap().args().unwrap();
    assert_eq!(n, 5);
    // The heartbeat has not stopped.
    sleep(Duration::from_secs(4)).await;
    socket.call("alive", &()).await.unwrap();
}

#[tokio::test]
async fn a_call_without_an_answer_ends_once_with_its_patience() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let patience = Duration::from_millis(100);
    let mut socket = client(port)
        .ack_timeout(patience)
        .calls_max(2)
        .open()
        .unwrap();
    connected(&mut socket).await;
    for _ in 0..3 {
        let calls = [socket.call("mute", &()), socket.call("mute", &())];
        for result in join_all(calls).await {
            let error = result.unwrap_err();
            assert!(matches!(error, CallError::Timeout), "{error}");
        }
    }
    let calls = (0..3).map(|_| socket.call("mute", &()));
    let results = join_all(calls).await;
    let too_many = |it: &Result<_, _>| matches!(it, Err(CallError::TooMany));
    assert_eq!(results.iter().filter(|it| too_many(it)).count(), 1);
    let late = socket.call_with_timeout("after", &(300,), PATIENCE).await;
    assert_eq!(late.unwrap().args::<(u32,)>().unwrap(), (300,));
}

#[tokio::test]
async fn the_server_gets_answers_from_the_client() {
    let Some((_server, port)) = server().await else {
        return;
    };
    for (transports, ..) in WAYS {
        let transports = transports.iter().copied();
        let mut socket = client(port).transports(transports).open().unwrap();
        connected(&mut socket).await;
        socket.emit("ask", &(200, 60_000)).await.unwrap();
        for _ in 0..200 {
            let question = event(&mut socket).await;
            let (i,): (u64,) = question.args().unwrap();
            question.answer(&(i * i,)).await.unwrap();
        }
        let squares: Vec<u64> = (0..200).map(|i| i * i).collect();
        let answers = parts(&mut socket).await;
        assert_eq!(answers, ("answers".into(), json!([squares])));
    }
}

/// The server's middleware is slow, and it closes the connection of whoever speaks before.
#[tokio::test]
async fn what_is_emitted_right_after_open_waits_for_the_namespace() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let slow = || async { Ok::<_, EmitError>(json!({ "delay": 300 })) };
    let mut socket = client(port).auth(slow).open().unwrap();
    for i in 0..3 {
        socket.emit("early", &(i,)).await.unwrap();
    }
    let error = socket.emit_volatile("early", &(3,)).await.unwrap_err();
    assert!(matches!(error, EmitError::NotConnected), "{error}");
    let (i,): (u32,) = socket.call("early", &(4,)).await.unwrap().args().unwrap();
    assert_eq!(i, 4);
    connected(&mut socket).await;
    for i in 0..3 {
        assert_eq!(parts(&mut socket).await, ("early".into(), json!([i])));
    }
    socket.emit_volatile("now", &()).await.unwrap();
    assert_eq!(parts(&mut socket).await, ("now".into(), json!([])));
}

/// A server that does not read holds those who emit back; a volatile event does not wait.
#[tokio::test]
async fn emitting_to_a_server_that_does_not_read_waits() {
    let Some((server, port)) = npm::server(&json!({})).await else {
        return;
    };
    let mut socket = client(port).open().unwrap();
    connected(&mut socket).await;
    server.freeze();
    let text = "x".repeat(100_000);
    let mut sent = 0;
    let error = loop {
        match socket.emit_volatile("large", &(&text,)).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert!(matches!(error, EmitError::Busy), "{error}");
    // What the system takes, and 1 MiB.
    assert!((10..200).contains(&sent), "{sent}");
    let waiting = timeout(Duration::from_millis(100), socket.emit("kept", &()));
    assert!(waiting.await.is_err());
}

/// What is emitted faster than it is written waits, and the connection is not given up for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_events_in_a_row_arrive_in_order() {
    let Some((_server, port)) = server().await else {
        return;
    };
    let mut socket = client(port).open().unwrap();
    connected(&mut socket).await;
    let (sender, mut events) = socket.split();
    let sending = async {
        for i in 0..20_000_u32 {
            sender.emit("echo", &(i, "x".repeat(100))).await.unwrap();
        }
    };
    let taking = async {
        for next in 0..20_000 {
            let signal = timeout(PATIENCE, events.next()).await.unwrap();
            let Some(Signal::Event(event)) = signal else {
                panic!("in place of event {next}: {signal:?}");
            };
            let (i, _): (u32, &str) = event.args().unwrap();
            assert_eq!(i, next);
        }
    };
    tokio::join!(sending, taking);
}

#[tokio::test]
async fn namespaces_share_a_connection_and_have_each_its_auth() {
    let Some((mut server, port)) = server().await else {
        return;
    };
    let tokens = Arc::new(["for /", "for /realtime"]);
    let token = |i: usize| {
        let tokens = Arc::clone(&tokens);
        move || {
            let token = tokens[i];
            async move { Ok::<_, EmitError>(json!({ "token": token })) }
        }
    };
    let mut root = client(port).auth(token(0)).open().unwrap();
    let mut realtime = root.namespace("/realtime").auth(token(1)).open().unwrap();
    for (socket, name, token) in [
        (&mut root, "/", "for /"),
        (&mut realtime, "/realtime", "for /realtime"),
    ] {
        connected(socket).await;
        let wanted = json!({ "saw": "auth", "namespace": name, "auth": { "token": token } });
        server.saw(&wanted).await;
        socket.emit("here", &(name,)).await.unwrap();
        assert_eq!(parts(socket).await, ("here".into(), json!([name])));
    }
    let again = root.namespace("/realtime").open().unwrap_err();
    assert!(
        again
            .to_string()
            .contains("open on this connection already")
    );
    let none = root.namespace("realtime").open().unwrap_err();
    assert!(none.to_string().contains("not the name of a namespace"));

    // One goes, the other stays; then it comes again.
    realtime.close().await;
    server
        .saw(&json!({ "saw": "disconnect", "namespace": "/realtime" }))
        .await;
    root.call("alive", &()).await.unwrap();
    let mut realtime = root.namespace("/realtime").open().unwrap();
    drop(root);
    connected(&mut realtime).await;
    realtime.call("alive", &()).await.unwrap();
    let unknown = realtime.namespace("/unknown").open();
    let Signal::Refused {
        message, retry_in, ..
    } = signal(&mut unknown.unwrap()).await
    else {
        panic!("not refused");
    };
    assert_eq!(message, "Invalid namespace");
    assert!(retry_in.is_some());
}
