//! Sessions that poll, move and end, and whatever has no session.

use alloc::{format, string::String, vec, vec::Vec};

use bytes::Bytes;

use super::*;
use crate::engineio::server::{Config, Input, Output, Server};

const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;
const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;

/// A server that echoes every message.
struct Echo {
    sessions: Sessions<Server>,
    now: Time,
    ended: Vec<SessionId>,
}

fn limits() -> Limits {
    Limits {
        sessions_max: 3,
        farewell_life: Duration::from_secs(5),
        farewells_max: 2,
        farewell_bytes_max: 10,
    }
}

fn secret(sid: &str) -> Secret {
    Secret::new(sid)
}

fn closed(conn: u64) -> Effect {
    Effect::Transport(ConnId(conn), ws::Action::Close)
}

fn sent(conn: u64, text: &str) -> Effect {
    let frame = ws::Frame::Text(text.into());
    Effect::Transport(ConnId(conn), ws::Action::Send(frame))
}

fn answered(call: u64, status: u16, body: &str) -> Effect {
    answer(
        CallId(call),
        status,
        Bytes::copy_from_slice(body.as_bytes()),
    )
}

impl Echo {
    fn new() -> Self {
        Self {
            sessions: Sessions::new(Config::default(), limits()),
            now: Time::from_millis(1_000),
            ended: Vec::new(),
        }
    }

    fn arrive(&mut self, arrival: Arrival) -> Vec<Effect> {
        let (mut effects, mut said) = (Vec::new(), Vec::new());
        self.sessions
            .arrive(self.now, arrival, &mut effects, &mut said);
        for (id, output) in said {
            match output {
                Output::Message(frame) => effects.append(&mut self.step(id, Input::Send(frame))),
                Output::Closed(_) => self.ended.push(id),
                Output::Transport(_) | Output::Unsent(_) => panic!("{output:?}"),
            }
        }
        if let Some(wakeup) = self.sessions.next_wakeup() {
            assert!(wakeup.at > self.now, "{wakeup:?}");
        }
        effects
    }

    fn step(&mut self, id: SessionId, input: Input) -> Vec<Effect> {
        let (mut effects, mut said) = (Vec::new(), Vec::new());
        self.sessions
            .step(self.now, id, input, &mut effects, &mut said);
        effects
    }

    fn later(&mut self, span: Duration) -> Vec<Effect> {
        self.now = self.now + span;
        let (mut effects, mut said) = (Vec::new(), Vec::new());
        self.sessions.tick(self.now, &mut effects, &mut said);
        effects
    }

    fn socket(&mut self, conn: u64, sid: Option<&str>) -> Vec<Effect> {
        self.socket_with(conn, sid, false)
    }

    fn socket_with(&mut self, conn: u64, sid: Option<&str>, base64: bool) -> Vec<Effect> {
        self.arrive(Arrival::Socket {
            conn: ConnId(conn),
            sid: sid.map(secret),
            fresh: secret(&format!("socket{conn}")),
            base64,
        })
    }

    fn frame(&mut self, conn: u64, text: &str) -> Vec<Effect> {
        let frame = ws::Frame::Text(text.into());
        self.arrive(Arrival::Transport(ConnId(conn), ws::Event::Frame(frame)))
    }

    fn poll(&mut self, call: u64, sid: Option<&str>) -> Vec<Effect> {
        self.arrive(Arrival::Poll {
            call: CallId(call),
            sid: sid.map(secret),
            fresh: secret(&format!("poll{call}")),
        })
    }

    fn posting(&mut self, call: u64, sid: &str) -> Vec<Effect> {
        self.arrive(Arrival::Posting {
            call: CallId(call),
            sid: secret(sid),
        })
    }

    fn body(&mut self, call: u64, body: &str) -> Vec<Effect> {
        self.arrive(Arrival::Post {
            call: CallId(call),
            body: Bytes::copy_from_slice(body.as_bytes()),
        })
    }

    fn post(&mut self, call: u64, sid: &str, body: &str) -> Vec<Effect> {
        let mut effects = self.posting(call, sid);
        effects.append(&mut self.body(call, body));
        effects
    }

    fn last(&self) -> SessionId {
        self.sessions.ids().last().unwrap()
    }
}

