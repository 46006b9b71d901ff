//! Rounds: where users take turns, no round waits for an agent that does nothing.

use std::{collections::BTreeSet, time::Duration};

use selvedge_core::{Time, canonical, guild::fact::Fact, id::ChannelId};

use super::{Rule, Seen, View};

/// How long an agent may take to begin its turn, or to pass it on, besides the ways of its words.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often something goes one way for it.
const WAYS: u32 = 12;
/// How often an agent logs in at most: a session that lives shorter may have to be waited for.
const LOGIN: Duration = Duration::from_secs(10);
/// How often is looked whether anything hangs.
const EVERY: Duration = Duration::from_secs(1);

/// Only where nothing has gone wrong since the guild began to wait: a wake is pushed once. What was ever
/// closed takes no word of the agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    closed: BTreeSet<(usize, ChannelId)>,
    looked: Time,
}
canonical!(unsaved struct Rounds { closed; - looked });

impl Rule for Rounds {
    fn name(&self) -> &'static str {
        "no round hangs"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                if let Fact::Channel(row) = fact
                    && row.closed
                {
                    self.closed.insert((*guild, row.id.clone()));
                }
            }
        }
        if view.now.since(self.looked) < EVERY {
            return Ok(());
        }
        self.looked = view.now;
        for (guild, id, channel) in view.ledger.all_channels() {
            let Some(speaker) = &channel.speaker else {
                continue;
            };
            let mut agents = view.setup.agents.iter();
            let Some(agent) = agents.position(|user| user == speaker) else {
                continue;
            };
            let place = (agent, guild, id.clone());
            let calm = view.troubles.calm_from(agent, guild);
            // Of a flood it may say of each message that it has it, one after the other.
            let busy = view.works.of(&place);
            let busy = busy.map_or(Time::ZERO, |work| work.busy_until().max(work.asked));
            let from = channel.speaks_since.max(channel.last_at).max(busy);
            let patience = PATIENCE + view.setup.latency * WAYS;
            let config = &view.setup.config;
            let login = Some(LOGIN).filter(|every| config.session_ttl < *every);
            let patience = patience + login.unwrap_or_default();
            let patience = patience + config.coalesce.unwrap_or_default();
            let is_calm = calm.is_some_and(|calm| calm <= channel.speaks_since);
            let is_closed = self.closed.contains(&(guild, id.clone()));
            if is_calm && !is_closed && from + patience < view.now {
                return Err(format!(
                    "channel {id} has waited for {speaker} for {:?}, and {speaker} for nothing",
                    view.now.since(from)
                ));
            }
        }
        Ok(())
    }
}
