//! When the host can be given its first inbound.

use core::time::Duration;

use crate::{canonical, machine::Wakeup, time::Time};

/// What the host has done so far towards its first inbound.
///
/// A host that loses what comes in the first moments of its session is given none before it has asked
/// for the list of tools and some time has passed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Opening {
    /// Whether it says when a turn is done, once it is initialised.
    says_done: Option<bool>,
    listed: bool,
    at: Option<Time>,
}
canonical!(struct Opening { says_done, listed, at });

impl Opening {
    /// The host is initialised. It is given nothing until `settle` after it has asked for the tools;
    /// at once where that is `None`.
    pub fn on_ready(&mut self, now: Time, says_done: bool, settle: Option<Duration>) {
        self.says_done = Some(says_done);
        self.at = match settle {
            None => Some(now),
            Some(settle) => self.listed.then(|| now + settle),
        };
    }

    /// The host has asked for the list of tools.
    pub fn on_listed(&mut self, now: Time, settle: Option<Duration>) {
        let first = !core::mem::replace(&mut self.listed, true);
        if let Some(settle) = settle
            && first
            && self.says_done.is_some()
        {
            self.at = Some(now + settle);
        }
    }

    /// Whether it says when a turn is done, at the moment from which on it can be given inbounds.
    pub fn opens(&mut self, now: Time) -> Option<bool> {
        self.at.take_if(|at| *at <= now)?;
        self.says_done
    }

    /// When that moment is.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.at.map(|at| Wakeup {
            at,
            why: "the host can be given inbounds",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_millis(500);

    #[test]
    fn a_host_that_loses_nothing_is_given_inbounds_at_once() {
        let (now, mut opening) = (Time::from_millis(1), Opening::default());
        opening.on_listed(now, None);
        assert_eq!(opening.next_wakeup(), None);
        opening.on_ready(now, true, None);
        assert_eq!(opening.opens(now), Some(true));
        assert_eq!(opening.next_wakeup(), None);
    }

    #[test]
    fn in_whatever_order_it_begins_half_a_second_passes_after_both() {
        let (first, second) = (Time::from_millis(1), Time::from_millis(700));
        let mut one = Opening::default();
        one.on_ready(first, false, Some(SETTLE));
        assert_eq!(one.next_wakeup(), None, "it has not asked for the tools");
        one.on_listed(second, Some(SETTLE));
        let mut other = Opening::default();
        other.on_listed(first, Some(SETTLE));
        other.on_ready(second, false, Some(SETTLE));
        assert_eq!(one, other);
        let at = second + SETTLE;
        assert_eq!(one.next_wakeup().unwrap().at, at);
        one.on_listed(second + SETTLE / 2, Some(SETTLE));
        assert_eq!(one.opens(at - Duration::from_micros(1)), None);
        assert_eq!(one.opens(at), Some(false));
        one.on_listed(at, Some(SETTLE));
        assert_eq!(one.opens(at + SETTLE), None, "only the first list counts");
    }
}
