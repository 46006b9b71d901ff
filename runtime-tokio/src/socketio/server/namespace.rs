//! A namespace: who is let in, and what is done with whom.

use std::{fmt, sync::Arc};

use futures::{TryFutureExt as _, future::BoxFuture};

use super::{
    admission::{Admission, Admitted, Refusal},
    socket::Socket,
};

/// Decides who is let in.
pub(super) type Admit =
    dyn Fn(Admission) -> BoxFuture<'static, Result<Admitted, Refusal>> + Send + Sync;
/// Handles a socket.
pub(super) type Connected = dyn Fn(Socket) -> BoxFuture<'static, ()> + Send + Sync;

/// One namespace of a server, to be given to [`Builder::namespace`](super::Builder::namespace).
///
/// Its closures run in tasks of their own, one for each client. One that panics costs that client
/// its socket, and nobody else anything.
#[derive(Clone, Default)]
pub struct Namespace {
    pub(super) admit: Option<Arc<Admit>>,
    pub(super) connected: Option<Arc<Connected>>,
}

impl Namespace {
    /// A namespace that lets everybody in and listens to nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides who is let in, and as whom: with [`Admitted`], or with `()` where no client is to go
    /// on with what it had before. Until it has, the client waits;
    /// [`Builder::admission_patience`](super::Builder::admission_patience) bounds for how long.
    #[must_use]
    pub fn admit<F, R, A>(mut self, admit: F) -> Self
    where
        F: Fn(Admission) -> R + Send + Sync + 'static,
        R: Future<Output = Result<A, Refusal>> + Send + 'static,
        A: Into<Admitted> + 'static,
    {
        self.admit = Some(Arc::new(move |request| {
            Box::pin(admit(request).map_ok(Into::into))
        }));
        self
    }

    /// What is done with each socket that is in. When this returns, the socket stays connected as
    /// long as its client does; where nothing holds the [`Socket`], its events are dropped. To speak
    /// to it from elsewhere, keep a clone of its [`Sender`](super::Sender).
    #[must_use]
    pub fn connected<F, R>(mut self, connected: F) -> Self
    where
        F: Fn(Socket) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.connected = Some(Arc::new(move |socket| Box::pin(connected(socket))));
        self
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("admits_all", &self.admit.is_none())
            .field("listens", &self.connected.is_some())
            .finish()
    }
}
