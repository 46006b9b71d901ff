//! Hearing: whether the pushes of one connection keep up with what the guild stores.

use alloc::collections::BTreeMap;
use core::time::Duration;

use crate::{canonical, deadlines::Deadlines, id::ChannelId, machine::Wakeup, time::Time};

/// The deafness test of one connection. Success in sending proves nothing about hearing.
///
/// It is told what was joined and pushed there, and what the guild says is its newest message. What
/// is not pushed within a while after that is a channel that [`deaf`](Self::deaf) gives back.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Hearing {
    ears: BTreeMap<ChannelId, Ear>,
    doubts: Deadlines<ChannelId>,
}
canonical!(struct Hearing { ears, doubts });

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Ear {
    joined_at: Option<Time>,
    /// The highest `seq` that came by push, or that was there before the join.
    pushed: Option<u64>,
    /// The `seq` that a push should reach.
    doubted: Option<u64>,
}
canonical!(struct Ear { joined_at, pushed, doubted });

impl Hearing {
    /// A channel was joined, and had messages up to `last_seq`, where the guild tells that.
    pub fn on_joined(&mut self, now: Time, channel: &ChannelId, last_seq: Option<u64>) {
        let ear = self.ears.entry(channel.clone()).or_default();
        ear.joined_at.get_or_insert(now);
        ear.pushed = ear.pushed.max(last_seq);
    }

    /// A message was pushed, a new one or one with which the guild wakes once more: where the pushes begin
    /// that one does not show.
    pub fn on_push(&mut self, channel: &ChannelId, seq: u64, is_new: bool) {
        let ear = self.ears.entry(channel.clone()).or_default();
        if is_new || ear.pushed.is_some() {
            ear.pushed = ear.pushed.max(Some(seq));
        }
        if ear.doubted.is_some_and(|doubted| seq >= doubted) {
            ear.doubted = None;
            self.doubts.set(channel.clone(), None);
        }
    }

    /// The guild, which was asked at `asked_at`, has messages up to `last_seq`. A push is to reach
    /// that within `patience`.
    pub fn on_told(
        &mut self,
        now: Time,
        channel: &ChannelId,
        asked_at: Time,
        last_seq: u64,
        patience: Duration,
    ) {
        let Some(ear) = self.ears.get_mut(channel) else {
            return;
        };
        if ear.joined_at.is_none_or(|joined_at| asked_at <= joined_at) {
            return;
        }
        match ear.pushed {
            // Where the join did not tell, this is where the pushes begin.
            None => ear.pushed = Some(last_seq),
            Some(pushed) if last_seq > pushed && ear.doubted.is_none() => {
                ear.doubted = Some(last_seq);
                self.doubts.set(channel.clone(), Some(now + patience));
            }
            Some(_) => {}
        }
    }

    /// A channel is not listened to any more. What should have been pushed before still should.
    pub fn forget(&mut self, channel: &ChannelId) {
        match self.ears.get_mut(channel) {
            Some(ear) if ear.doubted.is_some() => ear.joined_at = None,
            Some(_) | None => {
                self.ears.remove(channel);
            }
        }
    }

    /// A channel whose pushes do not come; each is given back once.
    pub fn deaf(&mut self, now: Time) -> Option<ChannelId> {
        let channel = self.doubts.pop_due(now)?;
        if let Some(ear) = self.ears.get(&channel)
            && ear.joined_at.is_none()
        {
            self.ears.remove(&channel);
        }
        Some(channel)
    }

