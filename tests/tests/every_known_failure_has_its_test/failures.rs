//! What was seen to go wrong between another client and the official server.

use super::Known;

const PUBLIC: &str = "tests/tests/the_public_client_speaks_with_the_npm_server.rs";
const KEPT: &str = "tests/tests/the_public_client_keeps_its_memberships.rs";
const CLIENT: &str = "tests/tests/the_client_speaks_with_the_npm_server.rs";
const LOSS: &str = "tests/tests/what_goes_wrong_after_a_loss.rs";
const SENDING: &str = "core/src/socketio/manager/stories/sending.rs";
const LOSING: &str = "core/src/socketio/manager/stories/losing.rs";

/// The situations of `rust_socketio` 0.6, most of them played again with the official server.
pub(crate) const SEEN: &[Known] = &[
    (
        "an event without arguments goes to another handler",
        &[
            (
                PUBLIC,
                "an_event_without_arguments_keeps_its_name_and_no_name_is_special",
            ),
            (
                CLIENT,
                "events_go_both_ways_under_their_own_names_with_all_their_arguments",
            ),
        ],
    ),
    (
        "binary content is cut at the byte 0x1e, and the connection with it",
        &[
            (PUBLIC, "binary_content_goes_both_ways_on_every_transport"),
            (
                "tests/tests/what_the_suites_leave_out.rs",
                "keep_every_byte",
            ),
        ],
    ),
    (
        "a dead client says that all is sent",
        &[
            (KEPT, "a_client_with_a_limit_gives_up_and_can_begin_anew"),
            (KEPT, "a_kick_ends_one_membership_until_it_is_wanted_again"),
        ],
    ),
    (
        "empty binary content is an error, and what follows is lost",
        &[
            (PUBLIC, "binary_content_goes_both_ways_on_every_transport"),
            (CLIENT, "events_with_attachments_go_both_ways"),
        ],
    ),
    (
        "an argument beside two attachments makes the event vanish",
        &[
            (PUBLIC, "binary_content_goes_both_ways_on_every_transport"),
            (CLIENT, "answers_with_attachments_go_both_ways"),
        ],
    ),
    (
        "events called error, close or open are taken for the end of the connection",
        &[
            (
                PUBLIC,
                "an_event_without_arguments_keeps_its_name_and_no_name_is_special",
            ),
            (
                CLIENT,
                "events_go_both_ways_under_their_own_names_with_all_their_arguments",
            ),
        ],
    ),
    (
        "of 200 calls at once some get the answers of others",
        &[
            (PUBLIC, "two_hundred_calls_at_once_get_each_its_own_answer"),
            (CLIENT, "two_hundred_calls_get_each_its_own_answer"),
        ],
    ),
    (
        "a call in the handler of an answer blocks everything",
        &[(
            PUBLIC,
            "a_call_in_the_handling_of_an_answer_or_an_event_is_answered",
        )],
    ),
    (
        "a call without an answer never ends, and is kept for ever",
        &[
            (
                PUBLIC,
                "a_call_without_an_answer_ends_once_with_its_patience",
            ),
            (CLIENT, "a_call_without_an_answer_ends_with_its_patience"),
        ],
    ),
    (
        "a refused namespace looks joined, and is not tried again",
        &[
            (
                KEPT,
                "a_refusal_is_told_with_its_data_and_followed_by_new_auth",
            ),
            (
                CLIENT,
                "a_refusal_comes_with_its_data_and_new_auth_is_taken",
            ),
        ],
    ),
    (
        "what is emitted while the server decides costs the connection",
        &[
            (
                PUBLIC,
                "what_is_emitted_right_after_open_waits_for_the_namespace",
            ),
            (
                CLIENT,
                "what_is_kept_is_written_when_the_server_has_admitted",
            ),
            (SENDING, "nothing_is_written_before_the_server_admits"),
        ],
    ),
    (
        "a server that accepts and closes is dialed again without a wait",
        &[
            (KEPT, "a_server_that_accepts_and_closes_meets_no_hot_loop"),
            (
                LOSING,
                "a_server_that_admits_and_hangs_up_is_tried_no_oftener_than_the_bucket_fills",
            ),
            (
                "core/src/link/tests.rs",
                "a_loop_of_refused_connections_is_no_storm",
            ),
        ],
    ),
    (
        "a handler that takes its time stops the heartbeat",
        &[
            (
                KEPT,
                "a_handler_that_takes_four_seconds_does_not_lose_the_connection",
            ),
            (CLIENT, "the_heartbeat_keeps_a_quiet_connection"),
        ],
    ),
    (
        "a question of the server cannot be answered",
        &[
            (PUBLIC, "the_server_gets_answers_from_the_client"),
            (CLIENT, "the_server_gets_answers_from_the_client"),
        ],
    ),
    (
        "of a large body only the first piece is read",
        &[(PUBLIC, "large_events_go_both_ways_over_polling")],
    ),
    (
        "after 15 minutes of outage there is no wait any more",
        &[(
            LOSING,
            "an_outage_of_a_day_is_neither_given_up_nor_met_by_a_hot_loop",
        )],
    ),
    (
        "each connection loads the roots for TLS anew, which costs more than all the rest",
        &[(
            "runtime-tokio/src/socketio/client/builder.rs",
            "the_roots_of_the_operating_system_are_read_once_in_a_process",
        )],
    ),
    (
        "a pong goes out that nobody asked for",
        &[
            (
                CLIENT,
                "it_opens_with_the_handshake_that_the_server_is_set_to",
            ),
            (CLIENT, "the_heartbeat_keeps_a_quiet_connection"),
        ],
    ),
    (
        "failed attempts leave something running",
        &[(LOSS, "attempts_that_fail_leave_nothing_running")],
    ),
];
