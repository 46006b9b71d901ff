//! A queue between tasks that takes memory for what waits in it, and for nothing else.
//!
//! A channel of tokio keeps room for 32 messages from its beginning to its end. Of several for each
//! of a thousand idle connections, that is most of what they hold.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use tokio::{sync::Notify, task::coop};

use crate::{
    driver::{Inbox, Outlet},
    notice::until,
};

/// A queue in which [`Sender::send`] lets `max` messages wait.
pub(crate) fn mailbox<T>(max: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        inner: Mutex::new(Inner {
            waiting: VecDeque::new(),
            senders: 1,
            is_closed: false,
            reader: None,
        }),
        room: Notify::new(),
        max,
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

#[derive(Debug)]
struct Shared<T> {
    inner: Mutex<Inner<T>>,
    /// There is room again, or nobody takes anything any more.
    room: Notify,
    max: usize,
}

#[derive(Debug)]
struct Inner<T> {
    waiting: VecDeque<T>,
    senders: usize,
    /// The receiver is gone.
    is_closed: bool,
    reader: Option<Waker>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts messages in. With the last one, the queue ends.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// A [`Sender`] that does not keep the queue from ending.
#[derive(Debug)]
pub(crate) struct WeakSender<T>(Arc<Shared<T>>);

/// Takes messages out, in order.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Puts a message in, however many wait; gives it back where nobody will take it.
    pub(crate) fn push(&self, message: T) -> Result<(), T> {
        if let Some(reader) = self.push_quietly(message)? {
            reader.wake();
        }
        Ok(())
    }

    /// The same, but that whoever waits for messages is not woken: that is to follow, or none of them
    /// is taken.
    pub(crate) fn push_quietly(&self, message: T) -> Result<Option<Waker>, T> {
        let mut inner = self.0.lock();
        if inner.is_closed {
            return Err(message);
        }
        inner.waiting.push_back(message);
        Ok(inner.reader.take())
    }

    /// Puts a message in when there is room; gives it back where nobody will take it. Of several
    /// that have waited, each may put one in.
    pub(crate) async fn send(&self, message: T) -> Result<(), T> {
        self.room().await;
        self.push(message)
    }

    /// Waits for room, or until nobody takes anything any more.
    async fn room(&self) {
        until(&self.0.room, || self.is_ready().then_some(())).await;
    }

    /// Whether nobody takes anything any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    pub(crate) fn downgrade(&self) -> WeakSender<T> {
        WeakSender(Arc::clone(&self.0))
    }

    fn is_ready(&self) -> bool {
        let inner = self.0.lock();
        inner.is_closed || inner.waiting.len() < self.0.max
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.senders -= 1;
        if inner.senders == 0
            && let Some(reader) = inner.reader.take()
        {
            drop(inner);
            reader.wake();
        }
    }
}

impl<T> WeakSender<T> {
    /// None where the queue has ended.
    pub(crate) fn upgrade(&self) -> Option<Sender<T>> {
        let mut inner = self.0.lock();
        if inner.senders == 0 {
            return None;
        }
        inner.senders += 1;
        Some(Sender(Arc::clone(&self.0)))
    }
}

impl<T> Receiver<T> {
    /// Appends what waits, at most `most`: how many. None means that there will never be more.
    pub(crate) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<T>,
        most: usize,
    ) -> Poll<usize> {
        let taken = self.poll_with(cx, |waiting| {
            let count = waiting.len().min(most);
            into.reserve_exact(count);
            into.extend(waiting.drain(..count));
            count
        });
        taken.map(Option::unwrap_or_default)
    }

    /// The next message; none where there will never be one.
    pub(crate) async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_with(cx, VecDeque::pop_front))
            .await
            .flatten()
    }

    /// Takes from what waits; none where nothing does, and never will.
    fn poll_with<R>(
        &self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut VecDeque<T>) -> R,
    ) -> Poll<Option<R>> {
        // As the channels of tokio do, so that a queue that is never empty lets other tasks run.
        let turn = ready!(coop::poll_proceed(cx));
        let mut inner = self.0.lock();
        if inner.waiting.is_empty() {
            if inner.senders == 0 {
                return Poll::Ready(None);
            }
            // At rest, no room is kept for what may come.
            inner.waiting = VecDeque::new();
            inner.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = take(&mut inner.waiting);
        drop(inner);
        turn.made_progress();
        self.0.room.notify_waiters();
        Poll::Ready(Some(taken))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.is_closed = true;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        self.0.room.notify_waiters();
        // Its messages may hold senders, so it is dropped when the lock is free again.
        drop(waiting);
    }
}

