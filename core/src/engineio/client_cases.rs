//! What a client does that polls, and how it moves to a WebSocket, against a scripted server.

use alloc::{format, vec, vec::Vec};
use core::time::Duration;

use bytes::Bytes;

use super::{
    CloseReason, WORDS_BYTES_MAX,
    client::{Client, Config, Input, Output, Refusal},
    packet,
    packet::Size,
    payload,
    transport::{Answer, ClientAction, ClientEvent, Text},
};
use crate::{
    http::Failure,
    machine::{Machine as _, step},
    request::RequestId,
    time::Time,
    ws,
};

/// With a `maxPayload` of 20.
const HANDSHAKE: &str = concat!(
    r#"0{"sid":"x","upgrades":["websocket"],"pingInterval":300,"#,
    r#""pingTimeout":200,"maxPayload":20}"#
);

fn text(content: &str) -> ws::Frame {
    ws::Frame::Text(content.into())
}

fn binary(content: &'static [u8]) -> ws::Frame {
    ws::Frame::Binary(Bytes::from_static(content))
}

fn bytes(content: &str) -> Bytes {
    Bytes::copy_from_slice(content.as_bytes())
}

fn run(client: &mut Client, now: u64, input: impl Into<Option<Input>>) -> Vec<Output> {
    let mut out = Vec::new();
    step(client, Time::from_millis(now), input.into(), &mut out);
    out
}

fn due(client: &Client) -> Option<(u64, &'static str)> {
    let wakeup = client.next_wakeup()?;
    let at = wakeup.at.since(Time::ZERO).as_millis();
    Some((at.try_into().unwrap(), wakeup.why))
}

fn event(event: ClientEvent) -> Input {
    Input::Transport(event)
}

fn status(id: u64, status: u16, body: &str) -> Input {
    let body = bytes(body);
    event(ClientEvent::Answered {
        id: RequestId::from_number(id),
        result: Ok(Answer { status, body }),
    })
}

fn answer(id: u64, body: &str) -> Input {
    status(id, 200, body)
}

fn failed(id: u64, failure: Failure) -> Input {
    event(ClientEvent::Answered {
        id: RequestId::from_number(id),
        result: Err(failure),
    })
}

fn frame(content: &str) -> Input {
    event(ws::Event::Frame(text(content)).into())
}

fn gone() -> Input {
    event(ws::Event::Closed(ws::Closed::TooLarge).into())
}

fn dialed() -> Input {
    event(ClientEvent::Dialed(Ok(())))
}

fn send(content: &str) -> Input {
    Input::Send(text(content))
}

fn get(id: u64, sid: Option<&str>) -> Output {
    Output::Transport(ClientAction::Get {
        id: RequestId::from_number(id),
        sid: sid.map(Into::into),
    })
}

fn poll(id: u64) -> Output {
    get(id, Some("x"))
}

fn post(id: u64, body: &str) -> Output {
    Output::Transport(ClientAction::Post {
        id: RequestId::from_number(id),
        sid: "x".into(),
        body: bytes(body),
    })
}

fn abort(id: u64) -> Output {
    Output::Transport(ClientAction::Abort(RequestId::from_number(id)))
}

fn sent(content: &str) -> Output {
    let action = ws::Action::Send(text(content));
    Output::Transport(ClientAction::WebSocket(action))
}

fn hang_up() -> Output {
    Output::Transport(ClientAction::WebSocket(ws::Action::Close))
}

fn message(content: &str) -> Output {
    Output::Message(text(content))
}

fn begun(upgrade: bool) -> Client {
    let mut client = Client::polling(Config::default(), upgrade, Time::ZERO);
    assert_eq!(due(&client), Some((0, "engine.io first poll")));
    assert_eq!(run(&mut client, 0, None), [get(0, None)]);
    client
}

