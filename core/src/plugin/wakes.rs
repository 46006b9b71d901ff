//! What an agent owes a guild's turn engine: an ack before each turn, and a pass for each wake that
//! it lets go without a post. A channel where one is missing waits for the agent for ever.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
};
use core::time::Duration;

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::turns::Acked,
    http::{Failure, Response},
    id::{MessageId, TurnId},
    machine::Wakeup,
    plugin::{retry, turns::Place},
    rng::Rng,
    time::Time,
};

/// The longest wait between two repetitions.
const RETRY_MOST: Duration = Duration::from_secs(30);

/// What is said to the turn engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// The wake has arrived: `POST …/ack`.
    Ack,
    /// The turn goes on without a post: `/no-reply`.
    Pass,
}
canonical!(
    enum Word {
        Ack,
        Pass,
    }
);

/// A word that is owed in a place.
pub type Debt = (Place, Word);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owed {
    message: MessageId,
    /// Its `seq`: until a pass has been heard, nothing from there on is finished. Of an ack the newest that was
    /// known when it came to be owed.
    seq: u64,
    nonce: String,
    failures: u32,
    /// A token was refused for it already.
    refused: bool,
}
canonical!(struct Owed { message, seq, nonce, failures, refused });

/// A turn that ended while posts of it were on their way: if none of them arrives, it was a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Undecided {
    turn: TurnId,
    message: MessageId,
    seq: u64,
}
canonical!(struct Undecided { turn, message, seq });

/// A message that woke the agent, where users take turns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// The message.
    pub message: MessageId,
    /// Its `seq`.
    pub seq: u64,
}

/// What an answer of the turn engine means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing, or it is said again by itself.
    Again,
    /// The token was refused: invalidate the session; it is then said again.
    Unauthorized,
    /// The wake with this message is the agent's, and its turn can begin: the newest `seq` that was known in
    /// the channel when that was asked. `None` where it is not any more.
    Acked(MessageId, Option<u64>),
    /// The pass was heard, or means nothing any more.
    Passed,
}

/// The words that are owed, at most one of a kind in each channel: the newest, since a guild wakes an
/// agent with one message at a time. They are repeated for as long as they are owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wakes {
    owed: BTreeMap<Debt, Owed>,
    due: Deadlines<Debt>,
    /// Those that wait for a login.
    blocked: BTreeSet<Debt>,
    undecided: BTreeMap<Place, Undecided>,
    rng: Rng,
}
canonical!(struct Wakes { owed, due, blocked, undecided; - rng });

impl Wakes {
    /// Nothing is owed.
    pub fn new(rng: Rng) -> Self {
        Self {
            owed: BTreeMap::new(),
            due: Deadlines::default(),
            blocked: BTreeSet::new(),
            undecided: BTreeMap::new(),
            rng,
        }
    }

    /// An ack is owed for the wake with this message, in a channel of which `newest` is the newest that is
    /// known.
    pub fn ack(&mut self, now: Time, place: Place, message: MessageId, newest: u64) {
        let wake = Wake {
            message,
            seq: newest,
        };
        self.owe(now, (place, Word::Ack), wake, String::new());
    }

    /// A pass is owed for the wake with this message. `nonce` is the pass's own: with it a
    /// repetition passes nothing twice.
    pub fn pass(&mut self, now: Time, place: Place, wake: Wake, nonce: String) {
        self.owe(now, (place, Word::Pass), wake, nonce);
    }

    /// A pass may be owed: the turn has ended, but posts of it are on their way.
    pub fn pass_unless_posted(&mut self, place: Place, turn: TurnId, wake: Wake) {
        let Wake { message, seq } = wake;
        self.undecided
            .insert(place, Undecided { turn, message, seq });
    }

    /// The lowest `seq` in `place` about which a pass is owed, or may be.
    pub fn unfinished(&self, place: &Place) -> Option<u64> {
        let owed = self.owed.get(&(place.clone(), Word::Pass));
        let undecided = self.undecided.get(place).map(|undecided| undecided.seq);
        owed.map(|owed| owed.seq).into_iter().chain(undecided).min()
    }

    /// A post of this turn has arrived. It is no answer to `woken`, which has woken the agent since.
    pub fn on_posted(&mut self, place: &Place, nonce: &str, woken: Option<&MessageId>) {
        let of = |undecided: &Undecided| {
            is_of(&undecided.turn, nonce) && woken != Some(&undecided.message)
        };
        if self.undecided.get(place).is_some_and(of) {
            self.undecided.remove(place);
        }
    }

    /// No post of the channel is on its way any more.
    pub fn on_no_posts(&mut self, now: Time, place: &Place) {
        if let Some(Undecided { turn, message, seq }) = self.undecided.remove(place) {
            let wake = Wake { message, seq };
            self.pass(now, place.clone(), wake, pass_of(&turn));
        }
    }

