//! Rotating: a connection is replaced before its token dies.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{Time, canonical};

use super::{Rule, Seen, View};

/// How long after the death of the token the next one is presented at the latest.
const SLACK: Duration = Duration::from_secs(2);
/// How often something goes one way meanwhile.
const WAYS: u32 = 12;

/// Only where nothing has gone wrong since that token was presented: a guild that cannot be reached
/// keeps the connection that there is.
#[derive(Clone, Debug, Default)]
pub(super) struct Rotating {
    /// Since when the last token is known to the guild, and when it dies.
    tokens: BTreeMap<(usize, usize), (Time, Time)>,
}
canonical!(unsaved struct Rotating { tokens });

impl Rule for Rotating {
    fn name(&self) -> &'static str {
        "replaced before its token dies"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            self.tokens.retain(|(of, _), _| of != agent);
        } else if let Seen::Presented {
            agent,
            guild,
            expires,
            wall,
            others,
        } = seen
        {
            let way = (*agent, *guild);
            let dies = expires.map(|expires| view.now + expires.since(*wall));
            let others = others
                .iter()
                .filter(|other| other.sound && other.talk.connected);
            if let (Some(dies), Some(before)) = (dies, others.filter_map(|it| it.dies).max())
                && dies <= before
            {
                return Err(format!(
                    "agent {agent} replaces a connection to guild {guild} by one whose token dies no later"
                ));
            }
            match expires.filter(|expires| expires > wall) {
                Some(expires) => {
                    let dies = view.now + expires.since(*wall);
                    self.tokens.insert(way, (view.now, dies));
                }
                None => {
                    self.tokens.remove(&way);
                }
            }
        } else if let Seen::Requested { agent, guild, .. } = seen {
            let way = (*agent, *guild);
            let slack = SLACK + view.setup.latency * WAYS;
            let late = |(_, dies): &(Time, Time)| *dies + slack < view.now;
            if let Some((presented, dies)) = self.tokens.get(&way).filter(|it| late(it)) {
                let calm = view.troubles.calm_from(*agent, *guild);
                if calm.is_some_and(|calm| calm <= *presented) {
                    return Err(format!(
                        "the token of agent {agent} in guild {guild} died {:?} ago, and no other was presented",
                        view.now.since(*dies)
                    ));
                }
            }
        }
        Ok(())
    }
}
