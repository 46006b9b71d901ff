//! What is read again in one channel after a start: the turns that are offered again, and the context
//! that was recorded before.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use crate::{
    canonical,
    fabric::{routes::PAGE_MAX, types::Message},
    id::{MessageId, TurnId},
    plugin::{
        anchor::Found,
        inbound::InboundMessage,
        kept::{KeptChannel, TurnRecord},
    },
    time::Wall,
};

/// Knows what the messages of a history mean that an earlier process has seen already.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Replay {
    /// Up to here everything was finished, but for the open turns.
    finished: u64,
    /// Turns have come as far as this: what came before it and was in none of them was left out, or
    /// recorded.
    passed: u64,
    /// From here on it may be context.
    context_from: u64,
    /// What is to be offered again, in order.
    open: VecDeque<Again>,
    /// The guild was restored from a backup since.
    restored: Option<Restored>,
}
canonical!(struct Replay { finished, passed, context_from, open, restored });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Restored {
    /// What was posted later than this is new, whatever its number.
    since: Option<Wall>,
    /// What was posted up to this was heard.
    heard: Option<Wall>,
    /// What is not found up to here is gone.
    newest: u64,
}
canonical!(struct Restored { since, heard, newest });

/// A turn that an earlier process has begun, with those of its messages that have been read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// Its id.
    pub turn: TurnId,
    /// As it was.
    pub record: TurnRecord,
    /// Its messages as they are now, without those that are deleted.
    pub messages: Vec<InboundMessage>,
    /// Those that have been met, deleted ones too.
    met: BTreeSet<MessageId>,
}
canonical!(struct Again { turn, record, messages, met });

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Nobody has seen it.
    New,
    /// It was finished, and may be context.
    Context,
    /// It was finished.
    Finished,
    /// It belongs to a turn that is offered again.
    Open,
}

impl Replay {
    /// What a store gave back about a channel, with the records of its open turns.
    pub fn new(kept: &KeptChannel, open: Vec<(TurnId, TurnRecord)>) -> Self {
        let context_from = open.iter().map(|(_, record)| record.context_from);
        let open = open.iter().cloned().map(|(turn, record)| Again {
            turn,
            record,
            messages: Vec::new(),
            met: BTreeSet::new(),
        });
        Self {
            finished: kept.cursor.as_ref().map_or(0, |cursor| cursor.seq),
            passed: 0,
            context_from: context_from.fold(kept.context_from, u64::min),
            open: open.collect(),
            restored: None,
        }
    }

    /// The turns of earlier processes have come as far as `seq`.
    pub fn pass_over(&mut self, seq: u64) {
        self.passed = seq;
    }

    /// After which `seq` to read: from the oldest open turn with its context on, but no more than a
    /// page of what is finished. The context is the newest of it only, and the rest costs time.
    pub fn start(&self) -> u64 {
        let first = self.open.iter().map(|again| again.record.first_seq());
        let first = first.min().unwrap_or(u64::MAX).saturating_sub(1);
        let from = self.finished.min(first);
        from.min(self.context_from.saturating_sub(1))
            .max(from.saturating_sub(PAGE_MAX))
    }

    /// Up to which `seq` it is a second reading.
    pub fn end(&self) -> u64 {
        let last = self.open.iter().map(|again| again.record.last_seq());
        let last = last.max().unwrap_or(0);
        self.finished.max(last).max(self.passed)
    }

