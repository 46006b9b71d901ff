//! One turn: never two turns of one channel at once.

use std::collections::BTreeMap;

use selvedge_core::{Time, canonical, id::TurnId};

use super::{Place, Rule, Seen, View};

/// A turn runs from its handing over until its host says that it is over, or its time is up.
#[derive(Clone, Debug, Default)]
pub(super) struct OneTurn {
    running: BTreeMap<Place, (TurnId, Time)>,
}
canonical!(unsaved struct OneTurn { running });

impl Rule for OneTurn {
    fn name(&self) -> &'static str {
        "one turn at a time"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            self.running.retain(|(of, ..), _| of != agent);
        } else if let Seen::TurnOver { agent, turn } = seen {
            self.running
                .retain(|(of, ..), (running, _)| of != agent || running != *turn);
        } else if let Seen::NoReply { place } = seen {
            self.running.remove(place);
        } else if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            let place = (*agent, *guild, inbound.channel.id.clone());
            let turn = &inbound.turn_id;
            match self.running.get(&place) {
                // Offered once more, it has no more time than it had.
                Some((before, _)) if before == turn => return Ok(()),
                Some((before, until)) if *until > view.now => {
                    return Err(format!(
                        "turn {turn} of channel {} began while turn {before} was running",
                        inbound.channel.id
                    ));
                }
                Some(_) | None => {}
            }
            let until = view.now + view.setup.turn_most(false);
            self.running.insert(place, (turn.clone(), until));
        }
        Ok(())
    }
}
