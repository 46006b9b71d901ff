//! Who a token belongs to: Center's answers, remembered for a short while, and who waits for them.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::time::Duration;

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::{center::Introspection, types::Author},
    guild::{
        config::Config,
        io::{Introspect, Unavailable},
    },
    id::GuildId,
    machine::Wakeup,
    request::{RequestId, Requests},
    secret::Secret,
    time::{Time, Wall},
};

/// How long a guild that is deaf on expired tokens knows whose an expired token was.
const EXPIRED_REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest name that is taken from Center, in Unicode scalar values: it is in every membership
/// and every message.
const NAME_CHARS_MAX: usize = 128;

/// Whose a good token is, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub author: Author,
    /// When the token dies; `None` where Center does not say.
    pub expires_at: Option<Wall>,
}
canonical!(struct Identity { author, expires_at });

impl Identity {
    /// Whether the token is dead by the wall clock.
    pub fn expired(&self, wall: Wall) -> bool {
        self.expires_at.is_some_and(|at| at <= wall)
    }
}

/// What is known about a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is good here.
    Good(Identity),
    /// It is not: unknown, expired, or for something else.
    Dead,
    /// Center could not be asked, and nothing was known before.
    Unavailable,
}

/// What came of [`Auth::ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<W> {
    /// The verdict is known; the waiter is given back.
    Known(Verdict, W),
    /// Center has to be asked; the waiter waits.
    Ask(RequestId<Introspect>),
    /// Center was asked already; the waiter waits.
    Waits,
    /// Too many wait for this token.
    TokenBusy(W),
    /// Too many tokens are being asked about.
    Busy(W),
}

/// The tokens that are known, and who waits for which. Drive it with [`ask`](Self::ask), hand it
/// Center's answers with [`answer`](Self::answer), and call [`expire`](Self::expire) until `None`
/// when [`next_wakeup`](Self::next_wakeup) has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth<W> {
    good: BTreeMap<Secret, Good>,
    good_until: Deadlines<Secret>,
    dead: Deadlines<Secret>,
    dead_tokens: BTreeMap<Secret, Time>,
    asked: Requests<Introspect, Secret>,
    waiting: BTreeMap<Secret, Vec<W>>,
}
canonical!(struct Auth[W] {
    good, good_until, dead, dead_tokens, asked, waiting,
});

#[derive(Clone, Debug, PartialEq, Eq)]
struct Good {
    identity: Identity,
    fresh_until: Time,
}
canonical!(struct Good { identity, fresh_until });

/// A verdict, and everybody who waited for it, in the order in which they came.
pub type Judged<W> = (Secret, Verdict, Vec<W>);

impl<W> Default for Auth<W> {
    fn default() -> Self {
        Self {
            good: BTreeMap::new(),
            good_until: Deadlines::default(),
            dead: Deadlines::default(),
            dead_tokens: BTreeMap::new(),
            asked: Requests::default(),
            waiting: BTreeMap::new(),
        }
    }
}

impl<W> Auth<W> {
    /// Judges a token at once, or has the waiter wait for Center.
    pub fn ask(
        &mut self,
        now: Time,
        wall: Wall,
        config: &Config,
        token: &Secret,
        waiter: W,
    ) -> Asked<W> {
        let limits = &config.limits;
        if let Some(waiting) = self.waiting.get_mut(token) {
            if waiting.len() >= limits.calls_per_user_max {
                return Asked::TokenBusy(waiter);
            }
            waiting.push(waiter);
            return Asked::Waits;
        }
        if self
            .dead_tokens
            .get(token)
            .is_some_and(|until| now < *until)
        {
            return Asked::Known(Verdict::Dead, waiter);
        }
        match self.good.get(token) {
            Some(good) if good.identity.expired(wall) => {
                return Asked::Known(Verdict::Dead, waiter);
            }
            Some(good) if now < good.fresh_until => {
                return Asked::Known(Verdict::Good(good.identity.clone()), waiter);
            }
            Some(_) | None => {}
        }
        if self.asked.len() >= limits.introspections_max {
            return Asked::Busy(waiter);
        }
        self.waiting.insert(token.clone(), alloc::vec![waiter]);
        let patience = Some(limits.introspection_patience);
        Asked::Ask(self.asked.ask(now, patience, token.clone()))
    }

