//! The queue of one channel: turns run one at a time, and none can wedge it.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

use crate::{
    canonical,
    id::{MessageId, TurnId},
    machine::{Wakeup, earliest},
    plugin::{
        config::Config,
        defect::{Defect, Planted},
        inbound::InboundMessage,
        kept::Notice,
        others::Others,
        skips::Skips,
    },
    time::Time,
};

/// How many messages one turn holds at most, where messages are coalesced.
const TURN_MESSAGES_MAX: usize = 20;
/// How many characters of text one turn holds at most, where messages are coalesced. A single
/// message is never held back for its length.
const TURN_CHARS_MAX: usize = 50_000;
/// How many messages that were missed during an outage one turn holds at most.
const RECOVERED_MAX: usize = 200;

/// What waits in one channel, and the turn that runs there.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Queue {
    waiting: VecDeque<Waiting>,
    skips: Skips,
    /// The next turn is one after the guild was restored from a backup.
    recovered: bool,
    permit: Permit,
    /// With what the guild has last woken the agent once more while that waited or ran, and the newest `seq` at
    /// that time: no post up to there answers it.
    wake: Option<(MessageId, u64)>,
    /// Nothing that waits has woken the agent since, and the turn engine was not asked about it since: its
    /// answer may be older.
    rewoken: bool,
    /// The highest `seq` of the agent's posts, where users take turns.
    own_seq: u64,
    running: Option<Running>,
    /// What was missed during an outage is not complete, or waits for what is more urgent.
    held: bool,
    /// Since when there has been nothing to do.
    idle_since: Option<Time>,
}
canonical!(struct Queue {
    waiting, skips, recovered, permit, wake, rewoken, own_seq, running, held, idle_since
});

#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    message: InboundMessage,
    /// How many characters its text has.
    chars: usize,
    /// It waits without its text, which is read again for its turn.
    is_bare: bool,
    cause: Cause,
    again: Option<Redelivery>,
    arrived_at: Time,
}
canonical!(struct Waiting { message, chars, is_bare, cause, again, arrived_at });

impl Waiting {
    /// Its text is not kept.
    fn strip(&mut self) {
        self.is_bare = true;
        self.message.content = String::new();
        self.message.mentions = Vec::new();
        self.message.attachments = Vec::new();
    }
}

/// A turn that an earlier process has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redelivery {
    /// Its id, which stays.
    pub turn: TurnId,
    /// Which time this is.
    pub attempt: u32,
    /// What it has said besides its messages, and says again.
    pub notice: Notice,
}
canonical!(struct Redelivery { turn, attempt, notice });

/// Why a message wakes the agent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was posted.
    Posted,
    /// The guild wakes the agent with it once more.
    Rewake,
    /// It was missed during an outage: what was missed is one turn.
    Recovered,
}
canonical!(
    enum Cause {
        Posted,
        Rewake,
        Recovered,
    }
);

/// Whether the guild's turn engine lets the next turn begin: a message that woke the agent may be an
/// old one by the time its turn comes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
enum Permit {
    /// Nobody takes turns there.
    #[default]
    Free,
    /// It must be asked.
    Wanted,
    /// It is being asked about the turn that ends with this message, and has this id if an earlier
    /// process has not begun it.
    Asked(MessageId, Option<TurnId>),
    /// It was given for that turn.
    Given(MessageId, Option<TurnId>),
}
canonical!(
    enum Permit {
        Free,
        Wanted,
        Asked(message, turn),
        Given(message, turn),
    }
);

