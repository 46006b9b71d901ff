//! What a client keeps while it polls: the open requests, the packets that wait for a post, and the
//! WebSocket that the session may move to.

use alloc::{
    collections::{VecDeque, vec_deque::IntoIter},
    vec::Vec,
};

use bytestring::ByteString;

use super::{Config, Output, Refusal, upgrade::Probe, websocket};
use crate::{
    canonical,
    engineio::{
        CloseReason, Handshake,
        packet::Size,
        payload,
        polling::CLOSE,
        transport::{ClientAction, Exchange},
    },
    machine::{Wakeup, earliest},
    request::Requests,
    time::Time,
    ws,
};

/// What a request is for. Of each there is at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Poll,
    Post,
}
canonical!(
    enum Purpose {
        Poll,
        Post,
    }
);

/// The polling side of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Polling {
    pub(super) config: Config,
    /// When to begin; none when it has.
    begins_at: Option<Time>,
    /// None before the handshake.
    sid: Option<ByteString>,
    /// They have no patience of their own: the heartbeat ends a poll that is not answered, and a
    /// server to which nothing can be posted misses its pongs.
    pub(super) requests: Requests<Exchange, Purpose>,
    pub(super) queue: Queue,
    /// Whether to move when the server offers it.
    upgrade: bool,
    pub(super) probe: Option<Probe>,
}
canonical!(struct Polling { config, begins_at, sid, requests, queue, upgrade, probe });

impl Polling {
    pub(super) fn new(config: Config, upgrade: bool, now: Time) -> Self {
        Self {
            config,
            begins_at: Some(now),
            sid: None,
            requests: Requests::default(),
            queue: Queue::default(),
            upgrade,
            probe: None,
        }
    }

    pub(super) fn open(&mut self, now: Time, handshake: Handshake, out: &mut Vec<Output>) {
        let is_offered = handshake.upgrades.iter().any(|name| name == "websocket");
        self.sid = Some(handshake.sid.clone());
        if self.upgrade && is_offered {
            self.dial(now, handshake.sid, out);
        }
    }

    /// Whether all of these packets can be queued.
    pub(super) fn check(
        &self,
        packets: impl IntoIterator<Item = Size>,
        max_payload: u64,
    ) -> Result<(), Refusal> {
        let (mut bytes, mut count) = (self.queue.bytes, self.queue.frames.len());
        for size in packets {
            if size.in_payload() > max_payload {
                return Err(Refusal::TooLarge);
            }
            bytes = bytes.saturating_add(size.in_payload());
            count += 1;
        }
        if bytes > self.config.queue_bytes_max || count > self.config.queue_packets_max {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Puts a packet into the queue: whether there was room.
    pub(super) fn push(&mut self, frame: ws::Frame) -> bool {
        let has_room = self.check([Size::of(&frame)], u64::MAX).is_ok();
        if has_room {
            self.queue.push(frame);
        }
        has_room
    }

    /// Begins the requests that are due.
    pub(super) fn request(&mut self, now: Time, max_payload: u64, out: &mut Vec<Output>) {
        self.begins_at = None;
        if !self.is_open(Purpose::Poll) {
            let id = self.requests.ask(now, None, Purpose::Poll);
            let sid = self.sid.clone();
            out.push(Output::Transport(ClientAction::Get { id, sid }));
        }
        if !self.is_open(Purpose::Post) {
            self.post(now, max_payload, out);
        }
    }

    /// Posts as much of what waits as the server takes at once, if anything waits.
    fn post(&mut self, now: Time, max_payload: u64, out: &mut Vec<Output>) {
        if let Some(sid) = self.sid.clone()
            && let Some(body) = self.queue.batch(max_payload)
        {
            let id = self.requests.ask(now, None, Purpose::Post);
            let body = body.into_bytes();
            out.push(Output::Transport(ClientAction::Post { id, sid, body }));
        }
    }

    fn is_open(&self, wanted: Purpose) -> bool {
        self.requests.iter().any(|(_, purpose)| *purpose == wanted)
    }

    /// Ends the session. A post that is under way comes to its end by itself; those of the goodbye
    /// follow it.
    pub(super) fn end(
        mut self,
        now: Time,
        reason: &CloseReason,
        max_payload: u64,
        out: &mut Vec<Output>,
    ) {
        if self.probe.is_some() {
            out.push(websocket(ws::Action::Close));
        }
        match reason {
            CloseReason::BadPacket(_) | CloseReason::BadPayload(_) | CloseReason::Local => {
                self.queue.push(ws::Frame::Text(CLOSE));
                while self.sid.is_some() && !self.queue.frames.is_empty() {
                    self.post(now, max_payload, out);
                }
            }
            CloseReason::PingTimeout
            | CloseReason::HandshakeTimeout
            | CloseReason::Peer
            | CloseReason::Transport(_)
            | CloseReason::Polling(_)
            | CloseReason::Refused { .. }
            | CloseReason::Unanswered(_) => {}
        }
        while let Some((id, _)) = self.requests.withdraw(|it| *it == Purpose::Poll) {
            out.push(Output::Transport(ClientAction::Abort(id)));
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        let begin = self.begins_at.map(|at| Wakeup {
            at,
            why: "engine.io first poll",
        });
        let upgrade = self.probe.as_ref().map(|probe| Wakeup {
            at: probe.expires_at,
            why: "engine.io upgrade timeout",
        });
        earliest([begin, upgrade])
    }
}

/// The packets that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Queue {
    frames: VecDeque<ws::Frame>,
    /// How many they take in a body, without separators.
    bytes: u64,
}
canonical!(struct Queue { frames, bytes });

impl Queue {
    fn push(&mut self, frame: ws::Frame) {
        self.bytes += Size::of(&frame).in_payload();
        self.frames.push_back(frame);
    }

    /// A body of at most `max` bytes, if anything waits.
    fn batch(&mut self, max: u64) -> Option<ByteString> {
        if self.frames.is_empty() {
            return None;
        }
        let body = payload::batch(&mut self.frames, max);
        self.bytes = self.frames.iter().map(payload::encoded_len).sum();
        Some(body)
    }
}

impl IntoIterator for Queue {
    type Item = ws::Frame;
    type IntoIter = IntoIter<ws::Frame>;

    fn into_iter(self) -> Self::IntoIter {
        self.frames.into_iter()
    }
}
