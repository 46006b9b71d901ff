//! Membership: a host gets nothing from a time when its agent was not in the channel, and nothing that
//! the agent wrote itself.

use std::collections::BTreeMap;

use selvedge_core::Time;

use super::{Rule, Seen, View, tell};

/// What was said before a membership, or after it, is nothing to the agent.
///
/// Forgiven is what was said between two memberships both of whose ends fell into an absence: the agent
/// reads on where it was, before a listing tells it of them.
#[derive(Debug, Default)]
pub(super) struct Membership {
    /// When an agent dialed a guild last.
    dialed: BTreeMap<(usize, usize), Time>,
}

impl Rule for Membership {
    fn name(&self) -> &'static str {
        "only what it may hear"
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Dialed { agent, guild, .. } = seen {
            self.dialed.insert((*agent, *guild), view.now);
        }
        let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        else {
            return Ok(());
        };
        let Some(user) = view.setup.agents.get(*agent) else {
            return Ok(());
        };
        let channel = view.ledger.channel(*guild, &inbound.channel.id);
        let stays = channel.map_or(&[][..], |channel| channel.stays(user));
        for message in inbound.messages.iter().chain(&inbound.context) {
            // A guild may wake a new member with what was said before.
            let known = view.ledger.message(*guild, &message.id);
            let rewoken = known.is_some_and(|known| known.rewoken.contains(user));
            let dialed = self.dialed.get(&(*agent, *guild)).copied();
            let missed = stays.windows(2).any(|pair| {
                let [before, next] = pair else {
                    return false;
                };
                let between = before.until < Some(message.seq) && message.seq <= next.after;
                between && dialed > before.ended_at
            });
            if !rewoken && !missed && !stays.iter().any(|stay| stay.has(message.seq)) {
                return Err(format!(
                    "{} reached {user}, who was not in the channel then",
                    tell(view.ledger, *guild, &message.id)
                ));
            }
        }
        for message in &inbound.messages {
            if message.author.id == *user {
                return Err(format!(
                    "{} was handed to its own author",
                    tell(view.ledger, *guild, &message.id)
                ));
            }
        }
        Ok(())
    }
}
