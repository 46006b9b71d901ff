//! What is known of a membership, so that the next connection can go on with it.

use alloc::{borrow::Cow, collections::VecDeque};

use bytestring::ByteString;

use crate::{
    Secret, canonical,
    socketio::{client::Recover, event::Event},
};

/// A longer string at the end of an event is no offset, but content: those of the official servers
/// have 7 to 24 bytes.
const OFFSET_BYTES_MAX: usize = 256;

/// The key of a membership, and the offsets of its newest events.
///
/// A replay can begin before the newest event that has arrived: what is known already is not for
/// the application a second time. That is judged in a replay alone. Of a live event, a string that
/// the application has put at its end looks like an offset too, and may well come twice.
///
/// The offsets of as many events are remembered as a replay can bring: it stands before the answer
/// to a CONNECT, where the client keeps no more than
/// [`early_events_max`](crate::socketio::client::Config::early_events_max).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recovery {
    pid: Option<Secret>,
    /// The newest last.
    seen: VecDeque<ByteString>,
    seen_max: usize,
    /// How many events of a replay are still to come.
    replayed: usize,
}
canonical!(struct Recovery { pid, seen, replayed; - seen_max });

impl Recovery {
    /// Of a membership that has not begun.
    pub(super) fn new(early_events_max: usize) -> Self {
        Self {
            pid: None,
            seen: VecDeque::new(),
            // The newest is always needed.
            seen_max: early_events_max.max(1),
            replayed: 0,
        }
    }

    /// The server has let the client in; `early` events follow at once.
    pub(super) fn on_connected(&mut self, pid: Option<Secret>, recovered: bool, early: usize) {
        if !recovered {
            self.seen.clear();
        }
        self.pid = pid;
        self.replayed = if recovered { early } else { 0 };
    }

    /// Whether an event is new, and remembers it.
    pub(super) fn admit(&mut self, event: &Event) -> bool {
        let is_replay = self.replayed > 0;
        self.replayed = self.replayed.saturating_sub(1);
        let offset = event
            .offset()
            .filter(|offset| self.pid.is_some() && offset.len() <= OFFSET_BYTES_MAX);
        let Some(offset) = offset else { return true };
        if is_replay && self.seen.iter().any(|seen| **seen == *offset) {
            return false;
        }
        if self.seen.len() >= self.seen_max {
            self.seen.pop_front();
        }
        // Copied, so that it does not keep the frame.
        self.seen.push_back(match offset {
            Cow::Borrowed(offset) => ByteString::from(offset),
            Cow::Owned(offset) => offset.into(),
        });
        true
    }

    /// The membership is not to be gone on with.
    pub(super) fn clear(&mut self) {
        self.pid = None;
        self.seen.clear();
        self.replayed = 0;
    }

    /// What to ask the server for at the next CONNECT, if it can have it. A refusal takes nothing
    /// away: the server judged the auth.
    pub(super) fn offer(&self) -> Option<Recover> {
        Some(Recover {
            pid: self.pid.clone()?,
            offset: self.seen.back()?.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    };

    use super::*;

    fn event(offset: &str) -> Event {
        let payload = format!(r#"["e","{offset}"]"#);
        Event::decode(payload.into(), 0, None).unwrap()
    }

    fn admitted(recovery: &mut Recovery, offsets: &str) -> String {
        offsets
            .chars()
            .filter(|offset| recovery.admit(&event(&String::from(*offset))))
            .collect()
    }

    fn offered(recovery: &Recovery) -> Option<String> {
        recovery.offer().map(|offer| offer.offset.to_string())
    }

    #[test]
    fn what_is_replayed_a_second_time_is_known() {
        let pid = || Some(Secret::new("p"));
        let mut recovery = Recovery::new(3);
        assert_eq!(offered(&recovery), None);
        recovery.on_connected(pid(), false, 1);
        assert_eq!(offered(&recovery), None);
        // Two live events that end in the same string are two.
        assert_eq!(admitted(&mut recovery, "abbc"), "abbc");
        assert_eq!(offered(&recovery).as_deref(), Some("c"));
        recovery.on_connected(pid(), true, 3);
        assert_eq!(admitted(&mut recovery, "bcdcd"), "dcd");
        assert_eq!(offered(&recovery).as_deref(), Some("d"));
        assert_eq!(recovery.seen.len(), 3);
        recovery.on_connected(pid(), false, 2);
        assert_eq!(offered(&recovery), None);
        assert_eq!(admitted(&mut recovery, "dd"), "dd");
        let long = event(&"x".repeat(OFFSET_BYTES_MAX + 1));
        assert!(recovery.admit(&long));
        assert_eq!(offered(&recovery).as_deref(), Some("d"));
    }

    #[test]
    fn without_recovery_at_the_server_nothing_is_an_offset() {
        let mut recovery = Recovery::new(3);
        recovery.on_connected(None, false, 0);
        assert_eq!(admitted(&mut recovery, "aa"), "aa");
        let kept: Vec<_> = recovery.seen.into();
        assert_eq!(kept, Vec::<ByteString>::new());
    }
}
