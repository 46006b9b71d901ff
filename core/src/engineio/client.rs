//! The client end of an Engine.IO connection.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    CloseReason, Handshake, Heartbeat, packet,
    packet::Packet,
    transport::{ClientAction, ClientEvent},
};
use crate::{
    canonical,
    machine::{Machine, Wakeup},
    time::Time,
    ws,
};

/// How a client behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// From the open WebSocket to the server's handshake; 10 s by default. Raise it for servers
    /// that are slow to start; until it runs out a mute server holds the connection.
    pub handshake_timeout: Duration,
}
canonical!(struct Config { handshake_timeout });

impl Default for Config {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// The client machine, made when its WebSocket is open.
///
/// It waits for the handshake, answers pings, and gives up when nothing at all arrives for
/// `interval + timeout`. [`Output::Closed`] is its last output: after it there is none, and no
/// wake-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    state: State,
}
canonical!(struct Client { state });

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Opening {
        expires_at: Time,
    },
    Open {
        heartbeat: Heartbeat,
        max_payload: u64,
        expires_at: Time,
    },
    Closed,
}
canonical!(
    enum State {
        Opening { expires_at },
        Open { heartbeat, max_payload, expires_at },
        Closed,
    }
);

/// What can happen to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Something happened to what carries the session.
    Transport(ClientEvent),
    /// Send a message.
    Send(ws::Frame),
    /// Send a frame that already is a whole message packet: a text that starts with `4`, or binary.
    /// It is not copied.
    SendEncoded(ws::Frame),
    /// Close the connection.
    Close,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Do this with what carries the session.
    Transport(ClientAction),
    /// The handshake is done: messages can be sent.
    Opened(Handshake),
    /// A message arrived.
    Message(ws::Frame),
    /// A message was not sent: the connection is not open yet, or the message is larger than the
    /// server takes.
    Unsent(ws::Frame),
    /// The connection has ended.
    Closed(CloseReason),
}

impl Client {
    /// A client on a WebSocket that opened at `now`.
    pub fn new(config: Config, now: Time) -> Self {
        Self {
            state: State::Opening {
                expires_at: now + config.handshake_timeout,
            },
        }
    }

    /// Whether a packet of that many bytes, with its type, can be sent: the connection is open and
    /// the server takes as much.
    pub fn takes(&self, bytes: usize) -> bool {
        match &self.state {
            State::Opening { .. } | State::Closed => false,
            State::Open { max_payload, .. } => bytes as u64 <= *max_payload,
        }
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        match self.state {
            State::Opening { .. } | State::Open { .. } => false,
            State::Closed => true,
        }
    }

    fn close(&mut self, reason: CloseReason, out: &mut Vec<Output>) {
        match reason {
            CloseReason::Transport(_) => {}
            CloseReason::PingTimeout
            | CloseReason::HandshakeTimeout
            | CloseReason::Peer
            | CloseReason::BadPacket(_)
            | CloseReason::BadPayload(_)
            | CloseReason::Polling(_)
            | CloseReason::Local => out.push(websocket(ws::Action::Close)),
        }
        self.state = State::Closed;
        out.push(Output::Closed(reason));
    }

    fn on_frame(&mut self, now: Time, frame: ws::Frame, out: &mut Vec<Output>) {
        let packet = match packet::decode(frame) {
            Ok(packet) => packet,
            Err(error) => return self.close(CloseReason::BadPacket(error), out),
        };
        match &mut self.state {
            State::Closed => {}
            State::Opening { .. } => self.on_first(now, packet, out),
            State::Open {
                heartbeat,
                expires_at,
                ..
            } => {
                *expires_at = now + (heartbeat.interval + heartbeat.timeout);
                self.on_packet(packet, out);
            }
        }
    }

