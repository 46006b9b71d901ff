//! The time after the faults: everybody must be live, and everything must be accounted for.

use std::{collections::BTreeSet, time::Duration};

use selvedge_core::id::{ChannelId, UserId};

use super::{Event, World};
use crate::{
    oracle::{Breach, because::About},
    script::Deed,
};

/// How often is looked whether anything is still owed.
const EVERY: Duration = Duration::from_secs(10);
/// What is said in every channel, so that whatever was skipped is told.
const PROBE: &str = "hush: is everybody back?";

/// How often that is said, where it may itself be left out.
const ROUNDS: u32 = 5;

/// How far the time after the faults has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Settling {
    /// Nobody was asked yet.
    #[default]
    Coming,
    /// What is owed is looked at, before a last message to every channel and after it.
    Working {
        /// How many channels got that.
        probed: usize,
        /// How often all of them have.
        rounds: u32,
    },
    /// Nothing is owed.
    Over,
}

impl Settling {
    pub(super) fn is_over(self) -> bool {
        self == Self::Over
    }
}

impl World {
    /// Looks whether everybody is back, and anything is still owed.
    pub(super) fn settle(&mut self) {
        let (probed, mut rounds) = match self.settling {
            Settling::Coming => {
                if let Err((about, why)) = self.all_live() {
                    return self.oracle.breach(Breach {
                        rule: "every link comes back",
                        at: self.now,
                        why,
                        about,
                    });
                }
                self.open_all();
                (0, 0)
            }
            Settling::Working { probed, rounds } => (probed, rounds),
            Settling::Over => return,
        };
        let owed = self.oracle.owed(self.now, &self.present());
        let mut next = probed;
        // What was left out is told with the next turn, so there must be one; one channel after the
        // other, so that nothing is left out for that.
        match (owed, self.speakers().get(probed)) {
            (Ok(Some(_)), _) if probed == 0 => {}
            (Ok(_), Some((channel, who))) => {
                self.probe(channel, who);
                next += 1;
            }
            (Ok(Some(_)), None) => {}
            (Ok(None), None) => {
                self.settling = Settling::Over;
                return;
            }
            (Err(breach), _) if !self.oracle.setup().skips() || rounds >= ROUNDS => {
                return self.oracle.breach(breach);
            }
            (Err(_), Some((channel, who))) => {
                self.probe(channel, who);
                next += 1;
            }
            (Err(_), None) => {
                next = 0;
                rounds += 1;
            }
        }
        let probed = next;
        self.settling = Settling::Working { probed, rounds };
        self.schedule(EVERY, Event::Settle);
    }

    fn all_live(&self) -> Result<(), (About, String)> {
        for (agent, site) in self.agents.iter().enumerate() {
            let mut about = About {
                agent: Some(agent),
                ..About::default()
            };
            let mut live = 0;
            for (guild, is_live, _) in site.machine.guilds() {
                if !is_live {
                    about.guild = self.guild_named(guild.as_str());
                    return Err((about, format!("{} is not live in {guild}", site.user)));
                }
                live += 1;
            }
            // Where Center has not told of a guild, nobody can be there before the next login.
            if live < site.granted.len() {
                return Err((about, format!("{} is in {live} guilds only", site.user)));
            }
        }
        Ok(())
    }

    /// The guilds in which agents are at all.
    fn present(&self) -> BTreeSet<(usize, usize)> {
        let mut present = BTreeSet::new();
        for (agent, site) in self.agents.iter().enumerate() {
            let guilds = site.machine.guilds();
            let known = guilds.filter_map(|(guild, ..)| self.guild_named(guild.as_str()));
            present.extend(known.map(|guild| (agent, guild)));
        }
        present
    }

    /// Somebody who may speak in every channel.
    fn speakers(&self) -> Vec<(String, String)> {
        let named = self.people.named();
        let found = named.filter_map(|(name, guild, id)| {
            let speaker = self.speaker_of(*guild, id)?;
            Some((name.clone(), speaker.to_string()))
        });
        found.collect()
    }

    fn speaker_of(&self, guild: usize, id: &ChannelId) -> Option<&UserId> {
        let channel = self.oracle.ledger().channel(guild, id)?;
        let is_agent = |user: &UserId| self.agents.iter().any(|site| site.user == *user);
        channel.members().find(|user| !is_agent(user))
    }

    fn open_all(&mut self) {
        for (channel, who) in self.speakers() {
            let closed = false;
            self.do_deed(&who, None, &Deed::SetClosed { channel, closed });
        }
    }

    fn probe(&mut self, channel: &str, who: &str) {
        let post = Deed::Post {
            channel: channel.to_string(),
            content: PROBE.to_string(),
        };
        self.do_deed(who, None, &post);
    }
}
