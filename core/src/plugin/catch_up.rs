//! Catching up: what was missed in a channel during an outage is one turn, and where the agent is
//! meant itself goes first.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use crate::{canonical, id::ChannelId, machine::Wakeup, time::Time};

/// A guild that was not heard for longer than this was out; what is shorter is a reconnect.
const OUTAGE: Duration = Duration::from_secs(2 * 60);
/// How long what was missed is kept back for the histories that are still being read: one that
/// cannot be read holds nobody up for longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The catching up with one guild.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CatchUp {
    /// Since when the guild has not been heard; `None` while it is, and before it ever was.
    away_since: Option<Time>,
    /// Whether the present connection follows an outage.
    after_outage: bool,
    /// The channels whose history is being read, and up to which `seq` that was missed.
    behind: BTreeMap<ChannelId, u64>,
    /// Those of them in which the agent is meant itself.
    urgent: BTreeSet<ChannelId>,
    /// The channels that have been read, and wait for the urgent ones among the others.
    read: BTreeSet<ChannelId>,
    /// When nothing is kept back any more.
    until: Option<Time>,
}
canonical!(struct CatchUp { away_since, after_outage, behind, urgent, read, until });

impl CatchUp {
    /// With a guild that an earlier process has heard up to that moment, if any has.
    pub fn new(away_since: Option<Time>) -> Self {
        Self {
            away_since,
            ..Self::default()
        }
    }

    /// A connection stands.
    pub fn on_up(&mut self, now: Time) {
        self.after_outage = self
            .away_since
            .is_some_and(|since| now.since(since) > OUTAGE);
    }

    /// Whether the guild is not heard, or not everything there is heard again.
    pub fn is_away(&self) -> bool {
        self.away_since.is_some()
    }

    /// Everything is heard again.
    pub fn on_live(&mut self) {
        self.away_since = None;
    }

    /// The connection has ended: gives back the channels that are kept back no more.
    pub fn on_down(&mut self, now: Time) -> Vec<ChannelId> {
        self.away_since.get_or_insert(now);
        self.after_outage = false;
        let held = self.release();
        self.behind.clear();
        self.urgent.clear();
        held
    }

    /// Messages up to `seq` were missed in a channel: whether they are to be kept back, as one turn.
    pub fn on_behind(&mut self, now: Time, channel: &ChannelId, seq: u64) -> bool {
        if self.after_outage {
            self.on_missed(now, channel, seq);
        }
        self.after_outage
    }

    /// Messages up to `seq` were missed during an outage, perhaps an earlier process's: they are kept
    /// back.
    pub fn on_missed(&mut self, now: Time, channel: &ChannelId, seq: u64) {
        self.behind.insert(channel.clone(), seq);
        self.until.get_or_insert(now + PATIENCE);
    }

    /// Whether a message was missed during an outage.
    pub fn covers(&self, channel: &ChannelId, seq: u64) -> bool {
        self.behind.get(channel).is_some_and(|until| seq <= *until)
    }

    /// The agent is meant itself by one of the messages that were missed there.
    pub fn on_urgent(&mut self, channel: &ChannelId) {
        if self.behind.contains_key(channel) {
            self.urgent.insert(channel.clone());
        }
    }

    /// Everything up to `heard` has come: `true` where that is all that was missed, and it is urgent.
    pub fn on_heard(&mut self, now: Time, channel: &ChannelId, heard: u64, is_dm: bool) -> bool {
        if self.behind.get(channel).is_none_or(|until| heard < *until) {
            return false;
        }
        self.behind.remove(channel);
        let urgent = self.urgent.remove(channel) || is_dm;
        if let Some(until) = &mut self.until {
            if self.behind.is_empty() {
                *until = now;
            }
            if !urgent {
                self.read.insert(channel.clone());
            }
        }
        urgent
    }

    /// The channel is nothing to the agent any more.
    pub fn forget(&mut self, now: Time, channel: &ChannelId) {
        self.read.remove(channel);
        self.urgent.remove(channel);
        self.behind.remove(channel);
        if let Some(until) = self.until.as_mut().filter(|_| self.behind.is_empty()) {
            *until = now;
        }
    }

    /// The channels that are kept back no more.
    pub fn due(&mut self, now: Time) -> Vec<ChannelId> {
        match self.until {
            Some(until) if until <= now => self.release(),
            Some(_) | None => Vec::new(),
        }
    }

