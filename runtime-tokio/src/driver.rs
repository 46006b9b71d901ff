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

/// How many outputs are carried out before the world settles, although more inputs are ready: what it
/// puts off until then, such as waking those who write to a thousand sockets, waits some 10 ms for it
/// where there is much to do.
const OUTPUTS_A_SETTLING: usize = 8_192;

/// The longest sleep: a timer that is set far ahead is set again on the way, so that a process
/// that was suspended notices within this span that its clock has jumped.
const NAP_MAX: Duration = Duration::from_secs(10);

/// What carries out the outputs of a machine: sockets, HTTP, files. It answers through the sender
/// of the machine's inbox, never by calling the machine.
pub trait World<M: Machine> {
    /// Carries out one output, without waiting. `Break` ends the drive.
    fn carry_out(&mut self, now: Time, output: M::Output) -> ControlFlow<()>;

    /// What was ready is carried out, or enough of it: what has been put off until then is done now.
    fn settle(&mut self) {}
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
        let played = play(machine, clock.now(), inputs, world, &mut tap);
        // Also where the world breaks off: what was put off is owed to others.
        world.settle();
        if played?.is_break() {
            return Ok(());
        }
    }
}

/// Steps with what is ready, or with the passing of time alone, and carries out what comes of it.
fn play<M: Machine, W: World<M>>(
    machine: &mut M,
    now: Time,
    inputs: Vec<M::Input>,
    world: &mut W,
    tap: &mut impl Tap<M::Input>,
) -> io::Result<ControlFlow<()>> {
    let mut outputs = Vec::new();
    if inputs.is_empty() {
        tap.step(now, None)?;
        step(machine, now, None, &mut outputs);
        return Ok(carry_out(world, now, &mut outputs));
    }
    let mut unsettled = 0;
    for input in inputs {
        tap.step(now, Some(&input))?;
        step(machine, now, Some(input), &mut outputs);
        unsettled += outputs.len();
        if carry_out(world, now, &mut outputs).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if unsettled >= OUTPUTS_A_SETTLING {
            world.settle();
            unsettled = 0;
        }
    }
    Ok(ControlFlow::Continue(()))
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

#[cfg(test)]
mod tests {
    use selvedge_core::Wakeup;

    use super::*;

    /// Says each input once more.
    struct Repeat;

    impl Machine for Repeat {
        type Input = u32;
        type Output = u32;

        fn handle(&mut self, _: Time, input: u32, out: &mut Vec<u32>) {
            out.push(input);
        }

        fn tick(&mut self, _: Time, _: &mut Vec<u32>) {}

        fn next_wakeup(&self) -> Option<Wakeup> {
            None
        }
    }

    /// Keeps everything until it settles, and breaks off at 0.
    #[derive(Default)]
    struct Putting {
        off: Vec<u32>,
        done: Vec<Vec<u32>>,
    }

    impl World<Repeat> for Putting {
        fn carry_out(&mut self, _: Time, output: u32) -> ControlFlow<()> {
            self.off.push(output);
            match output {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }

        fn settle(&mut self) {
            self.done.push(std::mem::take(&mut self.off));
        }
    }

    async fn driven(inputs: &[u32], tap: impl Tap<u32>) -> (io::Result<()>, Putting) {
        let (inbox_in, mut inbox) = mpsc::channel(16_384);
        for input in inputs {
            inbox_in.send(*input).await.unwrap();
        }
        drop(inbox_in);
        let mut world = Putting::default();
        let result = drive(&mut Repeat, Clock::start(), &mut inbox, &mut world, tap).await;
        (result, world)
    }

    #[tokio::test]
    async fn what_is_put_off_is_done_before_the_next_is_awaited_and_however_the_drive_ends() {
        let (result, world) = driven(&[1, 2, 3], ()).await;
        assert!(result.is_ok());
        assert_eq!(world.done, [[1, 2, 3]], "once for what was ready");
        let (result, world) = driven(&[1, 0, 3], ()).await;
        assert!(result.is_ok());
        assert_eq!(world.done, [[1, 0]], "the world breaks off");
        /// Cannot write.
        struct Full(u32);
        impl Tap<u32> for Full {
            fn step(&mut self, _: Time, input: Option<&u32>) -> io::Result<()> {
                match input == Some(&self.0) {
                    true => Err(io::ErrorKind::StorageFull.into()),
                    false => Ok(()),
                }
            }
        }
        let (result, world) = driven(&[1, 2, 3], Full(3)).await;
        assert!(result.is_err());
        assert_eq!(world.done, [[1, 2]], "the recording breaks off");
    }
}
