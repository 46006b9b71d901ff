//! How often each fault has happened.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::fault::Kind;

/// A count of each kind of fault, which several proxies can share.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<Kind, u64>>>);

impl Tally {
    pub(super) fn count(&self, kind: Kind) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(kind).or_default() += 1;
    }

    /// How often this has happened.
    pub fn of(&self, kind: Kind) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&kind).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = counts
            .iter()
            .map(|(kind, count)| format!("{count} {}", kind.as_str()));
        f.write_str(&told.collect::<Vec<_>>().join(", "))
    }
}
