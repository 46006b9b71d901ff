//! The one loop that drives every machine: take what is ready, step, carry out, sleep.

use std::{ops::ControlFlow, time::Duration};

use selvedge_core::{Machine, Snapshot, Time, record::Recorded, step};
use serde::Serialize;
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

/// Sees every step of a machine: the one place that every input passes.
pub trait Tap<M: Machine> {
    /// A step is about to be taken by the machine, with an input or without.
    fn before(&mut self, now: Time, input: Option<&M::Input>, machine: &M);

    /// It has been taken, and this is to be carried out now.
    fn after(&mut self, outputs: &[M::Output]);

    /// What was ready is done, and the next may be long in coming.
    fn settle(&mut self) {}
}

/// Nothing is written down.
impl<M: Machine> Tap<M> for () {
    fn before(&mut self, _: Time, _: Option<&M::Input>, _: &M) {}

    fn after(&mut self, _: &[M::Output]) {}
}

impl<M> Tap<M> for Option<Recorder<M>>
where
    M: Machine + Snapshot + Clone + Send + 'static,
    M::Input: Recorded + Clone + Send + 'static,
    M::Output: Serialize + Clone + Send + 'static,
{
    fn before(&mut self, now: Time, input: Option<&M::Input>, machine: &M) {
        if let Some(recorder) = self {
            recorder.before(now, input.cloned(), machine);
        }
    }

    fn after(&mut self, outputs: &[M::Output]) {
        if let Some(recorder) = self {
            recorder.after(outputs.to_vec());
        }
    }

    fn settle(&mut self) {
        if let Some(recorder) = self {
            recorder.settle();
        }
        self.take_if(|recorder| recorder.has_ended());
    }
}

/// Whoever looks at a machine between two steps. It changes nothing, and is in no recording.
pub trait Onlooker<M>: Send {
    /// Waits until somebody wants to know something. Dropped before it is done, it has lost nothing.
    fn asked(&mut self) -> impl Future<Output = ()> + Send;

    /// Looks at the machine, for those who have asked.
    fn look(&mut self, now: Time, machine: &M);
}

/// Nobody looks.
impl<M> Onlooker<M> for () {
    async fn asked(&mut self) {
        std::future::pending().await
    }

    fn look(&mut self, _: Time, _: &M) {}
}

/// Drives `machine` until its inbox is closed and empty, or its world breaks off.
pub async fn drive<M, W>(
    machine: &mut M,
    clock: Clock,
    inbox: &mut impl Inbox<M::Input>,
    world: &mut W,
    tap: impl Tap<M>,
) where
    M: Machine,
    W: World<M>,
{
    drive_watched(machine, clock, inbox, world, tap, ()).await;
}

/// The same, while `onlooker` looks at the machine when it is asked to.
pub async fn drive_watched<M, W>(
    machine: &mut M,
    clock: Clock,
    inbox: &mut impl Inbox<M::Input>,
    world: &mut W,
    mut tap: impl Tap<M>,
    mut onlooker: impl Onlooker<M>,
) where
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
            // First, so that a machine that is never at rest answers too; who asks is few.
            () = onlooker.asked() => {
                onlooker.look(clock.now(), machine);
                continue;
            }
            taken = inbox.take(&mut inputs, INPUTS_A_TURN) => {
                if taken == 0 {
                    return;
                }
            }
            () = tokio::time::sleep(nap) => {}
        }
        let played = play(machine, clock.now(), inputs, world, &mut tap);
        // Also where the world breaks off: what was put off is owed to others.
        world.settle();
        tap.settle();
        if played.is_break() {
            return;
        }
    }
}

