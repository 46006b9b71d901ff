//! The sequence of one channel: what has been heard, and what waits behind a gap.

use alloc::{collections::BTreeMap, vec::Vec};
use core::time::Duration;

use crate::{canonical, fabric::types::Message, time::Time};

/// How many messages wait behind a gap, or before the join's answer. The gap is accepted when there
/// are more: a peer that never fills it would otherwise fill the memory.
const AHEAD_MAX: usize = 256;

/// Puts the messages of one channel in order, and knows what is missing.
///
/// It sees every message, own ones too, before any filter. On a connection it starts unknown: what
/// arrives is kept until the join has been answered.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sequence {
    /// The highest `seq` up to which everything has been received; `None` before the first join.
    heard: Option<u64>,
    /// The highest `seq` up to which everything is finished; what a store keeps.
    cursor: u64,
    /// Whether a join on the present connection has been answered.
    open: bool,
    ahead: BTreeMap<u64, Message>,
    /// Until when a gap is waited for.
    patience: Option<Time>,
}
canonical!(struct Sequence { heard, cursor, open, ahead, patience });

/// What became passable.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Released {
    /// Messages in order of `seq`.
    pub messages: Vec<Message>,
    /// How many before or between them are missing and are not waited for any longer.
    pub missing: u64,
}

impl Sequence {
    /// The highest `seq` up to which everything has been received.
    pub fn heard(&self) -> Option<u64> {
        self.heard
    }

    /// The highest `seq` up to which everything is finished.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Everything up to `seq` is finished.
    pub fn on_finished(&mut self, seq: u64) {
        self.cursor = self.cursor.max(seq);
    }

    /// The join on the present connection was answered with the channel's newest `seq`; `None`
    /// where the guild does not tell it.
    pub fn on_joined(&mut self, now: Time, last_seq: Option<u64>, patience: Duration) -> Released {
        self.open = true;
        // A push that overtook the answer is newer than the join all the same.
        let before_first = self.ahead.keys().next().map(|seq| seq.saturating_sub(1));
        let start = match (last_seq, before_first) {
            (Some(last), Some(first)) => Some(last.min(first)),
            (last, first) => last.or(first),
        };
        // A guild that tells no number may have started anew while it was away: what was heard before
        // would then make the agent deaf to it.
        self.heard = start;
        self.release(now, patience)
    }

    /// The connection has ended: what waits behind a gap is dropped with it.
    pub fn on_down(&mut self) {
        self.open = false;
        self.ahead.clear();
        self.patience = None;
    }

    /// A message arrived.
    pub fn on_message(&mut self, now: Time, message: Message, patience: Duration) -> Released {
        if self.open && self.heard.is_some_and(|heard| message.seq <= heard) {
            return Released::default();
        }
        self.ahead.entry(message.seq).or_insert(message);
        if !self.open {
            if self.ahead.len() > AHEAD_MAX {
                self.ahead.pop_first();
            }
            return Released::default();
        }
        if self.ahead.len() > AHEAD_MAX {
            return self.accept_gap(now, patience);
        }
        self.release(now, patience)
    }

    /// A message that may wait behind a gap was edited or deleted.
    pub fn amend(&mut self, newer: &Message) {
        if let Some(ahead) = self.ahead.get_mut(&newer.seq)
            && ahead.id == newer.id
        {
            ahead.amend(newer);
        }
    }

    /// Accepts a gap whose patience has run out.
    pub fn expire(&mut self, now: Time, patience: Duration) -> Option<Released> {
        self.patience.filter(|at| *at <= now)?;
        Some(self.accept_gap(now, patience))
    }

    /// Until when the present gap is waited for.
    pub fn patience(&self) -> Option<Time> {
        self.patience
    }

    fn accept_gap(&mut self, now: Time, patience: Duration) -> Released {
        let first = self.ahead.keys().next().copied().unwrap_or_default();
        let before = first.saturating_sub(1);
        let missing = before.saturating_sub(self.heard.unwrap_or(before));
        self.heard = Some(before);
        self.patience = None;
        Released {
            missing,
            ..self.release(now, patience)
        }
    }

