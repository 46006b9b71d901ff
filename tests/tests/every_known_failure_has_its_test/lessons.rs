//! What the trackers of the official packages and of other implementations have taught.

use super::{Lesson, Untested};

const PUBLIC: &str = "tests/tests/the_public_client_speaks_with_the_npm_server.rs";
const KEPT: &str = "tests/tests/the_public_client_keeps_its_memberships.rs";
const CLIENT: &str = "tests/tests/the_client_speaks_with_the_npm_server.rs";
const SERVER: &str = "tests/tests/the_public_server_speaks_with_the_npm_client.rs";
const LOSS: &str = "tests/tests/what_goes_wrong_after_a_loss.rs";
const BEYOND: &str = "tests/tests/what_the_suites_leave_out.rs";
const SENDING: &str = "core/src/socketio/manager/stories/sending.rs";
const RECOVERING: &str = "core/src/socketio/manager/stories/recovering.rs";
const CONNECTING: &str = "core/src/socketio/manager/stories/connecting.rs";
const REFUSING: &str = "core/src/socketio/manager/stories/refusing.rs";
const LOSING: &str = "core/src/socketio/manager/stories/losing.rs";
const BOTH_ENDS: &str = "core/src/engineio/both_ends.rs";
const SERVER_CASES: &str = "core/src/engineio/server_cases.rs";
const UPGRADE_CASES: &str = "core/src/engineio/server_cases/upgrade.rs";
const HUB_RECOVERY: &str = "core/src/socketio/hub/tests/recovery.rs";

