//! Changes of what the store alone holds: messages and canvases, one at a time for each document.
//!
//! A change whose turn has come has its document read, and is decided by what the store has then;
//! the changes of the same document behind it wait, and see what it has written.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};

use crate::{
    canonical,
    fabric::{
        bodies::{ShareCanvas, UpdateCanvas},
        types::{Author, Message},
    },
    guild::{
        Guild, amend, answer,
        channel::By,
        io::{Loaded, Output, Query, Unavailable},
        names::Names,
        node::{LoadFor, NameFor},
        outcome::Done,
        refusal::Refusal,
        serve::{too_many_calls, unreadable},
    },
    http::CallId,
    id::{ChannelId, MessageId, UserId},
    time::Time,
};

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Document {
    /// A message.
    Message(MessageId),
    /// The canvas of a channel.
    Canvas(ChannelId),
}
canonical!(
    enum Document {
        Message(id),
        Canvas(channel),
    }
);

/// What is to become of it. A wish for the other kind of document does not arise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Another text.
    Edit(String),
    /// To be blanked.
    Delete,
    /// A canvas in place of the former one.
    Share(ShareCanvas),
    /// Some of the canvas anew.
    Update(UpdateCanvas),
    /// No canvas any more.
    Remove,
}
canonical!(
    enum Wish {
        Edit(content),
        Delete,
        Share(body),
        Update(body),
        Remove,
    }
);

/// A change on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The call that asks for it.
    pub(super) call: CallId,
    /// Who asks for it.
    pub(super) author: Author,
    /// What is asked for.
    pub(super) wish: Wish,
    stage: Stage,
}
canonical!(struct Change { call, author, wish, stage });

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not had its turn.
    Queued,
    /// The store reads its document.
    Reading,
    /// Center resolves the names in the new text of this message.
    Names(Box<Message>, Names),
}
canonical!(
    enum Stage {
        Queued,
        Reading,
        Names(message, names),
    }
);

impl Change {
    /// A change that has not had its turn.
    pub(super) fn new(call: CallId, author: Author, wish: Wish) -> Self {
        Self {
            call,
            author,
            wish,
            stage: Stage::Queued,
        }
    }
}

/// The queues, by document.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Changes {
    queues: BTreeMap<Document, VecDeque<Change>>,
    /// How many there are of each user.
    by_user: BTreeMap<UserId, usize>,
}
canonical!(struct Changes { queues, by_user });

impl Changes {
    /// Lines a change up; false where its author has `most` of them under way.
    fn push(&mut self, most: usize, document: Document, change: Change) -> bool {
        let count = self.by_user.get(&change.author.id).copied().unwrap_or(0);
        if count >= most {
            return false;
        }
        self.by_user.insert(change.author.id.clone(), count + 1);
        self.queues.entry(document).or_default().push_back(change);
        true
    }

    fn front(&mut self, document: &Document) -> Option<&mut Change> {
        self.queues.get_mut(document)?.front_mut()
    }

