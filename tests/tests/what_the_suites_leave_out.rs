//! What the official test suites leave out of a server's affairs, against our server and against
//! the official one. Where the two differ by decision, the case says so and why.

use selvedge_tests::conformance;

/// Requests that are refused.
mod refusals {
    use selvedge_tests::conformance::{Answer, Endpoint, Session};

    /// With the code and the words of the official server.
    pub(crate) async fn say_what_is_wrong(server: Endpoint) {
        for (method, query, words) in [
            (
                "GET",
                "EIO=4",
                r#"{"code":0,"message":"Transport unknown"}"#,
            ),
            (
                "GET",
                "EIO=4&transport=abc",
                r#"{"code":0,"message":"Transport unknown"}"#,
            ),
            (
                "POST",
                "EIO=4&transport=polling",
                r#"{"code":2,"message":"Bad handshake method"}"#,
            ),
            (
                "GET",
                "EIO=4&transport=websocket",
                r#"{"code":3,"message":"Bad request"}"#,
            ),
            (
                "GET",
                "EIO=3&transport=polling",
                r#"{"code":5,"message":"Unsupported protocol version"}"#,
            ),
            (
                "GET",
                "transport=polling",
                r#"{"code":5,"message":"Unsupported protocol version"}"#,
            ),
        ] {
            let answer = server.request(method, query).await;
            assert_eq!(answer, Answer::new(400, words), "{method} {query}");
        }
    }

    /// A poll, a post and a WebSocket.
    pub(crate) async fn meet_a_sid_that_is_unknown(server: Endpoint) {
        let sid = "AAAAAAAAAAAAAAAAAAAA".into();
        let session = Session {
            endpoint: server,
            sid,
        };
        session.assert_gone().await;
        let unknown = Answer::new(400, r#"{"code":1,"message":"Session ID unknown"}"#);
        assert_eq!(session.try_post("4hello").await, Some(unknown));
        session.assert_no_websocket().await;
    }
}

/// The largest that a server takes, and one byte more.
mod sizes {
    use selvedge_tests::conformance::{Endpoint, MAX_PAYLOAD, Subject};

    /// The official server keeps the session and has lost the messages. Ours ends it, so that the
    /// client learns of the loss.
    pub(crate) async fn of_a_post(server: Endpoint) {
        let session = server.polling().await;
        let largest = format!("4{}", "x".repeat(MAX_PAYLOAD - 1));
        session.post(&largest).await;
        assert!(session.receive().await == largest);
        let answer = session.try_post(&(largest + "x")).await;
        assert_eq!(answer.map(|answer| answer.status), Some(413));
        match server.subject {
            Subject::Selvedge => session.assert_gone().await,
            Subject::Official => session.post("4hello").await,
        }
    }

    /// The server hangs up, without an error packet.
    pub(crate) async fn of_a_frame(server: Endpoint) {
        let mut socket = server.session().await;
        let largest = format!("4{}", "x".repeat(MAX_PAYLOAD - 1));
        socket.send(&largest).await;
        assert!(socket.text().await == largest);
        socket.send(&(largest + "x")).await;
        socket.assert_closed().await;
        // A binary frame has no type in front.
        let mut socket = server.session().await;
        let mut largest = vec![7; MAX_PAYLOAD];
        socket.send_binary(&largest).await;
        assert!(socket.binary().await == largest);
        largest.push(7);
        socket.send_binary(&largest).await;
        socket.assert_closed().await;
    }
}

/// Posts that end a session.
mod posts {
    use selvedge_tests::conformance::{Endpoint, LONG_SETTLE, Subject};
    use tokio::time::sleep;

    /// The second is refused, and the first is refused or broken off.
    pub(crate) async fn at_the_same_time(server: Endpoint) {
        let session = server.polling().await;
        let first = session.begin_post("4fir", "4first".len()).await;
        sleep(LONG_SETTLE).await;
        let second = session.try_post("4second").await;
        assert_eq!(second.map(|answer| answer.status), Some(400));
        let first = first.answer().await;
        assert!(first.is_none_or(|answer| answer.status == 400));
        session.assert_gone().await;
    }

    /// What was on the way is lost, and no one can tell how much of it was taken.
    pub(crate) async fn that_break_off(server: Endpoint) {
        let session = server.polling().await;
        drop(session.begin_post("4hel", "4hello".len()).await);
        sleep(LONG_SETTLE).await;
        session.assert_gone().await;
    }

