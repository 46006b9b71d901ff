//! The manager of a Socket.IO connection under the laws.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use selvedge_core::{
    RequestId, Rng, Secret, Time,
    engineio::transport::{Answer, ClientAction, ClientEvent, Exchange},
    link::{Authorize, AuthorizeFailure},
    socketio::{
        client::Buffer,
        manager::{Auth, Config, Input, Manager, Output, Transports},
    },
    ws::{Action, ConnId, Event, Frame},
};

use super::{
    peer::{Peer, closed, take, text},
    socket_client::{emission, namespace},
};
use crate::{
    history::{Choice, Subject, Traffic, Wire},
    laws::SECRET_MARK,
};

/// A manager, with a runtime and a server that answers it over WebSockets and to polls.
#[derive(Clone, Debug, Default)]
pub struct SocketManager {
    prepares: Vec<RequestId<Authorize>>,
    auths: Vec<RequestId<Auth>>,
    dialing: Vec<ConnId>,
    line: Option<Line>,
    peer: Peer,
    wanted: bool,
    next_call: u64,
    over: bool,
}

/// The connection, and the requests that are open on it.
#[derive(Clone, Debug)]
struct Line {
    conn: ConnId,
    polls: bool,
    get: Option<RequestId<Exchange>>,
    posts: VecDeque<RequestId<Exchange>>,
}

impl SocketManager {
    fn open(&mut self, conn: ConnId, polls: bool) {
        self.peer = Peer::default();
        self.line = Some(Line {
            conn,
            polls,
            get: None,
            posts: VecDeque::new(),
        });
    }

    /// A frame of the server, or the answer to a poll.
    fn say(&mut self, frame: Frame) -> Option<Input> {
        let line = self.line.as_mut()?;
        if !line.polls {
            return Some(Input::Transport(line.conn, Event::Frame(frame).into()));
        }
        let id = line.get.take()?;
        let body = match frame {
            Frame::Text(text) => text.into_bytes(),
            Frame::Binary(bytes) => bytes,
        };
        Some(answered(line.conn, id, 200, body))
    }

