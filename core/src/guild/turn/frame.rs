//! A frame of mentions: who is asked, and how far it has come.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{canonical, id::UserId};

/// The users whom one message mentions, with a cursor at the one who is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Frame {
    speakers: Vec<UserId>,
    cursor: usize,
}
canonical!(struct Frame { speakers, cursor });

impl Frame {
    /// A frame at its first speaker.
    pub(super) fn new(speakers: Vec<UserId>) -> Self {
        Self {
            speakers,
            cursor: 0,
        }
    }

    /// Who is asked; `None` at the end.
    pub(super) fn current(&self) -> Option<&UserId> {
        self.speakers.get(self.cursor)
    }

    /// Moves the cursor on until it stands at a user who is not to be skipped, or at the end.
    pub(super) fn skip(&mut self, skips: impl Fn(&UserId) -> bool) {
        while self.current().is_some_and(&skips) {
            self.cursor += 1;
        }
    }

    /// Takes a user out; the cursor stays at whom it stands, or moves on from that very user.
    pub(super) fn remove(&mut self, user: &UserId) {
        if let Some(slot) = self.speakers.iter().position(|it| it == user) {
            self.speakers.remove(slot);
            if slot < self.cursor {
                self.cursor -= 1;
            }
        }
    }

    /// The speakers and the cursor.
    pub(super) fn view(&self) -> (&[UserId], usize) {
        (&self.speakers, self.cursor)
    }
}
