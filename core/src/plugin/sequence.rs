//! The sequence of one channel: what has been heard, what waits behind a gap, and what history must
//! tell.

use alloc::vec::Vec;
use core::time::Duration;

use crate::{
    canonical,
    fabric::types::{Message, Page},
    plugin::{
        ahead::Ahead,
        anchor::{Anchor, Found},
        backfill::{Backfill, Read},
        kept::{Cursor, Mark},
    },
    time::Time,
    ws::ConnId,
};

/// Puts the messages of one channel in order, and knows what is missing.
///
/// It sees every message, own ones too, before any filter. A push is a hint; what a guild stores is
/// the truth. What it misses it reads: the owner asks for [`read`](Self::read) when
/// [`read_at`](Self::read_at) has come, and gives the answer to [`on_page`](Self::on_page).
///
/// A wake with a message that was heard before is nothing to it. One with a message that was not takes
/// its place here like any other, since what was said before it goes first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sequence {
    /// The highest `seq` up to which everything has been received; `None` while it is not known
    /// where to begin.
    heard: Option<u64>,
    /// Up to here an earlier process has heard it all: it is read once more, and counts neither as
    /// missed nor as skipped.
    again: u64,
    /// Whether a join has been answered on a connection that is open.
    joined: bool,
    /// Whether one ever has. A push that comes earlier is newer than the beginning all the same.
    met: bool,
    /// Nobody tells where to begin: at the first message that is pushed.
    anywhere: bool,
    /// The newest `seq` that the guild has told since then.
    told: u64,
    /// Whether it tells that without being asked.
    tells: bool,
    /// The newest message must be asked for.
    asks_newest: bool,
    /// The first contact was read, up to here: until something newer is pushed, a push up to here may
    /// have been overtaken by that.
    read_up_to: Option<u64>,
    ahead: Ahead,
    anchor: Anchor,
    backfill: Backfill,
}
canonical!(struct Sequence {
    heard, again, joined, met, anywhere, told, tells, asks_newest, read_up_to, ahead,
    anchor, backfill
});

/// What became passable.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Released {
    /// Messages in order of `seq`.
    pub messages: Vec<Message>,
    /// How many before them are missing, in the guild's history too.
    pub missing: u64,
}

impl Sequence {
    /// The highest `seq` up to which everything has been received.
    pub fn heard(&self) -> Option<u64> {
        self.heard
    }

    /// The newest `seq` that the guild is known to have.
    pub fn newest(&self) -> u64 {
        let ahead = self.ahead.last().unwrap_or_default();
        self.heard.unwrap_or_default().max(self.told).max(ahead)
    }

    /// Whether that is less than an earlier process had heard.
    pub fn is_rereading(&self) -> bool {
        self.heard.is_none_or(|heard| heard < self.again)
    }

    /// An earlier process has heard everything up to `again`; what follows `seq` is read once more.
    pub fn resume(&mut self, seq: u64, again: u64) {
        self.heard = Some(seq);
        self.again = again;
        self.met = true;
    }

    /// Whether the guild is known to be the one whose messages were heard, or is taken for that as long as
    /// it cannot be looked up.
    pub fn is_settled(&self) -> bool {
        let is_known = self.anchor.is_held() || self.backfill.failures() > 0;
        self.joined && is_known && !self.anchor.is_lost()
    }

    /// Up to which `seq` the guild is known to have more than has been received.
    pub fn behind(&self) -> Option<u64> {
        let heard = self.heard.filter(|_| self.joined)?;
        (self.told > heard).then_some(self.told)
    }

    /// The membership began at `seq`: what was said before is nothing to the agent.
    pub fn not_before(&mut self, seq: u64) {
        self.heard = self.heard.map(|heard| heard.max(seq));
    }

    /// What follows `seq` is for the agent, unless that was settled before.
    pub fn start(&mut self, now: Time, seq: u64) -> Released {
        if self.heard.is_none() {
            let before_first = self.ahead.before_first().unwrap_or(seq);
            self.heard = Some(seq.min(before_first));
            self.anywhere = false;
        }
        self.release(now)
    }

    /// The same with the newest `seq` that the join's answer told, where that is there.
    pub fn start_if_joined(&mut self, now: Time) -> Released {
        match self.joined {
            true => self.start(now, self.told),
            false => Released::default(),
        }
    }

    /// The join on the only connection was answered with the channel's newest `seq`; `None` where
    /// the guild does not tell it, and must be asked.
    pub fn on_joined(&mut self, now: Time, last_seq: Option<u64>) -> Released {
        let Some(last) = last_seq else {
            self.ask_newest(now);
            return Released::default();
        };
        self.tells = true;
        self.open(now, last)
    }

