//! Posts: none is doubled, and one that is told to stand does.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_core::{
    canonical,
    fabric::types::Message,
    guild::fact::Fact,
    id::{ChannelId, MessageId, TurnId},
};

use super::{Rule, Seen, View, tell};

/// No two answers of a model of a host are the same, so that what stands twice was posted twice.
///
/// A host that does not say when a turn is done may be asked once more after a crash, though it has
/// answered, and nothing shows that its second answer is the first one. Neither does anything where a
/// host answers what it has said to be done: such a post is one of its process, not of the turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Posts {
    said: BTreeMap<(usize, ChannelId, usize, String), u32>,
    lives: BTreeMap<usize, u32>,
    /// What a guild has woken an agent with once more.
    rewoken: BTreeSet<(usize, MessageId)>,
    /// The turns that a host was handed last, by the message that it is to answer.
    turns: BTreeMap<(usize, MessageId), TurnId>,
    /// The turns that a host's process has said to be over.
    over: BTreeSet<(usize, TurnId)>,
}
canonical!(unsaved struct Posts { said, lives, rewoken, turns, over });

impl Rule for Posts {
    fn name(&self) -> &'static str {
        "posted once"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                if let Fact::Posted { message, .. } = fact {
                    self.on_posted(view, *guild, message)?;
                }
            }
            Ok(())
        } else if let Seen::Killed { agent } = seen {
            *self.lives.entry(*agent).or_default() += 1;
            self.over.retain(|(whose, _)| whose != agent);
            Ok(())
        } else if let Seen::Notified { agent, inbound, .. } = seen {
            for message in &inbound.messages {
                let told = (*agent, message.id.clone());
                if inbound.rewake {
                    self.rewoken.insert(told.clone());
                }
                self.turns.insert(told, inbound.turn_id.clone());
            }
            Ok(())
        } else if let Seen::TurnOver { agent, turn } = seen {
            self.over.insert((*agent, (*turn).clone()));
            Ok(())
        } else if let Seen::Sent { place, message } = seen {
            let (_, guild, channel) = place;
            let known = view.ledger.message(*guild, &message.message);
            let stands =
                known.is_some_and(|known| known.seq == message.seq && known.channel == *channel);
            match stands {
                true => Ok(()),
                false => Err(format!(
                    "message {} was said to stand in {channel}, and does not",
                    message.message
                )),
            }
        } else {
            Ok(())
        }
    }
}

impl Posts {
    fn on_posted(&mut self, view: View<'_>, guild: usize, message: &Message) -> Result<(), String> {
        let mut agents = view.setup.agents.iter();
        let Some(agent) = agents.position(|user| *user == message.author.id) else {
            return Ok(());
        };
        let life = self.lives.get(&agent).copied().unwrap_or_default();
        let place = message.channel_id.clone();
        let key = (guild, place, agent, message.content.clone());
        let Some(before) = self.said.insert(key, life) else {
            return Ok(());
        };
        let answers = message.reply_to_id.clone().map(|id| (agent, id));
        let rewoken = |it| self.rewoken.contains(it);
        let forgotten = view.setup.forgets() && answers.as_ref().is_some_and(rewoken);
        let turn = answers.and_then(|answers| self.turns.get(&answers));
        let late = turn.is_some_and(|turn| self.over.contains(&(agent, turn.clone())));
        let unnamed = late || !view.setup.says_done;
        let anew = before != life;
        match forgotten || (anew && unnamed) {
            true => Ok(()),
            false => Err(format!(
                "{} of {} stands there twice",
                tell(view.ledger, guild, &message.id),
                message.author.id
            )),
        }
    }
}
