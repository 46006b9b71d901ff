//! The places of a world: an agent with its disk and its host, a guild node with its disk.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use selvedge_core::{
    Rng, Time,
    guild::{Config as GuildConfig, Guild},
    id::UserId,
    plugin::{agent::Agent, login_gate::Ticket},
};

use crate::{disk::Disk, host::Host, store::Store};

/// An agent, what it keeps, and its host.
#[derive(Debug)]
pub(super) struct AgentSite {
    pub(super) user: UserId,
    pub(super) rng: Rng,
    pub(super) machine: Agent,
    /// Its processes so far, and whether the last of them lives.
    pub(super) life: u64,
    pub(super) alive: bool,
    /// When that one began.
    pub(super) began: Time,
    pub(super) disk: Disk,
    pub(super) host: Host,
    /// The logins that are under way or wait at the gate, and whether each was let through.
    pub(super) tickets: Vec<(Ticket, bool)>,
    /// While set, Center is out of its reach.
    pub(super) refuses_logins: bool,
    /// The guilds of its last session.
    pub(super) granted: BTreeSet<usize>,
    /// What it has noted, by kind.
    pub(super) notes: BTreeMap<String, usize>,
    pub(super) dials: u64,
    pub(super) posts: u64,
    /// How many of its connections were open at most.
    pub(super) open_max: usize,
}

impl AgentSite {
    /// How many of its logins were let through and are not answered.
    pub(super) fn logs_in(&self) -> usize {
        let admitted = |(_, admitted): &&(Ticket, bool)| *admitted;
        self.tickets.iter().filter(admitted).count()
    }
}

/// A guild node and what it keeps.
#[derive(Debug)]
pub(super) struct GuildSite {
    pub(super) config: GuildConfig,
    pub(super) rng: Rng,
    pub(super) machine: Guild,
    /// Whether it knows no nonces, and history does not say whom a message wakes.
    pub(super) is_older: bool,
    /// Whether it does not know when an agent's process enters a channel for the first time.
    pub(super) is_reticent: bool,
    /// Its processes so far, and whether the last of them lives.
    pub(super) life: u64,
    pub(super) alive: bool,
    pub(super) store: Store,
    /// What its disk held when it was backed up.
    pub(super) backup: Store,
    /// How far its wall clock is off, in milliseconds.
    pub(super) clock: i64,
    /// How many of its next questions about tokens are not answered.
    pub(super) fails_introspections: u32,
    /// How long its store takes to commit.
    pub(super) commit: Duration,
    /// When it was dialed, within the last [`RUSH`].
    pub(super) dialed: VecDeque<Time>,
    /// How often it was dialed within that at most.
    pub(super) rush_max: usize,
}

/// Who dials within this dials at once.
const RUSH: Duration = Duration::from_millis(100);

impl GuildSite {
    /// Somebody dials it.
    pub(super) fn on_dial(&mut self, now: Time) {
        self.dialed.push_back(now);
        self.dialed.retain(|at| now.since(*at) < RUSH);
        self.rush_max = self.rush_max.max(self.dialed.len());
    }
}
