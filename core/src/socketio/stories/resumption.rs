//! A client that was here before: what it says, and what it is told.

use super::*;

/// What a server asks about a CONNECT with this payload.
fn asked(payload: &str) -> Option<server::Resumption> {
    let (_, mut out) = connected(payload);
    match out.pop() {
        Some(server::Output::Admission { resumption, .. }) => resumption,
        other => panic!("{other:?}"),
    }
}

fn connected(payload: &str) -> (Server, Vec<server::Output>) {
    let mut server = Server::new(server::Config::default(), "x".into(), Time::ZERO);
    let mut out = Vec::new();
    let connect = arrived(text(&format!("40/realtime,{payload}")));
    step(&mut server, Time::ZERO, Some(connect), &mut out);
    (server, out)
}

#[test]
fn a_client_says_who_it_was_with_two_strings() {
    assert_eq!(
        asked(r#"{"pid":"p","offset":"o","token":1}"#),
        Some(server::Resumption {
            pid: Secret::new("p"),
            offset: "o".into(),
        })
    );
    let long = "x".repeat(server::RESUMPTION_BYTES_MAX + 1);
    for nothing in [
        "",
        "{}",
        r#"{"pid":"p"}"#,
        r#"{"offset":"o"}"#,
        r#"{"pid":"p","offset":1}"#,
        r#"{"pid":null,"offset":"o"}"#,
        &format!(r#"{{"pid":"{long}","offset":"o"}}"#),
        &format!(r#"{{"pid":"p","offset":"{long}"}}"#),
    ] {
        assert_eq!(asked(nothing), None, "{nothing}");
    }
}

#[test]
fn what_was_missed_goes_out_before_the_answer() {
    let (mut server, _) = connected("{}");
    let binary = Emission::event_with(
        &namespace("/realtime"),
        "file",
        &(super::super::event::Attachment(0),),
        vec![Bytes::from_static(b"content")],
    );
    let elsewhere = Emission::event(&Namespace::root(), "other", &()).unwrap();
    let mut out = Vec::new();
    let admit = server::Input::Admit {
        namespace: namespace("/realtime"),
        sid: "s".into(),
        pid: Some(Secret::new("p")),
        missed: vec![
            event("first").with_offset("1"),
            elsewhere,
            binary.unwrap().with_offset("2"),
        ],
    };
    step(&mut server, Time::ZERO, Some(admit), &mut out);
    let sent = |content: &str| server_sends(ws::Frame::Text(content.into()));
    assert_eq!(
        out,
        [
            sent(r#"42/realtime,["first",1,"1"]"#),
            sent(r#"451-/realtime,["file",{"_placeholder":true,"num":0},"2"]"#),
            server_sends(ws::Frame::Binary(Bytes::from_static(b"content"))),
            sent(r#"40/realtime,{"sid":"s","pid":"p"}"#),
        ]
    );
}

fn server_sends(frame: ws::Frame) -> server::Output {
    server::Output::Transport(ServerAction::WebSocket(ws::Action::Send(frame)))
}
