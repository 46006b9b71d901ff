//! Loops: two agents do not answer each other without end.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use selvedge_core::{
    Time, canonical,
    fabric::types::Message,
    guild::fact::Fact,
    id::{ChannelId, MessageId, UserId},
    plugin::inbound::Inbound,
};

use super::{Place, Rule, Seen, View};

/// How many more answers there may be than the guard takes for a loop: the guild has a post earlier than its
/// author knows, and of turns that overlap not every answer names the turn that it is for.
const MORE: usize = 4;
/// How many answers of one agent to another one are remembered.
const ANSWERS_MAX: usize = 1_000;

/// What waits already when the guard strikes is answered, however much it is. So what counts is how many
/// answers there were before an answered message can have come.
///
/// Counts per process and membership, as the guard does.
#[derive(Clone, Debug, Default)]
pub(super) struct Loops {
    /// When an agent has answered another one.
    answered: BTreeMap<(Place, UserId), VecDeque<Time>>,
    /// When a process has handed a message over.
    handed: BTreeMap<(usize, usize, MessageId), Time>,
}
canonical!(unsaved struct Loops { answered, handed });

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
            self.handed.retain(|(of, ..), _| of != agent);
        } else if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            self.on_notified(view, (*agent, *guild), inbound);
        } else if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                if let Fact::Posted { message, .. } = fact {
                    self.on_posted(view, *guild, message)?;
                } else if let Fact::NoMember { channel, user } = fact {
                    self.on_left(view, (*guild, channel), user);
                }
            }
        }
        Ok(())
    }
}

impl Loops {
    fn on_notified(&mut self, view: View<'_>, (agent, guild): (usize, usize), inbound: &Inbound) {
        let told = inbound.messages.iter();
        for message in told.filter(|told| view.setup.is_agent(&told.author.id)) {
            let key = (agent, guild, message.id.clone());
            self.handed.insert(key, view.now);
        }
    }

    fn on_left(&mut self, view: View<'_>, (guild, channel): (usize, &ChannelId), user: &UserId) {
        let mut agents = view.setup.agents.iter();
        if let Some(who) = agents.position(|known| known == user) {
            let left = (who, guild, channel.clone());
            self.answered.retain(|(place, _), _| *place != left);
        }
    }

    fn on_posted(&mut self, view: View<'_>, guild: usize, message: &Message) -> Result<(), String> {
        let mut agents = view.setup.agents.iter();
        let who = agents.position(|known| *known == message.author.id);
        let answered = message.reply_to_id.as_ref().and_then(|id| {
            let answered = view.ledger.message(guild, id)?;
            Some((id, answered))
        });
        let (Some(who), Some((id, answered))) = (who, answered) else {
            return Ok(());
        };
        if !view.setup.is_agent(&answered.author) {
            return Ok(());
        }
        let place = (who, guild, message.channel_id.clone());
        let key = (place, answered.author.clone());
        let moments = self.answered.entry(key).or_default();
        let handed = self.handed.get(&(who, guild, id.clone()));
        let handed = handed.copied().unwrap_or(view.now);
        let config = &view.setup.config;
        let most = (config.loop_turns as usize).saturating_add(MORE);
        let times = match moments.len() > most {
            true => least(moments, answered.at, handed, config.loop_window),
            false => 0,
        };
        moments.push_back(view.now);
        if moments.len() > ANSWERS_MAX {
            moments.pop_front();
        }
        match times > most {
            true => Err(format!(
                "{} has answered {}, whom it had answered {times} times within {:?} when that came, {} \
                 make a loop",
                message.author.id, answered.author, config.loop_window, config.loop_turns
            )),
            false => Ok(()),
        }
    }
}

/// How many of these moments lie at least within `span` before a moment between these two.
fn least(moments: &VecDeque<Time>, from: Time, until: Time, span: Duration) -> usize {
    let ends = moments.iter().map(|moment| *moment + span);
    let ends = ends.filter(|end| from < *end && *end < until);
    let counts = ends.chain([from, until]).map(|at| {
        let within = |moment: &&Time| **moment < at && at < **moment + span;
        moments.iter().filter(within).count()
    });
    counts.min().unwrap_or_default()
}
