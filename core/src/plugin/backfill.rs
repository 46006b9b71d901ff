//! Backfill: when the history of one channel is read, how much of it, and when that is given up.

use core::time::Duration;

use crate::{canonical, fabric::routes::PAGE_MAX, time::Time};

/// After so many reads that did not fill a gap there is nothing to fill it with: messages can be
/// gone.
const UNFILLED_MAX: u32 = 3;
/// How long after a read that left something missing the next one follows.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be asked of a guild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The newest message alone: the guild does not tell its number otherwise.
    Newest,
    /// So many messages after this `seq`, up to another. A guild that does not know where to begin
    /// answers those that are nearest to the end.
    After {
        /// Nothing up to here.
        seq: u64,
        /// Nothing behind this one.
        until: u64,
        /// How many at most.
        limit: u64,
    },
    /// The message with this `seq` alone: is it still the one that it was?
    Anchor {
        /// Its number.
        seq: u64,
    },
    /// The newest messages, whatever their numbers.
    Back {
        /// Only those before this one.
        before: Option<u64>,
        /// How many at most.
        limit: u64,
    },
}
canonical!(
    enum Read {
        Newest,
        After { seq, until, limit },
        Anchor { seq },
        Back { before, limit },
    }
);

/// The reading of one channel's history, one request at a time.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Backfill {
    reading: Reading,
    /// Good answers in a row that brought nothing of what is missing.
    unfilled: u32,
    /// Requests in a row that failed.
    failures: u32,
    /// A token was refused already.
    refused: bool,
    /// How often the page was halved because its text was too long for one answer.
    halved: u32,
}
canonical!(struct Backfill { reading, unfilled, failures, refused, halved });

#[derive(Clone, Debug, PartialEq, Eq, Default)]
enum Reading {
    #[default]
    Idle,
    Due(Time),
    /// It waits for a login.
    Blocked,
    Asked,
}
canonical!(
    enum Reading {
        Idle,
        Due(at),
        Blocked,
        Asked,
    }
);

impl Backfill {
    /// Something is missing, and is to be asked for at `at`, unless that is settled already. What has
    /// failed, or has been tried in vain, is not hurried.
    pub fn want(&mut self, at: Time) {
        match self.reading {
            Reading::Idle => self.reading = Reading::Due(at),
            Reading::Due(due) if self.failures == 0 && self.unfilled == 0 => {
                self.reading = Reading::Due(due.min(at));
            }
            Reading::Due(_) | Reading::Blocked | Reading::Asked => {}
        }
    }

    /// Nothing is missing (any more).
    pub fn settle(&mut self) {
        self.unfilled = 0;
        match self.reading {
            Reading::Due(_) | Reading::Blocked => self.reading = Reading::Idle,
            Reading::Idle | Reading::Asked => {}
        }
    }

    /// When to ask.
    pub fn due_at(&self) -> Option<Time> {
        match self.reading {
            Reading::Due(at) => Some(at),
            Reading::Idle | Reading::Blocked | Reading::Asked => None,
        }
    }

    /// How many messages to ask for at most.
    pub fn limit(&self) -> u64 {
        (PAGE_MAX >> self.halved).max(1)
    }

    /// The request is on its way.
    pub fn on_asked(&mut self) {
        self.reading = Reading::Asked;
    }

    /// The request waits for a login.
    pub fn on_blocked(&mut self) {
        self.reading = Reading::Blocked;
    }

    /// A login succeeded.
    pub fn on_token(&mut self, now: Time) {
        if self.reading == Reading::Blocked {
            self.reading = Reading::Due(now);
        }
    }

    /// There was a good answer.
    pub fn on_answered(&mut self) {
        self.reading = Reading::Idle;
        self.failures = 0;
        self.refused = false;
    }

    /// It brought some of what is missing; whether the guild has `more`.
    pub fn on_filled(&mut self, now: Time, more: bool) {
        self.unfilled = 0;
        self.want(if more { now } else { now + AGAIN });
    }

    /// It brought nothing of what is missing. `true` where it is not asked for any more.
    pub fn on_unfilled(&mut self, now: Time) -> bool {
        self.want(now + AGAIN);
        self.unfilled += 1;
        self.unfilled >= UNFILLED_MAX
    }

    /// The guild refused the token. `true` where that is worth a new one.
    pub fn on_refused(&mut self, now: Time) -> bool {
        let first = !core::mem::replace(&mut self.refused, true);
        if first {
            self.reading = Reading::Due(now);
        }
        first
    }

    /// The answer would have been too long: fewer messages are asked for from now on. `false` where
    /// it was one message alone.
    pub fn on_too_large(&mut self, now: Time) -> bool {
        let smaller = self.limit() > 1;
        if smaller {
            self.halved += 1;
            self.reading = Reading::Due(now);
        }
        smaller
    }

    /// How many requests in a row have failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The request failed, and follows again at `at`.
    pub fn on_failed(&mut self, at: Time) {
        self.failures = self.failures.saturating_add(1);
        self.refused = false;
        self.reading = Reading::Due(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_or_was_in_vain_is_not_hurried() {
        let at = Time::from_millis;
        let mut backfill = Backfill::default();
        backfill.want(at(250));
        backfill.want(at(10));
        assert_eq!(backfill.due_at(), Some(at(10)));
        backfill.on_asked();
        backfill.on_failed(at(500));
        backfill.want(at(20));
        assert_eq!(backfill.due_at(), Some(at(500)));
        backfill.on_asked();
        backfill.on_answered();
        assert!(!backfill.on_unfilled(at(600)));
        backfill.want(at(700));
        assert_eq!(backfill.due_at(), Some(at(1_600)));
        backfill.settle();
        assert_eq!(backfill.due_at(), None);
    }

    #[test]
    fn a_page_that_is_too_long_is_halved_down_to_one_message() {
        let now = Time::from_millis(1);
        let mut backfill = Backfill::default();
        let mut limits = alloc::vec![backfill.limit()];
        while backfill.on_too_large(now) {
            limits.push(backfill.limit());
        }
        assert_eq!(limits, [200, 100, 50, 25, 12, 6, 3, 1]);
    }
}
