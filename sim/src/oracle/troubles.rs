//! Troubles: what has gone wrong between agents and guilds, and until when that may be felt.
//!
//! The world tells what it does to them. How soon the plugin must have mended it, its specification
//! says: the longest way is that of a connection that is deaf, which shows at the next listing, of a
//! socket that is half-open, which shows when a ping is missing, and of attempts that have failed and
//! are up to 30 s apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use selvedge_core::{Time, canonical};

use super::Setup;

/// How long after the last fault of several everything must be as if there had been none.
const RECOVERY: Duration = Duration::from_secs(120);
/// How long a link takes to be live at most, from its dial: what the machines on the way take.
const LIVE: Duration = Duration::from_secs(2);
/// How often something goes one way meanwhile.
const WAYS: u32 = 24;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A connection has ended, and its agent knows: where nothing else is wrong, the next one is made
    /// at once.
    Ended,
    /// Anything else.
    Other,
}

/// A fault that lasts until it is said to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lasting {
    /// The agent's process does not run.
    AgentDown,
    /// The guild's process does not run.
    GuildDown,
    /// The agent's session lacks the guild.
    NoAccess,
    /// The guild's clock is off.
    ClockOff,
    /// The agent's disk is slow.
    SlowDisk,
}
canonical!(
    unsaved enum Lasting {
        AgentDown,
        GuildDown,
        NoAccess,
        ClockOff,
        SlowDisk,
    }
);

/// What is wrong between each agent and each guild.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    ways: BTreeMap<(usize, usize), Way>,
}
canonical!(unsaved struct Troubles { ways });

#[derive(Clone, Debug, Default)]
struct Way {
    lasting: BTreeSet<Lasting>,
    struck: Time,
    calm_from: Time,
}
canonical!(unsaved struct Way { lasting, struck, calm_from });

impl Troubles {
    /// Something goes wrong until then.
    pub fn strike(
        &mut self,
        now: Time,
        setup: &Setup,
        way: (usize, usize),
        until: Time,
        trouble: Trouble,
    ) {
        let way = self.ways.entry(way).or_default();
        let alone = way.lasting.is_empty() && way.calm_from <= now;
        let recovery = match trouble {
            Trouble::Ended if alone => {
                setup.config.backoff.after_live + LIVE + setup.latency * WAYS
            }
            Trouble::Ended | Trouble::Other => RECOVERY,
        };
        way.struck = way.struck.max(until);
        way.calm_from = way.calm_from.max(until + recovery);
    }

    /// Something is wrong from now on, or is not any more.
    pub fn last(&mut self, now: Time, way: (usize, usize), what: Lasting, lasts: bool) {
        let way = self.ways.entry(way).or_default();
        let ended = match lasts {
            true => {
                way.lasting.insert(what);
                false
            }
            false => way.lasting.remove(&what),
        };
        if ended {
            way.struck = way.struck.max(now);
            way.calm_from = way.calm_from.max(now + RECOVERY);
        }
    }

    /// Whether nothing has gone wrong there from then on.
    pub fn none_since(&self, agent: usize, guild: usize, from: Time) -> bool {
        let way = self.ways.get(&(agent, guild));
        way.is_none_or(|way| way.lasting.is_empty() && way.struck < from)
    }

    /// When something has gone wrong there last, or has ceased to.
    pub fn struck(&self, agent: usize, guild: usize) -> Time {
        let way = self.ways.get(&(agent, guild));
        way.map_or(Time::ZERO, |way| way.struck)
    }

    /// From when on nothing that has gone wrong may be felt there; `None` where it is not known yet.
    pub fn calm_from(&self, agent: usize, guild: usize) -> Option<Time> {
        match self.ways.get(&(agent, guild)) {
            Some(way) => way.lasting.is_empty().then_some(way.calm_from),
            None => Some(Time::ZERO),
        }
    }
}
