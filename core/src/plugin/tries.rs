//! Requests to guilds that are tried until their outcome is known or their patience has run out.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
};
use core::time::Duration;

use bytes::Bytes;

use crate::{
    canonical,
    deadlines::Deadlines,
    fabric::error::ErrorBody,
    http::{Failure, Response},
    plugin::{jobs, outbox, retry},
    rng::Rng,
    snapshot::{LoadError, Saver, Snapshot, Value},
    time::Time,
};

/// Names a request of one [`Tries`].
pub type TryId = u64;

/// The longest wait between two repetitions.
const RETRY_MOST: Duration = Duration::from_secs(8);

/// On what terms a request is tried, and how its failures are told to the host.
#[derive(Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether it is sent again where nobody knows whether it was carried out.
    pub repeats: bool,
    /// What 403 means.
    pub forbidden: &'static str,
    /// What 404 means.
    pub absent: &'static str,
    /// What 409 means.
    pub conflict: &'static str,
    /// What 413 means.
    pub too_large: &'static str,
    /// What is said of one that was given up and may have been carried out.
    pub unknown: &'static str,
    /// What is said of one that was given up and was certainly not.
    pub undone: &'static str,
}

/// By its number: there are few.
impl Snapshot for &'static Terms {
    fn save(&self, saver: &mut Saver) -> Value {
        let place = terms().iter().position(|it| it == self);
        place.unwrap_or_default().save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        let known = terms().get(usize::load(tree)?).copied();
        known.ok_or_else(LoadError::default)
    }
}

/// All terms that there are.
fn terms() -> [&'static Terms; 4] {
    let [safe, once, file] = jobs::TERMS;
    [&outbox::TERMS, safe, once, file]
}

/// What has become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<W> {
    /// It was carried out; the body of the answer.
    Good(W, Bytes),
    /// It is tried again by itself, or was not open.
    Again,
    /// The token was refused: invalidate the session; it is then tried again.
    Unauthorized,
    /// It is larger than the guild takes: nothing was carried out; in words for the host.
    TooLarge(W, String),
    /// It did not work, in words for the host.
    Failed(W, String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Try<W> {
    work: W,
    terms: &'static Terms,
    give_up_at: Time,
    failures: u32,
    /// A token was refused for it already.
    refused: bool,
    /// It was sent at least once and may have been carried out.
    uncertain: bool,
}
canonical!(struct Try [W] {
    work, give_up_at, failures, refused, uncertain; - terms
});

/// The requests that are under way, each for the work `W`.
///
/// [`push`](Self::push) takes one in and [`start`](Self::start) lets it go. Its owner sends what
/// [`next_due`](Self::next_due) gives, and says [`on_answer`](Self::on_answer) of each answer, or
/// [`on_blocked`](Self::on_blocked) where there is no token to send it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tries<W> {
    open: BTreeMap<TryId, Try<W>>,
    due: Deadlines<TryId>,
    /// Those that wait for a login.
    blocked: BTreeSet<TryId>,
    next: TryId,
    rng: Rng,
}
canonical!(struct Tries [W] { open, due, blocked; - next, rng });

impl<W> Tries<W> {
    /// None; `rng` draws the waits.
    pub fn new(rng: Rng) -> Self {
        Self {
            open: BTreeMap::new(),
            due: Deadlines::default(),
            blocked: BTreeSet::new(),
            next: 0,
            rng,
        }
    }

    /// One more, which is given up at that moment.
    pub fn push(&mut self, work: W, terms: &'static Terms, give_up_at: Time) -> TryId {
        let id = self.next;
        self.next += 1;
        let open = Try {
            work,
            terms,
            give_up_at,
            failures: 0,
            refused: false,
            uncertain: false,
        };
        self.open.insert(id, open);
        id
    }

    /// It is to be sent now.
    pub fn start(&mut self, now: Time, id: TryId) {
        if self.open.contains_key(&id) {
            self.due.set(id, Some(now));
        }
    }

    /// The next one to send.
    pub fn next_due(&mut self, now: Time) -> Option<(TryId, &W)> {
        let id = self.due.pop_due(now)?;
        self.open.get(&id).map(|open| (id, &open.work))
    }

    /// What is to be done by one that is under way.
    pub fn work(&mut self, id: TryId) -> Option<&mut W> {
        self.open.get_mut(&id).map(|open| &mut open.work)
    }

    /// The same of one that may have been carried out already.
    pub fn doubted(&mut self, id: TryId) -> Option<&mut W> {
        let open = self.open.get_mut(&id).filter(|open| open.uncertain);
        open.map(|open| &mut open.work)
    }

    /// It waits for a login, until its patience has run out: see [`expire`](Self::expire).
    pub fn on_blocked(&mut self, id: TryId) {
        if let Some(open) = self.open.get(&id) {
            self.due.set(id, Some(open.give_up_at));
            self.blocked.insert(id);
        }
    }

    /// Gives up one that has waited too long for a login. The owner asks before it asks
    /// [`next_due`](Self::next_due), and again after each [`on_blocked`](Self::on_blocked).
    pub fn expire(&mut self, now: Time) -> Option<(W, String)> {
        let late = |id: &TryId| self.open.get(id).is_some_and(|open| open.give_up_at <= now);
        let id = self.blocked.iter().copied().find(late)?;
        self.give_up(id, "there was no login in time")
    }

