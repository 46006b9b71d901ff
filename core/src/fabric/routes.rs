//! The REST calls of a guild node that a client makes: how each is asked.

use alloc::{format, string::String, vec::Vec};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::{
        bodies::{AddMember, CreateChannel, EditMessage, ShareCanvas, UpdateCanvas, UpdateChannel},
        turns::Ack,
    },
    http::{Method, Request},
    id::{ChannelId, FileId, GuildId, MessageId},
    secret::Secret,
};

/// The prefix of every route.
pub const PREFIX: &str = "/api";

/// Where files are uploaded; below it, by its id, each is read.
pub const FILES: &str = "/api/files";

/// The body of a post.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostBody {
    /// The text.
    pub content: String,
    /// The message this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to_id: Option<MessageId>,
    /// Files, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentRef>,
    /// The author's own id for the post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}
canonical!(struct PostBody { content, reply_to_id, attachments, nonce });

/// Names a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentRef {
    /// The file.
    pub id: String,
}
canonical!(struct AttachmentRef { id });

impl From<&FileId> for AttachmentRef {
    fn from(file: &FileId) -> Self {
        Self {
            id: file.as_str().into(),
        }
    }
}

/// How many messages one page of history has at most, as every guild has it.
pub const PAGE_MAX: u64 = 200;

/// Which part of a channel's history is read: both bounds are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paging {
    /// Only messages after this `seq`; without it the newest ones are meant.
    pub after: Option<u64>,
    /// Only messages before this `seq`.
    pub before: Option<u64>,
    /// At most this many.
    pub limit: u64,
}
canonical!(struct Paging { after, before, limit });

/// Asks how the node is and what it runs, which needs no token.
pub fn health() -> Request {
    Request {
        method: Method::Get,
        target: format!("{PREFIX}/health"),
        bearer: None,
        body: Bytes::new(),
    }
}

/// Lists the channels that the caller is in.
pub fn list_channels(token: Secret, guild: &GuildId) -> Request {
    let guild = encoded(guild.as_str());
    bare(
        Method::Get,
        token,
        format!("{PREFIX}/channels?guildId={guild}"),
    )
}

/// Reads one channel.
pub fn read_channel(token: Secret, channel: &ChannelId) -> Request {
    bare(Method::Get, token, of_channel(channel, ""))
}

/// Uploads a file, which its sender puts in.
pub fn upload(token: Secret) -> Request {
    bare(Method::Post, token, FILES.into())
}

/// Reads a file.
pub fn read_file(token: Secret, file: &FileId) -> Request {
    let file = encoded(file.as_str());
    bare(Method::Get, token, format!("{FILES}/{file}"))
}

/// Becomes a member of a channel.
pub fn join(token: Secret, channel: &ChannelId) -> Request {
    bare(Method::Post, token, of_channel(channel, "/join"))
}

/// Is a member of a channel no more.
pub fn leave(token: Secret, channel: &ChannelId) -> Request {
    bare(Method::Post, token, of_channel(channel, "/leave"))
}

/// Lists the members of a channel.
pub fn list_members(token: Secret, channel: &ChannelId) -> Request {
    bare(Method::Get, token, of_channel(channel, "/members"))
}

/// Reads a page of a channel's history.
pub fn history(token: Secret, channel: &ChannelId, paging: Paging) -> Request {
    let Paging {
        after,
        before,
        limit,
    } = paging;
    let mut what = format!("/messages?limit={limit}");
    for (name, bound) in [("afterSeq", after), ("beforeSeq", before)] {
        if let Some(bound) = bound {
            what.push_str(&format!("&{name}={bound}"));
        }
    }
    bare(Method::Get, token, of_channel(channel, &what))
}

/// Reads whose turn it is in a channel.
pub fn read_turn(token: Secret, channel: &ChannelId) -> Request {
    bare(Method::Get, token, of_channel(channel, "/turn"))
}

/// Reads the canvas of a channel.
pub fn read_canvas(token: Secret, channel: &ChannelId) -> Request {
    bare(Method::Get, token, of_channel(channel, "/canvas"))
}

