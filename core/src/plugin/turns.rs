//! The turns of an agent: the queues of all its channels, and the host that takes turns from them.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::time::Duration;

use crate::{
    canonical,
    deadlines::Deadlines,
    id::{ChannelId, MessageId, TurnId},
    machine::Wakeup,
    plugin::{
        config::Config,
        defect::{Defect, Planted},
        inbound::InboundMessage,
        kept::Notice,
        others::Others,
        queue::{Batch, Cause, Fate, Queue, Redelivery, Running},
        status::{TurnStatus, millis},
        wakes::is_of,
    },
    time::Time,
};

/// A channel of one of the agent's guilds; guilds are numbered in the order of their appearance.
pub type Place = (u32, ChannelId);

/// All queues of one agent.
///
/// Whatever touches a queue ends in a look at its deadline, so that the next one is always known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turns {
    queues: BTreeMap<Place, Queue>,
    due: Deadlines<Place>,
    running: BTreeMap<TurnId, Place>,
    waiting: usize,
    waiting_bytes: usize,
    /// `Some` once the host can be given inbounds: whether it says when a turn is done.
    host: Option<bool>,
    /// No turn begins: it could not be kept.
    halted: bool,
    prefix: String,
    next_turn: u64,
    planted: Planted,
}
canonical!(struct Turns {
    queues, due, running, waiting, waiting_bytes, host, halted;
    - prefix, next_turn, planted
});

/// What a channel has to do.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Work {
    /// How many messages wait.
    pub waiting: u64,
    /// The turn that runs.
    pub turn: Option<TurnStatus>,
}

/// What is due in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A turn could start, if the guild's turn engine lets it, which is to be asked about this
    /// message; [`Turns::permit`] or [`Turns::refuse`] follows. A new turn is to be kept before that.
    Ask(Place, MessageId, Option<Asking>),
    /// A turn can start; the owner calls [`Turns::start`].
    Start(Place, Batch),
    /// A turn was ended because its time was up.
    TimedOut(Place, Running),
}

/// A new turn about which a guild's turn engine is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// The id that it will have.
    pub turn: TurnId,
    /// Its messages with their `seq`, in order.
    pub messages: Vec<(u64, MessageId)>,
    /// What it says of them.
    pub notice: Notice,
}

impl Turns {
    /// No queue; turn ids begin with `prefix`.
    pub fn new(prefix: String, planted: Planted) -> Self {
        Self {
            queues: BTreeMap::new(),
            due: Deadlines::default(),
            running: BTreeMap::new(),
            waiting: 0,
            waiting_bytes: 0,
            host: None,
            halted: false,
            prefix,
            next_turn: 0,
            planted,
        }
    }

    /// The host can be given inbounds, and says when a turn is done or not.
    pub fn on_host(&mut self, now: Time, config: &Config, says_done: bool) {
        self.host = Some(says_done);
        self.touched_all(now, config);
    }

    /// No turn begins any more, since none can be kept, or they begin again. What runs goes on.
    pub fn halt(&mut self, now: Time, config: &Config, halted: bool) {
        if self.halted != halted {
            self.halted = halted;
            self.touched_all(now, config);
        }
    }

    fn touched_all(&mut self, now: Time, config: &Config) {
        let places: Vec<_> = self.queues.keys().cloned().collect();
        for place in places {
            self.touched(now, config, &place);
        }
    }

    fn is_ready(&self) -> bool {
        self.host.is_some() && !self.halted
    }

    /// A turn that an earlier process has begun is to be handed over again, before all that is new
    /// there. There is always room for it: it had some once.
    pub fn push_again(
        &mut self,
        now: Time,
        config: &Config,
        place: &Place,
        again: &Redelivery,
        messages: Vec<InboundMessage>,
        takes_turns: bool,
    ) {
        self.waiting += messages.len();
        self.waiting_bytes += bytes_of(&messages);
        let queue = self.queues.entry(place.clone()).or_default();
        if takes_turns {
            queue.take_turns();
        }
        queue.push_again(now, again, messages);
        self.touched(now, config, place);
    }

    /// Whether a turn of `place` is begun, waits for the turn engine's permit, or waits to be offered
    /// again.
    pub fn knows(&self, place: &Place, turn: &TurnId) -> bool {
        let queue = self.queues.get(place);
        queue.is_some_and(|queue| queue.knows(turn))
    }

