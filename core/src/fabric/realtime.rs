//! The `/realtime` namespace: names and payloads of its events.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::{
    canonical,
    fabric::types::XType,
    id::{ChannelId, UserId},
    time::Wall,
};

/// The namespace of the pushes.
pub const NAMESPACE: &str = "/realtime";
/// Where Socket.IO lives on a guild node.
pub const SOCKET_PATH: &str = "/socket.io/";

/// Client: enter a channel's room. Payload [`ChannelRef`], ack [`JoinAck`].
pub const JOIN_CHANNEL: &str = "join_channel";
/// Client: leave a channel's room. Payload [`ChannelRef`], ack [`JoinAck`].
pub const LEAVE_CHANNEL: &str = "leave_channel";
/// Client: typing in a channel. Payload [`ChannelRef`].
pub const TYPING: &str = "typing";
/// Client and guild: how a user is. Payload of the client `{status}`.
pub const PRESENCE: &str = "presence";
/// Guild: a new message, with the receiver's own `wakeup`. Payload [`Message`](super::types::Message).
pub const MESSAGE_CREATED: &str = "message.created";
/// Guild: an edited message. Payload [`Message`](super::types::Message).
pub const MESSAGE_UPDATED: &str = "message.updated";
/// Guild: a deleted message, blanked. Payload [`Message`](super::types::Message).
pub const MESSAGE_DELETED: &str = "message.deleted";
/// Guild: a channel's fields changed. Payload [`Channel`](super::types::Channel).
pub const CHANNEL_UPDATED: &str = "channel.updated";
/// Guild, to the user's own room: a membership began. Payload [`Membership`].
pub const CHANNEL_JOINED: &str = "channel.joined";
/// Guild, to the user's own room: a membership ended. Payload [`Membership`].
pub const CHANNEL_LEFT: &str = "channel.left";

/// The value that CONNECT carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// The guild token.
    pub token: String,
}

/// A refused CONNECT's message where the token is to blame.
pub const UNAUTHORIZED: &str = "unauthorized";
/// A refused CONNECT's message where Center cannot be asked.
pub const UNAVAILABLE: &str = "unavailable";

/// A refused CONNECT's message where the user has too many sockets already.
pub const TOO_MANY_SOCKETS: &str = "too_many_sockets";
/// A refused CONNECT's message where the namespace is not [`NAMESPACE`], as the official server
/// words it.
pub const INVALID_NAMESPACE: &str = "Invalid namespace";

/// Names a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelRef {
    /// The channel.
    pub channel_id: ChannelId,
}

/// The answer to `join_channel` and `leave_channel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinAck {
    /// Whether it was done.
    pub ok: bool,
    /// The newest message's `seq` at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seq: Option<u64>,
    /// What was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AckError>,
}
canonical!(struct JoinAck { ok, last_seq, error });

/// Why an event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckError {
    /// The payload is not of the event's shape.
    BadRequest,
    /// No such channel.
    NotFound,
    /// Not a member.
    Forbidden,
    /// The socket's token has expired.
    TokenExpired,
    /// A code of another deployment.
    #[serde(other)]
    Other,
}
canonical!(
    enum AckError {
        BadRequest,
        NotFound,
        Forbidden,
        TokenExpired,
        Other,
    }
);

/// A membership that began or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Membership {
    /// The channel.
    pub channel_id: ChannelId,
    /// The user.
    pub user_id: UserId,
    /// The channel's kind; older guilds leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_type: Option<XType>,
    /// When it happened, by the guild's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Wall>,
}
canonical!(struct Membership { channel_id, user_id, x_type, occurred_at });
