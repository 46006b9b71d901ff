//! The cases of the official Engine.IO suite that concern a session, under their names there, and
//! what the suite leaves out about polling and the upgrade.

use alloc::{format, vec, vec::Vec};
use core::{slice, time::Duration};

use bytes::Bytes;

use super::{
    CloseReason, Heartbeat, PollingConfig, PollingFault, packet, payload,
    server::{Config, Input, Output, Server},
    transport::{ServerAction, ServerEvent},
};
use crate::{
    http::CallId,
    machine::{Machine as _, step},
    time::Time,
    ws::{self, ConnId},
};

mod upgrade;

const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;

fn text(content: &str) -> ws::Frame {
    ws::Frame::Text(content.into())
}

fn run(server: &mut Server, now: u64, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    step(server, Time::from_millis(now), Some(input), &mut out);
    out
}

fn tick(server: &mut Server, now: u64) -> Vec<Output> {
    let mut out = Vec::new();
    step(server, Time::from_millis(now), None, &mut out);
    out
}

fn due(server: &Server) -> Option<(u64, &'static str)> {
    let wakeup = server.next_wakeup()?;
    let at = wakeup.at.since(Time::ZERO).as_millis();
    Some((at.try_into().unwrap(), wakeup.why))
}

fn poll(call: u64) -> Input {
    Input::Transport(ServerEvent::Poll { call: CallId(call) })
}

fn posting(call: u64) -> Input {
    Input::Transport(ServerEvent::Posting { call: CallId(call) })
}

fn post(call: u64, body: &str) -> Input {
    Input::Transport(ServerEvent::Post {
        call: CallId(call),
        body: Bytes::copy_from_slice(body.as_bytes()),
    })
}

fn gone(call: u64) -> Input {
    Input::Transport(ServerEvent::Gone { call: CallId(call) })
}

fn frame(content: &str) -> Input {
    Input::Transport(ws::Event::Frame(text(content)).into())
}

fn send(content: &str) -> Input {
    Input::Send(text(content))
}

fn answer(call: u64, status: u16, body: &str) -> Output {
    Output::Transport(ServerAction::Answer {
        call: CallId(call),
        status,
        body: Bytes::copy_from_slice(body.as_bytes()),
    })
}

fn refusal(call: u64) -> Output {
    answer(call, 400, BAD_REQUEST)
}

fn websocket(action: ws::Action) -> Output {
    Output::Transport(ServerAction::WebSocket(action))
}

fn accepted(conn: ConnId) -> Input {
    Input::Transport(ServerEvent::Accepted(conn))
}

fn refused(conn: ConnId) -> Output {
    Output::Transport(ServerAction::Refused(conn))
}

fn sent(content: &str) -> Output {
    websocket(ws::Action::Send(text(content)))
}

fn message(content: &str) -> Output {
    Output::Message(text(content))
}

fn hang_up() -> Output {
    websocket(ws::Action::Close)
}

/// The timings of the official suite.
fn config() -> Config {
    Config {
        heartbeat: Heartbeat {
            interval: Duration::from_millis(300),
            timeout: Duration::from_millis(200),
        },
        max_payload: 1_000,
        polling: PollingConfig::default(),
    }
}

fn small() -> PollingConfig {
    PollingConfig {
        upgrade_timeout: Duration::from_millis(100),
        queue_bytes_max: 200,
        queue_packets_max: 8,
    }
}

/// A session that has its handshake.
fn polling_with(polling: PollingConfig) -> Server {
    let config = Config {
        polling,
        ..config()
    };
    let mut server = Server::polling(config, "x".into(), Time::ZERO);
    let out = run(&mut server, 0, poll(1));
    assert!(
        matches!(
            out.as_slice(),
            [Output::Transport(ServerAction::Answer { status: 200, .. })]
        ),
        "{out:?}"
    );
    server
}

fn polling() -> Server {
    polling_with(PollingConfig::default())
}

/// A session on a WebSocket from its start.
fn on_websocket() -> Server {
    let mut server = Server::new(config(), "x".into(), Time::ZERO);
    assert_eq!(tick(&mut server, 0).len(), 1);
    server
}

/// A session that has moved to a WebSocket.
fn upgraded() -> Server {
    let mut server = polling();
    assert_eq!(run(&mut server, 1, accepted(ConnId(1))), []);
    assert_eq!(run(&mut server, 2, frame("2probe")), [sent("3probe")]);
    assert_eq!(run(&mut server, 3, frame("5")), []);
    assert!(!server.is_polling());
    server
}

mod handshake {
    use super::*;

