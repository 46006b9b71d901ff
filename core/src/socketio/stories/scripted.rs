//! Each end against a peer that is scripted: limits, garbage, and what has no place.

use super::*;

/// A client of its own, whose server is the test; open at time 0.
pub(super) fn scripted() -> Client {
    let mut client = Client::new(client::Config::default(), Time::ZERO);
    let open = r#"0{"sid":"x","pingInterval":25000,"pingTimeout":20000,"maxPayload":100}"#;
    let out = hear(&mut client, open);
    assert!(matches!(out.as_slice(), [client::Output::Opened(_)]));
    client
}

pub(super) fn tell(client: &mut Client, input: client::Input) -> Vec<client::Output> {
    let mut out = Vec::new();
    step(client, Time::ZERO, Some(input), &mut out);
    out
}

pub(super) fn hear(client: &mut Client, content: &str) -> Vec<client::Output> {
    tell(client, client::Input::Transport(text(content).into()))
}

/// What a server that has admitted its client to `/a` and has been asked for `/b` makes of one
/// frame of the client.
fn serve(event: ws::Event) -> Vec<server::Output> {
    let mut server = Server::new(server::Config::default(), "x".into(), Time::ZERO);
    let mut out = Vec::new();
    for input in [
        arrived(text("40/a,")),
        server::Input::Admit {
            namespace: namespace("/a"),
            sid: "s".into(),
            pid: None,
            missed: Vec::new(),
        },
        arrived(text("40/b,")),
        arrived(event),
    ] {
        out.clear();
        step(&mut server, Time::ZERO, Some(input), &mut out);
    }
    out
}

fn closes(out: &[server::Output]) -> Option<&CloseReason> {
    match out {
        [
            server::Output::Transport(ServerAction::WebSocket(ws::Action::Close)),
            server::Output::Closed(reason),
        ] => Some(reason),
        _ => None,
    }
}

#[test]
fn a_server_that_does_not_answer_a_connect_is_left() {
    let mut client = scripted();
    let root = Namespace::root();
    tell(
        &mut client,
        client::Input::Connect {
            namespace: root,
            auth: None,
            recover: None,
        },
    );
    let mut out = Vec::new();
    for now in [20_000, 40_000] {
        let ping = client::Input::Transport(text("2").into());
        step(&mut client, Time::from_millis(now), Some(ping), &mut out);
    }
    assert_eq!(client.next_wakeup().unwrap().at, Time::from_millis(45_000));
    out.clear();
    step(&mut client, Time::from_millis(45_000), None, &mut out);
    assert_eq!(
        out,
        [
            client::Output::Transport(ClientAction::WebSocket(ws::Action::Close)),
            client::Output::Closed(CloseReason::ConnectTimeout),
        ]
    );
    assert_eq!(client.next_wakeup(), None);
    assert_eq!(hear(&mut client, "2"), []);
}

