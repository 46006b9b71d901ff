//! How fast a process ends, on a machine that may have other things to do.

#![expect(clippy::panic, reason = "a helper of tests fails the test")]

use std::time::Duration;

/// How often it is tried.
const TRIES: u32 = 5;

/// Holds an end to a limit. The machine can be the cause of one that takes longer, so the fastest of
/// a few counts.
///
/// # Panics
///
/// If each takes longer.
pub(crate) fn within(limit: Duration, mut ended_after: impl FnMut() -> Duration) {
    let mut all = Vec::new();
    for _ in 0..TRIES {
        let after = ended_after();
        if after < limit {
            return;
        }
        all.push(after);
    }
    panic!("not within {limit:?}: {all:?}");
}
