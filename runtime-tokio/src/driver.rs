//! The one loop that drives every machine: take what is ready, step, carry out, sleep.

use std::{io, ops::ControlFlow, time::Duration};

use selvedge_core::{Machine, Time, record::Recorded, step};
use tokio::sync::mpsc;

use crate::{clock::Clock, recorder::Recorder};

/// How many inputs may wait for a machine. Whoever produces more waits: a reader of a socket then
/// stops reading, and TCP tells the peer.
pub const INBOX_MAX: usize = 1_024;

/// How many inputs are taken in before the loop looks at the deadlines again and lets other tasks
/// run.
const INPUTS_A_TURN: usize = 64;

/// The longest sleep: a timer that is set far ahead is set again on the way, so that a process
/// that was suspended notices within this span that its clock has jumped.
const NAP_MAX: Duration = Duration::from_secs(10);

/// What carries out the outputs of a machine: sockets, HTTP, files. It answers through the sender
/// of the machine's inbox, never by calling the machine.
pub trait World<M: Machine> {
    /// Carries out one output, without waiting. `Break` ends the drive.
    fn carry_out(&mut self, now: Time, output: M::Output) -> ControlFlow<()>;
}

/// Where the inputs of a machine arrive.
pub trait Inbox<I> {
    /// Waits for inputs and appends them, at most `most`: how many. None means that there will
    /// never be another one. Dropped before it is done, it has taken nothing.
    fn take(&mut self, inputs: &mut Vec<I>, most: usize) -> impl Future<Output = usize> + Send;
}

impl<I: Send> Inbox<I> for mpsc::Receiver<I> {
    async fn take(&mut self, inputs: &mut Vec<I>, most: usize) -> usize {
        self.recv_many(inputs, most).await
    }
}

/// The way into an inbox.
pub trait Outlet<I>: Send + Sync {
    /// Makes an input when there is room for it, and puts it in: whether somebody may still take it.
    /// Dropped before it is done, it has made nothing.
    fn put(&self, make: impl FnOnce() -> I + Send) -> impl Future<Output = bool> + Send;
}

impl<I: Send> Outlet<I> for mpsc::Sender<I> {
    async fn put(&self, make: impl FnOnce() -> I + Send) -> bool {
        let place = self.reserve().await;
        place.is_ok_and(|place| {
            place.send(make());
            true
        })
    }
}

/// Sees every step of a machine before it is taken: the one place that every input passes.
pub trait Tap<I> {
    /// A step is about to be taken, with an input or without.
    ///
    /// # Errors
    ///
    /// Where it cannot be written down; the drive ends with that.
    fn step(&mut self, now: Time, input: Option<&I>) -> io::Result<()>;
}

/// Nothing is written down.
impl<I> Tap<I> for () {
    fn step(&mut self, _: Time, _: Option<&I>) -> io::Result<()> {
        Ok(())
    }
}

impl<I: Recorded> Tap<I> for Option<Recorder> {
    fn step(&mut self, now: Time, input: Option<&I>) -> io::Result<()> {
        match (self, input) {
            (Some(recorder), Some(input)) => recorder.input(now, input),
            (Some(recorder), None) => recorder.tick(now),
            (None, _) => Ok(()),
        }
    }
}

/// Drives `machine` until its inbox is closed and empty, or its world breaks off.
///
/// # Errors
///
/// Where the tap fails: a recording was asked for and cannot be written.
pub async fn drive<M, W>(
    machine: &mut M,
    clock: Clock,
    inbox: &mut impl Inbox<M::Input>,
    world: &mut W,
    mut tap: impl Tap<M::Input>,
) -> io::Result<()>
where
    M: Machine,
    W: World<M>,
{
    loop {
        // Made anew in each turn, so that no room is held while there is nothing to do.
        let mut inputs = Vec::new();
        let nap = match machine.next_wakeup() {
            Some(wakeup) => wakeup.at.since(clock.now()).min(NAP_MAX),
            None => NAP_MAX,
        };
        tokio::select! {
            biased;
            taken = inbox.take(&mut inputs, INPUTS_A_TURN) => {
                if taken == 0 {
                    return Ok(());
                }
            }
            () = tokio::time::sleep(nap) => {}
        }
        let mut outputs = Vec::new();
        let now = clock.now();
        if inputs.is_empty() {
            tap.step(now, None)?;
            step(machine, now, None, &mut outputs);
            if carry_out(world, now, &mut outputs).is_break() {
                return Ok(());
            }
        }
        for input in inputs {
            tap.step(now, Some(&input))?;
            step(machine, now, Some(input), &mut outputs);
            if carry_out(world, now, &mut outputs).is_break() {
                return Ok(());
            }
        }
    }
}

fn carry_out<M: Machine, W: World<M>>(
    world: &mut W,
    now: Time,
    outputs: &mut Vec<M::Output>,
) -> ControlFlow<()> {
    outputs
        .drain(..)
        .try_for_each(|output| world.carry_out(now, output))
}
