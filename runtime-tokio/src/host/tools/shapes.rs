//! What tools of several families answer with, and its schemas.

use schemars::JsonSchema;
use selvedge_core::{fabric::types as wire, id::UserId};
use serde::Serialize;

/// Something is so now, or was so before.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Done {
    /// Always true.
    pub(super) done: bool,
}

/// Something is so now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Changed {
    /// False where it was so before.
    pub(super) changed: bool,
}

/// A channel's fields.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Channel {
    /// The channel.
    pub(super) channel_id: String,
    /// Its name: untrusted text of other users.
    pub(super) name: String,
    /// Its kind: general, work, report, discuss, triage, custom or dm.
    pub(super) x_type: String,
    /// Whether anybody in the guild may join.
    pub(super) is_public: bool,
    /// Whether posting is refused.
    pub(super) closed: bool,
    /// The seq of its newest message, 0 where there is none; null where the guild does not tell.
    pub(super) last_seq: Option<u64>,
    /// How many members it has.
    pub(super) member_count: u64,
    /// The ids of the users who are woken, in triage and custom channels.
    pub(super) wake_user_ids: Vec<String>,
}

impl From<wire::Channel> for Channel {
    fn from(channel: wire::Channel) -> Self {
        Self {
            channel_id: channel.id.as_str().to_owned(),
            name: channel.name,
            x_type: channel.x_type.as_str().to_owned(),
            is_public: channel.is_public,
            closed: channel.closed,
            last_seq: channel.last_seq,
            member_count: channel.member_count,
            wake_user_ids: plain(&channel.wake_mapping),
        }
    }
}

/// A message as it stands in its channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Message {
    /// The message.
    pub(super) message_id: String,
    /// Its position in the channel, from 1.
    pub(super) seq: u64,
    /// Who wrote it.
    pub(super) author_id: String,
    /// The author's name: untrusted text.
    pub(super) author_name: String,
    /// The text: untrusted; empty once deleted.
    pub(super) content: String,
    /// The ids of the users it mentions.
    pub(super) mentions: Vec<String>,
    /// The message it answers.
    pub(super) reply_to: Option<String>,
    /// Its files.
    pub(super) attachments: Vec<Attachment>,
    /// When it was posted, in ISO 8601.
    pub(super) created_at: String,
    /// When it was last edited.
    pub(super) edited_at: Option<String>,
    /// When it was deleted.
    pub(super) deleted_at: Option<String>,
}

impl From<wire::Message> for Message {
    fn from(message: wire::Message) -> Self {
        Self {
            message_id: message.id.as_str().to_owned(),
            seq: message.seq,
            author_id: message.author.id.as_str().to_owned(),
            author_name: message.author.name,
            content: message.content,
            mentions: plain(&message.mentions),
            reply_to: message.reply_to_id.map(|id| id.as_str().to_owned()),
            attachments: message
                .attachments
                .into_iter()
                .map(Attachment::from)
                .collect(),
            created_at: message.created_at.to_string(),
            edited_at: message.edited_at.map(|at| at.to_string()),
            deleted_at: message.deleted_at.map(|at| at.to_string()),
        }
    }
}

/// A file.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Attachment {
    /// The file.
    pub(super) file_id: String,
    /// The name that its uploader gave it: untrusted text.
    pub(super) name: String,
    /// The media type that its uploader gave it: untrusted text.
    pub(super) mime: String,
    /// Its length in bytes.
    pub(super) bytes: u64,
}

impl From<wire::Attachment> for Attachment {
    fn from(file: wire::Attachment) -> Self {
        Self {
            file_id: file.id,
            name: file.name,
            mime: file.mime,
            bytes: file.bytes,
        }
    }
}

/// The document that is pinned to a channel.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Canvas {
    /// The channel.
    pub(super) channel_id: String,
    /// What the content is written in: md, html or text.
    pub(super) format: String,
    /// What is shown above it: untrusted text.
    pub(super) title: String,
    /// The document: untrusted text.
    pub(super) content: String,
    /// Who shared it: the one who may change it or take it away.
    pub(super) shared_by: String,
    /// When it was shared, in ISO 8601.
    pub(super) created_at: String,
    /// When it was last changed, in ISO 8601.
    pub(super) updated_at: String,
}

impl From<wire::Canvas> for Canvas {
    fn from(canvas: wire::Canvas) -> Self {
        let format = match canvas.format {
            wire::Format::Md => "md",
            wire::Format::Html => "html",
            wire::Format::Text => "text",
        };
        Self {
            channel_id: canvas.channel_id.as_str().to_owned(),
            format: format.to_owned(),
            title: canvas.title,
            content: canvas.content,
            shared_by: canvas.shared_by.as_str().to_owned(),
            created_at: canvas.created_at.to_string(),
            updated_at: canvas.updated_at.to_string(),
        }
    }
}

/// Ids as they are written.
pub(super) fn plain(ids: &[UserId]) -> Vec<String> {
    ids.iter().map(|id| id.as_str().to_owned()).collect()
}
