//! A model of the network: latency, order within a connection, resets, and what is lost or damaged.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use bytes::Bytes;
use bytestring::ByteString;
use selvedge_core::{
    Rng, Time,
    fabric::realtime::MESSAGE_CREATED,
    ws::{Closed, ConnId, Event, Frame},
};
use serde::{Deserialize, Serialize};

use crate::{
    fault::Damage,
    path::{Path, take},
    talk::Talk,
};

/// What marks a push that wakes somebody with an old message.
const REWAKE: &str = "\"rewake\":true";
/// Engine.IO's mark of a ping.
const PING: &str = "2";

/// What no packet of Engine.IO begins with.
const UNKNOWN: char = '9';
/// How late a heartbeat may be, and its answer: what guilds announce as their `pingTimeout`.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How often something goes one way meanwhile.
const PING_WAYS: u32 = 4;

/// Whether something is a guild's heartbeat.
pub fn is_ping(event: &Event) -> bool {
    matches!(event, Event::Frame(Frame::Text(text)) if text == PING)
}

/// Whether something is none of the protocol's: no guild sends anything binary, and no packet begins so.
pub fn is_foreign(event: &Event) -> bool {
    match event {
        Event::Frame(Frame::Text(text)) => text.starts_with(UNKNOWN),
        Event::Frame(Frame::Binary(_)) => true,
        Event::Closed(_) => false,
    }
}

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Which agent.
    pub agent: usize,
    /// The agent's name of it.
    pub conn: ConnId,
    /// Which guild.
    pub guild: usize,
    /// The guild's name of it.
    pub number: ConnId,
}

/// What a connection swallows for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Everything, both ways: it is half-open, and neither end is told.
    Everything,
    /// Everything that goes to the agent.
    ToAgent,
    /// Everything that goes to the guild.
    ToGuild,
    /// The pushes of new messages.
    Pushes,
    /// The answers to what the agent asks for on it.
    Acks,
    /// The heartbeats of the guild.
    Pings,
}

#[derive(Debug)]
struct Open {
    link: Link,
    rng: Rng,
    dialed_at: Time,
    dies: Option<Time>,
    talk: Talk,
    /// Whether anything has ever gone wrong with it.
    marred: bool,
    loss: Option<Loss>,
    /// Whether it has swallowed enough for its agent to notice.
    swallows: bool,
    damage: Option<Damage>,
    /// The ends that have closed it, though the other one may not know.
    left: BTreeSet<End>,
    /// When the last delivery to each end happens: nothing overtakes it.
    last: BTreeMap<End, Time>,
}

/// What becomes of something that was sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage {
    /// It arrives so often.
    Arrives(u32, Event),
    /// It arrives damaged.
    Damaged(Event),
    /// It is lost.
    Lost,
    /// It is lost, and so was something before it: the connection swallows it all.
    Swallowed,
}

/// A connection as its agent has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// When it was dialed.
    pub dialed_at: Time,
    /// When its token dies.
    pub dies: Option<Time>,
    /// What was said on it.
    pub talk: Talk,
    /// Whether nothing has ever gone wrong with it.
    pub sound: bool,
}

/// All connections.
#[derive(Debug)]
pub struct Net {
    rng: Rng,
    latency: (Duration, Duration),
    open: BTreeMap<ConnId, Open>,
    names: BTreeMap<(usize, ConnId), ConnId>,
    /// When an agent has heard of the last end of a connection to a guild.
    told: BTreeMap<(usize, usize), Time>,
    next: u64,
}

impl Net {
    /// A network whose latency lies between the two figures, each way.
    pub fn new(rng: Rng, latency: (Duration, Duration)) -> Self {
        Self {
            rng,
            latency,
            open: BTreeMap::new(),
            names: BTreeMap::new(),
            told: BTreeMap::new(),
            next: 0,
        }
    }

    /// How long something takes from one end to the other, outside of any connection.
    pub fn latency(&mut self) -> Duration {
        self.rng.between(self.latency.0, self.latency.1)
    }

    /// How late a heartbeat may be without anybody noticing.
    pub fn heartbeat_slack(&self) -> Duration {
        PING_TIMEOUT.saturating_sub(self.latency.1 * PING_WAYS)
    }

    /// Makes a connection; its number is the guild's name of it.
    pub fn connect(&mut self, now: Time, agent: usize, conn: ConnId, guild: usize) -> Link {
        let number = ConnId(self.next);
        self.next += 1;
        let link = Link {
            agent,
            conn,
            guild,
            number,
        };
        self.names.insert((agent, conn), number);
        let rng = self.rng.fork(&format!("{agent}/{}", conn.0));
        let open = Open {
            link,
            rng,
            dialed_at: now,
            dies: None,
            talk: Talk::default(),
            marred: false,
            loss: None,
            swallows: false,
            damage: None,
            left: BTreeSet::new(),
            last: BTreeMap::new(),
        };
        self.open.insert(number, open);
        link
    }

