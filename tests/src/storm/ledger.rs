//! What a host notes down: every turn that it is handed, and what it has done about it, over all lives
//! of the plugin.

use std::sync::{Arc, Mutex, PoisonError};

use selvedge::clock::Clock;
use selvedge_core::Time;
use serde::Deserialize;

/// A turn as the host is handed it, read from the wire without the product's own types.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Handed {
    /// Names the turn.
    #[serde(rename = "turn_id")]
    pub turn: String,
    /// Which handing over of this turn it is said to be.
    pub attempt: u32,
    /// Where it was said.
    pub channel: Place,
    /// What is to be answered.
    pub messages: Vec<Told>,
    /// What was said besides.
    pub context: Vec<Told>,
    /// How many messages are said to be left out.
    pub skipped: u64,
    /// Whether it is said to be handed over again.
    pub redelivered: bool,
    /// Whether it is said to be what was missed during an outage.
    pub recovered: bool,
}

/// A channel as the host is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// Its id.
    pub id: String,
}

/// A message as the host is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Told {
    /// The message.
    pub id: String,
    /// Its position in the channel.
    pub seq: u64,
    /// What it says.
    pub content: String,
}

/// Something that happened to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It was handed a turn.
    Handed(Handed),
    /// The tool `send` has said that the answer to this message stands in the channel, perhaps since
    /// before the call.
    Answered {
        /// The message.
        message: String,
        /// Whether its answer stood there already.
        already: bool,
    },
    /// The tool `send` has said that it did not work.
    Refused {
        /// The message that was to be answered.
        message: String,
        /// In the tool's words.
        why: String,
    },
    /// The host is about to say that this turn is done.
    Ending(String),
    /// The plugin has heard that this turn is done.
    Ended(String),
    /// The plugin was killed, and everything that it had written was read.
    Killed,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// In which life of the plugin, from 0.
    pub life: usize,
    /// What.
    pub deed: Deed,
}

/// The ledger, in the order in which things happened.
#[derive(Clone, Debug)]
pub struct Ledger {
    clock: Clock,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Ledger {
    /// An empty one.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            entries: Arc::default(),
        }
    }

    /// Notes something down.
    pub fn note(&self, life: usize, deed: Deed) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.clock.now();
        entries.push(Entry { at, life, deed });
    }

    /// Everything so far.
    pub fn entries(&self) -> Vec<Entry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.clone()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