/// The turn that runs in a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its id.
    pub turn: TurnId,
    /// The `seq` of its first message: until the turn ends nothing from there on is finished.
    pub first_seq: u64,
    /// The `seq` of its last message, about which a pass may be owed.
    pub last_seq: u64,
    /// The ids of its messages.
    pub messages: Vec<MessageId>,
    /// Whether the guild's turn engine waits for a post or a pass about the last of them.
    pub awaited: bool,
    /// Whether the guild woke the agent once more with one of them.
    rewake: bool,
    /// How many posts the host has made in it.
    pub sends: u32,
    /// Whether one of them stands in the channel.
    pub posted: bool,
    /// Those that do, and what came before them.
    pub own: Others,
    /// `None` until it is handed over.
    deadline: Option<Time>,
}
canonical!(struct Running {
    turn, first_seq, last_seq, messages, awaited, rewake, sends, posted, own, deadline
});

/// What has become of a message in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is not here.
    Unknown,
    /// It waits, or its turn runs without having posted.
    Open,
    /// Its turn runs, and has posted.
    Posted,
}

/// The messages of a turn that can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The messages, in order.
    pub messages: Vec<InboundMessage>,
    /// What was left out before them, and not told yet.
    pub skips: Skips,
    /// Whether the guild woke the agent once more with one of them.
    pub rewake: bool,
    /// Whether they were missed during an outage, or the guild was restored from a backup before.
    pub recovered: bool,
    /// Whether the guild's turn engine waits for a post or a pass about the last of them.
    pub awaited: bool,
    /// Which turn this was in an earlier process.
    pub again: Option<Redelivery>,
    /// The id of a new turn that was kept before the guild's turn engine was asked about it.
    pub turn: Option<TurnId>,
    /// Those of the messages that have waited without their text.
    pub bare: Vec<(u64, MessageId)>,
}

impl Queue {
    /// The channel is one in which users take turns: each turn needs a permit.
    pub fn take_turns(&mut self) {
        if self.permit == Permit::Free {
            self.permit = Permit::Wanted;
        }
    }

    /// A message waits from now on, with its text or without.
    pub fn push(&mut self, now: Time, message: InboundMessage, cause: Cause, whole: bool) {
        let mut waiting = Waiting {
            chars: message.content.chars().count(),
            message,
            is_bare: false,
            cause,
            again: None,
            arrived_at: now,
        };
        if !whole {
            waiting.strip();
        }
        let is_newer = |(_, newest): &(MessageId, u64)| waiting.message.seq > *newest;
        if self.wake.as_ref().is_some_and(is_newer) {
            self.rewoken = false;
        }
        self.waiting.push_back(waiting);
    }

    /// A turn that an earlier process has begun goes before everything that is new.
    pub fn push_again(&mut self, now: Time, again: &Redelivery, messages: Vec<InboundMessage>) {
        let before = self.waiting.iter().take_while(|held| held.again.is_some());
        let at = before.count();
        for message in messages.into_iter().rev() {
            let held = Waiting {
                chars: message.content.chars().count(),
                message,
                is_bare: false,
                cause: Cause::Posted,
                again: Some(again.clone()),
                arrived_at: now,
            };
            self.waiting.insert(at, held);
        }
    }

    /// So many messages up to `seq` are left out before the next turn.
    pub fn skip(&mut self, seq: u64, skipped: u64) {
        self.skips.add(seq, skipped);
    }

    /// What the next turn says of what lies up to `seq`.
    pub fn notice(&self, seq: u64) -> Notice {
        Notice {
            skipped: self.skips.up_to(seq),
            recovered: self.recovered,
            rewake: false,
        }
    }

    /// The guild was restored from a backup: the next turn says that it is one after that.
    pub fn recover(&mut self) {
        self.recovered = true;
        // Its numbers come again.
        self.own_seq = 0;
    }

