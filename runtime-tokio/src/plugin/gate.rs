//! The login gate in its task, and the tickets of those that wait at it.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use selvedge_core::{
    Time,
    plugin::login_gate::{Input, LoginGate, Output, Ticket},
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::Clock,
    driver::{self, INBOX_MAX, World},
};

type Waiting = Arc<Mutex<BTreeMap<Ticket, oneshot::Sender<()>>>>;

/// The gate, shared by all agents of a process.
#[derive(Clone, Debug)]
pub struct Gate {
    inbox: mpsc::Sender<Input>,
    waiting: Waiting,
}

/// A login that may be sent; dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Admission {
    inbox: mpsc::Sender<Input>,
    ticket: Ticket,
    waiting: Waiting,
}

impl Gate {
    /// Drives a gate for `most` logins at a time, until its last handle is dropped.
    pub fn start(clock: Clock, most: usize) -> Self {
        let (inbox_in, mut inbox) = mpsc::channel(INBOX_MAX);
        let waiting = Waiting::default();
        let mut world = GateWorld(Arc::clone(&waiting));
        tokio::spawn(async move {
            let mut gate = LoginGate::new(most);
            driver::drive(&mut gate, clock, &mut inbox, &mut world, ()).await;
        });
        Self {
            inbox: inbox_in,
            waiting,
        }
    }

    /// Waits for its turn. Whoever stops waiting gives the ticket back by dropping the future.
    pub(super) async fn admit(&self, ticket: Ticket) -> Admission {
        let (admitted_in, admitted) = oneshot::channel();
        lock(&self.waiting).insert(ticket.clone(), admitted_in);
        let ask = Input::Ask(ticket.clone());
        let admission = Admission {
            inbox: self.inbox.clone(),
            ticket,
            waiting: Arc::clone(&self.waiting),
        };
        // Without its gate a process is ending, and a login more does no harm.
        if self.inbox.send(ask).await.is_ok() {
            let _ = admitted.await;
        }
        admission
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        lock(&self.waiting).remove(&self.ticket);
        let done = Input::Done(self.ticket.clone());
        if let Err(mpsc::error::TrySendError::Full(done)) = self.inbox.try_send(done) {
            let inbox = self.inbox.clone();
            tokio::spawn(async move {
                // As above.
                let _ = inbox.send(done).await;
            });
        }
    }
}

/// Tells those that were let in.
struct GateWorld(Waiting);

impl World<LoginGate> for GateWorld {
    fn carry_out(&mut self, _: Time, output: Output) -> ControlFlow<()> {
        let Output::Admit(ticket) = output;
        if let Some(admitted) = lock(&self.0).remove(&ticket) {
            // Whoever stopped waiting has said so to the gate.
            let _ = admitted.send(());
        }
        ControlFlow::Continue(())
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, BTreeMap<Ticket, oneshot::Sender<()>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
