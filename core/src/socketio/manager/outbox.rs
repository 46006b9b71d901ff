//! What waits for namespaces to be joined, and which calls are open.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Config, Output};
use crate::{
    canonical,
    machine::Wakeup,
    request::{RequestId, Requests},
    small_map::SmallMap,
    socketio::{
        Call, CallError, Namespace, Unsent,
        backlog::{Backlog, Waiting},
        client::Buffer,
        event::Emission,
    },
    time::Time,
};

/// The outbox of a manager: emissions in the order in which they came, each with a moment up to
/// which it waits, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outbox {
    buffer: Buffer,
    keep_for: Option<Duration>,
    calls_max: usize,
    backlog: Backlog<Ticket>,
    places: Requests<Place, ()>,
    /// All that are open: those that wait, and those that were handed to the client.
    calls: SmallMap<RequestId<Call>, ()>,
}
canonical!(struct Outbox { backlog, places, calls; - buffer, keep_for, calls_max });

/// The kind of a place in the outbox.
#[derive(Clone, Copy, Debug)]
enum Place {}

/// What belongs to an emission that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ticket {
    place: RequestId<Place>,
    /// Which call it is, if it is one, and up to when it is to be answered.
    call: Option<(RequestId<Call>, Time)>,
}
canonical!(struct Ticket { place, call });

/// An emission to be sent now; and which call it is, with what is left of its patience.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) emission: Emission,
    pub(super) call: Option<(RequestId<Call>, Duration)>,
}

impl Outbox {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            buffer: config.client.buffer,
            keep_for: config.keep_for,
            calls_max: config.client.calls_max,
            backlog: Backlog::default(),
            places: Requests::default(),
            calls: SmallMap::default(),
        }
    }

    /// Keeps an emission; where it cannot be kept, says why.
    pub(super) fn keep(&mut self, now: Time, emission: Emission) -> Result<(), Unsent> {
        if !self.is_keeping() {
            return Err(Unsent::NotConnected);
        }
        if !self.backlog.has_room(self.buffer, &emission) {
            return Err(Unsent::BufferFull);
        }
        let ticket = Ticket {
            place: self.places.ask(now, self.keep_for, ()),
            call: None,
        };
        self.push(emission, ticket);
        Ok(())
    }

    /// Keeps a call that was [opened](Self::open_call).
    pub(super) fn keep_call(
        &mut self,
        now: Time,
        id: RequestId<Call>,
        emission: Emission,
        patience: Duration,
    ) {
        let ticket = Ticket {
            place: self.places.ask(now, Some(patience), ()),
            call: Some((id, now + patience)),
        };
        self.push(emission, ticket);
    }

    /// Opens a call, if there is room for it: among those that wait too, where it `waits`.
    pub(super) fn open_call(
        &mut self,
        id: RequestId<Call>,
        emission: &Emission,
        waits: bool,
    ) -> Result<(), CallError> {
        if self.calls.len() >= self.calls_max {
            return Err(CallError::TooMany);
        }
        if !emission.is_event() {
            return Err(CallError::NotAnEvent);
        }
        if waits && !self.is_keeping() {
            return Err(CallError::NotConnected);
        }
        if waits && !self.backlog.has_room(self.buffer, emission) {
            return Err(CallError::BufferFull);
        }
        self.calls.insert(id, ());
        Ok(())
    }

    /// Whether a call is open.
    pub(super) fn is_open(&self, id: RequestId<Call>) -> bool {
        self.calls.contains_key(&id)
    }

    /// Closes a call; false where it is not open.
    pub(super) fn close_call(&mut self, id: RequestId<Call>) -> bool {
        self.calls.remove(&id).is_some()
    }

    /// Takes out the first that waits for a namespace. A call stays open.
    pub(super) fn pop(&mut self, now: Time, of: &Namespace) -> Option<Due> {
        let Waiting { emission, call } = self.backlog.pop(of)?;
        self.places.answer(call.place);
        Some(Due {
            emission,
            call: call.call.map(|(id, until)| (id, until.since(now))),
        })
    }

    /// Gives back what waits for a namespace, or everything.
    pub(super) fn clear(&mut self, of: Option<&Namespace>, out: &mut Vec<Output>) {
        for waiting in self.backlog.take(of) {
            self.places.answer(waiting.call.place);
            self.give_back(waiting, Unsent::NotConnected, CallError::NotConnected, out);
        }
    }

    /// Gives back what has waited long enough.
    pub(super) fn expire(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((place, ())) = self.places.expire(now) {
            let expired = self.backlog.split(|waiting| waiting.call.place == place);
            for waiting in expired {
                self.give_back(waiting, Unsent::Expired, CallError::Timeout, out);
            }
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        self.places
            .next_wakeup("socket.io manager: an emission has waited long enough")
    }

    fn is_keeping(&self) -> bool {
        self.buffer != Buffer::Drop
    }

    fn push(&mut self, emission: Emission, call: Ticket) {
        self.backlog.push(Waiting { emission, call });
    }

    fn give_back(
        &mut self,
        waiting: Waiting<Ticket>,
        why: Unsent,
        error: CallError,
        out: &mut Vec<Output>,
    ) {
        out.push(match waiting.call.call {
            Some((id, _)) => {
                self.calls.remove(&id);
                let result = Err(error);
                Output::Answered { id, result }
            }
            None => Output::Dropped {
                namespace: waiting.emission.namespace().clone(),
                why,
            },
        });
    }
}