    /// A message that wakes the agent, in a channel where users take turns or not; `false` where
    /// there is no room for it, and it is counted as skipped.
    pub fn push(
        &mut self,
        now: Time,
        config: &Config,
        place: &Place,
        message: InboundMessage,
        cause: Cause,
        takes_turns: bool,
    ) -> bool {
        let (bytes, seq) = (message.content.len(), message.seq);
        let queue = self.queues.entry(place.clone()).or_default();
        if takes_turns {
            queue.take_turns();
        }
        // What is left out is told with the next turn of the channel: there is always one.
        let room = queue.waiting() == 0
            || (queue.waiting() < config.waiting_max && self.waiting < config.waiting_agent_max);
        let room = room || self.planted.is(Defect::QueuesEverything);
        if room {
            let whole = self.waiting_bytes + bytes <= config.waiting_bytes_max;
            queue.push(now, message, cause, whole);
            self.waiting += 1;
            self.waiting_bytes += if whole { bytes } else { 0 };
        } else {
            queue.skip(seq, 1);
        }
        self.touched(now, config, place);
        room
    }

    /// So many messages in `place`, up to `seq`, are left out: the next turn there says so.
    pub fn skip(&mut self, place: &Place, seq: u64, skipped: u64) {
        let queue = self.queues.entry(place.clone()).or_default();
        queue.skip(seq, skipped);
    }

    /// What the next turn in `place` says of what lies up to `seq`.
    pub fn notice(&self, place: &Place, seq: u64) -> Notice {
        let queue = self.queues.get(place);
        queue.map_or_else(Notice::default, |queue| queue.notice(seq))
    }

    /// The guild was restored from a backup: the next turn in `place` says so.
    pub fn recover(&mut self, place: &Place) {
        self.queues.entry(place.clone()).or_default().recover();
    }

    /// What was missed in `place` during an outage waits until it is released.
    pub fn hold(&mut self, now: Time, config: &Config, place: &Place) {
        self.queues.entry(place.clone()).or_default().hold();
        self.touched(now, config, place);
    }

    /// What was missed in `place` can be handed over.
    pub fn release(&mut self, now: Time, config: &Config, place: &Place) {
        if let Some(queue) = self.queues.get_mut(place) {
            queue.release();
            self.touched(now, config, place);
        }
    }

    /// The next thing that is due.
    pub fn next_due(&mut self, now: Time, config: &Config) -> Option<Due> {
        loop {
            let place = self.due.pop_due(now)?;
            let ready = self.is_ready();
            let Some(queue) = self.queues.get_mut(&place) else {
                continue;
            };
            if let Some(ended) = queue.expire(now) {
                self.running.remove(&ended.turn);
                self.touched(now, config, &place);
                return Some(Due::TimedOut(place, ended));
            }
            if ready && let Some(message) = queue.ask_permit(now, config) {
                let asking = queue.next_new(config).and_then(|(messages, notice)| {
                    let (last, _) = messages.last()?;
                    let turn = name(&self.prefix, &mut self.next_turn, *last)?;
                    queue.name(turn.clone());
                    Some(Asking {
                        turn,
                        messages,
                        notice,
                    })
                });
                self.touched(now, config, &place);
                return Some(Due::Ask(place, message, asking));
            }
            if ready && let Some(batch) = queue.next_batch(now, config) {
                self.gone(&batch.messages);
                return Some(Due::Start(place, batch));
            }
            self.touched(now, config, &place);
        }
    }

    /// These do not wait any more.
    fn gone(&mut self, messages: &[InboundMessage]) {
        self.waiting -= messages.len();
        self.waiting_bytes -= bytes_of(messages);
    }

    /// The message about which the turn engine is to be asked before this turn of `place`.
    pub fn asks_about(&self, place: &Place, turn: &TurnId) -> Option<&MessageId> {
        self.queues.get(place)?.asks_about(turn)
    }

    /// The guild wakes the agent once more with a message that waits or runs in `place`, or is to be offered
    /// again there. The newest `seq` that is known there is `newest`.
    pub fn rewake(&mut self, place: &Place, message: &MessageId, newest: u64) {
        let queue = self.queues.entry(place.clone()).or_default();
        queue.rewake(message, newest);
    }

    /// The message with which the guild has woken the agent in `place` since a post of this `seq`.
    pub fn woken_since(&self, place: &Place, seq: u64) -> Option<&MessageId> {
        self.queues.get(place)?.woken_since(seq)
    }

    /// The turn engine waits for an answer to this message in `place`, where `newest` was the newest `seq` that
    /// was known when it was asked.
    pub fn permit(
        &mut self,
        now: Time,
        config: &Config,
        place: &Place,
        message: &MessageId,
        newest: u64,
    ) {
        if let Some(queue) = self.queues.get_mut(place) {
            queue.permit(message, newest);
            self.touched(now, config, place);
        }
    }

