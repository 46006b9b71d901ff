//! What waits for the consumer of one socket.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use super::{Event, Signal};
use crate::ws::Hold;

/// How many signals that are no events may wait beyond the limit for events before a newer one
/// replaces the newest of them: what a consumer must know is how things stand now.
const STATUS_MAX: usize = 64;

/// What happens when the events of a socket are not taken and its queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowConsumer {
    /// The connection is not read, with all of its namespaces, until half of the queue is free: the
    /// server is held back, and nothing is lost. Its heartbeats wait too: a consumer that stands
    /// still for longer than `pingInterval + pingTimeout` loses the connection, which is made again.
    ///
    /// What was read already still arrives, so the queue can come to hold more than its limit: at
    /// most what waits in the inbox of the connection, or what one poll has brought. Over polling a
    /// server gathers what it holds back into one body, of which 10,000 packets and
    /// [`Builder::message_bytes_max`](super::Builder::message_bytes_max) are taken.
    #[default]
    Wait,
    /// The newest events are dropped and counted; [`Signal::Lagged`] tells how many, where they
    /// would have been.
    Drop,
    /// The namespace is left. The events of the queue can still be taken, then a
    /// [`Signal::Disconnected`] follows, and the end of the stream.
    Disconnect,
}

/// The queue of one socket, between the task of the connection and the consumer.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    events_max: usize,
    policy: SlowConsumer,
    /// Holds up the reading of the connection.
    hold: Hold,
}

#[derive(Debug, Default)]
struct Inner {
    signals: VecDeque<Signal>,
    /// How many of them are events.
    events: usize,
    lagged: u64,
    is_holding: bool,
    is_closed: bool,
    /// Nobody takes anything any more.
    is_abandoned: bool,
    waker: Option<Waker>,
}

/// The queue is full, and its policy is to leave.
#[derive(Debug)]
pub(super) struct Overrun;

impl Queue {
    pub(super) fn new(events_max: usize, policy: SlowConsumer, hold: Hold) -> Self {
        Self {
            inner: Mutex::default(),
            events_max: events_max.max(1),
            policy,
            hold,
        }
    }

    pub(super) fn push_event(&self, event: Event) -> Result<(), Overrun> {
        let mut inner = self.lock();
        if inner.is_closed || inner.is_abandoned {
            return Ok(());
        }
        if inner.events >= self.events_max {
            match self.policy {
                SlowConsumer::Wait => {}
                SlowConsumer::Drop => {
                    inner.lagged += 1;
                    return Ok(());
                }
                SlowConsumer::Disconnect => return Err(Overrun),
            }
        }
        inner.tell_lag();
        inner.signals.push_back(Signal::Event(event));
        inner.events += 1;
        if self.policy == SlowConsumer::Wait && inner.events >= self.events_max && !inner.is_holding
        {
            inner.is_holding = true;
            self.hold.take();
        }
        inner.wake();
        Ok(())
    }

    /// A signal that is no event: always taken in.
    pub(super) fn push(&self, signal: Signal) {
        let mut inner = self.lock();
        if inner.is_closed || inner.is_abandoned {
            return;
        }
        inner.tell_lag();
        let is_crowded = inner.signals.len() >= self.events_max + STATUS_MAX;
        match (inner.signals.back_mut(), signal) {
            (
                Some(Signal::Unsent { why, count }),
                Signal::Unsent {
                    why: again,
                    count: more,
                },
            ) if *why == again => *count += more,
            (Some(last @ Signal::Retrying { .. }), signal @ Signal::Retrying { .. }) => {
                *last = signal;
            }
            (Some(last), signal) if is_crowded && !matches!(last, Signal::Event(_)) => {
                *last = signal;
            }
            (_, signal) => inner.signals.push_back(signal),
        }
        inner.wake();
    }

    /// Nothing more is pushed: the stream ends after what is there.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        self.release(&mut inner);
        inner.wake();
    }

    /// Nobody takes anything any more.
    pub(super) fn abandon(&self) {
        let mut inner = self.lock();
        inner.is_abandoned = true;
        inner.signals.clear();
        inner.events = 0;
        self.release(&mut inner);
    }

    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        let mut inner = self.lock();
        if let Some(signal) = inner.signals.pop_front() {
            if let Signal::Event(_) = signal {
                inner.events -= 1;
                if inner.events <= self.events_max / 2 {
                    self.release(&mut inner);
                }
            }
            return Poll::Ready(Some(signal));
        }
        if inner.lagged > 0 {
            let lagged = std::mem::take(&mut inner.lagged);
            return Poll::Ready(Some(Signal::Lagged(lagged)));
        }
        if inner.is_closed {
            return Poll::Ready(None);
        }
        // At rest, no room is kept for what may come.
        inner.signals = VecDeque::new();
        inner.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn release(&self, inner: &mut Inner) {
        if std::mem::take(&mut inner.is_holding) {
            self.hold.release();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Says where events were dropped, now that something follows.
    fn tell_lag(&mut self) {
        if self.lagged > 0 {
            let lagged = std::mem::take(&mut self.lagged);
            self.signals.push_back(Signal::Lagged(lagged));
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::socketio::Unsent;

    fn queue(events_max: usize) -> Queue {
        Queue::new(events_max, SlowConsumer::Wait, Hold::default())
    }

    fn taken(queue: &Queue) -> Vec<Signal> {
        let mut cx = Context::from_waker(Waker::noop());
        std::iter::from_fn(|| match queue.poll_next(&mut cx) {
            Poll::Ready(signal) => signal,
            Poll::Pending => None,
        })
        .collect()
    }

    #[test]
    fn signals_of_a_kind_become_one_and_all_others_are_bounded() {
        let queue = queue(10);
        for millis in 0..1_000 {
            queue.push(Signal::Retrying {
                why: "refused".into(),
                retry_in: Duration::from_millis(millis),
            });
            queue.push(Signal::Unsent {
                why: Unsent::Expired,
                count: 1,
            });
            queue.push(Signal::Unsent {
                why: Unsent::Expired,
                count: 2,
            });
        }
        let signals = taken(&queue);
        assert_eq!(signals.len(), 10 + STATUS_MAX);
        let three = matches!(signals[1], Signal::Unsent { count: 3, .. });
        assert!(three, "{:?}", signals[1]);
    }

    #[test]
    fn a_closed_queue_ends_after_what_is_there() {
        let queue = queue(1);
        queue.push(Signal::Lagged(1));
        queue.close();
        queue.push(Signal::Lagged(2));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(
            queue.poll_next(&mut cx),
            Poll::Ready(Some(Signal::Lagged(1)))
        ));
        assert!(matches!(queue.poll_next(&mut cx), Poll::Ready(None)));
    }
}
