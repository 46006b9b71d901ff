//! Discussions: a `discuss` channel that is linked to the one it came from.
//!
//! The guild knows of no such link, so the first message of the discussion carries it in its last
//! line. What its own account has written there is believed, nobody else's.

use alloc::{format, string::String, vec::Vec};

use crate::{
    canonical,
    fabric::{
        bodies::CreateChannel,
        routes::PostBody,
        types::{Page, XType},
    },
    id::{ChannelId, UserId},
};

/// What stands before the channel of origin, at the end of the first message.
pub(crate) const ORIGIN: &str = "\n\norigin: ";

/// The first message of a discussion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// What it says.
    pub content: String,
    /// The channel that the discussion comes from.
    pub origin: ChannelId,
    /// By which the guild knows a repeated one.
    pub nonce: String,
}
canonical!(struct Opening { content, origin, nonce });

impl Opening {
    /// The message that is posted.
    pub fn body(&self) -> PostBody {
        post(
            format!("{}{ORIGIN}{}", self.content, self.origin),
            &self.nonce,
        )
    }
}

/// What came of a discussion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it says.
    pub content: String,
    /// By which the guild knows a repeated one.
    pub nonce: String,
}
canonical!(struct Summary { content, nonce });

impl Summary {
    /// The message that is posted.
    pub fn body(&self) -> PostBody {
        post(self.content.clone(), &self.nonce)
    }
}

fn post(content: String, nonce: &str) -> PostBody {
    PostBody {
        content,
        reply_to_id: None,
        attachments: Vec::new(),
        nonce: Some(nonce.into()),
    }
}

/// The channel of a discussion.
pub fn discussion_channel(topic: String, users: Vec<UserId>) -> CreateChannel {
    CreateChannel {
        name: topic,
        x_type: XType::Discuss,
        is_public: false,
        member_user_ids: users,
        wake_mapping: Vec::new(),
        bypass: Vec::new(),
    }
}

/// Where a discussion comes from, by its first message.
pub(super) fn origin(first: &Page, me: &UserId) -> Option<ChannelId> {
    let opening = first
        .messages
        .first()
        .filter(|message| message.author.id == *me)?;
    let (_, origin) = opening.content.rsplit_once(ORIGIN)?;
    ChannelId::new(origin)
}
