//! The official test suite of Socket.IO v5, its 32 cases one for one, against our server and
//! against the official one.

use selvedge_tests::conformance;

/// What lies underneath: the cases of the other suite, under the names that they have in this one.
mod engineio {
    pub(crate) mod handshake {
        pub(crate) mod polling {
            pub(crate) use selvedge_tests::conformance::sessions::handshake::polling::{
                fails_with_an_invalid_eio_query_parameter as should_fail_with_an_invalid_eio_query_parameter,
                fails_with_an_invalid_request_method as should_fail_with_an_invalid_request_method,
                fails_with_an_invalid_transport_query_parameter as should_fail_with_an_invalid_transport_query_parameter,
                successfully_opens_a_session as should_successfully_open_a_session,
            };
        }

        pub(crate) mod websocket {
            pub(crate) use selvedge_tests::conformance::sessions::handshake::websocket::{
                fails_with_an_invalid_eio_query_parameter as should_fail_with_an_invalid_eio_query_parameter,
                fails_with_an_invalid_transport_query_parameter as should_fail_with_an_invalid_transport_query_parameter,
                successfully_opens_a_session as should_successfully_open_a_session,
            };
        }
    }

    pub(crate) mod heartbeat {
        pub(crate) mod polling {
            pub(crate) use selvedge_tests::conformance::sessions::heartbeat::polling::{
                closes_the_session_upon_ping_timeout as should_close_the_session_upon_ping_timeout,
                sends_ping_pong_packets as should_send_ping_pong_packets,
            };
        }

        pub(crate) mod websocket {
            pub(crate) use selvedge_tests::conformance::sessions::heartbeat::websocket::{
                closes_the_session_upon_ping_timeout as should_close_the_session_upon_ping_timeout,
                sends_ping_pong_packets as should_send_ping_pong_packets,
            };
        }
    }

    pub(crate) mod close {
        pub(crate) mod polling {
            pub(crate) use selvedge_tests::conformance::sessions::close::polling::forcefully_closes_the_session as should_forcefully_close_the_session;
        }

        pub(crate) mod websocket {
            pub(crate) use selvedge_tests::conformance::sessions::close::websocket::forcefully_closes_the_session as should_forcefully_close_the_session;
        }
    }

    pub(crate) mod upgrade {
        pub(crate) use selvedge_tests::conformance::sessions::upgrade::{
            ignores_http_requests_with_same_sid_after_upgrade as should_ignore_http_requests_with_same_sid_after_upgrade,
            ignores_websocket_connection_with_same_sid_after_upgrade as should_ignore_websocket_connection_with_same_sid_after_upgrade,
            successfully_upgrades_from_polling_to_websocket as should_successfully_upgrade_from_polling_to_websocket,
        };
    }
}

/// Joining a namespace.
mod connect {
    use selvedge_tests::conformance::{Endpoint, LATE_MAX, PING_INTERVAL, PING_TIMEOUT};
    use tokio::time::timeout;

