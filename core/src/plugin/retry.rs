//! The wait before a request to a guild is repeated.

use core::time::Duration;

use crate::rng::Rng;

/// The longest wait before the first repetition; it doubles from there.
pub const FIRST: Duration = Duration::from_millis(250);

/// The wait after so many `failures`, of which the newest is not counted: drawn from the upper half
/// of what has been doubled, up to `most`.
pub fn wait(rng: &mut Rng, failures: u32, most: Duration) -> Duration {
    let longest = FIRST.saturating_mul(1 << failures.min(16)).min(most);
    rng.between(longest / 2, longest)
}
