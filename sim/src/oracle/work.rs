//! Work: what hosts got of each channel, what goes on there, and since when what is owed to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use selvedge_core::{
    Time, canonical,
    fabric::types::Message,
    guild::fact::Fact,
    id::{GuildId, MessageId, TurnId},
    plugin::{
        kept::{Change, Kept, TurnState},
        wakes::is_of,
    },
};

use super::{Place, Seen, Setup, ledger::Ledger, requests::asked_about};

/// Knows what hosts got, and since when what is owed to them.
#[derive(Clone, Debug, Default)]
pub struct Works {
    handed: BTreeSet<(usize, usize, MessageId)>,
    places: BTreeMap<Place, Work>,
    /// The guilds of which an agent's disk knows that they were listed once.
    known: BTreeSet<(usize, GuildId)>,
    /// Where an agent is live.
    live: BTreeSet<(usize, usize)>,
    /// Where everything is owed from now on: after the first contact.
    met: BTreeSet<(usize, usize)>,
    /// What was said since then.
    said: BTreeSet<(usize, usize, MessageId)>,
    /// The messages of which a process has asked whether they are still its agent's to answer.
    asked: BTreeSet<(usize, usize, MessageId)>,
    /// Where an agent was last woken with an older message, and whether that push arrives.
    rewoken: BTreeMap<Place, bool>,
}
canonical!(unsaved struct Works {
    handed, places, known, live, met, said, rewoken;
    - asked
});

/// What goes on in a channel.
#[derive(Clone, Debug, Default)]
pub struct Work {
    running: Option<Running>,
    /// The last sign of work.
    pub seen: Time,
    /// When it was last asked of another message whether it is still the agent's to answer.
    pub asked: Time,
    /// What all turns have counted as skipped.
    pub skipped: u64,
    /// The agent's posts within the window of the loop guard.
    posted: VecDeque<Time>,
    /// Whether something may not be handed over: the loop guard may have held it back.
    pub guarded: bool,
}
// No rule of a search asks for how long nothing happens.
canonical!(unsaved struct Work { running, seen, skipped, posted, guarded; - asked });

/// The turn that runs.
#[derive(Clone, Debug)]
struct Running {
    turn: TurnId,
    /// Until when it may.
    until: Time,
    /// The `seq` behind which a post ends it to the guild, whatever it was made for; `None` where an older
    /// message has woken the agent once more.
    after: Option<u64>,
}
canonical!(unsaved struct Running { turn, until, after });

impl Works {
    /// Something was seen.
    pub fn saw(&mut self, now: Time, setup: &Setup, ledger: &Ledger, seen: &Seen<'_>) {
        if let Seen::Notified {
            agent,
            guild,
            inbound,
        } = seen
        {
            let told = inbound.messages.iter();
            for message in told.filter(|told| !ledger.has_lost(*guild, told)) {
                self.handed.insert((*agent, *guild, message.id.clone()));
            }
            let place = (*agent, *guild, inbound.channel.id.clone());
            let work = self.places.entry(place).or_default();
            let until = now + setup.turn_most(inbound.channel.x_type.takes_turns());
            let last = inbound.messages.last().map(|last| last.seq);
            work.running = Some(Running {
                turn: inbound.turn_id.clone(),
                until,
                after: last.filter(|_| !inbound.rewake),
            });
            work.seen = now;
            work.skipped += inbound.skipped;
        } else if let Seen::TurnOver { agent, turn } = seen {
            for (_, work) in self.of_agent(*agent) {
                let ended = work.running.take_if(|running| running.turn == **turn);
                if ended.is_some() {
                    work.seen = now;
                }
            }
        } else if let Seen::NoReply { place } = seen {
            let work = self.places.entry(place.clone()).or_default();
            work.running = None;
            work.seen = now;
        } else if let Seen::Sent { place, message } = seen {
            let post = ledger.message(place.1, &message.message);
            let nonce = post.and_then(|post| post.nonce.as_ref());
            let work = self.places.entry(place.clone()).or_default();
            work.running.take_if(|running| {
                let is_behind = running.after.is_some_and(|after| after < message.seq);
                let is_its = nonce.is_none_or(|nonce| is_of(&running.turn, nonce));
                !setup.says_done && (is_its || is_behind)
            });
            work.seen = now;
        } else if let Seen::Kept { agent, changes } = seen {
            for change in *changes {
                self.on_kept(setup, *agent, change);
            }
        } else if let Seen::DiskRestored { agent, kept } = seen {
            self.on_disk_restored(setup, *agent, kept);
        } else if let Seen::Live { agent, guild } = seen {
            let key = (*agent, *guild);
            self.live.insert(key);
            let id = setup.guilds.get(*guild);
            if id.is_some_and(|id| self.known.contains(&(*agent, id.clone()))) {
                self.met.insert(key);
            }
        } else if let Seen::Killed { agent } = seen {
            for (guild, id, _) in ledger.all_channels() {
                let place = (*agent, guild, id.clone());
                let work = self.places.entry(place).or_default();
                work.running = None;
                work.seen = now;
            }
            self.live.retain(|(of, _)| of != agent);
        } else if let Seen::Requested {
            agent,
            guild,
            request,
            ..
        } = seen
        {
            if let Some((channel, message)) = asked_about(request)
                && self.asked.insert((*agent, *guild, message))
            {
                let place = (*agent, *guild, channel);
                self.places.entry(place).or_default().asked = now;
            }
        } else if let Seen::Rewoken { place, arrives } = seen {
            *self.rewoken.entry(place.clone()).or_default() |= *arrives;
        } else if let Seen::Committed { guild, facts } = seen {
            for fact in *facts {
                self.on_woken(setup, *guild, fact);
                if let Fact::Posted { message, .. } = fact {
                    self.on_posted(now, setup, *guild, message);
                }
            }
        }
    }

