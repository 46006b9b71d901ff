//! The events that wait for their answers, on either side of a connection.

use core::time::Duration;

use super::{AckId, Call, Namespace};
use crate::{
    canonical, deadlines::Deadlines, machine::Wakeup, request::RequestId, small_map::SmallMap,
    time::Time,
};

/// Open calls, by the embedder's id and by the id on the wire. Each leaves exactly once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    open: SmallMap<RequestId<Call>, (Namespace, AckId)>,
    waiting: SmallMap<(Namespace, AckId), RequestId<Call>>,
    patience: Deadlines<RequestId<Call>>,
    next: u64,
}
canonical!(struct Calls { open, patience, next; - waiting });

impl Calls {
    /// The id on the wire of the call that is opened next. One connection never has the same twice:
    /// the answer to a call of a membership that is over may come when the namespace is joined
    /// again.
    pub(super) fn next_ack(&self) -> AckId {
        AckId::from_number(self.next)
    }

    /// Opens a call under [`next_ack`](Self::next_ack).
    pub(super) fn open(
        &mut self,
        now: Time,
        id: RequestId<Call>,
        namespace: Namespace,
        patience: Duration,
    ) -> AckId {
        let ack = self.next_ack();
        self.next += 1;
        self.waiting.insert((namespace.clone(), ack), id);
        self.open.insert(id, (namespace, ack));
        self.patience.set(id, Some(now + patience));
        ack
    }

    pub(super) fn is_open(&self, id: RequestId<Call>) -> bool {
        self.open.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Closes the call that waits under `ack`; `None` where there is none, such as after its
    /// timeout.
    pub(super) fn answer(&mut self, namespace: Namespace, ack: AckId) -> Option<RequestId<Call>> {
        let id = self.waiting.remove(&(namespace, ack))?;
        self.open.remove(&id);
        self.patience.set(id, None);
        Some(id)
    }

    /// Closes one call whose patience has run out.
    pub(super) fn expire(&mut self, now: Time) -> Option<RequestId<Call>> {
        let id = self.patience.pop_due(now)?;
        let key = self.open.remove(&id)?;
        self.waiting.remove(&key);
        Some(id)
    }

    /// Closes the oldest call of a namespace, or of all of them; call until `None`.
    pub(super) fn withdraw(&mut self, from: Option<&Namespace>) -> Option<RequestId<Call>> {
        let (namespace, ack) = match from {
            None => self.waiting.keys().next()?,
            Some(namespace) => {
                let first = (namespace.clone(), AckId::from_number(0));
                let (key, _) = self.waiting.first_from(&first)?;
                (key.0 == *namespace).then_some(key)?
            }
        };
        let (namespace, ack) = (namespace.clone(), *ack);
        self.answer(namespace, ack)
    }

    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        self.patience.earliest().map(|at| Wakeup {
            at,
            why: "socket.io acknowledgement timeout",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_leaves_exactly_once() {
        let ms = Time::from_millis;
        let id = RequestId::from_number;
        let namespace = |name| Namespace::new(name).unwrap();
        let mut calls = Calls::default();
        for (at, (number, name)) in (0..).zip([(7, "/b"), (6, "/a"), (5, "/a"), (4, "/c")]) {
            let patience = Duration::from_millis(number);
            let ack = calls.open(ms(0), id(number), namespace(name), patience);
            assert_eq!(ack.number(), at);
        }
        assert_eq!(calls.len(), 4);
        assert_eq!(calls.expire(ms(4)), Some(id(4)));
        assert_eq!(calls.expire(ms(4)), None);
        assert_eq!(calls.next_wakeup().unwrap().at, ms(5));
        let (b, ack) = (namespace("/b"), AckId::from_number(0));
        assert_eq!(calls.answer(b.clone(), ack), Some(id(7)));
        assert_eq!(calls.answer(b.clone(), ack), None);
        assert_eq!(calls.withdraw(Some(&b)), None);
        let a = namespace("/a");
        assert_eq!(calls.withdraw(Some(&a)), Some(id(6)));
        assert_eq!(calls.withdraw(Some(&a)), Some(id(5)));
        assert_eq!(calls.withdraw(Some(&a)), None);
        let next = 4;
        assert_eq!(
            calls,
            Calls {
                next,
                ..Calls::default()
            }
        );
    }
}
