//! Connection-state recovery at the client, and namespaces that are joined while they are left.

use super::{
    scripted::{hear, scripted, tell},
    *,
};

fn connect(recover: Option<(&str, &str)>) -> client::Input {
    client::Input::Connect {
        namespace: namespace("/a"),
        auth: Some(Secret::new(r#"{"token":"t"}"#)),
        recover: recover.map(|(pid, offset)| client::Recover {
            pid: Secret::new(pid),
            offset: offset.into(),
        }),
    }
}

fn sent(content: &str) -> client::Output {
    client::Output::Transport(ClientAction::WebSocket(ws::Action::Send(ws::Frame::Text(
        content.into(),
    ))))
}

#[test]
fn a_membership_is_recovered_where_the_server_names_it_again() {
    for (asked, reply, pid, recovered) in [
        (None, r#"40/a,{"sid":"x","pid":"P"}"#, Some("P"), false),
        (None, r#"40/a,{"sid":"x"}"#, None, false),
        (
            Some(("P", "7")),
            r#"40/a,{"sid":"x","pid":"P"}"#,
            Some("P"),
            true,
        ),
        (
            Some(("P", "7")),
            r#"40/a,{"sid":"x","pid":"Q"}"#,
            Some("Q"),
            false,
        ),
        (Some(("P", "7")), r#"40/a,{"sid":"x"}"#, None, false),
    ] {
        let mut client = scripted();
        let wanted = match asked {
            Some(_) => r#"40/a,{"offset":"7","pid":"P","token":"t"}"#,
            None => r#"40/a,{"token":"t"}"#,
        };
        assert_eq!(tell(&mut client, connect(asked)), [sent(wanted)]);
        // Missed events come before the answer.
        assert_eq!(hear(&mut client, r#"42/a,["missed",1,"8"]"#), []);
        let told = hear(&mut client, reply);
        let [answer, client::Output::Event { event, .. }] = told.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(event.offset().as_deref(), Some("8"));
        assert_eq!(
            *answer,
            client::Output::Connected {
                namespace: namespace("/a"),
                sid: "x".into(),
                pid: pid.map(Secret::new),
                recovered,
                early: 1,
            }
        );
    }
}

#[test]
fn a_namespace_that_is_being_left_is_joined_again_after_that() {
    let leave = || client::Input::Disconnect {
        namespace: namespace("/a"),
    };
    for (answer, wanted) in [
        (
            r#"40/a,{"sid":"x"}"#,
            vec![sent("41/a,"), sent(r#"40/a,{"token":"t"}"#)],
        ),
        (
            r#"44/a,{"message":"no"}"#,
            vec![sent(r#"40/a,{"token":"t"}"#)],
        ),
        ("41/a,", vec![sent(r#"40/a,{"token":"t"}"#)]),
    ] {
        let mut client = scripted();
        tell(&mut client, connect(None));
        assert_eq!(tell(&mut client, leave()), []);
        assert_eq!(tell(&mut client, connect(None)), []);
        let twice = client::Output::Dropped {
            namespace: namespace("/a"),
            why: Unsent::Duplicate,
        };
        assert_eq!(tell(&mut client, connect(None)), [twice]);
        assert_eq!(hear(&mut client, answer), wanted);
        let told = hear(&mut client, r#"40/a,{"sid":"y"}"#);
        assert!(matches!(
            told.as_slice(),
            [client::Output::Connected { sid, .. }] if sid == "y"
        ));
    }
    let mut client = scripted();
    tell(&mut client, connect(None));
    for input in [leave(), connect(None), leave()] {
        assert_eq!(tell(&mut client, input), []);
    }
    assert_eq!(hear(&mut client, r#"40/a,{"sid":"x"}"#), [sent("41/a,")]);
}

#[test]
fn what_was_sent_before_a_namespace_was_left_is_nothing_to_the_next_membership() {
    for crossing in [r#"42/a,["old"]"#, r#"42/a,0["old"]"#, "41/a,"] {
        let mut client = scripted();
        tell(&mut client, connect(None));
        hear(&mut client, r#"40/a,{"sid":"x"}"#);
        let leave = client::Input::Disconnect {
            namespace: namespace("/a"),
        };
        assert_eq!(tell(&mut client, leave), [sent("41/a,")]);
        tell(&mut client, connect(None));
        assert_eq!(hear(&mut client, crossing), [], "{crossing}");
        let told = hear(&mut client, r#"40/a,{"sid":"y"}"#);
        let [client::Output::Connected { sid, early: 0, .. }] = told.as_slice() else {
            panic!("{crossing}: {told:?}");
        };
        assert_eq!(sid, "y");
        // What is the server's own decision now is heard.
        let told = hear(&mut client, "41/a,");
        let ended = client::Output::Disconnected {
            namespace: namespace("/a"),
        };
        assert_eq!(told, [ended]);
    }
}
