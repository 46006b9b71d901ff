//! What waits in one channel for its sequence: messages with something missing before them.

use alloc::collections::{BTreeMap, btree_map::Entry};

use crate::{canonical, fabric::types::Message, ws::ConnId};

/// How many messages wait behind a gap, or before the join's answer. What is beyond is read again
/// from history: a peer that never fills a gap would otherwise fill the memory.
pub const AHEAD_MAX: usize = 256;

/// Messages by their `seq`, each with how it came: what was pushed is only as good as the connection
/// it came by.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ahead {
    messages: BTreeMap<u64, Early>,
}
canonical!(struct Ahead { messages });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Early {
    message: Message,
    /// The last connection that it came by; `None` where it was read.
    by: Option<ConnId>,
}
canonical!(struct Early { message, by });

impl Ahead {
    /// A message was pushed.
    pub fn push(&mut self, message: Message, by: ConnId) {
        let by = Some(by);
        match self.messages.entry(message.seq) {
            Entry::Vacant(place) => {
                place.insert(Early { message, by });
            }
            Entry::Occupied(known) => {
                let early = known.into_mut();
                early.by = early.by.max(by);
                // Who is woken once more was perhaps not woken before.
                if message.rewake == Some(true) {
                    early.message = message;
                }
            }
        }
    }

    /// A message was read. What was pushed goes before it.
    pub fn fill(&mut self, message: Message) {
        if let Entry::Vacant(place) = self.messages.entry(message.seq) {
            place.insert(Early { message, by: None });
        }
    }

    /// A message that may wait was edited or deleted.
    pub fn amend(&mut self, newer: &Message) {
        if let Some(early) = self.messages.get_mut(&newer.seq)
            && early.message.id == newer.id
        {
            early.message.amend(newer);
        }
    }

    /// A connection has ended: what came by it alone is dropped, since history brings it again; and
    /// without another one on which the channel is `joined`, so is what was read.
    pub fn on_conn_end(&mut self, conn: ConnId, joined: bool) {
        self.messages.retain(|_, early| match early.by {
            Some(by) => by != conn,
            None => joined,
        });
    }

    /// Up to which `seq` something is missing before the first.
    pub fn before_first(&self) -> Option<u64> {
        let first = self.messages.keys().next();
        first.map(|first| first.saturating_sub(1))
    }

    /// The `seq` of the last.
    pub fn last(&self) -> Option<u64> {
        self.messages.keys().next_back().copied()
    }

    /// The next in order after `heard`, or the first where nothing was heard. What was heard is
    /// dropped.
    pub fn pop_after(&mut self, heard: Option<u64>) -> Option<Message> {
        while let Some(entry) = self.messages.first_entry() {
            let seq = *entry.key();
            match heard {
                Some(heard) if seq > heard.saturating_add(1) => return None,
                Some(heard) if seq <= heard => {
                    entry.remove();
                }
                Some(_) | None => return Some(entry.remove().message),
            }
        }
        None
    }

    /// Whether more wait than is allowed.
    pub fn is_overfull(&self) -> bool {
        self.messages.len() > AHEAD_MAX
    }

    /// Drops the first.
    pub fn drop_first(&mut self) {
        self.messages.pop_first();
    }

    /// Drops the last, and says where it stands.
    pub fn drop_last(&mut self) -> Option<u64> {
        self.messages.pop_last().map(|(seq, _)| seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::samples::message;

    const OLD: ConnId = ConnId(1);
    const NEW: ConnId = ConnId(2);

    fn seqs(ahead: &Ahead) -> alloc::vec::Vec<u64> {
        ahead.messages.keys().copied().collect()
    }

    #[test]
    fn a_connection_takes_along_what_came_by_it_alone() {
        let mut ahead = Ahead::default();
        for (seq, by) in [(6, OLD), (6, NEW), (8, OLD), (9, NEW)] {
            ahead.push(message(seq), by);
        }
        ahead.fill(message(7));
        ahead.on_conn_end(OLD, true);
        assert_eq!(seqs(&ahead), [6, 7, 9]);
        ahead.on_conn_end(ConnId(3), false);
        assert_eq!(seqs(&ahead), [6, 9], "what was read is read again");
    }

    #[test]
    fn what_is_in_order_comes_out_and_what_was_heard_is_dropped() {
        let mut ahead = Ahead::default();
        for seq in [2, 4, 5, 7] {
            ahead.push(message(seq), OLD);
        }
        assert_eq!(ahead.before_first(), Some(1));
        assert_eq!(ahead.pop_after(Some(2)), None, "3 is missing");
        assert_eq!(ahead.pop_after(Some(3)), Some(message(4)));
        assert_eq!(ahead.pop_after(None), Some(message(5)));
        assert_eq!(seqs(&ahead), [7]);
    }
}
