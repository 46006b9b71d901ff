//! Context: what was said since the last turn without waking the agent.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use crate::{canonical, id::MessageId, plugin::inbound::InboundMessage};

/// How many bytes of text a turn brings along as context.
const BYTES_MAX: usize = 32 * 1_024;

/// The newest recorded messages of one channel, at most `most` and 32 KiB of text.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Context {
    messages: VecDeque<InboundMessage>,
    bytes: usize,
    /// Those of them that would have woken the agent, had its author or the loop guard not been against it.
    held_back: BTreeSet<MessageId>,
}
canonical!(struct Context { messages, bytes, held_back });

impl Context {
    /// Records a message.
    pub fn record(&mut self, message: InboundMessage, most: usize) {
        self.bytes += message.content.len();
        self.messages.push_back(message);
        self.trim(most);
    }

    /// Records a message that is judged already: no later word that it wakes makes it another one.
    pub fn hold_back(&mut self, message: InboundMessage, most: usize) {
        self.held_back.insert(message.id.clone());
        self.record(message, most);
    }

    /// Drops the oldest until the rest is within the limits.
    fn trim(&mut self, most: usize) {
        while self.messages.len() > most || self.bytes > BYTES_MAX {
            let Some(oldest) = self.messages.pop_front() else {
                break;
            };
            self.bytes -= oldest.content.len();
            self.held_back.remove(&oldest.id);
        }
    }

    /// A recorded message was edited.
    pub fn update(&mut self, message: &InboundMessage) {
        if let Some(recorded) = self
            .messages
            .iter_mut()
            .find(|known| known.id == message.id)
        {
            self.bytes = self.bytes - recorded.content.len() + message.content.len();
            recorded.clone_from(message);
            self.trim(self.messages.len());
        }
    }

    /// A message is not to be kept here any more; whether it was.
    pub fn remove(&mut self, id: &MessageId) -> bool {
        let Some(at) = self.messages.iter().position(|known| known.id == *id) else {
            return false;
        };
        let removed = self.messages.remove(at);
        self.bytes -= removed.map_or(0, |removed| removed.content.len());
        self.held_back.remove(id);
        true
    }

    /// A message wakes after all, and is not to be kept here any more; whether it was, and is not held back.
    pub fn remove_woken(&mut self, id: &MessageId) -> bool {
        !self.held_back.contains(id) && self.remove(id)
    }

    /// The `seq` of the oldest.
    pub fn first_seq(&self) -> Option<u64> {
        self.messages.iter().map(|told| told.seq).min()
    }

    /// Hands everything over, oldest first.
    pub fn take(&mut self) -> Vec<InboundMessage> {
        self.bytes = 0;
        self.held_back.clear();
        core::mem::take(&mut self.messages).into()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec};

    use super::*;
    use crate::{fabric::types::Author, id::UserId, time::Wall};

    fn message(seq: u64, bytes: usize) -> InboundMessage {
        InboundMessage {
            id: MessageId::new(&format!("m{seq}")).unwrap(),
            seq,
            author: Author {
                id: UserId::new("u").unwrap(),
                name: String::new(),
            },
            content: "x".repeat(bytes),
            mentions: vec![],
            reply_to: None,
            attachments: vec![],
            created_at: Wall::default(),
        }
    }

    fn seqs(context: &mut Context) -> Vec<u64> {
        context.take().iter().map(|message| message.seq).collect()
    }

    #[test]
    fn the_newest_stay_by_number_and_by_bytes() {
        let mut context = Context::default();
        for seq in 0..60 {
            context.record(message(seq, 10), 50);
        }
        assert_eq!(seqs(&mut context), (10..60).collect::<Vec<_>>());
        assert!(seqs(&mut context).is_empty());
        for seq in 0..3 {
            context.record(message(seq, BYTES_MAX / 2), 50);
        }
        assert_eq!(seqs(&mut context), vec![1, 2]);
        context.record(message(0, BYTES_MAX + 1), 50);
        assert!(seqs(&mut context).is_empty());
    }

    #[test]
    fn edits_and_deletions_reach_what_is_recorded() {
        let mut context = Context::default();
        context.record(message(1, 10), 50);
        context.record(message(2, 10), 50);
        context.update(&message(2, 30));
        context.update(&message(3, 30));
        assert_eq!(context.bytes, 40);
        assert!(context.remove(&message(1, 0).id));
        assert!(!context.remove(&message(1, 0).id));
        assert_eq!(context.bytes, 30);
        assert_eq!(seqs(&mut context), vec![2]);
        context.record(message(1, 10), 50);
        context.record(message(2, 10), 50);
        context.update(&message(2, BYTES_MAX));
        assert_eq!(seqs(&mut context), vec![2]);
    }

    #[test]
    fn what_is_held_back_stays_whatever_is_said_of_it_later() {
        let mut context = Context::default();
        let id = message(1, 10).id;
        context.hold_back(message(1, 10), 50);
        assert!(!context.remove_woken(&id));
        assert!(context.remove(&id));
        context.record(message(1, 10), 50);
        assert!(context.remove_woken(&id));
        context.hold_back(message(1, 10), 50);
        assert_eq!(seqs(&mut context), vec![1]);
        context.hold_back(message(1, 10), 50);
        context.record(message(2, 10), 1);
        assert!(context.held_back.is_empty());
    }
}