    /// The same on a second connection: what is missing may be on its way by the first one, and is
    /// read at `at`.
    pub fn on_joined_again(&mut self, at: Time, last_seq: Option<u64>) -> Released {
        match last_seq {
            Some(last) => {
                self.tells = true;
                self.told = self.told.max(last);
                self.release(at)
            }
            None => {
                self.ask_newest(at);
                Released::default()
            }
        }
    }

    fn open(&mut self, now: Time, last: u64) -> Released {
        self.joined = true;
        self.met = true;
        self.told = last;
        let known = self.known().unwrap_or_default();
        if last < known {
            self.anchor.lose(known);
        }
        self.heard = self.heard.map(|heard| heard.min(last));
        self.again = self.again.min(last);
        self.release(now)
    }

    /// A listing told the channel's newest `seq`, or did not.
    pub fn on_listed(&mut self, now: Time, last_seq: Option<u64>) {
        if !self.joined {
            return;
        }
        match last_seq {
            Some(last) => {
                self.told = self.told.max(last);
                self.plan(now);
            }
            None if self.tells => {}
            None => self.ask_newest(now),
        }
    }

    fn ask_newest(&mut self, now: Time) {
        self.asks_newest = true;
        self.backfill.want(now);
    }

    /// The guild was asked for the newest message, and this is its `seq`; 0 where there is none.
    pub fn on_newest(&mut self, now: Time, last: u64) -> Released {
        self.backfill.on_answered();
        self.asks_newest = false;
        if self.joined {
            self.told = self.told.max(last);
            self.release(now)
        } else {
            self.read_up_to = Some(last).filter(|_| !self.met);
            self.open(now, last)
        }
    }

    /// The guild has no history to ask for. It may have started anew while it was away: what was
    /// heard before would then make the agent deaf to it.
    pub fn on_no_history(&mut self, now: Time) -> Released {
        self.backfill.on_answered();
        self.asks_newest = false;
        if !self.joined {
            self.heard = self.ahead.before_first();
            self.again = 0;
            self.anywhere = true;
            self.joined = true;
            self.met = true;
        }
        self.release(now)
    }

    /// A connection has ended: what came by it and waits behind a gap is dropped, since history
    /// brings it again. `joined` tells whether the channel is joined on another one.
    pub fn on_conn_end(&mut self, conn: ConnId, joined: bool) {
        self.ahead.on_conn_end(conn, joined);
        if joined {
            if !self.wants() {
                self.backfill.settle();
            }
            return;
        }
        self.anchor.on_conn_end();
        self.joined = false;
        self.read_up_to = None;
        self.told = 0;
        self.asks_newest = false;
        self.backfill = Backfill::default();
    }

    /// A message was pushed; what is missing before it is waited for, and then read.
    pub fn on_message(
        &mut self,
        now: Time,
        message: Message,
        by: ConnId,
        patience: Duration,
    ) -> Released {
        let seq = message.seq;
        if let Some(read) = self.read_up_to.take_if(|_| self.joined)
            && seq <= read
        {
            self.heard = Some(seq.saturating_sub(1));
        }
        if self.joined && self.heard.is_some_and(|heard| seq <= heard) {
            return Released::default();
        }
        if !self.met {
            self.heard = self.heard.map(|heard| heard.min(seq.saturating_sub(1)));
        }
        self.ahead.push(message, by);
        let released = self.release(now + patience);
        self.bound();
        released
    }

    /// A message that may wait behind a gap was edited or deleted.
    pub fn amend(&mut self, newer: &Message) {
        self.ahead.amend(newer);
    }

    /// When to read history.
    pub fn read_at(&self) -> Option<Time> {
        self.backfill.due_at()
    }

    /// What to read now, at most `most` messages, and how many older ones are skipped for that. The
    /// owner says to [`backfill`](Self::backfill) what has become of it.
    pub fn read(&mut self, most: u64) -> Option<(Read, u64)> {
        if self.asks_newest {
            return Some((Read::Newest, 0));
        }
        if let Some(read) = self.anchor.read(self.backfill.limit()) {
            return Some((read, 0));
        }
        let (heard, until) = self.missing()?;
        let (seq, until) = match heard < self.again {
            true => (heard, until.min(self.again)),
            false => (until.saturating_sub(most).max(heard), until),
        };
        self.heard = Some(seq);
        let limit = self.backfill.limit().min(until.saturating_sub(seq));
        Some((Read::After { seq, until, limit }, seq - heard))
    }

    /// How the reading goes.
    pub fn backfill(&mut self) -> &mut Backfill {
        &mut self.backfill
    }

