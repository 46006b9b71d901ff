//! A link on Fabric's realtime protocol under the laws.

use std::{sync::Arc, time::Duration};

use selvedge_core::{
    RequestId, Rng, Secret, Time,
    fabric::session::{Command, Realtime},
    id::ChannelId,
    link::{self, Authorize, AuthorizeFailure, Input, Link, Output, backoff},
    socketio::client,
    ws::{Action, ConnId, Event},
};

use super::peer::{Peer, closed, take};
use crate::history::{Choice, Subject, Traffic, Wire};

/// A link, with an owner and a guild.
#[derive(Clone, Debug, Default)]
pub struct RealtimeLink {
    asked: Vec<RequestId<Authorize>>,
    asked_ever: Vec<RequestId<Authorize>>,
    dialing: Vec<ConnId>,
    conn: Option<ConnId>,
    peer: Peer,
    next_join: u64,
    over: bool,
}

impl RealtimeLink {
    fn conn(&self) -> ConnId {
        self.conn.unwrap_or(ConnId(0))
    }

    fn frame(&self, frame: selvedge_core::ws::Frame) -> Input<Realtime> {
        Input::Transport(self.conn(), Event::Frame(frame))
    }

    fn dialed(&mut self, a: u64, good: bool) -> Option<Input<Realtime>> {
        let conn = take(&mut self.dialing, a)?;
        if !good {
            return Some(Input::Dialed(conn, Err("refused".to_string())));
        }
        self.conn = Some(conn);
        self.peer = Peer::default();
        Some(Input::Dialed(conn, Ok(())))
    }

    fn plausible(&mut self, a: u64, b: u64) -> Option<Input<Realtime>> {
        if let Some(id) = take(&mut self.asked, a) {
            return Some(Input::Authorized(id, Ok(Secret::new("token"))));
        }
        if let Some(dialed) = self.dialed(a, true) {
            return Some(dialed);
        }
        self.conn?;
        let frame = self.peer.next(a, b);
        Some(self.frame(frame))
    }
}

impl Subject for RealtimeLink {
    type Input = Input<Realtime>;
    type Output = Output<Realtime>;
    type Machine = Link<Realtime>;

    const KINDS: u8 = 18;
    /// 8 early events of about 300 bytes, and 4 calls.
    const DEBUG_MAX: usize = 20_000;

    fn start(_: Time) -> (Self, Link<Realtime>) {
        let realtime = Realtime {
            client: Arc::new(client::Config {
                calls_max: 4,
                early_events_max: 8,
                ..client::Config::default()
            }),
            join_patience: Duration::from_secs(10),
            join_acks: true,
        };
        let config = link::Config {
            step_timeout: Duration::from_secs(10),
            backoff: backoff::Config::default(),
            first_conn: 0,
        };
        let link = Link::new(config, realtime, Rng::from_number(7));
        (Self::default(), link)
    }

    fn decode(&mut self, Choice { kind, a, b }: Choice) -> Option<Input<Realtime>> {
        Some(match kind % Self::KINDS {
            0..=2 => return self.plausible(a, b),
            3 => {
                let id = take(&mut self.asked, a)?;
                let why = "none".to_string();
                let failure = match b % 2 {
                    0 => AuthorizeFailure::Unavailable(why),
                    _ => AuthorizeFailure::Denied(why),
                };
                Input::Authorized(id, Err(failure))
            }
            4 => {
                let late = take(&mut self.asked_ever.clone(), a);
                let id = late.unwrap_or_else(|| RequestId::from_number(b));
                self.asked.retain(|asked| *asked != id);
                Input::Authorized(id, Ok(Secret::new("late")))
            }
            5 => return self.dialed(a, false),
            6 => Input::Dialed(ConnId(b % 64), Ok(())),
            7 | 8 => {
                self.next_join += 1;
                let id = RequestId::from_number(self.next_join);
                let channel = ChannelId::new(&format!("c{}", a % 5))?;
                Input::Command(Command::Join(id, channel))
            }
            9 => Input::Command(Command::Leave(ChannelId::new(&format!("c{}", a % 5))?)),
            10 => Input::Live,
            11 => {
                let frame = self.peer.push("message.created", a, b);
                self.frame(frame)
            }
            12 if a % 4 == 0 => {
                let frame = self.peer.odd(b, a);
                self.frame(frame)
            }
            13 if a % 4 == 0 => Input::Transport(self.conn(), closed(b)),
            14 if a % 4 == 0 => Input::Reconnect("deaf".to_string()),
            15 if a % 32 == 0 || (a % 4 == 0 && !self.asked.is_empty()) => self.end(),
            16 if a % 8 == 0 => Input::Rest,
            17 => Input::Wake,
            _ => return None,
        })
    }

    fn heard(&mut self, output: &Output<Realtime>) {
        match output {
            Output::Authorize(id) => {
                self.asked.push(*id);
                self.asked_ever.push(*id);
            }
            Output::Forget(id) => self.asked.retain(|asked| asked != id),
            Output::Dial(conn) => self.dialing.push(*conn),
            Output::HangUp(conn) => self.dialing.retain(|dialing| dialing != conn),
            Output::Transport(conn, action) => {
                if self.conn == Some(*conn) {
                    self.peer.on_action(action);
                }
            }
            Output::Up | Output::Event(_) | Output::Down { .. } => {}
        }
    }

    fn end(&mut self) -> Input<Realtime> {
        self.over = true;
        Input::Shutdown
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn of_input(input: &Input<Realtime>) -> Option<Traffic> {
        match input {
            Input::Authorized(id, _) => Some(Traffic::Answer(("authorize", id.number()))),
            Input::Dialed(..)
            | Input::Transport(..)
            | Input::Command(_)
            | Input::Live
            | Input::Reconnect(_)
            | Input::Rest
            | Input::Wake
            | Input::Shutdown => None,
        }
    }

    fn on_wire(output: &Output<Realtime>) -> Option<Wire> {
        match output {
            Output::Transport(conn, Action::Send(_)) => Some(Wire::Uses(*conn)),
            Output::Transport(conn, Action::Close) | Output::HangUp(conn) => {
                Some(Wire::Ends(*conn))
            }
            Output::Authorize(_)
            | Output::Forget(_)
            | Output::Dial(_)
            | Output::Up
            | Output::Event(_)
            | Output::Down { .. } => None,
        }
    }

    fn of_output(output: &Output<Realtime>) -> Option<Traffic> {
        match output {
            Output::Authorize(id) => Some(Traffic::Ask(("authorize", id.number()))),
            Output::Forget(id) => Some(Traffic::Forget(("authorize", id.number()))),
            Output::Dial(_)
            | Output::HangUp(_)
            | Output::Transport(..)
            | Output::Up
            | Output::Event(_)
            | Output::Down { .. } => None,
        }
    }
}
