//! The move of a session from polling to a WebSocket.

use super::*;

#[test]
fn successfully_upgrades_from_http_long_polling_to_websocket() {
    let mut server = polling();
    assert_eq!(run(&mut server, 1, poll(2)), []);
    assert_eq!(run(&mut server, 1, accepted(ConnId(1))), []);
    assert_eq!(
        run(&mut server, 2, frame("2probe")),
        [sent("3probe"), answer(2, 200, "6")]
    );
    assert_eq!(run(&mut server, 3, poll(3)), []);
    assert_eq!(due(&server), Some((102, "engine.io noop")));
    assert_eq!(run(&mut server, 3, send("a")), [answer(3, 200, "4a")]);
    assert_eq!(run(&mut server, 3, send("a")), []);
    assert_eq!(run(&mut server, 3, poll(4)), [answer(4, 200, "4a")]);
    assert_eq!(run(&mut server, 4, send("b")), []);
    assert_eq!(run(&mut server, 4, send("c")), []);
    assert_eq!(
        run(&mut server, 5, frame("5")),
        [sent("4b"), sent("4c")],
        "flushed before anything newer"
    );
    assert!(!server.is_polling());
    assert_eq!(due(&server), Some((300, "engine.io ping")));
    assert_eq!(run(&mut server, 6, send("d")), [sent("4d")]);
    assert_eq!(run(&mut server, 6, frame("4hello")), [message("hello")]);
}

/// Lesson 27: however many polls a client makes before it moves, each is let go.
#[test]
fn no_poll_is_held_up_for_long_amid_a_move() {
    let mut server = polling();
    run(&mut server, 1, accepted(ConnId(1)));
    assert_eq!(run(&mut server, 2, frame("2probe")), [sent("3probe")]);
    assert_eq!(run(&mut server, 9, poll(2)), [answer(2, 200, "6")]);
    assert_eq!(run(&mut server, 10, poll(3)), []);
    // To probe again is not to be in a hurry.
    assert_eq!(run(&mut server, 11, frame("2probe")), [sent("3probe")]);
    assert_eq!(tick(&mut server, 108), []);
    assert_eq!(tick(&mut server, 109), [answer(3, 200, "6")]);
    assert_eq!(run(&mut server, 400, poll(4)), [answer(4, 200, "6")]);
    assert_eq!(run(&mut server, 401, poll(5)), []);
    assert_eq!(
        run(&mut server, 402, frame("5")),
        [answer(5, 200, "6"), sent("2")]
    );
}

/// Its WebSocket has died, and the server does not know: there is nothing to be had but noops until
/// the server gives the WebSocket up.
#[test]
fn a_client_that_polls_on_amid_a_move_is_paced() {
    let mut server = polling();
    run(&mut server, 1, accepted(ConnId(1)));
    run(&mut server, 2, frame("2probe"));
    let (mut now, mut polls) = (2, 0);
    let last = loop {
        polls += 1;
        let mut out = run(&mut server, now, poll(1 + polls));
        while out.is_empty() {
            now = due(&server).unwrap().0;
            out = tick(&mut server, now);
        }
        if out != [answer(1 + polls, 200, "6")] {
            break out;
        }
    };
    assert_eq!((now, polls), (10_001, 101));
    assert_eq!(last, [hang_up(), answer(102, 200, "2")]);
}

#[test]
fn a_client_that_moves_without_a_probe_leaves_no_request_open() {
    let mut server = polling();
    run(&mut server, 1, poll(2));
    run(&mut server, 1, posting(3));
    run(&mut server, 1, accepted(ConnId(1)));
    assert_eq!(
        run(&mut server, 2, frame("5")),
        [answer(2, 200, "6"), refusal(3)]
    );
}

#[test]
fn ignores_http_requests_with_same_sid_after_upgrade() {
    for mut server in [on_websocket(), upgraded()] {
        assert_eq!(run(&mut server, 10, poll(5)), [refusal(5)]);
        assert_eq!(run(&mut server, 10, post(6, "4a")), [refusal(6)]);
        assert_eq!(run(&mut server, 10, posting(7)), [refusal(7)]);
        assert_eq!(run(&mut server, 10, gone(8)), []);
        assert_eq!(run(&mut server, 11, frame("4a")), [message("a")]);
    }
}

#[test]
fn ignores_websocket_connection_with_same_sid_after_upgrade() {
    let second = ConnId(9);
    for mut server in [on_websocket(), upgraded()] {
        assert_eq!(run(&mut server, 10, accepted(second)), [refused(second)]);
        assert_eq!(run(&mut server, 11, frame("4a")), [message("a")]);
    }
    let mut server = polling();
    run(&mut server, 1, accepted(ConnId(1)));
    assert_eq!(run(&mut server, 2, accepted(second)), [refused(second)]);
    assert_eq!(run(&mut server, 3, frame("2probe")), [sent("3probe")]);
}

#[test]
fn a_probe_that_fails_is_no_harm_to_the_session() {
    let broken = Input::Transport(ws::Event::Closed(ws::Closed::TooLarge).into());
    let mut server = polling_with(small());
    for probed in [true, false] {
        for (input, says) in [
            (frame("4a"), vec![hang_up()]),
            (frame("x"), vec![hang_up()]),
            (frame("2"), vec![hang_up()]),
            (broken.clone(), vec![]),
        ] {
            assert_eq!(run(&mut server, 1, accepted(ConnId(1))), []);
            if probed {
                assert_eq!(run(&mut server, 1, frame("2probe")), [sent("3probe")]);
            }
            assert_eq!(run(&mut server, 1, input), says);
        }
    }
    assert_eq!(run(&mut server, 2, frame("4late")), []);
    assert_eq!(run(&mut server, 2, poll(2)), []);
    assert_eq!(run(&mut server, 2, send("a")), [answer(2, 200, "4a")]);
}

#[test]
fn an_upgrade_has_its_time_and_the_ping_waits_for_it() {
    let mut server = polling_with(small());
    run(&mut server, 250, accepted(ConnId(1)));
    assert_eq!(due(&server), Some((300, "engine.io ping")));
    run(&mut server, 251, frame("2probe"));
    assert_eq!(due(&server), Some((350, "engine.io upgrade timeout")));
    assert_eq!(tick(&mut server, 349), []);
    let mut moved = server.clone();
    assert_eq!(tick(&mut server, 350), [hang_up()]);
    assert_eq!(due(&server), Some((550, "engine.io pong timeout")));
    assert_eq!(run(&mut server, 351, poll(2)), [answer(2, 200, "2")]);
    assert_eq!(run(&mut moved, 349, frame("5")), [sent("2")]);
}

#[test]
fn the_end_takes_the_probe_along() {
    let mut server = polling();
    run(&mut server, 1, accepted(ConnId(1)));
    assert_eq!(
        run(&mut server, 2, post(2, "1")),
        [
            hang_up(),
            answer(2, 200, "ok"),
            Output::Closed(CloseReason::Peer)
        ]
    );
}

#[test]
fn what_waits_amid_a_move_is_said_with_the_end() {
    let mut server = polling();
    run(&mut server, 1, accepted(ConnId(1)));
    run(&mut server, 2, frame("2probe"));
    assert_eq!(run(&mut server, 3, send("last")), []);
    let farewell = ServerAction::Farewell(Bytes::from_static(b"4last\x1e1"));
    assert_eq!(
        run(&mut server, 4, Input::Close),
        [
            sent("4last"),
            sent("1"),
            hang_up(),
            Output::Transport(farewell),
            Output::Closed(CloseReason::Local)
        ]
    );
}
