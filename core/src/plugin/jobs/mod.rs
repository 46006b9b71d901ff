//! The jobs of an agent: tool calls that ask something of a guild, step by step.

mod discussion;
mod step;

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString as _},
};
use core::time::Duration;

pub(crate) use self::discussion::ORIGIN;
pub(super) use self::step::TERMS;
pub use self::{
    discussion::{Opening, Summary, discussion_channel},
    step::{Next, Step},
};
use crate::{
    canonical,
    http::{CallId, Failure, Response},
    machine::Wakeup,
    plugin::{
        tools::ToolAnswer,
        tries::{Outcome, Tries, TryId},
    },
    rng::Rng,
    time::Time,
};

/// A tool call under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The tool call that waits for it.
    pub call: CallId,
    /// The number of the guild that is asked.
    pub guild: u32,
    /// What is asked now.
    pub step: Step,
    give_up_at: Time,
}
canonical!(struct Job { call, guild, step, give_up_at });

/// What the answer to a step means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to be done now: the same step once more after a while, or the next one.
    Again,
    /// The token was refused: invalidate the session; it is then tried again.
    Unauthorized,
    /// It is over with this step.
    Over(Box<Job>, Result<ToolAnswer, String>),
}

/// The jobs of one agent. All of them go side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs {
    tries: Tries<Job>,
}
canonical!(struct Jobs { tries });

impl Jobs {
    /// None yet.
    pub fn new(rng: Rng) -> Self {
        Self {
            tries: Tries::new(rng),
        }
    }

    /// A new one, given up after `patience`, however many steps it has.
    pub fn push(&mut self, now: Time, call: CallId, guild: u32, step: Step, patience: Duration) {
        let give_up_at = now + patience;
        let job = Job {
            call,
            guild,
            step,
            give_up_at,
        };
        self.begin(now, job);
    }

    fn begin(&mut self, now: Time, job: Job) {
        let (terms, give_up_at) = (job.step.terms(), job.give_up_at);
        let id = self.tries.push(job, terms, give_up_at);
        self.tries.start(now, id);
    }

    /// The next step to ask. The owner asks it and later says [`on_answer`](Self::on_answer), or says
    /// [`on_blocked`](Self::on_blocked) where there is no token for it.
    pub fn next_due(&mut self, now: Time) -> Option<(TryId, &Job)> {
        self.tries.next_due(now)
    }

    /// It waits for a login, until its patience has run out: see [`expire`](Self::expire).
    pub fn on_blocked(&mut self, id: TryId) {
        self.tries.on_blocked(id);
    }

    /// Gives up one that has waited too long for a login. The owner asks before it asks
    /// [`next_due`](Self::next_due), and again after each [`on_blocked`](Self::on_blocked).
    pub fn expire(&mut self, now: Time) -> Option<Progress> {
        let (job, why) = self.tries.expire(now)?;
        Some(failed(job, &why))
    }

    /// A login succeeded.
    pub fn on_token(&mut self, now: Time) {
        self.tries.on_token(now);
    }

    /// A login failed, for good where the account was `denied`: the next job that waited for it, and
    /// what becomes of it.
    pub fn on_login_failed(&mut self, now: Time, why: &str, denied: bool) -> Option<Progress> {
        let id = self.tries.pop_blocked()?;
        if denied {
            let (job, why) = self.tries.give_up(id, why)?;
            return Some(failed(job, &why));
        }
        let outcome = self.tries.retry(now, id, None, why);
        Some(self.progress(now, outcome))
    }

    /// Gives one up for a reason that trying again does not mend.
    pub fn fail(&mut self, id: TryId, why: &str) -> Option<Progress> {
        self.tries.close(id).map(|job| failed(job, why))
    }

    /// The guild's answer, or why there is none.
    pub fn on_answer(
        &mut self,
        now: Time,
        id: TryId,
        answer: Result<Response, Failure>,
    ) -> Progress {
        let outcome = self.tries.on_answer(now, id, answer);
        self.progress(now, outcome)
    }

    fn progress(&mut self, now: Time, outcome: Outcome<Job>) -> Progress {
        match outcome {
            Outcome::Again => Progress::Again,
            Outcome::Unauthorized => Progress::Unauthorized,
            Outcome::TooLarge(job, why) | Outcome::Failed(job, why) => failed(job, &why),
            Outcome::Good(job, body) => match job.step.follow(&body) {
                Ok(Next::Step(step)) => {
                    self.begin(now, Job { step, ..job });
                    Progress::Again
                }
                Ok(Next::Done(answer)) => Progress::Over(Box::new(job), Ok(answer)),
                Err(why) => failed(job, &why),
            },
        }
    }

    /// Gives one up, whatever its state: at the end of the process.
    pub fn pop(&mut self, why: &str) -> Option<(CallId, String)> {
        let (job, why) = self.tries.pop(why)?;
        Some((job.call, told(&job, &why)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tries.is_empty()
    }

    /// When there is something to ask.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        let at = self.tries.earliest()?;
        Some(Wakeup { at, why: "job due" })
    }
}

fn failed(job: Job, why: &str) -> Progress {
    let why = told(&job, why);
    Progress::Over(Box::new(job), Err(why))
}

/// Why a step failed, and what the steps before it have done.
fn told(job: &Job, why: &str) -> String {
    match job.step.done() {
        Some(done) => format!("{why}; {done}"),
        None => why.to_string(),
    }
}