    fn release(&mut self) -> Vec<ChannelId> {
        self.until = None;
        let read = core::mem::take(&mut self.read);
        read.into_iter()
            .chain(self.behind.keys().cloned())
            .collect()
    }

    /// When [`due`](Self::due) has something to give back.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.until.map(|at| Wakeup {
            at,
            why: "caught up",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn id(id: &str) -> ChannelId {
        ChannelId::new(id).unwrap()
    }

    /// Was live, and is connected again after `seconds`.
    fn after(seconds: u64) -> CatchUp {
        let mut catch_up = CatchUp::default();
        catch_up.on_up(at(1));
        catch_up.on_live();
        catch_up.on_down(at(10));
        catch_up.on_down(at(11));
        catch_up.on_up(at(10 + seconds));
        catch_up
    }

    #[test]
    fn only_what_was_missed_for_long_is_kept_back() {
        let mut catch_up = CatchUp::default();
        catch_up.on_up(at(1_000));
        assert!(
            !catch_up.on_behind(at(1_000), &id("c"), 5),
            "a first contact"
        );
        assert!(!after(120).on_behind(at(130), &id("c"), 5));
        let mut catch_up = after(121);
        assert!(catch_up.on_behind(at(131), &id("c"), 5));
        assert!(catch_up.covers(&id("c"), 5));
        assert!(!catch_up.covers(&id("c"), 6));
        assert!(!catch_up.covers(&id("d"), 5));
        catch_up.on_live();
        catch_up.on_down(at(140));
        catch_up.on_up(at(141));
        assert!(!catch_up.on_behind(at(141), &id("c"), 5));
    }

    #[test]
    fn where_the_agent_is_meant_goes_first_and_the_rest_follows_together() {
        let mut catch_up = after(600);
        let now = at(610);
        for channel in ["a", "b", "dm", "mention"] {
            catch_up.on_behind(now, &id(channel), 5);
        }
        catch_up.on_urgent(&id("mention"));
        catch_up.on_urgent(&id("unknown"));
        assert!(!catch_up.on_heard(now, &id("a"), 4, false), "not all of it");
        assert!(!catch_up.on_heard(now, &id("a"), 5, false));
        assert!(catch_up.on_heard(now, &id("dm"), 6, true));
        assert!(!catch_up.on_heard(now, &id("dm"), 7, true), "once");
        assert_eq!(catch_up.due(now), []);
        assert!(catch_up.on_heard(now, &id("mention"), 5, false));
        assert!(!catch_up.on_heard(now, &id("b"), 5, false));
        assert_eq!(catch_up.next_wakeup().unwrap().at, now);
        assert_eq!(catch_up.due(now), [id("a"), id("b")]);
        assert_eq!(catch_up.next_wakeup(), None);
    }

    #[test]
    fn what_cannot_be_read_holds_nobody_up_for_long() {
        let mut catch_up = after(600);
        for channel in ["a", "b"] {
            catch_up.on_behind(at(610), &id(channel), 5);
        }
        catch_up.on_heard(at(611), &id("a"), 5, false);
        assert_eq!(catch_up.due(at(639)), []);
        assert_eq!(catch_up.due(at(640)), [id("a"), id("b")]);
        assert!(catch_up.covers(&id("b"), 5), "still missed");
        assert!(!catch_up.on_heard(at(700), &id("b"), 5, false));
        assert!(catch_up.behind.is_empty() && catch_up.read.is_empty());
    }

    #[test]
    fn the_end_of_a_connection_or_of_a_membership_keeps_nothing_back() {
        let mut catch_up = after(600);
        for channel in ["a", "b", "c"] {
            catch_up.on_behind(at(610), &id(channel), 5);
        }
        catch_up.on_heard(at(610), &id("a"), 5, false);
        catch_up.forget(at(611), &id("b"));
        assert_eq!(catch_up.due(at(611)), []);
        catch_up.forget(at(611), &id("c"));
        assert_eq!(catch_up.due(at(611)), [id("a")]);
        let mut catch_up = after(600);
        catch_up.on_behind(at(610), &id("a"), 5);
        assert_eq!(catch_up.on_down(at(611)), vec![id("a")]);
        assert!(!catch_up.covers(&id("a"), 5));
        catch_up.on_up(at(612));
        assert!(catch_up.on_behind(at(612), &id("a"), 5), "never live since");
    }
}
