//! Membership: which channels the agent is in, and which of them are joined on the connection.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::{
        realtime::{AckError, JoinAck},
        types::Channel,
    },
    id::ChannelId,
    machine::{Wakeup, earliest},
    time::Time,
};

/// How many joins are unanswered at a time. A guild reads a socket's events one after the other;
/// the rest of thousands of channels need not lie in its buffers.
const JOINS_MAX: usize = 64;

/// The longest wait between two attempts at one join, or at one listing.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How many pushes are remembered while a listing is under way. With more, the listing is thrown
/// away and another one is asked for.
const PUSHED_MAX: usize = 10_000;

/// Which channels there are, by pushes and by numbered listings.
///
/// A push is newer than a listing that was asked for before it came, so an old answer cannot bring
/// a channel back that was left in the meantime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    every: Duration,
    channels: BTreeMap<ChannelId, Join>,
    /// How many of them wait for the first answer to a join on the present connection.
    untried: usize,
    /// Unanswered joins.
    asked: BTreeSet<ChannelId>,
    /// Joins that are due, now or later.
    due: Deadlines<ChannelId>,
    /// Pushes since the listing under way was asked for: whether the agent was in the channel
    /// afterwards.
    pushed: BTreeMap<ChannelId, bool>,
    listing: Listing,
    /// The listing under way was asked for before the present connection, or more was pushed since
    /// than can be remembered: another one must follow it.
    outdated: bool,
    failures: u32,
    /// Whether a listing has been answered on the present connection.
    listed: bool,
    up: bool,
}
canonical!(struct Membership {
    channels, untried, asked, due, pushed, listing, outdated, failures, listed, up; - every
});

#[derive(Clone, Debug, PartialEq, Eq)]
enum Listing {
    /// There has been no connection to list for.
    Unwanted,
    Due(Time),
    Blocked,
    Asked,
}
canonical!(
    enum Listing {
        Unwanted,
        Due(at),
        Blocked,
        Asked,
    }
);

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Join {
    joined: bool,
    /// Attempts on the present connection that have failed.
    failures: u32,
    /// Whether an attempt on the present connection has been answered, either way.
    tried: bool,
}
canonical!(struct Join { joined, failures, tried });

/// What a listing or a push has changed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Changes {
    /// Channels that the agent is in now, and was not.
    pub joined: Vec<ChannelId>,
    /// Channels that it is not in any more.
    pub left: Vec<ChannelId>,
}

/// What the answer to a join means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Nothing: the channel was left in the meantime.
    Stale,
    /// The room is entered; the newest `seq` at that moment, where the guild tells it.
    Ok(Option<u64>),
    /// It is tried again; in words, why.
    Failed {
        /// Why.
        why: String,
        /// The connection's token has expired: it will not be better on this connection.
        token_expired: bool,
    },
}