    /// A login succeeded.
    pub fn on_token(&mut self, now: Time) {
        for id in core::mem::take(&mut self.blocked) {
            self.due.set(id, Some(now));
        }
    }

    /// A login failed: the next one that waited for it, which is then [`retry`](Self::retry)ed or
    /// [given up](Self::give_up).
    pub fn pop_blocked(&mut self) -> Option<TryId> {
        self.blocked.pop_first()
    }

    /// Takes one out and says what the host must know of it.
    pub fn give_up(&mut self, id: TryId, why: &str) -> Option<(W, String)> {
        let open = self.take(id)?;
        let outcome = if open.uncertain {
            open.terms.unknown
        } else {
            open.terms.undone
        };
        Some((open.work, format!("{why}; {outcome}")))
    }

    /// Takes one out, whatever its state.
    pub fn close(&mut self, id: TryId) -> Option<W> {
        self.take(id).map(|open| open.work)
    }

    /// Gives any one up, whatever its state: at the end of the process.
    pub fn pop(&mut self, why: &str) -> Option<(W, String)> {
        let id = *self.open.keys().next()?;
        let open = self.take(id)?;
        Some((open.work, format!("{why}; {}", open.terms.unknown)))
    }

    fn take(&mut self, id: TryId) -> Option<Try<W>> {
        let open = self.open.remove(&id)?;
        self.due.set(id, None);
        self.blocked.remove(&id);
        Some(open)
    }

    /// The answer to a request, or why there is none.
    pub fn on_answer(
        &mut self,
        now: Time,
        id: TryId,
        answer: Result<Response, Failure>,
    ) -> Outcome<W> {
        let Some(open) = self.open.get_mut(&id) else {
            return Outcome::Again;
        };
        let response = match answer {
            Ok(response) => response,
            Err(failure) => {
                let why = failure.to_string();
                return match failure {
                    Failure::Unreachable(_) => self.retry(now, id, None, &why),
                    Failure::Broken(_) | Failure::TooLarge => self.doubt(now, id, None, &why),
                    Failure::Local(_) => self.end(id, &why),
                };
            }
        };
        let told = |what: &str| {
            serde_json::from_slice::<ErrorBody>(&response.body).map_or_else(
                |_| what.to_string(),
                |body| format!("{what}: {}", body.message),
            )
        };
        let terms = open.terms;
        let why = match response.status {
            200..=299 => {
                return match self.close(id) {
                    Some(work) => Outcome::Good(work, response.body),
                    None => Outcome::Again,
                };
            }
            401 => {
                if !core::mem::replace(&mut open.refused, true) {
                    self.due.set(id, Some(now));
                    return Outcome::Unauthorized;
                }
                "the guild refuses the account's token, a new one too".to_string()
            }
            403 => told(terms.forbidden),
            404 => told(terms.absent),
            409 => told(terms.conflict),
            413 => {
                let why = told(terms.too_large);
                return self
                    .close(id)
                    .map_or(Outcome::Again, |work| Outcome::TooLarge(work, why));
            }
            429 => {
                let why = told("the guild allows no more calls now");
                return self.retry(now, id, response.retry_after, &why);
            }
            status @ 500..=599 => {
                let why = told(&format!("the guild answers {status}"));
                return self.doubt(now, id, response.retry_after, &why);
            }
            status => told(&format!("the guild answers {status}")),
        };
        self.close(id)
            .map_or(Outcome::Again, |work| Outcome::Failed(work, why))
    }

    /// Whether it was carried out is not known: its answer is missing or says nothing about it.
    fn doubt(&mut self, now: Time, id: TryId, after: Option<Duration>, why: &str) -> Outcome<W> {
        let Some(open) = self.open.get_mut(&id) else {
            return Outcome::Again;
        };
        open.uncertain = true;
        if open.terms.repeats {
            return self.retry(now, id, after, why);
        }
        self.end(id, why)
    }

    /// Tries it again after a while, `after` where the guild has said how long, or gives it up.
    pub fn retry(
        &mut self,
        now: Time,
        id: TryId,
        after: Option<Duration>,
        why: &str,
    ) -> Outcome<W> {
        let Some(open) = self.open.get_mut(&id) else {
            return Outcome::Again;
        };
        let wait = match after {
            Some(after) => {
                after.saturating_add(self.rng.between(Duration::from_micros(1), retry::FIRST))
            }
            None => retry::wait(&mut self.rng, open.failures, RETRY_MOST),
        };
        open.failures = open.failures.saturating_add(1);
        let at = now + wait;
        if at <= open.give_up_at {
            self.due.set(id, Some(at));
            return Outcome::Again;
        }
        match after {
            Some(after) => {
                let why = format!("{why}; try again in {} s", after.as_secs().max(1));
                self.end(id, &why)
            }
            None => self.end(id, why),
        }
    }

    fn end(&mut self, id: TryId, why: &str) -> Outcome<W> {
        self.give_up(id, why)
            .map_or(Outcome::Again, |(work, why)| Outcome::Failed(work, why))
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When there is something to send.
    pub fn earliest(&self) -> Option<Time> {
        self.due.earliest()
    }
}
