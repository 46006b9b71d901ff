//! The story of a run: who did what when, for those who look at it.
//!
//! It is made only where it is asked for. It holds no secret: tokens have short names. What people
//! wrote stands in it as they wrote it, so whoever shows it must escape it.

mod beside;
mod frames;
mod teller;
mod window;

use std::time::Duration;

pub use self::{
    beside::without_last_fault,
    teller::{Dial, Teller},
};

/// Who a lane belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// The people of the script.
    People,
    /// Center.
    Center,
    /// A guild.
    Guild(usize),
    /// The connections and the tokens of an agent in a guild.
    Link(usize, usize),
    /// An agent.
    Agent(usize),
    /// An agent's host.
    Host(usize),
}

/// A lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Whose it is.
    pub party: Party,
    /// What it is called.
    pub name: String,
}

/// What kind of thing something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A frame on a connection.
    Frame,
    /// A heartbeat.
    Beat,
    /// A dial, or its outcome.
    Dial,
    /// A request, or its answer.
    Request,
    /// Between an agent and its host.
    Host,
    /// A guild has stored something.
    Stored,
    /// An agent has kept something.
    Kept,
    /// An agent says something.
    Note,
    /// Somebody does something.
    Deed,
    /// A fault, or its end.
    Fault,
    /// The rule that is broken.
    Broken,
    /// A connection.
    Connection,
    /// A token, until it expires.
    Token,
    /// A turn.
    Turn,
    /// A time in which a process is down.
    Down,
}

impl Kind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Beat => "beat",
            Self::Dial => "dial",
            Self::Request => "request",
            Self::Host => "host",
            Self::Stored => "stored",
            Self::Kept => "kept",
            Self::Note => "note",
            Self::Deed => "deed",
            Self::Fault => "fault",
            Self::Broken => "broken",
            Self::Connection => "connection",
            Self::Token => "token",
            Self::Turn => "turn",
            Self::Down => "down",
        }
    }
}

/// What a happening is: something on its way, at one moment, or for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It goes from its lane to another one.
    Arrow {
        /// Where to: an index of [`Story::lanes`].
        to: usize,
        /// When it arrives; where it does not, when that is clear.
        until: Duration,
        /// Why it does not arrive, if it does not.
        lost: Option<String>,
    },
    /// It is a moment.
    Mark,
    /// It lasts; without an end, beyond the end of the run.
    Span {
        /// Its end.
        until: Option<Duration>,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When, from the start of the run.
    pub at: Duration,
    /// Where: an index of [`Story::lanes`].
    pub lane: usize,
    /// What it looks like.
    pub shape: Shape,
    /// Its kind.
    pub kind: Kind,
    /// What it is, in few words.
    pub label: String,
    /// All of it: a frame, a request.
    pub detail: String,
    /// The messages it is about: indices of [`Story::messages`], in order.
    pub messages: Vec<usize>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// Its guild, its channel and its number there: the same in another run of the same script.
    pub name: String,
    /// What it says.
    pub content: String,
    /// Who wrote it.
    pub author: String,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// What was run.
    pub title: String,
    /// What did not hold, in order.
    pub failures: Vec<String>,
    /// The lanes, from left to right.
    pub lanes: Vec<Lane>,
    /// The messages that the guilds stored.
    pub messages: Vec<Told>,
    /// What happened, in order.
    pub happenings: Vec<Happening>,
    /// The message, the agent and the guild that the broken rule is about.
    pub about: Subject,
    /// When the run ended.
    pub end: Duration,
    /// How much happened, what was [left out](Self::keep_last) included.
    pub total: usize,
}

/// What a broken rule is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The agent.
    pub agent: Option<usize>,
    /// The guild.
    pub guild: Option<usize>,
    /// The message: an index of [`Story::messages`].
    pub message: Option<usize>,
}

impl Told {
    /// The name without the guild's.
    pub fn in_channel(&self) -> &str {
        let parts = self.name.rsplit_once(" in ");
        parts.map_or(self.name.as_str(), |(name, _)| name)
    }
}

impl Happening {
    /// Whether it is about this message.
    pub fn is_about(&self, message: usize) -> bool {
        self.messages.contains(&message)
    }

    /// When it is over, or `end`, where it is not.
    pub fn over(&self, end: Duration) -> Duration {
        match &self.shape {
            Shape::Arrow { until, .. } => *until,
            Shape::Mark => self.at,
            Shape::Span { until } => until.unwrap_or(end),
        }
    }
}
