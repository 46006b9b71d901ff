//! The manager with a desk before it: who waits for what.
//!
//! Everything that a socket wants comes in with the sender of its reply, and everything that the
//! world has found out with what it has found; the desk keeps what is the runtime's and hands the
//! rest to the [`Manager`].

use std::{mem, sync::Arc, time::Duration};

use selvedge_core::{
    Machine, RequestId, SmallMap, Time,
    link::{Authorize, AuthorizeFailure},
    machine::Wakeup,
    socketio::{
        Call, CallError, Namespace, Unsent,
        event::{Answer, Emission, Event},
        manager::{Input, Manager, Output},
    },
    ws::ConnId,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{target::Target, world::Member};
use crate::ws::WsHandle;

/// How an emission that is handed over ends.
pub(super) type Handed = oneshot::Sender<Result<(), Unsent>>;

/// How a call ends.
pub(super) type Answered = oneshot::Sender<Result<Answer, CallError>>;

/// What reaches the task of a connection.
#[derive(Debug)]
pub(super) enum Ask {
    /// For the manager.
    Manager(Input),
    /// The URL and the headers of the next attempt.
    Prepared(RequestId<Authorize>, Result<Arc<Target>, AuthorizeFailure>),
    /// A WebSocket is open.
    Opened(ConnId, WsHandle, Input),
    /// Join a namespace for the first time.
    Join(Namespace, Member),
    /// Send it, by this way, and say whether it was taken.
    Emit {
        emission: Emission,
        way: Way,
        handed: Handed,
        /// Held while the request waits here.
        room: OwnedSemaphorePermit,
    },
    /// Send it, and tell the answer.
    Call {
        emission: Emission,
        patience: Duration,
        answered: Answered,
        /// As above.
        room: OwnedSemaphorePermit,
    },
    /// Leave a namespace for good, and say when that is done.
    Leave(Namespace, Option<oneshot::Sender<()>>),
    /// Leave everything, and drop this when the connection is closed.
    Shutdown(oneshot::Sender<()>),
}

/// How an emission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It may be kept.
    Kept,
    /// Now or not at all.
    Volatile,
    /// It answers an event of this membership, and belongs on no other.
    Answer(u64),
}

/// What the world has to do.
#[derive(Debug)]
pub(super) enum Told {
    /// What the manager asks and tells, apart from events and answers.
    Manager(Output),
    Prepared(Arc<Target>),
    Opened(ConnId, WsHandle),
    Join(Namespace, Member),
    Event(Namespace, Event, u64),
    Handed(Handed, Result<(), Unsent>),
    Answered(Answered, Result<Answer, CallError>),
    Left(Namespace, Option<oneshot::Sender<()>>),
    /// Everything is said; the rest is to drop this when it is done.
    Over(oneshot::Sender<()>),
}

/// A manager, with those who wait for it.
#[derive(Debug)]
pub(super) struct Desk {
    manager: Manager,
    calls: SmallMap<RequestId<Call>, Answered>,
    next_call: u64,
    /// Which membership, counted over all namespaces, each joined namespace is in.
    epochs: SmallMap<Namespace, u64>,
    next_epoch: u64,
    /// Empty between steps: kept for the memory of one output, which few steps exceed.
    scratch: Vec<Output>,
}

impl Desk {
    pub(super) fn new(manager: Manager) -> Self {
        Self {
            manager,
            calls: SmallMap::default(),
            next_call: 0,
            epochs: SmallMap::default(),
            next_epoch: 0,
            scratch: Vec::new(),
        }
    }

    fn hand(&mut self, now: Time, input: Input, out: &mut Vec<Told>) {
        let mut outputs = mem::take(&mut self.scratch);
        self.manager.handle(now, input, &mut outputs);
        self.relay(outputs, out);
    }

