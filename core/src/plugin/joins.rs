//! Joins: which of the wanted channels are joined on one connection, and which are still to be.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString as _},
};
use core::time::Duration;

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::{
        realtime::{AckError, JoinAck},
        session::{Join, NoAck},
    },
    id::ChannelId,
    machine::Wakeup,
    request::{RequestId, Requests},
    time::Time,
};

/// How many joins are unanswered at a time. A guild reads a socket's events one after the other;
/// the rest of thousands of channels need not lie in its buffers.
const JOINS_MAX: usize = 64;

/// The longest wait between two attempts at one join.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// After so many attempts at one join that were not answered, the connection is to blame.
const UNANSWERED_MAX: u32 = 3;

/// The joins on one connection.
///
/// It is told which channels are wanted; the owner sends what [`join_due`](Self::join_due) gives, and
/// says [`on_answer`](Self::on_answer) of each answer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Joins {
    channels: BTreeMap<ChannelId, Entry>,
    /// How many of them wait for the first answer.
    untried: usize,
    /// Channels that the guild has neither let the agent into nor kept it out of.
    open: BTreeSet<ChannelId>,
    asked: Requests<Join, ChannelId>,
    /// Joins that are due, now or later.
    due: Deadlines<ChannelId>,
}
canonical!(struct Joins { channels, untried, open, asked, due });

#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Entry {
    joined: bool,
    /// Attempts that have failed.
    failures: u32,
    /// How many of the last ones were not answered.
    unanswered: u32,
    /// Whether an attempt has ended, either way.
    tried: bool,
}
canonical!(struct Entry { joined, failures, unanswered, tried });

/// What the answer to a join means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Nothing: the channel was left in the meantime.
    Stale,
    /// The room is entered; the newest `seq` at that moment, where the guild tells it.
    Ok(ChannelId, Option<u64>),
    /// It is tried again.
    Failed(ChannelId, Failure),
}

/// Why a join failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words.
    pub why: String,
    /// What it says about something else.
    pub hint: Hint,
}

/// What a failed join says about something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Nothing.
    None,
    /// The memberships have changed.
    NoMember,
    /// The connection's token has expired: it will not be better on this connection.
    TokenExpired,
    /// The guild does not listen to this connection.
    Unheard,
}

impl Joins {
    /// Of these channels, on a connection that is up.
    pub fn new<'a>(now: Time, wanted: impl Iterator<Item = &'a ChannelId>) -> Self {
        let mut joins = Self::default();
        for channel in wanted {
            joins.enter(now, channel);
        }
        joins
    }

    /// One more channel is wanted.
    pub fn enter(&mut self, now: Time, channel: &ChannelId) {
        self.leave(channel);
        self.channels.insert(channel.clone(), Entry::default());
        self.open.insert(channel.clone());
        self.due.set(channel.clone(), Some(now));
        self.untried += 1;
    }

    /// A channel is not wanted any more.
    pub fn leave(&mut self, channel: &ChannelId) {
        while self.asked.withdraw(|asked| asked == channel).is_some() {}
        self.due.set(channel.clone(), None);
        self.open.remove(channel);
        if let Some(entry) = self.channels.remove(channel)
            && !entry.tried
        {
            self.untried -= 1;
        }
    }

    /// Whether the channel's room is entered.
    pub fn is_joined(&self, channel: &ChannelId) -> bool {
        let entry = self.channels.get(channel);
        entry.is_some_and(|entry| entry.joined)
    }

    /// Whether every channel has been tried.
    pub fn is_settled(&self) -> bool {
        self.untried == 0
    }

    /// Whether nothing would be lost with the other connection: whatever is joined there is joined
    /// here, unless the guild says that the agent is no member any more.
    pub fn cover(&self, other: &Self) -> bool {
        self.is_settled() && !self.open.iter().any(|channel| other.is_joined(channel))
    }

    /// The next join to send, if one is due.
    pub fn join_due(&mut self, now: Time) -> Option<(RequestId<Join>, ChannelId)> {
        if self.asked.len() >= JOINS_MAX {
            return None;
        }
        let channel = self.due.pop_due(now)?;
        Some((self.asked.ask(now, None, channel.clone()), channel))
    }

    /// A join was answered, or will not be.
    pub fn on_answer(
        &mut self,
        now: Time,
        id: RequestId<Join>,
        answer: Result<JoinAck, NoAck>,
    ) -> Joined {
        let Some(channel) = self.asked.answer(id) else {
            return Joined::Stale;
        };
        let Some(entry) = self.channels.get_mut(&channel) else {
            return Joined::Stale;
        };
        if !core::mem::replace(&mut entry.tried, true) {
            self.untried -= 1;
        }
        let (why, hint) = match answer {
            Ok(JoinAck {
                ok: true, last_seq, ..
            }) => {
                entry.joined = true;
                self.open.remove(&channel);
                return Joined::Ok(channel, last_seq);
            }
            Ok(JoinAck { error, .. }) => {
                entry.unanswered = 0;
                let (why, hint) = meaning(error);
                (why.to_string(), hint)
            }
            Err(NoAck::Unanswered) => {
                entry.unanswered = entry.unanswered.saturating_add(1);
                let hint = match entry.unanswered >= UNANSWERED_MAX {
                    true => Hint::Unheard,
                    false => Hint::None,
                };
                (NoAck::Unanswered.to_string(), hint)
            }
            Err(NoAck::Other(why)) => {
                entry.unanswered = 0;
                (why, Hint::None)
            }
        };
        if hint == Hint::NoMember {
            self.open.remove(&channel);
        }
        let wait = retry(entry.failures, RETRY_MAX);
        entry.failures = entry.failures.saturating_add(1);
        self.due.set(channel.clone(), Some(now + wait));
        Joined::Failed(channel, Failure { why, hint })
    }

    /// When there is something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        let due = self.due.earliest().filter(|_| self.asked.len() < JOINS_MAX);
        due.map(|at| Wakeup {
            at,
            why: "join due",
        })
    }
}

