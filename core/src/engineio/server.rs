//! The server end of an Engine.IO connection.
//!
//! A session lives on a WebSocket from its start ([`Server::new`]), or starts by polling
//! ([`Server::polling`]) and may move. While it polls, packets wait in a queue for the next poll,
//! and a poll for the next packet; requests come in as calls, each answered once. A WebSocket that
//! the client opens for the session is first probed beside the polling. From the moment the client
//! knows that it works until it moves, no poll waits for longer than 100 ms, because the client
//! waits for its poll before it moves; and no ping is begun, because its pong could come on neither
//! side. When it moves, all that waits goes onto the WebSocket before anything newer. What goes wrong
//! with a WebSocket before that is no harm to the session.
//!
//! ```text
//! polling() --> POLLING <---------------------------------+
//!                  | Accepted                             | the WebSocket ends, or says
//!                  v                                      | anything else, or does not
//!               PROBING ----------------------------------+ move in time: it is closed
//!                  | `2probe`: answer `3probe`            |
//!                  v                                      |
//!               MOVING -----------------------------------+
//!                  | a poll gets what waits, or `6`
//!                  | `5`: the open poll gets `6`, the queue is sent
//!                  v
//! new() -----> WEBSOCKET    Poll, Post: 400    Accepted: Refused
//!
//! any of them --> CLOSED: open calls are answered, then Closed is the last output
//! ```

mod requests;

use alloc::{boxed::Box, vec::Vec};
use core::{borrow::Borrow, mem};

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use super::{
    CloseReason, Handshake, Heartbeat, PollingConfig,
    packet::{self, Packet, Size},
    payload,
    polling::Polling,
    transport::{ServerAction, ServerEvent},
};
use crate::{
    canonical,
    machine::{Machine, Wakeup, earliest},
    time::Time,
    ws,
};

/// How a server behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// When to ping, and how long to wait for a pong.
    pub heartbeat: Heartbeat,
    /// The largest packet, and the largest body, that is taken, in bytes with the packet's type;
    /// 1,000,000 by default, as in the official server. A client that sends more is disconnected.
    /// A poll is answered with at most as much, or with one packet. Each connection can make
    /// the process hold as much.
    pub max_payload: u64,
    /// How a session that polls is served.
    pub polling: PollingConfig,
}
canonical!(struct Config { heartbeat, max_payload, polling });

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Heartbeat::default(),
            max_payload: 1_000_000,
            polling: PollingConfig::default(),
        }
    }
}

/// The server machine, made when its WebSocket is open or its first poll has come.
///
/// Its first step sends the handshake. It pings `interval` after the handshake and after every
/// pong, and closes when a pong takes longer than `timeout`: other traffic does not stand in for
/// a pong, as in the official server. [`Output::Closed`] is its last output: after it there is
/// none, and no wake-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    heartbeat: Heartbeat,
    max_payload: u64,
    state: State,
    link: Link,
}
canonical!(struct Server { heartbeat, max_payload, state, link });

/// How the client is reached.
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
    /// The handshake is not sent yet.
    Fresh {
        sid: ByteString,
        since: Time,
    },
    /// The next ping is set.
    Quiet {
        ping_at: Time,
    },
    /// A pong is due.
    Pinged {
        expires_at: Time,
    },
    Closed,
}
canonical!(
    enum State {
        Fresh { sid, since },
        Quiet { ping_at },
        Pinged { expires_at },
        Closed,
    }
);

/// What can happen to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Something happened to what carries the session.
    Transport(ServerEvent),
    /// Send a message.
    Send(ws::Frame),
    /// Send a frame that already is a whole message packet: a text that starts with `4`, or binary.
    /// It is not copied.
    SendEncoded(ws::Frame),
    /// Close the connection.
    Close,
}

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Do this with what carries the session.
    Transport(ServerAction),
    /// A message was not sent: a text that holds [`payload::SEPARATOR`] cannot be polled.
    Unsent(ws::Frame),
    /// A message arrived.
    Message(ws::Frame),
    /// The connection has ended.
    Closed(CloseReason),
}