/// A session whose poll 1 is open. If it is to upgrade, it has dialed.
fn opened(upgrade: bool) -> Client {
    let mut client = begun(upgrade);
    let out = run(&mut client, 0, answer(0, HANDSHAKE));
    let dial = Output::Transport(ClientAction::Dial { sid: "x".into() });
    let dial = upgrade.then_some(dial);
    assert!(matches!(out[0], Output::Opened(_)), "{out:?}");
    let rest: Vec<_> = dial.into_iter().chain([poll(1)]).collect();
    assert_eq!(out[1..], rest);
    client
}

/// A session whose poll 1 is open and whose WebSocket works: nothing more is posted.
fn moving() -> Client {
    let mut client = opened(true);
    assert_eq!(run(&mut client, 1, dialed()), [sent("2probe")]);
    assert_eq!(run(&mut client, 2, frame("3probe")), []);
    client
}

mod polling {
    use super::*;

    #[test]
    fn the_first_answer_begins_with_the_handshake_and_may_hold_more() {
        let mut client = begun(false);
        assert_eq!(run(&mut client, 1, send("a")), [Output::Unsent(text("a"))]);
        assert_eq!(client.check([Size::Text(1)]), Err(Refusal::NotOpen));
        let body = format!("{HANDSHAKE}\u{1e}4hi\u{1e}2");
        let out = run(&mut client, 2, answer(0, &body));
        assert!(matches!(out[0], Output::Opened(_)), "{out:?}");
        assert_eq!(out[1..], [message("hi"), poll(1), post(2, "3")]);
        assert!(client.is_polling());
    }

    #[test]
    fn a_server_without_a_handshake_is_left() {
        let unexpected = packet::DecodeError::Unexpected("message");
        let empty = payload::DecodeError::Packet {
            at: 0,
            error: packet::DecodeError::Empty,
        };
        for (body, reason) in [
            ("4a", CloseReason::BadPacket(unexpected)),
            ("1", CloseReason::Peer),
            ("", CloseReason::BadPayload(empty)),
        ] {
            let mut client = begun(true);
            let out = run(&mut client, 1, answer(0, body));
            assert_eq!(out, [Output::Closed(reason)]);
        }
        let mut client = begun(true);
        assert_eq!(due(&client), Some((10_000, "engine.io handshake timeout")));
        assert_eq!(
            run(&mut client, 10_000, None),
            [abort(0), Output::Closed(CloseReason::HandshakeTimeout)]
        );
        assert_eq!(due(&client), None);
        assert_eq!(run(&mut client, 10_001, answer(0, HANDSHAKE)), []);
    }

    #[test]
    fn a_poll_is_always_open_and_pings_are_answered_by_post() {
        let mut client = opened(false);
        assert_eq!(
            run(&mut client, 1, answer(1, "4a\u{1e}bAQI=\u{1e}4b")),
            [
                message("a"),
                Output::Message(binary(&[1, 2])),
                message("b"),
                poll(2)
            ]
        );
        assert_eq!(
            run(&mut client, 300, answer(2, "2x")),
            [poll(3), post(4, "3x")]
        );
        assert_eq!(run(&mut client, 301, answer(4, "ok")), []);
        assert_eq!(run(&mut client, 302, answer(3, "6")), [poll(5)]);
        assert_eq!(
            run(&mut client, 303, answer(5, "4last\u{1e}1\u{1e}4void")),
            [message("last"), Output::Closed(CloseReason::Peer)]
        );
    }

    #[test]
    fn one_post_is_under_way_at_a_time_and_no_body_is_above_the_limit() {
        let mut client = opened(false);
        assert_eq!(run(&mut client, 1, send("first")), [post(2, "4first")]);
        for content in ["123456", "1234", "12345"] {
            assert_eq!(run(&mut client, 1, send(content)), []);
        }
        let encoded = Input::SendEncoded(binary(&[1, 2, 3]));
        assert_eq!(run(&mut client, 1, encoded), []);
        assert_eq!(
            run(&mut client, 2, answer(2, "ok")),
            [post(3, "4123456\u{1e}41234\u{1e}412345")]
        );
        assert_eq!(run(&mut client, 3, answer(3, "ok")), [post(4, "bAQID")]);
        assert_eq!(run(&mut client, 4, answer(4, "ok")), []);
    }

