//! The way from everybody who holds a part of a server to its machine.

use std::{
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
use tokio::sync::{mpsc, oneshot};

use super::error::{CallError, EmitError};
use crate::serve::shared::Shared;

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

/// Shared by the server, its namespaces and its sockets.
#[derive(Clone, Debug)]
pub(super) struct Link {
    inbox: mpsc::Sender<Input>,
    calls: Arc<Calls>,
}

impl Link {
    pub(super) const fn new(inbox: mpsc::Sender<Input>, calls: Arc<Calls>) -> Self {
        Self { inbox, calls }
    }

    /// Hands something to the machine; waits while too much is waiting.
    pub(super) async fn tell(&self, input: Input) -> Result<(), EmitError> {
        self.inbox.send(input).await.map_err(|_| EmitError::Closed)
    }

    /// Hands an emission over. A volatile one is dropped while too much is waiting.
    pub(super) async fn emit(
        &self,
        to: Target,
        emission: Emission,
        volatile: bool,
    ) -> Result<(), EmitError> {
        let emit = Input::Emit {
            to,
            emission,
            volatile,
        };
        if !volatile {
            return self.tell(emit).await;
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
    ) -> Result<Answer, CallError> {
        let id = RequestId::from_number(self.calls.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        self.calls.open.insert(id, sender);
        let _forget = Forget { link: self, id };
        self.tell(Input::Call {
            id,
            socket,
            emission,
            patience,
        })
        .await?;
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
