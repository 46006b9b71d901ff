//! An account: its token cache, the one login under way, and who the account is.

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
};
use core::time::Duration;

use crate::{
    canonical,
    fabric::center::Session,
    id::{GuildId, UserId},
    link::backoff::Bucket,
    machine::{Wakeup, earliest},
    plugin::{
        defect::{Defect, Planted},
        io::{Login, LoginFailure},
        token::{Cache, Life, SessionNumber, TokenCache, TokenNumber},
    },
    request::{RequestId, Requests},
    secret::Secret,
    time::Time,
};

/// How many logins an account can make at once, before the refill limits them.
const LOGINS: u32 = 6;
/// How often one more login may be made.
const LOGINS_REFILL: Duration = Duration::from_secs(10);

/// How long after a refusal of the account itself the next login is made, whoever asks: only a change
/// of the configuration mends that.
const DENIED_WAIT: Duration = Duration::from_secs(30);

/// Serves tokens to the links and requests of one agent, and says when to log in for them.
///
/// [`token`](Self::token) either has one, or notes that one is wanted; the owner then asks
/// [`login_due`](Self::login_due), and tells everybody who waits when the login has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    cache: TokenCache,
    user: Option<UserId>,
    logins: Requests<Login, Option<Time>>,
    patience: Duration,
    bucket: Bucket,
    wanted: bool,
    not_before: Option<Time>,
    /// Guilds that found no token of use in a session, and wait for a newer one; and whether they were
    /// missing there. The session stays good for all others. Who needs a later token than the others
    /// waits for itself.
    lacking: BTreeMap<(GuildId, bool), (SessionNumber, bool)>,
    refused: bool,
    planted: Planted,
}
canonical!(struct Account {
    cache, user, logins, bucket, wanted, not_before, refused; - patience, lacking, planted
});

/// What [`Account::token`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A token to use now.
    Fresh {
        /// The token.
        token: Secret,
        /// The node's origin, where Center tells it.
        origin: Option<String>,
        /// How long it lives.
        life: Life,
        /// To be named when the token is refused.
        number: TokenNumber,
    },
    /// Wait until a login has ended.
    Wait,
    /// A new session lacks the guild too: the account has no access to it.
    NoAccess,
    /// The token of a new session is of no use either.
    Dead,
}

/// What a login's answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginEnd {
    /// It was not asked for (any more).
    Unknown,
    /// There is a new session.
    Session,
    /// The session belongs to another account than before: the agent must stop.
    OtherAccount {
        /// The account it had.
        before: UserId,
        /// The account that Center answered.
        after: UserId,
    },
    /// There is none.
    Failed {
        /// Why, in words.
        why: String,
        /// The account itself is at fault: trying again soon is of no use.
        denied: bool,
        /// It was not said before.
        news: bool,
    },
}

impl Account {
    /// An account of which no more is known than `user`, where a login has told that before.
    pub fn new(
        session_ttl: Duration,
        patience: Duration,
        user: Option<UserId>,
        planted: Planted,
    ) -> Self {
        Self {
            cache: TokenCache::new(session_ttl),
            user,
            logins: Requests::default(),
            patience,
            bucket: Bucket::new(LOGINS, LOGINS_REFILL),
            wanted: false,
            not_before: None,
            lacking: BTreeMap::new(),
            refused: false,
            planted,
        }
    }

    /// Who the account is, once a login has told. It is never forgotten.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The last session whatever its age.
    pub fn peek(&self) -> Option<&Session> {
        self.cache.peek()
    }

