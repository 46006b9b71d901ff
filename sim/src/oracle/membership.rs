//! Membership: a host gets nothing from a time when its agent was not in the channel, and nothing that
//! the agent wrote itself.

use std::time::Duration;

use selvedge_core::{Time, canonical};

use super::{Rule, Seen, View, tell};

/// How long a turn may have been under way to its host already when the agent leaves.
const SLACK: Duration = Duration::from_secs(2);
/// How often something goes one way for that.
const WAYS: u32 = 4;

/// What was said before a membership, or after it, is nothing to the agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Membership;
canonical!(
    unsaved struct Membership {}
);

impl Rule for Membership {
    fn name(&self) -> &'static str {
        "only what it may hear"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
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
        let Some(user) = view.setup.agents.get(*agent) else {
            return Ok(());
        };
        let channel = view.ledger.channel(*guild, &inbound.channel.id);
        let stays = channel.map_or(&[][..], |channel| channel.stays(user));
        for message in inbound.messages.iter().chain(&inbound.context) {
            // A guild may wake a new member with what was said before.
            let known = view.ledger.message(*guild, &message.id);
            let rewoken = known.is_some_and(|known| known.rewoken.contains(user));
            if !rewoken && !stays.iter().any(|stay| stay.has(message.seq)) {
                return Err(format!(
                    "{} reached {user}, who was not in the channel then",
                    tell(view.ledger, *guild, &message.id)
                ));
            }
        }
        let slack = SLACK + view.setup.latency * WAYS;
        let calm = view.troubles.calm_from(*agent, *guild);
        for message in &inbound.messages {
            let known = view.ledger.message(*guild, &message.id);
            let rewoken = known.is_some_and(|known| known.rewoken.contains(user));
            let stay = stays.iter().rfind(|stay| stay.has(message.seq));
            let left = stay.and_then(|stay| stay.ended);
            let late = |at: &Time| *at + slack < view.now && calm.is_some_and(|calm| calm <= *at);
            if let Some(left) = left.filter(late)
                && !rewoken
            {
                return Err(format!(
                    "{} reached {user}, who had left the channel {:?} before",
                    tell(view.ledger, *guild, &message.id),
                    view.now.since(left)
                ));
            }
            if !view.setup.allows(&message.author.id, &inbound.channel.id) {
                return Err(format!(
                    "{} reached {user}, whom its author may not wake",
                    tell(view.ledger, *guild, &message.id)
                ));
            }
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