    /// The open connection that an agent names so.
    pub fn of_agent(&self, agent: usize, conn: ConnId) -> Option<Link> {
        self.of_guild(*self.names.get(&(agent, conn))?)
    }

    /// The open connection that its guild names so.
    pub fn of_guild(&self, number: ConnId) -> Option<Link> {
        self.open.get(&number).map(|open| open.link)
    }

    /// When something that is sent now arrives at `end`: after everything sent before it.
    pub fn arrival(&mut self, now: Time, link: Link, end: End, extra: Duration) -> Time {
        let (least, most) = self.latency;
        let Some(open) = self.open.get_mut(&link.number) else {
            return now + most;
        };
        let at = now + open.rng.between(least, most) + extra;
        let last = open.last.entry(end).or_insert(at);
        *last = (*last).max(at);
        *last
    }

    /// Nothing arrives at `end` before `at`.
    pub fn not_before(&mut self, link: Link, end: End, at: Time) {
        if let Some(open) = self.open.get_mut(&link.number) {
            let last = open.last.entry(end).or_insert(at);
            *last = (*last).max(at);
        }
    }

    /// The agent presents a token on a connection, which dies then.
    pub fn present(&mut self, link: Link, dies: Option<Time>) {
        if let Some(open) = self.open.get_mut(&link.number) {
            open.dies = dies;
        }
    }

    /// Something goes wrong with a connection.
    pub fn mar(&mut self, link: Link) {
        if let Some(open) = self.open.get_mut(&link.number) {
            open.marred = true;
        }
    }

    /// A connection swallows something from now on.
    pub fn lose(&mut self, link: Link, loss: Loss) {
        if let Some(open) = self.open.get_mut(&link.number) {
            open.marred = true;
            open.loss = Some(loss);
        }
    }

    /// Whether no push of a new message reaches the agent on it.
    pub fn is_deaf(&self, link: Link) -> bool {
        let open = self.open.get(&link.number);
        match open.and_then(|open| open.loss) {
            Some(Loss::Everything | Loss::ToAgent | Loss::Pushes) => true,
            Some(Loss::ToGuild | Loss::Acks | Loss::Pings) | None => false,
        }
    }

    /// The next frame to the agent is damaged.
    pub fn damage(&mut self, link: Link, damage: Damage) {
        if let Some(open) = self.open.get_mut(&link.number) {
            open.marred = true;
            open.damage = Some(damage);
        }
    }

    /// What becomes of what goes to `end`.
    pub fn pass(&mut self, link: Link, end: End, event: Event, path: &mut Path) -> Passage {
        let Some(open) = self.open.get_mut(&link.number) else {
            return Passage::Lost;
        };
        let swallowed = match open.loss {
            Some(Loss::Everything) => true,
            Some(Loss::ToAgent) => end == End::Agent,
            Some(Loss::ToGuild) => end == End::Guild,
            Some(Loss::Pushes | Loss::Acks | Loss::Pings) | None => false,
        };
        if swallowed {
            return Passage::Swallowed;
        }
        let Event::Frame(Frame::Text(text)) = &event else {
            return Passage::Arrives(1, event);
        };
        if end == End::Guild {
            return Passage::Arrives(1, event);
        }
        if let Some(damage) = open.damage.take() {
            return Passage::Damaged(damaged(text, damage));
        }
        if text.contains(MESSAGE_CREATED) {
            // A wake that is not a message of its own is not repeated.
            if !text.contains(REWAKE) {
                path.last_push = Some(event.clone());
            }
            if open.loss == Some(Loss::Pushes) {
                // What shows that it is deaf is a channel that its agent listens to.
                let listens = || {
                    open.talk
                        .rooms
                        .iter()
                        .any(|room| text.contains(room.as_str()))
                };
                return match open.swallows {
                    true => Passage::Swallowed,
                    false => {
                        open.swallows = listens();
                        Passage::Lost
                    }
                };
            }
            if take(&mut path.loses_pushes) {
                return Passage::Lost;
            }
            let times = 1 + u32::from(take(&mut path.repeats_pushes));
            return Passage::Arrives(times, event);
        }
        if text == PING && open.loss == Some(Loss::Pings) {
            return Passage::Swallowed;
        }
        // Engine.IO's mark of a message, and Socket.IO's of an answer.
        let answers = text.starts_with("43");
        if answers && open.loss == Some(Loss::Acks) {
            return match mem::replace(&mut open.swallows, true) {
                true => Passage::Swallowed,
                false => Passage::Lost,
            };
        }
        if answers && take(&mut path.loses_acks) {
            return Passage::Lost;
        }
        Passage::Arrives(1, event)
    }

    /// The agent says something on a connection.
    pub fn on_said(&mut self, link: Link, text: &str) {
        if let Some(open) = self.open.get_mut(&link.number) {
            let listened = open.talk.rooms.len();
            open.talk.on_said(text);
            // What showed that it is deaf may be what is not listened to any more.
            if open.talk.rooms.len() < listened && open.loss == Some(Loss::Pushes) {
                open.swallows = false;
            }
        }
    }