    #[test]
    fn what_cannot_be_posted_comes_back() {
        let mut client = opened(false);
        let fits = "1234567890123456789";
        assert_eq!(run(&mut client, 1, send(fits)).len(), 1);
        assert_eq!(client.check([Size::Text(20), Size::Binary(12)]), Ok(()));
        for unsent in [
            text("12345678901234567890"),
            // In base64 that is 1 byte too long; on a WebSocket it would fit.
            binary(b"1234567890123456"),
            text("4a\u{1e}4b"),
        ] {
            let input = Input::Send(unsent.clone());
            assert_eq!(run(&mut client, 1, input), [Output::Unsent(unsent)]);
        }
        assert_eq!(run(&mut client, 2, answer(2, "ok")), []);
    }

    #[test]
    fn a_full_queue_refuses_messages_and_a_pong_too_many_is_the_end() {
        let small = Config {
            queue_bytes_max: 10,
            queue_packets_max: 3,
            ..Config::default()
        };
        let mut client = Client::polling(small, false, Time::ZERO);
        run(&mut client, 0, None);
        run(&mut client, 0, answer(0, HANDSHAKE));
        assert_eq!(run(&mut client, 1, send("away")), [post(2, "4away")]);
        assert_eq!(run(&mut client, 1, send("12345678")), []);
        assert_eq!(client.check([Size::Text(1)]), Ok(()));
        assert_eq!(client.check([Size::Text(2)]), Err(Refusal::Full));
        assert_eq!(client.check([Size::Text(21)]), Err(Refusal::TooLarge));
        assert_eq!(run(&mut client, 1, send("a")), [Output::Unsent(text("a"))]);
        assert_eq!(run(&mut client, 1, send("")), []);
        let overrun = CloseReason::Transport(ws::Closed::Overrun);
        assert_eq!(
            run(&mut client, 1, answer(1, "2")),
            [Output::Closed(overrun)]
        );
    }

    #[test]
    fn empty_messages_are_bounded_too() {
        let small = Config {
            queue_packets_max: 2,
            ..Config::default()
        };
        let mut client = Client::polling(small, false, Time::ZERO);
        run(&mut client, 0, None);
        run(&mut client, 0, answer(0, HANDSHAKE));
        for _ in 0..3 {
            run(&mut client, 1, send(""));
        }
        assert_eq!(client.check([Size::Text(1)]), Err(Refusal::Full));
        assert_eq!(run(&mut client, 2, answer(2, "ok")), [post(3, "4\u{1e}4")]);
    }

    #[test]
    fn a_request_that_is_refused_or_comes_to_nothing_is_the_end() {
        let refused = |status, words: &str| CloseReason::Refused {
            status,
            words: words.into(),
        };
        let long = "é".repeat(WORDS_BYTES_MAX);
        let json = r#"{"code":1,"message":"Session ID unknown"}"#;
        for (status_code, body, reason) in [
            (400, json, refused(400, "Session ID unknown")),
            (502, "<h1>Bad\n", refused(502, "<h1>Bad")),
            (204, "", refused(204, "")),
            (500, &long, refused(500, &"é".repeat(WORDS_BYTES_MAX / 2))),
        ] {
            let mut client = opened(true);
            run(&mut client, 1, send("a"));
            assert_eq!(
                run(&mut client.clone(), 2, status(2, status_code, body)),
                [hang_up(), abort(1), Output::Closed(reason.clone())]
            );
            assert_eq!(
                run(&mut client, 2, status(1, status_code, body)),
                [hang_up(), Output::Closed(reason)]
            );
        }
        let mut client = opened(false);
        assert_eq!(
            run(&mut client, 1, failed(1, Failure::TooLarge)),
            [Output::Closed(CloseReason::Unanswered(Failure::TooLarge))]
        );
    }

    #[test]
    fn a_body_that_cannot_be_read_is_the_end_and_none_of_it_counts() {
        let mut client = opened(false);
        let error = payload::DecodeError::Packet {
            at: 1,
            error: packet::DecodeError::NotBase64,
        };
        assert_eq!(
            run(&mut client, 1, answer(1, "4a\u{1e}b!")),
            [post(2, "1"), Output::Closed(CloseReason::BadPayload(error))]
        );
    }

