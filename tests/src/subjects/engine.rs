//! Both ends of Engine.IO under the laws.

use bytes::Bytes;
use selvedge_core::{
    Time,
    engineio::{
        PollingConfig, client, server,
        transport::{ServerAction, ServerEvent},
    },
    http::CallId,
    ws::{Action, ConnId, Event, Frame},
};

use super::peer::{Peer, closed, text};
use crate::history::{Choice, Subject, Traffic};

/// The client end.
#[derive(Clone, Debug, Default)]
pub struct Client {
    peer: Peer,
    over: bool,
}

impl Subject for Client {
    type Input = client::Input;
    type Output = client::Output;
    type Machine = client::Client;

    const KINDS: u8 = 8;
    const DEBUG_MAX: usize = 500;

    fn start(now: Time) -> (Self, Self::Machine) {
        let client = client::Client::new(client::Config::default(), now);
        (Self::default(), client)
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<client::Input> {
        let frame = |frame| client::Input::Transport(Event::Frame(frame).into());
        Some(match kind % Self::KINDS {
            0 => frame(self.peer.next(a, b)),
            1 => frame(Peer::ping()),
            2 => frame(self.peer.push("message.created", a, b)),
            3 => client::Input::Send(message(a, b)),
            4 => client::Input::SendEncoded(message(a, b)),
            5 if a % 16 == 0 => frame(self.peer.odd(b, a)),
            6 if a % 32 == 0 => client::Input::Transport(closed(b).into()),
            7 if a % 32 == 0 => client::Input::Close,
            _ => return None,
        })
    }

    fn heard(&mut self, output: &client::Output) {
        self.over |= matches!(output, client::Output::Closed(_));
    }

    fn end(&mut self) -> client::Input {
        client::Input::Close
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

/// The server end.
#[derive(Clone, Debug, Default)]
pub struct Server {
    over: bool,
}

impl Subject for Server {
    type Input = server::Input;
    type Output = server::Output;
    type Machine = server::Server;

    const KINDS: u8 = 8;
    const DEBUG_MAX: usize = 500;

    fn start(now: Time) -> (Self, Self::Machine) {
        let config = server::Config {
            max_payload: 1_000,
            ..server::Config::default()
        };
        let server = server::Server::new(config, "sid".into(), now);
        (Self::default(), server)
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<server::Input> {
        let frame = |frame| server::Input::Transport(Event::Frame(frame).into());
        Some(match kind % Self::KINDS {
            0 | 1 => frame(text("3")),
            2 => frame(message(a, b)),
            3 => server::Input::Send(message(a, b)),
            4 => server::Input::SendEncoded(message(a, b)),
            5 if a % 16 == 0 => frame(Peer::default().odd(b, a)),
            6 if a % 32 == 0 => server::Input::Transport(closed(b).into()),
            7 if a % 32 == 0 => server::Input::Close,
            _ => return None,
        })
    }

    fn heard(&mut self, output: &server::Output) {
        self.over |= matches!(output, server::Output::Closed(_));
    }

    fn end(&mut self) -> server::Input {
        server::Input::Close
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

/// The server end of a session that polls first, and mostly moves to a WebSocket later.
#[derive(Clone, Debug, Default)]
pub struct PollingServer {
    calls: u64,
    conns: u64,
    poll: Option<CallId>,
    posting: Option<CallId>,
    upgrade: Upgrade,
    over: bool,
}

/// How far the client has come with its WebSocket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Upgrade {
    #[default]
    None,
    Open,
    Probed,
    Done,
}

impl PollingServer {
    fn call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    fn poll(&mut self) -> server::Input {
        let call = self.call();
        self.poll = Some(call);
        server::Input::Transport(ServerEvent::Poll { call })
    }

    /// The end of a post that has begun, or a whole one.
    fn post(&mut self, body: impl Into<Bytes>) -> server::Input {
        let call = self.posting.take().unwrap_or_else(|| self.call());
        let body = body.into();
        server::Input::Transport(ServerEvent::Post { call, body })
    }

    fn pong(&mut self) -> server::Input {
        if self.upgrade == Upgrade::Done {
            server::Input::Transport(Event::Frame(text("3")).into())
        } else {
            self.post("3")
        }
    }

    /// The next step of an upgrade.
    fn upgrade(&mut self) -> server::Input {
        let (upgrade, packet) = match self.upgrade {
            Upgrade::None => {
                self.upgrade = Upgrade::Open;
                return self.accepted();
            }
            Upgrade::Open => (Upgrade::Probed, "2probe"),
            Upgrade::Probed => (Upgrade::Done, "5"),
            Upgrade::Done => (Upgrade::Done, "4moved"),
        };
        self.upgrade = upgrade;
        server::Input::Transport(Event::Frame(text(packet)).into())
    }

    fn accepted(&mut self) -> server::Input {
        self.conns += 1;
        server::Input::Transport(ServerEvent::Accepted(ConnId(self.conns)))
    }
}

impl Subject for PollingServer {
    type Input = server::Input;
    type Output = server::Output;
    type Machine = server::Server;

    const KINDS: u8 = 14;
    const DEBUG_MAX: usize = 5_000;

    fn start(now: Time) -> (Self, Self::Machine) {
        let config = server::Config {
            max_payload: 1_000,
            polling: PollingConfig {
                queue_bytes_max: 1_200,
                queue_packets_max: 40,
                ..PollingConfig::default()
            },
            ..server::Config::default()
        };
        let server = server::Server::polling(config, "sid".into(), now);
        (Self::default(), server)
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<server::Input> {
        Some(match kind % Self::KINDS {
            0 if self.poll.is_none() && self.upgrade != Upgrade::Done => self.poll(),
            0 | 1 => self.pong(),
            2 => {
                let messages = "4a\u{1e}bAQID\u{1e}".repeat((b % 8) as usize);
                self.post(format!("{messages}3"))
            }
            3 if a % 8 == 7 => server::Input::Send(text("4a\u{1e}b")),
            3 => server::Input::Send(message(a, b)),
            4 => server::Input::SendEncoded(message(a, b)),
            5 => self.upgrade(),
            6 if self.posting.is_none() || a % 4 == 0 => {
                let call = self.call();
                self.posting = Some(call);
                server::Input::Transport(ServerEvent::Posting { call })
            }
            7 if a % 8 == 0 => match Peer::default().odd(b, a) {
                Frame::Text(body) => self.post(body.into_bytes()),
                Frame::Binary(body) => self.post(body),
            },
            8 if a % 16 == 0 => server::Input::Transport(ServerEvent::Gone {
                call: CallId(self.calls.saturating_sub(b % 3)),
            }),
            9 if self.poll.is_none() || a % 16 == 0 => self.poll(),
            10 if a % 4 == 0 => self.accepted(),
            11 if a % 16 == 0 => {
                server::Input::Transport(Event::Frame(Peer::default().odd(b, a)).into())
            }
            12 if a % 16 == 0 => server::Input::Transport(closed(b).into()),
            13 if a % 16 == 0 => server::Input::Close,
            _ => return None,
        })
    }

    fn heard(&mut self, output: &server::Output) {
        match output {
            server::Output::Transport(ServerAction::Answer { call, .. }) => {
                self.poll.take_if(|it| it == call);
                self.posting.take_if(|it| it == call);
            }
            server::Output::Transport(ServerAction::WebSocket(Action::Close)) => {
                self.upgrade = Upgrade::None
            }
            server::Output::Closed(_) => self.over = true,
            server::Output::Transport(
                ServerAction::WebSocket(Action::Send(_))
                | ServerAction::Refused(_)
                | ServerAction::Farewell(_),
            )
            | server::Output::Unsent(_)
            | server::Output::Message(_) => {}
        }
    }

    fn end(&mut self) -> server::Input {
        server::Input::Close
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn of_input(input: &server::Input) -> Option<Traffic> {
        match input {
            server::Input::Transport(
                ServerEvent::Poll { call }
                | ServerEvent::Posting { call }
                | ServerEvent::Post { call, .. },
            ) => Some(Traffic::Call(("http", call.0))),
            server::Input::Transport(ServerEvent::Gone { call }) => {
                Some(Traffic::Gone(("http", call.0)))
            }
            server::Input::Transport(ServerEvent::WebSocket(_) | ServerEvent::Accepted(_))
            | server::Input::Send(_)
            | server::Input::SendEncoded(_)
            | server::Input::Close => None,
        }
    }

    fn of_output(output: &server::Output) -> Option<Traffic> {
        if let server::Output::Transport(ServerAction::Answer { call, .. }) = output {
            Some(Traffic::Reply(("http", call.0)))
        } else {
            None
        }
    }
}

/// A message packet, of up to 1,200 bytes.
pub(super) fn message(a: u64, b: u64) -> Frame {
    let content = format!("4{}", "m".repeat((b % 300 * (a % 16) / 4) as usize));
    match a % 4 {
        0 => Frame::Binary(Bytes::from(content)),
        _ => text(&content),
    }
}
