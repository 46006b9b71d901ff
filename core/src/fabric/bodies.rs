//! Bodies that a guild node's REST calls take and answer, besides channels and messages.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::types::{Format, XType},
    id::{NodeId, UserId},
};

/// The body of `POST /channels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateChannel {
    /// The channel's name; may be left out in a direct message.
    #[serde(default)]
    pub name: String,
    /// Its kind.
    pub x_type: XType,
    /// Whether anybody in the guild may join.
    #[serde(default)]
    pub is_public: bool,
    /// The members besides the creator.
    #[serde(default)]
    pub member_user_ids: Vec<UserId>,
    /// Whom to wake: in triage and custom channels.
    #[serde(default)]
    pub wake_mapping: Vec<UserId>,
    /// The members who speak only when mentioned: in channels that take turns.
    #[serde(default)]
    pub bypass: Vec<UserId>,
}
canonical!(struct CreateChannel {
    name, x_type, is_public, member_user_ids, wake_mapping, bypass,
});

/// The body of `PATCH /channels/{id}`: what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateChannel {
    /// The new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether posting is refused from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
    /// Whom to wake from now on: in triage and custom channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_mapping: Option<Vec<UserId>>,
}
canonical!(struct UpdateChannel { name, closed, wake_mapping });

/// The body of `POST /channels/{id}/members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddMember {
    /// Who becomes a member.
    pub user_id: UserId,
}
canonical!(struct AddMember { user_id });

/// The body of `PATCH /messages/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditMessage {
    /// The new text.
    pub content: String,
}
canonical!(struct EditMessage { content });

/// The body of `PUT /channels/{id}/canvas`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareCanvas {
    /// What the content is written in.
    pub format: Format,
    /// What is shown above it.
    #[serde(default)]
    pub title: String,
    /// The document.
    pub content: String,
}
canonical!(struct ShareCanvas { format, title, content });

/// The body of `PATCH /channels/{id}/canvas`: what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateCanvas {
    /// What the content is written in from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What is shown above it from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The new document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}
canonical!(struct UpdateCanvas { format, title, content });

/// The answer to a call that changes a membership, or takes something away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Always true: a refusal has another shape.
    pub ok: bool,
    /// Whether a row was inserted or deleted; false where it was so already.
    pub changed: bool,
}

/// The answer to `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Always true: a node that is not well does not answer.
    pub ok: bool,
    /// Which node this is.
    pub node_id: NodeId,
    /// The version of the program.
    pub version: String,
    /// How long the node has been up, in milliseconds.
    pub uptime_ms: u64,
    /// How many sockets are connected to `/realtime`.
    pub sockets: u64,
    /// The longest message, in Unicode scalar values.
    pub max_message_chars: u64,
    /// The longest file in bytes.
    pub max_file_bytes: u64,
}