/// Takes the canvas of a channel away.
pub fn remove_canvas(token: Secret, channel: &ChannelId) -> Request {
    bare(Method::Delete, token, of_channel(channel, "/canvas"))
}

/// Reads a guild's catalogue of slash commands.
pub fn list_commands(token: Secret) -> Request {
    bare(Method::Get, token, format!("{PREFIX}/commands"))
}

/// Replaces a guild's catalogue of slash commands with this JSON array.
pub fn replace_commands(token: Secret, commands: String) -> Request {
    Request {
        body: Bytes::from(commands),
        ..bare(Method::Put, token, format!("{PREFIX}/commands"))
    }
}

/// Blanks a message.
pub fn delete_message(token: Secret, message: &MessageId) -> Request {
    bare(Method::Delete, token, of_message(message))
}

/// The result of writing a request: fails where the body does not serialise, which is a bug of its
/// type.
pub type Written = Result<Request, serde_json::Error>;

/// Makes a channel.
pub fn create_channel(token: Secret, body: &CreateChannel) -> Written {
    with(Method::Post, token, format!("{PREFIX}/channels"), body)
}

/// Changes the fields of a channel.
pub fn update_channel(token: Secret, channel: &ChannelId, body: &UpdateChannel) -> Written {
    with(Method::Patch, token, of_channel(channel, ""), body)
}

/// Makes somebody a member of a channel.
pub fn add_member(token: Secret, channel: &ChannelId, body: &AddMember) -> Written {
    with(Method::Post, token, of_channel(channel, "/members"), body)
}

/// Posts a message.
pub fn post_message(token: Secret, channel: &ChannelId, body: &PostBody) -> Written {
    with(Method::Post, token, of_channel(channel, "/messages"), body)
}

/// Changes the text of a message.
pub fn edit_message(token: Secret, message: &MessageId, body: &EditMessage) -> Written {
    with(Method::Patch, token, of_message(message), body)
}

/// Pins a document to a channel.
pub fn share_canvas(token: Secret, channel: &ChannelId, body: &ShareCanvas) -> Written {
    with(Method::Put, token, of_channel(channel, "/canvas"), body)
}

/// Changes the document that is pinned to a channel.
pub fn update_canvas(token: Secret, channel: &ChannelId, body: &UpdateCanvas) -> Written {
    with(Method::Patch, token, of_channel(channel, "/canvas"), body)
}

/// Says that the wake with this message has arrived.
pub fn ack(token: Secret, channel: &ChannelId, message: &MessageId) -> Written {
    let body = Ack {
        message_id: message.clone(),
    };
    with(Method::Post, token, of_channel(channel, "/ack"), &body)
}

/// What is at this path below a channel's own.
fn of_channel(channel: &ChannelId, what: &str) -> String {
    format!("{PREFIX}/channels/{}{what}", encoded(channel.as_str()))
}

fn of_message(message: &MessageId) -> String {
    format!("{PREFIX}/messages/{}", encoded(message.as_str()))
}

fn bare(method: Method, token: Secret, target: String) -> Request {
    Request {
        method,
        target,
        bearer: Some(token),
        body: Bytes::new(),
    }
}

fn with(method: Method, token: Secret, target: String, body: &impl Serialize) -> Written {
    Ok(Request {
        body: Bytes::from(serde_json::to_vec(body)?),
        ..bare(method, token, target)
    })
}

/// Percent-encodes one segment of a path or one value of a query: everything but the unreserved
/// characters of RFC 3986, section 2.3.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut out, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    out.push(char::from(byte));
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
            out
        })
}

/// Undoes percent-encoding; `None` where it is broken or not UTF-8.
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_id_stays_in_its_segment() {
        let channel = ChannelId::new("../a?b/ü").unwrap();
        let request = read_channel(Secret::new("t"), &channel);
        assert_eq!(request.target, "/api/channels/..%2Fa%3Fb%2F%C3%BC");
    }

    #[test]
    fn percent_encoding_is_undone_or_refused() {
        assert_eq!(decoded("a%20%C3%BCb+"), Some("a üb+".into()));
        for broken in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
