//! Binary attachments between the two ends, and what becomes of a packet that stays partial.

use super::*;
use crate::socketio::{assemble, event::Attachment};

fn content(content: &'static [u8]) -> Bytes {
    Bytes::from_static(content)
}

fn binary(bytes: &'static [u8]) -> ws::Event {
    ws::Event::Frame(ws::Frame::Binary(content(bytes)))
}

/// An event with two attachments, one of them nested.
fn picture() -> Emission {
    let args = (
        Attachment(1),
        serde_json::json!({ "a": [1, Attachment(0)] }),
    );
    let contents = vec![content(b"\x1e"), Bytes::new()];
    Emission::event_with(&namespace("/realtime"), "picture", &args, contents).unwrap()
}

const PICTURE: &str = concat!(
    r#"["picture",{"_placeholder":true,"num":1},"#,
    r#"{"a":[1,{"_placeholder":true,"num":0}]}]"#
);

fn assert_is_picture(event: &Event) {
    #[derive(serde::Deserialize)]
    struct Nested {
        a: (u8, Attachment),
    }
    let (empty, nested) = event.args::<(Attachment, Nested)>().unwrap();
    assert_eq!(event.attachment(&empty), Some(&Bytes::new()));
    assert_eq!(event.attachment(&nested.a.1), Some(&content(b"\x1e")));
    assert_eq!(event.attachment(&Attachment(2)), None);
    assert_eq!(event.attachments().len(), 2);
}

#[test]
fn attachments_go_both_ways_with_events_and_with_answers() {
    let mut pair = Pair::joined();
    let realtime = namespace("/realtime");
    pair.step_client(Some(client::Input::Emit(picture())));
    pair.step_server(Some(server::Input::Call {
        id: RequestId::from_number(1),
        emission: picture(),
        patience: SECOND,
    }));
    let (down, up) = pair.look();
    let [client::Output::Event { event, .. }] = down.as_slice() else {
        panic!("{down:?}");
    };
    assert_is_picture(event);
    let ack = event.ack().unwrap();
    let [server::Output::Event { event, .. }] = up.as_slice() else {
        panic!("{up:?}");
    };
    assert_is_picture(event);

    let contents = vec![content(b"yes")];
    let answer = Emission::answer_with(&realtime, ack, &(7, Attachment(0)), contents).unwrap();
    pair.step_client(Some(client::Input::Emit(answer)));
    let (_, answered) = pair.look();
    let [
        server::Output::Answered {
            result: Ok(answer), ..
        },
    ] = answered.as_slice()
    else {
        panic!("{answered:?}");
    };
    let (_, yes) = answer.args::<(u8, Attachment)>().unwrap();
    assert_eq!(answer.attachment(&yes), Some(&content(b"yes")));
    let text = serde_json::to_string(answer).unwrap();
    let again = serde_json::from_str::<crate::socketio::event::Answer>(&text);
    assert_eq!(again.unwrap(), *answer);
    assert_eq!(
        pair.wire,
        [
            &format!("> 452-/realtime,{PICTURE}"),
            r#"> b"\x1e""#,
            r#"> b"""#,
            &format!("< 452-/realtime,0{PICTURE}"),
            r#"< b"\x1e""#,
            r#"< b"""#,
            r#"> 461-/realtime,0[7,{"_placeholder":true,"num":0}]"#,
            r#"> b"yes""#,
        ]
    );
}

/// Cases 26 to 29 of the official test-suite: a server that hands everything back.
#[test]
fn the_messages_of_the_official_suite_come_back_byte_exact() {
    const ARGS: &str = r#"{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]"#;
    let binary = |bytes| ws::Frame::Binary(content(bytes));
    let text = |content: String| ws::Frame::Text(content.into());
    let attached = [binary(b"\x01\x02\x03"), binary(b"\x04\x05\x06")];
    let root = Namespace::root();
    for (sent, header, count) in [
        (
            r#"42["message",1,"2",{"3":[false]}]"#.into(),
            r#"42["message-back",1,"2",{"3":[false]}]"#.into(),
            0,
        ),
        (
            format!("452-[\"message\",{ARGS}]"),
            format!("452-[\"message-back\",{ARGS}]"),
            2,
        ),
        (
            r#"42456["message-with-ack",1,"2",{"3":[false]}]"#.into(),
            r#"43456[1,"2",{"3":[false]}]"#.into(),
            0,
        ),
        (
            format!("452-789[\"message-with-ack\",{ARGS}]"),
            format!("462-789[{ARGS}]"),
            2,
        ),
    ] {
        let mut server = Server::new(server::Config::default(), "x".into(), Time::ZERO);
        let mut out = Vec::new();
        let mut tell = |input| {
            out.clear();
            step(&mut server, Time::ZERO, Some(input), &mut out);
            out.clone()
        };
        tell(arrived(ws::Event::Frame(text("40".into()))));
        tell(server::Input::Admit {
            namespace: root.clone(),
            sid: "s".into(),
            pid: None,
            missed: Vec::new(),
        });
        let attached = &attached[..count];
        let mut out = tell(arrived(ws::Event::Frame(text(sent))));
        for frame in attached {
            assert_eq!(out, []);
            out = tell(arrived(ws::Event::Frame(frame.clone())));
        }
        let [server::Output::Event { event, .. }] = out.as_slice() else {
            panic!("{out:?}");
        };
        let args = event.args::<Vec<serde_json::Value>>().unwrap();
        let contents = event.attachments().to_vec();
        let back = match event.ack() {
            None => Emission::event_with(&root, "message-back", &args, contents),
            Some(ack) => Emission::answer_with(&root, ack, &args, contents),
        };
        let out = tell(server::Input::Emit(back.unwrap()));
        let frames = [text(header)].into_iter().chain(attached.iter().cloned());
        let wanted: Vec<_> = frames
            .map(|frame| {
                let action = ServerAction::WebSocket(ws::Action::Send(frame));
                server::Output::Transport(action)
            })
            .collect();
        assert_eq!(out, wanted);
    }
}

