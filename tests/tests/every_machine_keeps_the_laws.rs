//! Every machine keeps the laws, over random histories.

#![expect(
    clippy::unwrap_used,
    reason = "what is broken is the failure of a test"
)]

use selvedge_tests::{
    histories::{hold, hold_over},
    history::{Advance, Choice, Move, Subject},
    laws, reports,
    subjects::{
        agent, engine, guild, hub, link, login_gate, polling_client, socket_client, socket_manager,
        socket_server,
    },
};

/// How many histories must reach between them whatever a machine can say.
const REACH: u32 = 400;
/// How many inputs of each kind make a flood: eight times the largest fixed limit that they reach.
const FLOOD: u64 = 8_000;

/// The plainest way up: forty times the next plausible thing.
fn opening() -> Vec<Move> {
    let plausible = |a| Move {
        advance: Advance::Stay,
        choice: Choice { kind: 0, a, b: 2 },
    };
    (0..40).map(plausible).collect()
}

fn hold_bounded<S: Subject>() {
    for kind in 0..S::KINDS {
        for (steps, flood) in [(40, FLOOD), (6, FLOOD / 20), (0, FLOOD / 20)] {
            let opening: Vec<_> = opening().into_iter().take(steps).collect();
            laws::bounded::<S>(&opening, kind, flood).unwrap();
        }
    }
}

/// The laws are worth as much as the states that they are held in.
fn hold_reach<S: Subject>(wanted: &[&str]) {
    let seen = std::cell::RefCell::new(std::collections::BTreeMap::<String, usize>::new());
    hold_over(REACH, |history| {
        for word in laws::reach::<S>(history)? {
            *seen.borrow_mut().entry(word).or_default() += 1;
        }
        Ok(())
    })
    .unwrap();
    let seen = seen.into_inner();
    for word in wanted {
        assert!(
            seen.contains_key(*word),
            "no history reaches {word}, only {seen:?}"
        );
    }
}

macro_rules! every_machine_keeps_the_laws {
    ($($machine:ident: $subject:ty, [$($output:ident)*] $(, $more:ident)*;)*) => {
        $(mod $machine {
            use super::*;

            #[test]
            fn takes_any_input_in_any_state() {
                hold(laws::total::<$subject>).unwrap();
            }

            #[test]
            fn does_the_same_in_the_same_history() {
                hold(laws::closed::<$subject>).unwrap();
            }

            #[test]
            fn parks_nothing() {
                hold(laws::no_parking::<$subject>).unwrap();
            }

            #[test]
            fn makes_progress_with_every_step() {
                hold(laws::progress::<$subject>).unwrap();
            }

            #[test]
            fn pays_nothing_for_idle_ticks() {
                hold(laws::idle_ticks_are_free::<$subject>).unwrap();
            }

            #[test]
            fn stays_within_its_limits_in_a_flood() {
                hold_bounded::<$subject>();
            }

            #[test]
            fn closes_every_question_once() {
                hold(|history| laws::questions_are_closed_once::<$subject>(history, false))
                    .unwrap();
            }

            #[test]
            fn closes_every_call_in_a_world_that_says_nothing() {
                hold(|history| laws::questions_are_closed_once::<$subject>(history, true))
                    .unwrap();
            }

            #[test]
            fn leaves_an_ended_connection_alone() {
                hold(laws::connections_end_once::<$subject>).unwrap();
            }

            #[test]
            fn is_silent_after_its_end() {
                hold(laws::drop_safe::<$subject>).unwrap();
            }

            #[test]
            fn can_be_compared() {
                hold(laws::comparable::<$subject>).unwrap();
            }

            #[test]
            fn goes_on_from_a_snapshot() {
                hold(laws::goes_on_from_a_snapshot::<$subject>).unwrap();
            }

            #[test]
            fn says_in_these_histories_whatever_it_can_say() {
                hold_reach::<$subject>(&[$(stringify!($output)),*]);
            }

            $(every_machine_keeps_the_laws!(@$more $subject);)*
        })*
    };
    (@written $subject:ty) => {
        #[test]
        fn takes_inputs_that_can_be_written_down() {
            hold(laws::inputs_can_be_written_down::<$subject>).unwrap();
        }
    };
    (@asked $subject:ty) => {
        #[test]
        fn tells_how_it_does_at_any_time() {
            hold(reports::reports_are_sound::<$subject>).unwrap();
        }
    };
    (@recorded $subject:ty) => {
        #[test]
        fn leaves_no_secret_in_a_recording() {
            hold(laws::recordings_hold_no_secret::<$subject>).unwrap();
        }
    };
    (@replayed $subject:ty) => {
        #[test]
        fn replays_from_a_snapshot_in_a_recording() {
            hold(laws::recordings_go_on_from_a_snapshot::<$subject>).unwrap();
        }
    };
}

every_machine_keeps_the_laws! {
    the_engine_client: engine::Client,
        [Opened Message Unsent PingTimeout HandshakeTimeout Local BadPacket], written;
    the_polling_client: polling_client::PollingClient,
        [Opened Message Unsent Upgraded Get Post Abort Dial Send Close PingTimeout HandshakeTimeout
         Local Peer BadPayload BadPacket Refused Unanswered Overrun], written;
    the_engine_server: engine::Server, [Message PingTimeout Local BadPacket], written;
    the_polling_server: engine::PollingServer,
        [Answer Message Send Close Refused Farewell Unsent PingTimeout Local Peer BadPayload
         BadPacket SecondPoll SecondPost Cancelled Overrun], written;
    the_socket_client: socket_client::SocketClient,
        [Opened Connected Refused Event Disconnected Dropped Answered Timeout NotConnected TooMany
         ConnectTimeout], written;
    the_socket_server: socket_server::SocketServer,
        [Admission Event Disconnected Dropped Answered Timeout NotConnected],
        written;
    the_socket_manager: socket_manager::SocketManager,
        [Prepare ForgetPrepare Auth ForgetAuth Dial HangUp Transport Get Post Connected Refused
         Disconnected Down GaveUp Event Answered Dropped Timeout NotConnected TooMany BufferFull
         Expired], written, recorded;
    the_hub: hub::Hub,
        [Admission ForgetAdmission Connected Event Answered Timeout Disconnected Left Dismissed
         TakenOver Transport PingTimeout Local Answer Dropped NotConnected TooMany Duplicate],
        written, recorded;
    the_link: link::RealtimeLink,
        [Authorize Forget Dial HangUp Transport Up Joined Push Down Replaced NotReplaced];
    the_login_gate: login_gate::Gate, [Admit], written, recorded;
    the_agent: agent::Agent,
        [Login Dial Transport HangUp Http Forget Notify Sent Channels Live Down Rotated NotRotated Deaf
         GapAccepted Left Skipped TurnTimedOut BadCommands CommandsReplaced],
        written, recorded, replayed, asked;
    the_agent_of_claude: agent::ClaudeAgent, [Notify Sent TurnTimedOut OfferedAgain],
        written, recorded, replayed, asked;
    the_guild: guild::Guild,
        [Introspect Resolve Store Load Forget Transport Close Respond Fatal Posted Member NoMember
         Amended Canvas NoCanvas Commands Turn Rewoken Commanded Newest],
        written, recorded, replayed;
}