#[test]
fn events_before_the_answer_are_kept_in_order_and_bounded() {
    let mut client = scripted();
    let connect = |name: &str| client::Input::Connect {
        namespace: namespace(name),
        auth: None,
        recover: None,
    };
    tell(&mut client, connect("/a"));
    assert_eq!(hear(&mut client, r#"42/a,["one"]"#), []);
    assert_eq!(hear(&mut client, r#"42/a,["two"]"#), []);
    assert_eq!(hear(&mut client, r#"42/other,["lost"]"#), []);
    let out = hear(&mut client, r#"40/a,{"sid":"s","pid":"p"}"#);
    let names: Vec<&str> = out
        .iter()
        .filter_map(|output| {
            if let client::Output::Event { event, .. } = output {
                Some(event.name())
            } else {
                None
            }
        })
        .collect();
    assert!(matches!(out[0], client::Output::Connected { .. }));
    assert_eq!(names, ["one", "two"]);

    tell(&mut client, connect("/b"));
    let max = client::Config::default().early_events_max;
    for _ in 0..max {
        assert_eq!(hear(&mut client, r#"42/b,["one"]"#), []);
    }
    assert_eq!(
        hear(&mut client, r#"42/b,["one"]"#),
        [
            client::Output::Transport(ClientAction::WebSocket(ws::Action::Close)),
            client::Output::Closed(CloseReason::TooManyEarlyEvents),
        ]
    );
}

#[test]
fn what_is_larger_than_the_server_takes_is_not_sent() {
    let mut client = scripted();
    let long = "x".repeat(100);
    let realtime = namespace("/realtime");
    let dropped = client::Output::Dropped {
        namespace: realtime.clone(),
        why: Unsent::TooLarge,
    };
    let auth = |json: &str| client::Input::Connect {
        namespace: namespace("/realtime"),
        auth: Some(Secret::new(json)),
        recover: None,
    };
    let large = format!(r#"{{"token":"{long}"}}"#);
    let told = tell(&mut client, auth(&large));
    assert_eq!(told.as_slice(), core::slice::from_ref(&dropped));
    assert_eq!(
        tell(&mut client, auth("[]")),
        [client::Output::Dropped {
            namespace: realtime.clone(),
            why: Unsent::BadJson,
        }]
    );
    tell(&mut client, auth("{}"));
    hear(&mut client, r#"40/realtime,{"sid":"s"}"#);
    let emission = Emission::event(&realtime, "e", &(long,)).unwrap();
    assert_eq!(
        tell(&mut client, client::Input::Emit(emission.clone())),
        [dropped]
    );
    let id = RequestId::from_number(1);
    assert_eq!(
        tell(
            &mut client,
            client::Input::Call {
                id,
                emission,
                patience: SECOND,
            }
        ),
        [client::Output::Answered {
            id,
            result: Err(CallError::TooLarge),
        }]
    );
}

#[test]
fn a_server_closes_on_what_has_no_place() {
    let out_of_place = |packet, name: &str| CloseReason::OutOfPlace {
        packet,
        namespace: namespace(name),
    };
    let bad = CloseReason::BadPacket;
    use packet::{DecodeError as E, Kind};
    for (content, reason) in [
        // Cases 22 and 30 to 32 of the official test-suite.
        ("4abc", bad(E::UnknownType('a'))),
        ("42{}", bad(E::BadPayload(Kind::Event))),
        ("42/a,abc[\"message\"]", bad(E::BadPayload(Kind::Event))),
        ("42/b,[\"early\"]", out_of_place(Kind::Event, "/b")),
        ("42[\"never\"]", out_of_place(Kind::Event, "/")),
        ("43/c,1[]", out_of_place(Kind::Ack, "/c")),
        ("41/b", out_of_place(Kind::Disconnect, "/b")),
        ("40/a,", out_of_place(Kind::Connect, "/a")),
        ("40/b", out_of_place(Kind::Connect, "/b")),
        ("44/a,{}", out_of_place(Kind::ConnectError, "/a")),
        ("451-/b,[\"b\",{}]", out_of_place(Kind::BinaryEvent, "/b")),
        ("461-/c,0[{}]", out_of_place(Kind::BinaryAck, "/c")),
        (
            "451-/a,[\"b\",{\"_placeholder\":true,\"num\":1}]",
            bad(E::BadPlaceholder),
        ),
        ("4511-/a,[\"b\"]", bad(E::TooManyAttachments)),
        ("450-/a,[\"b\"]", bad(E::IllegalAttachments)),
        ("1", CloseReason::Engine(engineio::CloseReason::Peer)),
    ] {
        let out = serve(text(content));
        assert_eq!(closes(&out), Some(&reason), "{content}");
    }
    let stray = ws::Event::Frame(ws::Frame::Binary(Bytes::from_static(b"x")));
    assert_eq!(closes(&serve(stray)), Some(&CloseReason::Binary));
    assert!(matches!(
        serve(text("41/a")).as_slice(),
        [server::Output::Disconnected { .. }]
    ));
}

#[test]
fn a_server_bounds_what_a_client_can_ask_for() {
    let mut server = Server::new(server::Config::default(), "x".into(), Time::ZERO);
    let mut out = Vec::new();
    let max = server::Config::default().admissions_max;
    for number in 0..=max {
        out.clear();
        let input = arrived(text(&format!("40/{number},")));
        step(&mut server, Time::ZERO, Some(input), &mut out);
    }
    assert_eq!(closes(&out), Some(&CloseReason::TooManyAdmissions));
    assert_eq!(server.next_wakeup(), None);
}

#[test]
fn an_end_in_the_middle_of_a_step_is_the_end() {
    let mut server = Server::new(server::Config::default(), "x".into(), Time::ZERO);
    let mut out = Vec::new();
    step(&mut server, Time::ZERO, None, &mut out);
    out.clear();
    // The bad packet arrives at the moment at which a ping is due.
    let input = arrived(text("4abc"));
    let now = Time::from_millis(25_000);
    step(&mut server, now, Some(input), &mut out);
    // What was due goes out before the end, and nothing after it.
    assert_eq!(out.len(), 3);
    assert!(closes(&out[1..]).is_some(), "{out:?}");
}

#[test]
fn a_request_that_brings_the_end_is_answered() {
    let request = |event| server::Input::Transport(event);
    let poll = |call| request(ServerEvent::Poll { call: CallId(call) });
    let post = |call, body: &'static str| {
        request(ServerEvent::Post {
            call: CallId(call),
            body: Bytes::from_static(body.as_bytes()),
        })
    };
    let mut server = Server::polling(server::Config::default(), "x".into(), Time::ZERO);
    let mut tell = |input| {
        let mut out = Vec::new();
        step(&mut server, Time::ZERO, Some(input), &mut out);
        out
    };
    let answer = |call, status, body: &'static str| {
        server::Output::Transport(ServerAction::Answer {
            call: CallId(call),
            status,
            body: Bytes::from_static(body.as_bytes()),
        })
    };
    assert_eq!(tell(poll(1)).len(), 1);
    assert_eq!(tell(poll(2)), []);
    assert_eq!(
        tell(post(3, "40/a,"))[..1],
        [answer(3, 200, "ok")],
        "the answer comes before the question"
    );
    assert_eq!(
        tell(post(4, "42/a,[\"early\"]\u{1e}4void")),
        [
            answer(4, 200, "ok"),
            answer(2, 200, "1"),
            server::Output::Closed(CloseReason::OutOfPlace {
                packet: packet::Kind::Event,
                namespace: namespace("/a"),
            })
        ]
    );
}

#[test]
fn a_reply_without_a_sid_is_from_an_older_server() {
    let mut client = scripted();
    tell(
        &mut client,
        client::Input::Connect {
            namespace: Namespace::root(),
            auth: None,
            recover: None,
        },
    );
    assert_eq!(
        hear(&mut client, "40").last(),
        Some(&client::Output::Closed(CloseReason::BadPacket(
            packet::DecodeError::MissingSid
        )))
    );
}

#[test]
fn what_was_wanted_before_the_handshake_is_asked_for_after_it() {
    let mut client = Client::new(client::Config::default(), Time::ZERO);
    for name in ["/b", "/a", "/c"] {
        let namespace = namespace(name);
        let auth = None;
        assert_eq!(
            tell(
                &mut client,
                client::Input::Connect {
                    namespace,
                    auth,
                    recover: None
                }
            ),
            []
        );
    }
    let namespace = namespace("/c");
    tell(&mut client, client::Input::Disconnect { namespace });
    let out = hear(
        &mut client,
        r#"0{"sid":"x","pingInterval":1,"pingTimeout":1}"#,
    );
    let sent = |content: &str| {
        client::Output::Transport(ClientAction::WebSocket(ws::Action::Send(ws::Frame::Text(
            content.into(),
        ))))
    };
    assert_eq!(out[1..], [sent("40/a,"), sent("40/b,")]);
}

/// What is not looked at costs no stack, however deep it is.
#[test]
fn an_event_that_nests_without_end_is_an_event() {
    let mut client = scripted();
    let root = Namespace::root();
    let connect = client::Input::Connect {
        namespace: root,
        auth: None,
        recover: None,
    };
    tell(&mut client, connect);
    hear(&mut client, r#"40{"sid":"s"}"#);
    let levels = 100_000;
    let deep = ["[".repeat(levels), "]".repeat(levels)].concat();
    let told = hear(&mut client, &format!(r#"42["deep",{deep}]"#));
    let [client::Output::Event { event, .. }] = told.as_slice() else {
        panic!("not an event");
    };
    assert_eq!((event.name(), event.arg_count()), ("deep", 1));
    assert!(event.args::<(serde_json::Value,)>().is_err());
}