    fn on_first(&mut self, now: Time, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::Open(content) => match Handshake::decode(&content) {
                Ok(handshake) => {
                    let heartbeat = handshake.heartbeat;
                    self.state = State::Open {
                        heartbeat,
                        max_payload: handshake.max_payload.unwrap_or(u64::MAX),
                        expires_at: now + (heartbeat.interval + heartbeat.timeout),
                    };
                    out.push(Output::Opened(handshake));
                }
                Err(error) => {
                    let error = packet::DecodeError::Handshake(error);
                    self.close(CloseReason::BadPacket(error), out);
                }
            },
            Packet::Close => self.close(CloseReason::Peer, out),
            Packet::Ping(_)
            | Packet::Pong(_)
            | Packet::Message(_)
            | Packet::Upgrade
            | Packet::Noop => {
                let error = packet::DecodeError::Unexpected(packet.name());
                self.close(CloseReason::BadPacket(error), out);
            }
        }
    }

    /// A pong, an upgrade and a noop mean nothing here and are ignored, as the official client does.
    fn on_packet(&mut self, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::Ping(content) => {
                let pong = packet::encode(Packet::Pong(content));
                out.push(websocket(ws::Action::Send(pong)));
            }
            Packet::Message(frame) => out.push(Output::Message(frame)),
            Packet::Close => self.close(CloseReason::Peer, out),
            Packet::Open(_) => {
                let error = packet::DecodeError::Unexpected("open");
                self.close(CloseReason::BadPacket(error), out);
            }
            Packet::Pong(_) | Packet::Upgrade | Packet::Noop => {}
        }
    }

    /// `frame` is the whole packet. A machine that has slept past the heartbeat must not believe
    /// that the peer is still there, so the deadline is checked before anything is sent.
    fn send(&mut self, now: Time, frame: ws::Frame, out: &mut Vec<Output>) {
        self.tick(now, out);
        if self.is_closed() {
            return;
        }
        if self.takes(frame.len()) {
            out.push(websocket(ws::Action::Send(frame)));
            return;
        }
        match packet::decode(frame) {
            Ok(Packet::Message(content)) => out.push(Output::Unsent(content)),
            Ok(
                Packet::Open(_)
                | Packet::Close
                | Packet::Ping(_)
                | Packet::Pong(_)
                | Packet::Upgrade
                | Packet::Noop,
            )
            | Err(_) => {}
        }
    }
}

fn websocket(action: ws::Action) -> Output {
    Output::Transport(ClientAction::WebSocket(action))
}

