//! A table that a machine's world shares with the tasks that serve one connection each.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Once it is closed, what is put in is dropped: whoever waits for it is then told at once.
#[derive(Debug)]
pub(crate) struct Shared<K, V>(Mutex<Option<BTreeMap<K, V>>>);

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Some(BTreeMap::new())))
    }
}

impl<K: Ord, V> Shared<K, V> {
    /// Puts an entry in.
    pub(crate) fn insert(&self, key: K, value: V) {
        if let Some(table) = &mut *self.lock() {
            table.insert(key, value);
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&self, key: &K) -> Option<V> {
        self.lock().as_mut()?.remove(key)
    }

    /// Does something with an entry, where it is there.
    pub(crate) fn with<T>(&self, key: &K, act: impl FnOnce(&mut V) -> T) -> Option<T> {
        self.lock().as_mut()?.get_mut(key).map(act)
    }

    /// Drops everything, and from now on whatever is put in.
    pub(crate) fn close(&self) {
        let table = self.lock().take();
        // Dropped here, when the lock is free again.
        drop(table);
    }

    /// The table itself; `None` once it is closed.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<K, V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
