//! The REST calls of a guild node that a client makes: how each is asked.

use alloc::{format, string::String, vec::Vec};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::turns::Ack,
    http::{Method, Request},
    id::{ChannelId, GuildId, MessageId},
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

/// Lists the channels that the caller is in.
pub fn list_channels(token: Secret, guild: &GuildId) -> Request {
    get(
        token,
        format!("{PREFIX}/channels?guildId={}", encoded(guild.as_str())),
    )
}

/// Reads one channel.
pub fn read_channel(token: Secret, channel: &ChannelId) -> Request {
    get(
        token,
        format!("{PREFIX}/channels/{}", encoded(channel.as_str())),
    )
}

/// Reads at most `limit` messages of a channel, oldest first: the first ones after a `seq`, or without
/// one the newest.
pub fn history(token: Secret, channel: &ChannelId, after_seq: Option<u64>, limit: u64) -> Request {
    let after = after_seq.map_or_else(String::new, |seq| format!("&afterSeq={seq}"));
    let channel = encoded(channel.as_str());
    let target = format!("{PREFIX}/channels/{channel}/messages?limit={limit}{after}");
    get(token, target)
}

/// Posts a message.
///
/// # Errors
///
/// Where the body does not serialise, which is a bug of its type.
pub fn post_message(
    token: Secret,
    channel: &ChannelId,
    body: &PostBody,
) -> Result<Request, serde_json::Error> {
    post(token, channel, "messages", body)
}

/// Says that the wake with this message has arrived.
///
/// # Errors
///
/// Where the body does not serialise, which is a bug of its type.
pub fn ack(
    token: Secret,
    channel: &ChannelId,
    message: &MessageId,
) -> Result<Request, serde_json::Error> {
    let body = Ack {
        message_id: message.clone(),
    };
    post(token, channel, "ack", &body)
}

fn post(
    token: Secret,
    channel: &ChannelId,
    what: &str,
    body: &impl Serialize,
) -> Result<Request, serde_json::Error> {
    Ok(Request {
        method: Method::Post,
        target: format!("{PREFIX}/channels/{}/{what}", encoded(channel.as_str())),
        bearer: Some(token),
        body: Bytes::from(serde_json::to_vec(body)?),
    })
}

fn get(token: Secret, target: String) -> Request {
    Request {
        method: Method::Get,
        target,
        bearer: Some(token),
        body: Bytes::new(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_id_stays_in_its_segment() {
        let channel = ChannelId::new("../a?b/ü").unwrap();
        let request = read_channel(Secret::new("t"), &channel);
        assert_eq!(request.target, "/api/channels/..%2Fa%3Fb%2F%C3%BC");
    }
}
