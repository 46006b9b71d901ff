//! The last words of sessions that were closed from this side, for their clients' next polls.

use alloc::collections::BTreeMap;

use bytes::Bytes;

use super::Limits;
use crate::{canonical, deadlines::Deadlines, machine::Wakeup, secret::Secret, time::Time};

/// Last words by the `sid` of their session, each for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Farewells {
    words: BTreeMap<Secret, Bytes>,
    until: Deadlines<Secret>,
    bytes: usize,
}
canonical!(struct Farewells { words, until, bytes });

impl Farewells {
    /// Keeps the last words of a session. Where there is no room, the oldest go.
    pub(super) fn keep(&mut self, now: Time, sid: Secret, body: Bytes, limits: &Limits) {
        self.take(&sid);
        self.bytes += body.len();
        self.until
            .set(sid.clone(), Some(now + limits.farewell_life));
        self.words.insert(sid, body);
        while self.bytes > limits.farewell_bytes_max || self.words.len() > limits.farewells_max {
            let oldest = self.until.earliest().and_then(|at| self.until.pop_due(at));
            let Some(oldest) = oldest else { return };
            self.take(&oldest);
        }
    }

    /// Takes the last words of a session out.
    pub(super) fn take(&mut self, sid: &Secret) -> Option<Bytes> {
        let body = self.words.remove(sid)?;
        self.bytes -= body.len();
        self.until.set(sid.clone(), None);
        Some(body)
    }

    /// Forgets those whose client did not come.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(sid) = self.until.pop_due(now) {
            self.take(&sid);
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<Wakeup> {
        self.until.earliest().map(|at| Wakeup {
            at,
            why: "forget the last words of a session",
        })
    }
}
