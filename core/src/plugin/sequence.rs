//! The sequence of one channel: what has been heard, what waits behind a gap, and what history must
//! tell.

use alloc::{
    collections::{BTreeMap, btree_map::Entry},
    vec::Vec,
};
use core::time::Duration;

use crate::{
    canonical,
    fabric::types::{Message, Page},
    plugin::backfill::{Backfill, Read},
    time::Time,
    ws::ConnId,
};

/// How many messages wait behind a gap, or before the join's answer. What is beyond is read again
/// from history: a peer that never fills a gap would otherwise fill the memory.
const AHEAD_MAX: usize = 256;

/// Puts the messages of one channel in order, and knows what is missing.
///
/// It sees every message, own ones too, before any filter. A push is a hint; what a guild stores is
/// the truth. What it misses it reads: the owner asks for [`read`](Self::read) when
/// [`read_at`](Self::read_at) has come, and gives the answer to [`on_page`](Self::on_page).
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
    ahead: BTreeMap<u64, Ahead>,
    backfill: Backfill,
}
canonical!(struct Sequence {
    heard, again, joined, met, anywhere, told, tells, asks_newest, ahead, backfill
});

/// A message that is ahead of its sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ahead {
    message: Message,
    /// The last connection that it came by; `None` where it was read.
    by: Option<ConnId>,
}
canonical!(struct Ahead { message, by });

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
            let before_first = self.before_first().unwrap_or(seq);
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
            self.open(now, last)
        }
    }

    /// The guild has no history to ask for. It may have started anew while it was away: what was
    /// heard before would then make the agent deaf to it.
    pub fn on_no_history(&mut self, now: Time) -> Released {
        self.backfill.on_answered();
        self.asks_newest = false;
        if !self.joined {
            self.heard = self.before_first();
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
        if joined {
            self.ahead.retain(|_, ahead| ahead.by != Some(conn));
            if self.missing().is_none() && !self.asks_newest {
                self.backfill.settle();
            }
            return;
        }
        self.ahead
            .retain(|_, ahead| ahead.by.is_some_and(|by| by != conn));
        self.joined = false;
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
        if self.joined && self.heard.is_some_and(|heard| seq <= heard) {
            return Released::default();
        }
        if !self.met {
            self.heard = self.heard.map(|heard| heard.min(seq.saturating_sub(1)));
        }
        let by = Some(by);
        let ahead = self.ahead.entry(seq).or_insert(Ahead { message, by });
        ahead.by = ahead.by.max(by);
        let released = self.release(now + patience);
        self.bound();
        released
    }

    /// A message that may wait behind a gap was edited or deleted.
    pub fn amend(&mut self, newer: &Message) {
        if let Some(ahead) = self.ahead.get_mut(&newer.seq)
            && ahead.message.id == newer.id
        {
            ahead.message.amend(newer);
        }
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
            if before.is_some_and(|heard| message.seq > heard)
                && let Entry::Vacant(place) = self.ahead.entry(message.seq)
            {
                place.insert(Ahead { message, by: None });
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
        let heard = self.heard.filter(|_| self.joined)?;
        let until = self.before_first().unwrap_or(self.told);
        (until > heard).then_some((heard, until))
    }

    fn before_first(&self) -> Option<u64> {
        let first = self.ahead.keys().next();
        first.map(|first| first.saturating_sub(1))
    }

    /// Keeps what waits within its limit: the oldest where it is not known what is missing, and
    /// otherwise what is read next.
    fn bound(&mut self) {
        while self.ahead.len() > AHEAD_MAX {
            if !self.joined {
                self.ahead.pop_first();
            } else if let Some((seq, _)) = self.ahead.pop_last() {
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
        match self.missing() {
            Some(_) => self.backfill.want(at),
            None if self.asks_newest => self.backfill.want(at),
            None => self.backfill.settle(),
        }
    }

    fn passable(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        if !self.joined || (self.heard.is_none() && !self.anywhere) {
            return messages;
        }
        while let Some(entry) = self.ahead.first_entry() {
            let seq = *entry.key();
            match self.heard {
                Some(heard) if seq > heard.saturating_add(1) => break,
                Some(heard) if seq <= heard => {
                    entry.remove();
                }
                Some(_) | None => {
                    messages.push(entry.remove().message);
                    self.heard = Some(seq);
                }
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;
    use crate::{
        fabric::types::Author,
        id::{ChannelId, MessageId, UserId},
        time::Wall,
    };

    const PATIENCE: Duration = Duration::from_millis(250);
    const OLD: ConnId = ConnId(1);
    const NEW: ConnId = ConnId(2);

    fn message(seq: u64) -> Message {
        Message {
            id: MessageId::new(&format!("m{seq}")).unwrap(),
            channel_id: ChannelId::new("c").unwrap(),
            guild_id: None,
            seq,
            author: Author {
                id: UserId::new("u").unwrap(),
                name: "u".into(),
            },
            content: "hello".into(),
            reply_to_id: None,
            mentions: vec![],
            attachments: vec![],
            created_at: Wall::default(),
            edited_at: None,
            deleted_at: None,
            nonce: None,
            wakeup: None,
            rewake: None,
            wake_id: None,
        }
    }

    fn page(seqs: &[u64], has_more: bool) -> Page {
        Page {
            messages: seqs.iter().map(|seq| message(*seq)).collect(),
            has_more,
        }
    }

    fn seqs(released: Released) -> (Vec<u64>, u64) {
        let messages = released.messages.iter();
        (
            messages.map(|message| message.seq).collect(),
            released.missing,
        )
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn joined(last: u64) -> Sequence {
        let mut sequence = Sequence::default();
        sequence.start(Time::ZERO, last);
        sequence.on_joined(Time::ZERO, Some(last));
        sequence
    }

    fn push(sequence: &mut Sequence, now: u64, seq: u64) -> (Vec<u64>, u64) {
        push_by(sequence, OLD, now, seq)
    }

    fn push_by(sequence: &mut Sequence, by: ConnId, now: u64, seq: u64) -> (Vec<u64>, u64) {
        seqs(sequence.on_message(at(now), message(seq), by, PATIENCE))
    }

    /// Asks what to read, as its owner does.
    fn asked(sequence: &mut Sequence, most: u64) -> Option<(Read, u64)> {
        let read = sequence.read(most);
        sequence.backfill().on_asked();
        read
    }

    fn after(seq: u64, limit: u64) -> Option<(Read, u64)> {
        let until = seq + limit;
        Some((Read::After { seq, until, limit }, 0))
    }

    #[test]
    fn what_comes_in_order_passes_and_what_was_heard_does_not() {
        let mut sequence = joined(3);
        assert_eq!(push(&mut sequence, 1, 4), (vec![4], 0));
        assert_eq!(push(&mut sequence, 1, 4), (vec![], 0));
        assert_eq!(push(&mut sequence, 1, 1), (vec![], 0));
        assert_eq!(sequence.heard(), Some(4));
        assert_eq!(sequence.read_at(), None);
    }

    #[test]
    fn a_gap_is_waited_for_and_then_read() {
        let mut sequence = joined(0);
        assert_eq!(push(&mut sequence, 1, 3), (vec![], 0));
        assert_eq!(push(&mut sequence, 100, 5), (vec![], 0));
        assert_eq!(sequence.read_at(), Some(at(251)));
        assert_eq!(push(&mut sequence, 200, 1), (vec![1], 0));
        assert_eq!(asked(&mut sequence, 200), after(1, 1));
        assert_eq!(push(&mut sequence, 300, 6), (vec![], 0));
        let released = sequence.on_page(at(301), page(&[2], true));
        assert_eq!(seqs(released), (vec![2, 3], 0));
        assert_eq!(sequence.read_at(), Some(at(301)), "there is more");
        assert_eq!(push(&mut sequence, 302, 4), (vec![4, 5, 6], 0));
        assert_eq!(sequence.read_at(), None);
    }

    #[test]
    fn a_gap_that_three_reads_do_not_fill_is_accepted() {
        let mut sequence = joined(5);
        sequence.on_listed(at(1), Some(9));
        let mut now = at(1);
        for read in 1..=3 {
            assert_eq!(sequence.read_at(), Some(now));
            assert_eq!(
                asked(&mut sequence, 200),
                after(5, if read == 1 { 4 } else { 2 })
            );
            let released = sequence.on_page(now, page(&[8, 9], false));
            let wanted = if read == 3 {
                (vec![8, 9], 2)
            } else {
                (vec![], 0)
            };
            assert_eq!(seqs(released), wanted);
            now = now + Duration::from_secs(1);
        }
        assert_eq!(sequence.read_at(), None);
        assert_eq!(sequence.heard(), Some(9));
    }

    #[test]
    fn reads_that_fail_leave_the_gap_open() {
        let mut sequence = joined(0);
        push(&mut sequence, 1, 2);
        for failure in 0..10 {
            asked(&mut sequence, 200);
            assert_eq!(sequence.backfill().failures(), failure);
            sequence.backfill().on_failed(at(1_000));
            assert_eq!(
                push(&mut sequence, 500, 3 + u64::from(failure)),
                (vec![], 0)
            );
            assert_eq!(sequence.read_at(), Some(at(1_000)));
        }
        asked(&mut sequence, 200);
        let released = sequence.on_page(at(1_000), page(&[1], true));
        assert_eq!(seqs(released), ((1..=12).collect(), 0));
    }

    #[test]
    fn what_was_said_while_there_was_no_connection_is_read() {
        let mut sequence = joined(3);
        push(&mut sequence, 1, 5);
        sequence.on_conn_end(OLD, false);
        assert_eq!(sequence.read_at(), None);
        assert_eq!(push(&mut sequence, 2, 7), (vec![], 0), "before its join");
        assert_eq!(seqs(sequence.on_joined(at(3), Some(6))), (vec![], 0));
        assert_eq!(sequence.read_at(), Some(at(3)));
        assert_eq!(asked(&mut sequence, 200), after(3, 3));
        let mut rows = page(&[4, 5, 6, 7], false);
        rows.messages[3].content = "as it is stored".into();
        let released = sequence.on_page(at(4), rows);
        assert_eq!(released.messages[3].content, "hello", "the push wins");
        assert_eq!(seqs(released), (vec![4, 5, 6, 7], 0));
    }

    #[test]
    fn a_push_by_either_of_two_connections_counts_once() {
        let mut sequence = joined(3);
        assert_eq!(push_by(&mut sequence, NEW, 1, 4), (vec![4], 0));
        assert_eq!(push_by(&mut sequence, OLD, 2, 4), (vec![], 0));
        assert_eq!(push_by(&mut sequence, OLD, 2, 6), (vec![], 0));
        assert_eq!(push_by(&mut sequence, NEW, 3, 6), (vec![], 0));
        assert_eq!(push_by(&mut sequence, OLD, 4, 5), (vec![5, 6], 0));
        assert_eq!(sequence.read_at(), None);
    }

    #[test]
    fn what_a_second_join_tells_of_is_waited_for_before_it_is_read() {
        let mut sequence = joined(3);
        assert_eq!(
            seqs(sequence.on_joined_again(at(251), Some(2))),
            (vec![], 0)
        );
        assert_eq!(
            sequence.heard(),
            Some(3),
            "the push was faster than the ack"
        );
        sequence.on_joined_again(at(251), Some(4));
        assert_eq!(sequence.read_at(), Some(at(251)));
        assert_eq!(push_by(&mut sequence, OLD, 9, 4), (vec![4], 0));
        assert_eq!(sequence.read_at(), None);
        sequence.on_joined_again(at(300), None);
        assert_eq!(sequence.read_at(), Some(at(300)));
        assert_eq!(asked(&mut sequence, 200), Some((Read::Newest, 0)));
    }

    #[test]
    fn what_waits_behind_a_gap_is_dropped_with_the_last_connection_it_came_by() {
        let mut sequence = joined(3);
        push_by(&mut sequence, OLD, 1, 6);
        push_by(&mut sequence, NEW, 1, 6);
        push_by(&mut sequence, OLD, 1, 8);
        sequence.on_conn_end(OLD, true);
        assert_eq!(sequence.read_at(), Some(at(251)), "4 and 5");
        assert_eq!(push_by(&mut sequence, NEW, 2, 4), (vec![4], 0));
        assert_eq!(push_by(&mut sequence, NEW, 2, 5), (vec![5, 6], 0));
        assert_eq!(sequence.read_at(), None);
        push_by(&mut sequence, NEW, 3, 9);
        push_by(&mut sequence, OLD, 3, 10);
        sequence.on_conn_end(NEW, false);
        assert_eq!(sequence.ahead.keys().collect::<Vec<_>>(), [&10]);
    }

    #[test]
    fn only_the_newest_are_read_after_a_long_time() {
        let mut sequence = joined(3);
        sequence.on_conn_end(OLD, false);
        sequence.on_joined(at(1), Some(1_000));
        let (seq, until, limit) = (800, 1_000, 200);
        let read = Some((Read::After { seq, until, limit }, 797));
        assert_eq!(asked(&mut sequence, 200), read);
        assert_eq!(sequence.heard(), Some(800));
    }

    #[test]
    fn what_an_earlier_process_has_heard_is_read_again_and_never_skipped() {
        let mut sequence = Sequence::default();
        sequence.resume(2, 6);
        assert_eq!(push(&mut sequence, 1, 900), (vec![], 0), "before the join");
        assert_eq!(seqs(sequence.on_joined(at(1), Some(900))), (vec![], 0));
        assert_eq!(asked(&mut sequence, 200), after(2, 4));
        let released = sequence.on_page(at(2), page(&[3, 4, 5], true));
        assert_eq!(seqs(released), (vec![3, 4, 5], 0));
        assert!(sequence.is_rereading());
        assert_eq!(asked(&mut sequence, 200), after(5, 1));
        sequence.on_page(at(3), page(&[6], true));
        assert!(!sequence.is_rereading());
        let limit = 200;
        let (seq, until) = (699, 899);
        let skipped = Some((Read::After { seq, until, limit }, 693));
        assert_eq!(asked(&mut sequence, 200), skipped);
    }

    #[test]
    fn what_overtakes_the_answer_of_the_join_is_kept() {
        let mut sequence = Sequence::default();
        assert_eq!(push(&mut sequence, 1, 8), (vec![], 0));
        assert_eq!(push(&mut sequence, 1, 7), (vec![], 0));
        sequence.start(at(1), 8);
        assert_eq!(push(&mut sequence, 1, 6), (vec![], 0));
        assert_eq!(seqs(sequence.on_joined(at(1), Some(8))), (vec![6, 7, 8], 0));
    }

    #[test]
    fn nothing_is_in_order_before_the_start_is_known() {
        let mut sequence = Sequence::default();
        assert_eq!(seqs(sequence.on_joined(at(1), Some(2))), (vec![], 0));
        assert_eq!(push(&mut sequence, 1, 2), (vec![], 0));
        assert_eq!(sequence.read_at(), None);
        assert_eq!(seqs(sequence.start(at(1), 0)), (vec![], 0));
        assert_eq!(asked(&mut sequence, 200), after(0, 1));
    }

    #[test]
    fn a_guild_that_tells_no_seq_is_asked_for_its_newest_message() {
        let mut sequence = Sequence::default();
        assert_eq!(seqs(sequence.on_joined(at(1), None)), (vec![], 0));
        assert_eq!(push(&mut sequence, 1, 42), (vec![], 0));
        assert_eq!(asked(&mut sequence, 200), Some((Read::Newest, 0)));
        sequence.start(at(2), 41);
        assert_eq!(seqs(sequence.on_newest(at(2), 41)), (vec![42], 0));
        sequence.on_listed(at(3), None);
        assert_eq!(asked(&mut sequence, 200), Some((Read::Newest, 0)));
        assert_eq!(seqs(sequence.on_newest(at(4), 44)), (vec![], 0));
        assert_eq!(asked(&mut sequence, 200), after(42, 2));
    }

    #[test]
    fn a_guild_without_history_starts_at_its_first_message() {
        let mut sequence = Sequence::default();
        sequence.on_joined(at(1), None);
        asked(&mut sequence, 200);
        assert_eq!(seqs(sequence.on_no_history(at(2))), (vec![], 0));
        assert_eq!(push(&mut sequence, 3, 41), (vec![41], 0));
        assert_eq!(sequence.read_at(), None);
    }

    #[test]
    fn a_gap_does_not_fill_the_memory() {
        let mut sequence = joined(0);
        for seq in 2..2_000 {
            assert_eq!(push(&mut sequence, 1, seq), (vec![], 0));
            assert!(sequence.ahead.len() <= AHEAD_MAX);
        }
        asked(&mut sequence, 200);
        let released = sequence.on_page(at(2), page(&[1], false));
        assert_eq!(released.messages.len(), 1 + AHEAD_MAX);
        let (seq, until, limit) = (257, 1_999, 200);
        let read = Some((Read::After { seq, until, limit }, 0));
        assert_eq!(asked(&mut sequence, u64::MAX), read);
    }
}