    /// Asks for a session even though no token is wanted yet: at the start.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// A token for `guild` that dies later than `beyond`, or what to do without.
    pub fn token(&mut self, now: Time, guild: &GuildId, beyond: Option<Time>) -> Token {
        if self.planted.is(Defect::ReusesFirstToken)
            && let Some(session) = self.cache.peek()
            && let Some(grant) = session.grants.iter().find(|grant| grant.guild_id == *guild)
        {
            return Token::Fresh {
                token: grant.token.clone(),
                origin: grant.base_url.clone(),
                life: Life {
                    since: now,
                    span: grant.life,
                },
                number: 0,
            };
        }
        let asker = || (guild.clone(), beyond.is_some());
        match self.cache.fresh(now, guild, beyond) {
            Cache::Fresh(grant, life, number) => {
                let fresh = Token::Fresh {
                    token: grant.token.clone(),
                    origin: grant.base_url.clone(),
                    life,
                    number,
                };
                self.lacking.remove(&asker());
                fresh
            }
            Cache::Missing(_) if self.planted.is(Defect::TrustsPartialSessions) => Token::NoAccess,
            Cache::Missing(session) => self.lacks(asker(), session, Token::NoAccess),
            Cache::Spent(session) => self.lacks(asker(), session, Token::Dead),
            Cache::Stale => {
                self.wanted = true;
                Token::Wait
            }
        }
    }

    /// Logs in once more for a guild; where that was done already, this is how it ends. That its token
    /// was spent before says nothing of a guild that is missing now.
    fn lacks(&mut self, asker: (GuildId, bool), session: SessionNumber, end: Token) -> Token {
        let missing = end == Token::NoAccess;
        match self.lacking.remove(&asker) {
            Some((before, was_missing)) if before != session && (was_missing || !missing) => end,
            Some(_) | None => {
                self.lacking.insert(asker, (session, missing));
                self.wanted = true;
                Token::Wait
            }
        }
    }

    /// That token was refused: whatever goes to its guild waits for another session.
    pub fn invalidate(&mut self, token: TokenNumber) {
        self.cache.invalidate(token);
    }

    /// The login to send now, if one is wanted, none is under way and the bucket has a permit.
    pub fn login_due(&mut self, now: Time) -> Option<RequestId<Login>> {
        let shares = !self.logins.is_empty() && !self.planted.is(Defect::LogsInTwice);
        if !self.wanted || shares || self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        match self.bucket.take(now) {
            Ok(()) => {
                self.not_before = None;
                self.wanted = false;
                Some(self.logins.ask(now, None, None))
            }
            Err(at) => {
                self.not_before = Some(at);
                None
            }
        }
    }

    /// The gate has let a login through: its patience begins.
    pub fn on_admitted(&mut self, now: Time, id: RequestId<Login>) {
        if self.logins.purpose(id) != Some(&None) {
            return;
        }
        self.logins.set_purpose(id, Some(now));
        self.logins.wait(now, id, self.patience);
    }

    /// Center's answer.
    pub fn on_login(
        &mut self,
        now: Time,
        id: RequestId<Login>,
        answer: Result<Session, LoginFailure>,
    ) -> LoginEnd {
        let Some(sent_at) = self.logins.answer(id) else {
            return LoginEnd::Unknown;
        };
        // Whoever asked meanwhile waits for this end, and asks again where it does not serve them.
        self.wanted = false;
        match answer {
            Ok(session) => self.on_session(now, sent_at.unwrap_or(now), session),
            Err(LoginFailure::Refused { status, message }) => {
                let denied = matches!(status, 401 | 403);
                let news = !denied || !self.refused;
                self.refused = denied;
                if denied {
                    self.not_before = Some(now + DENIED_WAIT);
                }
                let why = if denied {
                    alloc::format!(
                        "Center refused the account ({status}: {message}); check its key or \
                         password in the configuration"
                    )
                } else if matches!(status, 300..=399 | 404 | 405) {
                    alloc::format!(
                        "Center answered {status}: {message}; check that [center] url is a Fabric Center, \
                         without /api"
                    )
                } else {
                    alloc::format!("Center answered {status}: {message}")
                };
                LoginEnd::Failed { why, denied, news }
            }
            Err(LoginFailure::Unavailable(why)) => LoginEnd::Failed {
                why,
                denied: false,
                news: true,
            },
        }
    }