    /// A body that comes in pieces is none of them: it is read when all of it is there.
    pub(crate) async fn are_not_those_in_pieces(server: Endpoint) {
        let session = server.polling().await;
        let mut post = session.begin_post("4hel", "4hello\x1e4you".len()).await;
        sleep(LONG_SETTLE).await;
        post.write("lo\x1e4y").await;
        sleep(LONG_SETTLE).await;
        post.write("ou").await;
        let answer = post.answer().await.map(|answer| answer.body);
        assert_eq!(answer.as_deref(), Some("ok"));
        assert_eq!(session.receive().await, "4hello\x1e4you");
    }

    /// Ours says so in its answer. The official server says that all is well.
    pub(crate) async fn that_are_malformed(server: Endpoint) {
        let status = match server.subject {
            Subject::Selvedge => 400,
            Subject::Official => 200,
        };
        for body in ["", "x", "é", "2", "4a\x1e", "\x1e4a", "4a\x1ex\x1e4b"] {
            let session = server.polling().await;
            let answer = session.try_post(body).await;
            assert_eq!(answer.map(|answer| answer.status), Some(status), "{body:?}");
            session.assert_gone().await;
        }
    }
}

/// Frames on a WebSocket.
mod frames {
    use selvedge_tests::conformance::{Endpoint, Subject};

    /// None of them is a separator there, and none is too few.
    pub(crate) async fn keep_every_byte(server: Endpoint) {
        let every: Vec<u8> = (0..=u8::MAX).collect();
        let mut socket = server.session().await;
        for bytes in [&[][..], &[0x1e], b"4a\x1e4b", &every] {
            socket.send_binary(bytes).await;
            assert_eq!(socket.binary().await[..], *bytes);
        }
        for text in ["4", "4\x1e", "4a\x1e4b", "4é🧵"] {
            socket.send(text).await;
            assert_eq!(socket.text().await, text);
        }
    }

    /// Where the WebSocket itself asks for it: what the handshake of its session asked for by polling
    /// is no matter.
    pub(crate) async fn are_text_where_base64_is_asked_for(server: Endpoint) {
        let mut socket = server.websocket("EIO=4&transport=websocket&b64=1").await;
        socket.text().await;
        for binary in [false, true] {
            match binary {
                true => socket.send_binary(&[1, 2, 3, 4]).await,
                false => socket.send("bAQIDBA==").await,
            }
            assert_eq!(socket.text().await, "bAQIDBA==");
        }
        for (of_session, of_socket) in [("&b64=1", ""), ("", "&b64=1"), ("&b64=1", "&b64=")] {
            let session = server.polling_with(of_session).await;
            let mut socket = session.websocket_with(of_socket).await;
            socket.send("5").await;
            socket.send_binary(&[1, 2, 3, 4]).await;
            match of_socket {
                "&b64=1" => assert_eq!(socket.text().await, "bAQIDBA=="),
                _ => assert_eq!(socket.binary().await[..], [1, 2, 3, 4]),
            }
        }
    }

    /// A close packet ends the session at once with ours. The official server passes over it, and
    /// the session lasts for as long as pings are answered; a client that says it is leaving should
    /// not be held for that long.
    pub(crate) async fn that_close(server: Endpoint) {
        let mut socket = server.session().await;
        socket.send("1").await;
        match server.subject {
            Subject::Selvedge => socket.assert_closed().await,
            Subject::Official => server.assert_alive(&mut socket).await,
        }
    }
}

/// A WebSocket beside the polling.
mod probes {
    use selvedge_tests::conformance::Endpoint;

    /// The WebSocket is closed, and the session polls on.
    pub(crate) async fn that_say_anything_else(server: Endpoint) {
        let session = server.polling().await;
        for frame in ["2", "2prob", "4hello", "3probe", "1", "x"] {
            let mut socket = session.websocket().await;
            socket.send(frame).await;
            assert_eq!(socket.frame().await, None, "{frame}");
            session.post("4still").await;
            assert_eq!(session.receive().await, "4still", "{frame}");
        }
        let mut socket = session.upgraded().await;
        server.assert_alive(&mut socket).await;
    }

    /// A second one beside it is closed, and the first goes on.
    pub(crate) async fn come_one_at_a_time(server: Endpoint) {
        let session = server.polling().await;
        let mut socket = session.probed().await;
        session.assert_no_websocket().await;
        socket.send("5").await;
        server.assert_alive(&mut socket).await;
    }