impl Server {
    /// A server on a WebSocket that opened at `now`. `sid` names the session to the client: the
    /// runtime makes it, unguessable.
    pub fn new(config: impl Borrow<Config>, sid: ByteString, now: Time) -> Self {
        Self::over(Link::WebSocket, config.borrow(), sid, now)
    }

    /// A server for a client that polled without a session at `now`: hand that poll to it first.
    pub fn polling(config: impl Borrow<Config>, sid: ByteString, now: Time) -> Self {
        let config = config.borrow();
        let polling = Polling::new(config.polling.clone());
        Self::over(Link::Polling(Box::new(polling)), config, sid, now)
    }

    fn over(link: Link, config: &Config, sid: ByteString, now: Time) -> Self {
        Self {
            heartbeat: config.heartbeat,
            max_payload: config.max_payload,
            state: State::Fresh { sid, since: now },
            link,
        }
    }

    /// Whether the client polls: it has not started on a WebSocket, or moved to one.
    pub fn is_polling(&self) -> bool {
        match self.link {
            Link::WebSocket => false,
            Link::Polling(_) => true,
        }
    }

    /// Whether the client can be sent messages of these sizes at once, with a small one after them.
    pub fn has_room(&self, messages: impl IntoIterator<Item = Size>) -> bool {
        match &self.link {
            Link::WebSocket => true,
            Link::Polling(polling) => polling.has_room(messages),
        }
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        match self.state {
            State::Fresh { .. } | State::Quiet { .. } | State::Pinged { .. } => false,
            State::Closed => true,
        }
    }

    /// Whether [`Input::SendEncoded`] leads to its frame on the WebSocket, and to nothing else.
    pub(crate) fn is_direct(&self) -> bool {
        let is_open = match self.state {
            State::Quiet { .. } | State::Pinged { .. } => true,
            State::Fresh { .. } | State::Closed => false,
        };
        is_open && !self.is_polling()
    }

    fn open(&mut self, now: Time, out: &mut Vec<Output>) {
        if let State::Fresh { sid, .. } = &self.state {
            let handshake = Handshake {
                sid: sid.clone(),
                heartbeat: self.heartbeat,
                max_payload: Some(self.max_payload),
                upgrades: match self.link {
                    Link::WebSocket => Vec::new(),
                    Link::Polling(_) => [ByteString::from_static("websocket")].into(),
                },
            };
            self.state = State::Quiet {
                ping_at: now + self.heartbeat.interval,
            };
            self.send(packet::encode(Packet::Open(handshake.encode())), out);
        }
    }