    #[test]
    fn late_repeated_and_unknown_answers_are_ignored() {
        let mut client = opened(false);
        run(&mut client, 1, answer(1, "6"));
        let before = client.clone();
        for stray in [
            answer(0, "4a"),
            answer(1, "4a"),
            status(9, 400, ""),
            failed(1, Failure::TooLarge),
            dialed(),
            frame("4a"),
            gone(),
        ] {
            assert_eq!(run(&mut client, 2, stray), []);
        }
        assert_eq!(client, before);
    }

    #[test]
    fn silence_ends_the_session_also_where_it_is_noticed_by_sending() {
        let mut client = opened(true);
        assert_eq!(due(&client), Some((500, "engine.io ping timeout")));
        run(&mut client, 100, answer(1, "6"));
        assert_eq!(due(&client), Some((600, "engine.io ping timeout")));
        assert_eq!(
            run(&mut client, 60_000, send("a")),
            [
                hang_up(),
                abort(2),
                Output::Closed(CloseReason::PingTimeout)
            ]
        );
    }

    #[test]
    fn the_goodbye_follows_what_is_queued() {
        let mut client = begun(true);
        assert_eq!(
            run(&mut client, 1, Input::Close),
            [abort(0), Output::Closed(CloseReason::Local)]
        );
        let mut client = opened(false);
        assert_eq!(
            run(&mut client.clone(), 1, Input::Close),
            [post(2, "1"), abort(1), Output::Closed(CloseReason::Local)]
        );
        run(&mut client, 1, send("under way"));
        run(&mut client, 1, send("12345678901234"));
        run(&mut client, 1, send("1234567"));
        assert_eq!(
            run(&mut client, 1, Input::Close),
            [
                post(3, "412345678901234"),
                post(4, "41234567\u{1e}1"),
                abort(1),
                Output::Closed(CloseReason::Local)
            ]
        );
        for late in [answer(2, "ok"), answer(1, "4a"), send("a"), Input::Close] {
            assert_eq!(run(&mut client, 2, late), []);
        }
        assert_eq!(due(&client), None);
    }
}

mod upgrade {
    use super::*;

    #[test]
    fn nothing_is_dialed_that_is_not_offered_or_not_wanted() {
        let mut client = begun(true);
        let out = run(&mut client, 1, answer(0, &HANDSHAKE.replace("socket", "s")));
        assert!(matches!(out[0], Output::Opened(_)), "{out:?}");
        assert_eq!(out[1..], [poll(1)]);
        let client = opened(false);
        assert_eq!(due(&client), Some((500, "engine.io ping timeout")));
    }

    #[test]
    fn polling_goes_on_until_the_websocket_has_proved_that_it_works() {
        let mut client = opened(true);
        assert_eq!(
            run(&mut client, 1, answer(1, "4a")),
            [message("a"), poll(2)]
        );
        assert_eq!(run(&mut client, 2, dialed()), [sent("2probe")]);
        assert_eq!(run(&mut client, 3, send("b")), [post(3, "4b")]);
        assert_eq!(run(&mut client, 4, answer(2, "6")), [poll(4)]);
        assert_eq!(run(&mut client, 5, frame("3probe")), []);
        assert_eq!(run(&mut client, 6, answer(3, "ok")), []);
        assert_eq!(
            run(&mut client, 7, answer(4, "6")),
            [sent("5"), Output::Upgraded]
        );
    }

    #[test]
    fn the_requests_under_way_end_first_and_what_is_sent_meanwhile_waits() {
        let mut client = opened(true);
        run(&mut client, 1, dialed());
        assert_eq!(run(&mut client, 1, send("a")), [post(2, "4a")]);
        assert_eq!(run(&mut client, 1, send("b")), []);
        assert_eq!(run(&mut client, 2, frame("3probe")), []);
        assert_eq!(run(&mut client, 3, send("c")), []);
        assert_eq!(
            run(&mut client, 4, answer(1, "4last\u{1e}2")),
            [message("last")]
        );
        assert_eq!(
            run(&mut client, 5, answer(2, "ok")),
            [
                sent("5"),
                sent("4b"),
                sent("4c"),
                sent("3"),
                Output::Upgraded
            ]
        );
        assert!(!client.is_polling());
    }

