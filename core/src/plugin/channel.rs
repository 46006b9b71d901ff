//! One channel of an agent: its kind, its sequence, what waits for either, and its context.

use alloc::{collections::VecDeque, string::String, vec::Vec};

use crate::{
    canonical,
    fabric::types::{Channel as Listed, Message, XType},
    id::UserId,
    plugin::{context::Context, gate::LoopGuard, sequence::Sequence},
};

/// How many messages wait for the channel's kind to become known. Further ones are dropped, oldest
/// first; they are old by the time the guild has answered.
const HELD_MAX: usize = 1_000;

/// What an agent knows of a channel that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Channel {
    /// Its name, as last told.
    pub name: String,
    /// Its kind, once the guild has told it.
    pub x_type: Option<XType>,
    /// What has been heard.
    pub sequence: Sequence,
    /// What was said without waking the agent.
    pub context: Context,
    /// Who answers whom too often.
    pub guard: LoopGuard,
    /// Who woke the last turn, until our post answers it.
    pub unanswered: Option<UserId>,
    /// Whether somebody else was seen posting as this account; said once.
    pub foreign_posts: bool,
    /// The newest wake that was not a new message.
    pub wake_id: Option<String>,
    held: VecDeque<Message>,
}
canonical!(struct Channel {
    name, x_type, sequence, context, guard, unanswered, foreign_posts, wake_id, held
});

impl Channel {
    /// The guild has told the channel's fields: gives back what waited for them.
    pub fn on_fields(&mut self, listed: &Listed) -> Vec<Message> {
        self.name.clone_from(&listed.name);
        self.on_kind(listed.x_type)
    }

    /// The channel's kind is known: gives back what waited for it.
    pub fn on_kind(&mut self, x_type: XType) -> Vec<Message> {
        self.x_type = Some(x_type);
        core::mem::take(&mut self.held).into()
    }

    /// Keeps a message until the channel's kind is known.
    pub fn hold(&mut self, message: Message) {
        self.held.push_back(message);
        if self.held.len() > HELD_MAX {
            self.held.pop_front();
        }
    }

    /// A message was edited or deleted: it may still wait for the channel's kind or behind a gap.
    pub fn amend(&mut self, newer: &Message) {
        self.sequence.amend(newer);
        for held in self.held.iter_mut().filter(|held| held.id == newer.id) {
            held.amend(newer);
        }
    }

    /// Whether messages wait for the channel's kind.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }
}
