//! A request that waits for a machine's answer.

use std::sync::Arc;

use selvedge_core::http::CallId;
use tokio::sync::{mpsc, oneshot};

use super::shared::Shared;

/// The requests that wait for a machine's answer `A`.
pub(crate) type Calls<A> = Shared<CallId, oneshot::Sender<A>>;

/// The machine has ended, or is about to: there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

/// One request. Dropped before its answer, it tells the machine that the client has gone.
#[derive(Debug)]
pub(crate) struct Call<I: Send + 'static, A> {
    id: CallId,
    inbox: mpsc::Sender<I>,
    calls: Arc<Calls<A>>,
    gone: Option<I>,
    answer: oneshot::Receiver<A>,
    /// The machine knows of it, and has not answered.
    is_open: bool,
}

impl<I: Send + 'static, A> Call<I, A> {
    /// A request that the machine is not told of yet. `gone` tells it that the client has gone.
    pub(crate) fn new(id: CallId, inbox: mpsc::Sender<I>, calls: &Arc<Calls<A>>, gone: I) -> Self {
        let (sender, answer) = oneshot::channel();
        calls.insert(id, sender);
        Self {
            id,
            inbox,
            calls: Arc::clone(calls),
            gone: Some(gone),
            answer,
            is_open: false,
        }
    }

    /// Tells the machine something of the request.
    pub(crate) async fn tell(&mut self, input: I) -> Result<(), Stopped> {
        self.inbox.send(input).await.map_err(|_| Stopped)?;
        self.is_open = true;
        Ok(())
    }

    /// Tells the machine something of the request, and waits for the answer.
    pub(crate) async fn ask(&mut self, input: I) -> Result<A, Stopped> {
        self.tell(input).await?;
        self.answer().await
    }

    /// Waits for the answer. It can be asked for again where the waiting was given up.
    pub(crate) async fn answer(&mut self) -> Result<A, Stopped> {
        let answer = (&mut self.answer).await;
        self.is_open = false;
        answer.map_err(|_| Stopped)
    }
}

impl<I: Send + 'static, A> Drop for Call<I, A> {
    fn drop(&mut self) {
        self.calls.remove(&self.id);
        let gone = self.gone.take().filter(|_| self.is_open);
        let Some(gone) = gone else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(gone)) = self.inbox.try_send(gone) {
            let inbox = self.inbox.clone();
            tokio::spawn(async move {
                // A machine that has ended does not wait for it.
                let _ = inbox.send(gone).await;
            });
        }
    }
}