    fn on_session(&mut self, now: Time, sent_at: Time, session: Session) -> LoginEnd {
        let after = &session.user.id;
        if let Some(before) = self.user.as_ref().filter(|before| *before != after) {
            return LoginEnd::OtherAccount {
                before: before.clone(),
                after: after.clone(),
            };
        }
        self.user = Some(after.clone());
        self.refused = false;
        let keeps_first = self.planted.is(Defect::ReusesFirstToken) && self.peek().is_some();
        if !keeps_first {
            self.cache.on_session(sent_at, now, session);
        }
        LoginEnd::Session
    }

    /// A login whose patience has run out.
    pub fn expire(&mut self, now: Time) -> Option<(RequestId<Login>, LoginEnd)> {
        let (id, _) = self.logins.expire(now)?;
        self.wanted = false;
        let why = "Center did not answer the login in time".to_string();
        Some((
            id,
            LoginEnd::Failed {
                why,
                denied: false,
                news: true,
            },
        ))
    }

    /// Gives the login under way up.
    pub fn withdraw(&mut self) -> Option<RequestId<Login>> {
        self.wanted = false;
        self.logins.withdraw(|_| true).map(|(id, _)| id)
    }

    /// When there is something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        let due = (self.wanted && self.logins.is_empty()).then(|| Wakeup {
            at: self.not_before.unwrap_or(Time::ZERO),
            why: "login due",
        });
        earliest([self.logins.next_wakeup("login timeout"), due])
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{
        fabric::center::{Grant, User},
        id::NodeId,
    };

    #[test]
    fn a_guild_that_is_missing_where_its_token_was_spent_is_looked_for_once_more() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let guild = GuildId::new("g").unwrap();
        let (ttl, patience) = (Duration::from_secs(480), Duration::from_secs(10));
        let mut account = Account::new(ttl, patience, None, Planted::default());
        let session = |grants| Session {
            user: User {
                id: UserId::new("u").unwrap(),
                name: "u".into(),
            },
            grants,
        };
        let grant = Grant {
            node_id: NodeId::new("n").unwrap(),
            guild_id: guild.clone(),
            base_url: None,
            token: Secret::new("t"),
            life: Duration::from_secs(100),
        };
        let log_in = |account: &mut Account, now, grants| {
            let login = account.login_due(now).unwrap();
            account.on_login(now, login, Ok(session(grants)));
        };
        assert_eq!(account.token(at(1), &guild, None), Token::Wait);
        log_in(&mut account, at(1), vec![grant]);
        assert_eq!(account.token(at(95), &guild, None), Token::Wait, "spent");
        log_in(&mut account, at(95), vec![]);
        assert_eq!(account.token(at(95), &guild, None), Token::Wait, "missing");
        log_in(&mut account, at(95), vec![]);
        assert_eq!(account.token(at(95), &guild, None), Token::NoAccess);
    }

    /// The gate may hold a login back for long, and Center is given its time all the same.
    #[test]
    fn the_patience_of_a_login_runs_from_its_admission() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let (ttl, patience) = (Duration::from_secs(480), Duration::from_secs(10));
        let mut account = Account::new(ttl, patience, None, Planted::default());
        account.want();
        let login = account.login_due(at(1)).unwrap();
        assert_eq!(account.expire(at(100)), None);
        assert_eq!(account.next_wakeup(), None);
        account.on_admitted(at(100), login);
        account.on_admitted(at(105), login);
        assert_eq!(account.next_wakeup().unwrap().at, at(110));
        assert_eq!(account.expire(at(110) - Duration::from_micros(1)), None);
        assert!(matches!(account.expire(at(110)), Some((id, _)) if id == login));
    }

    #[test]
    fn an_account_makes_six_logins_at_once_and_one_every_ten_seconds() {
        let at = |seconds| Time::ZERO + Duration::from_secs(seconds);
        let (ttl, patience) = (Duration::from_secs(480), Duration::from_secs(10));
        let mut account = Account::new(ttl, patience, None, Planted::default());
        let mut made = 0;
        for second in 0..100 {
            account.want();
            while let Some(login) = account.login_due(at(second)) {
                made += 1;
                let failed = LoginFailure::Unavailable(String::new());
                account.on_login(at(second), login, Err(failed));
                account.want();
            }
            let most = 6 + second / 10;
            assert_eq!(made, most, "after {second} s");
        }
    }
}
