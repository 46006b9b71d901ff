//! Spread: the links of many agents that end together do not come back together.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{Time, canonical};

use super::{Rule, Seen, View};

/// What ends within this ends together.
const TOGETHER: Duration = Duration::from_secs(1);
/// Of so many links not all may have waited equally long. By chance that is one time in a million.
const LINKS: usize = 8;
/// What differs by no more is equal.
const EQUAL: Duration = Duration::from_millis(100);

/// What waits for longer than its link may waits for something else, a login perhaps.
#[derive(Clone, Debug, Default)]
pub(super) struct Spread {
    groups: BTreeMap<usize, Group>,
}
canonical!(unsaved struct Spread { groups });

/// Some links of a guild that ended together, in the order in which they did: those that come back first
/// have waited about equally long, however many there are.
#[derive(Clone, Debug, Default)]
struct Group {
    began: Time,
    links: Vec<Link>,
}
canonical!(unsaved struct Group { began, links });

/// Whose link it was, when it ended, and how long it was not dialed again.
#[derive(Clone, Debug)]
struct Link {
    agent: usize,
    ended: Time,
    waited: Option<Duration>,
}
canonical!(unsaved struct Link { agent, ended, waited });

impl Rule for Spread {
    fn name(&self) -> &'static str {
        "links come back one by one"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            for group in self.groups.values_mut() {
                group.links.retain(|link| link.agent != *agent);
            }
        } else if let Seen::Down { agent, guild } = seen {
            let group = self.groups.entry(*guild).or_default();
            group.on_down(view.now, *agent);
        } else if let Seen::Dialed { agent, guild, .. } = seen
            && let Some(group) = self.groups.get_mut(guild)
        {
            let most = view.setup.config.backoff.after_live;
            return group
                .on_dialed(view.now, *agent, most)
                .map_err(|why| format!("{LINKS} links to guild {guild} {why}"));
        }
        Ok(())
    }
}

impl Group {
    fn on_down(&mut self, now: Time, agent: usize) {
        if now.since(self.began) > TOGETHER {
            self.links.clear();
        }
        if self.links.is_empty() {
            self.began = now;
        }
        if self.links.len() < LINKS {
            self.links.push(Link {
                agent,
                ended: now,
                waited: None,
            });
        }
    }

    fn on_dialed(&mut self, now: Time, agent: usize, most: Duration) -> Result<(), String> {
        let mut links = self.links.iter_mut();
        let Some(link) = links.find(|link| link.agent == agent && link.waited.is_none()) else {
            return Ok(());
        };
        link.waited = Some(now.since(link.ended));
        self.links
            .retain(|link| link.waited.is_none_or(|waited| waited <= most));
        let waits = self.links.iter().map(|link| link.waited);
        let Some(waits) = waits.collect::<Option<Vec<Duration>>>() else {
            return Ok(());
        };
        if waits.len() < LINKS {
            return Ok(());
        }
        self.links.clear();
        let least = waits.iter().min().copied().unwrap_or_default();
        let most = waits.iter().max().copied().unwrap_or_default();
        match most - least <= EQUAL {
            true => Err(format!(
                "ended together, and all were dialed again after {least:?} to {most:?}"
            )),
            false => Ok(()),
        }
    }
}