    /// What was missed during an outage waits until it is released.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// What was missed can be handed over.
    pub fn release(&mut self) {
        self.held = false;
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The turn that runs, if any, once it has been handed over.
    pub fn running(&mut self) -> Option<&mut Running> {
        self.running
            .as_mut()
            .filter(|running| running.deadline.is_some())
    }

    /// Whether a turn is begun, waits for the turn engine's permit, or waits to be offered again.
    pub fn knows(&self, turn: &TurnId) -> bool {
        let waits = |held: &Waiting| held.again.as_ref().is_some_and(|again| again.turn == *turn);
        let asked = match &self.permit {
            Permit::Asked(_, asked) | Permit::Given(_, asked) => asked.as_ref(),
            Permit::Free | Permit::Wanted => None,
        };
        self.turn() == Some(turn) || asked == Some(turn) || self.waiting.iter().any(waits)
    }

    /// The id of the turn that runs, if any.
    pub fn turn(&self) -> Option<&TurnId> {
        self.running.as_ref().map(|running| &running.turn)
    }

    /// When the turn that runs was started, with the time that it has.
    pub fn started_at(&self, timeout: Duration) -> Option<Time> {
        let running = self.running.as_ref()?;
        running.deadline.map(|deadline| deadline - timeout)
    }

    /// The next turn's messages, if a turn can start now; [`start`](Self::start) follows.
    pub fn next_batch(&mut self, now: Time, config: &Config) -> Option<Batch> {
        if self.starts_at(config)? > now {
            return None;
        }
        let (length, last) = self.ahead(config)?;
        let (awaited, turn) = match &self.permit {
            Permit::Free => (false, None),
            Permit::Given(given, turn) if *given == last => (true, turn.clone()),
            Permit::Wanted | Permit::Asked(..) | Permit::Given(..) => return None,
        };
        if awaited {
            self.permit = Permit::Wanted;
        }
        let mut taken: Vec<_> = self.waiting.drain(..length).collect();
        let again = taken.first_mut().and_then(|next| next.again.take());
        let said = again.as_ref().map(|again| again.notice);
        let said = said.unwrap_or_default();
        Some(Batch {
            again,
            skips: core::mem::take(&mut self.skips),
            rewake: said.rewake || taken.iter().any(|next| next.cause == Cause::Rewake),
            recovered: core::mem::take(&mut self.recovered)
                || said.recovered
                || taken.iter().any(|next| next.cause == Cause::Recovered),
            bare: taken
                .iter()
                .filter(|next| next.is_bare)
                .map(|next| (next.message.seq, next.message.id.clone()))
                .collect(),
            messages: taken.into_iter().map(|next| next.message).collect(),
            awaited,
            turn,
        })
    }

    /// How many messages the next turn has, and the last of them.
    fn ahead(&self, config: &Config) -> Option<(usize, MessageId)> {
        let again = &self.waiting.front()?.again;
        if again.is_some() {
            let same = self.waiting.iter().take_while(|next| next.again == *again);
            let (index, last) = same.enumerate().last()?;
            return Some((index + 1, last.message.id.clone()));
        }
        let recovers = |next: &Waiting| next.cause == Cause::Recovered;
        let recovered = self.waiting.front().is_some_and(recovers);
        let most = match (recovered, config.coalesce) {
            (true, _) => RECOVERED_MAX,
            (false, Some(_)) => TURN_MESSAGES_MAX,
            (false, None) => 1,
        };
        let mut chars = 0;
        let fits = |next: &&Waiting| {
            chars += next.chars;
            chars <= TURN_CHARS_MAX && recovers(next) == recovered
        };
        let further = self.waiting.iter().take(most).take_while(fits).count();
        let length = further.max(1);
        let last = self.waiting.get(length - 1)?;
        Some((length, last.message.id.clone()))
    }

    /// The message about which the turn engine must be asked before the next turn, if a turn could
    /// start now; [`permit`](Self::permit) or [`refuse`](Self::refuse) follows.
    pub fn ask_permit(&mut self, now: Time, config: &Config) -> Option<MessageId> {
        if self.starts_at(config)? > now {
            return None;
        }
        let (_, last) = self.ahead(config)?;
        let wanted = match &self.permit {
            Permit::Free | Permit::Asked(..) => false,
            Permit::Wanted => true,
            Permit::Given(given, _) => *given != last,
        };
        wanted.then(|| {
            self.permit = Permit::Asked(last.clone(), None);
            if self.wake.as_ref().is_some_and(|(woken, _)| *woken == last) {
                self.rewoken = false;
            }
            last
        })
    }

    /// The messages of the next turn, and what it says of them; `None` where an earlier process has
    /// begun it.
    pub fn next_new(&self, config: &Config) -> Option<(Vec<(u64, MessageId)>, Notice)> {
        let (length, _) = self.ahead(config)?;
        let next = self.waiting.iter().take(length);
        let has = |cause| next.clone().any(|held| held.cause == cause);
        let notice = Notice {
            skipped: 0,
            recovered: has(Cause::Recovered),
            rewake: has(Cause::Rewake),
        };
        let is_new = self.waiting.front()?.again.is_none();
        let told = next.map(|held| (held.message.seq, held.message.id.clone()));
        is_new.then(|| (told.collect(), notice))
    }

    /// The turn about which the turn engine is to be asked has this id.
    pub fn name(&mut self, turn: TurnId) {
        if let Permit::Asked(_, named) = &mut self.permit {
            *named = Some(turn);
        }
    }

    /// The message about which the turn engine is to be asked before this turn.
    pub fn asks_about(&self, turn: &TurnId) -> Option<&MessageId> {
        match &self.permit {
            Permit::Asked(message, Some(asked)) if asked == turn => Some(message),
            Permit::Free | Permit::Wanted | Permit::Asked(..) | Permit::Given(..) => None,
        }
    }

    /// The guild wakes the agent once more with a message that waits or runs, or is to be offered again, in a
    /// channel of which `newest` is the newest that is known.
    pub fn rewake(&mut self, message: &MessageId, newest: u64) {
        self.wake = Some((message.clone(), newest));
        self.rewoken = true;
    }

    /// The message with which the guild has woken the agent since a post of this `seq`.
    pub fn woken_since(&self, seq: u64) -> Option<&MessageId> {
        let (message, newest) = self.wake.as_ref()?;
        (seq <= *newest).then_some(message)
    }

    /// A post of the agent stands in the channel.
    pub fn on_own(&mut self, seq: u64) {
        if self.permit != Permit::Free {
            self.own_seq = self.own_seq.max(seq);
        }
    }

    /// The highest `seq` of those that do, where users take turns.
    pub fn own_seq(&self) -> u64 {
        self.own_seq
    }

    /// Whether a post that was not made in the turn that runs is the end of it to the guild's turn engine: it
    /// came after the message that woke the agent.
    pub fn is_answered(&self) -> bool {
        let woken = self.woken_since(self.own_seq);
        self.running.as_ref().is_some_and(|running| {
            let is_new = !running.rewake && !woken.is_some_and(|it| running.messages.contains(it));
            running.awaited && is_new && running.last_seq < self.own_seq
        })
    }

    /// The turn engine waits for an answer to this message, in a channel of which `newest` was the newest that
    /// was known when it was asked: no post up to there is that answer, whichever process made it.
    pub fn permit(&mut self, message: &MessageId, newest: u64) {
        if let Some(turn) = self.asked(message) {
            self.permit = Permit::Given(message.clone(), turn);
            if !self.rewoken {
                self.wake = Some((message.clone(), newest));
            }
        }
    }

    /// The turn engine does not wait for an answer to this message. What is not to be handed over waits no
    /// more, which is everything up to it: how many those are, and those of them that have their text. A
    /// message that has woken the agent once more since then, or since this one came, stays, and so does
    /// all that its turn has: it is asked about again.
    pub fn refuse(&mut self, message: &MessageId) -> (usize, Vec<InboundMessage>) {
        if self.asked(message).is_none() {
            return (0, Vec::new());
        }
        self.permit = Permit::Wanted;
        let rewoken = self.wake.as_ref().filter(|_| self.rewoken);
        let rewoken = rewoken.map(|(message, _)| message);
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|held| held.message.id == *message);
        let length = match at {
            Some(at) if rewoken != Some(message) => at + 1,
            Some(_) | None => 0,
        };
        let refused: Vec<_> = self.waiting.drain(..length).collect();
        let is_rewoken = |held: &Waiting| rewoken == Some(&held.message.id);
        let (stays, stale): (Vec<_>, Vec<_>) = refused.into_iter().partition(is_rewoken);
        let gone = stale.len();
        for held in stays {
            self.waiting.push_front(held);
        }
        let stale = stale.into_iter().filter(|held| !held.is_bare);
        (gone, stale.map(|held| held.message).collect())
    }