impl Machine for Client {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        if self.is_closed() {
            return;
        }
        match input {
            Input::Transport(ClientEvent::WebSocket(ws::Event::Frame(frame))) => {
                self.on_frame(now, frame, out);
            }
            Input::Transport(ClientEvent::WebSocket(ws::Event::Closed(closed))) => {
                self.close(CloseReason::Transport(closed), out);
            }
            // It has dialed nothing and asked nothing.
            Input::Transport(ClientEvent::Dialed(_) | ClientEvent::Answered { .. }) => {}
            Input::Send(frame) => {
                let frame = packet::encode(Packet::Message(frame));
                self.send(now, frame, out);
            }
            Input::SendEncoded(frame) => self.send(now, frame, out),
            Input::Close => self.close(CloseReason::Local, out),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        match self.state {
            State::Opening { expires_at } if expires_at <= now => {
                self.close(CloseReason::HandshakeTimeout, out);
            }
            State::Open { expires_at, .. } if expires_at <= now => {
                self.close(CloseReason::PingTimeout, out);
            }
            State::Opening { .. } | State::Open { .. } | State::Closed => {}
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        match self.state {
            State::Opening { expires_at } => Some(Wakeup {
                at: expires_at,
                why: "engine.io handshake timeout",
            }),
            State::Open { expires_at, .. } => Some(Wakeup {
                at: expires_at,
                why: "engine.io ping timeout",
            }),
            State::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::machine::step;

    const HANDSHAKE: &str =
        r#"0{"sid":"x","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":10}"#;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn text(content: &str) -> ws::Frame {
        ws::Frame::Text(content.into())
    }

    fn frame(content: &str) -> Option<Input> {
        Some(Input::Transport(ws::Event::Frame(text(content)).into()))
    }

    fn sent(content: &str) -> Output {
        websocket(ws::Action::Send(text(content)))
    }

    fn closed(reason: CloseReason) -> Vec<Output> {
        vec![websocket(ws::Action::Close), Output::Closed(reason)]
    }

    fn unexpected(name: &'static str) -> CloseReason {
        CloseReason::BadPacket(packet::DecodeError::Unexpected(name))
    }

    fn run(client: &mut Client, now: u64, input: Option<Input>) -> Vec<Output> {
        let mut out = Vec::new();
        step(client, ms(now), input, &mut out);
        out
    }

    fn opened() -> Client {
        let mut client = Client::new(Config::default(), ms(0));
        let out = run(&mut client, 1_000, frame(HANDSHAKE));
        assert!(matches!(out.as_slice(), [Output::Opened(_)]), "{out:?}");
        client
    }

    #[test]
    fn a_ping_is_answered_and_messages_go_both_ways() {
        let mut client = opened();
        assert_eq!(run(&mut client, 1_300, frame("2")), [sent("3")]);
        assert_eq!(run(&mut client, 1_300, frame("2abc")), [sent("3abc")]);
        assert_eq!(
            run(&mut client, 1_301, frame("4hi")),
            [Output::Message(text("hi"))]
        );
        let send = |content| Some(Input::Send(text(content)));
        assert_eq!(
            run(&mut client, 1_302, send("123456789")),
            [sent("4123456789")]
        );
        assert_eq!(
            run(&mut client, 1_302, send("1234567890")),
            [Output::Unsent(text("1234567890"))]
        );
        let encoded = Some(Input::SendEncoded(text("4x")));
        assert_eq!(run(&mut client, 1_302, encoded), [sent("4x")]);
        assert_eq!(
            run(&mut client, 1_303, Some(Input::Close)),
            closed(CloseReason::Local)
        );
    }

    #[test]
    fn silence_ends_the_connection_and_any_traffic_is_a_sign_of_life() {
        let mut client = opened();
        assert_eq!(client.next_wakeup().unwrap().at, ms(1_500));
        assert_eq!(run(&mut client, 1_499, frame("6")), []);
        assert_eq!(client.next_wakeup().unwrap().at, ms(1_999));
        assert_eq!(run(&mut client, 1_998, None), []);
        assert_eq!(
            run(&mut client, 1_999, None),
            closed(CloseReason::PingTimeout)
        );
        assert_eq!(client.next_wakeup(), None);
        assert_eq!(run(&mut client, 9_999, frame("2")), []);
        assert_eq!(run(&mut client, 9_999, Some(Input::Close)), []);
    }

    #[test]
    fn a_machine_that_slept_does_not_send_into_a_dead_connection() {
        let mut client = opened();
        let send = Some(Input::Send(text("a")));
        assert_eq!(
            run(&mut client, 60_000, send),
            closed(CloseReason::PingTimeout)
        );
    }

    #[test]
    fn the_handshake_comes_first_and_in_time() {
        let mut client = Client::new(Config::default(), ms(0));
        assert_eq!(
            run(&mut client, 1, Some(Input::Send(text("a")))),
            [Output::Unsent(text("a"))]
        );
        assert_eq!(
            run(&mut client, 10_000, None),
            closed(CloseReason::HandshakeTimeout)
        );
        for (first, reason) in [
            ("4hi", unexpected("message")),
            ("2", unexpected("ping")),
            ("6", unexpected("noop")),
            ("1", CloseReason::Peer),
            (
                "x",
                CloseReason::BadPacket(packet::DecodeError::UnknownType('x')),
            ),
        ] {
            let mut client = Client::new(Config::default(), ms(0));
            assert_eq!(run(&mut client, 1, frame(first)), closed(reason), "{first}");
        }
        let mut client = Client::new(Config::default(), ms(0));
        let out = run(&mut client, 1, frame("0{}"));
        assert!(
            matches!(
                out.as_slice(),
                [
                    Output::Transport(ClientAction::WebSocket(ws::Action::Close)),
                    Output::Closed(CloseReason::BadPacket(packet::DecodeError::Handshake(_)))
                ]
            ),
            "{out:?}"
        );
    }

    #[test]
    fn a_second_handshake_is_refused_and_what_means_nothing_is_ignored() {
        let mut client = opened();
        for nothing in ["3", "3probe", "5", "6"] {
            assert_eq!(run(&mut client, 1_001, frame(nothing)), []);
        }
        let broken = ws::Closed::Broken("reset".into());
        let mut other = client.clone();
        assert_eq!(
            run(&mut client, 1_002, frame(HANDSHAKE)),
            closed(unexpected("open"))
        );
        let gone = Some(Input::Transport(ws::Event::Closed(broken.clone()).into()));
        assert_eq!(
            run(&mut other, 1_002, gone),
            [Output::Closed(CloseReason::Transport(broken))]
        );
    }
}
