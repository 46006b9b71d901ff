//! Plays a case on a machine that may have other things to do.

use std::{panic::resume_unwind, time::Duration};

use selvedge::clock::Clock;
use tokio::time::sleep;

/// How often a case is played at most.
const PLAYS_MAX: u32 = 10;

/// How long a nap is that shows whether the machine keeps time.
const NAP: Duration = Duration::from_millis(5);

/// How much too long it may be: 2 ms are usual where nothing else runs, and 50 ms beside a build.
const OVERSLEPT_MAX: Duration = Duration::from_millis(10);

/// Plays a case. The servers of the official suites give a client a fifth of a second: a case that
/// fails while the machine does not keep time says nothing about them, and is played again. One that
/// fails while it does has failed.
///
/// # Panics
///
/// As the case does.
pub async fn play<F>(case: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let clock = Clock::start();
    for _ in 1..PLAYS_MAX {
        let played = tokio::spawn(case());
        let mut overslept = Duration::ZERO;
        while !played.is_finished() {
            let before = clock.now();
            sleep(NAP).await;
            overslept = overslept.max(clock.now().since(before).saturating_sub(NAP));
        }
        match played.await {
            Ok(()) => return,
            Err(failed) if overslept <= OVERSLEPT_MAX => resume_unwind(failed.into_panic()),
            Err(_) => {}
        }
    }
    case().await;
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
    };

    use super::*;

    /// Plays a case that fails and holds the thread up for so long: how often it was played.
    async fn plays_of_a_failure(holds_up: Duration) -> u32 {
        static PLAYED: AtomicU32 = AtomicU32::new(0);
        PLAYED.store(0, Ordering::Relaxed);
        let failing = move || async move {
            PLAYED.fetch_add(1, Ordering::Relaxed);
            sleep(NAP).await;
            thread::sleep(holds_up);
            panic!("as planned");
        };
        let failed = tokio::spawn(play(failing)).await;
        assert!(failed.unwrap_err().is_panic());
        PLAYED.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_failure_stands_unless_the_machine_was_late_each_time() {
        assert_eq!(plays_of_a_failure(OVERSLEPT_MAX * 3).await, PLAYS_MAX);
        // Under load it may not count at once, but it does in the end.
        let mut plays = PLAYS_MAX;
        while plays == PLAYS_MAX {
            plays = plays_of_a_failure(Duration::ZERO).await;
        }
    }
}