    /// When [`deaf`](Self::deaf) may have something to give back.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.doubts.earliest().map(|at| Wakeup {
            at,
            why: "push missing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn c() -> ChannelId {
        ChannelId::new("c").unwrap()
    }

    fn joined(last_seq: Option<u64>) -> Hearing {
        let mut hearing = Hearing::default();
        hearing.on_joined(at(10), &c(), last_seq);
        hearing
    }

    fn told(hearing: &mut Hearing, now: u64, asked_at: u64, last_seq: u64) {
        hearing.on_told(at(now), &c(), at(asked_at), last_seq, PATIENCE);
    }

    #[test]
    fn what_is_stored_and_not_pushed_in_time_shows_deafness_once() {
        let mut hearing = joined(Some(3));
        told(&mut hearing, 20, 20, 3);
        assert_eq!(hearing.next_wakeup(), None, "nothing is new");
        told(&mut hearing, 20, 20, 4);
        told(&mut hearing, 25, 25, 5);
        assert_eq!(hearing.next_wakeup().unwrap().at, at(30));
        assert_eq!(hearing.deaf(at(29)), None);
        assert_eq!(hearing.deaf(at(30)), Some(c()));
        assert_eq!(hearing.deaf(at(99)), None);
        told(&mut hearing, 100, 100, 6);
        assert_eq!(hearing.next_wakeup(), None, "it is known");
    }

    #[test]
    fn a_push_that_reaches_it_is_proof_and_an_older_one_is_not() {
        let mut hearing = joined(Some(3));
        told(&mut hearing, 20, 20, 6);
        hearing.on_push(&c(), 5, true);
        assert!(hearing.next_wakeup().is_some());
        hearing.on_push(&c(), 6, true);
        assert_eq!(hearing.next_wakeup(), None);
        hearing.on_push(&c(), 2, true);
        told(&mut hearing, 21, 21, 6);
        assert_eq!(hearing.next_wakeup(), None);
        told(&mut hearing, 21, 21, 7);
        assert_eq!(hearing.deaf(at(31)), Some(c()));
    }

    #[test]
    fn a_listing_that_was_asked_for_before_the_join_was_answered_proves_nothing() {
        let mut hearing = joined(Some(3));
        told(&mut hearing, 11, 9, 4);
        told(&mut hearing, 11, 10, 4);
        let mut unjoined = Hearing::default();
        told(&mut unjoined, 11, 11, 4);
        unjoined.on_push(&c(), 1, true);
        told(&mut unjoined, 11, 11, 4);
        for hearing in [hearing, unjoined] {
            assert_eq!(hearing.next_wakeup(), None);
        }
    }

    #[test]
    fn where_the_join_tells_no_seq_the_first_listing_does() {
        let mut hearing = joined(None);
        told(&mut hearing, 11, 10, 8);
        told(&mut hearing, 20, 20, 9);
        assert_eq!(hearing.next_wakeup(), None);
        told(&mut hearing, 80, 80, 10);
        assert_eq!(hearing.deaf(at(90)), Some(c()));
        let mut pushed_first = joined(None);
        pushed_first.on_push(&c(), 9, true);
        told(&mut pushed_first, 20, 20, 9);
        assert_eq!(pushed_first.next_wakeup(), None);
    }

    #[test]
    fn a_wake_with_an_older_message_does_not_show_where_the_pushes_begin() {
        let mut hearing = joined(None);
        hearing.on_push(&c(), 7, false);
        told(&mut hearing, 20, 20, 9);
        assert_eq!(hearing.next_wakeup(), None, "it was there before the join");
        told(&mut hearing, 30, 30, 10);
        hearing.on_push(&c(), 10, false);
        assert_eq!(hearing.next_wakeup(), None, "it is heard");
    }

    #[test]
    fn a_channel_that_is_left_is_not_listened_to() {
        let mut hearing = joined(Some(3));
        told(&mut hearing, 20, 20, 3);
        hearing.forget(&c());
        assert_eq!(hearing, Hearing::default());
    }

    #[test]
    fn what_should_have_come_before_a_channel_was_left_still_shows_deafness() {
        let left = || {
            let mut hearing = joined(Some(3));
            told(&mut hearing, 20, 20, 4);
            hearing.forget(&c());
            told(&mut hearing, 25, 25, 9);
            hearing
        };
        let mut hearing = left();
        assert_eq!(hearing.deaf(at(30)), Some(c()));
        assert_eq!(hearing, Hearing::default());
        let mut hearing = left();
        hearing.on_push(&c(), 4, true);
        assert_eq!(hearing.deaf(at(30)), None, "it was on its way");
        let mut joined_again = left();
        joined_again.on_joined(at(28), &c(), Some(9));
        assert_eq!(joined_again.deaf(at(30)), Some(c()));
    }
}