    /// Whether everything has been offered.
    pub fn is_over(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether a message belongs to a turn that has not been offered yet.
    pub fn holds(&self, message: &MessageId) -> bool {
        let mut open = self.open.iter();
        open.any(|again| again.record.has(message))
    }

    /// A message was read (again).
    pub fn on_message(&mut self, message: &Message) -> Meaning {
        let mut open = self.open.iter_mut();
        if let Some(again) = open.find(|again| again.record.has(&message.id)) {
            let is_first = again.met.insert(message.id.clone());
            if is_first && message.deleted_at.is_none() {
                again.messages.push(message.clone().into());
            }
            return Meaning::Open;
        }
        if self.is_replaced(message) {
            let before = message.seq.saturating_sub(1);
            self.finished = self.finished.min(before);
            self.passed = self.passed.min(before);
        }
        let since = self.restored.as_ref().and_then(|restored| restored.since);
        let is_passed = message.seq <= self.finished.max(self.passed);
        if !is_passed || since.is_some_and(|since| message.created_at > since) {
            Meaning::New
        } else if message.seq >= self.context_from || message.seq > self.finished {
            Meaning::Context
        } else {
            Meaning::Finished
        }
    }

    /// Whether a turn had another message under this number: the guild was restored from a backup that
    /// is older than the turn, and what comes from here on is new.
    fn is_replaced(&self, message: &Message) -> bool {
        let turns = self.open.iter().map(|again| &again.record.messages);
        turns
            .flatten()
            .any(|(seq, id)| *seq == message.seq && *id != message.id)
    }

    /// The guild was restored from a backup: what it has was found, and what was posted later than that
    /// says is new, although its numbers may have been others' before.
    pub fn on_restored(&mut self, found: &Found) {
        let newest = found.newest;
        self.finished = self.finished.min(newest);
        self.passed = self.passed.min(newest);
        self.restored = Some(Restored {
            since: found.since,
            heard: found.heard,
            newest,
        });
    }

    /// Whether a message is one of those that the guild had when it was restored from a backup, and was
    /// heard before that.
    pub fn was_heard(&self, message: &Message) -> bool {
        self.restored.as_ref().is_some_and(|restored| {
            let is_old = |heard| message.created_at <= heard;
            message.seq <= restored.newest && restored.heard.is_some_and(is_old)
        })
    }

    /// A message was edited or deleted that may have been read.
    pub fn amend(&mut self, newer: &Message) {
        for again in &mut self.open {
            again.messages.retain_mut(|known| {
                if known.id != newer.id {
                    return true;
                }
                *known = newer.clone().into();
                newer.deleted_at.is_none()
            });
        }
    }

    /// The next turn to offer, everything up to `heard` having been read: what of its messages did not
    /// come will not.
    pub fn next_met(&mut self, heard: u64) -> Option<Again> {
        let first = self.open.front()?;
        let restored = self.restored.as_ref();
        let met = first.met.len() >= first.record.messages.len()
            || first.record.last_seq() <= heard
            || restored.is_some_and(|restored| restored.newest <= heard);
        if met { self.open.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};
    use core::time::Duration;

    use super::*;
    use crate::{
        id::{ChannelId, GuildId},
        plugin::{
            kept::{Cursor, Notice, TurnState},
            samples::message,
        },
    };

    fn kept(seq: u64, context_from: u64) -> KeptChannel {
        KeptChannel {
            cursor: Some(Cursor { seq, at: None }),
            context_from,
            left_at: None,
            ..KeptChannel::default()
        }
    }

    fn found(newest: u64, since: Option<Wall>) -> Found {
        Found {
            restored: true,
            since,
            heard: since,
            cursor: Cursor::default(),
            newest,
            messages: vec![],
            skipped: 0,
        }
    }

    fn open(seqs: &[u64], context_from: u64) -> (TurnId, TurnRecord) {
        let record = TurnRecord {
            guild: GuildId::new("g").unwrap(),
            channel: ChannelId::new("c").unwrap(),
            messages: seqs.iter().map(|seq| (*seq, message(*seq).id)).collect(),
            attempt: 1,
            context_from,
            state: TurnState::Open,
            owes_pass: false,
            notice: Notice::default(),
        };
        (TurnId::new(&format!("t{seqs:?}")).unwrap(), record)
    }

    #[test]
    fn reading_begins_where_something_is_not_finished_or_may_be_context() {
        let range = |replay: Replay| (replay.start(), replay.end());
        assert_eq!(range(Replay::new(&kept(9, 10), vec![])), (9, 9));
        assert_eq!(range(Replay::new(&kept(9, 4), vec![])), (3, 9));
        assert_eq!(range(Replay::new(&kept(9, 0), vec![])), (0, 9));
        let turn = vec![open(&[12, 14], 7)];
        assert_eq!(range(Replay::new(&kept(9, 15), turn)), (6, 14));
        let late = vec![open(&[4], 4)];
        assert_eq!(range(Replay::new(&kept(9, 10), late)), (3, 9));
        assert_eq!(range(Replay::new(&kept(9_000, 1), vec![])), (8_800, 9_000));
    }

    #[test]
    fn a_turn_is_offered_when_all_of_it_has_come_or_nothing_more_of_it_can() {
        let turns = vec![open(&[3, 5], 2), open(&[7, 8], 6)];
        let mut replay = Replay::new(&kept(2, 2), turns);
        let mut meanings = vec![];
        for seq in [1, 2, 3, 4] {
            meanings.push(replay.on_message(&message(seq)));
            assert_eq!(replay.next_met(seq), None);
        }
        use Meaning::{Context, Finished, New, Open};
        assert_eq!(meanings, [Finished, Context, Open, New]);
        assert!(replay.holds(&message(5).id) && !replay.holds(&message(4).id));
        assert_eq!(replay.on_message(&message(5)), Open);
        let again = replay.next_met(0).unwrap();
        assert_eq!(again.messages.len(), 2);
        let blank = Message {
            deleted_at: Some(Wall::default()),
            ..message(7)
        };
        assert_eq!(replay.on_message(&blank), Open);
        assert_eq!(replay.next_met(7), None);
        let again = replay.next_met(8).unwrap();
        assert!(
            again.messages.is_empty(),
            "one is deleted, the other is gone"
        );
        assert!(replay.is_over());
    }

    #[test]
    fn what_came_before_the_last_turn_and_was_in_none_is_context() {
        use Meaning::{Context, Finished, New, Open};
        let mut replay = Replay::new(&kept(2, 2), vec![open(&[3, 6], 3)]);
        replay.pass_over(8);
        assert_eq!((replay.start(), replay.end()), (1, 8));
        let meanings = [1, 2, 3, 5, 6, 8, 9].map(|seq| replay.on_message(&message(seq)));
        assert_eq!(
            meanings,
            [Finished, Context, Open, Context, Open, Context, New]
        );
        replay.on_restored(&found(4, None));
        assert_eq!(replay.on_message(&message(5)), New);
    }

    #[test]
    fn where_a_turn_had_another_message_everything_is_new() {
        let mut replay = Replay::new(&kept(2, 2), vec![open(&[4, 6], 3)]);
        replay.pass_over(8);
        let other = Message {
            id: MessageId::new("other").unwrap(),
            ..message(6)
        };
        let told = [message(3), message(4), message(5), other, message(7)];
        use Meaning::{Context, New, Open};
        let meanings = told.map(|message| replay.on_message(&message));
        assert_eq!(meanings, [Context, Open, Context, New, New]);
    }

    #[test]
    fn after_a_restore_what_is_new_goes_by_its_date_and_what_is_gone_is_not_waited_for() {
        let turns = vec![open(&[3], 3), open(&[12], 12)];
        let mut replay = Replay::new(&kept(9, 10), turns);
        let later = |seq| Message {
            id: MessageId::new(&format!("n{seq}")).unwrap(),
            created_at: Wall::default() + Duration::from_secs(1),
            ..message(seq)
        };
        replay.on_message(&message(3));
        replay.on_restored(&found(5, Some(Wall::default())));
        for _ in 0..2 {
            assert_eq!(replay.on_message(&message(3)), Meaning::Open);
        }
        assert_eq!(replay.on_message(&message(4)), Meaning::Context);
        assert_eq!(replay.on_message(&later(4)), Meaning::New);
        assert_eq!(replay.on_message(&message(6)), Meaning::New);
        assert_eq!(replay.next_met(4).unwrap().messages.len(), 1, "once");
        assert_eq!(replay.next_met(4), None);
        assert!(replay.next_met(5).unwrap().messages.is_empty());
    }
}
