//! Both ends of Engine.IO under the laws.

use bytes::Bytes;
use selvedge_core::{
    Time,
    engineio::{client, server},
    ws::{Event, Frame},
};

use super::peer::{Peer, closed, text};
use crate::history::{Choice, Subject};

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
        let frame = |frame| client::Input::Transport(Event::Frame(frame));
        Some(match kind % Self::KINDS {
            0 => frame(self.peer.next(a, b)),
            1 => frame(Peer::ping()),
            2 => frame(self.peer.push("message.created", a, b)),
            3 => client::Input::Send(message(a, b)),
            4 => client::Input::SendEncoded(message(a, b)),
            5 if a % 16 == 0 => frame(self.peer.odd(b, a)),
            6 if a % 32 == 0 => client::Input::Transport(closed(b)),
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
        let frame = |frame| server::Input::Transport(Event::Frame(frame));
        Some(match kind % Self::KINDS {
            0 | 1 => frame(text("3")),
            2 => frame(message(a, b)),
            3 => server::Input::Send(message(a, b)),
            4 => server::Input::SendEncoded(message(a, b)),
            5 if a % 16 == 0 => frame(Peer::default().odd(b, a)),
            6 if a % 32 == 0 => server::Input::Transport(closed(b)),
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

fn message(a: u64, b: u64) -> Frame {
    let content = format!("4{}", "m".repeat((b % 300 * (a % 16) / 4) as usize));
    match a % 4 {
        0 => Frame::Binary(Bytes::from(content)),
        _ => text(&content),
    }
}