    /// The channel was left: nothing is owed there.
    pub fn forget(&mut self, place: &Place) {
        self.undecided.remove(place);
        for word in [Word::Ack, Word::Pass] {
            self.close(&(place.clone(), word));
        }
    }

    fn owe(&mut self, now: Time, debt: Debt, wake: Wake, nonce: String) {
        let Wake { message, seq } = wake;
        self.blocked.remove(&debt);
        self.due.set(debt.clone(), Some(now));
        self.owed.insert(
            debt,
            Owed {
                message,
                seq,
                nonce,
                failures: 0,
                refused: false,
            },
        );
    }

    fn close(&mut self, debt: &Debt) {
        self.owed.remove(debt);
        self.blocked.remove(debt);
        self.due.set(debt.clone(), None);
    }

    /// The next word to say, with the message it is about and the nonce of a pass. The owner says it
    /// and later tells [`on_answer`](Self::on_answer), or [`on_blocked`](Self::on_blocked) where
    /// there is no token for it.
    pub fn next_due(&mut self, now: Time) -> Option<(Debt, MessageId, String)> {
        let debt = self.due.pop_due(now)?;
        let owed = self.owed.get(&debt)?;
        Some((debt, owed.message.clone(), owed.nonce.clone()))
    }

    /// A word waits for a login, for as long as that takes: without one nothing can be posted either.
    pub fn on_blocked(&mut self, debt: Debt) {
        self.blocked.insert(debt);
    }

    /// A login succeeded.
    pub fn on_token(&mut self, now: Time) {
        for debt in core::mem::take(&mut self.blocked) {
            self.due.set(debt, Some(now));
        }
    }

    /// The answer to a word about this message, or why there is none.
    pub fn on_answer(
        &mut self,
        now: Time,
        debt: Debt,
        message: &MessageId,
        answer: Result<Response, Failure>,
    ) -> Heard {
        let Some(owed) = self
            .owed
            .get_mut(&debt)
            .filter(|owed| owed.message == *message)
        else {
            return Heard::Again;
        };
        let response = match answer {
            Ok(response) => response,
            Err(
                Failure::Unreachable(_)
                | Failure::Broken(_)
                | Failure::TooLarge
                | Failure::Local(_),
            ) => {
                return self.again(now, debt, None);
            }
        };
        let granted = match response.status {
            401 if !core::mem::replace(&mut owed.refused, true) => {
                self.due.set(debt, Some(now));
                return Heard::Unauthorized;
            }
            401 | 429 | 500.. => return self.again(now, debt, response.retry_after),
            200..=299 => {
                serde_json::from_slice::<Acked>(&response.body).is_ok_and(|answer| answer.acked)
            }
            403 | 409 => false,
            // A guild that cannot be told wakes nobody by turns.
            _ => true,
        };
        let newest = owed.seq;
        self.close(&debt);
        match debt.1 {
            Word::Ack => Heard::Acked(message.clone(), Some(newest).filter(|_| granted)),
            Word::Pass => Heard::Passed,
        }
    }

    fn again(&mut self, now: Time, debt: Debt, after: Option<Duration>) -> Heard {
        if let Some(owed) = self.owed.get_mut(&debt) {
            let wait = retry::wait_after(&mut self.rng, owed.failures, RETRY_MOST, after);
            owed.failures = owed.failures.saturating_add(1);
            self.due.set(debt, Some(now + wait));
        }
        Heard::Again
    }

    /// When there is something to do.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.due.earliest().map(|at| Wakeup {
            at,
            why: "word to the turn engine due",
        })
    }
}

/// The nonce of the pass of a turn.
pub fn pass_of(turn: &TurnId) -> String {
    alloc::format!("{turn}.pass")
}

/// The turn in which a post of an agent was made, all of whose nonces begin with `own`, and the `seq`
/// of that turn's last message; `None` where its nonce does not tell. Turns of a channel begin in the
/// order of their messages.
pub fn turn_of(own: &str, nonce: &str) -> Option<(TurnId, u64)> {
    // The process, the number of the turn in it, the `seq`; then those of the post and of its part.
    let mut words = nonce.strip_prefix(own)?.split('.');
    let (process, number, last) = (words.next()?, words.next()?, words.next()?);
    // A post of no turn has the number of its call behind that of the process.
    if process.contains('-') {
        return None;
    }
    let last = last.parse().ok()?;
    let turn = TurnId::new(&alloc::format!("{own}{process}.{number}.{last}"))?;
    words.nth(1)?.parse::<u64>().ok()?;
    Some((turn, last))
}

/// Whether a post with this nonce was made in the turn.
pub fn is_of(turn: &TurnId, nonce: &str) -> bool {
    let rest = nonce.strip_prefix(turn.as_str());
    rest.is_some_and(|rest| rest.starts_with('.'))
}