    fn close(&mut self, reason: CloseReason, out: &mut Vec<Output>) {
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
            Link::Polling(polling) => requests::end(*polling, &reason, out),
        }
        self.state = State::Closed;
        out.push(Output::Closed(reason));
    }

    /// `frame` is a whole packet.
    fn send(&mut self, frame: ws::Frame, out: &mut Vec<Output>) {
        let Link::Polling(polling) = &mut self.link else {
            return out.push(websocket(ws::Action::Send(frame)));
        };
        if !payload::carries(&frame) {
            // Only a message can hold what the embedder wrote.
            if let Ok(Packet::Message(content)) = packet::decode(frame) {
                out.push(Output::Unsent(content));
            }
        } else if polling.push(frame) {
            self.flush(out);
        } else {
            self.close(CloseReason::Transport(ws::Closed::Overrun), out);
        }
    }

    fn on_transport(&mut self, now: Time, event: ServerEvent, out: &mut Vec<Output>) {
        match event {
            ServerEvent::WebSocket(event) => self.on_websocket(now, event, out),
            ServerEvent::Accepted(conn) => self.on_accepted(now, conn, out),
            ServerEvent::Poll { call } => self.on_poll(call, out),
            ServerEvent::Posting { call } => {
                self.on_posting(call, out);
            }
            ServerEvent::Post { call, body } => self.on_post(now, call, body, out),
            ServerEvent::Gone { call } => self.on_gone(call, out),
        }
    }

    fn on_websocket(&mut self, now: Time, event: ws::Event, out: &mut Vec<Output>) {
        match (&mut self.link, event) {
            (Link::WebSocket, ws::Event::Frame(frame)) => self.on_frame(now, frame, out),
            (Link::WebSocket, ws::Event::Closed(closed)) => {
                self.close(CloseReason::Transport(closed), out);
            }
            (Link::Polling(polling), ws::Event::Closed(_)) => polling.probe = None,
            (Link::Polling(_), ws::Event::Frame(frame)) => self.on_probe(now, frame, out),
        }
    }

    fn is_moving(&self) -> bool {
        match &self.link {
            Link::WebSocket => false,
            Link::Polling(polling) => polling.is_moving(),
        }
    }

    fn on_frame(&mut self, now: Time, frame: ws::Frame, out: &mut Vec<Output>) {
        let bytes = frame.len() as u64;
        let max = self.max_payload;
        if bytes > max {
            let error = packet::DecodeError::TooLarge { bytes, max };
            return self.close(CloseReason::BadPacket(error), out);
        }
        match packet::decode(frame) {
            Ok(packet) => self.on_packet(now, packet, out),
            Err(error) => self.close(CloseReason::BadPacket(error), out),
        }
    }

    /// A pong that nobody asked for, an upgrade and a noop mean nothing here and are ignored, as the
    /// official server does.
    fn on_packet(&mut self, now: Time, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::Pong(_) => match self.state {
                State::Pinged { .. } => {
                    self.state = State::Quiet {
                        ping_at: now + self.heartbeat.interval,
                    };
                }
                State::Fresh { .. } | State::Quiet { .. } | State::Closed => {}
            },
            Packet::Message(frame) => out.push(Output::Message(frame)),
            Packet::Close => self.close(CloseReason::Peer, out),
            Packet::Open(_) | Packet::Ping(_) => {
                let error = packet::DecodeError::Unexpected(packet.name());
                self.close(CloseReason::BadPacket(error), out);
            }
            Packet::Upgrade | Packet::Noop => {}
        }
    }
}