    fn emit(
        &mut self,
        now: Time,
        (emission, way): (Emission, Way),
        out: &mut Vec<Told>,
        handed: Handed,
    ) {
        let namespace = emission.namespace().clone();
        let input = match way {
            Way::Kept => Input::Emit(emission),
            Way::Volatile => Input::EmitVolatile(emission),
            Way::Answer(epoch) if self.epochs.get(&namespace) == Some(&epoch) => {
                Input::EmitVolatile(emission)
            }
            Way::Answer(_) => {
                return out.push(Told::Handed(handed, Err(Unsent::NotConnected)));
            }
        };
        let mut outputs = mem::take(&mut self.scratch);
        self.manager.handle(now, input, &mut outputs);
        // The first that is not sent is the one that was just handed over: what was kept before
        // comes back when time passes or the membership changes. Should that be found out in this
        // very step, the count is right all the same.
        let refused = outputs.iter().position(
            |output| matches!(output, Output::Dropped { namespace: of, .. } if *of == namespace),
        );
        let result = match refused.map(|at| outputs.remove(at)) {
            Some(Output::Dropped { why, .. }) => Err(why),
            Some(_) | None => Ok(()),
        };
        self.relay(outputs, out);
        out.push(Told::Handed(handed, result));
    }

    fn call(
        &mut self,
        now: Time,
        (emission, patience): (Emission, Duration),
        out: &mut Vec<Told>,
        answered: Answered,
    ) {
        let id = RequestId::from_number(self.next_call);
        self.next_call += 1;
        self.calls.insert(id, answered);
        let call = Input::Call {
            id,
            emission,
            patience,
        };
        self.hand(now, call, out);
    }

    fn relay(&mut self, mut outputs: Vec<Output>, out: &mut Vec<Told>) {
        for output in outputs.drain(..) {
            match output {
                Output::Event { namespace, event } => {
                    let epoch = self.epochs.get(&namespace).copied().unwrap_or_default();
                    out.push(Told::Event(namespace, event, epoch));
                }
                Output::Answered { id, result } => {
                    let answered = self.calls.remove(&id);
                    out.extend(answered.map(|answered| Told::Answered(answered, result)));
                }
                Output::Connected { ref namespace, .. } => {
                    self.epochs.insert(namespace.clone(), self.next_epoch);
                    self.next_epoch += 1;
                    out.push(Told::Manager(output));
                }
                Output::Disconnected { ref namespace, .. } => {
                    self.epochs.remove(namespace);
                    out.push(Told::Manager(output));
                }
                Output::Prepare(_)
                | Output::ForgetPrepare(_)
                | Output::Auth { .. }
                | Output::ForgetAuth(_)
                | Output::Dial(_)
                | Output::HangUp(_)
                | Output::Transport(..)
                | Output::Refused { .. }
                | Output::Down { .. }
                | Output::GaveUp { .. }
                | Output::Dropped { .. } => out.push(Told::Manager(output)),
            }
        }
        outputs.shrink_to(1);
        self.scratch = outputs;
    }
}

impl Machine for Desk {
    type Input = Ask;
    type Output = Told;

    fn handle(&mut self, now: Time, input: Ask, out: &mut Vec<Told>) {
        match input {
            Ask::Manager(input) => self.hand(now, input, out),
            Ask::Prepared(id, result) => {
                let result = result.map(|target| out.push(Told::Prepared(target)));
                self.hand(now, Input::Prepared(id, result), out);
            }
            Ask::Opened(conn, handle, input) => {
                out.push(Told::Opened(conn, handle));
                self.hand(now, input, out);
            }
            Ask::Join(namespace, member) => {
                out.push(Told::Join(namespace.clone(), member));
                self.hand(now, Input::Join { namespace }, out);
            }
            Ask::Emit {
                emission,
                way,
                handed,
                room,
            } => {
                drop(room);
                self.emit(now, (emission, way), out, handed);
            }
            Ask::Call {
                emission,
                patience,
                answered,
                room,
            } => {
                drop(room);
                self.call(now, (emission, patience), out, answered);
            }
            Ask::Leave(namespace, left) => {
                self.epochs.remove(&namespace);
                let leave = Input::Leave {
                    namespace: namespace.clone(),
                };
                self.hand(now, leave, out);
                out.push(Told::Left(namespace, left));
            }
            Ask::Shutdown(closed) => {
                self.hand(now, Input::Shutdown, out);
                out.push(Told::Over(closed));
            }
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Told>) {
        let mut outputs = mem::take(&mut self.scratch);
        self.manager.tick(now, &mut outputs);
        self.relay(outputs, out);
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        self.manager.next_wakeup()
    }
}