    /// Who is woken by this is not woken by what came before.
    fn on_woken(&mut self, setup: &Setup, guild: usize, fact: &Fact) {
        let (channel, woken) = if let Fact::Posted { message, woken } = fact {
            (&message.channel_id, woken.as_slice())
        } else if let Fact::Rewoken { channel, user, .. } = fact {
            (channel, std::slice::from_ref(user))
        } else {
            return;
        };
        for (agent, user) in setup.agents.iter().enumerate() {
            if woken.contains(user) {
                self.rewoken.remove(&(agent, guild, channel.clone()));
            }
        }
    }

    /// Whether an agent cannot know of its wake: the guild has woken it with an older message, and that
    /// push was lost. No sequence tells of it, and the guild wakes again only who joins.
    pub fn is_unknown(&self, place: &Place) -> bool {
        self.rewoken.get(place) == Some(&false)
    }

    /// A guild that an older store does not know is met anew.
    fn on_disk_restored(&mut self, setup: &Setup, agent: usize, kept: &Kept) {
        let knows = |guild: &usize| {
            let id = setup.guilds.get(*guild);
            id.is_some_and(|id| kept.guilds.contains_key(id))
        };
        self.known
            .retain(|(of, guild)| *of != agent || kept.guilds.contains_key(guild));
        self.met.retain(|(of, guild)| *of != agent || knows(guild));
        self.said
            .retain(|(of, guild, _)| *of != agent || knows(guild));
    }

    /// It is owed to all who have met the guild and may be woken with it. The loop guard may have begun to
    /// hold back what is said there.
    fn on_posted(&mut self, now: Time, setup: &Setup, guild: usize, message: &Message) {
        // A guild that was restored from a backup gives ids anew.
        for agent in 0..setup.agents.len() {
            self.handed.remove(&(agent, guild, message.id.clone()));
        }
        if setup.allows(&message.author.id, &message.channel_id) {
            let here = self.met.iter().filter(|(_, met)| *met == guild);
            let owed = here.map(|(agent, _)| (*agent, guild, message.id.clone()));
            self.said.extend(owed);
        }
        let mut agents = setup.agents.iter();
        let Some(agent) = agents.position(|user| *user == message.author.id) else {
            return;
        };
        let config = &setup.config;
        let place = (agent, guild, message.channel_id.clone());
        let work = self.places.entry(place).or_default();
        work.posted.push_back(now);
        // A guild has a post earlier than its author knows.
        let old = |first: &Time| now.since(*first) > config.loop_window * 2;
        while work.posted.front().is_some_and(old) {
            work.posted.pop_front();
        }
        work.guarded |= work.posted.len() >= config.loop_turns as usize;
    }

    fn on_kept(&mut self, setup: &Setup, agent: usize, change: &Change) {
        let index = |id: &GuildId| setup.guilds.iter().position(|known| known == id);
        match change {
            Change::Guild(id) => {
                self.known.insert((agent, id.clone()));
                if let Some(guild) = index(id)
                    && self.live.contains(&(agent, guild))
                {
                    self.met.insert((agent, guild));
                }
            }
            // Whoever parks a turn says so, and is asked no more about it.
            Change::Turn(_, record) if record.state == TurnState::Parked => {
                if let Some(guild) = index(&record.guild) {
                    let told = record
                        .messages
                        .iter()
                        .map(|(_, id)| (agent, guild, id.clone()));
                    self.handed.extend(told);
                }
            }
            Change::Channel(..)
            | Change::Turn(..)
            | Change::Agent(_)
            | Change::NoChannel(..)
            | Change::NoTurn(_) => {}
        }
    }

    fn of_agent(&mut self, agent: usize) -> impl Iterator<Item = (&Place, &mut Work)> {
        self.places
            .iter_mut()
            .filter(move |((of, ..), _)| *of == agent)
    }

    /// What goes on in a channel, where anything ever has.
    pub fn of(&self, place: &Place) -> Option<&Work> {
        self.places.get(place)
    }

    /// Whether a host got a message, or was told that it is parked.
    pub fn is_handed(&self, agent: usize, guild: usize, message: &MessageId) -> bool {
        self.handed.contains(&(agent, guild, message.clone()))
    }

    /// Everything that hosts got, or were told to be parked.
    pub fn all_handed(&self) -> impl Iterator<Item = &(usize, usize, MessageId)> {
        self.handed.iter()
    }

    /// Whether a message was said after the first contact of an agent with its guild.
    pub fn is_owed(&self, agent: usize, guild: usize, message: &MessageId) -> bool {
        self.said.contains(&(agent, guild, message.clone()))
    }
}

impl Work {
    /// Until when the host may be busy with a turn there, at most.
    pub fn busy_until(&self) -> Time {
        let running = self.running.as_ref().map(|running| running.until);
        self.seen.max(running.unwrap_or_default())
    }
}
