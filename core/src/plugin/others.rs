//! The account's own messages that a post is not to be taken for, though they may say the same.

use alloc::collections::BTreeSet;

use crate::canonical;

/// How many of them are known by themselves. From the oldest of more on down, all are others: then
/// what stands there already may be posted again, which is better than not at all.
const ALONE_MAX: usize = 64;

/// Which messages of a channel are known to be other posts.
///
/// Their order says nothing: what failed before a process ended is posted behind that which stood then.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Others {
    /// Up to here all are.
    up_to: u64,
    /// Beyond that these are.
    alone: BTreeSet<u64>,
}
canonical!(struct Others { up_to, alone });

impl Others {
    /// All up to `seq`.
    pub const fn up_to(seq: u64) -> Self {
        Self {
            up_to: seq,
            alone: BTreeSet::new(),
        }
    }

    /// This one is, too.
    pub fn add(&mut self, seq: u64) {
        if seq > self.up_to {
            self.alone.insert(seq);
        }
        while self.alone.len() > ALONE_MAX
            && let Some(oldest) = self.alone.pop_first()
        {
            self.up_to = oldest;
        }
    }

    /// So are these.
    pub fn join(&mut self, others: &Self) {
        self.up_to = self.up_to.max(others.up_to);
        self.alone.retain(|seq| *seq > self.up_to);
        for seq in &others.alone {
            self.add(*seq);
        }
    }

    /// Whether a message is one of them.
    pub fn has(&self, seq: u64) -> bool {
        seq <= self.up_to || self.alone.contains(&seq)
    }

    /// Whether all before `seq` are.
    pub const fn has_all_before(&self, seq: u64) -> bool {
        seq <= self.up_to.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_alone_is_known_by_what_is_newer() {
        let mut others = Others::up_to(3);
        for seq in [9, 6, 2] {
            others.add(seq);
        }
        let known = |others: &Others| {
            (1..=9)
                .filter(|seq| others.has(*seq))
                .collect::<alloc::vec::Vec<_>>()
        };
        assert_eq!(known(&others), [1, 2, 3, 6, 9]);
        assert!(others.has_all_before(4) && !others.has_all_before(5));
        let mut joined = Others::up_to(5);
        joined.join(&others);
        assert_eq!(known(&joined), [1, 2, 3, 4, 5, 6, 9]);
        for seq in 10..=71 {
            joined.add(seq);
        }
        assert!(!joined.has_all_before(7), "there is room for all");
        joined.add(72);
        assert_eq!(joined.alone.len(), ALONE_MAX);
        assert!(joined.has_all_before(7) && !joined.has(7) && joined.has(9));
    }
}
