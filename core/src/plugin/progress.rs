//! The progress in one channel: up to where everything is finished, as a store keeps it.

use alloc::collections::BTreeMap;

use crate::{
    canonical,
    fabric::types::Message,
    plugin::kept::{Cursor, KeptChannel, Mark, Notice},
};

/// How many messages beyond the cursor are remembered by their id. Where the cursor comes to rest on
/// an older one, the store knows its `seq` alone.
const MARKS_MAX: usize = 256;

/// How far a channel has come.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// What the store has been told.
    told: KeptChannel,
    /// The messages on which the cursor may come to rest.
    marks: BTreeMap<u64, Mark>,
}
canonical!(struct Progress { told, marks });

impl Progress {
    /// As a store gave it back.
    pub fn resume(kept: KeptChannel) -> Self {
        Self {
            told: kept,
            marks: BTreeMap::new(),
        }
    }

    /// What a store has been told, or is about to be.
    pub fn row(&self) -> &KeptChannel {
        &self.told
    }

    /// The highest `seq` up to which everything is finished.
    pub fn cursor(&self) -> u64 {
        self.told.cursor.as_ref().map_or(0, |cursor| cursor.seq)
    }

    /// Where the cursor stands, and on what, once that is known.
    pub fn anchor(&self) -> Option<&Cursor> {
        self.told.cursor.as_ref()
    }

    /// The newest message that was received by this process.
    pub fn newest(&self) -> Option<Cursor> {
        let (seq, at) = self.marks.last_key_value()?;
        let at = Some(at.clone());
        Some(Cursor { seq: *seq, at })
    }

    /// Whether a message is dated before the one at the cursor, which proves nothing: clocks jump.
    pub fn is_older(&self, message: &Message) -> bool {
        let at = self.anchor().and_then(|cursor| cursor.at.as_ref());
        at.is_some_and(|at| message.created_at < at.created_at)
    }

    /// The cursor's message was looked up. Gives back what a store must be told, if that is news.
    pub fn on_anchor(&mut self, seq: u64, mark: Mark) -> Option<&KeptChannel> {
        let cursor = self.told.cursor.as_mut();
        let cursor = cursor.filter(|cursor| cursor.seq == seq && cursor.at.is_none())?;
        cursor.at = Some(mark);
        Some(&self.told)
    }

    /// The guild was restored from a backup, and everything up to here is finished by the numbers that
    /// it has now, and the next turn says `notice` of that. Gives back what a store must be told.
    pub fn restart(&mut self, cursor: Cursor, notice: Notice) -> &KeptChannel {
        self.told.cursor = Some(cursor);
        self.told.notice = notice;
        self.told.missed_to = 0;
        self.marks.clear();
        &self.told
    }

    /// A message was received.
    pub fn on_message(&mut self, message: &Message) {
        self.marks.insert(message.seq, Mark::of(message));
        if self.marks.len() > MARKS_MAX {
            self.marks.pop_first();
        }
    }

    /// Messages up to `seq` were missed during an outage. Gives back what a store must be told, once it
    /// is known where the channel begins.
    pub fn on_missed(&mut self, seq: u64) -> Option<&KeptChannel> {
        self.told.missed_to = seq;
        self.told.cursor.is_some().then_some(&self.told)
    }

    /// A message is nobody's yet, whatever was finished when it was not known: a push may come behind
    /// the answer of what is newest. Gives back what a store must be told, if that is news.
    pub fn on_new(&mut self, seq: u64) -> Option<&KeptChannel> {
        let before = seq.saturating_sub(1);
        let cursor = self.told.cursor.as_mut();
        let cursor = cursor.filter(|cursor| cursor.seq > before)?;
        *cursor = Cursor {
            seq: before,
            at: self.marks.get(&before).cloned(),
        };
        Some(&self.told)
    }

    /// A turn says what was to be said. Gives back what a store must be told, if that is news.
    pub fn on_said(&mut self) -> Option<&KeptChannel> {
        let said = core::mem::take(&mut self.told.notice);
        (said != Notice::default()).then_some(&self.told)
    }

