//! Histories: what happens to a machine, as choices that a test can draw and shrink.

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use selvedge_core::{Canonical, Machine, Snapshot, Time, step, ws::ConnId};

/// One draw, which a subject turns into an input that fits the state of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which kind of input; 0 is the next plausible thing.
    pub kind: u8,
    /// Which of several, or how much.
    pub a: u64,
    /// The same, once more.
    pub b: u64,
}

/// How far time goes on before an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Not at all.
    Stay,
    /// So many milliseconds, but at most half of the way to the next wake-up.
    Some(u16),
    /// Exactly to the next wake-up.
    Due,
    /// So many seconds beyond the next wake-up.
    Beyond(u32),
}

/// One step of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// First time goes on,
    pub advance: Advance,
    /// then this happens.
    pub choice: Choice,
}

/// What an output does to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// It sends on it.
    Uses(ConnId),
    /// It closes it or hangs it up.
    Ends(ConnId),
}

/// What an input or an output means for the questions and calls of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// An output asks the world.
    Ask(Id),
    /// An output orders what is answered one day, and never taken back.
    Order(Id),
    /// An output takes a question back.
    Forget(Id),
    /// An input answers a question.
    Answer(Id),
    /// An input calls the machine, which owes a reply.
    Call(Id),
    /// An input takes a call back: no reply is owed any more.
    Gone(Id),
    /// An output replies to a call.
    Reply(Id),
}

/// The kind and the number of a question or a call.
pub type Id = (&'static str, u64);

/// A machine under test, and a world around it that knows what would be plausible next.
pub trait Subject: Sized {
    /// What can happen.
    type Input: Clone + Debug + PartialEq;
    /// What is asked for.
    type Output: Clone + Debug + PartialEq;
    /// The machine.
    type Machine: Machine<Input = Self::Input, Output = Self::Output>
        + Clone
        + Eq
        + Debug
        + Canonical
        + Snapshot;

    /// How many kinds of inputs [`decode`](Self::decode) tells apart.
    const KINDS: u8;
    /// How long the `Debug` text of the machine can be, by the limits it was made with.
    const DEBUG_MAX: usize;

    /// Whether every call has its reply in time even in a world that says nothing.
    const PATIENT: bool = true;

    /// A new machine, and the world around it.
    fn start(now: Time) -> (Self, Self::Machine);
    /// What happens next; `None` is a mere tick. It never depends on the time.
    fn decode(&mut self, choice: Choice) -> Option<Self::Input>;
    /// The machine said something.
    fn heard(&mut self, output: &Self::Output);
    /// The input that ends the machine.
    fn end(&mut self) -> Self::Input;
    /// Whether the machine has ended, so that nothing may come from it any more.
    fn is_over(&self) -> bool;
    /// What an input means for questions and calls.
    fn of_input(_: &Self::Input) -> Option<Traffic> {
        None
    }
    /// What an output does to a connection.
    fn on_wire(_: &Self::Output) -> Option<Wire> {
        None
    }
    /// What an output means for questions and calls.
    fn of_output(_: &Self::Output) -> Option<Traffic> {
        None
    }
}

/// A machine and its world at a moment.
#[derive(Clone, Debug)]
pub struct Run<S: Subject> {
    /// The world.
    pub subject: S,
    /// The machine.
    pub machine: S::Machine,
    /// The moment of the last step.
    pub now: Time,
}

impl<S: Subject> Run<S> {
    /// Starts a machine at `now`, with the mere tick that every machine is started with.
    ///
    /// # Errors
    ///
    /// Where the machine panics.
    pub fn start(now: Time) -> Result<Self, String> {
        let (subject, machine) = S::start(now);
        let mut run = Self {
            subject,
            machine,
            now,
        };
        run.step(None)?;
        Ok(run)
    }

    /// Lets time go on and says what happens then.
    pub fn next(&mut self, Move { advance, choice }: Move) -> Option<S::Input> {
        let due = self.machine.next_wakeup().map(|wakeup| wakeup.at);
        self.now = match (advance, due) {
            (Advance::Stay, _) => self.now,
            (Advance::Some(millis), None) => self.now + Duration::from_millis(millis.into()),
            (Advance::Some(millis), Some(due)) => {
                self.now + Duration::from_millis(millis.into()).min(due.since(self.now) / 2)
            }
            (Advance::Due, None) => self.now,
            (Advance::Due, Some(due)) => due,
            (Advance::Beyond(seconds), due) => {
                due.unwrap_or(self.now) + Duration::from_secs(seconds.into())
            }
        };
        self.subject.decode(choice)
    }

    /// Steps the machine, and lets the world hear what it says.
    ///
    /// # Errors
    ///
    /// Where the machine panics.
    pub fn step(&mut self, input: Option<S::Input>) -> Result<Vec<S::Output>, String> {
        let out = stepped(&mut self.machine, self.now, input)?;
        for output in &out {
            self.subject.heard(output);
        }
        Ok(out)
    }
}

/// Steps a machine and gives back what it says.
///
/// # Errors
///
/// Where it panics, or makes no progress.
pub fn stepped<M: Machine>(
    machine: &mut M,
    now: Time,
    input: Option<M::Input>,
) -> Result<Vec<M::Output>, String> {
    caught(|| {
        let mut out = Vec::new();
        step(machine, now, input, &mut out);
        out
    })
}

/// Ticks a machine, without the check of `step`.
///
/// # Errors
///
/// Where it panics.
pub fn ticked<M: Machine>(machine: &mut M, now: Time) -> Result<Vec<M::Output>, String> {
    caught(|| {
        let mut out = Vec::new();
        machine.tick(now, &mut out);
        out
    })
}

fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        format!("it panicked: {}", words.unwrap_or("without words"))
    })
}
