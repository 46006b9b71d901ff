//! The client end of an Engine.IO connection.
//!
//! A session lives on a WebSocket from its start ([`Client::new`]), or starts by polling
//! ([`Client::polling`]) and may move. While it polls, one poll is always open, and what is sent
//! waits in a queue for the next post; one post is under way at a time, because the server could
//! not tell the order of two. A WebSocket is dialed and probed beside the polling. When it has
//! proved that it works, the session falls silent: no poll and no post is begun, what is sent waits,
//! and the requests under way come to their end, so that whatever they carry comes before anything
//! on the WebSocket, in both directions. Then it moves. What goes wrong with the WebSocket before
//! that is no harm to the session, which goes on polling.
//!
//! ```text
//! polling() --> OPENING     Get without a sid
//!                  | the answer begins with the handshake
//!                  v
//!               POLLING <---------------------------------+
//!                  | at once, if both ends want it: Dial  | the dial fails, the WebSocket ends
//!                  v                                      | or says anything else, or it takes
//!               PROBING ----------------------------------+ too long: it is closed
//!                  | `3probe` for its `2probe`            |
//!                  v                                      |
//!               MOVING -----------------------------------+
//!                  | the last poll and the last post have ended: `5`, then the queue
//!                  v
//! new() -----> WEBSOCKET
//!
//! any of them --> CLOSED: what is queued and `1` are posted, the poll is given up, then Closed is
//!                 the last output
//! ```

mod io;
mod polling;
mod upgrade;

use alloc::{boxed::Box, vec::Vec};
use core::mem;

use bytes::Bytes;

pub use self::io::{Config, Input, Output, Refusal};
use self::polling::{Polling, Purpose};
use super::{
    CloseReason, Handshake, Heartbeat, packet,
    packet::{Packet, Size},
    payload,
    transport::{Answer, ClientAction, ClientEvent, Exchange},
};
use crate::{
    canonical,
    http::Failure,
    machine::{Machine, Wakeup, earliest},
    request::RequestId,
    time::Time,
    ws,
};

/// The client machine, made when its WebSocket is open or is to be done without.
///
/// It waits for the handshake, answers pings, and gives up when nothing at all arrives for
/// `interval + timeout`. [`Output::Closed`] is its last output: after it there is none, and no
/// wake-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    state: State,
    link: Link,
}
canonical!(struct Client { state, link });

/// How the server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Link {
    WebSocket,
    Polling(Box<Polling>),
}
canonical!(
    enum Link {
        WebSocket,
        Polling(polling),
    }
);

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

impl Client {
    /// A client on a WebSocket that opened at `now`.
    pub fn new(config: Config, now: Time) -> Self {
        Self {
            state: State::Opening {
                expires_at: now + config.handshake_timeout,
            },
            link: Link::WebSocket,
        }
    }

    /// A client that begins a session by polling, at `now`. With `upgrade` it moves to a WebSocket
    /// where the server offers that.
    pub fn polling(config: Config, upgrade: bool, now: Time) -> Self {
        Self {
            state: State::Opening {
                expires_at: now + config.handshake_timeout,
            },
            link: Link::Polling(Box::new(Polling::new(config, upgrade, now))),
        }
    }