impl Membership {
    /// Of nothing, with a listing every `every`.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            channels: BTreeMap::new(),
            untried: 0,
            asked: BTreeSet::new(),
            due: Deadlines::default(),
            pushed: BTreeMap::new(),
            listing: Listing::Unwanted,
            outdated: false,
            failures: 0,
            listed: false,
            up: false,
        }
    }

    /// Whether the agent is in the channel.
    pub fn contains(&self, channel: &ChannelId) -> bool {
        self.channels.contains_key(channel)
    }

    /// Whether the channel's room is entered on the present connection.
    pub fn is_joined(&self, channel: &ChannelId) -> bool {
        self.channels.get(channel).is_some_and(|join| join.joined)
    }

    /// How many channels the agent is in.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether it is in none.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Whether every channel has been listed and tried on the present connection.
    pub fn is_settled(&self) -> bool {
        self.up && self.listed && self.untried == 0
    }

    /// Whether a listing has been answered on the present connection.
    pub fn has_listed(&self) -> bool {
        self.listed
    }

    /// A connection is up: list, and join everything anew.
    pub fn on_up(&mut self, now: Time) {
        self.up = true;
        self.listed = false;
        self.untried = self.channels.len();
        match self.listing {
            Listing::Asked => self.outdated = true,
            Listing::Unwanted | Listing::Due(_) | Listing::Blocked => {
                self.listing = Listing::Due(now);
            }
        }
        for (channel, join) in &mut self.channels {
            *join = Join::default();
            self.due.set(channel.clone(), Some(now));
        }
    }

    /// The connection has ended.
    pub fn on_down(&mut self) {
        self.up = false;
        self.untried = self.channels.len();
        self.asked.clear();
        for (channel, join) in &mut self.channels {
            *join = Join::default();
            self.due.set(channel.clone(), None);
        }
    }

    /// Whether to ask for a listing now. The owner then calls [`on_listing_asked`] or, without a
    /// token, [`on_listing_blocked`].
    ///
    /// [`on_listing_asked`]: Self::on_listing_asked
    /// [`on_listing_blocked`]: Self::on_listing_blocked
    pub fn listing_due(&self, now: Time) -> bool {
        self.up && matches!(self.listing, Listing::Due(at) if at <= now)
    }

    /// A listing is under way.
    pub fn on_listing_asked(&mut self) {
        self.pushed.clear();
        self.outdated = false;
        self.listing = Listing::Asked;
    }

    /// A listing waits for a login.
    pub fn on_listing_blocked(&mut self) {
        self.listing = Listing::Blocked;
    }

    /// The login that a listing waits for has succeeded.
    pub fn on_token(&mut self, now: Time) {
        if self.listing == Listing::Blocked {
            self.listing = Listing::Due(now);
        }
    }

    /// The login that a listing waits for has failed.
    pub fn on_login_failed(&mut self, now: Time) {
        if self.listing == Listing::Blocked {
            self.on_listing_failed(now, None);
        }
    }

    /// Something hints that the memberships have changed: list soon, unless listings fail.
    pub fn relist(&mut self, now: Time) {
        match self.listing {
            Listing::Due(_) if self.failures > 0 => {}
            Listing::Due(at) => self.listing = Listing::Due(at.min(now + Duration::from_secs(1))),
            Listing::Unwanted | Listing::Blocked | Listing::Asked => {}
        }
    }

    /// The listing under way failed, or the login for it; it is tried again, and not before
    /// `after`, where the guild has asked for that.
    pub fn on_listing_failed(&mut self, now: Time, after: Option<Duration>) {
        let after = after.unwrap_or_default().min(self.every);
        self.listing = Listing::Due(now + retry(self.failures).max(after));
        self.failures = self.failures.saturating_add(1);
    }

    /// The listing under way was answered; at most `most` channels are followed. The channels of
    /// `unread` are in it, but nothing else is known of them: they are neither entered nor left.
    pub fn on_listing(
        &mut self,
        now: Time,
        channels: &[Channel],
        unread: &[ChannelId],
        most: usize,
    ) -> Changes {
        self.failures = 0;
        if self.outdated {
            self.listing = Listing::Due(now);
            return Changes::default();
        }
        self.listed = true;
        self.listing = Listing::Due(now + self.every);
        let pushed = core::mem::take(&mut self.pushed);
        let listed = channels.iter().map(|channel| &channel.id);
        let listed: BTreeSet<&ChannelId> = listed.chain(unread).collect();
        let mut changes = Changes::default();
        let gone: Vec<_> = self
            .channels
            .keys()
            .filter(|id| !listed.contains(id) && !pushed.contains_key(id))
            .cloned()
            .collect();
        for channel in gone {
            self.leave(&channel);
            changes.left.push(channel);
        }
        for channel in channels {
            let known = self.contains(&channel.id) || pushed.contains_key(&channel.id);
            if !known && self.channels.len() < most {
                self.enter(now, channel.id.clone());
                changes.joined.push(channel.id.clone());
            }
        }
        changes
    }

    /// `channel.joined`: whether that is news.
    pub fn on_joined_push(&mut self, now: Time, channel: &ChannelId, most: usize) -> bool {
        self.note_push(channel, true);
        if self.contains(channel) || self.channels.len() >= most {
            return false;
        }
        self.enter(now, channel.clone());
        true
    }

    /// `channel.left`: whether that is news.
    pub fn on_left_push(&mut self, channel: &ChannelId) -> bool {
        self.note_push(channel, false);
        self.leave(channel)
    }

    /// The next join to send, if one is due; it then waits for [`on_join_answer`].
    ///
    /// [`on_join_answer`]: Self::on_join_answer
    pub fn join_due(&mut self, now: Time) -> Option<ChannelId> {
        if !self.up || self.asked.len() >= JOINS_MAX {
            return None;
        }
        let channel = self.due.pop_due(now)?;
        self.asked.insert(channel.clone());
        Some(channel)
    }

    /// A join was answered, or ended without an answer.
    pub fn on_join_answer(
        &mut self,
        now: Time,
        channel: &ChannelId,
        answer: Result<JoinAck, String>,
    ) -> Joined {
        let Some(join) = self
            .channels
            .get_mut(channel)
            .filter(|_| self.asked.remove(channel))
        else {
            return Joined::Stale;
        };
        if !core::mem::replace(&mut join.tried, true) {
            self.untried -= 1;
        }
        let (why, error) = match answer {
            Ok(JoinAck {
                ok: true, last_seq, ..
            }) => {
                *join = Join {
                    joined: true,
                    failures: 0,
                    tried: true,
                };
                return Joined::Ok(last_seq);
            }
            Ok(JoinAck { error, .. }) => (
                match error {
                    Some(AckError::BadRequest) => "the guild does not understand the request",
                    Some(AckError::NotFound) => "the guild knows no such channel",
                    Some(AckError::Forbidden) => "the account is not a member",
                    Some(AckError::TokenExpired) => "the connection's token has expired",
                    Some(AckError::Other) | None => "the guild refused without a known reason",
                }
                .to_string(),
                error,
            ),
            Err(why) => (why, None),
        };
        let wait = retry(join.failures);
        join.failures = join.failures.saturating_add(1);
        self.due.set(channel.clone(), Some(now + wait));
        if matches!(error, Some(AckError::Forbidden | AckError::NotFound)) {
            self.relist(now);
        }
        Joined::Failed {
            why,
            token_expired: error == Some(AckError::TokenExpired),
        }
    }

    /// When there is something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        if !self.up {
            return None;
        }
        let listing = match self.listing {
            Listing::Due(at) => Some(Wakeup {
                at,
                why: "listing due",
            }),
            Listing::Unwanted | Listing::Blocked | Listing::Asked => None,
        };
        let join = self.due.earliest().filter(|_| self.asked.len() < JOINS_MAX);
        earliest([
            listing,
            join.map(|at| Wakeup {
                at,
                why: "join due",
            }),
        ])
    }

    fn note_push(&mut self, channel: &ChannelId, member: bool) {
        if self.listing != Listing::Asked {
            return;
        }
        if self.pushed.len() < PUSHED_MAX || self.pushed.contains_key(channel) {
            self.pushed.insert(channel.clone(), member);
        } else {
            self.outdated = true;
        }
    }

    fn enter(&mut self, now: Time, channel: ChannelId) {
        if self.up {
            self.due.set(channel.clone(), Some(now));
        }
        self.channels.insert(channel, Join::default());
        self.untried += 1;
    }

    fn leave(&mut self, channel: &ChannelId) -> bool {
        self.asked.remove(channel);
        self.due.set(channel.clone(), None);
        let Some(join) = self.channels.remove(channel) else {
            return false;
        };
        if !join.tried {
            self.untried -= 1;
        }
        true
    }
}

