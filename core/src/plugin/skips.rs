//! What was left out in one channel, and is not told yet.

use alloc::collections::BTreeMap;

use crate::canonical;

/// How many counts are kept apart.
const COUNTS_MAX: usize = 64;

/// How many messages were left out, and where: a store keeps the count of those alone that the next
/// process does not read again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Skips {
    /// How many, by the `seq` of the last of them.
    counts: BTreeMap<u64, u64>,
}
canonical!(struct Skips { counts });

impl Skips {
    /// So many messages are left out, the last of which has this `seq`.
    pub fn add(&mut self, seq: u64, skipped: u64) {
        let count = self.counts.entry(seq).or_default();
        *count = count.saturating_add(skipped);
        // Beyond the limit the newest count too early, which is told twice at worst.
        if self.counts.len() > COUNTS_MAX
            && let Some((_, newest)) = self.counts.pop_last()
            && let Some(mut before) = self.counts.last_entry()
        {
            let count = before.get_mut();
            *count = count.saturating_add(newest);
        }
    }

    /// How many up to `seq`.
    pub fn up_to(&self, seq: u64) -> u64 {
        let counts = self.counts.range(..=seq);
        counts.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.up_to(u64::MAX)
    }

    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted_up_to_where_it_was_and_without_end() {
        let mut skips = Skips::default();
        assert!(skips.is_empty());
        skips.add(5, 3);
        skips.add(9, 1);
        skips.add(9, 1);
        let up_to = |seq| skips.up_to(seq);
        assert_eq!([4, 5, 8, 9].map(up_to), [0, 3, 3, 5]);
        for seq in 10..1_000 {
            skips.add(seq, 1);
        }
        assert_eq!(skips.counts.len(), COUNTS_MAX);
        assert_eq!((skips.up_to(9), skips.total()), (5, 995));
        skips.add(1, u64::MAX);
        assert_eq!(skips.total(), u64::MAX);
    }
}
