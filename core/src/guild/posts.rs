//! The posts under way, in a queue for each author: the order of work for one post.
//!
//! Membership, nonce, closed, names, then all of it once more and the decision. A post whose turn
//! has come asks for what it needs; the posts of the same author behind it wait, so they keep their
//! order, and two with one nonce never look for it at the same time.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};

use crate::{
    canonical,
    fabric::{routes::PostBody, turns::Command, types::Author},
    guild::{
        channel::{self, Draft},
        config::Limits,
        names::Names,
        refusal::Refusal,
        state::State,
    },
    http::CallId,
    id::{ChannelId, UserId},
};

/// A message on its way into a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Post {
    /// The call that posts it.
    pub(super) call: CallId,
    /// Who posts it.
    pub(super) author: Author,
    /// Where.
    pub(super) channel: ChannelId,
    /// What.
    pub(super) body: PostBody,
    stage: Stage,
}
canonical!(struct Post { call, author, channel, body, stage });

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not had its turn.
    Queued,
    /// The store looks for a message with its nonce.
    Nonce,
    /// There is no such message.
    New,
    /// Center resolves its names.
    Names(Names),
}
canonical!(
    enum Stage {
        Queued,
        Nonce,
        New,
        Names(names),
    }
);

/// What the post whose turn it is needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Its answer is on the way.
    Nothing,
    /// The author's message with this nonce.
    Nonce(String),
    /// The users of these names.
    Names(Vec<String>),
    /// To be refused.
    Refusal(Refusal),
    /// To be carried out: it is no message.
    Command(Command),
    /// To be decided.
    Decision(Draft),
}

/// The queues, by author.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Posts {
    queues: BTreeMap<UserId, VecDeque<Post>>,
}
canonical!(struct Posts { queues });

impl Posts {
    /// Lines a post up behind its author's others; the call is given back where there are too many.
    pub(super) fn push(
        &mut self,
        limits: &Limits,
        call: CallId,
        author: Author,
        channel: ChannelId,
        body: PostBody,
    ) -> Result<(), CallId> {
        let queue = self.queues.entry(author.id.clone()).or_default();
        if queue.len() >= limits.calls_per_user_max {
            return Err(call);
        }
        queue.push_back(Post {
            call,
            author,
            channel,
            body,
            stage: Stage::Queued,
        });
        Ok(())
    }

    /// What the first post of `author` needs; `None` where there is none.
    pub(super) fn need(&mut self, state: &State, limits: &Limits, author: &UserId) -> Option<Need> {
        let post = self.queues.get_mut(author)?.front_mut()?;
        Some(match post.next(state, limits) {
            Ok(need) => need,
            Err(refusal) => Need::Refusal(refusal),
        })
    }

    /// The store knows no message with the nonce of the author's first post.
    pub(super) fn on_nonce_unknown(&mut self, author: &UserId) {
        if let Some(post) = self.queues.get_mut(author).and_then(VecDeque::front_mut)
            && post.stage == Stage::Nonce
        {
            post.stage = Stage::New;
        }
    }

    /// Center has said, or did not say in time, whose name this is.
    pub(super) fn on_name(&mut self, author: &UserId, name: String, user: Option<UserId>) {
        if let Some(post) = self.queues.get_mut(author).and_then(VecDeque::front_mut)
            && let Stage::Names(names) = &mut post.stage
        {
            names.on_name(name, user);
        }
    }

    /// Takes the first post of `author` out.
    pub(super) fn pop(&mut self, author: &UserId) -> Option<Post> {
        let queue = self.queues.get_mut(author)?;
        let post = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(author);
        }
        post
    }

    /// Forgets all posts.
    pub(super) fn clear(&mut self) {
        self.queues.clear();
    }
}

impl Post {
    fn next(&mut self, state: &State, limits: &Limits) -> Result<Need, Refusal> {
        match &self.stage {
            Stage::Queued => {
                channel::may_post(state, &self.channel, &self.author.id)?;
                if let Some(nonce) = &self.body.nonce {
                    let need = Need::Nonce(nonce.clone());
                    self.stage = Stage::Nonce;
                    return Ok(need);
                }
                self.fresh(state, limits)
            }
            Stage::New => self.fresh(state, limits),
            Stage::Nonce => Ok(Need::Nothing),
            Stage::Names(names) if names.are_resolved() => Ok(Need::Decision(self.draft(names))),
            Stage::Names(_) => Ok(Need::Nothing),
        }
    }

    /// The post is no repetition: its channel must be open, a command is carried out, and names in a
    /// message are resolved.
    fn fresh(&mut self, state: &State, limits: &Limits) -> Result<Need, Refusal> {
        let channel = channel::may_post(state, &self.channel, &self.author.id)?;
        channel::takes(channel, &self.body.content)?;
        if let Some(command) = Command::of(&self.body.content) {
            if !self.body.attachments.is_empty() {
                return Err(Refusal::bad(
                    "attachments: a command carries none; leave them out",
                ));
            }
            return Ok(Need::Command(command));
        }
        let (names, asked) = Names::of(&self.body.content, limits);
        if asked.is_empty() {
            return Ok(Need::Decision(self.draft(&names)));
        }
        self.stage = Stage::Names(names);
        Ok(Need::Names(asked))
    }

    fn draft(&self, names: &Names) -> Draft {
        let (content, mentions) = names.rewrite(&self.body.content);
        Draft {
            content,
            mentions,
            reply_to_id: self.body.reply_to_id.clone(),
            nonce: self.body.nonce.clone(),
            attachments: self.body.attachments.clone(),
        }
    }
}
