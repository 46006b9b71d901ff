//! Membership: which channels the agent is in.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::time::Duration;

use crate::{
    canonical, fabric::types::Channel, id::ChannelId, machine::Wakeup, plugin::joins::retry,
    time::Time,
};

/// The longest wait between two attempts at one listing.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How soon a listing follows what hints at changes: several hints lead to one.
const SOON: Duration = Duration::from_secs(1);

/// How many pushes are remembered while a listing is under way. With more, the listing is thrown
/// away and another one is asked for.
const PUSHED_MAX: usize = 10_000;

/// Which channels there are, by pushes and by numbered listings.
///
/// A push is newer than a listing that was asked for before it came, so an old answer cannot bring
/// a channel back that was left in the meantime. On which connections the channels are joined is
/// another matter: see [`Joins`](super::joins::Joins).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    every: Duration,
    channels: BTreeSet<ChannelId>,
    /// Pushes since the listing under way was asked for: whether the agent was in the channel
    /// afterwards.
    pushed: BTreeMap<ChannelId, bool>,
    listing: Listing,
    /// The listing under way was asked for before the present connection, or more was pushed since
    /// than can be remembered: another one must follow it.
    outdated: bool,
    /// Something hinted at changes while a listing was under way, which may not know of them.
    hinted: bool,
    /// What is known may be wrong, and the listing that will show it has not been answered.
    doubted: bool,
    failures: u32,
    /// Whether a listing has been answered on the present connection.
    listed: bool,
    up: bool,
}
canonical!(struct Membership {
    channels, pushed, listing, outdated, hinted, doubted, failures, listed, up; - every
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

/// What a listing or a push has changed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Changes {
    /// Channels that the agent is in now, and was not.
    pub joined: Vec<ChannelId>,
    /// Channels that it is not in any more.
    pub left: Vec<ChannelId>,
}

impl Membership {
    /// Of nothing, with a listing every `every`.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            channels: BTreeSet::new(),
            pushed: BTreeMap::new(),
            listing: Listing::Unwanted,
            outdated: false,
            hinted: false,
            doubted: false,
            failures: 0,
            listed: false,
            up: false,
        }
    }

    /// Whether the agent is in the channel.
    pub fn contains(&self, channel: &ChannelId) -> bool {
        self.channels.contains(channel)
    }

    /// The channels that the agent is in.
    pub fn channels(&self) -> impl Iterator<Item = &ChannelId> {
        self.channels.iter()
    }

    /// How many channels the agent is in.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether it is in none.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Whether a listing has been answered since the guild was away.
    pub fn has_listed(&self) -> bool {
        self.listed
    }

    /// Whether what is known of memberships can be trusted: it was listed, and nothing has hinted at
    /// changes since.
    pub fn is_certain(&self) -> bool {
        self.listed && !self.doubted
    }

    /// A connection is up, and there was none: list.
    pub fn on_up(&mut self, now: Time) {
        self.up = true;
        self.listed = false;
        match self.listing {
            Listing::Asked => self.outdated = true,
            Listing::Unwanted | Listing::Due(_) | Listing::Blocked => {
                self.listing = Listing::Due(now);
            }
        }
    }

    /// No connection is up any more.
    pub fn on_down(&mut self) {
        self.up = false;
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
        self.hinted = false;
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
        self.doubted = true;
        match self.listing {
            Listing::Due(_) if self.failures > 0 => {}
            Listing::Due(at) => self.listing = Listing::Due(at.min(now + SOON)),
            Listing::Asked => self.hinted = true,
            Listing::Unwanted | Listing::Blocked => {}
        }
    }

    /// The listing under way failed, or the login for it; it is tried again, and not before
    /// `after`, where the guild has asked for that.
    pub fn on_listing_failed(&mut self, now: Time, after: Option<Duration>) {
        let after = after.unwrap_or_default().min(self.every);
        self.listing = Listing::Due(now + retry(self.failures, RETRY_MAX).max(after));
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
        let hinted = core::mem::take(&mut self.hinted);
        self.doubted = hinted;
        self.listing = Listing::Due(now + if hinted { SOON } else { self.every });
        let pushed = core::mem::take(&mut self.pushed);
        let listed = channels.iter().map(|channel| &channel.id);
        let listed: BTreeSet<&ChannelId> = listed.chain(unread).collect();
        let mut changes = Changes::default();
        let gone: Vec<_> = self
            .channels
            .iter()
            .filter(|id| !listed.contains(id) && !pushed.contains_key(id))
            .cloned()
            .collect();
        for channel in gone {
            self.channels.remove(&channel);
            changes.left.push(channel);
        }
        for channel in channels {
            let known = self.contains(&channel.id) || pushed.contains_key(&channel.id);
            if !known && self.channels.len() < most {
                self.channels.insert(channel.id.clone());
                changes.joined.push(channel.id.clone());
            }
        }
        changes
    }

    /// `channel.joined`: whether that is news.
    pub fn on_joined_push(&mut self, channel: &ChannelId, most: usize) -> bool {
        self.note_push(channel, true);
        let has_room = self.channels.len() < most;
        has_room && self.channels.insert(channel.clone())
    }

    /// `channel.left`: whether that is news.
    pub fn on_left_push(&mut self, channel: &ChannelId) -> bool {
        self.note_push(channel, false);
        self.channels.remove(channel)
    }

    /// When there is something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        if !self.up {
            return None;
        }
        match self.listing {
            Listing::Due(at) => Some(Wakeup {
                at,
                why: "listing due",
            }),
            Listing::Unwanted | Listing::Blocked | Listing::Asked => None,
        }
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
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec};

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

    fn up_with(ids: &[&str]) -> Membership {
        let mut membership = Membership::new(Duration::from_secs(60));
        membership.on_up(at(1));
        assert!(membership.listing_due(at(1)));
        membership.on_listing_asked();
        membership.on_listing(at(1), &listed(ids), &[], MOST);
        membership
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
    fn an_old_listing_does_not_bring_back_a_channel_that_was_left() {
        let mut membership = up_with(&["a", "b"]);
        assert!(membership.listing_due(at(61)));
        membership.on_listing_asked();
        assert!(membership.on_left_push(&id("a")));
        assert!(membership.on_joined_push(&id("c"), MOST));
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
        assert!(membership.has_listed());
    }

    #[test]
    fn a_hint_leads_to_a_listing() {
        let mut membership = up_with(&["a"]);
        membership.relist(at(1));
        assert!(membership.listing_due(at(2)));
        membership.on_listing_asked();
        membership.relist(at(2));
        membership.on_listing(at(3), &listed(&["a"]), &[], MOST);
        assert!(membership.listing_due(at(4)), "it was asked before");
        membership.on_listing_asked();
        membership.on_listing(at(4), &listed(&["a"]), &[], MOST);
        assert!(!membership.listing_due(at(5)), "once for each");
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
}
