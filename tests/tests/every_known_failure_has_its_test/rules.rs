//! What a client has to do that others have failed at, and what is on the wire that no text says.

use super::Known;

const PUBLIC: &str = "tests/tests/the_public_client_speaks_with_the_npm_server.rs";
const KEPT: &str = "tests/tests/the_public_client_keeps_its_memberships.rs";
const CLIENT: &str = "tests/tests/the_client_speaks_with_the_npm_server.rs";
const LOSS: &str = "tests/tests/what_goes_wrong_after_a_loss.rs";
const BEYOND: &str = "tests/tests/what_the_suites_leave_out.rs";
const VECTORS: &str = "tests/tests/the_parsers_vectors.rs";
const SCRIPTED: &str = "core/src/socketio/stories/scripted.rs";
const BINARY: &str = "core/src/socketio/stories/binary.rs";
const SENDING: &str = "core/src/socketio/manager/stories/sending.rs";
const RECOVERING: &str = "core/src/socketio/manager/stories/recovering.rs";
const LOSING: &str = "core/src/socketio/manager/stories/losing.rs";
const BACKOFF: &str = "core/src/link/backoff.rs";
const ENGINE: &str = "core/src/engineio/client.rs";
const ENGINE_CASES: &str = "core/src/engineio/client_cases.rs";
const UPGRADE_CASES: &str = "core/src/engineio/server_cases/upgrade.rs";

/// What the failures of other clients ask of one.
pub(crate) const REQUIREMENTS: &[Known] = &[
    (
        "each call has an id of its own, is known before it is sent, and ends once",
        &[
            (PUBLIC, "two_hundred_calls_at_once_get_each_its_own_answer"),
            (SENDING, "each_call_ends_once"),
            (
                "core/src/socketio/calls.rs",
                "each_call_leaves_exactly_once",
            ),
        ],
    ),
    (
        "nothing is written before the namespace is joined; it waits, within a limit",
        &[
            (
                PUBLIC,
                "what_is_emitted_right_after_open_waits_for_the_namespace",
            ),
            (SENDING, "nothing_is_written_before_the_server_admits"),
            (SENDING, "what_is_above_a_limit_is_refused"),
        ],
    ),
    (
        "an event that comes before the answer to a CONNECT is handed over after it",
        &[
            (
                SCRIPTED,
                "events_before_the_answer_are_kept_in_order_and_bounded",
            ),
            (KEPT, "what_was_missed_is_recovered_where_the_server_can"),
        ],
    ),
    (
        "waits grow, are random from the first on, start anew only after a join, and end in words",
        &[
            (
                BACKOFF,
                "waits_double_up_to_the_most_and_are_jittered_from_the_first_on",
            ),
            (
                LOSING,
                "a_handshake_without_a_namespace_does_not_shorten_the_waits",
            ),
            (KEPT, "a_client_with_a_limit_gives_up_and_can_begin_anew"),
        ],
    ),
    (
        "a refusal is told with its words, its data and the next attempt, which has new auth",
        &[
            (
                KEPT,
                "a_refusal_is_told_with_its_data_and_followed_by_new_auth",
            ),
            (LOSS, "a_refusal_after_a_loss_is_told_like_the_first_one"),
        ],
    ),
    (
        "a slow consumer does not stop the heartbeat, and a full queue has a policy",
        &[
            (
                KEPT,
                "a_handler_that_takes_four_seconds_does_not_lose_the_connection",
            ),
            (KEPT, "a_full_queue_holds_the_server_back_and_loses_nothing"),
            (KEPT, "a_full_queue_can_drop_and_count_or_leave"),
        ],
    ),
    (
        "what the server does not take is not sent, and a partial packet has its limits",
        &[
            (PUBLIC, "what_the_server_does_not_take_is_refused_here"),
            (
                "core/src/socketio/emission.rs",
                "attachments_follow_the_frame",
            ),
            (
                "core/src/socketio/assemble.rs",
                "what_does_not_belong_is_named",
            ),
            (
                BINARY,
                "a_partial_packet_ends_the_connection_when_it_takes_too_long",
            ),
        ],
    ),
    (
        "a machine that has slept does not send to a server that has given it up",
        &[
            (
                ENGINE,
                "a_machine_that_slept_does_not_send_into_a_dead_connection",
            ),
            (
                ENGINE_CASES,
                "silence_ends_the_session_also_where_it_is_noticed_by_sending",
            ),
        ],
    ),
    (
        "an event is its frame, read when it is asked, and an idle connection holds little",
        &[
            (
                "core/src/socketio/stories/mod.rs",
                "an_event_shares_its_frame",
            ),
            (
                "core/src/socketio/emission.rs",
                "an_emission_is_encoded_once",
            ),
            (
                "runtime-tokio/src/ws_tests.rs",
                "a_websocket_has_small_buffers_and_its_limit",
            ),
        ],
    ),
    (
        "a body is read when all of it is there, and a binary frame is one message",
        &[
            (PUBLIC, "large_events_go_both_ways_over_polling"),
            (BEYOND, "are_not_those_in_pieces"),
            (BEYOND, "keep_every_byte"),
        ],
    ),
];