/// 1, 2, 4 … 30 seconds.
fn retry(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(10)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{canon::canonical_hash, fabric::types::XType};

    const MOST: usize = 100;

    fn id(id: &str) -> ChannelId {
        ChannelId::new(id).unwrap()
    }

    fn listed(ids: &[&str]) -> Vec<Channel> {
        ids.iter()
            .map(|channel| Channel {
                id: id(channel),
                guild_id: None,
                name: String::new(),
                x_type: XType::General,
                is_public: false,
                closed: false,
                last_seq: None,
                joined_seq: None,
                member_count: 1,
                wake_mapping: vec![],
            })
            .collect()
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn ack() -> JoinAck {
        JoinAck {
            ok: true,
            last_seq: Some(7),
            error: None,
        }
    }

    fn up_with(ids: &[&str]) -> Membership {
        let mut membership = Membership::new(Duration::from_secs(60));
        membership.on_up(at(1));
        assert!(membership.listing_due(at(1)));
        membership.on_listing_asked();
        membership.on_listing(at(1), &listed(ids), &[], MOST);
        membership
    }

    #[test]
    fn a_connection_is_settled_once_everything_is_listed_and_tried() {
        let mut membership = up_with(&["a", "b"]);
        assert!(!membership.is_settled());
        assert_eq!(membership.join_due(at(1)), Some(id("a")));
        assert_eq!(membership.join_due(at(1)), Some(id("b")));
        assert_eq!(membership.join_due(at(1)), None);
        assert_eq!(
            membership.on_join_answer(at(2), &id("a"), Ok(ack())),
            Joined::Ok(Some(7))
        );
        let failed = membership.on_join_answer(at(2), &id("b"), Err("no answer".into()));
        assert!(matches!(
            failed,
            Joined::Failed {
                token_expired: false,
                ..
            }
        ));
        assert!(membership.is_settled());
        assert!(membership.is_joined(&id("a")) && !membership.is_joined(&id("b")));
        assert_eq!(membership.next_wakeup().unwrap().at, at(3));
        membership.on_down();
        assert_eq!(membership.next_wakeup(), None);
        assert_eq!(
            membership.on_join_answer(at(3), &id("b"), Ok(ack())),
            Joined::Stale
        );
        membership.on_up(at(4));
        assert!(membership.listing_due(at(4)));
        assert_eq!(membership.join_due(at(4)), Some(id("a")));
    }

    #[test]
    fn before_a_connection_it_is_the_same_at_every_moment() {
        let membership = Membership::new(Duration::from_secs(60));
        assert_eq!(
            canonical_hash(&membership, at(0)),
            canonical_hash(&membership, at(9))
        );
    }

    #[test]
    fn a_failed_join_is_tried_again_after_1_2_4_and_at_most_30_seconds() {
        let mut membership = up_with(&["a"]);
        let mut now = at(1);
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(membership.join_due(now), Some(id("a")));
            membership.on_join_answer(now, &id("a"), Err("no".into()));
            now = now + Duration::from_secs(wait);
            assert_eq!(membership.join_due(now - Duration::from_micros(1)), None);
        }
    }

    #[test]
    fn an_old_listing_does_not_bring_back_a_channel_that_was_left() {
        let mut membership = up_with(&["a", "b"]);
        assert!(membership.listing_due(at(61)));
        membership.on_listing_asked();
        assert!(membership.on_left_push(&id("a")));
        assert!(membership.on_joined_push(at(61), &id("c"), MOST));
        let changes = membership.on_listing(at(62), &listed(&["a", "b"]), &[], MOST);
        assert_eq!(changes, Changes::default());
        assert!(!membership.contains(&id("a")) && membership.contains(&id("c")));
        assert!(membership.listing_due(at(122)));
        membership.on_listing_asked();
        let changes = membership.on_listing(at(122), &listed(&["a", "b"]), &[], MOST);
        assert_eq!(
            changes,
            Changes {
                joined: vec![id("a")],
                left: vec![id("c")]
            }
        );
    }

    #[test]
    fn a_listing_from_before_the_connection_does_not_settle_it() {
        let mut membership = up_with(&["a"]);
        assert!(membership.listing_due(at(61)));
        membership.on_listing_asked();
        membership.on_down();
        membership.on_up(at(62));
        assert_eq!(
            membership.on_listing(at(63), &listed(&[]), &[], MOST),
            Changes::default()
        );
        assert!(membership.contains(&id("a")));
        assert!(membership.listing_due(at(63)));
        membership.on_listing_asked();
        assert_eq!(
            membership.on_listing(at(64), &listed(&[]), &[], MOST).left,
            vec![id("a")]
        );
        assert!(membership.is_settled());
    }

    #[test]
    fn refusals_lead_to_a_listing_and_expiry_is_told() {
        let mut membership = up_with(&["a"]);
        membership.join_due(at(1));
        let refused = JoinAck {
            ok: false,
            last_seq: None,
            error: Some(AckError::Forbidden),
        };
        membership.on_join_answer(at(1), &id("a"), Ok(refused));
        assert!(membership.listing_due(at(2)));
        membership.join_due(at(2));
        let expired = JoinAck {
            ok: false,
            last_seq: None,
            error: Some(AckError::TokenExpired),
        };
        let answer = membership.on_join_answer(at(2), &id("a"), Ok(expired));
        assert!(matches!(
            answer,
            Joined::Failed {
                token_expired: true,
                ..
            }
        ));
    }

    #[test]
    fn refusals_do_not_hurry_listings_that_fail() {
        let mut membership = up_with(&["a"]);
        for _ in 0..3 {
            membership.on_listing_failed(at(61), None);
        }
        membership.relist(at(61));
        assert!(!membership.listing_due(at(64)));
        assert!(membership.listing_due(at(65)));
    }

    #[test]
    fn thousands_of_joins_go_out_a_few_at_a_time() {
        let mut membership = Membership::new(Duration::from_secs(60));
        membership.on_up(at(1));
        membership.on_listing_asked();
        let ids: Vec<_> = (0..1_000).map(|n| alloc::format!("c{n:04}")).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        membership.on_listing(at(1), &listed(&ids), &[], 900);
        assert_eq!(membership.len(), 900);
        let mut sent = Vec::new();
        while let Some(channel) = membership.join_due(at(1)) {
            sent.push(channel);
        }
        assert_eq!(sent.len(), JOINS_MAX);
        assert!(membership.next_wakeup().unwrap().at > at(1));
        membership.on_join_answer(at(1), &sent[0], Ok(ack()));
        assert!(membership.join_due(at(1)).is_some());
    }
}