/// Those that tests show.
pub(crate) const TESTED: &[Lesson] = &[
    (
        &["socketio/socket.io#1409"],
        "a token that is asked for once is too old at the next connection",
        &[
            (
                KEPT,
                "after_a_restart_the_namespaces_are_joined_again_with_fresh_auth",
            ),
            (
                CONNECTING,
                "every_connection_asks_for_its_url_and_for_new_auth",
            ),
        ],
    ),
    (
        &[
            "1c3t3a/rust-socketio#401",
            "1c3t3a/rust-socketio#405",
            "1c3t3a/rust-socketio#251",
        ],
        "auth, URL and headers are to be found out before each attempt, and that may fail",
        &[
            (KEPT, "url_and_headers_are_found_out_before_each_attempt"),
            (
                KEPT,
                "auth_that_panics_or_fails_is_a_refusal_and_asked_for_again",
            ),
        ],
    ),
    (
        &["tinyhumansai/openhuman#2892"],
        "the same refused token is tried again and again",
        &[
            (
                KEPT,
                "a_refusal_is_told_with_its_data_and_followed_by_new_auth",
            ),
            (REFUSING, "a_refusal_is_told_and_retried_with_new_auth"),
        ],
    ),
    (
        &["socketio/socket.io#4567"],
        "nobody knows whether a refusal is final, and joining by hand breaks the retry",
        &[
            (LOSS, "whoever_joins_again_when_refused_is_joined_once"),
            (
                REFUSING,
                "to_join_a_refused_namespace_by_hand_does_not_disturb_the_retry",
            ),
            (
                REFUSING,
                "where_the_configuration_says_so_a_refusal_is_final",
            ),
        ],
    ),
    (
        &["auth0-community/auth0-socketio-jwt#33"],
        "a refusal after a loss is silent",
        &[(LOSS, "a_refusal_after_a_loss_is_told_like_the_first_one")],
    ),
    (
        &["socketio/socket.io#4919", "socketio/socket.io#758"],
        "handlers are there twice after each loss",
        &[(
            LOSS,
            "an_event_is_told_once_however_often_the_client_came_back",
        )],
    ),
    (
        &[
            "socketio/socket.io-client-java#519",
            "socketio/socket.io-client#1279",
        ],
        "what was kept in an outage goes out when the application has sent it again itself",
        &[
            (KEPT, "what_is_kept_can_be_cleared_and_grows_old"),
            (SENDING, "what_waits_can_expire_and_be_cleared"),
        ],
    ),
    (
        &[
            "socketio/socket.io-client#1499",
            "socketio/socket.io-website#282",
        ],
        "what was kept has gone out before anyone hears of the connection: a policy is needed",
        &[
            (KEPT, "a_client_with_a_limit_gives_up_and_can_begin_anew"),
            (SENDING, "what_is_above_a_limit_is_refused"),
        ],
    ),
    (
        &["socketio/socket.io#4888", "socketio/socket.io#5538"],
        "without a first event there is nothing to recover from",
        &[
            (RECOVERING, "what_cannot_be_recovered_begins_anew"),
            (HUB_RECOVERY, "who_cannot_come_back_starts_anew"),
        ],
    ),
    (
        &["socketio/socket.io#4880"],
        "the end of the old connection takes the recovered session along",
        &[
            (
                HUB_RECOVERY,
                "a_client_whose_old_connection_seems_alive_takes_its_socket_over",
            ),
            (
                HUB_RECOVERY,
                "a_socket_comes_back_again_with_what_was_for_it_alone",
            ),
            (KEPT, "what_was_missed_is_recovered_where_the_server_can"),
        ],
    ),
    (
        &["socketio/socket.io#5419"],
        "a recovery brings what was there before",
        &[
            (RECOVERING, "a_membership_is_gone_on_with_after_a_loss"),
            (
                "core/src/socketio/manager/recovery.rs",
                "what_is_replayed_a_second_time_is_known",
            ),
        ],
    ),
    (
        &[
            "socketio/socket.io#5258",
            "socketio/socket.io#5259",
            "socketio/socket.io#4897",
        ],
        "what is kept goes out twice, and one slow answer holds up all the others",
        &[
            (
                SENDING,
                "what_is_kept_outlives_connections_and_is_sent_once",
            ),
            (CLIENT, "two_hundred_calls_get_each_its_own_answer"),
        ],
    ),
    (
        &["socketio/engine.io#310", "socketio/socket.io#2039"],
        "a connection that is dead at one end lives on at the other; any traffic is a sign of life",
        &[
            (LOSS, "a_server_that_falls_silent_is_told_and_left"),
            (
                "core/src/engineio/client.rs",
                "silence_ends_the_connection_and_any_traffic_is_a_sign_of_life",
            ),
        ],
    ),
    (
        &["1c3t3a/rust-socketio#320"],
        "the network goes, and nobody is told",
        &[
            (LOSS, "a_server_that_falls_silent_is_told_and_left"),
            (CLIENT, "the_ways_in_which_a_server_ends_it_are_told_apart"),
        ],
    ),
    (
        &["socketio/socket.io-client#784"],
        "all clients of a server come back in the same moment",
        &[(
            "core/src/link/backoff.rs",
            "waits_double_up_to_the_most_and_are_jittered_from_the_first_on",
        )],
    ),
    (
        &["1c3t3a/rust-socketio#311"],
        "an error is polled for ever",
        &[
            (CLIENT, "malformed_frames_end_the_session_with_a_reason"),
            (
                "tests/tests/every_machine_keeps_the_laws.rs",
                "is_silent_after_its_end",
            ),
            (
                "tests/tests/every_machine_keeps_the_laws.rs",
                "makes_progress_with_every_step",
            ),
        ],
    ),
    (
        &["1c3t3a/rust-socketio#510"],
        "each attempt that fails leaves a thread that spins",
        &[(LOSS, "attempts_that_fail_leave_nothing_running")],
    ),
    (
        &["1c3t3a/rust-socketio#374", "1c3t3a/rust-socketio#500"],
        "neither a disconnect nor a drop stops the attempts",
        &[
            (LOSS, "closing_in_an_outage_stops_the_attempts"),
            (KEPT, "dropping_the_last_socket_stops_the_attempts"),
            (LOSING, "whoever_leaves_in_the_wait_is_not_brought_back"),
        ],
    ),
    (
        &[
            "1c3t3a/rust-socketio#216",
            "1c3t3a/rust-socketio#166",
            "1c3t3a/rust-socketio#222",
        ],
        "a fault of the connection or of a callback is a panic in the background",
        &[
            (
                KEPT,
                "auth_that_panics_or_fails_is_a_refusal_and_asked_for_again",
            ),
            (
                SERVER,
                "a_handler_that_is_too_slow_or_panics_costs_its_own_client_alone",
            ),
            (
                "tests/tests/every_machine_keeps_the_laws.rs",
                "takes_any_input_in_any_state",
            ),
        ],
    ),
    (
        &["1c3t3a/rust-socketio#467"],
        "a call within the handling of an answer is a deadlock",
        &[(
            PUBLIC,
            "a_call_in_the_handling_of_an_answer_or_an_event_is_answered",
        )],
    ),
    (
        &["1c3t3a/rust-socketio#502"],
        "what is emitted right after connecting closes the connection",
        &[(
            PUBLIC,
            "what_is_emitted_right_after_open_waits_for_the_namespace",
        )],
    ),
    (
        &["1c3t3a/rust-socketio#230"],
        "what is emitted in an outage fails",
        &[(
            KEPT,
            "after_a_restart_the_namespaces_are_joined_again_with_fresh_auth",
        )],
    ),
    (
        &[
            "1c3t3a/rust-socketio#426",
            "1c3t3a/rust-socketio#373",
            "1c3t3a/rust-socketio#506",
        ],
        "binary events lose arguments and nested content, and frames are read out of turn",
        &[
            (PUBLIC, "binary_content_goes_both_ways_on_every_transport"),
            (PUBLIC, "an_attachment_is_found_by_its_place"),
        ],
    ),
    (
        &["1c3t3a/rust-socketio#461", "1c3t3a/rust-socketio#491"],
        "there is no way to answer the server",
        &[(PUBLIC, "the_server_gets_answers_from_the_client")],
    ),
    (
        &["1c3t3a/rust-socketio#248", "1c3t3a/rust-socketio#224"],
        "the first attempt is the only one, and so is the namespace",
        &[
            (LOSS, "a_server_that_comes_later_is_found"),
            (
                PUBLIC,
                "namespaces_share_a_connection_and_have_each_its_auth",
            ),
        ],
    ),
    (
        &[
            "socketio/socket.io#5122",
            "socketio/socket.io#5107",
            "socketio/socket.io#5090",
        ],
        "of the list of transports only the first is tried",
        &[
            (
                PUBLIC,
                "a_websocket_that_is_refused_gives_way_to_polling_and_the_other_way_round",
            ),
            (
                CONNECTING,
                "the_list_of_transports_is_a_list_to_fall_back_on",
            ),
            (CONNECTING, "what_has_worked_is_begun_with_again"),
        ],
    ),
    (
        &[
            "socketio/engine.io-client#18",
            "miguelgrinberg/python-engineio#76",
            "Totodore/socketioxide#487",
        ],
        "a move to a WebSocket stalls when only one poll is released",
        &[
            (
                UPGRADE_CASES,
                "successfully_upgrades_from_http_long_polling_to_websocket",
            ),
            (UPGRADE_CASES, "no_poll_is_held_up_for_long_amid_a_move"),
            (
                UPGRADE_CASES,
                "an_upgrade_has_its_time_and_the_ping_waits_for_it",
            ),
        ],
    ),
    (
        &["socketio/engine.io#284"],
        "what waits is lost when the connection is closed amid a move",
        &[
            (
                BOTH_ENDS,
                "nothing_is_lost_when_the_client_closes_at_any_moment",
            ),
            (
                BOTH_ENDS,
                "nothing_is_lost_when_the_server_closes_at_any_moment",
            ),
            (UPGRADE_CASES, "what_waits_amid_a_move_is_said_with_the_end"),
        ],
    ),
    (
        &[
            "socketio/engine.io#706",
            "socketio/socket.io-client#1518",
            "socketio/socket.io#3817",
        ],
        "a message that is too large is a silent loss, and a loop of them",
        &[
            (PUBLIC, "what_the_server_does_not_take_is_refused_here"),
            (
                CLIENT,
                "an_event_above_the_limit_of_the_server_is_refused_here",
            ),
        ],
    ),
    (
        &[
            "socketio/socket.io#4435",
            "socketio/socket.io#3582",
            "socketio/socket.io#2064",
        ],
        "what a slow reader does not take piles up",
        &[
            (PUBLIC, "emitting_to_a_server_that_does_not_read_waits"),
            (
                "core/src/socketio/hub/tests/admission.rs",
                "a_connection_that_reads_too_slowly_ends_alone",
            ),
            (
                SERVER_CASES,
                "answers_are_cut_at_the_limit_and_the_queue_has_one_too",
            ),
            (
                "runtime-tokio/src/ws_tests.rs",
                "a_peer_that_does_not_read_overruns_by_frames_or_by_bytes",
            ),
        ],
    ),
    (
        &[
            "miguelgrinberg/python-socketio#634",
            "miguelgrinberg/python-socketio#920",
            "miguelgrinberg/python-socketio#674",
        ],
        "connected is said before the namespaces are joined",
        &[
            (
                PUBLIC,
                "what_is_emitted_right_after_open_waits_for_the_namespace",
            ),
            (SENDING, "nothing_is_written_before_the_server_admits"),
        ],
    ),
    (
        &["Totodore/socketioxide#708"],
        "an answer comes before its call is known; attachments, depth, characters of several \
         bytes and a second CONNECT bring a server down",
        &[
            (
                "core/src/socketio/calls.rs",
                "each_call_leaves_exactly_once",
            ),
            (BEYOND, "are_counted"),
            (BEYOND, "lets_into_one_namespace_once"),
            (
                "core/src/socketio/attachment.rs",
                "every_placeholder_must_have_its_attachment",
            ),
            (
                "core/src/socketio/stories/scripted.rs",
                "an_event_that_nests_without_end_is_an_event",
            ),
            ("tests/tests/codec_roundtrips.rs", "garbage_does_not_panic"),
        ],
    ),
    (
        &["socketio/socket.io-client#845"],
        "calls that are made in an outage gather",
        &[
            (SENDING, "a_call_that_is_not_sent_in_time_is_not_sent"),
            (
                PUBLIC,
                "a_call_without_an_answer_ends_once_with_its_patience",
            ),
        ],
    ),
];

/// Those that no test here can show.
pub(crate) const UNTESTED: &[Untested] = &[
    (
        &["1c3t3a/rust-socketio#366", "1c3t3a/rust-socketio#504"],
        "the TLS library cannot be chosen",
        "a matter of what is built in: rustls it is, and the application may bring its configuration",
    ),
    // Told in the change log of socketioxide, without a thread.
    (
        &[],
        "msgpack that nests without end brings a server down",
        "there is no msgpack here",
    ),
];