    /// Whether packets of these sizes can be sent one after another, all of them.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, packets: impl IntoIterator<Item = Size>) -> Result<(), Refusal> {
        match &self.state {
            State::Opening { .. } | State::Closed => Err(Refusal::NotOpen),
            State::Open { max_payload, .. } => match &self.link {
                Link::WebSocket => packets.into_iter().try_for_each(|size| {
                    if size.in_frame() <= *max_payload {
                        Ok(())
                    } else {
                        Err(Refusal::TooLarge)
                    }
                }),
                Link::Polling(polling) => polling.check(packets, *max_payload),
            },
        }
    }

    /// Whether the session is carried by HTTP requests: it has not started on a WebSocket, or moved
    /// to one.
    pub fn is_polling(&self) -> bool {
        match self.link {
            Link::WebSocket => false,
            Link::Polling(_) => true,
        }
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        match self.state {
            State::Opening { .. } | State::Open { .. } => false,
            State::Closed => true,
        }
    }

    fn close(&mut self, now: Time, reason: CloseReason, out: &mut Vec<Output>) {
        match mem::replace(&mut self.link, Link::WebSocket) {
            Link::WebSocket => match reason {
                CloseReason::Transport(_) => {}
                CloseReason::PingTimeout
                | CloseReason::HandshakeTimeout
                | CloseReason::Peer
                | CloseReason::BadPacket(_)
                | CloseReason::BadPayload(_)
                | CloseReason::Polling(_)
                | CloseReason::Refused { .. }
                | CloseReason::Unanswered(_)
                | CloseReason::Local => out.push(websocket(ws::Action::Close)),
            },
            Link::Polling(polling) => polling.end(now, &reason, self.max_payload(), out),
        }
        self.state = State::Closed;
        out.push(Output::Closed(reason));
    }

    fn max_payload(&self) -> u64 {
        match self.state {
            State::Opening { .. } | State::Closed => u64::MAX,
            State::Open { max_payload, .. } => max_payload,
        }
    }

    fn on_websocket(&mut self, now: Time, event: ws::Event, out: &mut Vec<Output>) {
        match (&mut self.link, event) {
            (Link::WebSocket, ws::Event::Frame(frame)) => match packet::decode(frame) {
                Ok(packet) => self.on_packet(now, packet, out),
                Err(error) => self.close(now, CloseReason::BadPacket(error), out),
            },
            (Link::WebSocket, ws::Event::Closed(closed)) => {
                self.close(now, CloseReason::Transport(closed), out);
            }
            (Link::Polling(polling), ws::Event::Frame(frame)) => polling.on_probe(frame, out),
            (Link::Polling(polling), ws::Event::Closed(_)) => polling.probe = None,
        }
    }

    fn on_answered(
        &mut self,
        now: Time,
        id: RequestId<Exchange>,
        result: Result<Answer, Failure>,
        out: &mut Vec<Output>,
    ) {
        let Link::Polling(polling) = &mut self.link else {
            return;
        };
        let Some(purpose) = polling.requests.answer(id) else {
            return;
        };
        match (purpose, result) {
            (_, Err(failure)) => self.close(now, CloseReason::Unanswered(failure), out),
            (_, Ok(answer)) if answer.status != 200 => {
                self.close(now, CloseReason::refused(&answer), out);
            }
            (Purpose::Poll, Ok(answer)) => self.on_polled(now, answer.body, out),
            (Purpose::Post, Ok(_)) => {}
        }
    }

    /// The runtime bounds what it reads of an answer.
    fn on_polled(&mut self, now: Time, body: Bytes, out: &mut Vec<Output>) {
        match payload::decode(body, u64::MAX) {
            Ok(packets) => {
                for packet in packets {
                    // A packet may have been the end; what came in the same body after it is void.
                    if !self.is_closed() {
                        self.on_packet(now, packet, out);
                    }
                }
            }
            Err(error) => self.close(now, CloseReason::BadPayload(error), out),
        }
    }

    fn on_packet(&mut self, now: Time, packet: Packet, out: &mut Vec<Output>) {
        match &mut self.state {
            State::Closed => {}
            State::Opening { .. } => self.on_first(now, packet, out),
            State::Open {
                heartbeat,
                expires_at,
                ..
            } => {
                *expires_at = now + (heartbeat.interval + heartbeat.timeout);
                self.on_later(now, packet, out);
            }
        }
    }

    fn on_first(&mut self, now: Time, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::Open(content) => match Handshake::decode(&content) {
                Ok(handshake) => self.open(now, handshake, out),
                Err(error) => {
                    let error = packet::DecodeError::Handshake(error);
                    self.close(now, CloseReason::BadPacket(error), out);
                }
            },
            Packet::Close => self.close(now, CloseReason::Peer, out),
            Packet::Ping(_)
            | Packet::Pong(_)
            | Packet::Message(_)
            | Packet::Upgrade
            | Packet::Noop => {
                let error = packet::DecodeError::Unexpected(packet.name());
                self.close(now, CloseReason::BadPacket(error), out);
            }
        }
    }

    fn open(&mut self, now: Time, handshake: Handshake, out: &mut Vec<Output>) {
        let heartbeat = handshake.heartbeat;
        self.state = State::Open {
            heartbeat,
            max_payload: handshake.max_payload.unwrap_or(u64::MAX),
            expires_at: now + (heartbeat.interval + heartbeat.timeout),
        };
        out.push(Output::Opened(handshake.clone()));
        if let Link::Polling(polling) = &mut self.link {
            polling.open(now, handshake, out);
        }
    }

    /// A pong, an upgrade and a noop mean nothing here and are ignored, as the official client does.
    fn on_later(&mut self, now: Time, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::Ping(content) => self.put(now, packet::encode(Packet::Pong(content)), out),
            Packet::Message(frame) => out.push(Output::Message(frame)),
            Packet::Close => self.close(now, CloseReason::Peer, out),
            Packet::Open(_) => {
                let error = packet::DecodeError::Unexpected("open");
                self.close(now, CloseReason::BadPacket(error), out);
            }
            Packet::Pong(_) | Packet::Upgrade | Packet::Noop => {}
        }
    }

    /// Sends a packet, or queues it. A message has been checked; a pong for which there is no room
    /// shows that the server pings and takes no posts.
    fn put(&mut self, now: Time, frame: ws::Frame, out: &mut Vec<Output>) {
        match &mut self.link {
            Link::WebSocket => out.push(websocket(ws::Action::Send(frame))),
            Link::Polling(polling) => {
                if !polling.push(frame) {
                    self.close(now, CloseReason::Transport(ws::Closed::Overrun), out);
                }
            }
        }
    }

    /// `frame` is the whole packet. A machine that has slept past the heartbeat must not believe
    /// that the peer is still there, so the deadline is checked before anything is sent.
    fn send(&mut self, now: Time, frame: ws::Frame, out: &mut Vec<Output>) {
        self.tick(now, out);
        if self.is_closed() {
            return;
        }
        let is_carried = !self.is_polling() || payload::carries(&frame);
        if is_carried && self.check([Size::of(&frame)]).is_ok() {
            return self.put(now, frame, out);
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

    /// Begins the requests that are due, or moves to the WebSocket.
    fn proceed(&mut self, now: Time, out: &mut Vec<Output>) {
        let max = self.max_payload();
        let Link::Polling(polling) = &mut self.link else {
            return;
        };
        if !polling.is_moving() {
            polling.request(now, max, out);
        } else if polling.requests.is_empty() {
            out.push(websocket(ws::Action::Send(packet::encode(Packet::Upgrade))));
            let queued = mem::take(&mut polling.queue).into_iter();
            out.extend(queued.map(|frame| websocket(ws::Action::Send(frame))));
            self.link = Link::WebSocket;
            out.push(Output::Upgraded);
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
            Input::Transport(ClientEvent::WebSocket(event)) => self.on_websocket(now, event, out),
            Input::Transport(ClientEvent::Dialed(result)) => {
                if let Link::Polling(polling) = &mut self.link {
                    polling.on_dialed(result.is_ok(), out);
                }
            }
            Input::Transport(ClientEvent::Answered { id, result }) => {
                self.on_answered(now, id, result, out);
            }
            Input::Send(frame) => {
                let frame = packet::encode(Packet::Message(frame));
                self.send(now, frame, out);
            }
            Input::SendEncoded(frame) => self.send(now, frame, out),
            Input::Close => self.close(now, CloseReason::Local, out),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        match self.state {
            State::Opening { expires_at } if expires_at <= now => {
                self.close(now, CloseReason::HandshakeTimeout, out);
            }
            State::Open { expires_at, .. } if expires_at <= now => {
                self.close(now, CloseReason::PingTimeout, out);
            }
            State::Opening { .. } | State::Open { .. } | State::Closed => {}
        }
        if let Link::Polling(polling) = &mut self.link {
            polling.expire(now, out);
        }
        self.proceed(now, out);
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        let beat = match self.state {
            State::Opening { expires_at } => Some(Wakeup {
                at: expires_at,
                why: "engine.io handshake timeout",
            }),
            State::Open { expires_at, .. } => Some(Wakeup {
                at: expires_at,
                why: "engine.io ping timeout",
            }),
            State::Closed => None,
        };
        let polling = match &self.link {
            Link::WebSocket => None,
            Link::Polling(polling) => polling.next_wakeup(),
        };
        earliest([polling, beat])
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
