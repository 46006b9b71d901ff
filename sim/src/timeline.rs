//! What is still to happen, in the order of time: the heap under every run.

use std::{cmp::Reverse, collections::BinaryHeap};

use selvedge_core::Time;

/// Events with their moments; of those that share one, the first that was put in comes first.
#[derive(Clone, Debug)]
pub struct Timeline<E> {
    /// When, the how manieth, and where its event lies: small, so that sorting moves little.
    order: BinaryHeap<Reverse<(Time, u64, usize)>>,
    events: Vec<Option<E>>,
    free: Vec<usize>,
    put: u64,
}

impl<E> Default for Timeline<E> {
    fn default() -> Self {
        Self {
            order: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            put: 0,
        }
    }
}

impl<E> Timeline<E> {
    /// Something is to happen at `at`.
    pub fn put(&mut self, at: Time, event: E) {
        let place = self.free.pop().unwrap_or(self.events.len());
        match self.events.get_mut(place) {
            Some(empty) => *empty = Some(event),
            None => self.events.push(Some(event)),
        }
        self.order.push(Reverse((at, self.put, place)));
        self.put += 1;
    }

    /// When something happens next.
    pub fn next_at(&self) -> Option<Time> {
        self.order.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes out what happens next, if that is at `now` or before.
    pub fn pop_due(&mut self, now: Time) -> Option<E> {
        self.next_at().filter(|at| *at <= now)?;
        let Reverse((_, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.events.get_mut(place)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_then_as_they_were_put_in() {
        let at = Time::from_millis;
        let mut timeline = Timeline::default();
        for (ms, what) in [(5, "d"), (1, "a"), (5, "e"), (2, "b")] {
            timeline.put(at(ms), what);
        }
        assert_eq!(timeline.next_at(), Some(at(1)));
        assert_eq!(timeline.pop_due(at(0)), None);
        assert_eq!(timeline.pop_due(at(2)), Some("a"));
        timeline.put(at(2), "c");
        let rest: Vec<_> = std::iter::from_fn(|| timeline.pop_due(at(9))).collect();
        assert_eq!(rest, ["b", "c", "d", "e"]);
        assert_eq!(timeline.next_at(), None);
    }

    #[test]
    fn places_are_used_again() {
        let mut timeline = Timeline::default();
        for round in 0..1_000 {
            timeline.put(Time::from_millis(round), round);
            assert_eq!(timeline.pop_due(Time::from_millis(round)), Some(round));
        }
        assert_eq!(timeline.events.len(), 1);
    }
}
