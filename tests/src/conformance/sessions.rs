//! The cases that both suites have: the handshake, the heartbeat, the end and the upgrade of an
//! Engine.IO session.

#![expect(clippy::expect_used, reason = "a helper of tests fails the test")]

use serde_json::{Value, json};

use super::{MAX_PAYLOAD, PING_INTERVAL, PING_TIMEOUT};

/// Holds a handshake to what the servers are set to, and to nothing more.
fn assert_handshake(packet: &str, upgrades: &Value) {
    let json = packet.strip_prefix('0').expect("an open packet");
    let handshake: Value = serde_json::from_str(json).expect("JSON");
    let sid = handshake.get("sid").and_then(Value::as_str);
    let sid = sid.expect("a sid");
    assert!(!sid.is_empty());
    let wanted = json!({
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": PING_INTERVAL.as_millis() as u64,
        "pingTimeout": PING_TIMEOUT.as_millis() as u64,
        "maxPayload": MAX_PAYLOAD,
    });
    assert_eq!(handshake, wanted);
}

/// Opening a session.
pub mod handshake {
    /// Over HTTP.
    pub mod polling {
        use serde_json::json;

        use super::super::assert_handshake;
        use crate::conformance::Endpoint;

        /// The handshake has five members, and offers the upgrade.
        ///
        /// # Panics
        ///
        /// Where the server does otherwise; so do all cases.
        pub async fn successfully_opens_a_session(server: Endpoint) {
            let answer = server.request("GET", "EIO=4&transport=polling").await;
            assert_eq!(answer.status, 200);
            assert_handshake(&answer.body, &json!(["websocket"]));
        }

        /// Without a version, and with none that is known.
        pub async fn fails_with_an_invalid_eio_query_parameter(server: Endpoint) {
            for query in ["transport=polling", "EIO=abc&transport=polling"] {
                assert_eq!(server.request("GET", query).await.status, 400, "{query}");
            }
        }

        /// Without a transport, and with none that is known.
        pub async fn fails_with_an_invalid_transport_query_parameter(server: Endpoint) {
            for query in ["EIO=4", "EIO=4&transport=abc"] {
                assert_eq!(server.request("GET", query).await.status, 400, "{query}");
            }
        }

        /// A session begins with a GET.
        pub async fn fails_with_an_invalid_request_method(server: Endpoint) {
            for method in ["POST", "PUT"] {
                let answer = server.request(method, "EIO=4&transport=polling").await;
                assert_eq!(answer.status, 400, "{method}");
            }
        }
    }

    /// On a WebSocket.
    pub mod websocket {
        use serde_json::json;

        use super::super::assert_handshake;
        use crate::conformance::Endpoint;

        /// The handshake has five members, and nothing to upgrade to.
        ///
        /// # Panics
        ///
        /// Where the server does otherwise; so do all cases.
        pub async fn successfully_opens_a_session(server: Endpoint) {
            let mut socket = server.websocket("EIO=4&transport=websocket").await;
            assert_handshake(&socket.text().await, &json!([]));
        }

        /// Without a version, and with none that is known.
        pub async fn fails_with_an_invalid_eio_query_parameter(server: Endpoint) {
            for query in ["transport=websocket", "EIO=abc&transport=websocket"] {
                server.assert_no_websocket(query).await;
            }
        }

        /// Without a transport, and with none that is known.
        pub async fn fails_with_an_invalid_transport_query_parameter(server: Endpoint) {
            for query in ["EIO=4", "EIO=4&transport=abc"] {
                server.assert_no_websocket(query).await;
            }
        }
    }
}

/// Keeping a session.
pub mod heartbeat {
    /// Over HTTP.
    pub mod polling {
        use tokio::time::sleep;

        use crate::conformance::{Answer, Endpoint, PING_TIMEOUT, Protocol};

        /// A poll waits for each ping. With Socket.IO a client has to join something for that: it
        /// is not kept for long without.
        ///
        /// # Panics
        ///
        /// Where the server does otherwise; so do all cases.
        pub async fn sends_ping_pong_packets(server: Endpoint) {
            let session = server.polling().await;
            if server.protocol == Protocol::SocketIo {
                session.post("40").await;
                session.packets(2).await;
            }
            for _ in 0..3 {
                assert_eq!(session.poll().await, Answer::new(200, "2"));
                session.post("3").await;
            }
        }