    #[test]
    fn polling_successfully_opens_a_session() {
        let mut server = Server::polling(config(), "x".into(), Time::ZERO);
        let handshake = concat!(
            r#"0{"sid":"x","upgrades":["websocket"],"pingInterval":300,"#,
            r#""pingTimeout":200,"maxPayload":1000}"#
        );
        assert_eq!(run(&mut server, 0, poll(1)), [answer(1, 200, handshake)]);
        assert!(server.is_polling());
    }

    #[test]
    fn websocket_successfully_opens_a_session() {
        let mut server = Server::new(config(), "x".into(), Time::ZERO);
        let handshake = concat!(
            r#"0{"sid":"x","upgrades":[],"pingInterval":300,"#,
            r#""pingTimeout":200,"maxPayload":1000}"#
        );
        assert_eq!(tick(&mut server, 0), [sent(handshake)]);
    }
}

mod message {
    use super::*;

    #[test]
    fn polling_sends_and_receives_a_payload_containing_one_plain_text_packet() {
        let mut server = polling();
        assert_eq!(
            run(&mut server, 1, post(2, "4hello")),
            [message("hello"), answer(2, 200, "ok")]
        );
        assert_eq!(run(&mut server, 2, send("hello")), []);
        assert_eq!(run(&mut server, 3, poll(3)), [answer(3, 200, "4hello")]);
        assert_eq!(run(&mut server, 4, poll(4)), []);
        assert_eq!(run(&mut server, 5, send("a")), [answer(4, 200, "4a")]);
        let encoded = Input::SendEncoded(text("4b"));
        assert_eq!(run(&mut server, 6, encoded), []);
        assert_eq!(run(&mut server, 7, poll(5)), [answer(5, 200, "4b")]);
    }

    #[test]
    fn polling_sends_and_receives_a_payload_containing_several_plain_text_packets() {
        let mut server = polling();
        assert_eq!(
            run(&mut server, 1, post(2, "4test1\u{1e}4test2\u{1e}4test3")),
            [
                message("test1"),
                message("test2"),
                message("test3"),
                answer(2, 200, "ok")
            ]
        );
        for content in ["test1", "test2", "test3"] {
            assert_eq!(run(&mut server, 2, send(content)), []);
        }
        assert_eq!(
            run(&mut server, 3, poll(3)),
            [answer(3, 200, "4test1\u{1e}4test2\u{1e}4test3")]
        );
    }

    #[test]
    fn polling_sends_and_receives_a_payload_containing_plain_text_and_binary_packets() {
        let mut server = polling();
        let binary = ws::Frame::Binary(Bytes::from_static(&[1, 2, 3, 4]));
        assert_eq!(
            run(&mut server, 1, post(2, "4hello\u{1e}bAQIDBA==")),
            [
                message("hello"),
                Output::Message(binary.clone()),
                answer(2, 200, "ok")
            ]
        );
        run(&mut server, 2, send("hello"));
        run(&mut server, 2, Input::Send(binary));
        assert_eq!(
            run(&mut server, 3, poll(3)),
            [answer(3, 200, "4hello\u{1e}bAQIDBA==")]
        );
    }

    #[test]
    fn polling_closes_the_session_upon_invalid_packet_format() {
        let mut server = polling();
        run(&mut server, 1, poll(2));
        let error = payload::DecodeError::Packet {
            at: 1,
            error: packet::DecodeError::UnknownType('a'),
        };
        assert_eq!(
            run(&mut server, 1, post(3, "4void\u{1e}abc")),
            [
                answer(2, 200, "1"),
                refusal(3),
                Output::Closed(CloseReason::BadPayload(error))
            ]
        );
        assert_eq!(run(&mut server, 2, poll(4)), []);
    }

    #[test]
    fn polling_closes_the_session_upon_duplicate_poll_requests() {
        let mut server = polling();
        assert_eq!(run(&mut server, 1, poll(2)), []);
        assert_eq!(
            run(&mut server, 1, poll(3)),
            [
                refusal(3),
                answer(2, 200, "1"),
                Output::Closed(CloseReason::Polling(PollingFault::SecondPoll))
            ]
        );
    }

    #[test]
    fn polling_closes_the_session_upon_cancelled_polling_request() {
        let cancelled = Output::Closed(CloseReason::Polling(PollingFault::Cancelled));
        let mut server = polling();
        run(&mut server, 1, poll(2));
        assert_eq!(run(&mut server, 1, gone(1)), []);
        assert_eq!(run(&mut server, 2, gone(2)), slice::from_ref(&cancelled));
        assert_eq!(due(&server), None);

        let mut server = polling();
        run(&mut server, 1, poll(2));
        run(&mut server, 1, posting(3));
        assert_eq!(
            run(&mut server, 2, gone(3)),
            [answer(2, 200, "1"), cancelled]
        );
    }