#[test]
fn a_partial_packet_ends_the_connection_when_it_takes_too_long() {
    let mut pair = Pair::joined();
    let header = text("451-/realtime,[\"x\"]");
    pair.step_server(Some(arrived(header.clone())));
    pair.step_client(Some(client::Input::Transport(header.into())));
    pair.sleep(assemble::ATTACHMENTS_TIMEOUT - Duration::from_millis(1));
    assert_eq!(pair.look(), (vec![], vec![]));
    pair.sleep(Duration::from_millis(1));
    assert!(pair.client.is_closed() && pair.server.is_closed());
    assert_eq!(
        pair.look().0,
        [client::Output::Closed(CloseReason::AttachmentsTimeout)]
    );
    assert_eq!(pair.client.next_wakeup(), None);
    assert_eq!(pair.server.next_wakeup(), None);
}

#[test]
fn a_partial_packet_takes_nothing_but_its_attachments() {
    for (event, reason) in [
        (text("2"), None),
        (
            text("42/realtime,[\"y\"]"),
            Some(CloseReason::MissingAttachments),
        ),
        (text("41/realtime,"), Some(CloseReason::MissingAttachments)),
        (binary(b"123"), Some(CloseReason::AttachmentsTooLarge)),
    ] {
        let attachments = assemble::Limits {
            bytes_max: 2,
            ..assemble::Limits::default()
        };
        let config = client::Config {
            attachments,
            ..client::Config::default()
        };
        let mut pair = Pair::with(config, server::Config::default());
        pair.connect("/realtime");
        pair.admit("/realtime");
        pair.look();
        let header = text("451-/realtime,[\"x\"]");
        pair.step_client(Some(client::Input::Transport(header.into())));
        pair.step_client(Some(client::Input::Transport(event.into())));
        let (told, _) = pair.look();
        let wanted: Vec<_> = reason.into_iter().map(client::Output::Closed).collect();
        assert_eq!(told, wanted);
    }
}

#[test]
fn what_is_larger_than_the_server_takes_is_not_begun() {
    let mut config = server::Config::default();
    config.engine.max_payload = 100;
    let mut pair = Pair::with(client::Config::default(), config);
    pair.connect("/realtime");
    pair.admit("/realtime");
    pair.look();
    pair.wire.clear();
    let contents = vec![Bytes::new(), Bytes::from(vec![0; 101])];
    let large = Emission::event_with(&namespace("/realtime"), "x", &(), contents).unwrap();
    pair.step_client(Some(client::Input::Emit(large.clone())));
    let id = RequestId::from_number(1);
    pair.step_client(Some(client::Input::Call {
        id,
        emission: large,
        patience: SECOND,
    }));
    assert_eq!(
        pair.look().0,
        [
            client::Output::Dropped {
                namespace: namespace("/realtime"),
                why: Unsent::TooLarge,
            },
            client::Output::Answered {
                id,
                result: Err(CallError::TooLarge),
            },
        ]
    );
    assert_eq!(pair.wire, [""; 0]);
}

#[test]
fn a_dismissal_in_the_middle_of_a_packet_is_forgiven() {
    let mut pair = Pair::joined();
    let header = text("451-/realtime,[\"x\"]");
    pair.step_server(Some(arrived(header)));
    pair.step_server(Some(server::Input::Disconnect {
        namespace: namespace("/realtime"),
    }));
    pair.step_server(Some(arrived(binary(b"1"))));
    assert_eq!(pair.look().1, []);
    assert!(!pair.server.is_closed());
}
