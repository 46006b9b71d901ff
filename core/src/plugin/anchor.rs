//! The anchor of a channel: the message by which a guild is known again, and what is read where it is
//! gone, because the guild was restored from a backup.

use alloc::vec::Vec;

use crate::{
    canonical,
    fabric::types::{Message, Page},
    plugin::{
        backfill::Read,
        kept::{Cursor, Mark},
    },
    time::Wall,
};

/// How many pages are read back at most. What lies before that is neither read nor counted: a guild
/// that pages without end must not be read without end.
const PAGES_MAX: u32 = 10;

/// What is known of one channel's anchor.
///
/// The guild is [doubted](Self::doubt) whenever it was away, and the newest message that it is known by
/// is looked up; the anchor is [lost](Self::lose) where that is gone, or where the guild shows that it
/// has less than before.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Anchor {
    state: State,
}
canonical!(struct Anchor { state });

#[derive(Clone, Debug, PartialEq, Eq, Default)]
enum State {
    /// Nothing speaks against it.
    #[default]
    Held,
    /// The guild is to be looked up.
    Doubted(Doubt),
    /// It is gone, or may be: what was posted after it is being read, the newest first.
    Lost(Search),
}
canonical!(
    enum State {
        Held,
        Doubted(doubt),
        Lost(search),
    }
);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Doubt {
    anchor: Cursor,
    /// What is looked up: the newest message that was heard, where that is known. A backup may be newer
    /// than the anchor, and older than that.
    by: Cursor,
}
canonical!(struct Doubt { anchor, by });

#[derive(Clone, Debug, PartialEq, Eq)]
struct Search {
    anchor: Cursor,
    /// What was posted later than this is new; `None` where that is not known.
    since: Option<Wall>,
    /// When the newest message was posted that was heard, where that is known.
    heard: Option<Wall>,
    /// Something newer than the anchor was looked up, and is gone.
    is_behind: bool,
    /// What was heard or read before, by the numbers that the guild had then.
    known: u64,
    /// Before which `seq` the next page ends; `None` for the newest.
    before: Option<u64>,
    pages: u32,
    newest: Option<Cursor>,
    /// The newest messages, the last one first.
    messages: Vec<Message>,
    older: u64,
    /// The newest of those that are too many.
    newest_older: Option<Cursor>,
}
canonical!(struct Search {
    anchor, since, heard, is_behind, known, before, pages, newest, messages, older, newest_older
});

/// What a guild has that was restored from a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whether it was restored at all.
    pub restored: bool,
    /// What was posted later than this is new; `None` where that is not known.
    pub since: Option<Wall>,
    /// What was posted up to this was heard before, finished or not, where that is known.
    pub heard: Option<Wall>,
    /// The newest of what is not: everything up to here is finished.
    pub cursor: Cursor,
    /// The newest of all.
    pub newest: u64,
    /// What was posted since, in order.
    pub messages: Vec<Message>,
    /// How many before them were posted since, too, and are too many.
    pub skipped: u64,
}

impl Anchor {
    /// The guild was away: whether it still has `by` is to be looked up, which is the anchor or newer.
    /// Where the anchor is at 0, nothing was finished, and all that is found is new.
    pub fn doubt(&mut self, anchor: Cursor, by: Cursor) {
        if self.state == State::Held && by.seq > 0 {
            self.state = State::Doubted(Doubt { anchor, by });
        }
    }

    /// Everything up to `cursor` is finished by now, by the numbers that the guild had: of what it has
    /// still, nothing up to there is new.
    pub fn finish(&mut self, cursor: &Cursor) {
        // By a number alone nothing is recognised.
        let Some(at) = &cursor.at else { return };
        match &mut self.state {
            State::Held => {}
            State::Doubted(Doubt { anchor, .. }) => anchor.clone_from(cursor),
            State::Lost(search) => {
                search.anchor.clone_from(cursor);
                search.since = Some(at.created_at);
                let read = search.messages.len();
                let is_new = |message: &Message| message.created_at > at.created_at;
                search.messages.retain(is_new);
                if search.messages.len() < read {
                    search.older = 0;
                    search.newest_older = None;
                }
            }
        }
    }

    /// It is not looked up (any more).
    pub fn trust(&mut self) {
        if matches!(self.state, State::Doubted(_)) {
            self.state = State::Held;
        }
    }

    /// The guild has less than the messages up to `known` that it had. `false` where there is nothing
    /// to go by.
    pub fn lose(&mut self, known: u64) -> bool {
        self.search(known, false);
        self.is_lost()
    }

