//! Passed: an agent passes on no wake that its host has not heard of.

use std::collections::BTreeMap;

use selvedge_core::{
    canonical,
    fabric::turns::Command,
    guild::fact::Fact,
    id::{ChannelId, MessageId, UserId},
};

use super::{Rule, Seen, View, tell};

/// Where users take turns, a round goes on when an agent passes, and nothing hangs: that is no excuse
/// for what was never handed over.
#[derive(Clone, Debug, Default)]
pub(super) struct Passed {
    /// With which message an agent was woken last.
    woken: BTreeMap<(usize, ChannelId, UserId), MessageId>,
}
canonical!(unsaved struct Passed { woken });

impl Rule for Passed {
    fn name(&self) -> &'static str {
        "nothing is passed on unheard"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        let Seen::Committed { guild, facts } = seen else {
            return Ok(());
        };
        for fact in *facts {
            if let Fact::Posted { message, woken } = fact {
                for user in woken {
                    let key = (*guild, message.channel_id.clone(), user.clone());
                    self.woken.insert(key, message.id.clone());
                }
            } else if let Fact::Rewoken {
                channel,
                message,
                user,
                ..
            } = fact
            {
                let key = (*guild, channel.clone(), user.clone());
                self.woken.insert(key, message.clone());
            } else if let Fact::Commanded {
                author,
                channel,
                command: Command::NoReply,
                ..
            } = fact
            {
                let key = (*guild, channel.clone(), author.clone());
                if let Some(message) = self.woken.get(&key)
                    && is_unheard(view, *guild, author, channel, message)
                {
                    let message = tell(view.ledger, *guild, message);
                    return Err(format!(
                        "{author} has passed on {message}, and its host got nothing of it"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether a message was to be handed over and was not.
fn is_unheard(
    view: View<'_>,
    guild: usize,
    user: &UserId,
    channel: &ChannelId,
    message: &MessageId,
) -> bool {
    let mut agents = view.setup.agents.iter();
    let (Some(agent), Some(known), Some(state)) = (
        agents.position(|agent| agent == user),
        view.ledger.message(guild, message),
        view.ledger.channel(guild, channel),
    ) else {
        return false;
    };
    let place = (agent, guild, channel.clone());
    let work = view.works.of(&place);
    let is_held_back = work.is_some_and(|work| work.guarded) || view.leaves_out(state);
    known.deleted.is_none()
        && !is_held_back
        && state.stay(user).is_some_and(|stay| stay.has(known.seq))
        && view.works.is_owed(agent, guild, message)
        && !view.works.is_handed(agent, guild, message)
}
