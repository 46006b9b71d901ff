//! A link on Fabric's realtime protocol under the laws.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use selvedge_core::{
    RequestId, Rng, Secret, Time,
    fabric::{
        realtime::Entry,
        session::{Command, Realtime},
    },
    id::ChannelId,
    link::{self, Authorize, AuthorizeFailure, Input, Link, Output, backoff},
    socketio::client,
    ws::{Action, ConnId, Event, Frame},
};

use super::peer::{Peer, closed, take};
use crate::history::{Choice, Subject, Traffic, Wire};

/// A link, with an owner and a guild.
#[derive(Clone, Debug, Default)]
pub struct RealtimeLink {
    asked: Vec<RequestId<Authorize>>,
    asked_ever: Vec<RequestId<Authorize>>,
    dialing: Vec<ConnId>,
    peers: BTreeMap<ConnId, Peer>,
    next_join: u64,
    over: bool,
}

impl RealtimeLink {
    /// One of the connections, mostly the newest.
    fn conn(&self, a: u64) -> ConnId {
        let at = self.peers.len().saturating_sub(1 + (a as usize) % 3 / 2);
        self.peers.keys().nth(at).copied().unwrap_or(ConnId(0))
    }

    fn frame(&mut self, a: u64, frame: impl FnOnce(&mut Peer) -> Frame) -> Input<Realtime> {
        let conn = self.conn(a);
        let mut nobody = Peer::default();
        let peer = self.peers.get_mut(&conn).unwrap_or(&mut nobody);
        Input::Transport(conn, Event::Frame(frame(peer)))
    }

    fn dialed(&mut self, a: u64, good: bool) -> Option<Input<Realtime>> {
        let conn = take(&mut self.dialing, a)?;
        if !good {
            return Some(Input::Dialed(conn, Err("refused".to_string())));
        }
        self.peers.insert(conn, Peer::default());
        Some(Input::Dialed(conn, Ok(())))
    }

    fn plausible(&mut self, a: u64, b: u64) -> Option<Input<Realtime>> {
        if let Some(id) = take(&mut self.asked, a) {
            return Some(Input::Authorized(id, Ok(Secret::new("token"))));
        }
        if let Some(dialed) = self.dialed(a, true) {
            return Some(dialed);
        }
        if self.peers.is_empty() {
            return None;
        }
        Some(self.frame(a, |peer| peer.next(a, b)))
    }
}

impl Subject for RealtimeLink {
    type Input = Input<Realtime>;
    type Output = Output<Realtime>;
    type Machine = Link<Realtime>;

    const KINDS: u8 = 18;
    /// Two connections, each with 8 early events of about 300 bytes, and 4 calls.
    const DEBUG_MAX: usize = 20_000;

    fn start(_: Time) -> (Self, Link<Realtime>) {
        let client = Arc::new(client::Config {
            calls_max: 4,
            early_events_max: 8,
            ..client::Config::default()
        });
        let realtime = Realtime::new(client, Duration::from_secs(10), true);
        let config = link::Config {
            step_timeout: Duration::from_secs(10),
            rotation_timeout: Duration::from_secs(30),
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
                let entry = Entry {
                    channel_id: ChannelId::new(&format!("c{}", a % 5))?,
                    fresh: b % 2 == 0,
                };
                Input::Command(self.conn(b), Command::Join(id, entry))
            }
            9 => {
                let channel = ChannelId::new(&format!("c{}", a % 5))?;
                Input::Command(self.conn(b), Command::Leave(channel))
            }
            10 => Input::Live(self.conn(a)),
            11 => self.frame(a / 5, |peer| peer.push("message.created", a, b)),
            12 if a % 4 == 0 => self.frame(a / 4, |peer| peer.odd(b, a)),
            13 if a % 4 == 0 => {
                let conn = self.conn(a / 4);
                self.peers.remove(&conn);
                Input::Transport(conn, closed(b))
            }
            14 => Input::Rotate(self.conn(a), "deaf".to_string()),
            15 if a % 32 == 0 || (a % 4 == 0 && !self.asked.is_empty()) => self.end(),
            16 if a % 8 == 0 => Input::Rest,
            17 => Input::Wake,
            _ => return None,
        })
    }

    fn heard(&mut self, output: &Output<Realtime>) {
        match output {
            Output::Authorize { id, .. } => {
                self.asked.push(*id);
                self.asked_ever.push(*id);
            }
            Output::Forget(id) => self.asked.retain(|asked| asked != id),
            Output::Dial(conn) => self.dialing.push(*conn),
            Output::HangUp(conn) => {
                self.dialing.retain(|dialing| dialing != conn);
                self.peers.remove(conn);
            }
            Output::Transport(conn, Action::Close) => {
                self.peers.remove(conn);
            }
            Output::Transport(conn, action @ Action::Send(_)) => {
                if let Some(peer) = self.peers.get_mut(conn) {
                    peer.on_action(action);
                }
            }
            Output::Up(_)
            | Output::Event(..)
            | Output::Replaced { .. }
            | Output::NotReplaced { .. }
            | Output::Down { .. } => {}
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
            | Input::Command(..)
            | Input::Live(_)
            | Input::Rotate(..)
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
            Output::Authorize { .. }
            | Output::Forget(_)
            | Output::Dial(_)
            | Output::Up(_)
            | Output::Event(..)
            | Output::Replaced { .. }
            | Output::NotReplaced { .. }
            | Output::Down { .. } => None,
        }
    }

    fn of_output(output: &Output<Realtime>) -> Option<Traffic> {
        match output {
            Output::Authorize { id, .. } => Some(Traffic::Ask(("authorize", id.number()))),
            Output::Forget(id) => Some(Traffic::Forget(("authorize", id.number()))),
            Output::Dial(_)
            | Output::HangUp(_)
            | Output::Transport(..)
            | Output::Up(_)
            | Output::Event(..)
            | Output::Replaced { .. }
            | Output::NotReplaced { .. }
            | Output::Down { .. } => None,
        }
    }
}
