//! Liveness: once the faults have ended, every message that woke an agent is accounted for, and no
//! channel hangs on one.
//!
//! A message is accounted for when it was handed over, or counted in `skipped`. What did not wake the
//! agent is recorded, and nothing is owed about it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use selvedge_core::{
    Time, canonical,
    fabric::types::Message,
    guild::fact::Fact,
    id::{GuildId, MessageId, TurnId},
    plugin::kept::{Change, TurnState},
};

use super::{
    Breach, Place, Seen, View,
    because::About,
    ledger::{Channel, Stay, Stored},
    tell,
};

/// How long after it was posted, or after the last sign of work in its channel, a message may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Knows what hosts got, and since when what is owed to them.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
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
}
canonical!(unsaved struct Liveness { handed, places, known, live, met, said });

/// What goes on in a channel.
#[derive(Clone, Debug, Default)]
struct Work {
    /// The turn that runs, and until when it may.
    running: Option<(TurnId, Time)>,
    /// The last sign of work.
    seen: Time,
    /// What all turns have counted as skipped.
    skipped: u64,
    /// The agent's posts within the window of the loop guard.
    posted: VecDeque<Time>,
    /// Whether the loop guard may have held anything back: that is recorded, and not handed over.
    guarded: bool,
}
canonical!(unsaved struct Work { running, seen, skipped, posted, guarded });

impl Liveness {
    /// Something was seen.
    pub fn saw(&mut self, view: View<'_>, seen: &Seen<'_>) {
        match seen {
            Seen::Notified {
                agent,
                guild,
                inbound,
            } => {
                for message in &inbound.messages {
                    self.handed.insert((*agent, *guild, message.id.clone()));
                }
                let place = (*agent, *guild, inbound.channel.id.clone());
                let work = self.places.entry(place).or_default();
                let until = view.now + view.setup.turn_most(inbound.channel.x_type.takes_turns());
                work.running = Some((inbound.turn_id.clone(), until));
                work.seen = view.now;
                work.skipped += inbound.skipped;
            }
            Seen::TurnOver { agent, turn } => {
                for (_, work) in self.of_agent(*agent) {
                    if work
                        .running
                        .as_ref()
                        .is_some_and(|(running, _)| running == *turn)
                    {
                        work.running = None;
                        work.seen = view.now;
                    }
                }
            }
            Seen::NoReply { place } => {
                let work = self.places.entry(place.clone()).or_default();
                work.running = None;
                work.seen = view.now;
            }
            Seen::Sent { place, .. } => {
                let work = self.places.entry(place.clone()).or_default();
                if !view.setup.says_done {
                    work.running = None;
                }
                work.seen = view.now;
            }
            Seen::Kept { agent, changes } => {
                for change in *changes {
                    self.on_kept(view, *agent, change);
                }
            }
            Seen::Live { agent, guild } => {
                let key = (*agent, *guild);
                self.live.insert(key);
                let id = view.setup.guilds.get(*guild);
                if id.is_some_and(|id| self.known.contains(&(*agent, id.clone()))) {
                    self.met.insert(key);
                }
            }
            Seen::Killed { agent } => {
                for (guild, id, _) in view.ledger.all_channels() {
                    let place = (*agent, guild, id.clone());
                    let work = self.places.entry(place).or_default();
                    work.running = None;
                    work.seen = view.now;
                }
                self.live.retain(|(of, _)| of != agent);
            }
            Seen::Committed { guild, facts } => {
                for fact in *facts {
                    if let Fact::Posted { message, .. } = fact {
                        self.on_posted(view, *guild, message);
                    }
                }
            }
            Seen::Dialed { .. }
            | Seen::Presented { .. }
            | Seen::Requested { .. }
            | Seen::Answered { .. }
            | Seen::LoggingIn { .. }
            | Seen::Parked { .. }
            | Seen::Asked { .. }
            | Seen::HostReady { .. }
            | Seen::ToolsListed { .. } => {}
        }
    }

    /// It is owed to all who have met the guild. The loop guard may have begun to hold back what is said
    /// there.
    fn on_posted(&mut self, view: View<'_>, guild: usize, message: &Message) {
        let here = self.met.iter().filter(|(_, met)| *met == guild);
        let owed = here.map(|(agent, _)| (*agent, guild, message.id.clone()));
        self.said.extend(owed);
        let mut agents = view.setup.agents.iter();
        let Some(agent) = agents.position(|user| *user == message.author.id) else {
            return;
        };
        let config = &view.setup.config;
        let place = (agent, guild, message.channel_id.clone());
        let work = self.places.entry(place).or_default();
        work.posted.push_back(view.now);
        let old = |first: &Time| view.now.since(*first) > config.loop_window;
        while work.posted.front().is_some_and(old) {
            work.posted.pop_front();
        }
        work.guarded |= work.posted.len() > config.loop_turns as usize;
    }