    #[test]
    fn websocket_sends_and_receives_a_plain_text_packet() {
        for mut server in [on_websocket(), upgraded()] {
            assert_eq!(run(&mut server, 10, frame("4hello")), [message("hello")]);
            assert_eq!(run(&mut server, 10, send("hello")), [sent("4hello")]);
        }
    }

    #[test]
    fn websocket_sends_and_receives_a_binary_packet() {
        for mut server in [on_websocket(), upgraded()] {
            let binary = ws::Frame::Binary(Bytes::from_static(&[1, 2, 3, 4]));
            let arrived = Input::Transport(ws::Event::Frame(binary.clone()).into());
            assert_eq!(
                run(&mut server, 10, arrived),
                [Output::Message(binary.clone())]
            );
            assert_eq!(
                run(&mut server, 10, Input::Send(binary.clone())),
                [websocket(ws::Action::Send(binary))]
            );
        }
    }

    #[test]
    fn websocket_closes_the_session_upon_invalid_packet_format() {
        for mut server in [on_websocket(), upgraded()] {
            let reason = CloseReason::BadPacket(packet::DecodeError::UnknownType('a'));
            assert_eq!(
                run(&mut server, 10, frame("abc")),
                [hang_up(), Output::Closed(reason)]
            );
        }
    }

    #[test]
    fn posts_come_one_at_a_time() {
        let second = Output::Closed(CloseReason::Polling(PollingFault::SecondPost));
        for next in [posting(3), post(3, "4a")] {
            let mut server = polling();
            assert_eq!(run(&mut server, 1, posting(2)), []);
            assert_eq!(
                run(&mut server, 2, next),
                [refusal(3), refusal(2), second.clone()]
            );
        }
        let mut server = polling();
        for call in 2..4 {
            assert_eq!(run(&mut server, 1, posting(call)), []);
            assert_eq!(
                run(&mut server, 2, post(call, "4a")),
                [message("a"), answer(call, 200, "ok")]
            );
        }
    }

    #[test]
    fn a_body_above_the_limit_and_a_packet_out_of_place_end_the_session() {
        let mut server = polling();
        let error = payload::DecodeError::TooLarge {
            bytes: 1_001,
            max: 1_000,
        };
        let out = run(&mut server, 1, post(2, &"4".repeat(1_001)));
        assert!(
            matches!(
                out.first(),
                Some(Output::Transport(ServerAction::Answer { status: 413, .. }))
            ),
            "{out:?}"
        );
        let closed = Output::Closed(CloseReason::BadPayload(error));
        assert_eq!(out.get(1..), Some(&[closed][..]));

        let mut server = polling();
        let error = packet::DecodeError::Unexpected("ping");
        assert_eq!(
            run(&mut server, 1, post(2, "4a\u{1e}2\u{1e}4b")),
            [
                message("a"),
                refusal(2),
                Output::Closed(CloseReason::BadPacket(error))
            ]
        );
    }

    #[test]
    fn answers_are_cut_at_the_limit_and_the_queue_has_one_too() {
        let mut server = polling();
        for content in ["a", "b", "c"] {
            run(&mut server, 1, send(&content.repeat(499)));
        }
        let (a, b, c) = ("a".repeat(499), "b".repeat(499), "c".repeat(499));
        assert_eq!(
            run(&mut server, 2, poll(2)),
            [answer(2, 200, &format!("4{a}"))]
        );
        assert_eq!(
            run(&mut server, 2, poll(3)),
            [answer(3, 200, &format!("4{b}"))]
        );
        assert_eq!(
            run(&mut server, 2, poll(4)),
            [answer(4, 200, &format!("4{c}"))]
        );
        let overrun = Output::Closed(CloseReason::Transport(ws::Closed::Overrun));
        let mut server = polling_with(small());
        assert_eq!(run(&mut server, 3, send(&"a".repeat(199))), []);
        assert_eq!(run(&mut server, 3, send("")), slice::from_ref(&overrun));
        let mut server = polling_with(small());
        run(&mut server, 3, accepted(ConnId(1)));
        for _ in 0..8 {
            assert_eq!(run(&mut server, 3, send("")), []);
        }
        assert_eq!(run(&mut server, 3, send("")), [hang_up(), overrun]);
    }