/// What interoperation needs and the texts of the protocols leave out.
pub(crate) const WIRE_FACTS: &[Known] = &[
    (
        "recovery: a pid, an offset as one more argument, missed events before the answer",
        &[
            (KEPT, "what_was_missed_is_recovered_where_the_server_can"),
            (RECOVERING, "a_membership_is_gone_on_with_after_a_loss"),
            (
                "core/src/socketio/event.rs",
                "surplus_arguments_are_tolerated_and_missing_ones_are_not",
            ),
            (
                "core/src/socketio/hub/tests/recovery.rs",
                "a_lost_socket_gets_what_it_missed_before_the_reply",
            ),
        ],
    ),
    (
        "any string at the end looks like an offset; without one there is no recovery; \
         auth can hold the same keys",
        &[
            (
                LOSS,
                "a_string_at_the_end_of_a_volatile_event_costs_one_recovery",
            ),
            (RECOVERING, "what_cannot_be_recovered_begins_anew"),
            (
                "core/src/socketio/client/asking.rs",
                "what_is_to_be_recovered_stands_in_the_auth_and_wins",
            ),
        ],
    ),
    (
        "one to ten attachments, each with its placeholder, and nothing in between",
        &[
            (BEYOND, "are_counted"),
            (BEYOND, "are_there"),
            (BEYOND, "come_when_they_are_due"),
            (VECTORS, "refuses_too_many_attachments"),
        ],
    ),
    (
        "the official parser forgives some things, and reserves some names",
        &[
            (
                "core/src/socketio/packet.rs",
                "the_leniencies_are_those_of_the_documentation",
            ),
            (VECTORS, "reads_an_event_with_an_integer_as_event_name"),
            (VECTORS, "reads_a_connect_error_that_is_a_string"),
            (BEYOND, "have_no_reserved_name"),
        ],
    ),
    (
        "whoever speaks in a namespace before it is joined loses the whole connection",
        &[
            (BEYOND, "comes_before_everything_else"),
            (CLIENT, "nothing_is_written_before_the_server_has_admitted"),
            (
                CLIENT,
                "a_namespace_can_be_left_before_the_server_has_admitted",
            ),
        ],
    ),
    (
        "a frame that is too large costs the connection without a word; the handshake has the limit",
        &[
            (BEYOND, "of_a_frame"),
            (
                CLIENT,
                "an_event_above_the_limit_of_the_server_is_refused_here",
            ),
        ],
    ),
    (
        "a move to a WebSocket waits for the open poll, has its time, and allows two packets",
        &[
            (
                ENGINE_CASES,
                "the_requests_under_way_end_first_and_what_is_sent_meanwhile_waits",
            ),
            (
                UPGRADE_CASES,
                "successfully_upgrades_from_http_long_polling_to_websocket",
            ),
            (
                UPGRADE_CASES,
                "an_upgrade_has_its_time_and_the_ping_waits_for_it",
            ),
            (BEYOND, "that_say_anything_else"),
        ],
    ),
];
