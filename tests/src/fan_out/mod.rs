//! A post to every socket of a room: the same scene on several servers, before one crowd of sockets
//! that costs as little as possible.
//!
//! All servers speak Socket.IO, in the namespace of Fabric's guilds: a socket asks to enter the room
//! with `join_channel`, and gets `message.created` for each post. A guild is posted to over HTTP, the
//! others by the event `post` of a socket that is not in the room.

mod connection;
mod crowd;
mod guild;
mod ledger;
mod measure;
mod poster;
mod stage;

pub use self::{
    crowd::Crowd,
    measure::{Alone, Burst, Pace, alone, burst, paced},
    stage::{Kind, Server},
};
use selvedge_core::{
    Wall,
    fabric::types::{Author, Message},
    id::{ChannelId, GuildId, MessageId, UserId},
};

/// The room of the servers that have one only.
pub const ROOM: &str = "room";

/// The event that a socket of those servers posts with: `{content}`.
pub const POST: &str = "post";

/// What stands before the number of a post, in the frame that it comes in.
const MARK: &[u8] = br#""content":"#;

/// How many digits the number of a post has.
const DIGITS: usize = 8;

/// How long the text of a post is, so that its frame has some 650 bytes.
const CONTENT_BYTES: usize = 310;

/// The text of a post.
fn content(number: usize) -> String {
    let number = format!("{number:0DIGITS$} ");
    let filling = "selvedge ".chars().cycle();
    number.chars().chain(filling).take(CONTENT_BYTES).collect()
}

/// The message that a server which stores nothing makes of a post: as long as a guild's.
pub fn message(content: String) -> Option<Message> {
    Some(Message {
        id: MessageId::new("c0123456789abcdef-1000")?,
        channel_id: ChannelId::new("c0123456789abcdef")?,
        guild_id: Some(GuildId::new("local")?),
        seq: 1_000,
        author: Author {
            id: UserId::new("u_0123456789abcdefghij")?,
            name: "user-1".into(),
        },
        content,
        reply_to_id: None,
        mentions: Vec::new(),
        attachments: Vec::new(),
        created_at: Wall::from_millis(1_767_225_600_000),
        edited_at: None,
        deleted_at: None,
        nonce: None,
        wakeup: Some(true),
        rewake: None,
        wake_id: None,
    })
}