    /// The id of the turn about which the turn engine is being asked with this message, if it has one.
    fn asked(&self, message: &MessageId) -> Option<Option<TurnId>> {
        match &self.permit {
            Permit::Asked(asked, turn) if asked == message => Some(turn.clone()),
            Permit::Free | Permit::Wanted | Permit::Asked(..) | Permit::Given(..) => None,
        }
    }

    /// What has become of a message.
    pub fn fate(&self, message: &MessageId) -> Fate {
        let runs = self
            .running
            .as_ref()
            .filter(|running| running.messages.contains(message));
        match runs {
            Some(running) if running.posted => Fate::Posted,
            Some(_) => Fate::Open,
            None if self.waiting.iter().any(|held| held.message.id == *message) => Fate::Open,
            None => Fate::Unknown,
        }
    }

    /// A turn with the messages of `batch` has begun; [`hand_over`](Self::hand_over) follows once that
    /// is kept.
    pub fn start(&mut self, turn: TurnId, batch: &Batch) {
        self.running = Some(Running {
            turn,
            first_seq: batch.messages.first().map_or(0, |first| first.seq),
            last_seq: batch.messages.last().map_or(0, |last| last.seq),
            messages: batch.messages.iter().map(|told| told.id.clone()).collect(),
            awaited: batch.awaited,
            rewake: batch.rewake,
            sends: 0,
            posted: false,
            own: Others::default(),
            deadline: None,
        });
    }

