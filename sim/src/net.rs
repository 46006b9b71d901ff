//! A model of the network: latency, order within a connection, resets and refused dials.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{
    Rng, Time,
    fabric::realtime::MESSAGE_CREATED,
    ws::{ConnId, Event, Frame},
};
use serde::Deserialize;

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The agent that dialed.
    Agent,
    /// The guild that accepted.
    Guild,
}

impl End {
    /// The one at the other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::Agent => Self::Guild,
            Self::Guild => Self::Agent,
        }
    }
}

/// A connection as both ends name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The agent's name of it.
    pub agent: ConnId,
    /// The guild's name of it.
    pub guild: ConnId,
}

/// What a connection swallows for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Everything, both ways: it is half-open, and neither end is told.
    Everything,
    /// The pushes of new messages.
    Pushes,
    /// The answers to what the agent asks for on it.
    Acks,
}

#[derive(Debug)]
struct Open {
    link: Link,
    loss: Option<Loss>,
    /// When the last delivery to each end happens: nothing overtakes it.
    last: BTreeMap<End, Time>,
}

/// All connections.
#[derive(Debug)]
pub struct Net {
    rng: Rng,
    latency: (Duration, Duration),
    open: BTreeMap<u64, Open>,
    next: u64,
    /// While set, dials are refused.
    pub refuses_dials: bool,
    /// How many of the next pushes of new messages to the agent are swallowed.
    pub loses_pushes: u32,
    /// How many of the next answers to what the agent asks for on a connection are swallowed.
    pub loses_acks: u32,
    /// How much longer dials take.
    pub dial_delay: Duration,
    /// How many of the next connections are reset, and how long after their dial.
    pub doomed: (u32, Duration),
    /// How many connections were dialed.
    pub dials: u64,
    /// How many of an agent were open at most.
    pub open_max: usize,
}

impl Net {
    /// A network whose latency lies between the two figures, each way.
    pub fn new(rng: Rng, latency: (Duration, Duration)) -> Self {
        Self {
            rng,
            latency,
            open: BTreeMap::new(),
            next: 0,
            refuses_dials: false,
            loses_pushes: 0,
            loses_acks: 0,
            dial_delay: Duration::ZERO,
            doomed: (0, Duration::ZERO),
            dials: 0,
            open_max: 0,
        }
    }

    /// How long something takes from one end to the other.
    pub fn latency(&mut self) -> Duration {
        self.rng.between(self.latency.0, self.latency.1)
    }

    /// Makes a connection; its number is the guild's name of it.
    pub fn connect(&mut self, agent: ConnId) -> Link {
        let guild = ConnId(self.next);
        self.next += 1;
        let link = Link { agent, guild };
        self.open.insert(
            guild.0,
            Open {
                link,
                loss: None,
                last: BTreeMap::new(),
            },
        );
        self.open_max = self.open_max.max(self.open.len());
        link
    }

    /// The open connection that an end names so.
    pub fn find(&self, end: End, conn: ConnId) -> Option<Link> {
        match end {
            End::Guild => self.open.get(&conn.0).map(|open| open.link),
            End::Agent => self
                .open
                .values()
                .map(|open| open.link)
                .find(|link| link.agent == conn),
        }
    }

    /// When something that is sent now arrives at `end`: after everything sent before it.
    pub fn arrival(&mut self, now: Time, link: Link, end: End) -> Time {
        let at = now + self.latency();
        let Some(open) = self.open.get_mut(&link.guild.0) else {
            return at;
        };
        let last = open.last.entry(end).or_insert(at);
        *last = (*last).max(at);
        *last
    }

    /// Nothing arrives at `end` before `at`.
    pub fn not_before(&mut self, link: Link, end: End, at: Time) {
        if let Some(open) = self.open.get_mut(&link.guild.0) {
            open.last.insert(end, at);
        }
    }

    /// Every open connection swallows something from now on.
    pub fn lose(&mut self, loss: Loss) {
        for open in self.open.values_mut() {
            open.loss = Some(loss);
        }
    }

    /// When the connection that is dialed now is to be reset.
    pub fn doom(&mut self) -> Option<Duration> {
        let (left, after) = &mut self.doomed;
        *left = left.checked_sub(1)?;
        Some(*after)
    }

    /// Whether what goes to `end` is swallowed.
    pub fn loses(&mut self, link: Link, end: End, event: &Event) -> bool {
        let loss = self.open.get(&link.guild.0).and_then(|open| open.loss);
        if loss == Some(Loss::Everything) {
            return true;
        }
        let Event::Frame(Frame::Text(text)) = event else {
            return false;
        };
        if end == End::Guild {
            return false;
        }
        if text.contains(MESSAGE_CREATED) {
            return loss == Some(Loss::Pushes) || take(&mut self.loses_pushes);
        }
        // Engine.IO's mark of a message, and Socket.IO's of an answer.
        text.starts_with("43") && (loss == Some(Loss::Acks) || take(&mut self.loses_acks))
    }

    /// Takes a connection away; what is still on its way is lost.
    pub fn close(&mut self, link: Link) {
        self.open.remove(&link.guild.0);
    }

    /// Every open connection.
    pub fn links(&self) -> Vec<Link> {
        self.open.values().map(|open| open.link).collect()
    }
}

/// One less, where there is any.
fn take(count: &mut u32) -> bool {
    let taken = *count > 0;
    *count -= u32::from(taken);
    taken
}