/// Steps with what is ready, or with the passing of time alone, and carries out what comes of it.
fn play<M: Machine, W: World<M>>(
    machine: &mut M,
    now: Time,
    inputs: Vec<M::Input>,
    world: &mut W,
    tap: &mut impl Tap<M>,
) -> ControlFlow<()> {
    let mut outputs = Vec::new();
    if inputs.is_empty() {
        tap.before(now, None, machine);
        step(machine, now, None, &mut outputs);
        tap.after(&outputs);
        return carry_out(world, now, &mut outputs);
    }
    let mut unsettled = 0;
    for input in inputs {
        tap.before(now, Some(&input), machine);
        step(machine, now, Some(input), &mut outputs);
        tap.after(&outputs);
        unsettled += outputs.len();
        carry_out(world, now, &mut outputs)?;
        if unsettled >= OUTPUTS_A_SETTLING {
            world.settle();
            unsettled = 0;
        }
    }
    ControlFlow::Continue(())
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

    async fn driven(inputs: &[u32]) -> Putting {
        let (inbox_in, mut inbox) = mpsc::channel(16_384);
        for input in inputs {
            inbox_in.send(*input).await.unwrap();
        }
        drop(inbox_in);
        let mut world = Putting::default();
        drive(&mut Repeat, Clock::start(), &mut inbox, &mut world, ()).await;
        world
    }

    #[tokio::test]
    async fn what_is_put_off_is_done_before_the_next_is_awaited_and_however_the_drive_ends() {
        let world = driven(&[1, 2, 3]).await;
        assert_eq!(world.done, [[1, 2, 3]], "once for what was ready");
        let world = driven(&[1, 0, 3]).await;
        assert_eq!(world.done, [[1, 0]], "the world breaks off");
    }

    /// Asks as often as it is told to, and sees how much the machine has heard.
    struct Curious<'o> {
        left: u32,
        seen: &'o mut Vec<u64>,
    }

    impl Onlooker<Count> for Curious<'_> {
        async fn asked(&mut self) {
            if self.left == 0 {
                std::future::pending().await
            }
        }

        fn look(&mut self, _: Time, machine: &Count) {
            self.left -= 1;
            self.seen.push(machine.0);
        }
    }

    /// Counts its inputs, and says so.
    struct Count(u64);

    impl Machine for Count {
        type Input = ();
        type Output = u64;

        fn handle(&mut self, _: Time, (): (), out: &mut Vec<u64>) {
            self.0 += 1;
            out.push(self.0);
        }

        fn tick(&mut self, _: Time, _: &mut Vec<u64>) {}

        fn next_wakeup(&self) -> Option<Wakeup> {
            None
        }
    }

    /// Asks for more as long as there is less than so much, so that the inbox is never empty.
    struct Busy(u64, mpsc::Sender<()>);

    impl World<Count> for Busy {
        fn carry_out(&mut self, _: Time, output: u64) -> ControlFlow<()> {
            if output == self.0 {
                return ControlFlow::Break(());
            }
            self.1.try_send(()).unwrap();
            ControlFlow::Continue(())
        }
    }

    #[tokio::test]
    async fn whoever_looks_is_answered_by_a_machine_that_is_never_at_rest_and_is_no_input() {
        /// Counts what is written down.
        struct Written<'t>(&'t mut u64);
        impl Tap<Count> for Written<'_> {
            fn before(&mut self, _: Time, _: Option<&()>, _: &Count) {
                *self.0 += 1;
            }

            fn after(&mut self, _: &[u64]) {}
        }
        let (inbox_in, mut inbox) = mpsc::channel(16);
        inbox_in.send(()).await.unwrap();
        let (mut machine, mut seen, mut written) = (Count(0), Vec::new(), 0);
        let curious = Curious {
            left: 3,
            seen: &mut seen,
        };
        let (clock, mut world) = (Clock::start(), Busy(1_000, inbox_in));
        let tap = Written(&mut written);
        drive_watched(&mut machine, clock, &mut inbox, &mut world, tap, curious).await;
        assert_eq!(seen, [0, 0, 0], "before anything else");
        assert_eq!((machine.0, written), (1_000, 1_000));
    }
}
