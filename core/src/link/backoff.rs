//! How long to wait before the next dial: full jitter, doubling only where nothing ever went live.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{canonical, rng::Rng, snapshot, time::Time};

/// The numbers of a [`Backoff`]. Begin with the default, and set what is to be different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Config {
    /// The longest wait after the first failure. Default 1 s.
    pub first: Duration,
    /// The longest wait at all. Default 30 s.
    pub most: Duration,
    /// The longest wait after the end of a connection that was live. Default 4 s: a guild that
    /// restarts gets its links back spread over this span.
    pub after_live: Duration,
    /// The same where it was live for [`stable`](Self::stable) or longer. Default 1 s.
    pub after_stable: Duration,
    /// How long a connection lives to count as stable. Default 60 s.
    pub stable: Duration,
    /// How many dials can be made at once, before the refill limits them. Default 12.
    pub dials: u32,
    /// How often one more dial may be made. Default 5 s.
    pub refill: Duration,
}

snapshot!(struct Config { first, most, after_live, after_stable, stable, dials, refill });

impl Default for Config {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(30),
            after_live: Duration::from_secs(4),
            after_stable: Duration::from_secs(1),
            stable: Duration::from_secs(60),
            dials: 12,
            refill: Duration::from_secs(5),
        }
    }
}

/// Counts failures and draws the waits.
///
/// Ask [`after_failure`](Self::after_failure) or [`after_live`](Self::after_live) when a connection
/// has ended; the wait starts then. Its owner has the numbers, of which there are many owners and
/// one copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    rng: Rng,
    failures: u32,
}
canonical!(struct Backoff { failures; - rng });

impl Backoff {
    /// With no failures yet.
    pub fn new(rng: Rng) -> Self {
        Self { rng, failures: 0 }
    }

    /// The wait after an attempt that never went live.
    pub fn after_failure(&mut self, config: &Config) -> Duration {
        let doubled = config.first.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        self.draw(doubled.min(config.most))
    }

    /// The wait after the end of a connection that was live for `lived`.
    pub fn after_live(&mut self, config: &Config, lived: Duration) -> Duration {
        self.failures = 0;
        let most = if lived >= config.stable {
            config.after_stable
        } else {
            config.after_live
        };
        self.draw(most)
    }

    /// Forgets the failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The longest wait, for a fault that only a change of the configuration mends.
    pub fn longest(&mut self, config: &Config) -> Duration {
        self.failures = self.failures.saturating_add(1);
        config.most
    }

    /// Full jitter, but never nothing: a microsecond keeps deadlines ahead of now.
    fn draw(&mut self, most: Duration) -> Duration {
        self.rng.between(Duration::from_micros(1), most)
    }
}

/// A bucket of permits that refills with time: what keeps a reconnect loop, or a talkative peer,
/// from becoming a storm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    size: u32,
    refill: Duration,
    taken: u32,
    /// When the oldest of the taken permits comes back.
    back_at: Option<Time>,
}
canonical!(struct Bucket { taken, back_at; - size, refill });

impl Bucket {
    /// A full bucket of `size` permits, one of which comes back every `refill`.
    pub fn new(size: u32, refill: Duration) -> Self {
        Self {
            size,
            refill,
            taken: 0,
            back_at: None,
        }
    }

    /// Takes a permit now, or says when there will be one.
    ///
    /// # Errors
    ///
    /// With the moment at which to ask again, where the bucket is empty.
    pub fn take(&mut self, now: Time) -> Result<(), Time> {
        self.refill(now);
        match self.back_at {
            Some(back_at) if self.taken >= self.size => Err(back_at),
            back_at => {
                self.taken += 1;
                self.back_at = Some(back_at.unwrap_or(now + self.refill));
                Ok(())
            }
        }
    }

    /// Whether no permit is taken.
    pub fn is_full(&mut self, now: Time) -> bool {
        self.refill(now);
        self.taken == 0
    }

    fn refill(&mut self, now: Time) {
        while let Some(back_at) = self.back_at.filter(|at| *at <= now) {
            self.taken = self.taken.saturating_sub(1);
            self.back_at = (self.taken > 0).then(|| back_at + self.refill);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Rng::from_number(3))
    }

    #[test]
    fn waits_double_up_to_the_most_and_are_jittered_from_the_first_on() {
        let config = Config::default();
        for seed in 0..50 {
            let mut backoff = Backoff::new(Rng::from_number(seed));
            for most in [1, 2, 4, 8, 16, 30, 30, 30] {
                let wait = backoff.after_failure(&config);
                assert!(
                    wait > Duration::ZERO && wait <= Duration::from_secs(most),
                    "{wait:?}"
                );
            }
        }
        let mut first = backoff();
        let mut other = Backoff::new(Rng::from_number(4));
        assert_ne!(first.after_failure(&config), other.after_failure(&config));
    }

    #[test]
    fn only_a_connection_that_went_live_starts_the_doubling_anew() {
        let (mut backoff, config) = (backoff(), Config::default());
        for _ in 0..5 {
            backoff.after_failure(&config);
        }
        assert!(backoff.after_live(&config, Duration::from_secs(3)) <= Duration::from_secs(4));
        assert!(backoff.after_failure(&config) <= Duration::from_secs(1));
        assert!(backoff.after_live(&config, Duration::from_secs(60)) <= Duration::from_secs(1));
    }

    /// A thousand links whose guild was restarted must not come back in the same instant.
    #[test]
    fn links_that_were_live_come_back_spread_out() {
        let config = Config::default();
        let mut seconds = [0; 4];
        for seed in 0..1_000 {
            let mut backoff = Backoff::new(Rng::from_number(seed));
            let wait = backoff.after_live(&config, Duration::from_secs(10));
            let second = usize::try_from(wait.as_secs()).unwrap().min(3);
            seconds[second] += 1;
        }
        assert!(
            seconds.iter().all(|links| (200..=300).contains(links)),
            "{seconds:?}"
        );
    }

    #[test]
    fn an_empty_bucket_says_when_to_ask_again() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let mut bucket = Bucket::new(2, Duration::from_secs(5));
        assert_eq!(bucket.take(at(1)), Ok(()));
        assert_eq!(bucket.take(at(2)), Ok(()));
        assert_eq!(bucket.take(at(3)), Err(at(6)));
        assert_eq!(bucket.take(at(6)), Ok(()));
        assert_eq!(bucket.take(at(6)), Err(at(11)));
        assert_eq!(bucket.take(at(100)), Ok(()));
        assert_eq!(bucket.take(at(100)), Ok(()));
        assert_eq!(bucket.take(at(100)), Err(at(105)));
    }

    #[test]
    fn a_bucket_of_nothing_still_lets_one_through() {
        let mut bucket = Bucket::new(0, Duration::from_secs(5));
        assert_eq!(bucket.take(Time::ZERO), Ok(()));
        assert!(bucket.take(Time::ZERO).is_err());
    }
}