    /// The turn that has begun is handed over now, if it is this one, and is given so long.
    pub fn hand_over(&mut self, now: Time, turn: &TurnId, timeout: Duration) {
        if let Some(running) = self.running.as_mut().filter(|known| known.turn == *turn) {
            running.deadline = Some(now + timeout);
        }
    }

    /// The turn that has begun is not to be handed over any more: gives it back if it was not.
    pub fn call_off(&mut self) -> Option<Running> {
        self.running.take_if(|running| running.deadline.is_none())
    }

    /// The lowest `seq` that is not finished. What waits may have a lower one than the turn that runs: a
    /// guild that was restored from a backup gives its numbers anew.
    pub fn unfinished(&self) -> Option<u64> {
        let running = self.running.iter().map(|running| running.first_seq);
        let waiting = self.waiting.iter().map(|held| held.message.seq);
        running.chain(waiting).min()
    }

    /// The running turn, if it is this one, has ended.
    pub fn end(&mut self, turn: &TurnId) -> Option<Running> {
        self.running.take_if(|running| running.turn == *turn)
    }

    /// The running turn, if its time is up.
    pub fn expire(&mut self, now: Time) -> Option<Running> {
        self.running
            .take_if(|running| running.deadline.is_some_and(|deadline| deadline <= now))
    }

    /// A waiting message was edited: the bytes of its text before and after; zeros where it is not
    /// here. Where it adds more than `room` bytes, the text is not kept.
    pub fn update(&mut self, message: &InboundMessage, room: usize) -> (usize, usize) {
        let known = self
            .waiting
            .iter_mut()
            .find(|known| known.message.id == message.id);
        let Some(known) = known else { return (0, 0) };
        let before = known.message.content.len();
        known.chars = message.content.chars().count();
        if !known.is_bare {
            known.message.clone_from(message);
        }
        if message.content.len() > before.saturating_add(room) {
            known.strip();
        }
        (before, known.message.content.len())
    }