    fn on_kept(&mut self, view: View<'_>, agent: usize, change: &Change) {
        let index = |id: &GuildId| view.setup.guilds.iter().position(|known| known == id);
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

    /// Whether a message was handed over, or parked with its turn.
    pub(super) fn reached(&self, agent: usize, guild: usize, message: &MessageId) -> bool {
        self.handed.contains(&(agent, guild, message.clone()))
    }

    /// Everything that was handed over, or parked with its turn.
    pub(super) fn all_reached(&self) -> impl Iterator<Item = &(usize, usize, MessageId)> {
        self.handed.iter()
    }

    fn of_agent(&mut self, agent: usize) -> impl Iterator<Item = (&Place, &mut Work)> {
        self.places
            .iter_mut()
            .filter(move |((of, ..), _)| *of == agent)
    }

    /// What is still owed by the agents that are `present` in a guild, in words; an error where nobody
    /// is working on it.
    ///
    /// # Errors
    ///
    /// With the first debt of a channel in which nothing happens any more.
    pub fn owed(
        &self,
        view: View<'_>,
        present: &BTreeSet<(usize, usize)>,
    ) -> Result<Option<String>, Breach> {
        let mut owed = None;
        for (agent, guild) in present {
            for (id, channel) in view.ledger.channels(*guild) {
                let place = (*agent, *guild, id.clone());
                let Some(why) = self.debt(view, &place, channel) else {
                    continue;
                };
                if !self.works(view, &place, channel) {
                    return Err(Breach {
                        rule: "nothing is lost, nothing hangs",
                        at: view.now,
                        why,
                        about: About::place(*agent, *guild, id),
                    });
                }
                owed = Some(why);
            }
        }
        Ok(owed)
    }

    /// Whether something may still happen there by itself.
    fn works(&self, view: View<'_>, place: &Place, channel: &Channel) -> bool {
        let mut last = channel.last_at;
        if channel.x_type.takes_turns() {
            last = last.max(channel.speaks_since);
        }
        if let Some(work) = self.places.get(place) {
            let running = work.running.as_ref().map(|(_, until)| *until);
            last = last.max(work.seen).max(running.unwrap_or_default());
        }
        last + PATIENCE > view.now
    }

    fn debt(&self, view: View<'_>, place: &Place, channel: &Channel) -> Option<String> {
        let (agent, guild, id) = place;
        let user = view.setup.agents.get(*agent)?;
        if channel.x_type.takes_turns() {
            return (channel.speaker.as_ref() == Some(user))
                .then(|| format!("channel {id} waits for {user}, and {user} for nothing"));
        }
        let stay = channel.stay(user)?;
        let lost = self.lost(view, place, channel, stay);
        let work = self.places.get(place);
        if work.is_some_and(|work| work.guarded) {
            return None;
        }
        // Where history does not say whom it wakes, that is whom the channel wakes when it is read.
        if channel.wakes_anew && view.setup.older.contains(guild) {
            return None;
        }
        // What was left out is told with the next turn, and nothing wakes the agent there any more.
        let newest = channel.messages.values().next_back();
        let newest = newest.and_then(|id| view.ledger.message(*guild, id));
        let many = channel.messages.len() > view.setup.config.backfill_max as usize;
        if (many || view.setup.skips()) && !newest.is_some_and(|newest| newest.woken.contains(user))
        {
            return None;
        }
        let skipped = work.map_or(0, |work| work.skipped);
        let first = lost.first()?;
        (lost.len() as u64 > skipped).then(|| {
            format!(
                "{} woke {user} and never reached its host; {} such messages, {skipped} counted as \
                 skipped",
                tell(view.ledger, *guild, first),
                lost.len()
            )
        })
    }

    fn lost<'v>(
        &self,
        view: View<'v>,
        place: &Place,
        channel: &'v Channel,
        stay: Stay,
    ) -> Vec<&'v MessageId> {
        let (agent, guild, _) = place;
        let owed = |message: &Stored| {
            let user = view.setup.agents.get(*agent);
            user.is_some_and(|user| message.woken.contains(user))
                && stay.has(message.seq)
                && !message.deleted
        };
        let messages = channel.messages.values();
        messages
            .filter(|id| view.ledger.message(*guild, id).is_some_and(owed))
            .filter(|id| {
                let key = (*agent, *guild, (*id).clone());
                self.said.contains(&key) && !self.handed.contains(&key)
            })
            .collect()
    }
}