    /// The agent hears something on a connection.
    pub fn on_heard(&mut self, link: Link, text: &str) {
        if let Some(open) = self.open.get_mut(&link.number) {
            open.talk.on_heard(text);
        }
    }

    /// A connection as its agent has it.
    pub fn held(&self, link: Link) -> Option<Held> {
        let open = self.open.get(&link.number)?;
        Some(Held {
            dialed_at: open.dialed_at,
            dies: open.dies,
            talk: open.talk.clone(),
            sound: !open.marred,
        })
    }

    /// The connections of an agent to the guild of `link` that it has not closed, but for that one,
    /// the oldest first.
    pub fn besides(&self, link: Link) -> impl Iterator<Item = Link> {
        let open = self.open.values();
        let others = open.filter(move |open| {
            let other = open.link;
            other != link
                && (other.agent, other.guild) == (link.agent, link.guild)
                && !open.left.contains(&End::Agent)
        });
        others.map(|open| open.link)
    }

    /// The agent hears at `at` that a connection has ended.
    pub fn tell_end(&mut self, link: Link, at: Time) {
        let told = self.told.entry((link.agent, link.guild)).or_insert(at);
        *told = (*told).max(at);
    }

    /// Whether the agent is yet to hear that a connection to that guild has ended.
    pub fn ends_unheard(&self, now: Time, link: Link) -> bool {
        let told = self.told.get(&(link.agent, link.guild));
        told.is_some_and(|told| *told >= now)
    }

    /// One end has closed a connection: nothing reaches it any more, and what it sent before still
    /// arrives.
    pub fn leave(&mut self, link: Link, end: End) {
        if let Some(open) = self.open.get_mut(&link.number) {
            open.left.insert(end);
        }
    }

    /// Whether one end has closed a connection.
    pub fn has_left(&self, link: Link, end: End) -> bool {
        let open = self.open.get(&link.number);
        open.is_none_or(|open| open.left.contains(&end))
    }

    /// How many connections an agent has to each guild.
    pub fn count(&self, agent: usize) -> BTreeMap<usize, usize> {
        let mut count = BTreeMap::new();
        for open in self.open.values() {
            if open.link.agent == agent && !open.left.contains(&End::Agent) {
                *count.entry(open.link.guild).or_default() += 1;
            }
        }
        count
    }

    /// Takes a connection away; what is still on its way is lost.
    pub fn close(&mut self, link: Link) {
        self.open.remove(&link.number);
        self.names.remove(&(link.agent, link.conn));
    }

    /// Every open connection, the oldest first.
    pub fn links(&self) -> impl Iterator<Item = Link> {
        self.open.values().map(|open| open.link)
    }
}

/// A frame as it arrives.
fn damaged(text: &ByteString, damage: Damage) -> Event {
    let frame = match damage {
        Damage::Truncated => {
            let half = text.chars().count() / 2;
            Frame::Text(text.chars().take(half).collect::<String>().into())
        }
        Damage::Corrupt => {
            let rest = text.chars().skip(1);
            Frame::Text([UNKNOWN].into_iter().chain(rest).collect::<String>().into())
        }
        Damage::Binary => Frame::Binary(Bytes::copy_from_slice(text.as_bytes())),
        Damage::Oversized => return Event::Closed(Closed::TooLarge),
    };
    Event::Frame(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net() -> (Net, Link) {
        let ms = Duration::from_millis;
        let mut net = Net::new(Rng::from_number(1), (ms(1), ms(5)));
        let link = net.connect(Time::ZERO, 0, ConnId(7), 0);
        (net, link)
    }

    #[test]
    fn nothing_overtakes_on_one_connection() {
        let (mut net, link) = net();
        let mut last = Time::ZERO;
        for now in 0..100 {
            let at = net.arrival(Time::from_micros(now), link, End::Agent, Duration::ZERO);
            assert!(at >= last);
            last = at;
        }
        net.not_before(link, End::Agent, Time::from_millis(900));
        let at = net.arrival(Time::ZERO, link, End::Agent, Duration::ZERO);
        assert_eq!(at, Time::from_millis(900));
    }

    #[test]
    fn a_half_open_connection_swallows_what_goes_one_way() {
        let (mut net, link) = net();
        let mut path = Path::default();
        let event = || Event::Frame(Frame::Text("2".into()));
        net.lose(link, Loss::ToAgent);
        let lost = net.pass(link, End::Agent, event(), &mut path);
        assert_eq!(lost, Passage::Swallowed);
        let arrives = net.pass(link, End::Guild, event(), &mut path);
        assert_eq!(arrives, Passage::Arrives(1, event()));
        net.damage(link, Damage::Corrupt);
        net.lose(link, Loss::Pushes);
        let corrupt = net.pass(link, End::Agent, event(), &mut path);
        let wanted = Event::Frame(Frame::Text("9".into()));
        assert_eq!(corrupt, Passage::Damaged(wanted));
    }
}
