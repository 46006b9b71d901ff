//! Which messages have been handled: no message is handled twice.

use alloc::collections::{BTreeSet, VecDeque};

use crate::{
    canonical,
    id::{GuildId, MessageId},
};

/// The newest message ids of one agent, oldest out first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    most: usize,
    order: VecDeque<(GuildId, MessageId)>,
    known: BTreeSet<(GuildId, MessageId)>,
}
canonical!(struct Dedup { order; - most, known });

impl Dedup {
    /// Remembers at most `most` ids; at least one.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            order: VecDeque::new(),
            known: BTreeSet::new(),
        }
    }

    /// Takes an id in; `false` where it is known already.
    pub fn insert(&mut self, guild: &GuildId, message: &MessageId) -> bool {
        let entry = (guild.clone(), message.clone());
        if !self.known.insert(entry.clone()) {
            return false;
        }
        self.order.push_back(entry);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_id_goes_out_first_and_guilds_do_not_mix() {
        let guild = |id| GuildId::new(id).unwrap();
        let message = |id| MessageId::new(id).unwrap();
        let mut dedup = Dedup::new(2);
        assert!(dedup.insert(&guild("g"), &message("1")));
        assert!(!dedup.insert(&guild("g"), &message("1")));
        assert!(dedup.insert(&guild("h"), &message("1")));
        assert!(dedup.insert(&guild("g"), &message("2")));
        assert!(dedup.insert(&guild("g"), &message("1")));
        assert!(!dedup.insert(&guild("g"), &message("2")));
        assert_eq!(dedup.order.len(), 2);
        assert_eq!(dedup.known.len(), 2);
    }
}
