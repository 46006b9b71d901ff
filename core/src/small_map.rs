//! An ordered map for what nearly always has one entry, or none.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, btree_map},
    vec,
    vec::Vec,
};
use core::{fmt, iter::Chain, mem};

use crate::canon::{Canon, Canonical, sequence};

/// How many entries a map holds without a tree. Looking one up takes a few comparisons, and moving
/// all of them costs less than what finds its way into a map.
const FEW_MAX: usize = 8;

/// A map in the order of its keys, which takes memory for the entries that it has, and none while it
/// is empty.
///
/// A [`BTreeMap`] has room for eleven entries from the first on, and keeps it when the last one is
/// gone. Of the maps of one connection most have one entry or none, and there are many connections.
/// Beyond some entries this is such a tree until it is empty again, so that what a peer can put into
/// it costs a lookup no more than a logarithm.
#[derive(Clone)]
pub struct SmallMap<K, V> {
    /// In order; empty where there is a tree.
    few: Vec<(K, V)>,
    /// In a box, because there is hardly ever one.
    #[expect(
        clippy::box_collection,
        reason = "where there are few, and there nearly always are, it takes one word, not three"
    )]
    many: Option<Box<BTreeMap<K, V>>>,
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self {
            few: Vec::new(),
            many: None,
        }
    }
}

impl<K, V> SmallMap<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.few.len() + self.many.as_ref().map_or(0, |many| many.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let few = self.few.iter().map(|(key, value)| (key, value));
        few.chain(self.many.iter().flat_map(|many| many.iter()))
    }

    /// All entries, whose values can be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let few = self.few.iter_mut().map(|(key, value)| (&*key, value));
        few.chain(self.many.iter_mut().flat_map(|many| many.iter_mut()))
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Drops all entries.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives memory back that no entry needs any more.
    fn shrink(&mut self) {
        if self.is_empty() {
            self.clear();
        }
    }
}

impl<K: Ord, V> SmallMap<K, V> {
    /// Where a key is among the few, or where it would be.
    fn find(&self, key: &K) -> Result<usize, usize> {
        self.few.binary_search_by(|(known, _)| known.cmp(key))
    }

    /// Puts an entry in; gives back the value that its key had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(many) = &mut self.many {
            return many.insert(key, value);
        }
        match self.find(&key) {
            Ok(at) => {
                let known = self.few.get_mut(at)?;
                Some(mem::replace(&mut known.1, value))
            }
            Err(at) if self.few.len() < FEW_MAX => {
                self.few.reserve_exact(1);
                self.few.insert(at, (key, value));
                None
            }
            Err(_) => {
                let mut many: BTreeMap<K, V> = mem::take(&mut self.few).into_iter().collect();
                many.insert(key, value);
                self.many = Some(Box::new(many));
                None
            }
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// The entry of a key.
    pub fn get_key_value(&self, key: &K) -> Option<(&K, &V)> {
        match &self.many {
            Some(many) => many.get_key_value(key),
            None => {
                let (key, value) = self.few.get(self.find(key).ok()?)?;
                Some((key, value))
            }
        }
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key);
        match &mut self.many {
            Some(many) => many.get_mut(key),
            None => self.few.get_mut(at.ok()?).map(|(_, value)| value),
        }
    }

    /// Whether there is an entry of this key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Takes an entry out: its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// Takes an entry out.
    pub fn remove_entry(&mut self, key: &K) -> Option<(K, V)> {
        let removed = match &mut self.many {
            Some(many) => many.remove_entry(key),
            None => self.find(key).ok().map(|at| self.few.remove(at)),
        };
        self.shrink();
        removed
    }

    /// Takes the first entry out.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let first = match &mut self.many {
            Some(many) => many.pop_first(),
            None if self.few.is_empty() => None,
            None => Some(self.few.remove(0)),
        };
        self.shrink();
        first
    }

    /// The first entry whose key is not below this one.
    pub fn first_from(&self, key: &K) -> Option<(&K, &V)> {
        match &self.many {
            Some(many) => many.range(key..).next(),
            None => {
                let (Ok(at) | Err(at)) = self.find(key);
                self.few.get(at).map(|(key, value)| (key, value))
            }
        }
    }

    /// Drops the entries that are not to be kept.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&K, &mut V) -> bool) {
        self.few.retain_mut(|(key, value)| is_kept(key, value));
        if let Some(many) = &mut self.many {
            many.retain(is_kept);
        }
        self.shrink();
    }
}

