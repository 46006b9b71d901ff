//! The way from everybody who holds a part of a server to its machine.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use selvedge_core::{
    RequestId,
    socketio::{
        Call, CallError as Fault,
        event::{Answer, Emission},
        hub::{Input, SocketId, Target},
    },
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    error::{CallError, EmitError},
    outgoing::{self, Outgoing, ToMany},
};
use crate::{driver::Inbox, serve::shared::Shared, ws::Limits};

/// The calls that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Shared<RequestId<Call>, oneshot::Sender<Result<Answer, Fault>>>,
    next: AtomicU64,
}

impl Calls {
    /// A call has ended. Its caller may have gone.
    pub(super) fn end(&self, id: RequestId<Call>, result: Result<Answer, Fault>) {
        if let Some(answer) = self.open.remove(&id) {
            let _ = answer.send(result);
        }
    }

    /// No call has an answer from now on.
    pub(super) fn close(&self) {
        self.open.close();
    }
}

/// What reaches the loop.
#[derive(Debug)]
pub(super) struct Letter {
    input: Input,
    /// Held until the input is carried out.
    room: Option<OwnedSemaphorePermit>,
}

impl From<Input> for Letter {
    fn from(input: Input) -> Self {
        Self { input, room: None }
    }
}

/// Where letters arrive.
#[derive(Debug)]
pub(super) struct Mail {
    letters: mpsc::Receiver<Letter>,
    taken: Vec<Letter>,
    /// Of what was taken before.
    held: Vec<OwnedSemaphorePermit>,
}

impl Mail {
    pub(super) const fn new(letters: mpsc::Receiver<Letter>) -> Self {
        Self {
            letters,
            taken: Vec::new(),
            held: Vec::new(),
        }
    }
}

impl Inbox<Input> for Mail {
    async fn take(&mut self, inputs: &mut Vec<Input>, most: usize) -> usize {
        // What was taken before is carried out by now.
        self.held.clear();
        let count = self.letters.recv_many(&mut self.taken, most).await;
        for Letter { input, room } in self.taken.drain(..) {
            inputs.push(input);
            self.held.extend(room);
        }
        count
    }
}

/// Shared by the server, its namespaces and its sockets.
#[derive(Clone, Debug)]
pub(super) struct Link {
    inbox: mpsc::Sender<Letter>,
    calls: Arc<Calls>,
    to_many: ToMany,
    event_bytes_max: usize,
}

impl Link {
    /// `queue` is what may wait for one client.
    pub(super) const fn new(
        inbox: mpsc::Sender<Letter>,
        calls: Arc<Calls>,
        to_many: ToMany,
        queue: Limits,
    ) -> Self {
        Self {
            inbox,
            calls,
            to_many,
            event_bytes_max: outgoing::event_bytes_max(queue),
        }
    }

    /// Hands something to the machine; waits while too much is waiting.
    pub(super) async fn tell(&self, input: Input) -> Result<(), EmitError> {
        self.send(input.into()).await
    }

    /// Hands something over that is made when there is a place for it: where this is dropped before,
    /// nothing was made.
    pub(super) async fn tell_made(
        &self,
        make: impl FnOnce() -> Result<Input, EmitError>,
    ) -> Result<(), EmitError> {
        let place = self.inbox.reserve().await;
        let place = place.map_err(|_| EmitError::Closed)?;
        place.send(make()?.into());
        Ok(())
    }

    async fn send(&self, letter: Letter) -> Result<(), EmitError> {
        self.inbox.send(letter).await.map_err(|_| EmitError::Closed)
    }

    fn check(&self, emission: &Emission) -> Result<(), EmitError> {
        let (bytes, max) = (outgoing::size(emission), self.event_bytes_max);
        if bytes > max {
            return Err(EmitError::TooLarge { bytes, max });
        }
        Ok(())
    }

    /// The sockets that what may be lost is not for, of those that are spoken to together.
    pub(super) fn behind(&self) -> BTreeSet<SocketId> {
        self.to_many.behind()
    }

    /// Hands an emission over when there is room on the way to the client, or to many. A volatile one
    /// is dropped where there is none now.
    pub(super) async fn emit(
        &self,
        to: Target,
        emission: Emission,
        volatile: bool,
        to_one: Option<&Outgoing>,
    ) -> Result<(), EmitError> {
        self.check(&emission)?;
        let room = match (to_one, volatile) {
            (Some(outgoing), false) => outgoing.room(&emission).await,
            (None, false) => self.to_many.room(&emission).await,
            (Some(outgoing), true) => outgoing.room_now(&emission),
            (None, true) => self.to_many.room_now(&emission),
        };
        if volatile && room.is_none() {
            return Ok(());
        }
        let input = Input::Emit {
            to,
            emission,
            volatile,
        };
        let emit = Letter { input, room };
        if !volatile {
            return self.send(emit).await;
        }
        match self.inbox.try_send(emit) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(EmitError::Closed),
        }
    }

    /// Makes a call, and waits for its end.
    pub(super) async fn call(
        &self,
        socket: SocketId,
        emission: Emission,
        patience: Duration,
        outgoing: &Outgoing,
    ) -> Result<Answer, CallError> {
        self.check(&emission)?;
        let room = outgoing.room(&emission).await;
        let id = RequestId::from_number(self.calls.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        self.calls.open.insert(id, sender);
        let _forget = Forget { link: self, id };
        let input = Input::Call {
            id,
            socket,
            emission,
            patience,
        };
        self.send(Letter { input, room }).await?;
        match answer.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(EmitError::Closed.into()),
        }
    }
}

/// Takes a call out of the table, whether it was waited for to the end or not.
struct Forget<'a> {
    link: &'a Link,
    id: RequestId<Call>,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.link.calls.open.remove(&self.id);
    }
}
