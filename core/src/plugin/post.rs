//! A text on its way to a channel: the message that it is, or those that it is cut into.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::time::Duration;

use crate::{
    canonical,
    fabric::{
        routes::{AttachmentRef, PostBody},
        types::Message,
    },
    guild::mention::says_the_same,
    http::CallId,
    id::{MessageId, UserId},
    plugin::{others::Others, split::split, turns::Place},
};

/// How many messages one text becomes at most: more would bury a channel.
pub const PARTS_MAX: usize = 20;

/// How many pages of history are read for one message at most. It was posted lately, if at all.
const PAGES_MAX: u32 = 10;

/// What is to be posted. A text that is too long for one message becomes several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The tool call that waits for it.
    pub call: CallId,
    /// Where to.
    pub place: Place,
    /// The text.
    pub content: String,
    /// The message this answers; the first of several does.
    pub reply_to: Option<MessageId>,
    /// Files; the last of several messages carries them.
    pub attachments: Vec<AttachmentRef>,
    /// What the nonces begin with: the same over all repetitions, so that nothing appears twice.
    pub nonce: String,
    /// The highest `seq` of the channel that was known before the call.
    pub heard: Option<u64>,
    /// Its turn was handed over before, and it may have been posted then.
    pub again: bool,
    /// Own messages that are others.
    pub others: Others,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The tool call that waits for it.
    pub call: CallId,
    /// Where to.
    pub place: Place,
    /// What.
    pub body: PostBody,
    /// The messages of the same call that stand in the channel already.
    pub sent: Vec<Sent>,
    /// The texts that follow, the last one first.
    contents: Vec<String>,
    attachments: Vec<AttachmentRef>,
    nonce: String,
    pub(super) heard: Option<u64>,
    pub(super) again: bool,
    pub(super) others: Others,
    /// It may stand in the channel, and the guild would not notice: history is asked first.
    pub(super) looks: bool,
    /// Before which `seq` the next page of that ends; `None` for the newest.
    pub(super) before: Option<u64>,
    /// How many pages of it were read.
    pages: u32,
    /// How long each message is tried.
    pub(super) patience: Duration,
}
canonical!(struct Post {
    call, place, body, sent, contents, attachments, nonce, heard, again, others, looks, before, pages,
    patience
});

/// A message that stands in its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message.
    pub message: Box<Message>,
    /// It stood there before the call.
    pub already: bool,
}
canonical!(struct Sent { message, already });

impl Post {
    pub(super) fn new(draft: Draft, chars_max: usize, patience: Duration) -> Result<Self, String> {
        let Draft {
            call,
            place,
            content,
            reply_to,
            attachments,
            nonce,
            heard,
            again,
            others,
        } = draft;
        let mut contents = split(&content, chars_max);
        if contents.len() > PARTS_MAX {
            return Err(format!(
                "the text would become {} messages of {chars_max} characters, and {PARTS_MAX} are \
                 allowed: shorten it, or share it as a canvas; nothing was posted",
                contents.len()
            ));
        }
        contents.reverse();
        let body = PostBody {
            content: String::new(),
            reply_to_id: reply_to,
            attachments: Vec::new(),
            nonce: None,
        };
        let mut post = Self {
            call,
            place,
            body,
            sent: Vec::new(),
            contents,
            attachments,
            nonce,
            heard,
            again,
            others,
            looks: false,
            before: None,
            pages: 0,
            patience,
        };
        post.take();
        Ok(post)
    }

    /// Whether this message of `me` is the one that is to be posted. One with a nonce says so itself.
    pub(super) fn is(&self, me: &UserId, message: &Message) -> bool {
        message.author.id == *me
            && !self.others.has(message.seq)
            && says_the_same(&self.body.content, &message.content)
            && message.reply_to_id == self.body.reply_to_id
            && (message.nonce.is_none() || message.nonce == self.body.nonce)
    }

    /// History is to be asked whether it stands there, or is not.
    pub(super) fn look(&mut self, looks: bool) {
        self.looks = looks;
        self.before = None;
        self.pages = 0;
    }

    /// A page has it not, of which this is the oldest message. Where it may stand before that, the
    /// next page is to be asked for, and otherwise it does not stand there.
    pub(super) fn look_on(&mut self, oldest: Option<u64>) {
        let back = |seq: u64| self.before.is_none_or(|before| seq < before);
        let oldest = oldest.filter(|seq| !self.others.has_all_before(*seq) && back(*seq));
        if oldest.is_none() || self.pages + 1 >= PAGES_MAX {
            self.look(false);
        } else {
            self.before = oldest;
            self.pages += 1;
        }
    }

    /// How many messages there are altogether.
    pub(super) fn parts(&self) -> usize {
        self.sent.len() + 1 + self.contents.len()
    }

    /// Goes on with the next text, if there is one.
    pub(super) fn advance(&mut self) -> bool {
        let more = !self.contents.is_empty();
        if more {
            self.take();
        }
        more
    }

    /// Makes the next text the one that is posted; where there is none, there are files.
    fn take(&mut self) {
        self.body.content = self.contents.pop().unwrap_or_default();
        self.body.nonce = Some(format!("{}.{}", self.nonce, self.sent.len()));
        if !self.sent.is_empty() {
            self.body.reply_to_id = None;
        }
        if self.contents.is_empty() {
            self.body.attachments = core::mem::take(&mut self.attachments);
        }
    }

    /// Cuts the texts that are left to at most so many characters.
    pub(super) fn shorten(&mut self, chars_max: usize) {
        let left = core::mem::take(&mut self.contents);
        let texts = left.iter().rev();
        self.contents = core::iter::once(&self.body.content)
            .chain(texts)
            .flat_map(|text| split(text, chars_max))
            .collect();
        self.contents.reverse();
        self.attachments.append(&mut self.body.attachments);
        self.take();
    }

    /// Why it failed, and which of its messages stand in the channel.
    pub(super) fn told(&self, why: &str) -> String {
        if self.sent.is_empty() {
            return why.into();
        }
        let ids: Vec<&str> = self
            .sent
            .iter()
            .map(|sent| sent.message.id.as_str())
            .collect();
        format!(
            "{why}. The text was cut into {} messages, of which the first {} stand in the channel: {}",
            self.parts(),
            ids.len(),
            ids.join(", ")
        )
    }
}
