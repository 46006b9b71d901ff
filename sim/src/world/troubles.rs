//! What the world does to the way between agents and guilds, as the oracle is told of it.

use selvedge_core::Time;

use super::{Target, World};
use crate::oracle::troubles::{Lasting, Trouble};

impl World {
    /// Something goes wrong between an agent and a guild now.
    pub(super) fn trouble(&mut self, agent: usize, guild: usize) {
        self.trouble_until(agent, guild, self.now);
    }

    /// Something goes wrong between an agent and a guild until then.
    pub(super) fn trouble_until(&mut self, agent: usize, guild: usize, until: Time) {
        let way = (agent, guild);
        self.oracle.strike(self.now, way, until, Trouble::Other);
    }

    /// A connection between an agent and a guild ends now.
    pub(super) fn trouble_ended(&mut self, agent: usize, guild: usize) {
        let way = (agent, guild);
        self.oracle.strike(self.now, way, self.now, Trouble::Ended);
    }

    /// Something goes wrong until then between whoever is meant.
    pub(super) fn troubles_until(&mut self, target: Target, until: Time) {
        for agent in self.agents_of(target) {
            for guild in self.guilds_of(target) {
                self.trouble_until(agent, guild, until);
            }
        }
    }

    /// Something is wrong from now on between whoever is meant, or is not any more.
    pub(super) fn lasting(&mut self, target: Target, what: Lasting, lasts: bool) {
        for agent in self.agents_of(target) {
            for guild in self.guilds_of(target) {
                self.oracle.last(self.now, (agent, guild), what, lasts);
            }
        }
    }
}

impl Target {
    /// One agent, with every guild.
    pub(super) fn agent(agent: usize) -> Self {
        Self {
            agent: Some(agent),
            guild: None,
        }
    }

    /// One guild, with every agent.
    pub(super) fn guild(guild: usize) -> Self {
        Self {
            agent: None,
            guild: Some(guild),
        }
    }
}
