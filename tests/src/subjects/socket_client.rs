//! The client end of Socket.IO under the laws.

use std::time::Duration;

use selvedge_core::{
    RequestId, Secret, Time,
    socketio::{
        Namespace,
        client::{Client, Config, Input, Output},
        event::Emission,
    },
    ws::Event,
};

use super::peer::{Peer, closed};
use crate::{
    history::{Choice, Subject, Traffic},
    laws::SECRET_MARK,
};

/// A client, with a server that answers it.
#[derive(Clone, Debug, Default)]
pub struct SocketClient {
    peer: Peer,
    next_call: u64,
    over: bool,
}

impl Subject for SocketClient {
    type Input = Input;
    type Output = Output;
    type Machine = Client;

    const KINDS: u8 = 12;
    /// 3 namespaces, 8 early events of about 300 bytes, and 4 calls.
    const DEBUG_MAX: usize = 20_000;

    fn start(now: Time) -> (Self, Client) {
        let config = Config {
            namespaces_max: 3,
            calls_max: 4,
            early_events_max: 8,
            ..Config::default()
        };
        (Self::default(), Client::new(config, now))
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        let frame = |frame| Input::Transport(Event::Frame(frame));
        Some(match kind % Self::KINDS {
            0 if self.peer.is_idle() => Input::Connect {
                namespace: namespace(1)?,
                auth: None,
            },
            0 => frame(self.peer.next(a, b)),
            1 => Input::Connect {
                namespace: namespace(a)?,
                auth: match b % 4 {
                    0 => None,
                    1 => Some(Secret::new(SECRET_MARK)),
                    _ => Some(Secret::new(&format!("{{\"token\":\"{SECRET_MARK}\"}}"))),
                },
            },
            2 => Input::Emit(emission(a, b)?),
            3 | 4 => Input::Call {
                id: RequestId::from_number(match b % 8 {
                    0 => self.next_call.saturating_sub(a % 4),
                    _ => {
                        self.next_call += 1;
                        self.next_call
                    }
                }),
                emission: emission(a, b)?,
                patience: Duration::from_millis(b % 20_000),
            },
            5 => Input::Disconnect {
                namespace: namespace(a)?,
            },
            6 => frame(Peer::ping()),
            7 => frame(self.peer.push("message.created", a, b)),
            8 if a % 16 == 0 => frame(self.peer.odd(b, a)),
            9 if a % 32 == 0 => Input::Transport(closed(b)),
            10 if a % 32 == 0 => Input::Close,
            _ => return None,
        })
    }

    fn heard(&mut self, output: &Output) {
        match output {
            Output::Transport(action) => self.peer.on_action(action),
            Output::Closed(_) => self.over = true,
            Output::Opened(_)
            | Output::Connected { .. }
            | Output::Refused { .. }
            | Output::Event { .. }
            | Output::Answered { .. }
            | Output::Disconnected { .. }
            | Output::Dropped { .. } => {}
        }
    }

    fn end(&mut self) -> Input {
        Input::Close
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn of_input(input: &Input) -> Option<Traffic> {
        match input {
            Input::Call { id, .. } => Some(Traffic::Call(("call", id.number()))),
            Input::Transport(_)
            | Input::Connect { .. }
            | Input::Emit(_)
            | Input::Disconnect { .. }
            | Input::Close => None,
        }
    }

    fn of_output(output: &Output) -> Option<Traffic> {
        match output {
            Output::Answered { id, .. } => Some(Traffic::Reply(("call", id.number()))),
            Output::Transport(_)
            | Output::Opened(_)
            | Output::Connected { .. }
            | Output::Refused { .. }
            | Output::Event { .. }
            | Output::Disconnected { .. }
            | Output::Dropped { .. }
            | Output::Closed(_) => None,
        }
    }
}

/// One of a few namespaces.
pub fn namespace(a: u64) -> Option<Namespace> {
    match a % 8 {
        0 => Some(Namespace::root()),
        1..=4 => Namespace::new("/realtime"),
        other => Namespace::new(&format!("/n{other}")),
    }
}

/// An event, or now and then an answer.
pub fn emission(a: u64, b: u64) -> Option<Emission> {
    let namespace = namespace(a)?;
    if b % 16 == 15 {
        let ack = selvedge_core::socketio::AckId::from_number(a % 4);
        return Emission::answer(&namespace, ack, &(b,)).ok();
    }
    Emission::event(
        &namespace,
        "join_channel",
        &(b, "x".repeat((b % 50) as usize)),
    )
    .ok()
}
