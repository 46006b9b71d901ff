//! The token cache: one session, how fresh it is, and which of its tokens have been refused.

use alloc::collections::BTreeSet;
use core::time::Duration;

use crate::{
    canonical,
    fabric::center::{Grant, Session},
    id::GuildId,
    time::Time,
};

/// Names one session of the cache.
pub type SessionNumber = u64;
/// Names one token of one session, so that a refusal hits that token: none of a newer session, and none
/// of another guild, which may be in order while this one is not.
pub type TokenNumber = u64;

/// A token must have more of its life left than this, or than a fifth of it.
const MARGIN: Duration = Duration::from_secs(60);

/// A token that is said to live longer than a century is not taken at its word: moments are numbers
/// with an end.
const LIFE_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The session of one account.
///
/// It never serves a token that is past its time: [`fresh`](Self::fresh) then says so, and the
/// owner logs in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCache {
    ttl: Duration,
    session: Option<Cached>,
    next: SessionNumber,
}
canonical!(struct TokenCache { session; - ttl, next });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cached {
    session: Session,
    /// The numbers of its tokens follow, in order.
    number: SessionNumber,
    sent_at: Time,
    answered_at: Time,
    /// Which of its tokens were refused, by their place in it.
    refused: BTreeSet<u64>,
}
canonical!(struct Cached { session, sent_at, answered_at, refused; - number });

/// What the cache has for a guild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cache<'a> {
    /// A token that is fresh, how long it lives, and its number.
    Fresh(&'a Grant, Life, TokenNumber),
    /// A fresh session in which the guild is missing.
    Missing(SessionNumber),
    /// A fresh session whose token for the guild has too little of its life left, or does not live
    /// long enough.
    Spent(SessionNumber),
    /// Nothing that may be used: log in.
    Stale,
}

/// The life of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The login that it came from was sent then.
    pub since: Time,
    /// How long it lives from then on.
    pub span: Duration,
}
canonical!(struct Life { since, span });

impl Life {
    /// When the token dies.
    pub fn end(self) -> Time {
        self.since + self.span
    }
}

