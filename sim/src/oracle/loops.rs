//! Loops: two agents do not answer each other without end.

use std::collections::{BTreeMap, VecDeque};

use selvedge_core::{Time, canonical, fabric::types::Message, guild::fact::Fact, id::UserId};

use super::{Place, Rule, Seen, View, window::count};

/// How many more answers there may be than the guard takes for a loop, as a share of that: what waits
/// already is answered, and the guild has a post earlier than its author knows.
const SHARE: usize = 3;
const MORE: usize = 10;

/// Counts per process, as the guard does.
#[derive(Clone, Debug, Default)]
pub(super) struct Loops {
    /// When an agent has answered another one within the window of the guard.
    answered: BTreeMap<(Place, UserId), VecDeque<Time>>,
}
canonical!(unsaved struct Loops { answered });

impl Rule for Loops {
    fn name(&self) -> &'static str {
        "no loop without end"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            self.answered.retain(|((of, ..), _), _| of != agent);
        } else if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                if let Fact::Posted { message, .. } = fact {
                    self.on_posted(view, *guild, message)?;
                }
            }
        }
        Ok(())
    }
}

impl Loops {
    fn on_posted(&mut self, view: View<'_>, guild: usize, message: &Message) -> Result<(), String> {
        let agent = |user: &UserId| view.setup.agents.iter().position(|known| known == user);
        let answered = message.reply_to_id.as_ref();
        let answered = answered.and_then(|id| view.ledger.message(guild, id));
        let (Some(who), Some(answered)) = (agent(&message.author.id), answered) else {
            return Ok(());
        };
        if agent(&answered.author).is_none() {
            return Ok(());
        }
        let place = (who, guild, message.channel_id.clone());
        let key = (place, answered.author.clone());
        let moments = self.answered.entry(key).or_default();
        let config = &view.setup.config;
        let times = count(moments, view.now, config.loop_window);
        let most = (config.loop_turns as usize).saturating_mul(SHARE) + MORE;
        match times > most {
            true => Err(format!(
                "{} has answered {} {times} times within {:?}, {} make a loop",
                message.author.id, answered.author, config.loop_window, config.loop_turns
            )),
            false => Ok(()),
        }
    }
}
