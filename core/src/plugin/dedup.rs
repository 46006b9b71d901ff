//! Which messages have been handled: no message is handled twice.

use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};

use crate::{
    canonical,
    id::{GuildId, MessageId},
};

/// The newest message ids of one agent, oldest out first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    most: usize,
    order: VecDeque<(GuildId, MessageId)>,
    /// With whether the message was handed over.
    known: BTreeMap<(GuildId, MessageId), bool>,
}
canonical!(struct Dedup { order, known; - most });

impl Dedup {
    /// Remembers at most `most` ids; at least one.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            order: VecDeque::new(),
            known: BTreeMap::new(),
        }
    }

    /// Takes an id in; `false` where it is known already.
    pub fn insert(&mut self, guild: &GuildId, message: &MessageId) -> bool {
        let entry = (guild.clone(), message.clone());
        let Entry::Vacant(place) = self.known.entry(entry.clone()) else {
            return false;
        };
        place.insert(false);
        self.order.push_back(entry);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// A known message is handed over.
    pub fn hand_over(&mut self, guild: &GuildId, message: &MessageId) {
        if let Some(handed) = self.known.get_mut(&(guild.clone(), message.clone())) {
            *handed = true;
        }
    }

    /// Whether a message is known to have been handed over.
    pub fn was_handed_over(&self, guild: &GuildId, message: &MessageId) -> bool {
        let known = self.known.get(&(guild.clone(), message.clone()));
        known.copied().unwrap_or_default()
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
