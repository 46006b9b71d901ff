//! The contract of every machine, and `step`, the one way to drive one.

use alloc::vec::Vec;

use crate::time::Time;

/// A deterministic state machine without IO.
///
/// Drive it with [`step`]: hand over one input (or none, when its deadline is due), carry out
/// everything that was pushed to `out`, sleep until [`next_wakeup`](Self::next_wakeup).
///
/// Every implementation keeps these laws; `selvedge-tests` holds each of them over random
/// histories:
///
/// 1. **Total**: any input in any state is legal. Late, repeated and unknown answers are ignored.
/// 2. **Closed**: outputs depend on seed, configuration and the list of steps alone.
/// 3. **No parking**: after `step` everything to be done now is in `out`.
/// 4. **Progress**: after a step at `now`, `next_wakeup().at > now`.
/// 5. **Idle ticks are free**: a tick before the deadline changes nothing, and being ticked late
///    equals being ticked at that late time.
/// 6. **Bounded**: every queue, cache and map has a limit.
/// 7. **Every question is closed once**, by its answer or by a `Forget`.
/// 8. **Drop-safe**: after shutdown there is no wake-up and no output.
/// 9. **Comparable**: `Clone + Eq + Canonical`.
pub trait Machine {
    /// Everything that can happen to the machine.
    type Input;
    /// Everything the machine can ask of the world.
    type Output;

    /// Takes one input in.
    fn handle(&mut self, now: Time, input: Self::Input, out: &mut Vec<Self::Output>);

    /// Does whatever is due at `now`.
    fn tick(&mut self, now: Time, out: &mut Vec<Self::Output>);

    /// When `tick` is wanted next, and for what.
    fn next_wakeup(&self) -> Option<Wakeup>;
}

/// A deadline with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wakeup {
    /// The first moment at which `tick` has something to do.
    pub at: Time,
    /// What is due then: a word for traces and debugging.
    pub why: &'static str,
}

/// Handles `input` if there is one, ticks, and checks that the machine made progress. Says when the
/// machine wants to be woken next.
///
/// # Panics
///
/// If the machine still wants to be woken at or before `now`: that would spin the driver, and it
/// is a bug of the machine.
pub fn step<M: Machine>(
    machine: &mut M,
    now: Time,
    input: Option<M::Input>,
    out: &mut Vec<M::Output>,
) -> Option<Wakeup> {
    if let Some(input) = input {
        machine.handle(now, input, out);
    }
    machine.tick(now, out);
    let wakeup = machine.next_wakeup();
    if let Some(wakeup) = wakeup {
        assert!(
            wakeup.at > now,
            "no progress: `{}` is due at {} and it is {}; please report this as a bug of Selvedge",
            wakeup.why,
            wakeup.at,
            now,
        );
    }
    wakeup
}

/// The earliest of several wake-ups; of equal ones the first as written.
#[inline]
pub fn earliest<const N: usize>(wakeups: [Option<Wakeup>; N]) -> Option<Wakeup> {
    wakeups
        .into_iter()
        .flatten()
        .reduce(|first, next| if next.at < first.at { next } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_wakeups_the_first_as_written_wins() {
        let at = Time::from_millis(5);
        let a = Some(Wakeup { at, why: "a" });
        let b = Some(Wakeup { at, why: "b" });
        assert_eq!(earliest([None, a, b]), a);
        assert_eq!(earliest([b, a, None]), b);
        assert_eq!(earliest([None, None]), None);
    }
}