    fn release(&mut self, now: Time, patience: Duration) -> Released {
        let mut messages = Vec::new();
        while let Some(entry) = self.ahead.first_entry() {
            let seq = *entry.key();
            match self.heard {
                Some(heard) if seq > heard.saturating_add(1) => break,
                Some(heard) if seq <= heard => {
                    entry.remove();
                }
                Some(_) | None => {
                    messages.push(entry.remove());
                    self.heard = Some(seq);
                }
            }
        }
        self.patience = match self.patience {
            _ if self.ahead.is_empty() => None,
            Some(at) if messages.is_empty() => Some(at),
            Some(_) | None => Some(now + patience),
        };
        Released {
            messages,
            missing: 0,
        }
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

    fn seqs(released: Released) -> (Vec<u64>, u64) {
        (
            released
                .messages
                .iter()
                .map(|message| message.seq)
                .collect(),
            released.missing,
        )
    }

    fn joined(last: u64) -> Sequence {
        let mut sequence = Sequence::default();
        sequence.on_joined(Time::ZERO, Some(last), PATIENCE);
        sequence
    }

    #[test]
    fn what_comes_in_order_passes_and_what_was_heard_does_not() {
        let mut sequence = joined(3);
        let at = Time::from_millis(1);
        assert_eq!(
            seqs(sequence.on_message(at, message(4), PATIENCE)),
            (vec![4], 0)
        );
        assert_eq!(
            seqs(sequence.on_message(at, message(4), PATIENCE)),
            (vec![], 0)
        );
        assert_eq!(
            seqs(sequence.on_message(at, message(1), PATIENCE)),
            (vec![], 0)
        );
        assert_eq!(sequence.heard(), Some(4));
    }

    #[test]
    fn a_gap_waits_and_is_filled() {
        let mut sequence = joined(0);
        let at = Time::from_millis;
        assert_eq!(
            seqs(sequence.on_message(at(1), message(3), PATIENCE)),
            (vec![], 0)
        );
        assert_eq!(
            seqs(sequence.on_message(at(100), message(5), PATIENCE)),
            (vec![], 0)
        );
        assert_eq!(sequence.patience(), Some(at(251)));
        assert_eq!(
            seqs(sequence.on_message(at(200), message(1), PATIENCE)),
            (vec![1], 0)
        );
        assert_eq!(
            seqs(sequence.on_message(at(201), message(2), PATIENCE)),
            (vec![2, 3], 0)
        );
        assert_eq!(sequence.patience(), Some(at(451)));
        assert_eq!(sequence.expire(at(450), PATIENCE), None);
        let released = sequence.expire(at(451), PATIENCE).unwrap();
        assert_eq!(seqs(released), (vec![5], 1));
        assert_eq!(sequence.patience(), None);
    }

    #[test]
    fn what_overtakes_the_answer_of_the_join_is_kept() {
        let mut sequence = Sequence::default();
        let at = Time::from_millis(1);
        assert_eq!(
            seqs(sequence.on_message(at, message(8), PATIENCE)),
            (vec![], 0)
        );
        assert_eq!(
            seqs(sequence.on_message(at, message(7), PATIENCE)),
            (vec![], 0)
        );
        assert_eq!(
            seqs(sequence.on_joined(at, Some(8), PATIENCE)),
            (vec![7, 8], 0)
        );
    }

    #[test]
    fn a_guild_that_tells_no_seq_starts_at_its_first_message() {
        let mut sequence = Sequence::default();
        let at = Time::from_millis(1);
        assert_eq!(seqs(sequence.on_joined(at, None, PATIENCE)), (vec![], 0));
        assert_eq!(
            seqs(sequence.on_message(at, message(41), PATIENCE)),
            (vec![41], 0)
        );
    }

    #[test]
    fn a_gap_does_not_fill_the_memory() {
        let mut sequence = joined(0);
        let at = Time::from_millis(1);
        let mut passed = 0;
        for seq in 2..2_000 {
            passed += sequence
                .on_message(at, message(seq), PATIENCE)
                .messages
                .len();
            assert!(sequence.ahead.len() <= AHEAD_MAX);
        }
        assert_eq!(passed, 1_998);
    }

    #[test]
    fn a_new_connection_starts_where_its_join_says() {
        let mut sequence = joined(0);
        let at = Time::from_millis(1);
        sequence.on_message(at, message(2), PATIENCE);
        sequence.on_down();
        assert_eq!(sequence.patience(), None);
        assert_eq!(
            seqs(sequence.on_message(at, message(9), PATIENCE)),
            (vec![], 0)
        );
        sequence.on_down();
        assert_eq!(
            seqs(sequence.on_joined(at, Some(10), PATIENCE)),
            (vec![], 0)
        );
        assert_eq!(
            seqs(sequence.on_message(at, message(11), PATIENCE)),
            (vec![11], 0)
        );
    }
}
