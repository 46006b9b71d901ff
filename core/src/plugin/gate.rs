//! The wakeup gate: whether a message wakes the agent, is only recorded, or is its own.

use alloc::{collections::BTreeMap, collections::VecDeque};

use crate::{
    canonical,
    fabric::types::{Message, XType},
    id::{MessageId, UserId},
    plugin::config::Config,
    time::Time,
};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It wakes the agent.
    Deliver,
    /// It is kept as context for the next turn.
    Record(Reason),
}

/// Why a message is only recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The guild did not say that this agent must wake.
    NotWoken,
    /// It was deleted before it could be handed over.
    Deleted,
    /// Its author or its channel is not on the allow list.
    NotAllowed,
    /// Its author and the agent keep answering each other.
    Loop,
}

/// Decides on a message that is neither the agent's own nor known.
///
/// In a dm everything wakes, in all other channels only what the guild marks for this agent.
pub fn judge(
    config: &Config,
    guard: &mut LoopGuard,
    now: Time,
    x_type: XType,
    message: &Message,
) -> Verdict {
    let woken = match x_type {
        XType::Dm => true,
        XType::General
        | XType::Work
        | XType::Report
        | XType::Discuss
        | XType::Triage
        | XType::Custom => message.wakeup == Some(true),
    };
    let author = &message.author.id;
    let allowed = config
        .allow_users
        .as_ref()
        .is_none_or(|users| users.contains(author))
        && config
            .allow_channels
            .as_ref()
            .is_none_or(|channels| channels.contains(&message.channel_id));
    if message.deleted_at.is_some() {
        Verdict::Record(Reason::Deleted)
    } else if !woken {
        Verdict::Record(Reason::NotWoken)
    } else if !allowed {
        Verdict::Record(Reason::NotAllowed)
    } else if guard.is_silenced(now, author) {
        Verdict::Record(Reason::Loop)
    } else {
        Verdict::Deliver
    }
}

/// How many authors of one channel are watched. With more of them at once the one that has been
/// quiet for longest is forgotten: a loop has few participants.
const AUTHORS_MAX: usize = 64;

/// How many turns of one channel are remembered until they are answered. A host that does not say when one
/// is over has several at once; with more of them the oldest one counts as not answered.
const UNANSWERED_MAX: usize = 32;

/// Notices in one channel that the agent and an author wake each other without end.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LoopGuard {
    authors: BTreeMap<UserId, Exchange>,
    /// What woke the last turns and who wrote it, until our posts answer them.
    unanswered: VecDeque<(MessageId, UserId)>,
}
canonical!(struct LoopGuard { authors, unanswered });

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Exchange {
    answered: VecDeque<Time>,
    silenced_until: Option<Time>,
}
canonical!(struct Exchange { answered, silenced_until });

impl LoopGuard {
    /// A turn begins that this message woke.
    pub fn on_turn(&mut self, message: &MessageId, author: &UserId) {
        while self.unanswered.len() >= UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((message.clone(), author.clone()));
    }

    /// A post of ours stands that answers this message, or whatever woke the last turn. Gives back whom
    /// that silences.
    pub fn on_post(
        &mut self,
        config: &Config,
        now: Time,
        reply_to: Option<&MessageId>,
    ) -> Option<UserId> {
        let mut open = self.unanswered.iter();
        let answered = open.position(|(message, _)| Some(message) == reply_to);
        let at = answered.or_else(|| self.unanswered.len().checked_sub(1))?;
        // What came before it may still be answered: turns overlap.
        let (_, author) = self.unanswered.remove(at)?;
        self.on_answered(config, now, &author).then_some(author)
    }

    /// A turn that `author` woke was answered by our own post. `true` where this silences it.
    fn on_answered(&mut self, config: &Config, now: Time, author: &UserId) -> bool {
        if !self.authors.contains_key(author) && self.authors.len() >= AUTHORS_MAX {
            let quietest = self
                .authors
                .iter()
                .min_by_key(|(_, exchange)| {
                    let answered = exchange.answered.back().copied();
                    answered.max(exchange.silenced_until)
                })
                .map(|(author, _)| author.clone());
            if let Some(quietest) = quietest {
                self.authors.remove(&quietest);
            }
        }
        let exchange = self.authors.entry(author.clone()).or_default();
        exchange.answered.push_back(now);
        while exchange
            .answered
            .front()
            .is_some_and(|first| now.since(*first) >= config.loop_window)
        {
            exchange.answered.pop_front();
        }
        let looping = exchange.answered.len() > config.loop_turns as usize;
        if looping {
            exchange.answered.clear();
            exchange.silenced_until = Some(now + config.loop_window);
        }
        looping
    }

    fn is_silenced(&self, now: Time, author: &UserId) -> bool {
        self.authors
            .get(author)
            .and_then(|exchange| exchange.silenced_until)
            .is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};
    use core::time::Duration;

    use super::*;
    use crate::{
        fabric::types::Author,
        id::{AgentId, ChannelId},
        plugin::samples,
        time::Wall,
    };

    fn message(wakeup: Option<bool>) -> Message {
        Message {
            author: Author {
                id: user("alice"),
                name: String::new(),
            },
            wakeup,
            ..samples::message(1)
        }
    }

    fn user(id: &str) -> UserId {
        UserId::new(id).unwrap()
    }

    fn config() -> Config {
        Config::new(AgentId::new("echo").unwrap())
    }

    fn verdict(config: &Config, x_type: XType, message: &Message) -> Verdict {
        judge(
            config,
            &mut LoopGuard::default(),
            Time::ZERO,
            x_type,
            message,
        )
    }

