//! Deadlines by key, with the earliest at hand: what a parent of many children keeps.

use alloc::vec::Vec;

use crate::{
    canon::{Canon, Canonical},
    small_map::SmallMap,
    snapshot::{LoadError, Saver, Snapshot, Value},
    time::Time,
};

/// At most one deadline for each key; equal moments come due in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines<K> {
    at: SmallMap<K, Time>,
    order: SmallMap<(Time, K), ()>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self {
            at: SmallMap::default(),
            order: SmallMap::default(),
        }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// Sets, moves or (with `None`) clears the deadline of `key`.
    pub fn set(&mut self, key: K, at: Option<Time>) {
        let before = match at {
            Some(at) => self.at.insert(key.clone(), at),
            None => self.at.remove(&key),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.order.remove(&(before, key.clone()));
        }
        if let Some(at) = at {
            self.order.insert((at, key), ());
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// The earliest deadline.
    pub fn earliest(&self) -> Option<Time> {
        self.order.keys().next().map(|(at, _)| *at)
    }

    /// Takes out one key whose deadline has come, the earliest first.
    pub fn pop_due(&mut self, now: Time) -> Option<K> {
        if self.earliest()? > now {
            return None;
        }
        let ((_, key), ()) = self.order.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }
}

impl<K: Canonical> Canonical for Deadlines<K> {
    fn canonical(&self, canon: &mut Canon) {
        self.at.canonical(canon);
    }
}

impl<K: Snapshot + Ord + Clone> Snapshot for Deadlines<K> {
    fn save(&self, saver: &mut Saver) -> Value {
        self.at.save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        let mut deadlines = Self::default();
        for (key, at) in Vec::load(tree)? {
            deadlines.set(key, Some(at));
        }
        Ok(deadlines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_due_first_and_once() {
        let ms = Time::from_millis;
        let mut deadlines = Deadlines::default();
        deadlines.set("b", Some(ms(2)));
        deadlines.set("c", Some(ms(1)));
        deadlines.set("a", Some(ms(2)));
        deadlines.set("d", Some(ms(9)));
        deadlines.set("d", Some(ms(9)));
        deadlines.set("c", Some(ms(3)));
        assert_eq!(deadlines.earliest(), Some(ms(2)));
        assert_eq!(deadlines.pop_due(ms(1)), None);
        assert_eq!(deadlines.pop_due(ms(3)), Some("a"));
        assert_eq!(deadlines.pop_due(ms(3)), Some("b"));
        deadlines.set("c", None);
        assert_eq!(deadlines.pop_due(ms(3)), None);
        assert_eq!(deadlines.earliest(), Some(ms(9)));
    }
}
