//! What the tests of the plugin's parts are made of.

use alloc::{format, string::String, vec::Vec};

use crate::{
    fabric::types::{Author, Message},
    id::{ChannelId, MessageId, UserId},
    time::Wall,
};

/// A message of one user in one channel, as history has it where nobody is told whom it wakes.
pub(super) fn message(seq: u64) -> Message {
    Message {
        id: MessageId::new(&format!("m{seq}")).unwrap(),
        channel_id: ChannelId::new("c").unwrap(),
        guild_id: None,
        seq,
        author: Author {
            id: UserId::new("u").unwrap(),
            name: String::new(),
        },
        content: "hello".into(),
        reply_to_id: None,
        mentions: Vec::new(),
        attachments: Vec::new(),
        created_at: Wall::default(),
        edited_at: None,
        deleted_at: None,
        nonce: None,
        wakeup: None,
        rewake: None,
        wake_id: None,
    }
}
