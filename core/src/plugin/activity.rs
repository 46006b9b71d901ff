//! What people see of an agent that is at work: that it types in a channel, and that it is busy.

use alloc::collections::BTreeSet;
use core::time::Duration;

use crate::{canonical, deadlines::Deadlines, machine::Wakeup, plugin::turns::Place, time::Time};

/// A turn that is over sooner is not shown: its answer is there before anybody could look.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// How often it is told that the agent types: clients show it for about five seconds.
const TYPING_EVERY: Duration = Duration::from_secs(3);

/// The turns that run, as far as people see them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Activity {
    due: Deadlines<Place>,
    shown: BTreeSet<Place>,
}
canonical!(struct Activity { due, shown });

impl Activity {
    /// A turn has begun.
    pub fn on_start(&mut self, now: Time, place: Place) {
        self.due.set(place, Some(now + SHOWN_AFTER));
    }

    /// A turn has ended. `true` where the agent is not busy any more.
    pub fn on_end(&mut self, place: &Place) -> bool {
        self.due.set(place.clone(), None);
        self.shown.remove(place) && self.shown.is_empty()
    }

    /// The next channel to tell that the agent types there, and whether it has just become busy.
    pub fn next_due(&mut self, now: Time) -> Option<(Place, bool)> {
        let place = self.due.pop_due(now)?;
        self.due.set(place.clone(), Some(now + TYPING_EVERY));
        let was_busy = self.is_busy();
        self.shown.insert(place.clone());
        Some((place, !was_busy))
    }

    /// Whether the agent is busy.
    pub fn is_busy(&self) -> bool {
        !self.shown.is_empty()
    }

    /// When there is something to tell.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.due.earliest().map(|at| Wakeup { at, why: "typing" })
    }
}
