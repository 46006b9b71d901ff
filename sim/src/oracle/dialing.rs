//! Dialing: a link that was live is dialed again soon.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use selvedge_core::{Time, canonical};

use super::{Rule, Seen, View};

/// How much later than the longest wait a dial may be: a token may have to be had for it.
const SLACK: Duration = Duration::from_secs(1);
/// With fewer dials than this in a minute a link has one left.
const DIALS: usize = 10;
const SPAN: Duration = Duration::from_secs(60);

/// Only where nothing else goes wrong meanwhile.
#[derive(Clone, Debug, Default)]
pub(super) struct Dialing {
    /// Since when a link is down.
    down: BTreeMap<(usize, usize), Time>,
    dials: BTreeMap<(usize, usize), VecDeque<Time>>,
}
canonical!(unsaved struct Dialing { down; - dials });

impl Rule for Dialing {
    fn name(&self) -> &'static str {
        "dialed again soon"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            self.down.retain(|(of, _), _| of != agent);
        } else if let Seen::Down { agent, guild } = seen {
            // What was wrong before is felt for longer: logins that hang, or are used up, perhaps for
            // another guild.
            let mut ways = (0..view.setup.guilds.len()).map(|guild| (*agent, guild));
            let is_calm = |(agent, guild)| {
                let calm = view.troubles.calm_from(agent, guild);
                calm.is_some_and(|calm| calm.since(view.now) < SPAN)
            };
            if ways.all(is_calm) {
                self.down.insert((*agent, *guild), view.now);
            }
        } else if let Seen::Dialed { agent, guild, .. } = seen {
            let way = (*agent, *guild);
            let dials = self.dials.entry(way).or_default();
            dials.retain(|at| view.now.since(*at) < SPAN);
            let few = dials.len() < DIALS;
            dials.push_back(view.now);
            let Some(since) = self.down.remove(&way) else {
                return Ok(());
            };
            let most = view.setup.config.backoff.after_live + SLACK;
            let alone = view.troubles.none_since(*agent, *guild, since);
            if alone && few && since + most < view.now {
                return Err(format!(
                    "agent {agent} had lost guild {guild} for {:?} before it was dialed again",
                    view.now.since(since)
                ));
            }
        }
        Ok(())
    }
}