    #[test]
    fn after_the_move_the_session_is_one_that_began_on_a_websocket() {
        let mut client = moving();
        let out = run(&mut client, 3, answer(1, "6"));
        assert_eq!(out, [sent("5"), Output::Upgraded]);
        let mut born = Client::new(Config::default(), Time::ZERO);
        run(&mut born, 3, frame(HANDSHAKE));
        assert_eq!(client, born);
        assert_eq!(client.check([Size::Binary(20)]), Ok(()));
        let separated = "a\u{1e}b";
        assert_eq!(run(&mut client, 4, send(separated)), [sent("4a\u{1e}b")]);
        assert_eq!(run(&mut client, 5, answer(1, "4late")), []);
        assert_eq!(
            run(&mut client, 6, gone()),
            [Output::Closed(CloseReason::Transport(ws::Closed::TooLarge))]
        );
    }

    #[test]
    fn what_goes_wrong_with_the_websocket_is_no_harm_to_the_session() {
        let refused = || event(ClientEvent::Dialed(Err(Text("refused".into()))));
        let probing = |upto: usize| {
            let mut client = opened(true);
            for input in [dialed(), frame("3probe")].into_iter().take(upto) {
                run(&mut client, 1, input);
            }
            client
        };
        for (upto, wrong, said) in [
            (0, refused(), vec![]),
            (0, gone(), vec![]),
            (1, gone(), vec![]),
            (1, frame("3"), vec![hang_up()]),
            (1, frame("4a"), vec![hang_up()]),
            (1, frame("x"), vec![hang_up()]),
            (2, gone(), vec![]),
            (2, frame("4a"), vec![hang_up()]),
            (2, frame("3probe"), vec![hang_up()]),
        ] {
            let mut client = probing(upto);
            assert_eq!(run(&mut client, 2, wrong.clone()), said, "{wrong:?}");
            for late in [dialed(), frame("3probe"), gone()] {
                assert_eq!(run(&mut client, 3, late), []);
            }
            assert_eq!(run(&mut client, 4, send("a")), [post(2, "4a")]);
            assert_eq!(run(&mut client, 5, answer(1, "6")), [poll(3)]);
        }
    }

    #[test]
    fn a_websocket_that_takes_too_long_is_given_up() {
        let soon = Config {
            upgrade_timeout: Duration::from_millis(100),
            ..Config::default()
        };
        for upto in 0..3 {
            let mut client = Client::polling(soon.clone(), true, Time::ZERO);
            run(&mut client, 0, None);
            run(&mut client, 0, answer(0, HANDSHAKE));
            for input in [dialed(), frame("3probe")].into_iter().take(upto) {
                run(&mut client, 1, input);
            }
            assert_eq!(due(&client), Some((100, "engine.io upgrade timeout")));
            let posted = run(&mut client, 99, send("a"));
            let out = run(&mut client, 100, None);
            if upto == 2 {
                assert_eq!(posted, []);
                assert_eq!(out, [hang_up(), post(2, "4a")]);
            } else {
                assert_eq!(posted, [post(2, "4a")]);
                assert_eq!(out, [hang_up()]);
            }
            assert_eq!(due(&client), Some((500, "engine.io ping timeout")));
        }
    }

    #[test]
    fn a_session_that_is_moving_beats_and_closes_as_any_other() {
        let mut client = moving();
        assert_eq!(
            run(&mut client.clone(), 500, None),
            [
                hang_up(),
                abort(1),
                Output::Closed(CloseReason::PingTimeout)
            ]
        );
        run(&mut client, 3, send("a"));
        assert_eq!(
            run(&mut client, 4, Input::Close),
            [
                hang_up(),
                post(2, "4a\u{1e}1"),
                abort(1),
                Output::Closed(CloseReason::Local)
            ]
        );
    }
}
