//! Once: no message is handed over twice, but for a turn that is offered again and says so.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_core::{
    canonical,
    guild::fact::Fact,
    id::{ChannelId, MessageId, TurnId, UserId},
    plugin::{config::Profile, wakes::is_of},
};

use super::{Rule, Seen, View, tell};

/// A turn that was running when its process ended is offered again, by a limited number of processes;
/// to a host of the profile `claude`, which loses what it is told, once more by the same process.
#[derive(Clone, Debug, Default)]
pub(super) struct Once {
    /// In which turn a message was handed over first.
    turns: BTreeMap<(usize, usize, MessageId), TurnId>,
    offers: BTreeMap<(usize, TurnId), Offers>,
    lives: BTreeMap<usize, u32>,
    /// The turns that are over.
    over: BTreeSet<(usize, TurnId)>,
}
canonical!(unsaved struct Once { turns, offers, lives, over });

#[derive(Clone, Debug, Default)]
struct Offers {
    /// The last process that offered it, and how often it did.
    life: u32,
    times: u32,
    /// How many processes have.
    lives: u32,
}
canonical!(unsaved struct Offers { life, times, lives });

impl Rule for Once {
    fn name(&self) -> &'static str {
        "once"
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) -> Result<(), String> {
        if let Seen::Killed { agent } = seen {
            *self.lives.entry(*agent).or_default() += 1;
        } else if let Seen::TurnOver { agent, turn } = seen {
            self.over.insert((*agent, (*turn).clone()));
        } else if let Seen::DiskRestored { agent, .. } = seen {
            self.on_disk_restored(view, *agent);
        } else if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            let life = self.lives.get(agent).copied().unwrap_or_default();
            for message in &inbound.messages {
                let key = (*agent, *guild, message.id.clone());
                let turn = &inbound.turn_id;
                let known = self.turns.entry(key).or_insert_with(|| turn.clone());
                let forgotten = inbound.rewake && view.setup.forgets();
                if known != turn && !forgotten {
                    return Err(format!(
                        "{} was handed over in turn {} and again in turn {turn}",
                        tell(view.ledger, *guild, &message.id),
                        known
                    ));
                }
            }
            let key = (*agent, inbound.turn_id.clone());
            let offers = self.offers.entry(key).or_default();
            return offers
                .on_offer(view, life, inbound.redelivered)
                .map_err(|why| format!("turn {} {why}", inbound.turn_id));
        } else if let Seen::Committed { guild, facts } = seen {
            // A guild that was restored from a backup may give ids anew.
            for fact in *facts {
                if let Fact::Posted { message, .. } = fact {
                    for agent in 0..view.setup.agents.len() {
                        self.turns.remove(&(agent, *guild, message.id.clone()));
                    }
                } else if let Fact::NoMember { channel, user } = fact {
                    self.on_left(view, (*guild, channel), user);
                }
            }
        }
        Ok(())
    }
}

impl Once {
    /// A turn that was running when its process ended is not offered again where its channel was left since:
    /// a guild that wakes a member anew with the same message begins another one.
    fn on_left(&mut self, view: View<'_>, (guild, channel): (usize, &ChannelId), user: &UserId) {
        let mut agents = view.setup.agents.iter();
        let Some(agent) = agents.position(|known| known == user) else {
            return;
        };
        let Self {
            turns,
            offers,
            lives,
            over,
        } = self;
        let life = lives.get(&agent).copied().unwrap_or_default();
        turns.retain(|(of, at, message), turn| {
            let known = view.ledger.message(guild, message);
            let is_there = known.is_some_and(|known| known.channel == *channel);
            let key = (agent, turn.clone());
            let is_cut_off = offers.get(&key).is_some_and(|offers| offers.life < life);
            *of != agent || *at != guild || !is_there || !is_cut_off || over.contains(&key)
        });
    }

    /// An older store does not know what was handed over since. An answer shows that, of what it answers and
    /// all before it, where it names the turn that it was made in, which a late one does not, a guild knows
    /// nonces and history is read that far.
    fn on_disk_restored(&mut self, view: View<'_>, agent: usize) {
        self.offers.retain(|(of, _), _| *of != agent);
        let user = view.setup.agents.get(agent);
        let turns = self.turns.clone();
        self.turns.retain(|(of, guild, message), _| {
            let known = view.ledger.message(*guild, message);
            let channel = known.and_then(|known| view.ledger.channel(*guild, &known.channel));
            let (Some(known), Some(channel)) = (known, channel) else {
                return *of != agent;
            };
            let mut later = channel.messages.range(known.seq..);
            let answered = |id: &MessageId| {
                let post = view.ledger.message(*guild, id)?;
                let answers = post.reply_to.as_ref()?;
                let turn = turns.get(&(agent, *guild, answers.clone()))?;
                let names = |nonce: &String| is_of(turn, nonce);
                let is_own = Some(&post.author) == user && post.nonce.as_ref().is_some_and(names);
                let answered = view.ledger.message(*guild, answers)?;
                is_own.then_some(answered.seq)
            };
            let is_answered = later.any(|(_, id)| answered(id).is_some_and(|seq| known.seq <= seq));
            let tells = view.setup.says_done
                && !view.setup.older.contains(guild)
                && !view.leaves_out(channel);
            *of != agent || (is_answered && tells)
        });
    }
}

impl Offers {
    fn on_offer(&mut self, view: View<'_>, life: u32, redelivered: bool) -> Result<(), String> {
        let first = self.lives == 0;
        if first || self.life != life {
            self.life = life;
            self.lives += 1;
            self.times = 0;
        }
        self.times += 1;
        let most = match view.setup.config.profile {
            Profile::Plexum => 1,
            Profile::Claude => 2,
        };
        if self.times > most {
            return Err(format!(
                "was handed over {} times by one process",
                self.times
            ));
        }
        if self.lives > view.setup.config.attempts_max {
            return Err(format!("was handed over by {} processes", self.lives));
        }
        let is_new = first && self.times == 1;
        if !redelivered && !is_new {
            return Err("was handed over again, and does not say so".to_string());
        }
        Ok(())
    }
}
