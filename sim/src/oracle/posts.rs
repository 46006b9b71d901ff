//! Posts: none is doubled, and one that is told to stand does.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_core::{
    Time, canonical,
    fabric::{routes::PostBody, types::Message},
    guild::fact::Fact,
    http::{Method, Request},
    id::{ChannelId, MessageId, TurnId},
    plugin::inbound::Inbound,
};

use super::{Place, Rule, Seen, View, requests::messages_of, tell};

/// What a question for less than the newest of a channel has.
const AFTER: &str = "afterSeq=";

/// No two answers of a model of a host are the same, so that what stands twice was posted twice.
///
/// A host that does not say when a turn is done may be asked once more after a crash, though it has
/// answered, and nothing shows that its second answer is the first one. Neither does anything where a
/// host answers what it has said to be done, or later than it is waited for: such a post is one of its
/// process, not of the turn.
///
/// A guild without nonces may get a request after it was given up. Nobody can know of that who has
/// looked for what it was to post, and has found nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Posts {
    said: BTreeMap<(usize, ChannelId, usize, String), Said>,
    lives: BTreeMap<usize, u32>,
    /// The first process of an agent since its disk was last restored from a backup.
    restored: BTreeMap<usize, u32>,
    /// What a guild has woken an agent with once more.
    rewoken: BTreeSet<(usize, MessageId)>,
    /// The turns that a host was handed last, by the message that it is to answer.
    turns: BTreeMap<(usize, MessageId), Handed>,
    /// The turns that a host's process has said to be over.
    over: BTreeSet<(usize, TurnId)>,
    /// When an agent has first looked into the newest of a channel since its last post there.
    looked: BTreeMap<Place, Time>,
    /// What is known of the last request for each post.
    sought: BTreeMap<(Place, String), Sought>,
}
canonical!(unsaved struct Posts { said, lives, restored, rewoken, turns, over, sought; - looked });

/// A request for a post.
#[derive(Clone, Copy, Debug)]
struct Sought {
    /// Which process has sent it; what it posts may be stored after that was killed.
    life: u32,
    /// When it had looked for what it was to post, or else when it sent it.
    at: Time,
}
canonical!(unsaved struct Sought { life; - at });

/// A turn that a host was handed.
#[derive(Clone, Debug)]
struct Handed {
    turn: TurnId,
    /// By which process.
    life: u32,
    /// Until when it may run, at most; that it is handed over once more changes nothing.
    until: Time,
}
canonical!(unsaved struct Handed { turn, life; - until });

/// What an agent has said in a channel.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// By which of its processes.
    life: u32,
    /// Whether its turn was over by then.
    late: bool,
    /// When it was stored first.
    at: Time,
}
canonical!(unsaved struct Said { life, late; - at });

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
        } else if let Seen::GuildRestored { guild } = seen {
            // What was posted since the backup stands nowhere, and is posted again where its answer was lost.
            self.said.retain(|(of, ..), _| of != guild);
            Ok(())
        } else if let Seen::DiskRestored { agent, .. } = seen {
            // A post without a nonce does not show what it was an answer to, nor does one that is still on
            // its way.
            let life = self.lives.get(agent).copied().unwrap_or_default();
            self.restored.insert(*agent, life);
            let older = &view.setup.older;
            self.said
                .retain(|(guild, _, of, _), _| of != agent || !older.contains(guild));
            Ok(())
        } else if let Seen::Notified { agent, inbound, .. } = seen {
            self.on_notified(view, *agent, inbound);
            Ok(())
        } else if let Seen::TurnOver { agent, turn } = seen {
            self.over.insert((*agent, (*turn).clone()));
            Ok(())
        } else if let Seen::Requested {
            agent,
            guild,
            request,
            ..
        } = seen
        {
            self.on_requested(view.now, (*agent, *guild), request);
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
    fn on_notified(&mut self, view: View<'_>, agent: usize, inbound: &Inbound) {
        let life = self.lives.get(&agent).copied().unwrap_or_default();
        let takes_turns = inbound.channel.x_type.takes_turns();
        let handed = Handed {
            turn: inbound.turn_id.clone(),
            life,
            until: view.now + view.setup.turn_most(takes_turns),
        };
        let is_running = |known: &Handed| known.turn == handed.turn && known.life == handed.life;
        for message in &inbound.messages {
            let told = (agent, message.id.clone());
            if inbound.rewake {
                self.rewoken.insert(told.clone());
            }
            if !self.turns.get(&told).is_some_and(is_running) {
                self.turns.insert(told, handed.clone());
            }
        }
    }

    fn on_requested(&mut self, now: Time, (agent, guild): (usize, usize), request: &Request) {
        let Some((channel, query)) = messages_of(request) else {
            return;
        };
        let place = (agent, guild, channel);
        if request.method == Method::Get && !query.contains(AFTER) {
            self.looked.entry(place).or_insert(now);
        } else if let Ok(body) = serde_json::from_slice::<PostBody>(&request.body) {
            let at = self.looked.remove(&place).unwrap_or(now);
            let life = self.lives.get(&agent).copied().unwrap_or_default();
            let sought = Sought { life, at };
            self.sought.insert((place, body.content), sought);
        }
    }

    fn on_posted(&mut self, view: View<'_>, guild: usize, message: &Message) -> Result<(), String> {
        let mut agents = view.setup.agents.iter();
        let Some(agent) = agents.position(|user| *user == message.author.id) else {
            return Ok(());
        };
        let place = message.channel_id.clone();
        let sought = ((agent, guild, place.clone()), message.content.clone());
        let sought = self.sought.get(&sought);
        let lives = || self.lives.get(&agent).copied().unwrap_or_default();
        let life = sought.map_or_else(lives, |sought| sought.life);
        let older = view.setup.older.contains(&guild);
        let restored = self.restored.get(&agent);
        if older && restored.is_some_and(|restored| life < *restored) {
            return Ok(());
        }
        let answers = message.reply_to_id.clone().map(|id| (agent, id));
        let handed = answers.as_ref().and_then(|it| self.turns.get(it));
        let late = handed.is_some_and(|handed| {
            view.now > handed.until || self.over.contains(&(agent, handed.turn.clone()))
        });
        let key = (guild, place, agent, message.content.clone());
        let at = self.said.get(&key).map_or(view.now, |said| said.at);
        let Some(before) = self.said.insert(key, Said { life, late, at }) else {
            return Ok(());
        };
        let unseen = older && sought.is_some_and(|sought| at >= sought.at);
        let rewoken = |it| self.rewoken.contains(it);
        let forgotten = view.setup.forgets() && answers.as_ref().is_some_and(rewoken);
        let unnamed = late || before.late || !view.setup.says_done;
        let anew = before.life != life;
        match forgotten || unseen || (anew && unnamed) {
            true => Ok(()),
            false => Err(format!(
                "{} of {} stands there twice",
                tell(view.ledger, guild, &message.id),
                message.author.id
            )),
        }
    }
}