#[test]
fn a_session_polls_and_moves() {
    let mut echo = Echo::new();
    let hello = echo.poll(1, None);
    let [
        Effect::Answer {
            status: 200, body, ..
        },
    ] = hello.as_slice()
    else {
        panic!("{hello:?}");
    };
    assert!(body.starts_with(br#"0{"sid":"poll1","upgrades":["websocket"],"#));
    assert_eq!(echo.poll(2, Some("poll1")), []);
    assert_eq!(
        echo.post(3, "poll1", "4a\u{1e}4b"),
        [answered(3, 200, "ok"), answered(2, 200, "4a")]
    );
    assert_eq!(echo.socket(4, Some("poll1")), []);
    assert_eq!(echo.frame(4, "2probe"), [sent(4, "3probe")]);
    assert_eq!(
        echo.socket(5, Some("poll1")),
        [closed(5)],
        "a second WebSocket is refused, and the first stays"
    );
    assert_eq!(echo.poll(6, Some("poll1")), [answered(6, 200, "4b")]);
    assert_eq!(echo.frame(4, "5"), []);
    assert_eq!(echo.frame(4, "4c"), [sent(4, "4c")]);
    assert_eq!(echo.frame(5, "4not its own"), []);
    assert_eq!(echo.poll(7, Some("poll1")), [answered(7, 400, BAD_REQUEST)]);
    assert_eq!(
        echo.post(8, "poll1", "4d"),
        [answered(8, 400, BAD_REQUEST)],
        "its body is not waited for"
    );
    assert_eq!(echo.socket(9, Some("poll1")), [closed(9)]);
    assert_eq!(echo.frame(4, "4e"), [sent(4, "4e")]);
    assert_eq!(echo.frame(4, "1"), [closed(4)]);
    assert_eq!(echo.ended.len(), 1);
    assert!(echo.sessions.is_empty());
    assert_eq!(echo.sessions.next_wakeup(), None);
}

#[test]
fn a_failed_upgrade_leaves_the_session_polling() {
    let mut echo = Echo::new();
    echo.poll(1, None);
    for conn in [2, 3] {
        assert_eq!(echo.socket(conn, Some("poll1")), []);
        let gone = ws::Event::Closed(ws::Closed::TooLarge);
        assert_eq!(echo.arrive(Arrival::Transport(ConnId(conn), gone)), []);
        assert_eq!(echo.frame(conn, "2probe"), []);
    }
    assert_eq!(echo.socket(4, Some("poll1")), []);
    assert_eq!(echo.frame(4, "garbage"), [closed(4)]);
    assert_eq!(echo.socket(5, Some("poll1")), []);
    assert_eq!(echo.later(Duration::from_secs(10)), [closed(5)]);
    assert_eq!(
        echo.post(6, "poll1", "4a"),
        [answered(6, 200, "ok")],
        "the session goes on"
    );
}

#[test]
fn what_names_no_session_is_answered_or_closed() {
    let mut echo = Echo::new();
    assert_eq!(echo.poll(1, Some("x")), [answered(1, 400, UNKNOWN)]);
    assert_eq!(echo.post(2, "x", "4a"), [answered(2, 400, UNKNOWN)]);
    assert_eq!(echo.socket(3, Some("x")), [closed(3)]);
    assert_eq!(echo.frame(3, "4a"), []);
    assert_eq!(echo.body(4, "4a"), [], "never announced");
    assert_eq!(echo.arrive(Arrival::Gone { call: CallId(5) }), []);
    assert_eq!(echo.sessions.next_wakeup(), None);
}

#[test]
fn a_session_ends_with_a_request_that_is_given_up_and_only_that_session() {
    let mut echo = Echo::new();
    echo.socket(1, None);
    echo.poll(2, None);
    echo.poll(3, Some("poll2"));
    assert_eq!(echo.arrive(Arrival::Gone { call: CallId(3) }), []);
    assert_eq!(echo.ended.len(), 1);
    assert_eq!(echo.poll(4, Some("poll2")), [answered(4, 400, UNKNOWN)]);
    assert_eq!(echo.frame(1, "4a"), [sent(1, "4a")]);
    let gone = ws::Event::Closed(ws::Closed::Overrun);
    echo.arrive(Arrival::Transport(ConnId(1), gone));
    assert_eq!(echo.ended.len(), 2);
    assert!(echo.sessions.conns.is_empty() && echo.sessions.calls.is_empty());
}

#[test]
fn each_call_is_answered_once_however_often_it_is_told() {
    let mut echo = Echo::new();
    echo.poll(1, None);
    assert_eq!(echo.poll(2, Some("poll1")), []);
    assert_eq!(echo.poll(2, Some("poll1")), []);
    assert_eq!(echo.poll(2, None), []);
    assert_eq!(echo.posting(2, "poll1"), []);
    assert_eq!(
        echo.poll(3, Some("poll1")),
        [answered(3, 400, BAD_REQUEST), answered(2, 200, "1")],
        "a second poll at once is the end"
    );
    assert_eq!(echo.body(3, "4a"), []);
}

#[test]
fn binary_is_text_on_a_websocket_that_asks_for_it() {
    let binary = || ws::Frame::Binary(Bytes::from_static(&[1, 2, 3, 4]));
    let on = |conn, frame| [Effect::Transport(ConnId(conn), ws::Action::Send(frame))];
    let arrived = |conn| Arrival::Transport(ConnId(conn), ws::Event::Frame(binary()));
    let mut echo = Echo::new();
    echo.socket_with(1, None, true);
    assert_eq!(echo.arrive(arrived(1)), [sent(1, "bAQIDBA==")]);
    assert_eq!(echo.frame(1, "bAQIDBA"), [sent(1, "bAQIDBA==")]);
    assert_eq!(echo.frame(1, "4bAQ"), [sent(1, "4bAQ")]);
    // The WebSocket that a session has moved to counts, not one that it did not take.
    echo.poll(2, None);
    echo.socket_with(3, Some("poll2"), true);
    assert_eq!(echo.socket(4, Some("poll2")), [closed(4)]);
    echo.frame(3, "5");
    assert_eq!(echo.arrive(arrived(3)), [sent(3, "bAQIDBA==")]);
    echo.poll(5, None);
    echo.socket(6, Some("poll5"));
    assert_eq!(echo.socket_with(7, Some("poll5"), true), [closed(7)]);
    echo.frame(6, "5");
    assert_eq!(echo.arrive(arrived(6)), on(6, binary()));
}

#[test]
fn there_are_only_so_many_sessions() {
    let mut echo = Echo::new();
    echo.socket(1, None);
    echo.socket(1, None);
    echo.poll(2, None);
    echo.poll(3, None);
    assert_eq!(echo.sessions.len(), 3);
    let busy = r#"{"code":3,"message":"Too many sessions"}"#;
    assert_eq!(echo.poll(4, None), [answered(4, 503, busy)]);
    assert_eq!(echo.socket(5, None), [closed(5)]);
    echo.frame(1, "1");
    assert_eq!(echo.socket(6, None).len(), 1);
    let (again, id) = (Input::Close, echo.last());
    assert_eq!(echo.step(id, again), [closed(6)]);
    let known = Arrival::Socket {
        conn: ConnId(7),
        sid: None,
        fresh: secret("poll3"),
        base64: false,
    };
    assert_eq!(echo.arrive(known), [closed(7)], "a sid is used once");
}

#[test]
fn last_words_wait_for_the_next_poll_and_not_for_long() {
    let mut echo = Echo::new();
    let close = |echo: &mut Echo, call: u64, words: &str| {
        echo.poll(call, None);
        let id = echo.last();
        echo.step(id, Input::Send(ws::Frame::Text(words.into())));
        assert_eq!(echo.step(id, Input::Close), []);
    };
    close(&mut echo, 1, "a");
    assert_eq!(echo.poll(2, Some("poll1")), [answered(2, 200, "4a\u{1e}1")]);
    assert_eq!(echo.poll(3, Some("poll1")), [answered(3, 400, UNKNOWN)]);
    for call in [11, 12, 13] {
        close(&mut echo, call, "");
    }
    assert_eq!(
        echo.poll(14, Some("poll11")),
        [answered(14, 400, UNKNOWN)],
        "only so many"
    );
    close(&mut echo, 15, "1234567");
    for call in [12, 13] {
        let sid = format!("poll{call}");
        assert_eq!(
            echo.poll(call + 10, Some(&sid)),
            [answered(call + 10, 400, UNKNOWN)],
            "only so many bytes"
        );
    }
    close(&mut echo, 16, "");
    assert_eq!(echo.later(Duration::from_secs(5)), []);
    let sids: [String; 2] = ["poll15".into(), "poll16".into()];
    for (call, sid) in (30..).zip(sids) {
        assert_eq!(echo.poll(call, Some(&sid)), [answered(call, 400, UNKNOWN)]);
    }
    assert_eq!(echo.sessions.farewells, Farewells::default());
}

#[test]
fn a_body_is_recorded_as_text_where_it_is() {
    for (body, wanted) in [
        (
            &b"4a\x1e4b"[..],
            r#"{"post":{"call":1,"body":"4a\u001e4b"}}"#,
        ),
        (b"\xff\x00", r#"{"post":{"call":1,"body":[255,0]}}"#),
    ] {
        let call = CallId(1);
        let body = Bytes::from_static(body);
        let arrival = Arrival::Post { call, body };
        let line = serde_json::to_string(&arrival).unwrap();
        assert_eq!(line, wanted);
        assert_eq!(serde_json::from_str::<Arrival>(&line).unwrap(), arrival);
        let mut texts = vec![];
        arrival.texts(&mut |text| texts.push(String::from(text)));
        let expected: &[&str] = if wanted.contains("4a") {
            &["4a", "4b"]
        } else {
            &[]
        };
        assert_eq!(texts, expected);
    }
}