    /// Takes Center's answer; `None` where the question is not open.
    pub fn answer(
        &mut self,
        now: Time,
        wall: Wall,
        config: &Config,
        id: RequestId<Introspect>,
        answer: Result<Introspection, Unavailable>,
    ) -> Option<Judged<W>> {
        let token = self.asked.answer(id)?;
        let verdict = match answer {
            Ok(answer) => self.judge(now, wall, config, &token, answer),
            Err(Unavailable(_)) => self.unheard(now, wall, config, &token),
        };
        let waiting = self.waiting.remove(&token).unwrap_or_default();
        Some((token, verdict, waiting))
    }

    /// Gives up one question that Center did not answer in time, and forgets tokens that are of no
    /// use any more.
    pub fn expire(
        &mut self,
        now: Time,
        wall: Wall,
        config: &Config,
    ) -> Option<(RequestId<Introspect>, Judged<W>)> {
        while let Some(token) = self.good_until.pop_due(now) {
            self.good.remove(&token);
        }
        while let Some(token) = self.dead.pop_due(now) {
            self.dead_tokens.remove(&token);
        }
        let (id, token) = self.asked.expire(now)?;
        let verdict = self.unheard(now, wall, config, &token);
        let waiting = self.waiting.remove(&token).unwrap_or_default();
        Some((id, (token, verdict, waiting)))
    }

    /// Closes every question.
    pub fn withdraw(&mut self) -> Option<RequestId<Introspect>> {
        let (id, token) = self.asked.withdraw(|_| true)?;
        self.waiting.remove(&token);
        Some(id)
    }

    /// Whose a token was, also after it has expired, as far as it is still known.
    pub fn remembered(&self, token: &Secret) -> Option<&Identity> {
        self.good.get(token).map(|good| &good.identity)
    }

    /// When [`expire`](Self::expire) has something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        let forget = |at| Wakeup {
            at,
            why: "forget a token",
        };
        crate::machine::earliest([
            self.asked.next_wakeup("introspection"),
            self.good_until.earliest().map(forget),
            self.dead.earliest().map(forget),
        ])
    }

    fn judge(
        &mut self,
        now: Time,
        wall: Wall,
        config: &Config,
        token: &Secret,
        answer: Introspection,
    ) -> Verdict {
        let fresh_until = now + config.limits.introspection_life;
        let Some(identity) = good_here(&config.guild_id, wall, answer) else {
            if !config.deaf_on_expired_token {
                self.good.remove(token);
                self.good_until.set(token.clone(), None);
            }
            make_room(
                &mut self.dead,
                config.limits.tokens_max,
                &mut self.dead_tokens,
            );
            self.dead_tokens.insert(token.clone(), fresh_until);
            self.dead.set(token.clone(), Some(fresh_until));
            return Verdict::Dead;
        };
        let until = match identity.expires_at {
            // Nothing says how long it would be good without Center.
            None => fresh_until,
            Some(at) if config.deaf_on_expired_token => now + at.since(wall) + EXPIRED_REMEMBERED,
            Some(at) => now + at.since(wall),
        };
        if !self.good.contains_key(token) {
            make_room(
                &mut self.good_until,
                config.limits.tokens_max,
                &mut self.good,
            );
        }
        let good = Good {
            identity: identity.clone(),
            fresh_until,
        };
        self.good.insert(token.clone(), good);
        self.good_until.set(token.clone(), Some(until));
        Verdict::Good(identity)
    }

    /// Center could not be asked: a token that was good goes on until it expires.
    fn unheard(&mut self, now: Time, wall: Wall, config: &Config, token: &Secret) -> Verdict {
        match self.good.get_mut(token) {
            Some(good) if !good.identity.expired(wall) => {
                good.fresh_until = now + config.limits.introspection_pause;
                Verdict::Good(good.identity.clone())
            }
            Some(_) => Verdict::Dead,
            None => Verdict::Unavailable,
        }
    }
}

