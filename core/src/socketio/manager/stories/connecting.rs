//! Connections that come and go: attempts, transports, losses, rest and shutdown.

use super::*;

#[test]
fn every_connection_asks_for_its_url_and_for_new_auth() {
    let mut rig = Rig::new(Config::default());
    assert_eq!(rig.join("/a"), ["prepare"]);
    // To say it again means nothing.
    assert_eq!(rig.join("/a"), [""; 0]);
    for auth in [r#"{"t":1}"#, r#"{"t":2}"#, r#"{"t":3}"#] {
        assert_eq!(rig.open(), ["auth /a"]);
        assert_eq!(rig.auth("/a", Some(auth)), [format!("> 40/a,{auth}")]);
        assert_eq!(rig.hear(r#"40/a,{"sid":"x"}"#), ["connected /a x"]);
        assert!(rig.manager.link.is_live());
        assert_eq!(rig.lose(), ["disconnected /a again", "down"]);
        assert_eq!(rig.sleep(), ["prepare"]);
    }
}

#[test]
fn an_attempt_that_cannot_be_prepared_is_made_again() {
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    let id = rig.prepare.take().unwrap();
    let failure = AuthorizeFailure::Unavailable("no token".to_string());
    assert_eq!(rig.tell(Input::Prepared(id, Err(failure))), ["down"]);
    // A late answer is for nobody.
    assert_eq!(rig.tell(Input::Prepared(id, Ok(()))), [""; 0]);
    assert_eq!(rig.sleep(), ["prepare"]);
    assert_eq!(rig.prepared(), ["dial"]);
}

#[test]
fn a_question_for_auth_ends_with_the_connection_or_the_wish() {
    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    rig.join("/b");
    assert_eq!(rig.open(), ["auth /a", "auth /b"]);
    assert_eq!(rig.leave("/b"), ["forget auth"]);
    let (late, _) = rig.auths[0].clone();
    assert_eq!(rig.lose(), ["forget auth", "down"]);
    assert_eq!(rig.tell(Input::Auth(late, Ok(None))), [""; 0]);
    assert_eq!(rig.sleep(), ["prepare"]);
    assert_eq!(rig.open(), ["auth /a"]);
}

#[test]
fn without_namespaces_there_is_no_connection() {
    let mut rig = Rig::joined(Config::default(), ["/a", "/b"]);
    assert_eq!(rig.leave("/c"), [""; 0]);
    assert_eq!(rig.leave("/a"), ["> 41/a,"]);
    assert_eq!(rig.leave("/b"), ["> 41/b,", "close"]);
    assert_eq!(rig.manager.next_wakeup(), None);
    assert_eq!(rig.hear(r#"42/b,["late"]"#), [""; 0]);
    assert_eq!(rig.join("/a"), ["prepare"]);
    assert_eq!(rig.leave("/a"), ["forget prepare"]);
    rig.join("/a");
    assert_eq!(rig.prepared(), ["dial"]);
    assert_eq!(rig.leave("/a"), ["hang up"]);
    assert_eq!(rig.manager.next_wakeup(), None);
}

#[test]
fn a_namespace_that_is_left_too_early_can_be_joined_again() {
    let mut rig = Rig::joined(Config::default(), ["/a"]);
    assert_eq!(rig.join("/b"), ["auth /b"]);
    assert_eq!(rig.auth("/b", None), ["> 40/b,"]);
    assert_eq!(rig.leave("/b"), [""; 0]);
    assert_eq!(rig.join("/b"), ["auth /b"]);
    assert_eq!(rig.auth("/b", Some(r#"{"t":2}"#)), [""; 0]);
    assert_eq!(
        rig.hear(r#"40/b,{"sid":"x"}"#),
        ["> 41/b,", r#"> 40/b,{"t":2}"#]
    );
    assert_eq!(rig.hear(r#"40/b,{"sid":"y"}"#), ["connected /b y"]);
}

#[test]
fn after_too_many_failures_in_a_row_it_gives_up() {
    let config = Config {
        attempts_max: NonZeroU32::new(3),
        ..Config::default()
    };
    let mut rig = Rig::new(config);
    rig.join("/a");
    rig.join("/b");
    // A connection that was live starts the count anew.
    for lives in [false, false, true, false, false] {
        rig.open();
        if lives {
            rig.auth("/a", None);
            rig.hear(r#"40/a,{"sid":"x"}"#);
        }
        assert_eq!(rig.lose().pop().unwrap(), "down");
        assert_eq!(rig.sleep(), ["prepare"]);
    }
    rig.emit("/b", "waits");
    rig.call(1, "/b", "waits", SECOND);
    rig.prepared();
    assert_eq!(
        rig.dialed(Err("refused")),
        [
            "gave up: could not dial: refused",
            "dropped /b NotConnected",
            "answered 1 NotConnected",
        ]
    );
    assert_eq!(rig.manager.next_wakeup(), None);
    assert_eq!(rig.emit("/b", "late"), ["dropped /b NotConnected"]);
    assert_eq!(rig.join("/b"), ["prepare"]);
    assert_eq!(rig.open(), ["auth /b"]);
    assert_eq!(rig.lose(), ["forget auth", "down"]);
}

#[test]
fn shutdown_says_goodbye_and_ends_everything() {
    let mut rig = Rig::joined(Config::default(), ["/a"]);
    rig.join("/b");
    rig.emit("/b", "waits");
    rig.call(1, "/b", "waits", SECOND);
    rig.call(2, "/a", "asks", SECOND);
    assert_eq!(
        rig.tell(Input::Shutdown),
        [
            "answered 2 Disconnected",
            "> 41/a,",
            "dropped /b NotConnected",
            "answered 1 NotConnected",
            "forget auth",
            "close",
        ]
    );
    assert_eq!(rig.manager.next_wakeup(), None);
    assert_eq!(rig.join("/a"), [""; 0]);
    assert_eq!(rig.emit("/a", "late"), [""; 0]);
    assert_eq!(rig.tell(Input::Shutdown), [""; 0]);
    assert_eq!(rig.wait(SECOND * 1_000), [""; 0]);

    let mut rig = Rig::new(Config::default());
    rig.join("/a");
    assert_eq!(rig.tell(Input::Shutdown), ["forget prepare"]);
}

/// How the next attempts begin, if all of them fail before the handshake.
fn begins(transports: Transports) -> Vec<String> {
    let mut rig = Rig::new(Config {
        transports,
        ..Config::default()
    });
    rig.join("/a");
    let mut begun = Vec::new();
    for _ in 0..4 {
        let said = rig.prepared();
        begun.extend(said.iter().cloned());
        if said == ["dial"] {
            assert_eq!(rig.dialed(Err("no")), ["down"]);
        } else {
            assert_eq!(rig.polled(0, 400, ""), ["down"]);
        }
        rig.sleep();
    }
    begun
}

impl Rig {
    fn polled(&mut self, id: u64, status: u16, body: &str) -> Vec<String> {
        let id = RequestId::<Exchange>::from_number(id);
        let body = Bytes::copy_from_slice(body.as_bytes());
        let result = Ok(Answer { status, body });
        let event = ClientEvent::Answered { id, result };
        self.tell(Input::Transport(self.conn, event))
    }
}

#[test]
fn the_list_of_transports_is_a_list_to_fall_back_on() {
    assert_eq!(begins(Transports::WebSocket), ["dial"; 4]);
    assert_eq!(begins(Transports::Polling), ["get -"; 4]);
    assert_eq!(
        begins(Transports::WebSocketPolling),
        ["dial", "get -", "dial", "get -"]
    );
    assert_eq!(
        begins(Transports::PollingWebSocket),
        ["get -", "dial", "get -", "dial"]
    );
}

#[test]
fn what_has_worked_is_begun_with_again() {
    let mut rig = Rig::new(Config {
        transports: Transports::WebSocketPolling,
        ..Config::default()
    });
    rig.join("/a");
    rig.prepared();
    rig.dialed(Err("a proxy is in the way"));
    rig.sleep();
    assert_eq!(rig.prepared(), ["get -"]);
    let handshake = HANDSHAKE.replace("[]", r#"["websocket"]"#);
    let said = rig.polled(0, 200, &handshake);
    assert_eq!(said, ["upgrade e", "get e", "auth /a"]);
    // It polls already, and tries the WebSocket beside that.
    assert_eq!(rig.auth("/a", None), ["post 40/a,"]);
    let no = ClientEvent::Dialed(Err(crate::engineio::transport::Text("no".into())));
    assert_eq!(rig.tell(Input::Transport(rig.conn, no)), [""; 0]);
    assert_eq!(rig.polled(2, 200, "ok"), [""; 0]);
    let said = rig.polled(1, 200, r#"40/a,{"sid":"x"}"#);
    assert_eq!(said, ["get e", "connected /a x"]);
    assert_eq!(rig.polled(3, 400, ""), ["disconnected /a again", "down"]);
    rig.sleep();
    assert_eq!(rig.prepared(), ["get -"]);
    // A failure to prepare says nothing about a transport.
    rig.polled(0, 500, "");
    rig.sleep();
    let id = rig.prepare.take().unwrap();
    let failure = AuthorizeFailure::Denied("no".to_string());
    rig.tell(Input::Prepared(id, Err(failure)));
    rig.sleep();
    assert_eq!(rig.prepared(), ["dial"]);
}
