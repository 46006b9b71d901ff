//! What holds the reading of a connection up.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use crate::notice::until;

/// While somebody has taken it, no frame is read. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<Taken>);

#[derive(Debug, Default)]
struct Taken {
    times: AtomicUsize,
    /// Nobody has it any more.
    free: Notify,
}

impl Hold {
    /// Holds the reading up, until it is [released](Self::release) as often.
    pub fn take(&self) {
        self.0.times.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes one [`take`](Self::take) back.
    pub fn release(&self) {
        let less = |times: usize| times.checked_sub(1);
        let times = &self.0.times;
        if times.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) == Ok(1) {
            self.0.free.notify_waiters();
        }
    }

    /// Waits until nobody holds the reading up.
    pub async fn free(&self) {
        let is_free = || self.0.times.load(Ordering::Acquire) == 0;
        until(&self.0.free, || is_free().then_some(())).await;
    }
}