    /// Everything up to `finished` is finished, of what was received up to `heard`; what was recorded
    /// and not handed over begins at `context`, and `notice` tells what the next turn says of what lies up to a
    /// `seq`. Gives back what a store must be told, if that is news.
    ///
    /// The cursor goes back only with `heard`: where a guild was restored from a backup, the same
    /// numbers come again.
    pub fn settle(
        &mut self,
        heard: u64,
        finished: u64,
        context: Option<u64>,
        notice: impl FnOnce(u64) -> Notice,
    ) -> Option<&KeptChannel> {
        let before = self.told.cursor.as_ref();
        let seq = before.map_or(finished, |before| before.seq.max(finished).min(heard));
        let context_from = context.unwrap_or_else(|| seq.saturating_add(1));
        let moved = before.is_none_or(|before| before.seq != seq);
        let notice = notice(seq);
        if !moved && self.told.context_from == context_from && self.told.notice == notice {
            return None;
        }
        self.told.notice = notice;
        if moved {
            let at = self.marks.get(&seq).cloned();
            self.told.cursor = Some(Cursor { seq, at });
            self.marks = self.marks.split_off(&seq);
            if self.told.missed_to <= seq {
                self.told.missed_to = 0;
            }
        }
        self.told.context_from = context_from;
        Some(&self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::samples::message;

    fn cursor(told: Option<&KeptChannel>) -> Option<(u64, Option<&str>)> {
        let cursor = told?.cursor.as_ref()?;
        Some((cursor.seq, cursor.at.as_ref().map(|at| at.id.as_str())))
    }

    fn nothing(_: u64) -> Notice {
        Notice::default()
    }

    #[test]
    fn a_store_is_told_what_is_news_and_which_message_that_was() {
        let mut progress = Progress::default();
        assert_eq!(
            cursor(progress.settle(4, 4, None, nothing)),
            Some((4, None))
        );
        assert_eq!(progress.settle(4, 4, None, nothing), None);
        for seq in 5..=7 {
            progress.on_message(&message(seq));
        }
        assert_eq!(
            cursor(progress.settle(7, 5, None, nothing)),
            Some((5, Some("m5")))
        );
        assert_eq!(
            cursor(progress.settle(7, 7, None, nothing)),
            Some((7, Some("m7")))
        );
        assert_eq!(progress.marks.len(), 1);
        assert_eq!(
            cursor(progress.settle(7, 7, Some(6), nothing)),
            Some((7, Some("m7"))),
            "context alone"
        );
    }

    #[test]
    fn the_cursor_goes_back_with_what_is_heard_alone() {
        let mut progress = Progress::default();
        progress.settle(9, 9, None, nothing);
        assert_eq!(
            progress.settle(9, 3, None, nothing),
            None,
            "an old message runs again"
        );
        assert_eq!(
            cursor(progress.settle(5, 5, None, nothing)),
            Some((5, None))
        );
    }

    #[test]
    fn what_is_new_is_never_behind_the_cursor() {
        let mut progress = Progress::default();
        assert_eq!(progress.on_new(3), None, "it has not begun");
        progress.settle(3, 3, None, nothing);
        assert_eq!(progress.on_new(4), None);
        assert_eq!(cursor(progress.on_new(3)), Some((2, None)));
        progress.settle(3, 2, None, nothing);
        assert_eq!(progress.cursor(), 2, "it waits");
        progress.on_message(&message(1));
        assert_eq!(cursor(progress.on_new(2)), Some((1, Some("m1"))));
    }

    #[test]
    fn a_turn_that_runs_for_ever_does_not_fill_the_memory() {
        let mut progress = Progress::default();
        progress.settle(0, 0, None, nothing);
        for seq in 1..=1_000 {
            progress.on_message(&message(seq));
            assert!(progress.marks.len() <= MARKS_MAX);
        }
        assert_eq!(
            cursor(progress.settle(1_000, 5, None, nothing)),
            Some((5, None))
        );
        assert_eq!(
            cursor(progress.settle(1_000, 999, None, nothing)),
            Some((999, Some("m999")))
        );
    }
}
