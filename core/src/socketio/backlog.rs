//! The emissions that wait for a namespace to be joined, at a client and at a manager.

use alloc::{collections::VecDeque, vec::Vec};

use super::{AckId, Call, Namespace, client::Buffer, event::Emission};
use crate::{canonical, request::RequestId};

/// Emissions in the order in which they came, within the limits of a [`Buffer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backlog<C> {
    waiting: VecDeque<Waiting<C>>,
    bytes: usize,
}
canonical!(struct Backlog[C] { waiting, bytes });

/// One of them, and which call it is, if it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting<C> {
    pub(super) emission: Emission,
    pub(super) call: C,
}
canonical!(struct Waiting[C] { emission, call });

/// A call of a client that waits: the embedder's id, and the one on the wire.
pub(super) type WaitingCall = Option<(RequestId<Call>, AckId)>;

impl<C> Default for Backlog<C> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<C> Backlog<C> {
    /// Whether one more finds room.
    pub(super) fn has_room(&self, limits: Buffer, emission: &Emission) -> bool {
        match limits {
            Buffer::Drop => false,
            Buffer::Keep {
                events_max,
                bytes_max,
            } => {
                let bytes = self.bytes.saturating_add(emission.bytes());
                self.waiting.len() < events_max && bytes <= bytes_max
            }
        }
    }

    pub(super) fn push(&mut self, waiting: Waiting<C>) {
        self.bytes += waiting.emission.bytes();
        self.waiting.push_back(waiting);
    }

    /// Takes out what waits for a namespace, or everything.
    pub(super) fn take(&mut self, of: Option<&Namespace>) -> Vec<Waiting<C>> {
        let is_wanted =
            |waiting: &Waiting<C>| of.is_none_or(|of| waiting.emission.namespace() == of);
        self.split(is_wanted)
    }

    /// Takes out the first that waits for a namespace.
    pub(super) fn pop(&mut self, of: &Namespace) -> Option<Waiting<C>> {
        let is_wanted = |waiting: &Waiting<C>| waiting.emission.namespace() == of;
        let at = self.waiting.iter().position(is_wanted)?;
        let waiting = self.waiting.remove(at)?;
        self.bytes -= waiting.emission.bytes();
        Some(waiting)
    }

    /// Takes out some.
    pub(super) fn split(&mut self, is_taken: impl Fn(&Waiting<C>) -> bool) -> Vec<Waiting<C>> {
        if !self.waiting.iter().any(&is_taken) {
            return Vec::new();
        }
        let all = core::mem::take(&mut self.waiting);
        let (taken, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_taken);
        let bytes: usize = taken.iter().map(|waiting| waiting.emission.bytes()).sum();
        self.bytes -= bytes;
        self.waiting = rest.into();
        taken
    }
}

impl Backlog<WaitingCall> {
    /// Forgets a call that has ended.
    pub(super) fn forget(&mut self, id: RequestId<Call>) {
        self.split(|waiting| waiting.call.is_some_and(|(call, _)| call == id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(name: &str, call: Option<(u64, u64)>) -> Waiting<WaitingCall> {
        let namespace = Namespace::new(name).unwrap();
        Waiting {
            emission: Emission::event(&namespace, "e", &()).unwrap(),
            call: call.map(|(id, ack)| (RequestId::from_number(id), AckId::from_number(ack))),
        }
    }

    #[test]
    fn what_waits_leaves_in_order_and_gives_its_room_back() {
        let [a, b] = ["/a", "/b"].map(|name| Namespace::new(name).unwrap());
        let bytes = waiting("/a", None).emission.bytes();
        let limits = |events_max, bytes_max| Buffer::Keep {
            events_max,
            bytes_max,
        };
        let mut backlog = Backlog::default();
        for (name, call) in [("/a", None), ("/b", Some((7, 0))), ("/a", Some((8, 3)))] {
            backlog.push(waiting(name, call));
        }
        let next = waiting("/a", None).emission;
        assert!(backlog.has_room(limits(4, bytes * 4), &next));
        assert!(!backlog.has_room(limits(3, bytes * 4), &next));
        assert!(!backlog.has_room(limits(4, bytes * 4 - 1), &next));
        assert!(!backlog.has_room(Buffer::Drop, &next));
        backlog.forget(RequestId::from_number(7));
        assert_eq!(backlog.take(Some(&b)), []);
        let taken = [waiting("/a", None), waiting("/a", Some((8, 3)))];
        assert_eq!(backlog.clone().take(None), taken);
        let mut popped = backlog.clone();
        assert_eq!(popped.pop(&b), None);
        assert_eq!([&a, &a].map(|of| popped.pop(of).unwrap()), taken);
        assert_eq!(popped, Backlog::default());
        assert_eq!(backlog.take(Some(&a)), taken);
        assert_eq!(backlog, Backlog::default());
    }
}
