//! What waits for one client, and how whoever speaks to it is held up.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use selvedge_core::{Secret, socketio::event::Emission};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{engineio::Open, ws::Limits};

/// How long whoever speaks to a client waits for it to read. A client that takes nothing for so
/// long is not waited for any more: what comes next fills its queue, and that ends it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an emission takes of the room: one for each frame, and one for so many bytes.
const UNIT: usize = 4 << 10;

/// The way to the client of one connection.
///
/// Of what can wait for the client, a quarter may be in its queue before others wait, and a quarter,
/// or one event alone, may be on its way through the loop. So a client that reads never finds its
/// queue full by what is said to it alone.
#[derive(Debug)]
pub(super) struct Outgoing {
    open: Arc<Open>,
    session: Secret,
    room: Arc<Semaphore>,
    units: u32,
    limits: Limits,
}

impl Outgoing {
    /// To the client of the session with this `sid`, for which `limits` may wait.
    pub(super) fn new(open: Arc<Open>, session: Secret, limits: Limits) -> Self {
        let limits = Limits {
            frames: limits.frames / 4 + 1,
            bytes: limits.bytes / 4 + 1,
        };
        let units = limits.frames.min(limits.bytes / UNIT + 1);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // Beyond what a semaphore can hold, nobody is held up by it.
        let permits = usize::try_from(units).map_or(Semaphore::MAX_PERMITS, |units| {
            units.min(Semaphore::MAX_PERMITS)
        });
        Self {
            open,
            session,
            room: Arc::new(Semaphore::new(permits)),
            units,
            limits,
        }
    }

    /// Waits for room; what is returned is held until the emission is carried out.
    pub(super) async fn room(&self, emission: &Emission) -> Option<OwnedSemaphorePermit> {
        let units = 1 + emission.attachments().len() + size(emission) / UNIT;
        let units = u32::try_from(units).unwrap_or(self.units).min(self.units);
        let waited = async {
            let room = Arc::clone(&self.room).acquire_many_owned(units).await;
            if let Some(backlog) = self.open.backlog(&self.session) {
                backlog.below(self.limits).await;
            }
            room.ok()
        };
        timeout(PATIENCE, waited).await.ok().flatten()
    }

    /// Whether the client keeps up.
    pub(super) fn has_room(&self) -> bool {
        let backlog = self.open.backlog(&self.session);
        backlog.is_none_or(|backlog| backlog.is_below(self.limits))
    }
}

/// How many bytes an emission has.
pub(super) fn size(emission: &Emission) -> usize {
    let attachments = emission.attachments().iter().map(Bytes::len);
    emission.frame().len() + attachments.sum::<usize>()
}