impl TokenCache {
    /// An empty cache, whose sessions live for `ttl`.
    pub fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            session: None,
            next: 0,
        }
    }

    /// A login, sent at `sent_at`, was answered.
    pub fn on_session(&mut self, sent_at: Time, now: Time, session: Session) {
        let number = self.next;
        self.next += 1 + session.grants.len() as u64;
        self.session = Some(Cached {
            session,
            number,
            sent_at,
            answered_at: now,
            refused: BTreeSet::new(),
        });
    }

    /// What may be used for `guild` at `now`, by an asker who needs a token that dies later than
    /// `beyond`.
    pub fn fresh(&self, now: Time, guild: &GuildId, beyond: Option<Time>) -> Cache<'_> {
        let Some(cached) = self
            .session
            .as_ref()
            .filter(|cached| self.is_fresh(cached, now))
        else {
            return Cache::Stale;
        };
        let mut grants = (0..).zip(&cached.session.grants);
        let Some((place, grant)) = grants.find(|(_, grant)| grant.guild_id == *guild) else {
            return Cache::Missing(cached.number);
        };
        if cached.refused.contains(&place) {
            return Cache::Stale;
        }
        let life = Life {
            since: cached.sent_at,
            span: grant.life.min(LIFE_MAX),
        };
        let left = life.end().since(now);
        let reaches = beyond.is_none_or(|beyond| life.end() > beyond);
        if left > MARGIN.min(life.span / 5) && reaches {
            Cache::Fresh(grant, life, cached.number + 1 + place)
        } else {
            Cache::Spent(cached.number)
        }
    }

    /// That token was refused: its guild's next use logs in.
    pub fn invalidate(&mut self, number: TokenNumber) {
        if let Some(cached) = &mut self.session
            && let Some(place) = number.checked_sub(cached.number + 1)
            && place < cached.session.grants.len() as u64
        {
            cached.refused.insert(place);
        }
    }

    /// The last session whatever its age, without a login.
    pub fn peek(&self) -> Option<&Session> {
        self.session.as_ref().map(|cached| &cached.session)
    }

    fn is_fresh(&self, cached: &Cached, now: Time) -> bool {
        now.since(cached.answered_at) < self.ttl
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fabric::center::User,
        id::{NodeId, UserId},
        secret::Secret,
    };

    const MINUTE: Duration = Duration::from_secs(60);

    fn session(token: &str, life: Duration) -> Session {
        session_of(&["g"], token, life)
    }

    fn session_of(guilds: &[&str], token: &str, life: Duration) -> Session {
        let grant = |guild: &&str| Grant {
            node_id: NodeId::new("n").unwrap(),
            guild_id: GuildId::new(guild).unwrap(),
            base_url: None,
            token: Secret::new(token),
            life,
        };
        Session {
            user: User {
                id: UserId::new("u").unwrap(),
                name: "u".into(),
            },
            grants: guilds.iter().map(grant).collect(),
        }
    }

    fn token(cache: &TokenCache, now: Time) -> Option<&str> {
        match cache.fresh(now, &GuildId::new("g").unwrap(), None) {
            Cache::Fresh(grant, ..) => Some(grant.token.expose()),
            Cache::Missing(_) | Cache::Spent(_) | Cache::Stale => None,
        }
    }

    #[test]
    fn a_session_is_served_for_less_than_eight_minutes() {
        let start = Time::from_millis(1_000);
        let mut cache = TokenCache::new(8 * MINUTE);
        assert_eq!(token(&cache, start), None);
        cache.on_session(start, start, session("a", 15 * MINUTE));
        assert_eq!(
            token(&cache, start + 8 * MINUTE - Duration::from_micros(1)),
            Some("a")
        );
        assert_eq!(token(&cache, start + 8 * MINUTE), None);
        assert!(cache.peek().is_some());
    }

    #[test]
    fn a_token_is_served_while_enough_of_its_life_is_left_since_the_login_was_sent() {
        let start = Time::from_millis(1_000);
        let answered = start + Duration::from_secs(10);
        let mut cache = TokenCache::new(8 * MINUTE);
        cache.on_session(start, answered, session("short", Duration::from_secs(100)));
        assert_eq!(
            token(&cache, start + Duration::from_secs(79)),
            Some("short")
        );
        assert_eq!(token(&cache, start + Duration::from_secs(80)), None);
        cache.on_session(start, answered, session("long", 6 * MINUTE));
        assert_eq!(
            token(&cache, start + Duration::from_secs(299)),
            Some("long")
        );
        assert_eq!(token(&cache, start + Duration::from_secs(300)), None);
    }

    #[test]
    fn a_refusal_of_an_old_token_does_not_throw_the_new_one_away() {
        let start = Time::from_millis(1_000);
        let guild = GuildId::new("g").unwrap();
        let mut cache = TokenCache::new(8 * MINUTE);
        cache.on_session(start, start, session("a", 15 * MINUTE));
        let Cache::Fresh(.., first) = cache.fresh(start, &guild, None) else {
            panic!()
        };
        cache.invalidate(first);
        assert_eq!(cache.fresh(start, &guild, None), Cache::Stale);
        cache.on_session(start, start, session("b", 15 * MINUTE));
        cache.invalidate(first);
        assert_eq!(token(&cache, start), Some("b"));
        assert!(matches!(
            cache.fresh(start, &GuildId::new("h").unwrap(), None),
            Cache::Missing(2)
        ));
    }

    #[test]
    fn a_refusal_of_one_guild_says_nothing_of_the_tokens_of_others() {
        let start = Time::from_millis(1_000);
        let (first, second) = (GuildId::new("f").unwrap(), GuildId::new("g").unwrap());
        let mut cache = TokenCache::new(8 * MINUTE);
        let session = |token| session_of(&["f", "g"], token, 15 * MINUTE);
        cache.on_session(start, start, session("a"));
        let number = |cache: &TokenCache, guild| match cache.fresh(start, guild, None) {
            Cache::Fresh(.., number) => Some(number),
            Cache::Missing(_) | Cache::Spent(_) | Cache::Stale => None,
        };
        let (f, g) = (number(&cache, &first), number(&cache, &second));
        assert_ne!(f, g);
        cache.invalidate(f.unwrap());
        assert_eq!(cache.fresh(start, &first, None), Cache::Stale);
        assert_eq!(number(&cache, &second), g);
        cache.on_session(start, start, session("b"));
        cache.invalidate(g.unwrap());
        assert!(number(&cache, &first) > g);
        assert_eq!(token(&cache, start), Some("b"));
    }

    #[test]
    fn a_token_that_dies_no_later_than_another_is_spent_for_who_needs_a_later_one() {
        let start = Time::from_millis(1_000);
        let guild = GuildId::new("g").unwrap();
        let mut cache = TokenCache::new(8 * MINUTE);
        cache.on_session(start, start, session("a", 15 * MINUTE));
        let end = start + 15 * MINUTE;
        let spent = cache.fresh(start, &guild, Some(end));
        assert!(matches!(spent, Cache::Spent(0)), "{spent:?}");
        let beyond = Some(end - Duration::from_micros(1));
        let fresh = cache.fresh(start, &guild, beyond);
        assert!(matches!(fresh, Cache::Fresh(_, life, 1) if life.end() == end));
        let later = start + Duration::from_micros(1);
        cache.on_session(later, later, session("b", 15 * MINUTE));
        let fresh = cache.fresh(later, &guild, Some(end));
        assert!(matches!(fresh, Cache::Fresh(_, _, 3)), "{fresh:?}");
    }

    #[test]
    fn a_token_without_end_lives_for_a_century() {
        let start = Time::from_millis(1_000);
        let mut cache = TokenCache::new(8 * MINUTE);
        cache.on_session(start, start, session("a", Duration::MAX));
        let fresh = cache.fresh(start, &GuildId::new("g").unwrap(), None);
        assert!(matches!(fresh, Cache::Fresh(_, life, _) if life.span == LIFE_MAX));
    }
}