    pub(crate) async fn should_allow_connection_to_the_main_namespace(server: Endpoint) {
        let mut socket = server.session().await;
        socket.join("40", "40", r#"42["auth",{}]"#).await;
    }

    pub(crate) async fn should_allow_connection_to_the_main_namespace_with_a_payload(
        server: Endpoint,
    ) {
        let mut socket = server.session().await;
        let auth = r#"42["auth",{"token":"123"}]"#;
        socket.join(r#"40{"token":"123"}"#, "40", auth).await;
    }

    pub(crate) async fn should_allow_connection_to_a_custom_namespace(server: Endpoint) {
        let mut socket = server.session().await;
        let auth = r#"42/custom,["auth",{}]"#;
        socket.join("40/custom,", "40/custom,", auth).await;
    }

    pub(crate) async fn should_allow_connection_to_a_custom_namespace_with_a_payload(
        server: Endpoint,
    ) {
        let mut socket = server.session().await;
        let connect = r#"40/custom,{"token":"abc"}"#;
        let auth = r#"42/custom,["auth",{"token":"abc"}]"#;
        socket.join(connect, "40/custom,", auth).await;
    }

    pub(crate) async fn should_disallow_connection_to_an_unknown_namespace(server: Endpoint) {
        let mut socket = server.session().await;
        socket.send("40/random").await;
        let refusal = r#"44/random,{"message":"Invalid namespace"}"#;
        assert_eq!(socket.text().await, refusal);
    }

    pub(crate) async fn should_disallow_connection_with_an_invalid_handshake(server: Endpoint) {
        let mut socket = server.session().await;
        socket.send("4abc").await;
        socket.assert_closed().await;
    }

    /// For want of a pong, before it is for want of a CONNECT.
    pub(crate) async fn should_close_the_connection_if_no_handshake_is_received(server: Endpoint) {
        let mut socket = server.session().await;
        let ending = async { while socket.frame().await.is_some() {} };
        let bound = PING_INTERVAL + PING_TIMEOUT + LATE_MAX;
        assert_eq!(timeout(bound, ending).await, Ok(()));
    }
}

/// Leaving a namespace.
mod disconnect {
    use selvedge_tests::conformance::Endpoint;
    use tokio_tungstenite::tungstenite::Message;

    /// Nothing but pings comes after it, and the connection lasts.
    pub(crate) async fn should_disconnect_from_the_main_namespace(server: Endpoint) {
        let mut socket = server.member().await;
        socket.send("41").await;
        for _ in 0..2 {
            assert_eq!(socket.frame().await, Some(Message::text("2")));
            socket.send("3").await;
        }
    }

    pub(crate) async fn should_connect_then_disconnect_from_a_custom_namespace(server: Endpoint) {
        let mut socket = server.member().await;
        assert_eq!(socket.frame().await, Some(Message::text("2")));
        socket.send("3").await;
        let auth = r#"42/custom,["auth",{}]"#;
        socket.join("40/custom", "40/custom,", auth).await;
        socket.send("41/custom").await;
        let message = r#"42["message","message to main namespace"]"#;
        socket.send(message).await;
        let back = r#"42["message-back","message to main namespace"]"#;
        assert_eq!(socket.text().await, back);
    }
}

/// Sending and receiving.
mod message {
    use selvedge_tests::conformance::Endpoint;

    /// Sends a packet, which comes back as another.
    async fn echo(server: Endpoint, sent: &str, back: &str) {
        let mut socket = server.member().await;
        socket.send(sent).await;
        assert_eq!(socket.text().await, back);
    }

    /// The same with two attachments.
    async fn echo_with_attachments(server: Endpoint, sent: &str, back: &str) {
        const PLACEHOLDERS: &str = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
        let mut socket = server.member().await;
        socket.send(&sent.replace("..", PLACEHOLDERS)).await;
        socket.send_binary(&[1, 2, 3]).await;
        socket.send_binary(&[4, 5, 6]).await;
        assert_eq!(socket.text().await, back.replace("..", PLACEHOLDERS));
        assert_eq!(socket.binary().await[..], [1, 2, 3]);
        assert_eq!(socket.binary().await[..], [4, 5, 6]);
    }

    /// Sends what ends the connection.
    async fn assert_closes(server: Endpoint, sent: &str) {
        let mut socket = server.member().await;
        socket.send(sent).await;
        socket.assert_closed().await;
    }

    pub(crate) async fn should_send_a_plain_text_packet(server: Endpoint) {
        let sent = r#"42["message",1,"2",{"3":[true]}]"#;
        let back = r#"42["message-back",1,"2",{"3":[true]}]"#;
        echo(server, sent, back).await;
    }

    pub(crate) async fn should_send_a_packet_with_binary_attachments(server: Endpoint) {
        let (sent, back) = (r#"452-["message",..]"#, r#"452-["message-back",..]"#);
        echo_with_attachments(server, sent, back).await;
    }

    pub(crate) async fn should_send_a_plain_text_packet_with_an_ack(server: Endpoint) {
        let sent = r#"42456["message-with-ack",1,"2",{"3":[false]}]"#;
        echo(server, sent, r#"43456[1,"2",{"3":[false]}]"#).await;
    }

    pub(crate) async fn should_send_a_packet_with_binary_attachments_and_an_ack(server: Endpoint) {
        let sent = r#"452-789["message-with-ack",..]"#;
        echo_with_attachments(server, sent, "462-789[..]").await;
    }

    pub(crate) async fn should_close_the_connection_upon_unknown_packet_type(server: Endpoint) {
        assert_closes(server, "4abc").await;
    }

    pub(crate) async fn should_close_the_connection_upon_invalid_payload_format(server: Endpoint) {
        assert_closes(server, "42{}").await;
    }

    pub(crate) async fn should_close_the_connection_upon_invalid_ack_id(server: Endpoint) {
        let sent = r#"42abc["message-with-ack",1,"2",{"3":[false]}]"#;
        assert_closes(server, sent).await;
    }
}

conformance! {
    with SUITES:
    32 of socketio {
        engineio {
            handshake {
                polling {
                    should_successfully_open_a_session,
                    should_fail_with_an_invalid_eio_query_parameter,
                    should_fail_with_an_invalid_transport_query_parameter,
                    should_fail_with_an_invalid_request_method,
                }
                websocket {
                    should_successfully_open_a_session,
                    should_fail_with_an_invalid_eio_query_parameter,
                    should_fail_with_an_invalid_transport_query_parameter,
                }
            }
            heartbeat {
                polling {
                    should_send_ping_pong_packets,
                    should_close_the_session_upon_ping_timeout,
                }
                websocket {
                    should_send_ping_pong_packets,
                    should_close_the_session_upon_ping_timeout,
                }
            }
            close {
                polling { should_forcefully_close_the_session, }
                websocket { should_forcefully_close_the_session, }
            }
            upgrade {
                should_successfully_upgrade_from_polling_to_websocket,
                should_ignore_http_requests_with_same_sid_after_upgrade,
                should_ignore_websocket_connection_with_same_sid_after_upgrade,
            }
        }
        connect {
            should_allow_connection_to_the_main_namespace,
            should_allow_connection_to_the_main_namespace_with_a_payload,
            should_allow_connection_to_a_custom_namespace,
            should_allow_connection_to_a_custom_namespace_with_a_payload,
            should_disallow_connection_to_an_unknown_namespace,
            should_disallow_connection_with_an_invalid_handshake,
            should_close_the_connection_if_no_handshake_is_received,
        }
        disconnect {
            should_disconnect_from_the_main_namespace,
            should_connect_then_disconnect_from_a_custom_namespace,
        }
        message {
            should_send_a_plain_text_packet,
            should_send_a_packet_with_binary_attachments,
            should_send_a_plain_text_packet_with_an_ack,
            should_send_a_packet_with_binary_attachments_and_an_ack,
            should_close_the_connection_upon_unknown_packet_type,
            should_close_the_connection_upon_invalid_payload_format,
            should_close_the_connection_upon_invalid_ack_id,
        }
    }
}