impl<T: Send> Inbox<T> for Receiver<T> {
    async fn take(&mut self, inputs: &mut Vec<T>, most: usize) -> usize {
        poll_fn(|cx| self.poll_take(cx, inputs, most)).await
    }
}

impl<T: Send> Outlet<T> for Sender<T> {
    async fn put(&self, make: impl FnOnce() -> T + Send) -> bool {
        self.room().await;
        self.push(make()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, future::join};

    use super::*;

    #[tokio::test]
    async fn messages_keep_their_order_and_the_end_follows_them() {
        let (sender, mut receiver) = mailbox(2);
        let other = sender.clone();
        sender.push(1).unwrap();
        other.push(2).unwrap();
        other.push(3).unwrap();
        let mut taken = Vec::new();
        assert_eq!(receiver.take(&mut taken, 2).await, 2);
        drop(sender);
        assert_eq!(receiver.take(&mut taken, 2).await, 1);
        assert_eq!(taken, [1, 2, 3]);
        assert_eq!(receiver.recv().now_or_never(), None);
        drop(other);
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn a_sender_waits_for_room_and_a_receiver_for_messages() {
        let (sender, mut receiver) = mailbox(1);
        let send = async {
            for number in 0..100 {
                sender.send(number).await.unwrap();
            }
        };
        let receive = async {
            for number in 0..100 {
                assert_eq!(receiver.recv().await, Some(number));
            }
        };
        join(receive, send).await;
        sender.send(100).await.unwrap();
        assert!(sender.send(101).now_or_never().is_none());
        assert_eq!(receiver.recv().await, Some(100));
        assert_eq!(receiver.recv().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_receiver_that_is_to_be_woken_later_is_told_of_once() {
        let (sender, mut receiver) = mailbox(1);
        assert!(sender.push_quietly(1).unwrap().is_none());
        assert_eq!(receiver.recv().await, Some(1));
        let wake = async {
            let reader = sender.push_quietly(2).unwrap();
            assert!(sender.push_quietly(3).unwrap().is_none());
            reader.unwrap().wake();
        };
        assert_eq!(join(receiver.recv(), wake).await.0, Some(2));
        assert_eq!(receiver.recv().await, Some(3));
    }

    #[tokio::test]
    async fn without_a_receiver_messages_come_back_at_once() {
        let (sender, receiver) = mailbox(1);
        sender.push(1).unwrap();
        let waiting = sender.send(2);
        let gone = async { drop(receiver) };
        assert_eq!(join(waiting, gone).await.0, Err(2));
        assert!(sender.is_closed());
        assert_eq!(sender.push(3), Err(3));
    }

    #[tokio::test]
    async fn a_weak_sender_is_one_while_there_are_others() {
        let (sender, mut receiver) = mailbox::<u8>(1);
        let weak = sender.downgrade();
        weak.upgrade().unwrap().push(1).unwrap();
        drop(sender);
        assert!(weak.upgrade().is_none());
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn a_queue_at_rest_keeps_no_room() {
        let (sender, mut receiver) = mailbox(1);
        for number in 0..1_000 {
            sender.push(number).unwrap();
        }
        let mut taken = Vec::new();
        receiver.take(&mut taken, 1_000).await;
        assert_eq!(receiver.recv().now_or_never(), None);
        assert_eq!(receiver.0.lock().waiting.capacity(), 0);
    }
}