    /// The turn engine does not wait for an answer to this message: gives back what is not to be handed over
    /// and has its text.
    pub fn refuse(
        &mut self,
        now: Time,
        config: &Config,
        place: &Place,
        message: &MessageId,
    ) -> Vec<InboundMessage> {
        let Some(queue) = self.queues.get_mut(place) else {
            return Vec::new();
        };
        let (gone, stale) = queue.refuse(message);
        self.waiting -= gone;
        self.waiting_bytes -= bytes_of(&stale);
        self.touched(now, config, place);
        stale
    }

    /// What has become of a message.
    pub fn fate(&self, place: &Place, message: &MessageId) -> Fate {
        let queue = self.queues.get(place);
        queue.map_or(Fate::Unknown, |queue| queue.fate(message))
    }

    /// Starts a turn in `place` with these messages; [`hand_over`](Self::hand_over) follows once that
    /// is kept. A turn of an earlier process keeps its id.
    pub fn start(
        &mut self,
        now: Time,
        config: &Config,
        place: &Place,
        batch: &Batch,
    ) -> Option<TurnId> {
        let known = batch.again.as_ref().map(|again| &again.turn);
        let turn = match known.or(batch.turn.as_ref()) {
            Some(known) => known.clone(),
            None => {
                let last = batch.messages.last().map_or(0, |last| last.seq);
                name(&self.prefix, &mut self.next_turn, last)?
            }
        };
        let queue = self.queues.entry(place.clone()).or_default();
        queue.start(turn.clone(), batch);
        self.running.insert(turn.clone(), place.clone());
        self.touched(now, config, place);
        Some(turn)
    }

    /// A turn that has begun is handed over now, and is given so long.
    pub fn hand_over(
        &mut self,
        now: Time,
        config: &Config,
        turn: &TurnId,
        patience: Duration,
    ) -> Option<Place> {
        let place = self.running.get(turn)?.clone();
        let queue = self.queues.get_mut(&place)?;
        queue.hand_over(now, turn, patience);
        self.touched(now, config, &place);
        Some(place)
    }

    /// A turn of `place` that has begun is not to be handed over any more, if it was not.
    pub fn call_off(&mut self, now: Time, config: &Config, place: &Place) -> Option<TurnId> {
        let called_off = self.queues.get_mut(place)?.call_off()?;
        self.running.remove(&called_off.turn);
        self.touched(now, config, place);
        Some(called_off.turn)
    }

    /// The notification of a turn was written: for a host that does not say when it is done, that
    /// is the end of it, unless the guild's turn engine waits for its post.
    pub fn on_written(
        &mut self,
        now: Time,
        config: &Config,
        turn: &TurnId,
    ) -> Option<(Place, Running)> {
        let place = self.running.get(turn)?.clone();
        if self.host == Some(true) {
            return None;
        }
        let answered = self.is_answered(&place);
        let running = self.running(&place)?;
        running.posted |= answered;
        if running.awaited && !answered {
            return None;
        }
        self.end(now, config, turn)
    }

    /// A post of the agent stands in `place`; [`on_posted`](Self::on_posted) follows.
    pub fn on_own(&mut self, place: &Place, seq: u64) {
        if let Some(queue) = self.queues.get_mut(place) {
            queue.on_own(seq);
        }
    }

    /// The highest `seq` of the agent's posts in `place`, where users take turns.
    pub fn own_seq(&self, place: &Place) -> u64 {
        self.queues.get(place).map_or(0, Queue::own_seq)
    }

    fn is_answered(&self, place: &Place) -> bool {
        self.queues.get(place).is_some_and(Queue::is_answered)
    }

    /// A post of a turn stands in the channel: for a host that does not say when it is done, that is
    /// the end of it. It is no answer to `woken`, which has woken the agent since. One of another turn ends
    /// it, too, where the guild's turn engine waits for it no more.
    pub fn on_posted(
        &mut self,
        now: Time,
        config: &Config,
        place: &Place,
        nonce: &str,
        own: &Others,
        woken: Option<&MessageId>,
    ) -> Option<(Place, Running)> {
        let says_done = self.host == Some(true);
        let answered = self.is_answered(place) && !says_done;
        let running = self.running(place)?;
        if is_of(&running.turn, nonce) {
            running.posted |= !woken.is_some_and(|woken| running.messages.contains(woken));
            running.own.join(own);
        } else if answered {
            running.posted = true;
        } else {
            return None;
        }
        let turn = running.turn.clone();
        if says_done {
            return None;
        }
        self.end(now, config, &turn)
    }

    /// A turn has ended; `None` where it does not run (any more).
    pub fn end(&mut self, now: Time, config: &Config, turn: &TurnId) -> Option<(Place, Running)> {
        let place = self.running.remove(turn)?;
        let queue = self.queues.get_mut(&place);
        let ended = queue.and_then(|queue| queue.end(turn));
        self.touched(now, config, &place);
        ended.map(|ended| (place, ended))
    }

