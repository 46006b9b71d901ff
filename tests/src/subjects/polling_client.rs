//! The client end of an Engine.IO session that polls first, and mostly moves to a WebSocket later,
//! under the laws.

use std::collections::VecDeque;

use bytes::Bytes;
use selvedge_core::{
    RequestId, Time,
    engineio::{
        client::{Client, Config, Input, Output},
        transport::{Answer, ClientAction, ClientEvent, Exchange, Text},
    },
    http::Failure,
    ws::{Action, Event, Frame},
};

use super::{
    engine::message,
    peer::{Peer, closed, text},
};
use crate::history::{Choice, Subject, Traffic};

/// The client, with a server that answers it.
#[derive(Clone, Debug, Default)]
pub struct PollingClient {
    is_open: bool,
    poll: Option<RequestId<Exchange>>,
    posts: VecDeque<RequestId<Exchange>>,
    socket: Socket,
    over: bool,
}

/// How far the WebSocket has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Socket {
    #[default]
    None,
    Dialing,
    Open,
    Moving,
    Moved,
}

impl PollingClient {
    /// The end of the open poll, or a frame on the WebSocket.
    fn say(&mut self, body: &str) -> Option<Input> {
        match self.poll.take() {
            Some(id) => {
                let handshake = concat!(
                    r#"0{"sid":"x","upgrades":["websocket"],"pingInterval":25000,"#,
                    r#""pingTimeout":20000,"maxPayload":1000}"#
                );
                let is_first = !std::mem::replace(&mut self.is_open, true);
                let body = if is_first { handshake } else { body };
                Some(answer(id, 200, Bytes::copy_from_slice(body.as_bytes())))
            }
            None if self.socket == Socket::Moved => {
                body.split('\u{1e}').next_back().map(|it| frame(text(it)))
            }
            None => None,
        }
    }

    /// The next step of an upgrade, or the end of the poll that it waits for.
    fn upgrade(&mut self) -> Option<Input> {
        match self.socket {
            Socket::None => None,
            Socket::Dialing => {
                self.socket = Socket::Open;
                Some(Input::Transport(ClientEvent::Dialed(Ok(()))))
            }
            Socket::Open => {
                self.socket = Socket::Moving;
                Some(frame(text("3probe")))
            }
            Socket::Moving | Socket::Moved => self.say("6"),
        }
    }

    fn posted(&mut self) -> Option<Input> {
        let id = self.posts.pop_front()?;
        Some(answer(id, 200, Bytes::from_static(b"ok")))
    }
}

impl Subject for PollingClient {
    type Input = Input;
    type Output = Output;
    type Machine = Client;

    const KINDS: u8 = 16;
    const DEBUG_MAX: usize = 5_000;

    fn start(now: Time) -> (Self, Client) {
        let config = Config {
            queue_bytes_max: 1_200,
            queue_packets_max: 40,
            ..Config::default()
        };
        (Self::default(), Client::polling(config, true, now))
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input> {
        match kind % Self::KINDS {
            0 => match a % 4 {
                _ if !self.is_open => self.say(""),
                0 => self.upgrade(),
                1 => self.posted(),
                2 => self.say("2"),
                _ => self.say("4a\u{1e}bAQID\u{1e}4b"),
            },
            1 => self.say("2"),
            2 => self.say(&format!(
                "{}6",
                "4a\u{1e}bAQID\u{1e}".repeat((b % 8) as usize)
            )),
            3 if a % 8 == 7 => Some(Input::Send(text("4a\u{1e}b"))),
            3 => Some(Input::Send(message(a, b))),
            4 => Some(Input::SendEncoded(message(a, b))),
            5 => self.upgrade(),
            6 => self.posted(),
            7 if a % 8 == 0 => match Peer::default().odd(b, a) {
                Frame::Text(body) => self.say(&body),
                Frame::Binary(body) => {
                    let id = self.poll.take()?;
                    Some(answer(id, 200, body))
                }
            },
            8 if a % 16 == 0 => {
                let id = self.poll.take().or_else(|| self.posts.pop_front())?;
                let body = Bytes::from_static(br#"{"code":1,"message":"Session ID unknown"}"#);
                Some(answer(id, 400, body))
            }
            9 if a % 16 == 0 => {
                let id = self.posts.pop_front().or_else(|| self.poll.take())?;
                let result = Err(Failure::TooLarge);
                Some(Input::Transport(ClientEvent::Answered { id, result }))
            }
            10 if a % 8 == 0 => {
                let result = Err(Text("refused".into()));
                Some(Input::Transport(ClientEvent::Dialed(result)))
            }
            11 if a % 16 == 0 => Some(frame(Peer::default().odd(b, a))),
            12 if a % 16 == 0 => Some(Input::Transport(closed(b).into())),
            13 if a % 32 == 0 => Some(Input::Close),
            14 => {
                let id = RequestId::from_number(b % 50);
                let is_open = self.poll == Some(id) || self.posts.contains(&id);
                (!is_open).then(|| answer(id, 200, Bytes::from_static(b"4stray")))
            }
            15 => self.say(&vec!["2"; (b % 60) as usize].join("\u{1e}")),
            _ => None,
        }
    }

    fn heard(&mut self, output: &Output) {
        match output {
            Output::Transport(ClientAction::Get { id, .. }) => self.poll = Some(*id),
            Output::Transport(ClientAction::Post { id, .. }) => self.posts.push_back(*id),
            Output::Transport(ClientAction::Abort(_)) => self.poll = None,
            Output::Transport(ClientAction::Dial { .. }) => self.socket = Socket::Dialing,
            Output::Transport(ClientAction::WebSocket(Action::Close)) => {
                self.socket = Socket::None;
            }
            Output::Transport(ClientAction::WebSocket(Action::Send(_)))
            | Output::Opened(_)
            | Output::Message(_)
            | Output::Unsent(_) => {}
            Output::Upgraded => self.socket = Socket::Moved,
            Output::Closed(_) => self.over = true,
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
            Input::Transport(ClientEvent::Answered { id, .. }) => {
                Some(Traffic::Answer(("exchange", id.number())))
            }
            Input::Transport(ClientEvent::WebSocket(_) | ClientEvent::Dialed(_))
            | Input::Send(_)
            | Input::SendEncoded(_)
            | Input::Close => None,
        }
    }

    /// A post is let through also when the session is over.
    fn of_output(output: &Output) -> Option<Traffic> {
        match output {
            Output::Transport(ClientAction::Get { id, .. }) => {
                Some(Traffic::Ask(("exchange", id.number())))
            }
            Output::Transport(ClientAction::Post { id, .. }) => {
                Some(Traffic::Order(("exchange", id.number())))
            }
            Output::Transport(ClientAction::Abort(id)) => {
                Some(Traffic::Forget(("exchange", id.number())))
            }
            Output::Transport(ClientAction::WebSocket(_) | ClientAction::Dial { .. })
            | Output::Opened(_)
            | Output::Upgraded
            | Output::Message(_)
            | Output::Unsent(_)
            | Output::Closed(_) => None,
        }
    }
}

fn answer(id: RequestId<Exchange>, status: u16, body: Bytes) -> Input {
    Input::Transport(ClientEvent::Answered {
        id,
        result: Ok(Answer { status, body }),
    })
}

fn frame(frame: Frame) -> Input {
    Input::Transport(Event::Frame(frame).into())
}
