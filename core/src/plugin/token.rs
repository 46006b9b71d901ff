//! The token cache: one session, how fresh it is, and which of its tokens have been refused.

use core::time::Duration;

use crate::{
    canonical,
    fabric::center::{Grant, Session},
    id::GuildId,
    time::Time,
};

/// Names one session of the cache, so that a refusal hits the session that the token came from and
/// not a newer one.
pub type SessionNumber = u64;

/// A token must have more of its life left than this, or than a fifth of it.
const MARGIN: Duration = Duration::from_secs(60);

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
    number: SessionNumber,
    sent_at: Time,
    answered_at: Time,
    stale: bool,
}
canonical!(struct Cached { session, sent_at, answered_at, stale; - number });

/// What the cache has for a guild.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cache<'a> {
    /// A token that is fresh, and the session it comes from.
    Fresh(&'a Grant, SessionNumber),
    /// A fresh session in which the guild is missing.
    Missing(SessionNumber),
    /// A fresh session whose token for the guild has too little of its life left.
    Spent(SessionNumber),
    /// Nothing that may be used: log in.
    Stale,
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
        self.next += 1;
        self.session = Some(Cached {
            session,
            number,
            sent_at,
            answered_at: now,
            stale: false,
        });
    }

    /// What may be used for `guild` at `now`.
    pub fn fresh(&self, now: Time, guild: &GuildId) -> Cache<'_> {
        let Some(cached) = self
            .session
            .as_ref()
            .filter(|cached| self.is_fresh(cached, now))
        else {
            return Cache::Stale;
        };
        let Some(grant) = cached
            .session
            .grants
            .iter()
            .find(|grant| grant.guild_id == *guild)
        else {
            return Cache::Missing(cached.number);
        };
        let left = grant.life.saturating_sub(now.since(cached.sent_at));
        if left > MARGIN.min(grant.life / 5) {
            Cache::Fresh(grant, cached.number)
        } else {
            Cache::Spent(cached.number)
        }
    }

    /// A token of that session was refused: the next use logs in.
    pub fn invalidate(&mut self, number: SessionNumber) {
        if let Some(cached) = self
            .session
            .as_mut()
            .filter(|cached| cached.number == number)
        {
            cached.stale = true;
        }
    }

    /// The last session whatever its age, without a login.
    pub fn peek(&self) -> Option<&Session> {
        self.session.as_ref().map(|cached| &cached.session)
    }

    fn is_fresh(&self, cached: &Cached, now: Time) -> bool {
        !cached.stale && now.since(cached.answered_at) < self.ttl
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{
        fabric::center::User,
        id::{NodeId, UserId},
        secret::Secret,
    };

    const MINUTE: Duration = Duration::from_secs(60);

    fn session(token: &str, life: Duration) -> Session {
        Session {
            user: User {
                id: UserId::new("u").unwrap(),
                name: "u".into(),
            },
            grants: vec![Grant {
                node_id: NodeId::new("n").unwrap(),
                guild_id: GuildId::new("g").unwrap(),
                base_url: None,
                token: Secret::new(token),
                life,
            }],
        }
    }

    fn token(cache: &TokenCache, now: Time) -> Option<&str> {
        match cache.fresh(now, &GuildId::new("g").unwrap()) {
            Cache::Fresh(grant, _) => Some(grant.token.expose()),
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
        let Cache::Fresh(_, first) = cache.fresh(start, &guild) else {
            panic!()
        };
        cache.invalidate(first);
        assert_eq!(cache.fresh(start, &guild), Cache::Stale);
        cache.on_session(start, start, session("b", 15 * MINUTE));
        cache.invalidate(first);
        assert_eq!(token(&cache, start), Some("b"));
        assert!(matches!(
            cache.fresh(start, &GuildId::new("h").unwrap()),
            Cache::Missing(1)
        ));
    }
}