impl<K: Ord, V> Extend<(K, V)> for SmallMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K, V> IntoIterator for SmallMap<K, V> {
    type Item = (K, V);
    type IntoIter = Chain<vec::IntoIter<(K, V)>, btree_map::IntoIter<K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        let many = self.many.map(|many| *many).unwrap_or_default();
        self.few.into_iter().chain(many)
    }
}

/// By what they hold, however they came to hold it.
impl<K: PartialEq, V: PartialEq> PartialEq for SmallMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for SmallMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SmallMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Canonical, V: Canonical> Canonical for SmallMap<K, V> {
    fn canonical(&self, canon: &mut Canon) {
        sequence(self.len(), self.iter(), canon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{canonical_hash, rng::Rng, time::Time};

    /// Does the same to both, and compares all that can be seen.
    fn compare(small: &mut SmallMap<u64, u64>, tree: &mut BTreeMap<u64, u64>, rng: &mut Rng) {
        let (key, value) = (rng.below(20), rng.next_u64());
        match rng.below(8) {
            0..=3 => assert_eq!(small.insert(key, value), tree.insert(key, value)),
            4 => assert_eq!(small.remove(&key), tree.remove(&key)),
            5 => assert_eq!(small.pop_first(), tree.pop_first()),
            6 => {
                small.retain(|key, _| key % 3 > 0);
                tree.retain(|key, _| key % 3 > 0);
            }
            _ if value % 16 == 0 => {
                small.clear();
                tree.clear();
            }
            _ => {
                let (small, tree) = (small.get_mut(&key), tree.get_mut(&key));
                assert_eq!(small, tree);
                small.into_iter().chain(tree).for_each(|it| *it = value);
            }
        }
        assert!(small.iter().eq(tree.iter()));
        assert!(small.clone().into_iter().eq(tree.clone()));
        assert_eq!(small.len(), tree.len());
        assert_eq!(small.get_key_value(&key), tree.get_key_value(&key));
        assert_eq!(small.first_from(&key), tree.range(key..).next());
        let hashes = (
            canonical_hash(small, Time::ZERO),
            canonical_hash(tree, Time::ZERO),
        );
        assert_eq!(hashes.0, hashes.1);
    }

    #[test]
    fn it_does_as_a_tree_does() {
        let mut most = 0;
        for seed in 0..100 {
            let mut rng = Rng::from_number(seed);
            let (mut small, mut tree) = (SmallMap::default(), BTreeMap::new());
            for _ in 0..100 {
                compare(&mut small, &mut tree, &mut rng);
                most = most.max(tree.len());
            }
        }
        assert!(most > FEW_MAX, "{most}");
    }

    #[test]
    fn equal_entries_are_equal_maps_with_or_without_a_tree() {
        let mut shrunk: SmallMap<_, _> = SmallMap::default();
        shrunk.extend((0..100).map(|key| (key, ())));
        shrunk.retain(|key, ()| *key < 2);
        let mut few = SmallMap::default();
        few.extend([(1, ()), (0, ())]);
        assert_eq!(shrunk, few);
        few.insert(2, ());
        assert_ne!(shrunk, few);
    }

    #[test]
    fn it_takes_room_for_what_it_has_and_none_while_it_is_empty() {
        let mut map = SmallMap::default();
        for (entries, few, has_tree) in [(1, 1, false), (FEW_MAX, FEW_MAX, false), (9, 0, true)] {
            map.extend((0..entries).map(|key| (key, ())));
            assert_eq!((map.few.capacity(), map.many.is_some()), (few, has_tree));
        }
        while map.pop_first().is_some() {}
        assert_eq!((map.few.capacity(), map.many.is_some()), (0, false));
    }
}
