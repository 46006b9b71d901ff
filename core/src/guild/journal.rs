//! The transactions that the store has not committed yet, and what waits for them.

use alloc::{collections::VecDeque, vec::Vec};

use crate::{
    canonical,
    guild::io::Store,
    request::{RequestId, Requests},
    time::Time,
};

/// What follows from a transaction waits here until the store has committed it and all before it;
/// what follows from no transaction waits behind those that are under way, so that nobody sees
/// state that could still be lost, and all effects keep the order of their decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Journal<E> {
    asked: Requests<Store, ()>,
    entries: VecDeque<Entry<E>>,
    effects: usize,
}
canonical!(struct Journal[E] { asked, entries, effects });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry<E> {
    id: RequestId<Store>,
    committed: bool,
    effects: Vec<E>,
}
canonical!(struct Entry[E] { id, committed, effects });

impl<E> Default for Journal<E> {
    fn default() -> Self {
        Self {
            asked: Requests::default(),
            entries: VecDeque::new(),
            effects: 0,
        }
    }
}

impl<E> Journal<E> {
    /// A transaction begins; `effects` follow when it is committed.
    pub(super) fn write(&mut self, now: Time, effects: Vec<E>) -> RequestId<Store> {
        // Without patience: an outcome that is unknown would have to end the process.
        let id = self.asked.ask(now, None, ());
        self.effects += effects.len();
        self.entries.push_back(Entry {
            id,
            committed: false,
            effects,
        });
        id
    }

    /// Gives `effect` back where nothing is under way; else it waits for what is.
    pub(super) fn after(&mut self, effect: E) -> Option<E> {
        let Some(last) = self.entries.back_mut() else {
            return Some(effect);
        };
        last.effects.push(effect);
        self.effects += 1;
        None
    }

    /// The store has committed: what may leave now, in order.
    pub(super) fn committed(&mut self, id: RequestId<Store>) -> Vec<E> {
        if self.asked.answer(id).is_some()
            && let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id)
        {
            entry.committed = true;
        }
        let mut effects = Vec::new();
        while let Some(mut entry) = self.entries.pop_front_if(|entry| entry.committed) {
            self.effects -= entry.effects.len();
            effects.append(&mut entry.effects);
        }
        effects
    }

    /// The store has failed: whether it was asked at all.
    pub(super) fn failed(&mut self, id: RequestId<Store>) -> bool {
        self.asked.answer(id).is_some()
    }

    /// How many effects wait.
    pub(super) fn effects(&self) -> usize {
        self.effects
    }

    /// How many transactions are under way.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_leave_in_the_order_of_their_decisions() {
        let mut journal = Journal::default();
        assert_eq!(journal.after("at once"), Some("at once"));
        let first = journal.write(Time::ZERO, alloc::vec!["1a", "1b"]);
        let second = journal.write(Time::ZERO, alloc::vec!["2"]);
        assert_eq!(journal.after("read"), None);
        assert_eq!(journal.committed(second), Vec::<&str>::new());
        assert_eq!(journal.committed(second), Vec::<&str>::new());
        assert_eq!(journal.effects(), 4);
        assert_eq!(journal.committed(first), ["1a", "1b", "2", "read"]);
        assert_eq!((journal.effects(), journal.len()), (0, 0));
        assert!(!journal.failed(first));
        assert_eq!(journal.after("at once"), Some("at once"));
    }
}