        /// Whether anybody polled or not. That the session lives until then, the poll shows, which
        /// gets a ping.
        pub async fn closes_the_session_upon_ping_timeout(server: Endpoint) {
            let (quiet, polled) = (server.polling().await, server.polling().await);
            assert_eq!(polled.poll().await, Answer::new(200, "2"));
            // Both are due after one timeout; the rest is for a loaded machine.
            sleep(PING_TIMEOUT * 3).await;
            quiet.assert_gone().await;
            polled.assert_gone().await;
        }
    }

    /// On a WebSocket.
    pub mod websocket {
        use selvedge::clock::Clock;
        use tokio_tungstenite::tungstenite::Message;

        use crate::conformance::{
            EARLY_MAX, Endpoint, LATE_MAX, PING_INTERVAL, PING_TIMEOUT, Protocol,
        };

        /// Pings come by themselves. Socket.IO is joined, as above.
        ///
        /// # Panics
        ///
        /// Where the server does otherwise; so do all cases.
        pub async fn sends_ping_pong_packets(server: Endpoint) {
            let mut socket = match server.protocol {
                Protocol::EngineIo => server.session().await,
                Protocol::SocketIo => server.member().await,
            };
            for _ in 0..3 {
                assert_eq!(socket.frame().await, Some(Message::text("2")));
                socket.send("3").await;
            }
        }

        /// After one interval and one timeout, no sooner and not much later.
        pub async fn closes_the_session_upon_ping_timeout(server: Endpoint) {
            let clock = Clock::start();
            let before = clock.now();
            let mut socket = server.session().await;
            let after = clock.now();
            assert_eq!(socket.frame().await, Some(Message::text("2")));
            assert_eq!(socket.frame().await, None);
            let ended = clock.now();
            let due = PING_INTERVAL + PING_TIMEOUT;
            assert!(ended.since(before) + EARLY_MAX >= due, "too early");
            assert!(ended.since(after) <= due + LATE_MAX, "too late");
        }
    }
}

/// Ending a session.
pub mod close {
    /// Over HTTP.
    pub mod polling {
        use tokio::time::sleep;

        use crate::conformance::{Answer, Endpoint, SETTLE};

        /// The poll that waits is let go with a noop.
        ///
        /// # Panics
        ///
        /// Where the server does otherwise; so do all cases.
        pub async fn forcefully_closes_the_session(server: Endpoint) {
            let session = server.polling().await;
            let poll = session.begin_poll().await;
            sleep(SETTLE).await;
            session.post("1").await;
            assert_eq!(poll.answer().await, Some(Answer::new(200, "6")));
            session.assert_gone().await;
        }
    }

    /// On a WebSocket.
    pub mod websocket {
        use tokio_tungstenite::tungstenite::Message;

        use crate::conformance::Endpoint;

        /// The server hangs up, soon or late: pings stay unanswered, because the official server
        /// passes over the packet, and ends the session by its timeout.
        ///
        /// # Panics
        ///
        /// Where the server does otherwise.
        pub async fn forcefully_closes_the_session(server: Endpoint) {
            let mut socket = server.session().await;
            socket.send("1").await;
            while let Some(frame) = socket.frame().await {
                assert_eq!(frame, Message::text("2"));
            }
        }
    }
}

/// Moving a session from HTTP to a WebSocket.
pub mod upgrade {
    use crate::conformance::Endpoint;

    /// A poll is let go with a noop while the client probes, and the session goes on.
    ///
    /// # Panics
    ///
    /// Where the server does otherwise; so do all cases.
    pub async fn successfully_upgrades_from_polling_to_websocket(server: Endpoint) {
        let session = server.polling().await;
        let mut socket = session.probed().await;
        assert_eq!(session.receive().await, "6");
        socket.send("5").await;
        server.assert_alive(&mut socket).await;
    }

    /// A poll is refused, and does no harm.
    pub async fn ignores_http_requests_with_same_sid_after_upgrade(server: Endpoint) {
        let session = server.polling().await;
        let mut socket = session.upgraded().await;
        assert_eq!(session.poll().await.status, 400);
        server.assert_alive(&mut socket).await;
    }

    /// A second WebSocket is closed, and does no harm.
    pub async fn ignores_websocket_connection_with_same_sid_after_upgrade(server: Endpoint) {
        let session = server.polling().await;
        let mut socket = session.upgraded().await;
        session.assert_no_websocket().await;
        server.assert_alive(&mut socket).await;
    }
}
