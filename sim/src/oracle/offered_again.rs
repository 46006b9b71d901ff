//! Offered again: what a host has lost on the way to it is handed over once more.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{Time, canonical, guild::fact::Fact, id::TurnId, plugin::config::Profile};

use super::{Place, Rule, Seen, View};

/// How much later than its patience the plugin may be.
const SLACK: Duration = Duration::from_secs(1);

/// A host of the profile `claude` loses what it is told in its first moments. Where no tool call names
/// the channel, that shows, and the same process hands the turn over once more.
#[derive(Clone, Debug, Default)]
pub(super) struct OfferedAgain {
    /// How often a process has handed each turn over.
    offered: BTreeMap<(usize, TurnId), u32>,
    /// What was lost, and until when it must be handed over once more.
    lost: BTreeMap<Place, (TurnId, Time)>,
}
canonical!(unsaved struct OfferedAgain { offered, lost });

impl Rule for OfferedAgain {
    fn name(&self) -> &'static str {
        "what was lost is offered again"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            self.offered.retain(|(of, _), _| of != agent);
            self.lost.retain(|(of, ..), _| of != agent);
        } else if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            let place = (*agent, *guild, inbound.channel.id.clone());
            self.lost.remove(&place);
            let offered = (*agent, inbound.turn_id.clone());
            *self.offered.entry(offered).or_default() += 1;
        } else if let Seen::Unheard { place, turn } = seen {
            let config = &view.setup.config;
            let offered = self.offered.get(&(place.0, (*turn).clone()));
            let is_first = offered.is_none_or(|times| *times == 1);
            // A turn that is over before is not offered again.
            let lasts = config.turn_timeout > config.receipt_patience + SLACK;
            if config.profile == Profile::Claude && is_first && lasts {
                let until = view.now + config.receipt_patience + SLACK;
                self.lost.insert(place.clone(), ((*turn).clone(), until));
            }
        } else if let Seen::Named { place } = seen {
            self.lost.remove(place);
        } else if let Seen::TurnOver { agent, turn } = seen {
            self.lost
                .retain(|(of, ..), (lost, _)| of != agent || lost != *turn);
        } else if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                if let Fact::NoMember { channel, user } = fact {
                    self.lost.retain(|(of, at, id), _| {
                        let is_user = view.setup.agents.get(*of) == Some(user);
                        !is_user || at != guild || id != channel
                    });
                }
            }
        }
        let mut lost = self.lost.iter();
        match lost.find(|(_, (_, until))| *until < view.now) {
            Some(((.., channel), (turn, _))) => Err(format!(
                "turn {turn} of channel {channel} never reached its host, and was not handed over once more"
            )),
            None => Ok(()),
        }
    }
}
