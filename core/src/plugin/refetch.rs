//! What waited without its text, since there was too much of it, and is read again for its turn.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::time::Duration;

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::{
        routes::{PAGE_MAX, Paging},
        types::Message,
    },
    id::{MessageId, TurnId},
    machine::Wakeup,
    plugin::{
        inbound::{Inbound, InboundMessage},
        retry,
        turns::Place,
    },
    rng::Rng,
    time::Time,
};

/// How many turns are read for at a time: after a night without a host thousands must not ask at once.
const READS_MAX: usize = 16;

/// The longest wait between two repetitions of a read that fails.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// The turns that have begun with messages of which only the ids are known, at most one a channel.
///
/// [`begin`](Self::begin) takes one in. The owner reads what [`next_due`](Self::next_due) gives, and says
/// [`on_page`](Self::on_page), [`on_failed`](Self::on_failed), [`on_too_large`](Self::on_too_large),
/// [`on_refused`](Self::on_refused) or [`on_blocked`](Self::on_blocked); once [`is_whole`](Self::is_whole) says so, what was read is put in by
/// [`complete`](Self::complete).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refetch {
    open: BTreeMap<Place, Reading>,
    due: Deadlines<Place>,
    /// Those that are due and wait for others to be read.
    ready: VecDeque<(Time, Place)>,
    /// Those that are being read.
    asked: BTreeSet<Place>,
    /// Those that wait for a login.
    blocked: BTreeSet<Place>,
    rng: Rng,
}
canonical!(struct Refetch { open, due, ready, asked, blocked; - rng });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reading {
    turn: TurnId,
    /// What is still to be read, in order of `seq`.
    wanted: VecDeque<(u64, MessageId)>,
    read: BTreeMap<MessageId, Option<InboundMessage>>,
    /// How many messages a page may have, and up to which `seq` the one that is being read goes.
    limit: u64,
    until: u64,
    failures: u32,
    /// A token was refused for it already.
    refused: bool,
}
canonical!(struct Reading { turn, wanted, read, limit, until, failures, refused });

impl Refetch {
    /// Nothing is read; `rng` draws the waits.
    pub fn new(rng: Rng) -> Self {
        Self {
            open: BTreeMap::new(),
            due: Deadlines::default(),
            ready: VecDeque::new(),
            asked: BTreeSet::new(),
            blocked: BTreeSet::new(),
            rng,
        }
    }

    /// A turn of `place` has begun with these messages, of which only `seq` and id are known.
    pub fn begin(&mut self, now: Time, place: Place, turn: TurnId, bare: &[(u64, MessageId)]) {
        self.forget(&place);
        if bare.is_empty() {
            return;
        }
        // One that wakes once more is older than those before it.
        let mut bare = bare.to_vec();
        bare.sort_unstable();
        let reading = Reading {
            turn,
            wanted: bare.into(),
            read: BTreeMap::new(),
            limit: PAGE_MAX,
            until: 0,
            failures: 0,
            refused: false,
        };
        self.due.set(place.clone(), Some(now));
        self.open.insert(place, reading);
    }

    /// The next page to read. It begins and ends with what is wanted and is no longer than `limit`, so
    /// that a guild which knows only one of the two bounds gives all of it too.
    pub fn next_due(&mut self, now: Time) -> Option<(Place, Paging)> {
        while let Some(place) = self.due.pop_due(now) {
            self.ready.push_back((now, place));
        }
        if self.asked.len() >= READS_MAX {
            return None;
        }
        let (_, place) = self.ready.pop_front()?;
        let reading = self.open.get_mut(&place)?;
        let first = reading.wanted.front()?.0;
        let end = first.saturating_add(reading.limit);
        let inside = reading.wanted.iter().take_while(|(seq, _)| *seq < end);
        let last = inside.last()?.0;
        self.asked.insert(place.clone());
        reading.until = last;
        let page = Paging {
            after: Some(first.saturating_sub(1)),
            before: Some(last.saturating_add(1)),
            limit: last - first + 1,
        };
        Some((place, page))
    }

    /// A read waits for a login.
    pub fn on_blocked(&mut self, place: Place) {
        self.asked.remove(&place);
        self.blocked.insert(place);
    }