    /// What was not polled before the move comes on the WebSocket, in order.
    pub(crate) async fn take_along_what_waits(server: Endpoint) {
        let session = server.polling().await;
        let mut socket = session.probed().await;
        session.post("4first\x1ebAQID").await;
        session.post("4second").await;
        socket.send("5").await;
        socket.send("4third").await;
        assert_eq!(socket.text().await, "4first");
        assert_eq!(socket.binary().await[..], [1, 2, 3]);
        assert_eq!(socket.text().await, "4second");
        assert_eq!(socket.text().await, "4third");
    }
}

/// Before and beside the CONNECT.
mod connect {
    use selvedge::clock::Clock;
    use selvedge_tests::conformance::{EARLY_MAX, Endpoint, LATE_MAX, PING_INTERVAL, Waits};
    use tokio_tungstenite::tungstenite::Message;

    /// For want of a CONNECT that is let in: all pings are answered.
    pub(crate) async fn is_waited_for_so_long_only(server: Endpoint) {
        for tries in [&[][..], &["40/nowhere,"]] {
            let clock = Clock::start();
            let before = clock.now();
            let mut socket = server.session().await;
            let after = clock.now();
            for connect in tries {
                socket.send(connect).await;
                assert!(socket.text().await.starts_with("44/nowhere,"));
            }
            socket.assert_closed().await;
            let ended = clock.now();
            let is_early = ended.since(before) + EARLY_MAX < Waits::LONG.connect;
            assert!(!is_early, "{tries:?}: too early");
            let is_late = ended.since(after) > Waits::LONG.connect + LATE_MAX;
            assert!(!is_late, "{tries:?}: too late");
        }
    }

    /// In any namespace, and having left it, too.
    pub(crate) async fn is_enough_once(server: Endpoint) {
        let mut socket = server.session().await;
        let auth = r#"42/custom,["auth",{}]"#;
        socket.join("40/custom,", "40/custom,", auth).await;
        socket.send("41/custom,").await;
        // Together they are longer than the wait for a CONNECT.
        for _ in 0..=Waits::LONG.connect.as_millis() / PING_INTERVAL.as_millis() {
            assert_eq!(socket.frame().await, Some(Message::text("2")));
            socket.send("3").await;
        }
        server.assert_alive(&mut socket).await;
    }

    /// The whole connection ends.
    pub(crate) async fn comes_before_everything_else(server: Endpoint) {
        for packet in [
            r#"42["message"]"#,
            r#"420["message-with-ack"]"#,
            r#"42/custom,["message"]"#,
            "41",
            "430[]",
            r#"44{"message":"no"}"#,
            r#"451-["message",{"_placeholder":true,"num":0}]"#,
        ] {
            let mut socket = server.session().await;
            socket.send(packet).await;
            if packet.starts_with("45") {
                socket.send_binary(&[1]).await;
            }
            socket.assert_closed().await;
        }
    }

    /// To be in one namespace is not to be in another; nor can anyone join twice, or refuse.
    pub(crate) async fn lets_into_one_namespace_once(server: Endpoint) {
        for packet in [
            r#"42/custom,["message"]"#,
            "41/custom,",
            "40",
            r#"44{"message":"no"}"#,
        ] {
            let mut socket = server.member().await;
            socket.send(packet).await;
            socket.assert_closed().await;
        }
    }
}

/// Events with binary content.
mod attachments {
    use selvedge_tests::conformance::Endpoint;
    use tokio_tungstenite::tungstenite::Message;

    const ONE: &str = r#"{"_placeholder":true,"num":0}"#;

