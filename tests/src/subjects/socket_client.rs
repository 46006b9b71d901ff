//! The client end of Socket.IO under the laws.

use std::time::Duration;

use selvedge_core::{
    RequestId, Secret, Time,
    engineio::transport::ClientAction,
    socketio::{
        Namespace,
        client::{Buffer, Client, Config, Input, Output},
        event::{Attachment, Emission},
    },
    ws::{Event, Frame},
};

use super::peer::{Peer, closed, text};
use crate::{
    history::{Choice, Subject, Traffic},
    laws::SECRET_MARK,
};

/// A client, with a server that answers it.
#[derive(Clone, Debug, Default)]
pub struct SocketClient {
    peer: Peer,
    next_call: u64,
    /// How many attachments of a packet are still to come.
    due: u64,
    over: bool,
}

impl Subject for SocketClient {
    type Input = Input;
    type Output = Output;
    type Machine = Client;

    const KINDS: u8 = 14;
    /// 3 namespaces, 8 early events of about 300 bytes, 4 calls, 3 attachments, and
    /// 5 emissions that wait.
    const DEBUG_MAX: usize = 20_000;

    fn start(now: Time) -> (Self, Client) {
        let config = Config {
            namespaces_max: 3,
            calls_max: 4,
            early_events_max: 8,
            buffer: Buffer::Keep {
                events_max: 5,
                bytes_max: 400,
            },
            ..Config::default()
        };
        (Self::default(), Client::new(config, now))
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        let frame = |frame| Input::Transport(Event::Frame(frame).into());
        let kind = kind % Self::KINDS;
        if self.due > 0 && matches!(kind, 0 | 7 | 12 | 13) && b % 32 != 31 {
            self.due -= 1;
            return Some(frame(binary(a)));
        }
        Some(match kind {
            0 if self.peer.is_idle() => Input::Connect {
                namespace: namespace(1)?,
                auth: None,
                recover: None,
            },
            0 => frame(self.peer.next(a, b)),
            1 => Input::Connect {
                namespace: namespace(a)?,
                auth: match b % 4 {
                    0 => None,
                    1 => Some(Secret::new(SECRET_MARK)),
                    _ => Some(Secret::new(&format!("{{\"token\":\"{SECRET_MARK}\"}}"))),
                },
                recover: None,
            },
            2 if b % 8 == 3 => Input::EmitVolatile(emission(a, b / 8)?),
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
            9 if a % 32 == 0 => Input::Transport(closed(b).into()),
            10 if a % 32 == 0 => Input::Close,
            12 | 13 => {
                let ack = if a.is_multiple_of(2) { "" } else { "7" };
                let header = if self.peer.joined.is_empty() {
                    return None;
                } else if kind == 12 {
                    format!("5{}-/realtime,{}", b % 3 + 1, ack)
                } else {
                    format!("6{}-/realtime,{}", b % 3 + 1, a % 4)
                };
                self.due = b % 3 + 1;
                frame(text(&format!("4{header}{}", binary_args(a))))
            }
            _ => return None,
        })
    }

    fn heard(&mut self, output: &Output) {
        match output {
            Output::Transport(ClientAction::WebSocket(action)) => self.peer.on_action(action),
            Output::Closed(_) => self.over = true,
            Output::Transport(_)
            | Output::Opened(_)
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
            | Input::EmitVolatile(_)
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
    let ack = selvedge_core::socketio::AckId::from_number(a % 4);
    let contents = || vec![vec![0x1e; (a % 30) as usize].into(), Default::default()];
    match b % 16 {
        13 => {
            let args = (Attachment(0), [Attachment(1)]);
            return Emission::event_with(&namespace, "picture", &args, contents()).ok();
        }
        14 => {
            let args = (b, Attachment(1));
            return Emission::answer_with(&namespace, ack, &args, contents()).ok();
        }
        15 => return Emission::answer(&namespace, ack, &(b,)).ok(),
        _ => {}
    }
    Emission::event(
        &namespace,
        "join_channel",
        &(b, "x".repeat((b % 50) as usize)),
    )
    .ok()
}

/// What may stand after the header of a packet with attachments; now and then what may not.
pub fn binary_args(a: u64) -> String {
    let number = if a % 32 == 31 { 3 } else { 0 };
    format!(r#"["picture",{{"_placeholder":true,"num":{number}}},{a}]"#)
}

/// An attachment; now and then an empty one.
pub fn binary(a: u64) -> Frame {
    Frame::Binary(vec![0x1e; (a % 20) as usize].into())
}
