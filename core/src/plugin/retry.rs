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

/// The same after an answer that asked to be left alone for so long, which is kept up to `most`.
pub fn wait_after(
    rng: &mut Rng,
    failures: u32,
    most: Duration,
    asked: Option<Duration>,
) -> Duration {
    asked.unwrap_or_default().min(most) + wait(rng, failures, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_to_be_left_alone_is_but_not_for_ever() {
        let mut rng = Rng::from_number(1);
        let most = Duration::from_secs(30);
        for (asked, least) in [(None, 0), (Some(20), 20), (Some(u64::MAX), 30)] {
            let asked = asked.map(Duration::from_secs);
            let least = Duration::from_secs(least);
            let wait = wait_after(&mut rng, 0, most, asked);
            assert!(
                wait >= least + FIRST / 2 && wait <= least + FIRST,
                "{wait:?}"
            );
        }
    }
}