    #[test]
    fn a_text_that_cannot_be_polled_comes_back() {
        let mut server = polling();
        let odd = "a\u{1e}b";
        let unsent = Output::Unsent(text(odd));
        assert_eq!(run(&mut server, 1, send(odd)), slice::from_ref(&unsent));
        let encoded = Input::SendEncoded(text("4a\u{1e}b"));
        assert_eq!(run(&mut server, 1, encoded), [unsent]);
        assert_eq!(run(&mut server, 1, poll(2)), []);
        let mut server = upgraded();
        assert_eq!(run(&mut server, 4, send(odd)), [sent("4a\u{1e}b")]);
    }
}

mod heartbeat {
    use super::*;

    #[test]
    fn polling_sends_ping_pong_packets() {
        let mut server = polling();
        for round in 0..3 {
            let at = round * 300;
            assert_eq!(run(&mut server, at, poll(2 + round)), []);
            assert_eq!(due(&server), Some((at + 300, "engine.io ping")));
            assert_eq!(tick(&mut server, at + 300), [answer(2 + round, 200, "2")]);
            assert_eq!(
                run(&mut server, at + 300, post(10 + round, "3")),
                [answer(10 + round, 200, "ok")]
            );
        }
    }

    #[test]
    fn polling_closes_the_session_upon_ping_timeout() {
        let mut server = polling();
        assert_eq!(tick(&mut server, 300), []);
        assert_eq!(tick(&mut server, 499), []);
        assert_eq!(
            tick(&mut server, 500),
            [Output::Closed(CloseReason::PingTimeout)]
        );
        let mut server = polling();
        tick(&mut server, 300);
        assert_eq!(run(&mut server, 301, poll(2)), [answer(2, 200, "2")]);
        assert_eq!(run(&mut server, 302, poll(3)), []);
        assert_eq!(
            tick(&mut server, 500),
            [
                answer(3, 200, "1"),
                Output::Closed(CloseReason::PingTimeout)
            ]
        );
    }

    #[test]
    fn websocket_sends_ping_pong_packets() {
        for mut server in [on_websocket(), upgraded()] {
            for round in 1..4 {
                assert_eq!(tick(&mut server, round * 300), [sent("2")]);
                assert_eq!(run(&mut server, round * 300, frame("3")), []);
            }
        }
    }

    #[test]
    fn websocket_closes_the_session_upon_ping_timeout() {
        for mut server in [on_websocket(), upgraded()] {
            assert_eq!(tick(&mut server, 300), [sent("2")]);
            assert_eq!(
                tick(&mut server, 500),
                [hang_up(), Output::Closed(CloseReason::PingTimeout)]
            );
        }
    }
}

mod close {
    use super::*;

    #[test]
    fn polling_forcefully_closes_the_session() {
        let mut server = polling();
        run(&mut server, 1, poll(2));
        assert_eq!(
            run(&mut server, 2, post(3, "1\u{1e}4late")),
            [
                answer(2, 200, "6"),
                answer(3, 200, "ok"),
                Output::Closed(CloseReason::Peer)
            ]
        );
        assert_eq!(run(&mut server, 3, poll(4)), []);
    }

    #[test]
    fn websocket_forcefully_closes_the_session() {
        for mut server in [on_websocket(), upgraded()] {
            assert_eq!(
                run(&mut server, 10, frame("1")),
                [hang_up(), Output::Closed(CloseReason::Peer)]
            );
        }
    }

    #[test]
    fn what_waits_is_said_with_the_end() {
        let local = Output::Closed(CloseReason::Local);
        let mut server = polling();
        run(&mut server, 1, poll(2));
        run(&mut server, 1, posting(3));
        assert_eq!(
            run(&mut server, 2, Input::Close),
            [answer(2, 200, "1"), answer(3, 200, "ok"), local.clone()]
        );
        let mut server = polling();
        run(&mut server, 1, send("last"));
        let farewell = ServerAction::Farewell(Bytes::from_static(b"4last\x1e1"));
        let farewell = Output::Transport(farewell);
        assert_eq!(run(&mut server, 2, Input::Close), [farewell, local]);
        assert_eq!(due(&server), None);
    }

    #[test]
    fn as_much_as_can_wait_can_be_read_with_the_end() {
        let config = PollingConfig::default();
        let packets = config.queue_packets_max;
        let mut server = polling_with(config);
        for _ in 0..packets {
            assert_eq!(run(&mut server, 1, send("")), []);
        }
        let out = run(&mut server, 2, Input::Close);
        let [Output::Transport(ServerAction::Farewell(body)), _] = out.as_slice() else {
            panic!("{out:?}");
        };
        let read = payload::decode(body.clone(), u64::MAX).unwrap();
        assert_eq!(read.len(), packets + 1);
    }
}