    /// A page of history came. What was pushed goes before what was read.
    pub fn on_page(&mut self, now: Time, page: Page) -> Released {
        self.backfill.on_answered();
        let before = self.heard;
        let until = self.missing().map(|(_, until)| until);
        let is_full = page.messages.len() as u64 >= self.backfill.limit();
        for message in page.messages {
            if before.is_some_and(|heard| message.seq > heard) {
                self.ahead.fill(message);
            }
        }
        let messages = self.passable();
        let released = Released {
            messages,
            missing: 0,
        };
        self.bound();
        match self.missing() {
            None => self.plan(now),
            Some(_) if self.heard > before => self.backfill.on_filled(now, page.has_more),
            // It was the end of what is missing: the guild does not know where to begin.
            Some((_, left)) if is_full && until.is_some_and(|until| left < until) => {
                self.backfill.on_filled(now, true);
            }
            Some(_) => {
                if self.backfill.on_unfilled(now) {
                    return self.accept_gap(now);
                }
            }
        }
        released
    }

    /// The guild was away: whether it still has `by`, which is the message at the cursor or a newer one, is to
    /// be looked up once it is joined.
    pub fn doubt(&mut self, anchor: Cursor, by: Cursor) {
        self.anchor.doubt(anchor, by);
    }

    /// Everything up to `cursor` is finished.
    pub fn finish(&mut self, cursor: &Cursor) {
        self.anchor.finish(cursor);
    }

    /// Whether it has is not looked up (any more).
    pub fn trust(&mut self, now: Time) {
        self.backfill.on_answered();
        self.anchor.trust();
        self.plan(now);
    }

    /// The page that [`Read::Anchor`] asked for. Gives back what stands there where that was not
    /// known.
    pub fn on_looked_up(&mut self, now: Time, page: &Page) -> Option<Mark> {
        self.backfill.on_answered();
        let known = self.known().unwrap_or_default();
        let mark = self.anchor.on_looked_up(page, known);
        self.plan(now);
        mark
    }

    /// A page that [`Read::Back`] asked for. Gives back what is found once that is all: at most the
    /// newest `most` messages, which [`go_on`](Self::go_on) then releases.
    pub fn on_back(&mut self, now: Time, page: Page, most: usize) -> Option<Found> {
        self.backfill.on_answered();
        let found = self.anchor.on_back(page, most);
        if let Some(found) = &found {
            // What is read once more comes first.
            let again = self.heard.filter(|_| self.is_rereading());
            let heard = found.cursor.seq;
            self.heard = Some(again.map_or(heard, |again| again.min(heard)));
            self.told = self.told.max(found.newest);
            for message in &found.messages {
                self.ahead.fill(message.clone());
            }
        }
        self.plan(now);
        found
    }

    /// Releases what is in order by now.
    pub fn go_on(&mut self, now: Time) -> Released {
        let released = self.release(now);
        self.bound();
        released
    }

    /// Up to where everything was heard, by this process or an earlier one.
    fn known(&self) -> Option<u64> {
        self.heard.map(|heard| heard.max(self.again))
    }

    /// Whether there is anything to be read.
    fn wants(&self) -> bool {
        let anchor = self.joined && self.anchor.read(1).is_some();
        anchor || self.asks_newest || self.missing().is_some()
    }

    /// Goes on behind the present gap.
    pub fn accept_gap(&mut self, now: Time) -> Released {
        let Some((heard, until)) = self.missing() else {
            return Released::default();
        };
        self.heard = Some(until);
        self.backfill = Backfill::default();
        Released {
            missing: until - heard,
            ..self.release(now)
        }
    }

    /// The first stretch that is missing: after which `seq`, and up to which.
    fn missing(&self) -> Option<(u64, u64)> {
        let heard = self
            .heard
            .filter(|_| self.joined && !self.anchor.is_lost())?;
        let until = self.ahead.before_first().unwrap_or(self.told);
        (until > heard).then_some((heard, until))
    }

    /// Keeps what waits within its limit: the oldest goes where it is not known what is missing, and
    /// otherwise what is read last.
    fn bound(&mut self) {
        while self.ahead.is_overfull() {
            if !self.joined {
                self.ahead.drop_first();
            } else if let Some(seq) = self.ahead.drop_last() {
                self.told = self.told.max(seq);
            }
        }
    }

    /// Releases what is in order; what is missing is to be read at `at`.
    fn release(&mut self, at: Time) -> Released {
        let messages = self.passable();
        self.plan(at);
        Released {
            messages,
            missing: 0,
        }
    }

    fn plan(&mut self, at: Time) {
        match self.wants() {
            true => self.backfill.want(at),
            false => self.backfill.settle(),
        }
    }

    /// Takes what is in order by now.
    pub fn passable(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        let knows_where = self.heard.is_some() || self.anywhere;
        if !knows_where || !self.is_settled() {
            return messages;
        }
        while let Some(message) = self.ahead.pop_after(self.heard) {
            self.heard = Some(message.seq);
            messages.push(message);
        }
        messages
    }
}

#[cfg(test)]
mod tests;