    #[test]
    fn turns_that_overlap_are_counted_one_by_one() {
        let config = config();
        let id = |number: u32| MessageId::new(&format!("m{number}")).unwrap();
        let mut guard = LoopGuard::default();
        for number in 0..=20 {
            guard.on_turn(&id(number), &user("alice"));
        }
        for number in 0..20 {
            let silenced = guard.on_post(&config, Time::ZERO, Some(&id(number)));
            assert_eq!(silenced, None, "{number}");
        }
        let silenced = guard.on_post(&config, Time::ZERO, Some(&id(20)));
        assert_eq!(silenced, Some(user("alice")));
        assert_eq!(
            guard.on_post(&config, Time::ZERO, None),
            None,
            "no turn is open"
        );
        for number in 21..80 {
            guard.on_turn(&id(number), &user("bob"));
        }
        assert_eq!(guard.unanswered.len(), UNANSWERED_MAX);
    }

    #[test]
    fn turns_that_overlap_are_counted_in_whatever_order_they_are_answered() {
        let config = config();
        let id = |number: u32| MessageId::new(&format!("m{number}")).unwrap();
        let mut guard = LoopGuard::default();
        let mut silenced = None;
        for pair in 0..10 {
            let (first, second) = (id(2 * pair), id(2 * pair + 1));
            guard.on_turn(&first, &user("alice"));
            guard.on_turn(&second, &user("alice"));
            for answered in [second, first] {
                assert_eq!(silenced, None);
                silenced = guard.on_post(&config, Time::ZERO, Some(&answered));
            }
        }
        guard.on_turn(&id(20), &user("alice"));
        let silenced = guard.on_post(&config, Time::ZERO, Some(&id(20)));
        assert_eq!(silenced, Some(user("alice")));
    }

    #[test]
    fn a_dm_always_wakes_and_all_else_only_with_the_flag() {
        let config = config();
        for x_type in [
            XType::General,
            XType::Work,
            XType::Report,
            XType::Discuss,
            XType::Triage,
            XType::Custom,
        ] {
            assert_eq!(
                verdict(&config, x_type, &message(Some(true))),
                Verdict::Deliver
            );
            for wakeup in [None, Some(false)] {
                let verdict = verdict(&config, x_type, &message(wakeup));
                assert_eq!(verdict, Verdict::Record(Reason::NotWoken));
            }
        }
        for wakeup in [None, Some(false), Some(true)] {
            assert_eq!(
                verdict(&config, XType::Dm, &message(wakeup)),
                Verdict::Deliver
            );
        }
    }

    #[test]
    fn the_allow_lists_go_by_id() {
        let mut config = config();
        config.allow_users = Some([user("bob")].into());
        let not_allowed = Verdict::Record(Reason::NotAllowed);
        assert_eq!(verdict(&config, XType::Dm, &message(None)), not_allowed);
        config.allow_users = Some([user("alice")].into());
        assert_eq!(
            verdict(&config, XType::Dm, &message(None)),
            Verdict::Deliver
        );
        config.allow_channels = Some([ChannelId::new("d").unwrap()].into());
        assert_eq!(verdict(&config, XType::Dm, &message(None)), not_allowed);
    }

    #[test]
    fn a_deleted_message_wakes_nobody() {
        let deleted = Message {
            deleted_at: Some(Wall::default()),
            ..message(Some(true))
        };
        assert_eq!(
            verdict(&config(), XType::Dm, &deleted),
            Verdict::Record(Reason::Deleted)
        );
    }

    #[test]
    fn more_than_20_answered_turns_in_a_minute_silence_the_author_for_a_minute() {
        let config = config();
        let mut guard = LoopGuard::default();
        let at = |second| Time::ZERO + Duration::from_secs(second);
        for second in 0..20 {
            assert!(!guard.on_answered(&config, at(second), &user("alice")));
        }
        assert!(guard.on_answered(&config, at(20), &user("alice")));
        let mut judged = |now, author: &str| {
            let message = Message {
                author: Author {
                    id: user(author),
                    name: String::new(),
                },
                ..message(None)
            };
            judge(&config, &mut guard, now, XType::Dm, &message)
        };
        assert_eq!(judged(at(79), "alice"), Verdict::Record(Reason::Loop));
        assert_eq!(judged(at(79), "bob"), Verdict::Deliver);
        assert_eq!(judged(at(80), "alice"), Verdict::Deliver);
    }

    #[test]
    fn a_silenced_author_is_not_the_first_to_be_forgotten() {
        let config = config();
        let mut guard = LoopGuard::default();
        for _ in 0..=config.loop_turns {
            guard.on_answered(&config, Time::ZERO, &user("alice"));
        }
        for n in 0..AUTHORS_MAX {
            guard.on_answered(&config, Time::ZERO, &user(&format!("u{n}")));
        }
        assert!(guard.is_silenced(Time::ZERO, &user("alice")));
    }

    #[test]
    fn slow_exchanges_are_no_loop_and_authors_are_bounded() {
        let config = config();
        let mut guard = LoopGuard::default();
        for minute in 0..100 {
            let now = Time::ZERO + Duration::from_secs(minute * 4);
            assert!(!guard.on_answered(&config, now, &user("alice")));
        }
        for n in 0..1_000 {
            guard.on_answered(&config, Time::ZERO, &user(&format!("u{n}")));
        }
        assert_eq!(guard.authors.len(), AUTHORS_MAX);
    }
}