    /// A login succeeded.
    pub fn on_token(&mut self, now: Time) {
        for place in core::mem::take(&mut self.blocked) {
            self.due.set(place, Some(now));
        }
    }

    /// The token was refused; whether it was for the first time: then the page is read with a new one.
    pub fn on_refused(&mut self, now: Time, place: &Place) -> bool {
        self.asked.remove(place);
        let Some(reading) = self.open.get_mut(place) else {
            return true;
        };
        let is_first = !core::mem::replace(&mut reading.refused, true);
        if is_first {
            self.due.set(place.clone(), Some(now));
        }
        is_first
    }

    /// A page was read: what was wanted of it and is not in it is gone.
    pub fn on_page(&mut self, now: Time, place: &Place, messages: Vec<Message>) {
        self.asked.remove(place);
        let Some(reading) = self.open.get_mut(place) else {
            return;
        };
        (reading.failures, reading.refused) = (0, false);
        for message in messages {
            if reading.wanted.iter().any(|(_, id)| *id == message.id) {
                let told = message.deleted_at.is_none();
                let id = message.id.clone();
                reading.read.insert(id, told.then(|| message.into()));
            }
        }
        let until = reading.until;
        reading.wanted.retain(|(seq, _)| *seq > until);
        let more = (!reading.wanted.is_empty()).then_some(now);
        self.due.set(place.clone(), more);
    }

    /// A page could not be read, and the guild wants to be left alone for so long.
    pub fn on_failed(&mut self, now: Time, place: &Place, asked: Option<Duration>) {
        self.asked.remove(place);
        let Some(reading) = self.open.get_mut(place) else {
            return;
        };
        let wait = retry::wait_after(&mut self.rng, reading.failures, RETRY_MOST, asked);
        reading.failures = reading.failures.saturating_add(1);
        self.due.set(place.clone(), Some(now + wait));
    }

    /// A page was longer than what can be received: the next one is shorter. A single message that is too
    /// long is let go.
    pub fn on_too_large(&mut self, now: Time, place: &Place) {
        self.asked.remove(place);
        let Some(reading) = self.open.get_mut(place) else {
            return;
        };
        if reading.limit > 1 {
            reading.limit /= 2;
        } else {
            reading.wanted.pop_front();
        }
        let more = (!reading.wanted.is_empty()).then_some(now);
        self.due.set(place.clone(), more);
    }

    /// The turn of `place` that waits for what is read, if one does.
    pub fn turn(&self, place: &Place) -> Option<&TurnId> {
        self.open.get(place).map(|reading| &reading.turn)
    }

    /// Whether nothing (more) is to be read in `place`.
    pub fn is_whole(&self, place: &Place) -> bool {
        let reading = self.open.get(place);
        reading.is_none_or(|reading| reading.wanted.is_empty())
    }

    /// Puts what was read into the turn. What is deleted is left out; what is gone, or was too long, is
    /// counted as skipped.
    pub fn complete(&mut self, place: &Place, bare: &[(u64, MessageId)], inbound: &mut Inbound) {
        let Some(mut reading) = self.forget(place) else {
            return;
        };
        let mut skipped = 0;
        inbound.messages.retain_mut(|message| {
            if !bare.iter().any(|(_, id)| *id == message.id) {
                return true;
            }
            match reading.read.remove(&message.id) {
                Some(Some(whole)) => {
                    *message = whole;
                    true
                }
                Some(None) => false,
                None => {
                    skipped += 1;
                    false
                }
            }
        });
        inbound.skipped = inbound.skipped.saturating_add(skipped);
    }

    /// The turn of `place` is not handed over (any more).
    pub fn stop(&mut self, place: &Place) {
        self.forget(place);
    }

    fn forget(&mut self, place: &Place) -> Option<Reading> {
        self.due.set(place.clone(), None);
        self.ready.retain(|(_, ready)| ready != place);
        self.asked.remove(place);
        self.blocked.remove(place);
        self.open.remove(place)
    }

    /// When there is something to read.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        let ready = self.ready.front().map(|(at, _)| *at);
        let ready = ready.filter(|_| self.asked.len() < READS_MAX);
        let at = self.due.earliest().into_iter().chain(ready).min()?;
        Some(Wakeup { at, why: "refetch" })
    }
}
