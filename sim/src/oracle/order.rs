//! Order: what a host gets of one channel is in order of `seq`.

use std::collections::BTreeMap;

use selvedge_core::{canonical, fabric::types::Message, guild::fact::Fact};

use super::{Place, Rule, Seen, View, tell};

/// A message that the guild wakes the agent with once more is older than what came meanwhile, and a
/// turn that is offered again is the last one.
#[derive(Clone, Debug, Default)]
pub(super) struct Order {
    last: BTreeMap<Place, u64>,
    /// The same of the present process.
    fresh: BTreeMap<Place, u64>,
}
canonical!(unsaved struct Order { last, fresh });

impl Rule for Order {
    fn name(&self) -> &'static str {
        "in order"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            self.fresh.retain(|(of, ..), _| of != agent);
        }
        // An older store does not know what was handed over since.
        if let Seen::DiskRestored { agent, .. } = seen {
            self.last.retain(|(of, ..), _| of != agent);
        }
        if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                if let Fact::Posted { message, .. } = fact {
                    self.on_posted(*guild, message);
                }
            }
        }
        let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        else {
            return Ok(());
        };
        let place = (*agent, *guild, inbound.channel.id.clone());
        let newest = inbound.messages.iter().map(|told| told.seq).max();
        let newest = newest.unwrap_or_default();
        if !inbound.rewake {
            let fresh = self.fresh.entry(place.clone()).or_default();
            if inbound.redelivered && newest < *fresh {
                return Err(format!(
                    "turn {} was offered again after message {fresh} of the same channel",
                    inbound.turn_id
                ));
            }
            *fresh = newest.max(*fresh);
        }
        let last = self.last.entry(place).or_default();
        let mut before = if inbound.redelivered { 0 } else { *last };
        for message in &inbound.messages {
            if message.seq <= before && !inbound.rewake {
                return Err(format!(
                    "{} was handed over after {before} of the same channel",
                    tell(view.ledger, *guild, &message.id)
                ));
            }
            before = before.max(message.seq);
        }
        *last = before.max(*last);
        Ok(())
    }
}

impl Order {
    /// What is posted is newer than all that was handed over, also where the guild was restored from a
    /// backup and gives old numbers anew.
    fn on_posted(&mut self, posted_in: usize, message: &Message) {
        let all = self.last.iter_mut().chain(&mut self.fresh);
        for ((_, guild, channel), last) in all {
            if *guild == posted_in && *channel == message.channel_id {
                *last = (*last).min(message.seq.saturating_sub(1));
            }
        }
    }
}