    /// What the server says next; its answers to a CONNECT offer a recovery.
    fn next_frame(&mut self, a: u64, b: u64) -> Option<Input> {
        let line = self.line.as_mut()?;
        if let Some(id) = line.posts.pop_front() {
            return Some(answered(line.conn, id, 200, Bytes::from_static(b"ok")));
        }
        if line.polls && line.get.is_none() {
            return None;
        }
        match self.peer.next(a, b) {
            Frame::Text(reply) if reply.starts_with("40") => {
                let reply = reply.replace(r#"{"sid""#, r#"{"pid":"TopSecret-pid","sid""#);
                self.say(text(&reply))
            }
            frame @ (Frame::Text(_) | Frame::Binary(_)) => self.say(frame),
        }
    }

    fn plausible(&mut self, a: u64, b: u64) -> Option<Input> {
        if !self.wanted {
            self.wanted = true;
            let namespace = namespace(1)?;
            return Some(Input::Join { namespace });
        }
        if let Some(id) = take(&mut self.prepares, a) {
            return Some(Input::Prepared(id, Ok(())));
        }
        if let Some(conn) = take(&mut self.dialing, a) {
            self.open(conn, false);
            return Some(Input::Dialed(conn, Ok(())));
        }
        if let Some(id) = take(&mut self.auths, a) {
            return Some(Input::Auth(id, Ok(Some(auth(b)))));
        }
        self.next_frame(a, b)
    }
}

fn auth(b: u64) -> Secret {
    Secret::new(&match b % 16 {
        15 => "[]".to_string(),
        _ => format!(r#"{{"token":"{SECRET_MARK}{b}"}}"#),
    })
}

fn answered(conn: ConnId, id: RequestId<Exchange>, status: u16, body: Bytes) -> Input {
    let result = Ok(Answer { status, body });
    Input::Transport(conn, ClientEvent::Answered { id, result })
}

impl Subject for SocketManager {
    type Input = Input;
    type Output = Output;
    type Machine = Manager;

    const KINDS: u8 = 20;
    /// 3 namespaces with 8 offsets each, 8 early events of about 300 bytes, 4 calls, and 5
    /// emissions that wait.
    const DEBUG_MAX: usize = 30_000;

    fn start(_: Time) -> (Self, Manager) {
        let mut config = Config {
            transports: Transports::WebSocketPolling,
            attempts_max: NonZeroU32::new(3),
            keep_for: Some(Duration::from_secs(600)),
            ..Config::default()
        };
        config.client.namespaces_max = 3;
        config.client.calls_max = 4;
        config.client.early_events_max = 8;
        config.client.engine.queue_bytes_max = 1_200;
        config.client.buffer = Buffer::Keep {
            events_max: 5,
            bytes_max: 400,
        };
        let manager = Manager::new(config, Rng::from_number(7));
        (Self::default(), manager)
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        Some(match kind % Self::KINDS {
            0..=2 => return self.plausible(a, b),
            3 => {
                let id = take(&mut self.prepares, a)?;
                let why = "none".to_string();
                let failure = match b % 2 {
                    0 => AuthorizeFailure::Unavailable(why),
                    _ => AuthorizeFailure::Denied(why),
                };
                Input::Prepared(id, Err(failure))
            }
            4 => {
                let conn = take(&mut self.dialing, a)?;
                Input::Dialed(conn, Err("refused".to_string()))
            }
            5 => Input::Dialed(ConnId(b % 64), Ok(())),
            6 => {
                let id = RequestId::from_number(b % 64);
                self.prepares.retain(|asked| *asked != id);
                Input::Prepared(id, Ok(()))
            }
            7 => {
                let id = RequestId::from_number(b % 64);
                self.auths.retain(|asked| *asked != id);
                Input::Auth(id, Ok(None))
            }
            8 => {
                let id = take(&mut self.auths, a)?;
                Input::Auth(id, Err("no token".to_string()))
            }
            9 => Input::Join {
                namespace: namespace(a)?,
            },
            10 if b % 4 == 0 => Input::Leave {
                namespace: namespace(a)?,
            },
            11 if b % 8 == 3 => Input::EmitVolatile(emission(a, b / 8)?),
            11 => Input::Emit(emission(a, b)?),
            12 | 13 => Input::Call {
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
            14 => {
                let event = format!(r#"42/realtime,["e",{a},"o{}"]"#, b % 16);
                return self.say(text(&event));
            }
            15 if a % 8 == 0 => {
                let frame = self.peer.odd(b, a);
                return self.say(frame);
            }
            16 if a % 4 == 0 => match self.line.as_mut()? {
                Line {
                    conn,
                    get: Some(id),
                    polls: true,
                    ..
                } => answered(*conn, *id, 400, Bytes::new()),
                Line { conn, .. } => Input::Transport(*conn, closed(b).into()),
            },
            17 => Input::ClearBuffer {
                namespace: namespace(a)?,
            },
            18 => return self.say(Peer::ping()),
            19 if a % 32 == 0 => self.end(),
            _ => return None,
        })
    }

    fn heard(&mut self, output: &Output) {
        match output {
            Output::Prepare(id) => self.prepares.push(*id),
            Output::ForgetPrepare(id) => self.prepares.retain(|asked| asked != id),
            Output::Auth { id, .. } => self.auths.push(*id),
            Output::ForgetAuth(id) => self.auths.retain(|asked| asked != id),
            Output::Dial(conn) => self.dialing.push(*conn),
            Output::HangUp(conn) => self.dialing.retain(|dialing| dialing != conn),
            Output::Transport(conn, ClientAction::Get { id, sid }) => {
                if sid.is_none() {
                    self.open(*conn, true);
                }
                if let Some(line) = &mut self.line {
                    line.get = Some(*id);
                }
            }
            Output::Transport(_, ClientAction::Post { id, body, .. }) => {
                for packet in String::from_utf8_lossy(body).split('\u{1e}') {
                    self.peer.on_action(&Action::Send(text(packet)));
                }
                if let Some(line) = &mut self.line {
                    line.posts.push_back(*id);
                }
            }
            Output::Transport(conn, ClientAction::WebSocket(action)) => {
                if self.line.as_ref().is_some_and(|line| line.conn == *conn) {
                    self.peer.on_action(action);
                }
            }
            Output::Transport(_, ClientAction::Dial { .. } | ClientAction::Abort(_))
            | Output::Connected { .. }
            | Output::Refused { .. }
            | Output::Disconnected { .. }
            | Output::Down { .. }
            | Output::Event { .. }
            | Output::Answered { .. }
            | Output::Dropped { .. } => {}
            Output::GaveUp { .. } => self.wanted = false,
        }
    }

    fn end(&mut self) -> Input {
        self.over = true;
        Input::Shutdown
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn of_input(input: &Input) -> Option<Traffic> {
        match input {
            Input::Prepared(id, _) => Some(Traffic::Answer(("prepare", id.number()))),
            Input::Auth(id, _) => Some(Traffic::Answer(("auth", id.number()))),
            Input::Call { id, .. } => Some(Traffic::Call(("call", id.number()))),
            Input::Dialed(..)
            | Input::Transport(..)
            | Input::Join { .. }
            | Input::Leave { .. }
            | Input::Emit(_)
            | Input::EmitVolatile(_)
            | Input::ClearBuffer { .. }
            | Input::Shutdown => None,
        }
    }

    fn on_wire(output: &Output) -> Option<Wire> {
        match output {
            Output::Transport(conn, ClientAction::WebSocket(Action::Send(_))) => {
                Some(Wire::Uses(*conn))
            }
            Output::Transport(conn, ClientAction::WebSocket(Action::Close))
            | Output::HangUp(conn) => Some(Wire::Ends(*conn)),
            Output::Transport(
                _,
                ClientAction::Dial { .. }
                | ClientAction::Get { .. }
                | ClientAction::Post { .. }
                | ClientAction::Abort(_),
            )
            | Output::Prepare(_)
            | Output::ForgetPrepare(_)
            | Output::Auth { .. }
            | Output::ForgetAuth(_)
            | Output::Dial(_)
            | Output::Connected { .. }
            | Output::Refused { .. }
            | Output::Disconnected { .. }
            | Output::Down { .. }
            | Output::GaveUp { .. }
            | Output::Event { .. }
            | Output::Answered { .. }
            | Output::Dropped { .. } => None,
        }
    }

    fn of_output(output: &Output) -> Option<Traffic> {
        match output {
            Output::Prepare(id) => Some(Traffic::Ask(("prepare", id.number()))),
            Output::ForgetPrepare(id) => Some(Traffic::Forget(("prepare", id.number()))),
            Output::Auth { id, .. } => Some(Traffic::Ask(("auth", id.number()))),
            Output::ForgetAuth(id) => Some(Traffic::Forget(("auth", id.number()))),
            Output::Answered { id, .. } => Some(Traffic::Reply(("call", id.number()))),
            Output::Dial(_)
            | Output::HangUp(_)
            | Output::Transport(..)
            | Output::Connected { .. }
            | Output::Refused { .. }
            | Output::Disconnected { .. }
            | Output::Down { .. }
            | Output::GaveUp { .. }
            | Output::Event { .. }
            | Output::Dropped { .. } => None,
        }
    }
}
