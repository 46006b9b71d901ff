//! Which messages have been handled: no message is handled twice.

use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};
use core::time::Duration;

use crate::{
    canonical,
    id::{GuildId, MessageId},
    time::Wall,
};

/// A guild may tell one date of a message when it pushes it and a rounded one when it is read; two
/// messages of one id lie at least the restoring of a backup apart.
const ROUNDING: Duration = Duration::from_secs(2);

/// Whether a message of the same id that was posted at `newer` is another one than that of `older`: a
/// guild that was restored from a backup may give its ids anew.
pub fn is_another(older: Wall, newer: Wall) -> bool {
    newer > older + ROUNDING
}

/// The newest message ids of one agent, oldest out first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    most: usize,
    order: VecDeque<(GuildId, MessageId)>,
    known: BTreeMap<(GuildId, MessageId), Known>,
}
canonical!(struct Dedup { order, known; - most });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// Whether the message was handed over.
    handed: bool,
    /// When it was posted; `None` where an earlier process has not written that down.
    created_at: Option<Wall>,
}
canonical!(struct Known { handed, created_at });

impl Dedup {
    /// Remembers at most `most` ids; at least one.
    pub fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            order: VecDeque::new(),
            known: BTreeMap::new(),
        }
    }

    /// Takes the id of a message in, with when that was posted; `false` where it is known already.
    pub fn insert(
        &mut self,
        guild: &GuildId,
        message: &MessageId,
        created_at: Option<Wall>,
    ) -> bool {
        let entry = (guild.clone(), message.clone());
        let new = Known {
            handed: false,
            created_at,
        };
        match self.known.entry(entry.clone()) {
            Entry::Vacant(place) => {
                place.insert(new);
            }
            Entry::Occupied(mut place) => {
                let dates = place.get().created_at.zip(created_at);
                let is_new = dates.is_some_and(|(older, newer)| is_another(older, newer));
                if is_new {
                    place.insert(new);
                }
                return is_new;
            }
        }
        self.order.push_back(entry);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// Whether ids may have been forgotten.
    pub fn is_full(&self) -> bool {
        self.order.len() >= self.most
    }

    /// Whether a message's id is remembered.
    pub fn is_known(&self, guild: &GuildId, message: &MessageId) -> bool {
        self.known.contains_key(&(guild.clone(), message.clone()))
    }

    /// A known message is handed over.
    pub fn hand_over(&mut self, guild: &GuildId, message: &MessageId) {
        if let Some(known) = self.known.get_mut(&(guild.clone(), message.clone())) {
            known.handed = true;
        }
    }

    /// Whether a message is known to have been handed over.
    pub fn was_handed_over(&self, guild: &GuildId, message: &MessageId) -> bool {
        let known = self.known.get(&(guild.clone(), message.clone()));
        known.is_some_and(|known| known.handed)
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
        assert!(dedup.insert(&guild("g"), &message("1"), None));
        assert!(!dedup.insert(&guild("g"), &message("1"), None));
        assert!(dedup.insert(&guild("h"), &message("1"), None));
        assert!(dedup.insert(&guild("g"), &message("2"), None));
        assert!(dedup.insert(&guild("g"), &message("1"), None));
        assert!(!dedup.insert(&guild("g"), &message("2"), None));
        assert_eq!(dedup.order.len(), 2);
        assert_eq!(dedup.known.len(), 2);
    }

    #[test]
    fn an_id_that_is_given_anew_is_another_message() {
        let guild = GuildId::new("g").unwrap();
        let message = MessageId::new("1").unwrap();
        let at = |ms| Some(Wall::from_millis(ms));
        let mut dedup = Dedup::new(2);
        assert!(dedup.insert(&guild, &message, at(1_999)));
        dedup.hand_over(&guild, &message);
        assert!(!dedup.insert(&guild, &message, at(1_000)), "rounded");
        assert!(!dedup.insert(&guild, &message, at(3_999)));
        assert!(!dedup.insert(&guild, &message, None));
        assert!(dedup.insert(&guild, &message, at(4_000)));
        assert!(!dedup.was_handed_over(&guild, &message));
        assert_eq!(dedup.order.len(), 1);
    }
}