    fn search(&mut self, known: u64, is_behind: bool) {
        if let State::Doubted(Doubt { anchor, by }) = &self.state {
            // All that was heard waits here, so what is later than the last of it is new, too.
            let mark = anchor.at.as_ref().or(by.at.as_ref());
            let since = mark.filter(|_| anchor.seq > 0).map(|mark| mark.created_at);
            self.state = State::Lost(Search {
                anchor: anchor.clone(),
                since,
                heard: by.at.as_ref().map(|at| at.created_at),
                is_behind,
                known,
                before: None,
                pages: 0,
                newest: None,
                messages: Vec::new(),
                older: 0,
                newest_older: None,
            });
        }
    }

    /// Whether nothing speaks against it.
    pub fn is_held(&self) -> bool {
        self.state == State::Held
    }

    /// Whether what is new is being looked for: until then nothing is in order.
    pub fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost(_))
    }

    /// The connection has ended: what was read may be old by the time there is another one.
    pub fn on_conn_end(&mut self) {
        if let State::Lost(search) = &mut self.state {
            search.before = None;
            search.pages = 0;
            search.newest = None;
            search.messages.clear();
            search.older = 0;
            search.newest_older = None;
        }
    }

    /// What is to be read for it, at most `limit` messages.
    pub fn read(&self, limit: u64) -> Option<Read> {
        match &self.state {
            State::Held => None,
            State::Doubted(doubt) => Some(Read::Anchor { seq: doubt.by.seq }),
            State::Lost(search) => Some(Read::Back {
                before: search.before,
                limit,
            }),
        }
    }

    /// The page that ends with what was looked up, in a channel of which all up to `known` was heard.
    /// Gives back what stands there where that was not known.
    pub fn on_looked_up(&mut self, page: &Page, known: u64) -> Option<Mark> {
        let State::Doubted(Doubt { anchor, by }) = &self.state else {
            return None;
        };
        let found = page.messages.iter().find(|told| told.seq == by.seq);
        // A guild that does not page tells nothing.
        let beyond = page.messages.iter().any(|told| told.seq > by.seq);
        match (&by.at, found) {
            (Some(at), Some(found)) if at.is(found) => {}
            (Some(_), None) if beyond => {}
            (Some(_), Some(_) | None) => {
                let is_behind = by.seq > anchor.seq;
                self.search(known, is_behind);
                return None;
            }
            (None, found) => {
                let mark = found.map(Mark::of);
                self.state = State::Held;
                return mark;
            }
        }
        self.state = State::Held;
        None
    }

    /// A page of what is newest, or of what comes before it. Once enough is read, gives back the
    /// newest `most` of what was posted since.
    pub fn on_back(&mut self, page: Page, most: usize) -> Option<Found> {
        let State::Lost(search) = &mut self.state else {
            return None;
        };
        search.pages += 1;
        let since = search.since;
        let is_old = |message: &Message| match since {
            Some(since) => message.created_at <= since,
            None => search.anchor.seq > 0,
        };
        let mut known = None;
        let mut moved = false;
        for message in page.messages.into_iter().rev() {
            if search.before.is_some_and(|before| message.seq >= before) {
                continue;
            }
            let here = Cursor {
                seq: message.seq,
                at: Some(Mark::of(&message)),
            };
            search.newest.get_or_insert_with(|| here.clone());
            if is_old(&message) {
                known = Some(here);
                break;
            }
            moved = true;
            search.before = Some(message.seq);
            if search.messages.len() < most {
                search.messages.push(message);
            } else {
                search.older += 1;
                search.newest_older.get_or_insert(here);
            }
        }
        let is_first = search.before.is_some_and(|before| before <= 1);
        if known.is_none() && moved && !is_first && search.pages < PAGES_MAX {
            return None;
        }
        let newest = search.newest.as_ref().map_or(0, |newest| newest.seq);
        let is_there = known.as_ref() == Some(&search.anchor);
        let restored = !is_there || search.is_behind || newest < search.known;
        let mut messages = core::mem::take(&mut search.messages);
        messages.reverse();
        let (skipped, heard) = (search.older, search.heard);
        let cursor = match (messages.first(), known) {
            (Some(first), known) => {
                let seq = first.seq.saturating_sub(1);
                let before = search.newest_older.take().or(known);
                before
                    .filter(|before| before.seq == seq)
                    .unwrap_or(Cursor { seq, at: None })
            }
            (None, known) => known.unwrap_or_default(),
        };
        self.state = State::Held;
        Some(Found {
            restored,
            since,
            heard,
            cursor,
            newest,
            messages,
            skipped,
        })
    }
}

#[cfg(test)]
mod tests;
