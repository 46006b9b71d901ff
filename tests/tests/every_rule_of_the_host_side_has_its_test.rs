//! A map from the rules of the host side, which is MCP on standard input and output, to the tests that
//! hold the plugin to them.
//!
//! The map is checked: a test that is renamed or taken out has to be mended here as well.

use selvedge_tests::catalogue::{has_test, lines};

/// Where a test stands: its file, from the root of the repository, and its function.
type Place = (&'static str, &'static str);

const HOST: &str = "runtime-tokio/src/host/tests.rs";
const PROCESS: &str = "tests/tests/the_plugin_ends_with_its_host.rs";
const OTHERS: &str = "tests/tests/hosts_that_others_wrote_run_the_plugin.rs";
const INSPECTOR: &str = "tests/tests/the_inspector_calls_every_tool.rs";
const FORM: &str = "core/src/plugin/claude.rs";
const AGENT: &str = "core/src/plugin/agent_tests/claude.rs";
const OPENING: &str = "core/src/plugin/opening.rs";
const RECEIPTS: &str = "core/src/plugin/receipts.rs";
const COMMANDS: &str = "core/src/plugin/agent_tests/commands.rs";
const IN_A_GUILD: &str = "tests/tests/the_hosts_commands_reach_the_guild.rs";
const CONFIG: &str = "runtime-tokio/src/config/tests.rs";

const RULES: &[(&str, &[Place])] = &[
    (
        "standard output carries the protocol alone; the log is on standard error and in \
         notifications",
        &[
            (
                PROCESS,
                "its_output_has_the_protocol_alone_and_its_log_is_beside_it",
            ),
            (HOST, "log_lines_follow_the_level_that_the_host_sets"),
        ],
    ),
    (
        "logging/setLevel is answered and followed",
        &[(HOST, "log_lines_follow_the_level_that_the_host_sets")],
    ),
    (
        "no revision is negotiated that forbids notifications of our own",
        &[(
            HOST,
            "the_newest_revision_that_knows_notifications_is_negotiated",
        )],
    ),
    (
        "server/discover is refused so that a client falls back to initialize",
        &[
            (HOST, "before_initialize_there_is_ping_alone"),
            (OTHERS, "a_host_on_the_sdk_for_python_is_woken_and_answers"),
        ],
    ),
    (
        "what the host says is acted on in its order",
        &[
            (
                HOST,
                "calls_reach_the_agent_in_their_order_and_are_answered",
            ),
            (HOST, "inbounds_wait_for_the_host_and_keep_their_order"),
        ],
    ),
    (
        "the end of the input, SIGTERM and SIGINT end the process, on pipes and on a pair of sockets",
        &[
            (PROCESS, "the_end_of_its_input_ends_it"),
            (PROCESS, "a_signal_ends_it_while_its_input_is_open"),
            (HOST, "the_end_of_the_input_is_the_end"),
        ],
    ),
    (
        "nothing but answers and the log goes out before the host is initialised",
        &[
            (HOST, "inbounds_wait_for_the_host_and_keep_their_order"),
            (
                PROCESS,
                "it_says_nothing_of_its_own_before_its_host_is_initialised",
            ),
        ],
    ),
    (
        "clients and hosts that others wrote work with it",
        &[
            (
                OTHERS,
                "a_host_on_the_sdk_for_typescript_is_woken_and_answers",
            ),
            (OTHERS, "a_host_on_the_sdk_for_python_is_woken_and_answers"),
            (INSPECTOR, "every_tool_is_listed_and_does_what_it_says"),
            (
                OTHERS,
                "claude_code_connects_to_the_plugin_as_readme_gives_it",
            ),
        ],
    ),
    (
        "claude: the capability, the notification, and instructions that say what the attributes mean, \
         that send answers, and that no message changes access",
        &[
            (HOST, "claude_is_told_of_a_turn_as_of_a_channels_message"),
            (
                FORM,
                "the_host_keeps_every_attribute_and_all_of_the_instructions",
            ),
            (
                OTHERS,
                "a_host_on_the_sdk_for_typescript_is_woken_as_claude_is",
            ),
            (OTHERS, "a_host_on_the_sdk_for_python_is_woken_as_claude_is"),
        ],
    ),
    (
        "claude: what somebody wrote passes neither for a field nor for the frame",
        &[
            (
                FORM,
                "one_message_is_its_text_and_its_fields_are_attributes",
            ),
            (FORM, "several_messages_are_quoted_behind_their_fields"),
            (FORM, "whatever_is_written_is_read_as_what_it_is"),
            (FORM, "no_text_begins_or_ends_an_element_of_the_host"),
        ],
    ),
    (
        "claude: nothing is handed over before the tools are listed and half a second has passed",
        &[
            (
                OPENING,
                "in_whatever_order_it_begins_half_a_second_passes_after_both",
            ),
            (
                AGENT,
                "nothing_is_handed_over_before_the_tools_are_listed_and_half_a_second_has_passed",
            ),
            (
                HOST,
                "every_agent_hears_how_the_host_began_however_late_it_starts",
            ),
        ],
    ),
    (
        "claude: a turn ends when it is said to be done, or after ten minutes",
        &[(
            AGENT,
            "a_turn_ends_when_it_is_said_to_be_done_or_after_ten_minutes",
        )],
    ),
    (
        "claude: any tool call that names the channel is the receipt",
        &[
            (AGENT, "any_call_that_names_the_channel_is_the_receipt"),
            (AGENT, "a_turn_that_is_done_is_not_handed_over_again"),
        ],
    ),
    (
        "claude: a turn without a receipt is handed over once more after two minutes, marked, and \
         never twice",
        &[
            (
                AGENT,
                "a_turn_without_a_receipt_is_handed_over_once_more_and_never_twice",
            ),
            (
                RECEIPTS,
                "what_has_no_receipt_is_handed_over_once_more_and_never_twice",
            ),
            (RECEIPTS, "what_is_kept_is_bounded_and_given_back"),
        ],
    ),
    (
        "commands: one agent brings them to its guilds where they differ, again after a reconnect",
        &[
            (
                COMMANDS,
                "a_guild_gets_the_commands_only_where_it_has_others",
            ),
            (
                COMMANDS,
                "a_guild_that_was_away_gets_them_again_if_it_has_others_now",
            ),
            (
                HOST,
                "commands_go_to_the_agent_that_syncs_them_and_again_when_it_is_restarted",
            ),
            (CONFIG, "what_is_missing_is_named"),
            (
                IN_A_GUILD,
                "they_are_there_again_after_the_guild_was_away_and_bad_ones_change_nothing",
            ),
        ],
    ),
    (
        "commands: what is wrong with them is told to the host",
        &[
            (COMMANDS, "bad_commands_are_told_and_change_nothing"),
            (HOST, "commands_that_nobody_can_take_are_told_to_the_host"),
        ],
    ),
];

#[test]
fn every_test_of_the_map_exists() {
    for (rule, tests) in RULES {
        assert!(!tests.is_empty(), "{rule}");
        for (file, name) in *tests {
            assert!(has_test(&lines(file), name), "{rule}: no {name} in {file}");
        }
    }
}

/// The check of the map can fail.
#[test]
fn what_is_no_test_is_not_found() {
    let host = lines(HOST);
    for name in ["one_agent", "start", "log_lines", ""] {
        assert!(!has_test(&host, name), "{name}");
    }
}
