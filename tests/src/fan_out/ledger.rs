//! What was posted in a room, and what each of its sockets has got.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use selvedge::clock::Clock;
use selvedge_core::Time;
use tokio::{sync::Notify, time::timeout};

use super::{DIGITS, MARK};
use crate::{PATIENCE, fabric::Fault};

/// The posts of one room, which every one of its sockets must get once.
pub(super) struct Ledger {
    clock: Clock,
    sockets: usize,
    /// Whether all must get them in the same order.
    in_order: bool,
    posts: RefCell<Vec<Post>>,
    /// The numbers of the posts, in the order in which the first socket got each.
    order: RefCell<Vec<usize>>,
    /// How many posts everybody has got.
    complete: Cell<usize>,
    delivered: Cell<usize>,
    bytes: Cell<usize>,
    /// Where the number stood in the frame before.
    place: Cell<usize>,
    fault: RefCell<Option<Fault>>,
    /// How long nothing may change while a delivery is awaited.
    patience: Duration,
    changed: Notify,
}

/// What one socket has got.
#[derive(Default)]
pub(super) struct Got {
    count: usize,
    /// By the numbers of the posts.
    posts: Vec<bool>,
}

/// One post.
struct Post {
    sent: Time,
    /// How long it took to each socket, in the order of arrival.
    took: Vec<Duration>,
}

impl Ledger {
    pub(super) fn new(sockets: usize, in_order: bool) -> Self {
        Self {
            clock: Clock::start(),
            sockets,
            in_order,
            posts: RefCell::default(),
            order: RefCell::default(),
            complete: Cell::new(0),
            delivered: Cell::new(0),
            bytes: Cell::new(0),
            place: Cell::new(0),
            fault: RefCell::new(None),
            patience: PATIENCE,
            changed: Notify::new(),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// A post is sent now: its number.
    pub(super) fn sent(&self) -> usize {
        let mut posts = self.posts.borrow_mut();
        posts.push(Post {
            sent: self.clock.now(),
            took: Vec::with_capacity(self.sockets),
        });
        posts.len() - 1
    }

    /// How many posts were sent.
    pub(super) fn posts(&self) -> usize {
        self.posts.borrow().len()
    }

    /// How long those that were sent after so many others took to each socket, in the order of
    /// arrival.
    pub(super) fn took_after(&self, others: usize) -> Vec<Vec<Duration>> {
        let posts = self.posts.borrow();
        posts
            .iter()
            .skip(others)
            .map(|post| post.took.clone())
            .collect()
    }

    /// A frame has reached a socket.
    pub(super) fn on_frame(&self, got: &mut Got, frame: &[u8]) -> Result<(), Fault> {
        let Some(number) = self.number(frame) else {
            return Ok(());
        };
        let mut order = self.order.borrow_mut();
        match order.get(got.count) {
            Some(expected) if self.in_order && *expected != number => {
                return Err(format!("post {number} came where {expected} was to come").into());
            }
            Some(_) => {}
            None => order.push(number),
        }
        got.count += 1;
        let end = got.posts.len().max(number + 1);
        got.posts.resize(end, false);
        let is_here = got.posts.get_mut(number).ok_or("no place for it")?;
        if std::mem::replace(is_here, true) {
            return Err(format!("post {number} came twice").into());
        }
        let mut posts = self.posts.borrow_mut();
        let post = posts.get_mut(number).ok_or("nobody has posted that")?;
        post.took.push(self.clock.now().since(post.sent));
        self.delivered.set(self.delivered.get() + 1);
        self.bytes.set(self.bytes.get() + frame.len());
        if post.took.len() == self.sockets {
            self.complete.set(self.complete.get() + 1);
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// The number of the post in a frame, where there is one. It mostly stands where it stood before.
    fn number(&self, frame: &[u8]) -> Option<usize> {
        let stands = |place: &usize| frame.get(*place..).is_some_and(|at| at.starts_with(MARK));
        let before = Some(self.place.get()).filter(stands);
        let place = before.or_else(|| (0..frame.len()).find(stands))?;
        self.place.set(place);
        let from = place + MARK.len() + 1;
        let digits = frame.get(from..from + DIGITS)?;
        str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Something went wrong, for whoever waits.
    pub(super) fn fail(&self, fault: Fault) {
        self.fault.borrow_mut().get_or_insert(fault);
        self.changed.notify_waiters();
    }

    /// Something changed, for whoever waits.
    pub(super) fn change(&self) {
        self.changed.notify_waiters();
    }

    /// How many posts everybody has got.
    pub(super) fn complete(&self) -> usize {
        self.complete.get()
    }

    /// How many times a socket has got a post, and the bytes of their frames.
    pub(super) fn delivered(&self) -> (usize, usize) {
        (self.delivered.get(), self.bytes.get())
    }

    /// Waits until something is so. A delivery that is lost is late.
    pub(super) async fn until(&self, is_so: impl Fn() -> bool) -> Result<(), Fault> {
        loop {
            if let Some(fault) = self.fault.borrow_mut().take() {
                return Err(fault);
            }
            if is_so() {
                return Ok(());
            }
            // Nobody else runs between the look and the wait.
            if timeout(self.patience, self.changed.notified())
                .await
                .is_err()
            {
                let (posts, complete) = (self.posts(), self.complete());
                let delivered = self.delivered.get();
                return Err(format!(
                    "a delivery is lost: of {posts} posts to {} sockets each, {complete} have reached \
                     all, by {delivered} deliveries",
                    self.sockets
                )
                .into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fan_out::{content, message};

    fn frame(number: usize) -> Vec<u8> {
        let message = message(content(number)).unwrap();
        serde_json::to_vec(&("message.created", message)).unwrap()
    }

    #[test]
    fn a_post_is_complete_when_every_socket_has_got_it() {
        let ledger = Ledger::new(2, true);
        let (mut first, mut second) = (Got::default(), Got::default());
        for complete in 0..3 {
            let number = ledger.sent();
            ledger.on_frame(&mut first, &frame(number)).unwrap();
            assert_eq!(ledger.complete(), complete);
            ledger.on_frame(&mut second, &frame(number)).unwrap();
            ledger.on_frame(&mut second, b"42[\"typing\",{}]").unwrap();
        }
        assert_eq!((ledger.complete(), first.count, second.count), (3, 3, 3));
    }

    #[test]
    fn what_comes_twice_or_in_another_order_or_from_nobody_is_found() {
        for in_order in [true, false] {
            let ledger = Ledger::new(2, in_order);
            let (mut first, mut second) = (Got::default(), Got::default());
            for _ in 0..2 {
                let number = ledger.sent();
                ledger.on_frame(&mut first, &frame(number)).unwrap();
            }
            assert!(ledger.on_frame(&mut first, &frame(2)).is_err());
            let swapped = ledger.on_frame(&mut second, &frame(1));
            assert_eq!(swapped.is_err(), in_order);
            let mut third = Got::default();
            ledger.on_frame(&mut third, &frame(0)).unwrap();
            assert!(ledger.on_frame(&mut third, &frame(0)).is_err());
        }
    }

    #[tokio::test]
    async fn what_is_lost_is_found() {
        let mut ledger = Ledger::new(2, true);
        ledger.patience = Duration::from_millis(1);
        let number = ledger.sent();
        ledger
            .on_frame(&mut Got::default(), &frame(number))
            .unwrap();
        let complete = ledger.until(|| ledger.complete() == 1).await;
        assert!(complete.unwrap_err().to_string().contains("is lost"));
    }
}
