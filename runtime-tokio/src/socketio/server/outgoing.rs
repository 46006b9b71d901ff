//! What is on its way to clients, and how whoever speaks to them is held up.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use selvedge_core::{
    Secret,
    socketio::{event::Emission, hub::SocketId},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::socket::Members;
use crate::{
    engineio::{Open, PATIENCE, Pressure},
    ws::Limits,
};

/// What an emission takes of a lane: one for each frame, and one for so many bytes.
const UNIT: usize = 4 << 10;

/// Into how many parts what may wait for a client is divided.
///
/// Whoever speaks to the client alone, and whoever speaks to many, may each have one part on the way
/// through the loop, or one event alone. The former wait while one part waits for the client, the
/// latter once four do. So a client that reads never finds its queue full by what is said to it; the
/// rest is for what comes at once, when it moves from polling to a WebSocket or comes back after a
/// loss.
const PARTS: usize = 16;

/// How many of them one event may fill.
const EVENT_PARTS: usize = 4;

/// The largest event, where so much may wait for a client.
pub(super) const fn event_bytes_max(limits: Limits) -> usize {
    limits.bytes / PARTS * EVENT_PARTS
}

/// How much is on its way through the loop.
#[derive(Clone, Debug)]
struct Lane {
    room: Arc<Semaphore>,
    units: u32,
}

impl Lane {
    fn new(limits: Limits) -> Self {
        let one = limits.part(1, PARTS);
        let units = one.frames.min(one.bytes / UNIT + 1);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // Beyond what a semaphore can hold, nobody is held up by it.
        let permits = usize::try_from(units).map_or(Semaphore::MAX_PERMITS, |units| {
            units.min(Semaphore::MAX_PERMITS)
        });
        Self {
            room: Arc::new(Semaphore::new(permits)),
            units,
        }
    }

    /// Waits for room; what is returned is held until the emission is carried out.
    async fn enter(&self, emission: &Emission) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.room);
        room.acquire_many_owned(self.units(emission)).await.ok()
    }

    /// The same where there is room at once.
    fn try_enter(&self, emission: &Emission) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.room);
        room.try_acquire_many_owned(self.units(emission)).ok()
    }

    fn units(&self, emission: &Emission) -> u32 {
        let units = 1 + emission.attachments().len() + size(emission) / UNIT;
        u32::try_from(units).unwrap_or(self.units).min(self.units)
    }
}

/// The way to the client of one connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    open: Arc<Open>,
    session: Secret,
    lane: Lane,
    limits: Limits,
}

impl Outgoing {
    /// To the client of the session with this `sid`, for which `limits` may wait.
    pub(super) fn new(open: Arc<Open>, session: Secret, limits: Limits) -> Self {
        Self {
            open,
            session,
            lane: Lane::new(limits),
            limits: limits.part(1, PARTS),
        }
    }

    /// Waits for room. A client that takes nothing for [`PATIENCE`] is not waited for any more: what
    /// comes next fills its queue, and that ends it.
    pub(super) async fn room(&self, emission: &Emission) -> Option<OwnedSemaphorePermit> {
        let waited = async {
            let room = self.lane.enter(emission).await;
            if let Some(backlog) = self.open.backlog(&self.session) {
                backlog.below(self.limits).await;
            }
            room
        };
        timeout(PATIENCE, waited).await.ok().flatten()
    }

    /// The room for what does not wait, where the client keeps up.
    pub(super) fn room_now(&self, emission: &Emission) -> Option<OwnedSemaphorePermit> {
        let keeps_up = !self.has_waiting(self.limits);
        self.lane.try_enter(emission).filter(|_| keeps_up)
    }

    /// Whether that much waits for the client.
    fn has_waiting(&self, limits: Limits) -> bool {
        let backlog = self.open.backlog(&self.session);
        backlog.is_some_and(|backlog| !backlog.is_below(limits))
    }
}

/// The way to many clients at once.
#[derive(Clone, Debug)]
pub(super) struct ToMany {
    open: Arc<Open>,
    members: Arc<Members>,
    lane: Lane,
    low: Limits,
}

impl ToMany {
    /// To these, for each of which `limits` may wait.
    pub(super) fn new(open: Arc<Open>, members: Arc<Members>, limits: Limits) -> Self {
        // Above what those who speak to one client keep there, so that they do not hold this up. Far
        // below the other, so that one who is slow on purpose has to take much to be waited for.
        let low = limits.part(3, 2 * PARTS);
        open.watch(limits.part(4, PARTS), low);
        Self {
            open,
            members,
            lane: Lane::new(limits),
            low,
        }
    }

    /// Waits for room, and for clients that are slow, but go on.
    pub(super) async fn room(&self, emission: &Emission) -> Option<OwnedSemaphorePermit> {
        let room = self.lane.enter(emission).await;
        if let Some(pressure) = self.open.pressure() {
            pressure.low().await;
        }
        room
    }

    /// The room for what does not wait.
    pub(super) fn room_now(&self, emission: &Emission) -> Option<OwnedSemaphorePermit> {
        self.lane.try_enter(emission)
    }

    /// The sockets of clients that are behind: what does not wait is not for them.
    pub(super) fn behind(&self) -> BTreeSet<SocketId> {
        // Of thousands there is mostly none, and then nothing is to be looked for.
        if self.open.pressure().is_none_or(Pressure::is_low) {
            return BTreeSet::new();
        }
        let members = self.members.lock();
        let members = members.iter().flatten();
        let behind = members.filter(|(_, member)| member.outgoing().has_waiting(self.low));
        behind.map(|(socket, _)| *socket).collect()
    }
}

/// How many bytes an emission has.
pub(super) fn size(emission: &Emission) -> usize {
    let attachments = emission.attachments().iter().map(Bytes::len);
    emission.frame().len() + attachments.sum::<usize>()
}
