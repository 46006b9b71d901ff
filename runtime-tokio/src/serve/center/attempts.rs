//! Wrong passwords for each name: a few are a typing error, more are a guess.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::Time;

/// How many wrong passwords a name may see within [`WINDOW`].
const FAILURES_MAX: u32 = 10;
/// The span that they are counted in.
const WINDOW: Duration = Duration::from_secs(60);
/// How many names are watched. With more, the one that was watched for longest is forgotten: a
/// guesser must then already have tried this many names.
const NAMES_MAX: usize = 10_000;

/// The wrong passwords of the last minute.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    names: BTreeMap<String, Failures>,
}

#[derive(Debug)]
struct Failures {
    since: Time,
    count: u32,
}

impl Attempts {
    /// How long `name` must wait before its next try, if it must.
    pub(super) fn pause(&self, now: Time, name: &str) -> Option<Duration> {
        let failures = self.names.get(name)?;
        let left = (failures.since + WINDOW).since(now);
        (failures.count >= FAILURES_MAX && !left.is_zero()).then_some(left)
    }

    /// A password for `name` was wrong.
    pub(super) fn on_failure(&mut self, now: Time, name: &str) {
        self.names
            .retain(|_, failures| now.since(failures.since) < WINDOW);
        if let Some(failures) = self.names.get_mut(name) {
            failures.count += 1;
            return;
        }
        if self.names.len() >= NAMES_MAX
            && let Some(oldest) = self
                .names
                .iter()
                .min_by_key(|(_, failures)| failures.since)
                .map(|(name, _)| name.clone())
        {
            self.names.remove(&oldest);
        }
        let failures = Failures {
            since: now,
            count: 1,
        };
        self.names.insert(name.to_owned(), failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_pauses_after_ten_failures_until_the_minute_is_over() {
        let mut attempts = Attempts::default();
        let start = Time::from_millis(1_000);
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            assert_eq!(attempts.pause(now, "al"), None);
            attempts.on_failure(now, "al");
        }
        let now = start + Duration::from_secs(20);
        assert_eq!(attempts.pause(now, "al"), Some(Duration::from_secs(40)));
        assert_eq!(attempts.pause(now, "bo"), None);
        assert_eq!(attempts.pause(start + WINDOW, "al"), None);
        attempts.on_failure(start + WINDOW, "bo");
        assert_eq!(attempts.names.len(), 1);
    }

    #[test]
    fn what_is_watched_stays_bounded() {
        let mut attempts = Attempts::default();
        let start = Time::from_millis(1_000);
        attempts.names = (0..NAMES_MAX)
            .map(|number| {
                let since = start + Duration::from_millis(number as u64);
                (format!("n{number}"), Failures { since, count: 1 })
            })
            .collect();
        attempts.on_failure(start + Duration::from_secs(20), "last");
        assert_eq!(attempts.names.len(), NAMES_MAX);
        assert!(!attempts.names.contains_key("n0"));
    }
}
