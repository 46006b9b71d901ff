//! The server end of Socket.IO under the laws.

use std::time::Duration;

use selvedge_core::{
    RequestId, Time,
    engineio::{self, transport::ServerAction},
    socketio::{
        Namespace,
        server::{Config, Input, Output, Server},
    },
    ws::{Action, Event, Frame},
};

use super::{
    peer::{Peer, closed, take, text},
    socket_client::{binary, binary_args, emission, namespace},
};
use crate::history::{Choice, Subject, Traffic};

/// A server, with a client that joins, talks and answers.
#[derive(Clone, Debug, Default)]
pub struct SocketServer {
    asked: Vec<Namespace>,
    joined: Vec<Namespace>,
    acks: u64,
    next_call: u64,
    /// How many attachments of a packet are still to come.
    due: u64,
    over: bool,
}

impl SocketServer {
    /// A namespace that is joined, or now and then any.
    fn namespace(&self, a: u64) -> Option<Namespace> {
        let at = (a as usize / 64).checked_rem(self.joined.len());
        match at.and_then(|at| self.joined.get(at)) {
            Some(joined) if !a.is_multiple_of(64) => Some(joined.clone()),
            Some(_) | None if a.is_multiple_of(8) => namespace(a / 8),
            Some(_) | None => None,
        }
    }
}

impl Subject for SocketServer {
    type Input = Input;
    type Output = Output;
    type Machine = Server;

    const KINDS: u8 = 16;
    /// 6 namespaces, 16 calls and 3 attachments.
    const DEBUG_MAX: usize = 8_000;

    fn start(now: Time) -> (Self, Server) {
        let config = Config {
            namespaces_max: 6,
            admissions_max: 3,
            calls_max: 16,
            engine: engineio::server::Config::default(),
            ..Config::default()
        };
        (Self::default(), Server::new(config, "sid".into(), now))
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        let frame = |frame| Input::Transport(Event::Frame(frame).into());
        let sent = |content: String| frame(text(&content));
        let kind = kind % Self::KINDS;
        let is_text = matches!(kind, 0 | 2 | 3 | 7 | 10 | 14 | 15);
        if self.due > 0 && is_text && b % 32 != 31 {
            self.due -= 1;
            return Some(frame(binary(a)));
        }
        Some(match kind {
            0 => match take(&mut self.asked, a) {
                Some(namespace) => {
                    self.joined.push(namespace.clone());
                    Input::Admit {
                        namespace,
                        sid: "socket".into(),
                        pid: None,
                        missed: vec![],
                    }
                }
                None if self.joined.is_empty() => sent("40/realtime,{}".to_string()),
                None => sent(format!("42{},[\"typing\",{a}]", self.namespace(a)?)),
            },
            1 => match take(&mut self.asked, a) {
                Some(namespace) => Input::Refuse {
                    namespace,
                    message: "no".into(),
                    data: (b % 3 > 0).then(|| if b % 3 == 1 { "{}" } else { "{" }.into()),
                },
                None => frame(text("3")),
            },
            2 => sent(format!("40/n{},{{}}", a % 64)),
            3 => sent(format!(
                "42{},{}[\"typing\",{a}]",
                self.namespace(a)?,
                b % 3
            )),
            4 => Input::Emit(emission(a, b)?),
            5 | 6 => Input::Call {
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
            7 => {
                let ack = self.acks.saturating_sub(b % 4);
                sent(format!("43{},{ack}[{b}]", self.namespace(a)?))
            }
            8 => frame(text("3")),
            9 if a % 4 == 0 => Input::Disconnect {
                namespace: self.namespace(b)?,
            },
            10 if a % 4 == 0 => {
                let namespace = self.namespace(b)?;
                self.joined.retain(|joined| *joined != namespace);
                sent(format!("41{namespace},"))
            }
            11 if a % 16 == 0 => frame(Peer::default().odd(b, a)),
            12 if a % 32 == 0 => Input::Transport(closed(b).into()),
            13 if a % 32 == 0 => Input::Close,
            14 => {
                let namespace = self.namespace(a)?;
                self.due = b % 3 + 1;
                sent(format!("45{}-{namespace},{}", self.due, binary_args(b)))
            }
            15 => {
                let namespace = self.namespace(a)?;
                self.due = b % 3 + 1;
                let ack = self.acks.saturating_sub(b % 4);
                sent(format!(
                    "46{}-{namespace},{ack}{}",
                    self.due,
                    binary_args(b)
                ))
            }
            _ => return None,
        })
    }

    fn heard(&mut self, output: &Output) {
        match output {
            Output::Admission { namespace, .. } => self.asked.push(namespace.clone()),
            Output::Closed(_) => self.over = true,
            Output::Transport(ServerAction::WebSocket(Action::Send(Frame::Text(text)))) => {
                let call = text.strip_prefix("42/realtime,");
                let digits = call.and_then(|call| call.split_once('['));
                if let Some(ack) = digits.and_then(|(digits, _)| digits.parse().ok()) {
                    self.acks = ack;
                }
            }
            Output::Transport(_)
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
            | Input::Admit { .. }
            | Input::Refuse { .. }
            | Input::Emit(_)
            | Input::Disconnect { .. }
            | Input::Close => None,
        }
    }

    fn of_output(output: &Output) -> Option<Traffic> {
        match output {
            Output::Answered { id, .. } => Some(Traffic::Reply(("call", id.number()))),
            Output::Transport(_)
            | Output::Admission { .. }
            | Output::Event { .. }
            | Output::Disconnected { .. }
            | Output::Dropped { .. }
            | Output::Closed(_) => None,
        }
    }
}