/// The identity in Center's answer, where the token is good in this guild.
fn good_here(guild: &GuildId, wall: Wall, answer: Introspection) -> Option<Identity> {
    let Introspection {
        active,
        user_id,
        name,
        guild_id,
        expires_at,
    } = answer;
    if !active || guild_id.as_ref() != Some(guild) {
        return None;
    }
    let id = user_id?;
    let name = name.map_or_else(
        || String::from(id.as_str()),
        |name| name.chars().take(NAME_CHARS_MAX).collect(),
    );
    let identity = Identity {
        author: Author { id, name },
        expires_at,
    };
    (!identity.expired(wall)).then_some(identity)
}

/// Forgets what would be forgotten soonest until there is room for one more.
fn make_room<V>(until: &mut Deadlines<Secret>, max: usize, tokens: &mut BTreeMap<Secret, V>) {
    while tokens.len() >= max
        && let Some(at) = until.earliest()
        && let Some(token) = until.pop_due(at)
    {
        tokens.remove(&token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{NodeId, UserId};

    struct World {
        auth: Auth<u32>,
        config: Config,
        now: Time,
    }

    const START: i64 = 1_000_000;

    fn good(expires_in: u64) -> Result<Introspection, Unavailable> {
        Ok(Introspection {
            active: true,
            user_id: UserId::new("u"),
            name: Some("Ann".into()),
            guild_id: GuildId::new("g"),
            expires_at: Some(Wall::from_millis(START) + Duration::from_secs(expires_in)),
        })
    }

    fn dead() -> Result<Introspection, Unavailable> {
        Ok(Introspection {
            active: false,
            user_id: None,
            name: None,
            guild_id: None,
            expires_at: None,
        })
    }

    fn down() -> Result<Introspection, Unavailable> {
        Err(Unavailable("down".into()))
    }

    impl World {
        fn new() -> Self {
            let config = Config::new(NodeId::new("n").unwrap(), GuildId::new("g").unwrap());
            Self {
                auth: Auth::default(),
                config,
                now: Time::ZERO,
            }
        }

        fn wall(&self) -> Wall {
            Wall::from_millis(START) + self.now.since(Time::ZERO)
        }

        fn ask(&mut self, token: &str) -> Asked<u32> {
            let wall = self.wall();
            let token = Secret::new(token);
            self.auth.ask(self.now, wall, &self.config, &token, 1)
        }

        fn answer(
            &mut self,
            asked: Asked<u32>,
            answer: Result<Introspection, Unavailable>,
        ) -> (Verdict, usize) {
            let Asked::Ask(id) = asked else {
                panic!("not asked: {asked:?}");
            };
            let wall = self.wall();
            let (_, verdict, waiting) = self
                .auth
                .answer(self.now, wall, &self.config, id, answer)
                .unwrap();
            (verdict, waiting.len())
        }

        fn pass(&mut self, seconds: u64) {
            self.now = self.now + Duration::from_secs(seconds);
            let wall = self.wall();
            assert_eq!(self.auth.expire(self.now, wall, &self.config), None);
        }
    }

    fn known_good(asked: &Asked<u32>) -> bool {
        matches!(asked, Asked::Known(Verdict::Good(_), 1))
    }

    fn known_dead(asked: &Asked<u32>) -> bool {
        matches!(asked, Asked::Known(Verdict::Dead, 1))
    }

    #[test]
    fn center_is_asked_once_a_minute_and_once_for_all_who_wait() {
        let mut world = World::new();
        let asked = world.ask("t");
        assert_eq!(world.ask("t"), Asked::Waits);
        let (verdict, waiting) = world.answer(asked, good(900));
        assert!(matches!(verdict, Verdict::Good(_)));
        assert_eq!(waiting, 2);
        world.pass(59);
        assert!(known_good(&world.ask("t")));
        world.pass(1);
        let asked = world.ask("t");
        assert_eq!(world.answer(asked, dead()).0, Verdict::Dead);
        assert!(known_dead(&world.ask("t")));
        world.pass(60);
        assert!(matches!(world.ask("t"), Asked::Ask(_)));
    }

    #[test]
    fn while_center_is_down_known_tokens_go_on_until_they_expire() {
        let mut world = World::new();
        let asked = world.ask("t");
        world.answer(asked, good(100));
        world.pass(60);
        let asked = world.ask("t");
        assert!(matches!(world.answer(asked, down()).0, Verdict::Good(_)));
        assert!(known_good(&world.ask("t")));
        world.pass(5);
        let asked = world.ask("t");
        assert!(matches!(world.answer(asked, down()).0, Verdict::Good(_)));
        let asked = world.ask("new");
        assert_eq!(world.answer(asked, down()).0, Verdict::Unavailable);
        world.pass(35);
        assert_eq!(world.auth.good.len(), 0);
        let asked = world.ask("t");
        assert_eq!(world.answer(asked, down()).0, Verdict::Unavailable);
    }

    #[test]
    fn a_token_for_something_else_is_dead_here() {
        let mut world = World::new();
        let with = |change: fn(&mut Introspection)| {
            let mut answer = good(900).unwrap();
            change(&mut answer);
            Ok(answer)
        };
        for (token, answer) in [
            ("user's own", with(|answer| answer.guild_id = None)),
            (
                "another guild's",
                with(|answer| answer.guild_id = GuildId::new("h")),
            ),
            ("nobody's", with(|answer| answer.user_id = None)),
            ("late", good(0)),
        ] {
            let asked = world.ask(token);
            assert_eq!(world.answer(asked, answer).0, Verdict::Dead, "{token}");
            assert!(known_dead(&world.ask(token)));
        }
    }

    #[test]
    fn patience_and_room_have_ends() {
        let mut world = World::new();
        world.config.limits.introspections_max = 2;
        world.config.limits.calls_per_user_max = 2;
        world.config.limits.tokens_max = 2;
        let (a, b) = (world.ask("a"), world.ask("b"));
        assert_eq!(world.ask("c"), Asked::Busy(1));
        assert_eq!(world.ask("a"), Asked::Waits);
        assert_eq!(world.ask("a"), Asked::TokenBusy(1));
        world.answer(a, good(900));
        world.answer(b, good(800));
        let c = world.ask("c");
        world.answer(c, good(700));
        assert!(known_good(&world.ask("a")) && known_good(&world.ask("c")));
        let Asked::Ask(b) = world.ask("b") else {
            panic!("the token that would be forgotten soonest makes room");
        };
        world.now = world.now + Duration::from_secs(5);
        let wall = world.wall();
        let (id, (_, verdict, waiting)) =
            world.auth.expire(world.now, wall, &world.config).unwrap();
        assert_eq!((id, verdict, waiting.len()), (b, Verdict::Unavailable, 1));
        let late = world
            .auth
            .answer(world.now, wall, &world.config, b, good(900));
        assert_eq!(late, None);
    }

    #[test]
    fn a_deaf_guild_remembers_whose_an_expired_token_was() {
        let mut world = World::new();
        world.config.deaf_on_expired_token = true;
        let asked = world.ask("t");
        world.answer(asked, good(100));
        world.pass(100);
        assert!(known_dead(&world.ask("t")));
        assert!(world.auth.remembered(&Secret::new("t")).is_some());
        world.pass(24 * 60 * 60);
        assert!(world.auth.remembered(&Secret::new("t")).is_none());
    }
}
