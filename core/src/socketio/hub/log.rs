//! What was emitted in a namespace of late, for those who come back.

use alloc::{
    collections::VecDeque,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use super::{
    config::Recovery,
    io::{Audience, SocketId},
    members::Joined,
};
use crate::{canonical, socketio::event::Emission, time::Time};

/// What stands in front of an offset on the wire. A client takes any string at the end of a volatile
/// event for one: a number alone could be the application's, and would make the client go on from
/// another place than where it was.
const OFFSET_PREFIX: &str = "offset-";

/// An offset as it stands at the end of an event.
fn written(offset: u64) -> String {
    format!("{OFFSET_PREFIX}{offset}")
}

/// Reads an offset as it was written.
pub(super) fn offset_of(text: &str) -> Option<u64> {
    let digits = text.strip_prefix(OFFSET_PREFIX)?;
    let offset: u64 = digits.parse().ok()?;
    (offset.to_string() == digits).then_some(offset)
}

/// The events of a namespace with their offsets, which count up from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The offset of the next one.
    next: u64,
    bytes: usize,
}
canonical!(struct Log { entries, next, bytes });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    at: Time,
    to: Recipients,
    emission: Emission,
}
canonical!(struct Entry { at, to, emission });

/// For whom an event was, by the first socket that each client had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recipients {
    One(SocketId),
    Audience(Audience),
}
canonical!(
    enum Recipients {
        One(origin),
        Audience(audience),
    }
);

impl Recipients {
    /// Whether the event at `offset` was for a socket: it counts what the socket is in now, since
    /// before the event.
    fn include(&self, joined: &Joined, offset: u64) -> bool {
        let audience = match self {
            Self::One(origin) => return *origin == joined.origin,
            Self::Audience(audience) => audience,
        };
        let is_in = |room| joined.rooms.get(room).is_some_and(|since| *since <= offset);
        joined.since <= offset
            && (audience.rooms.is_empty() || audience.rooms.iter().any(is_in))
            && !audience.except_rooms.iter().any(is_in)
            && !audience.except_sockets.contains(&joined.origin)
            && !audience.except_sockets.contains(&joined.newest)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::One(_) => size_of::<SocketId>(),
            Self::Audience(audience) => {
                let rooms = audience.rooms.iter().chain(&audience.except_rooms);
                let names = rooms.map(|room| room.as_str().len()).sum::<usize>();
                names + audience.except_sockets.len() * size_of::<SocketId>()
            }
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.emission.bytes() + self.to.bytes()
    }
}

impl Log {
    /// The offset of the next event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Keeps an event, and gives it back with its offset.
    pub(super) fn push(
        &mut self,
        now: Time,
        to: Recipients,
        emission: &Emission,
        recovery: &Recovery,
    ) -> Emission {
        let emission = emission.with_offset(&written(self.next));
        self.next += 1;
        let entry = Entry {
            at: now,
            to,
            emission: emission.clone(),
        };
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        self.trim(now, recovery);
        emission
    }

    /// Forgets what is too old or too much.
    pub(super) fn trim(&mut self, now: Time, recovery: &Recovery) {
        while let Some(oldest) = self.entries.front()
            && (now.since(oldest.at) >= recovery.max_age
                || self.entries.len() > recovery.log_events_max
                || self.bytes > recovery.log_bytes_max)
        {
            self.bytes -= oldest.bytes();
            self.entries.pop_front();
        }
    }

    /// Whether all that came after `offset` is still here.
    pub(super) fn reaches(&self, offset: u64) -> bool {
        let first = self.next - self.entries.len() as u64;
        offset < self.next && offset + 1 >= first
    }

    /// What was for a socket after `offset`.
    pub(super) fn missed(&self, joined: &Joined, offset: u64) -> Vec<Emission> {
        let first = self.next - self.entries.len() as u64;
        (first..)
            .zip(&self.entries)
            .filter(|(at, entry)| *at > offset && entry.to.include(joined, *at))
            .map(|(_, entry)| entry.emission.clone())
            .collect()
    }
}