impl Machine for Server {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.open(now, out);
        if self.is_closed() {
            return;
        }
        match input {
            Input::Transport(event) => self.on_transport(now, event, out),
            Input::Send(frame) => self.send(packet::encode(Packet::Message(frame)), out),
            Input::SendEncoded(frame) => self.send(frame, out),
            Input::Close => self.close(CloseReason::Local, out),
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Output>) {
        self.open(now, out);
        if let Link::Polling(polling) = &mut self.link {
            if polling.expire(now) {
                out.push(websocket(ws::Action::Close));
            }
            out.extend(polling.let_go(now).map(requests::let_go));
        }
        if let State::Quiet { ping_at } = self.state
            && ping_at <= now
            && !self.is_moving()
        {
            self.state = State::Pinged {
                expires_at: now + self.heartbeat.timeout,
            };
            self.send(packet::encode(Packet::Ping(ByteString::new())), out);
        }
        if let State::Pinged { expires_at } = self.state
            && expires_at <= now
        {
            self.close(CloseReason::PingTimeout, out);
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        let beat = match self.state {
            State::Fresh { since, .. } => Some(Wakeup {
                at: since,
                why: "engine.io handshake",
            }),
            State::Quiet { ping_at } => Some(Wakeup {
                at: ping_at,
                why: "engine.io ping",
            })
            .filter(|_| !self.is_moving()),
            State::Pinged { expires_at } => Some(Wakeup {
                at: expires_at,
                why: "engine.io pong timeout",
            }),
            State::Closed => None,
        };
        let upgrade = match &self.link {
            Link::WebSocket => None,
            Link::Polling(polling) => polling.next_wakeup(),
        };
        earliest([beat, upgrade])
    }
}

/// What is done with the WebSocket of the session.
fn websocket(action: ws::Action) -> Output {
    Output::Transport(ServerAction::WebSocket(action))
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::machine::step;

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

    fn run(server: &mut Server, now: u64, input: Option<Input>) -> Vec<Output> {
        let mut out = Vec::new();
        step(server, ms(now), input, &mut out);
        out
    }

    /// With the timings of the official test-suite.
    fn opened() -> Server {
        let config = Config {
            heartbeat: Heartbeat {
                interval: Duration::from_millis(300),
                timeout: Duration::from_millis(200),
            },
            max_payload: 10,
            ..Config::default()
        };
        let mut server = Server::new(config, "x".into(), ms(0));
        assert_eq!(server.next_wakeup().unwrap().at, ms(0));
        assert_eq!(
            run(&mut server, 0, None),
            [sent(
                r#"0{"sid":"x","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":10}"#
            )]
        );
        server
    }

    #[test]
    fn the_handshake_is_byte_exact() {
        let mut server = Server::new(Config::default(), "abc".into(), ms(5));
        assert_eq!(
            run(&mut server, 5, None),
            [sent(concat!(
                r#"0{"sid":"abc","upgrades":[],"pingInterval":25000,"#,
                r#""pingTimeout":20000,"maxPayload":1000000}"#
            ))]
        );
    }

    #[test]
    fn pings_go_out_and_a_missing_pong_ends_the_connection() {
        let mut server = opened();
        for round in 0..3 {
            assert_eq!(run(&mut server, round * 310 + 299, None), []);
            assert_eq!(run(&mut server, round * 310 + 300, None), [sent("2")]);
            assert_eq!(run(&mut server, round * 310 + 310, frame("3")), []);
        }
        assert_eq!(run(&mut server, 1_230, None), [sent("2")]);
        assert_eq!(
            run(&mut server, 1_429, frame("4a")),
            [Output::Message(text("a"))]
        );
        assert_eq!(
            run(&mut server, 1_430, None),
            closed(CloseReason::PingTimeout)
        );
        assert_eq!(server.next_wakeup(), None);
        assert_eq!(run(&mut server, 2_000, frame("4a")), []);
    }

    #[test]
    fn a_stray_pong_changes_nothing() {
        let mut server = opened();
        assert_eq!(run(&mut server, 100, frame("3")), []);
        assert_eq!(server.next_wakeup().unwrap().at, ms(300));
    }

    #[test]
    fn messages_are_handed_up_and_what_is_not_allowed_ends_the_connection() {
        let binary = ws::Frame::Binary(Bytes::from_static(b"\x1e1"));
        let mut server = opened();
        let arrived = Some(Input::Transport(ws::Event::Frame(binary.clone()).into()));
        assert_eq!(
            run(&mut server, 1, arrived),
            [Output::Message(binary.clone())]
        );
        let send = Some(Input::Send(binary.clone()));
        assert_eq!(
            run(&mut server, 1, send),
            [websocket(ws::Action::Send(binary))]
        );
        let send = Some(Input::Send(text("a")));
        assert_eq!(run(&mut server, 1, send), [sent("4a")]);
        let encoded = Some(Input::SendEncoded(text("4a")));
        assert_eq!(run(&mut server, 1, encoded), [sent("4a")]);
        for nothing in ["5", "6"] {
            assert_eq!(run(&mut server, 1, frame(nothing)), []);
        }
        use packet::DecodeError as E;
        for (content, reason) in [
            ("1", CloseReason::Peer),
            ("abc", CloseReason::BadPacket(E::UnknownType('a'))),
            ("", CloseReason::BadPacket(E::Empty)),
            ("2", CloseReason::BadPacket(E::Unexpected("ping"))),
            ("0", CloseReason::BadPacket(E::Unexpected("open"))),
            (
                "41234567890",
                CloseReason::BadPacket(E::TooLarge { bytes: 11, max: 10 }),
            ),
        ] {
            let mut server = server.clone();
            assert_eq!(run(&mut server, 1, frame(content)), closed(reason));
        }
    }
}