    /// The heartbeat goes on between a header and what belongs to it. That the official server
    /// waits for ever, and ours for 45 s, is no matter for a test of seconds: the machine's own
    /// tests hold it to that.
    pub(crate) async fn may_come_late(server: Endpoint) {
        let mut socket = server.member().await;
        socket.send(&format!(r#"451-["message",{ONE}]"#)).await;
        for _ in 0..2 {
            assert_eq!(socket.frame().await, Some(Message::text("2")));
            socket.send("3").await;
        }
        socket.send_binary(&[1]).await;
        let back = format!(r#"451-["message-back",{ONE}]"#);
        assert_eq!(socket.text().await, back);
        assert_eq!(socket.binary().await[..], [1]);
    }

    /// Another packet in between, and one that nobody announced.
    pub(crate) async fn come_when_they_are_due(server: Endpoint) {
        let mut socket = server.member().await;
        socket.send(&format!(r#"451-["message",{ONE}]"#)).await;
        socket.send(r#"42["message"]"#).await;
        socket.assert_closed().await;

        let mut socket = server.member().await;
        socket.send_binary(&[1]).await;
        socket.assert_closed().await;
    }

    /// From one to ten.
    pub(crate) async fn are_counted(server: Endpoint) {
        let placeholder = |num| format!(r#",{{"_placeholder":true,"num":{num}}}"#);
        let ten: String = (0..10).map(placeholder).collect();
        let mut socket = server.member().await;
        socket.send(&format!(r#"4510-["message"{ten}]"#)).await;
        for content in 0..10 {
            socket.send_binary(&[content]).await;
        }
        let back = format!(r#"4510-["message-back"{ten}]"#);
        assert_eq!(socket.text().await, back);
        for content in 0..10 {
            assert_eq!(socket.binary().await[..], [content]);
        }
        for header in [
            r#"450-["message"]"#,
            r#"4511-["message"]"#,
            r#"45["message"]"#,
            r#"45-1-["message"]"#,
            r#"451.5-["message"]"#,
        ] {
            let mut socket = server.member().await;
            socket.send(header).await;
            socket.assert_closed().await;
        }
    }

    /// A placeholder says which, and there is one.
    pub(crate) async fn are_there(server: Endpoint) {
        for num in ["1", "-1", r#""0""#] {
            let mut socket = server.member().await;
            let placeholder = format!(r#"{{"_placeholder":true,"num":{num}}}"#);
            let header = format!(r#"451-["message",{placeholder}]"#);
            socket.send(&header).await;
            socket.send_binary(&[1]).await;
            socket.assert_closed().await;
        }
    }
}

/// Events and answers.
mod events {
    use selvedge_tests::conformance::Endpoint;

    /// The names of what an emitter says itself.
    pub(crate) async fn have_no_reserved_name(server: Endpoint) {
        for name in [
            "connect",
            "connect_error",
            "disconnect",
            "disconnecting",
            "newListener",
            "removeListener",
        ] {
            let mut socket = server.member().await;
            socket.send(&format!(r#"42["{name}"]"#)).await;
            socket.assert_closed().await;
        }
    }

    /// An event that nobody listens to, and an answer that nobody waits for.
    pub(crate) async fn may_be_of_no_interest(server: Endpoint) {
        let mut socket = server.member().await;
        for packet in [r#"42["other",1]"#, "43999[1]", "461-999[1]"] {
            socket.send(packet).await;
        }
        socket.send_binary(&[1]).await;
        socket.send(r#"42["message",2]"#).await;
        assert_eq!(socket.text().await, r#"42["message-back",2]"#);
    }

    /// Both suites play Socket.IO on WebSockets only.
    pub(crate) async fn go_by_polling_and_through_an_upgrade(server: Endpoint) {
        let session = server.polling().await;
        session.post(r#"40{"token":"123"}"#).await;
        let joined = session.packets(2).await.join(" ");
        assert!(joined.starts_with(r#"40{"sid":""#), "{joined}");
        assert!(
            joined.ends_with(r#""} 42["auth",{"token":"123"}]"#),
            "{joined}"
        );

        let two = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
        let event = format!(r#"452-7["message-with-ack",{two}]"#);
        let payload = [&event, "bAQID", "b", r#"42["message",2]"#].join("\x1e");
        session.post(&payload).await;
        let answers = [
            &format!("462-7[{two}]"),
            "bAQID",
            "b",
            r#"42["message-back",2]"#,
        ];
        assert_eq!(session.packets(4).await, answers);

        let mut socket = session.probed().await;
        session.post(r#"42["message",3]"#).await;
        socket.send("5").await;
        socket.send(r#"42["message",4]"#).await;
        assert_eq!(socket.text().await, r#"42["message-back",3]"#);
        assert_eq!(socket.text().await, r#"42["message-back",4]"#);
    }
}

conformance! {
    with LONG:
    14 of engineio {
        refusals { say_what_is_wrong, meet_a_sid_that_is_unknown, }
        sizes { of_a_post, of_a_frame, }
        posts {
            at_the_same_time,
            that_break_off,
            are_not_those_in_pieces,
            that_are_malformed,
        }
        frames { keep_every_byte, are_text_where_base64_is_asked_for, that_close, }
        probes { that_say_anything_else, come_one_at_a_time, take_along_what_waits, }
    }
    11 of socketio {
        connect {
            is_waited_for_so_long_only,
            is_enough_once,
            comes_before_everything_else,
            lets_into_one_namespace_once,
        }
        attachments { may_come_late, come_when_they_are_due, are_counted, are_there, }
        events {
            have_no_reserved_name,
            may_be_of_no_interest,
            go_by_polling_and_through_an_upgrade,
        }
    }
}