/// What a refusal means.
const fn meaning(error: Option<AckError>) -> (&'static str, Hint) {
    match error {
        Some(AckError::BadRequest) => ("the guild does not understand the request", Hint::None),
        Some(AckError::NotFound) => ("the guild knows no such channel", Hint::NoMember),
        Some(AckError::Forbidden) => ("the account is not a member", Hint::NoMember),
        Some(AckError::TokenExpired) => ("the connection's token has expired", Hint::TokenExpired),
        Some(AckError::Other) | None => ("the guild refused without a known reason", Hint::None),
    }
}

/// 1, 2, 4 … seconds, and at most `most`.
pub(super) fn retry(failures: u32, most: Duration) -> Duration {
    Duration::from_secs(1 << failures.min(10)).min(most)
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};

    use super::*;

    fn id(id: &str) -> ChannelId {
        ChannelId::new(id).unwrap()
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn of(ids: &[&str]) -> Joins {
        let ids: Vec<_> = ids.iter().map(|channel| id(channel)).collect();
        Joins::new(at(1), ids.iter())
    }

    fn refused(error: AckError) -> Result<JoinAck, NoAck> {
        Ok(JoinAck {
            ok: false,
            last_seq: None,
            error: Some(error),
        })
    }

    fn ack() -> Result<JoinAck, NoAck> {
        Ok(JoinAck {
            ok: true,
            last_seq: Some(7),
            error: None,
        })
    }

    /// Sends what is due, and answers it.
    fn answer(joins: &mut Joins, now: Time, answer: Result<JoinAck, NoAck>) -> Joined {
        let (asked, _) = joins.join_due(now).unwrap();
        joins.on_answer(now, asked, answer)
    }

    fn hint(joined: Joined) -> Hint {
        match joined {
            Joined::Failed(_, failure) => failure.hint,
            Joined::Stale | Joined::Ok(..) => panic!("{joined:?}"),
        }
    }

    #[test]
    fn a_connection_is_settled_once_everything_is_tried() {
        let mut joins = of(&["a", "b"]);
        assert!(!joins.is_settled());
        let joined = answer(&mut joins, at(1), ack());
        assert_eq!(joined, Joined::Ok(id("a"), Some(7)));
        let (asked, channel) = joins.join_due(at(1)).unwrap();
        assert_eq!((channel, joins.join_due(at(1))), (id("b"), None));
        joins.on_answer(at(2), asked, Err(NoAck::Unanswered));
        assert_eq!(joins.on_answer(at(2), asked, ack()), Joined::Stale);
        assert!(joins.is_settled());
        assert!(joins.is_joined(&id("a")) && !joins.is_joined(&id("b")));
        assert_eq!(joins.next_wakeup().unwrap().at, at(3));
    }

    #[test]
    fn a_failed_join_is_tried_again_after_1_2_4_and_at_most_30_seconds() {
        let mut joins = of(&["a"]);
        let mut now = at(1);
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            answer(&mut joins, now, Err(NoAck::Other("no".into())));
            now = now + Duration::from_secs(wait);
            assert_eq!(joins.join_due(now - Duration::from_micros(1)), None);
        }
    }

    #[test]
    fn a_refusal_says_what_else_is_wrong() {
        let mut joins = of(&["a"]);
        let hints = [
            (AckError::Forbidden, Hint::NoMember),
            (AckError::NotFound, Hint::NoMember),
            (AckError::TokenExpired, Hint::TokenExpired),
            (AckError::BadRequest, Hint::None),
            (AckError::Other, Hint::None),
        ];
        for (number, (error, wanted)) in hints.into_iter().enumerate() {
            let now = at(100 * (1 + number as u64));
            assert_eq!(hint(answer(&mut joins, now, refused(error))), wanted);
        }
    }

    #[test]
    fn a_guild_that_answers_a_join_three_times_not_at_all_does_not_listen() {
        let mut joins = of(&["a"]);
        let ends = [
            Err(NoAck::Unanswered),
            Err(NoAck::Unanswered),
            refused(AckError::Other),
            Err(NoAck::Unanswered),
            Err(NoAck::Unanswered),
        ];
        for (number, end) in ends.into_iter().enumerate() {
            let now = at(100 * (1 + number as u64));
            assert_eq!(hint(answer(&mut joins, now, end)), Hint::None);
        }
        for number in 6..8 {
            let end = Err(NoAck::Unanswered);
            assert_eq!(
                hint(answer(&mut joins, at(100 * number), end)),
                Hint::Unheard
            );
        }
    }

    #[test]
    fn one_connection_covers_another_once_it_has_all_of_its_rooms() {
        let mut old = of(&["a", "b", "c"]);
        for _ in ["a", "b"] {
            answer(&mut old, at(1), ack());
        }
        let mut new = of(&["a", "b", "c"]);
        assert!(!new.cover(&old));
        answer(&mut new, at(1), ack());
        answer(&mut new, at(1), Err(NoAck::Unanswered));
        answer(&mut new, at(1), Err(NoAck::Unanswered));
        assert!(new.is_settled() && !new.cover(&old), "b is joined there");
        answer(&mut new, at(9), refused(AckError::Forbidden));
        assert!(new.cover(&old), "c is joined nowhere");
        new.enter(at(10), &id("d"));
        assert!(!new.cover(&old));
        new.leave(&id("d"));
        assert!(new.cover(&old));
    }

    #[test]
    fn what_is_left_is_not_asked_for_and_its_answer_means_nothing() {
        let mut joins = of(&["a", "b"]);
        let (asked, _) = joins.join_due(at(1)).unwrap();
        joins.leave(&id("a"));
        joins.enter(at(1), &id("a"));
        assert_eq!(joins.on_answer(at(1), asked, ack()), Joined::Stale);
        joins.leave(&id("a"));
        joins.leave(&id("b"));
        assert_eq!(
            joins,
            Joins {
                asked: joins.asked.clone(),
                ..Joins::default()
            }
        );
        assert!(joins.asked.is_empty());
    }

    #[test]
    fn thousands_of_joins_go_out_a_few_at_a_time() {
        let ids: Vec<_> = (0..1_000).map(|n| id(&format!("c{n:04}"))).collect();
        let mut joins = Joins::new(at(1), ids.iter());
        let mut sent = Vec::new();
        while let Some((asked, _)) = joins.join_due(at(1)) {
            sent.push(asked);
        }
        assert_eq!(sent.len(), JOINS_MAX);
        assert_eq!(joins.next_wakeup(), None);
        joins.on_answer(at(1), sent[0], ack());
        assert!(joins.join_due(at(1)).is_some());
    }
}