    /// Where a running turn runs.
    pub fn place_of(&self, turn: &TurnId) -> Option<&Place> {
        self.running.get(turn)
    }

    /// The turn that runs in `place`.
    pub fn running(&mut self, place: &Place) -> Option<&mut Running> {
        self.queues.get_mut(place)?.running()
    }

    /// Whether a turn runs in `place`, handed over or about to be.
    pub fn runs(&self, place: &Place) -> bool {
        let queue = self.queues.get(place);
        queue.is_some_and(|queue| queue.turn().is_some())
    }

    /// The places where anything waits or runs: how many messages wait, and the turn that runs.
    pub fn pending(&self) -> impl Iterator<Item = (&Place, usize, Option<&TurnId>)> {
        self.queues
            .iter()
            .map(|(place, queue)| (place, queue.waiting(), queue.turn()))
            .filter(|(_, waiting, turn)| *waiting > 0 || turn.is_some())
    }

    /// The places where anything waits or runs, and what.
    pub fn work(&self, now: Time, config: &Config) -> impl Iterator<Item = (&Place, Work)> {
        let pending = self.queues.iter().map(move |(place, queue)| {
            let started = queue.started_at(config.turn_timeout);
            let turn = queue.turn().zip(started).map(|(turn, started)| TurnStatus {
                turn_id: turn.clone(),
                age_ms: millis(now.since(started)),
            });
            let waiting = queue.waiting() as u64;
            (place, Work { waiting, turn })
        });
        pending.filter(|(_, work)| work.waiting > 0 || work.turn.is_some())
    }

    /// The lowest `seq` in `place` that is not finished.
    pub fn unfinished(&self, place: &Place) -> Option<u64> {
        self.queues.get(place)?.unfinished()
    }

    /// A message that may be waiting was edited.
    pub fn update(&mut self, config: &Config, place: &Place, message: &InboundMessage) {
        if let Some(queue) = self.queues.get_mut(place) {
            let room = config.waiting_bytes_max.saturating_sub(self.waiting_bytes);
            let (before, after) = queue.update(message, room);
            self.waiting_bytes = self.waiting_bytes - before + after;
        }
    }

    /// A message that may be waiting was deleted; whether it was.
    pub fn remove(&mut self, now: Time, config: &Config, place: &Place, id: &MessageId) -> bool {
        let removed = self
            .queues
            .get_mut(place)
            .and_then(|queue| queue.remove(id));
        if let Some(removed) = &removed {
            self.gone(core::slice::from_ref(removed));
        }
        self.touched(now, config, place);
        removed.is_some()
    }

    /// Everything in `place` up to `seq` was handed over by an earlier process: gives back what of it
    /// waits here, which is not to be handed over again.
    pub fn overtake(
        &mut self,
        now: Time,
        config: &Config,
        place: &Place,
        seq: u64,
    ) -> Vec<InboundMessage> {
        let queue = self.queues.get_mut(place);
        let known = queue.map_or_else(Vec::new, |queue| queue.overtake(seq));
        self.gone(&known);
        self.touched(now, config, place);
        known
    }

    /// The channel was left: what waits is dropped and counted, a running turn ends by itself.
    pub fn drop_waiting(&mut self, now: Time, config: &Config, place: &Place) -> usize {
        let Some(queue) = self.queues.get_mut(place) else {
            return 0;
        };
        let (dropped, bytes) = queue.clear();
        self.waiting -= dropped;
        self.waiting_bytes -= bytes;
        self.touched(now, config, place);
        dropped
    }

    /// When there is something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.due.earliest().map(|at| Wakeup { at, why: "queue" })
    }

    fn touched(&mut self, now: Time, config: &Config, place: &Place) {
        let ready = self.is_ready();
        let Some(queue) = self.queues.get_mut(place) else {
            return;
        };
        if queue.is_spent(now, config.queue_idle, self.planted) {
            self.queues.remove(place);
            self.due.set(place.clone(), None);
            return;
        }
        let wakeup = queue.next_wakeup(config, ready);
        self.due.set(place.clone(), wakeup.map(|wakeup| wakeup.at));
    }
}

/// The id of a new turn with this last `seq`.
fn name(prefix: &str, next: &mut u64, last: u64) -> Option<TurnId> {
    let turn = TurnId::new(&format!("{prefix}.{next}.{last}"))?;
    *next += 1;
    Some(turn)
}

fn bytes_of(messages: &[InboundMessage]) -> usize {
    messages.iter().map(|message| message.content.len()).sum()
}
