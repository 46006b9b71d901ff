//! The official test suite of Engine.IO v4, its 25 cases one for one, against our server and
//! against the official one.

use selvedge_tests::{
    conformance,
    conformance::sessions::{close, heartbeat, upgrade},
};

/// Opening a session.
mod handshake {
    pub(crate) use selvedge_tests::conformance::sessions::handshake::{polling, websocket};
}

/// Sending and receiving.
mod message {
    pub(crate) mod polling {
        use selvedge_tests::conformance::{Answer, Endpoint, SETTLE, Session};
        use tokio::time::sleep;

        /// Posts a payload, which the server takes, and gets the same by one poll.
        async fn echo(session: &Session, payload: &str) {
            session.post(payload).await;
            assert_eq!(session.receive().await, payload);
        }

        pub(crate) async fn sends_and_receives_one_plain_text_packet(server: Endpoint) {
            echo(&server.polling().await, "4hello").await;
        }

        pub(crate) async fn sends_and_receives_several_plain_text_packets(server: Endpoint) {
            echo(&server.polling().await, "4test1\x1e4test2\x1e4test3").await;
        }

        pub(crate) async fn sends_and_receives_plain_text_and_binary_packets(server: Endpoint) {
            echo(&server.polling().await, "4hello\x1ebAQIDBA==").await;
        }

        /// What the post is answered is open: the official suite wants 400 and forgives anything
        /// else, and the official server says 200.
        pub(crate) async fn closes_the_session_upon_invalid_packet_format(server: Endpoint) {
            let session = server.polling().await;
            session.try_post("abc").await;
            session.assert_gone().await;
        }

        /// The first poll gets a close packet; the second is refused.
        pub(crate) async fn closes_the_session_upon_duplicate_poll_requests(server: Endpoint) {
            let session = server.polling().await;
            let first = session.begin_poll().await;
            sleep(SETTLE).await;
            let second = session.poll().await;
            assert_eq!(first.answer().await, Some(Answer::new(200, "1")));
            assert!([400, 500].contains(&second.status), "{second:?}");
            session.assert_gone().await;
        }

        /// If it lived on, the last poll would get a ping.
        pub(crate) async fn closes_the_session_upon_cancelled_polling_request(server: Endpoint) {
            let session = server.polling().await;
            let poll = session.begin_poll().await;
            sleep(SETTLE).await;
            drop(poll);
            sleep(SETTLE).await;
            session.assert_gone().await;
        }
    }

    pub(crate) mod websocket {
        use selvedge_tests::conformance::Endpoint;

        pub(crate) async fn sends_and_receives_a_plain_text_packet(server: Endpoint) {
            let mut socket = server.session().await;
            socket.send("4hello").await;
            assert_eq!(socket.text().await, "4hello");
        }

        pub(crate) async fn sends_and_receives_a_binary_packet(server: Endpoint) {
            let mut socket = server.session().await;
            socket.send_binary(&[1, 2, 3, 4]).await;
            assert_eq!(socket.binary().await[..], [1, 2, 3, 4]);
        }

        pub(crate) async fn closes_the_session_upon_invalid_packet_format(server: Endpoint) {
            let mut socket = server.session().await;
            socket.send("abc").await;
            socket.assert_closed().await;
        }
    }
}

conformance! {
    with SUITES:
    25 of engineio {
        handshake {
            polling {
                successfully_opens_a_session,
                fails_with_an_invalid_eio_query_parameter,
                fails_with_an_invalid_transport_query_parameter,
                fails_with_an_invalid_request_method,
            }
            websocket {
                successfully_opens_a_session,
                fails_with_an_invalid_eio_query_parameter,
                fails_with_an_invalid_transport_query_parameter,
            }
        }
        message {
            polling {
                sends_and_receives_one_plain_text_packet,
                sends_and_receives_several_plain_text_packets,
                sends_and_receives_plain_text_and_binary_packets,
                closes_the_session_upon_invalid_packet_format,
                closes_the_session_upon_duplicate_poll_requests,
                closes_the_session_upon_cancelled_polling_request,
            }
            websocket {
                sends_and_receives_a_plain_text_packet,
                sends_and_receives_a_binary_packet,
                closes_the_session_upon_invalid_packet_format,
            }
        }
        heartbeat {
            polling { sends_ping_pong_packets, closes_the_session_upon_ping_timeout, }
            websocket { sends_ping_pong_packets, closes_the_session_upon_ping_timeout, }
        }
        close {
            polling { forcefully_closes_the_session, }
            websocket { forcefully_closes_the_session, }
        }
        upgrade {
            successfully_upgrades_from_polling_to_websocket,
            ignores_http_requests_with_same_sid_after_upgrade,
            ignores_websocket_connection_with_same_sid_after_upgrade,
        }
    }
}