    /// A waiting message was deleted: gives it back where it was there.
    pub fn remove(&mut self, id: &MessageId) -> Option<InboundMessage> {
        let at = self
            .waiting
            .iter()
            .position(|known| known.message.id == *id)?;
        if matches!(&self.permit, Permit::Asked(of, _) | Permit::Given(of, _) if of == id) {
            self.permit = Permit::Wanted;
        }
        self.waiting.remove(at).map(|known| known.message)
    }

    /// Everything up to `seq` was handed over by an earlier process: gives back what of it waits. What
    /// the guild wakes the agent with once more stays.
    pub fn overtake(&mut self, seq: u64) -> Vec<InboundMessage> {
        let known = |held: &Waiting| held.message.seq <= seq && held.cause != Cause::Rewake;
        let waiting = core::mem::take(&mut self.waiting);
        let (known, waiting): (VecDeque<_>, _) = waiting.into_iter().partition(known);
        self.waiting = waiting;
        let known: Vec<_> = known.into_iter().map(|held| held.message).collect();
        if let Permit::Asked(of, _) | Permit::Given(of, _) = &self.permit
            && known.iter().any(|message| message.id == *of)
        {
            self.permit = Permit::Wanted;
        }
        known
    }

    /// Drops everything that waits, and says how many messages and how many bytes of text; a
    /// running turn goes on. What was skipped is forgotten with it.
    pub fn clear(&mut self) -> (usize, usize) {
        self.skips = Skips::default();
        self.recovered = false;
        self.permit = Permit::Free;
        self.held = false;
        let dropped = core::mem::take(&mut self.waiting);
        (
            dropped.len(),
            dropped
                .iter()
                .map(|known| known.message.content.len())
                .sum(),
        )
    }

    /// Whether it has had nothing to do for `idle`, and can be dropped.
    pub fn is_spent(&mut self, now: Time, idle: Duration, planted: Planted) -> bool {
        let ends = planted.is(Defect::DropsOnTime) && self.idle_since.is_some();
        if !self.is_idle() && !ends {
            self.idle_since = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert(now);
        now.since(since) >= idle
    }

    fn is_idle(&self) -> bool {
        // What the next turn must say must reach it, however late that comes.
        let says = !self.skips.is_empty() || self.recovered;
        self.waiting.is_empty() && self.running.is_none() && !says && !self.held
    }

    /// When the next turn can start.
    fn starts_at(&self, config: &Config) -> Option<Time> {
        if self.running.is_some() || matches!(self.permit, Permit::Asked(..)) {
            return None;
        }
        let first = self.waiting.front()?;
        if first.again.is_some() {
            return Some(first.arrived_at);
        }
        match (first.cause, config.coalesce) {
            (Cause::Recovered, _) if self.held => None,
            (Cause::Posted | Cause::Rewake, Some(span))
                if self.waiting.len() < TURN_MESSAGES_MAX =>
            {
                Some(first.arrived_at + span)
            }
            (Cause::Posted | Cause::Rewake | Cause::Recovered, _) => Some(first.arrived_at),
        }
    }

    /// When there is something to do, while the host takes turns (`ready`) or not.
    pub fn next_wakeup(&self, config: &Config, ready: bool) -> Option<Wakeup> {
        let start = self.starts_at(config).filter(|_| ready).map(|at| Wakeup {
            at,
            why: "turn can start",
        });
        let deadline = self.running.as_ref().and_then(|running| running.deadline);
        let timeout = deadline.map(|at| Wakeup {
            at,
            why: "turn timeout",
        });
        let drop = self.idle_since.map(|since| Wakeup {
            at: since + config.queue_idle,
            why: "queue idle",
        });
        earliest([start, timeout, drop])
    }
}

#[cfg(test)]
mod tests;
