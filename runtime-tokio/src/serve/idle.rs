//! Connections that wait for a request: when there is no place for another one, the one that has been
//! idle longest gives its up.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

/// The idle connections of one server, longest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Idle(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    connections: BTreeMap<u64, Arc<Notify>>,
}

impl Idle {
    /// Cuts the connection that has been idle longest, if there is one.
    pub(super) fn cut_longest(&self) {
        if let Some((_, cut)) = self.lock().connections.pop_first() {
            cut.notify_one();
        }
    }

    /// A connection has been accepted: it is idle until it has asked for something.
    pub(super) fn enter(&self) -> Arc<Connection> {
        let connection = Connection {
            idle: self.clone(),
            cut: Arc::default(),
            since: Mutex::default(),
        };
        connection.rest();
        Arc::new(connection)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, which rests between its requests.
#[derive(Debug)]
pub(super) struct Connection {
    idle: Idle,
    cut: Arc<Notify>,
    /// Its number among the idle ones; `None` while a request is under way.
    since: Mutex<Option<u64>>,
}

impl Connection {
    /// Returns when the place is needed by another one.
    pub(super) async fn cut(&self) {
        self.cut.notified().await;
    }

    /// A request is under way until what this gives back is dropped.
    pub(super) fn work(self: &Arc<Self>) -> Busy {
        self.leave();
        Busy(Arc::clone(self))
    }

    fn rest(&self) {
        let mut waiting = self.idle.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.connections.insert(number, Arc::clone(&self.cut));
        drop(waiting);
        *self.since() = Some(number);
    }

    fn leave(&self) {
        if let Some(number) = self.since().take() {
            self.idle.lock().connections.remove(&number);
        }
    }

    fn since(&self) -> MutexGuard<'_, Option<u64>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.rest();
    }
}

/// The body of an answer: its request is under way until it has been written.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _busy: Busy,
}

impl Answer {
    pub(super) const fn new(body: Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn is_cut(connection: &Connection) -> bool {
        connection.cut().now_or_never().is_some()
    }

    #[test]
    fn whoever_has_been_idle_longest_goes_first_and_whoever_works_stays() {
        let idle = Idle::default();
        let [a, b, c] = [(); 3].map(|()| idle.enter());
        let working = a.work();
        idle.cut_longest();
        assert!(!is_cut(&a) && is_cut(&b) && !is_cut(&c));
        drop(working);
        idle.cut_longest();
        assert!(!is_cut(&a) && is_cut(&c), "a has been idle only now");
        idle.cut_longest();
        assert!(is_cut(&a));
        idle.cut_longest();
        let d = idle.enter();
        assert!(!is_cut(&d));
        drop((a, b, c, d));
        assert!(idle.lock().connections.is_empty());
    }
}
