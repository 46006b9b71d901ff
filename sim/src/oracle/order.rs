//! Order: what a host gets of one channel is in order of `seq`.

use std::collections::BTreeMap;

use super::{Place, Rule, Seen, View, tell};

/// A message that the guild wakes the agent with once more is older than what came meanwhile, and a
/// turn that is offered again is the last one.
#[derive(Debug, Default)]
pub(super) struct Order {
    last: BTreeMap<Place, u64>,
}

impl Rule for Order {
    fn name(&self) -> &'static str {
        "in order"
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        else {
            return Ok(());
        };
        let place = (*agent, *guild, inbound.channel.id.clone());
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