    fn pop(&mut self, document: &Document) -> Option<Change> {
        let queue = self.queues.get_mut(document)?;
        let change = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(document);
        }
        if let Some(count) = self.by_user.get_mut(&change.author.id) {
            *count -= 1;
            if *count == 0 {
                self.by_user.remove(&change.author.id);
            }
        }
        Some(change)
    }

    /// Forgets all changes.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Guild {
    /// A call asks for a change.
    pub(super) fn change(
        &mut self,
        now: Time,
        document: Document,
        change: Change,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let most = self.config.limits.calls_per_user_max;
        if !self.changes.push(most, document.clone(), change) {
            return Err(too_many_calls());
        }
        self.advance_changes(now, &document, out);
        Ok(())
    }

    /// Has the document of the next change read.
    fn advance_changes(&mut self, now: Time, document: &Document, out: &mut Vec<Output>) {
        let Some(change) = self.changes.front(document) else {
            return;
        };
        match change.stage {
            Stage::Queued => {
                change.stage = Stage::Reading;
                let query = match document {
                    Document::Message(id) => Query::Message(id.clone()),
                    Document::Canvas(channel) => Query::Canvas(channel.clone()),
                };
                self.load(now, query, LoadFor::Change(document.clone()), out);
            }
            Stage::Reading | Stage::Names(..) => {}
        }
    }

    /// The store has read a document, or could not in time.
    pub(super) fn on_document(
        &mut self,
        now: Time,
        document: &Document,
        loaded: Result<Loaded, Unavailable>,
        out: &mut Vec<Output>,
    ) {
        let failure = match loaded {
            Ok(loaded) => match self.decide(now, document, loaded, out) {
                Ok(()) => return,
                Err(refusal) => refusal.response(),
            },
            Err(Unavailable(why)) => unreadable(&why),
        };
        if let Some(change) = self.changes.pop(document) {
            self.answer(now, change.call, failure, out);
        }
        self.advance_changes(now, document, out);
    }

    /// Decides the first change of a document by what the store has.
    fn decide(
        &mut self,
        now: Time,
        document: &Document,
        loaded: Loaded,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let Some(change) = self.changes.front(document) else {
            return Ok(());
        };
        let by = By {
            author: &change.author,
            wall: self.clock.wall(now),
        };
        let (state, limits) = (&self.state, &self.config.limits);
        let (facts, done) = match (document, loaded) {
            (Document::Message(id), Loaded::Message(message)) => {
                let message = amend::own(state, limits, by, id, message)?;
                let facts = match &change.wish {
                    Wish::Edit(content) => {
                        let (names, asked) = Names::of(content, limits);
                        if !asked.is_empty() {
                            change.stage = Stage::Names(message, names);
                            let asker = NameFor::Edit(id.clone());
                            self.resolve(now, &asker, asked, out);
                            return Ok(());
                        }
                        amend::edit(by, &message, names.rewrite(content))?
                    }
                    Wish::Delete | Wish::Share(_) | Wish::Update(_) | Wish::Remove => {
                        amend::delete(by, &message)
                    }
                };
                (facts, Done::Amended(message))
            }
            (Document::Canvas(channel), Loaded::Canvas(canvas)) => match change.wish.clone() {
                Wish::Share(body) => {
                    let facts = amend::share(state, by, channel, body)?;
                    (facts, Done::Canvas(canvas))
                }
                Wish::Update(body) => {
                    let facts = amend::update(state, by, channel, canvas.clone(), body)?;
                    (facts, Done::Canvas(canvas))
                }
                Wish::Remove | Wish::Edit(_) | Wish::Delete => {
                    let facts = amend::remove(state, by, channel, canvas.as_deref())?;
                    (facts, Done::Changed(200))
                }
            },
            (
                _,
                Loaded::Page(_)
                | Loaded::Message(_)
                | Loaded::Canvas(_)
                | Loaded::Channels(_)
                | Loaded::Command { .. },
            ) => {
                return Err(Refusal::new(503, "the store answered another question"));
            }
        };
        if let Some(change) = self.changes.pop(document) {
            self.commit(now, change.call, facts, &done, out);
        }
        self.advance_changes(now, document, out);
        Ok(())
    }

    /// Center has said, or did not say in time, whose name is in the new text of a message.
    pub(super) fn on_edit_name(
        &mut self,
        now: Time,
        id: MessageId,
        name: String,
        user: Option<UserId>,
        out: &mut Vec<Output>,
    ) {
        let document = Document::Message(id);
        let Some(change) = self.changes.front(&document) else {
            return;
        };
        let (Stage::Names(message, names), Wish::Edit(content)) = (&mut change.stage, &change.wish)
        else {
            return;
        };
        names.on_name(name, user);
        if !names.are_resolved() {
            return;
        }
        let by = By {
            author: &change.author,
            wall: self.clock.wall(now),
        };
        let (state, limits, Document::Message(id)) = (&self.state, &self.config.limits, &document)
        else {
            return;
        };
        // The channel and the clock have gone on since; the message has not.
        let decided =
            amend::own(state, limits, by, id, Some(message.clone())).and_then(|message| {
                let facts = amend::edit(by, &message, names.rewrite(content))?;
                Ok((facts, Done::Amended(message)))
            });
        if let Some(change) = self.changes.pop(&document) {
            match decided {
                Ok((facts, done)) => self.commit(now, change.call, facts, &done, out),
                Err(refusal) => self.answer(now, change.call, refusal.response(), out),
            }
        }
        self.advance_changes(now, &document, out);
    }

    /// The store has read a canvas for a call, or could not in time.
    pub(super) fn on_canvas(
        &mut self,
        now: Time,
        (call, channel): (CallId, &ChannelId),
        loaded: Result<Loaded, Unavailable>,
        out: &mut Vec<Output>,
    ) {
        let response = match loaded {
            Ok(Loaded::Canvas(Some(canvas))) => answer::json(200, &canvas),
            Ok(Loaded::Canvas(None)) => amend::no_canvas(channel).response(),
            Ok(
                Loaded::Page(_) | Loaded::Message(_) | Loaded::Channels(_) | Loaded::Command { .. },
            ) => unreadable("it answered another question"),
            Err(Unavailable(why)) => unreadable(&why),
        };
        self.answer(now, call, response, out);
    }
}
