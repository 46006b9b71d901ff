//! What a server keeps for a session that polls: the open requests, the packets that wait for a
//! poll, and the WebSocket that the session may move to.

use alloc::collections::VecDeque;
use core::{fmt, time::Duration};

use bytestring::ByteString;

use super::{packet::Size, payload};
use crate::{
    canonical,
    http::CallId,
    machine::{Wakeup, earliest},
    time::Time,
    ws,
};

/// How a session that polls is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollingConfig {
    /// How long a WebSocket may take from its opening to the upgrade packet; 10 s by default, as in
    /// the official server. Until then it holds a socket, and no other can take its place.
    pub upgrade_timeout: Duration,
    /// How many bytes may wait for a poll; 10,000,000 by default. A client that lets more gather is
    /// disconnected: each session can make the process hold as much.
    pub queue_bytes_max: u64,
    /// How many packets may; 1 below [`payload::PACKETS_MAX`] by default, because with a close
    /// packet behind them they may all be put into one body. It bounds what empty messages cost.
    pub queue_packets_max: usize,
}
canonical!(
    struct PollingConfig {
        upgrade_timeout,
        queue_bytes_max,
        queue_packets_max,
    }
);

impl Default for PollingConfig {
    fn default() -> Self {
        Self {
            upgrade_timeout: Duration::from_secs(10),
            queue_bytes_max: 10_000_000,
            queue_packets_max: payload::PACKETS_MAX - 1,
        }
    }
}

/// How a polling client broke the rules for its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollingFault {
    /// It polled while a poll of its was open.
    SecondPoll,
    /// It posted while a post of its was under way: their order is lost.
    SecondPost,
    /// It gave up a request that was not answered: what was on the way is lost.
    Cancelled,
}
canonical!(
    enum PollingFault {
        SecondPoll,
        SecondPost,
        Cancelled,
    }
);

impl fmt::Display for PollingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SecondPoll => "it polled while another poll was open",
            Self::SecondPost => "it posted while another post was under way",
            Self::Cancelled => "it gave up a request before the answer",
        })
    }
}

/// The polling side of one session. A poll is open only while nothing waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Polling {
    config: PollingConfig,
    pub(super) poll: Option<CallId>,
    /// The post whose body is being read.
    pub(super) posting: Option<CallId>,
    pub(super) probe: Option<Probe>,
    queue: VecDeque<ws::Frame>,
    queue_bytes: u64,
}
canonical!(struct Polling { config, poll, posting, probe, queue, queue_bytes });

/// The WebSocket that the session may move to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    expires_at: Time,
    /// Since the client knows that the WebSocket works, and waits for its poll to end before it moves:
    /// when the next poll is let go.
    noop_at: Option<Time>,
}
canonical!(struct Probe { expires_at, noop_at });

impl Polling {
    pub(super) fn new(config: PollingConfig) -> Self {
        Self {
            config,
            poll: None,
            posting: None,
            probe: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
        }
    }

    /// A WebSocket was opened for this session: whether there is room for it.
    pub(super) fn on_accepted(&mut self, now: Time) -> bool {
        let is_free = self.probe.is_none();
        if is_free {
            self.probe = Some(Probe {
                expires_at: now + self.config.upgrade_timeout,
                noop_at: None,
            });
        }
        is_free
    }

    /// Gives up a WebSocket that has not moved in time: whether there was one.
    pub(super) fn expire(&mut self, now: Time) -> bool {
        self.probe.take_if(|it| it.expires_at <= now).is_some()
    }

    /// The client has probed the WebSocket, and is answered.
    pub(super) fn on_probed(&mut self, now: Time) {
        if let Some(probe) = &mut self.probe {
            probe.noop_at.get_or_insert(now);
        }
    }

    /// Whether the client is about to move, so that polls must not wait for long and pings should.
    pub(super) fn is_moving(&self) -> bool {
        self.probe.as_ref().is_some_and(|it| it.noop_at.is_some())
    }

    /// The poll that is to be let go now, because the client is about to move, if there is one.
    pub(super) fn let_go(&mut self, now: Time) -> Option<CallId> {
        let noop_at = self.probe.as_mut()?.noop_at.as_mut()?;
        if *noop_at > now {
            return None;
        }
        let call = self.poll.take()?;
        *noop_at = now + NOOP_PERIOD;
        Some(call)
    }

    /// When there is something to give up, or to let go.
    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        let probe = self.probe.as_ref()?;
        let expiry = Wakeup {
            at: probe.expires_at,
            why: "engine.io upgrade timeout",
        };
        let noop = probe.noop_at.filter(|_| self.poll.is_some());
        let noop = noop.map(|at| Wakeup {
            at,
            why: "engine.io noop",
        });
        earliest([Some(expiry), noop])
    }

    /// Whether all of these packets can be queued, and one more.
    pub(super) fn has_room(&self, packets: impl IntoIterator<Item = Size>) -> bool {
        let (mut bytes, mut count) = (self.queue_bytes, self.queue.len() + 1);
        for size in packets {
            bytes = bytes.saturating_add(size.in_payload());
            count += 1;
        }
        bytes < self.config.queue_bytes_max && count <= self.config.queue_packets_max
    }

    /// Puts a packet into the queue: whether it fits.
    pub(super) fn push(&mut self, frame: ws::Frame) -> bool {
        self.queue_bytes += payload::encoded_len(&frame);
        self.queue.push_back(frame);
        self.queue_bytes <= self.config.queue_bytes_max
            && self.queue.len() <= self.config.queue_packets_max
    }

    /// What the open poll is answered with, if anything waits: at most `max` bytes of it.
    pub(super) fn flush(&mut self, max: u64) -> Option<(CallId, ByteString)> {
        if self.queue.is_empty() {
            return None;
        }
        let call = self.poll.take()?;
        let body = payload::batch(&mut self.queue, max);
        self.queue_bytes = self.queue.iter().map(payload::encoded_len).sum();
        Some((call, body))
    }

    /// All that waits.
    pub(super) fn into_queue(self) -> VecDeque<ws::Frame> {
        self.queue
    }
}

/// How often a poll is let go while the client is about to move, as the official server does it. A
/// client waits for one poll, so the first goes at once, and a few may be on their way. One that
/// polls on, because its WebSocket has died unnoticed, would go round and round with the server if
/// this were nothing; if it were long, the move would stall.
const NOOP_PERIOD: Duration = Duration::from_millis(100);

/// The body that ends a poll with nothing.
pub(super) const NOOP: ByteString = ByteString::from_static("6");
/// The body that ends a poll and the session.
pub(super) const CLOSE: ByteString = ByteString::from_static("1");
