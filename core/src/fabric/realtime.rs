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
/// Client: typing in a channel, payload [`ChannelRef`], ack [`JoinAck`]. Guild: somebody types,
/// payload [`Activity`].
pub const TYPING: &str = "typing";
/// Client: how the user is, payload [`Status`], ack [`JoinAck`]. Guild: how a user is, payload
/// [`Presence`].
pub const PRESENCE: &str = "presence";
/// Guild: a new message, with the receiver's own `wakeup`. Payload [`Message`](super::types::Message).
pub const MESSAGE_CREATED: &str = "message.created";
/// Guild: an edited message. Payload [`Message`](super::types::Message).
pub const MESSAGE_UPDATED: &str = "message.updated";
/// Guild: a deleted message, blanked. Payload [`Message`](super::types::Message).
pub const MESSAGE_DELETED: &str = "message.deleted";
/// Guild: a canvas was shared or changed. Payload [`Canvas`](super::types::Canvas).
pub const CANVAS_UPDATED: &str = "canvas.updated";
/// Guild: a canvas was taken away. Payload [`Activity`].
pub const CANVAS_REMOVED: &str = "canvas.removed";
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
    /// Whether the socket is told how others are and that they type. A client that shows that to
    /// nobody leaves it out, so that a crowd of such clients costs nothing for each pair of them; a
    /// guild that does not know the key tells it all the same. Default: true.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub chatter: bool,
}

const fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde takes"
)]
const fn is_yes(said: &bool) -> bool {
    *said
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde takes"
)]
const fn is_no(said: &bool) -> bool {
    !*said
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

/// The payload of `join_channel`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The channel.
    pub channel_id: ChannelId,
    /// The process has not entered it before: what an earlier one has acked may be lost with its disk, and
    /// a current speaker is woken again. Other guilds ignore it.
    #[serde(default, skip_serializing_if = "is_no")]
    pub fresh: bool,
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

/// What somebody did in a channel just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// The channel.
    pub channel_id: ChannelId,
    /// Who.
    pub user_id: UserId,
    /// When it happened, by the guild's clock.
    pub occurred_at: Wall,
}
canonical!(struct Activity { channel_id, user_id, occurred_at });

/// How a client says that its user is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// In one word, such as [`ONLINE`], [`BUSY`] or `away`.
    pub status: String,
}

/// The status of a user who is there.
pub const ONLINE: &str = "online";
/// The status of a user who is at work.
pub const BUSY: &str = "busy";
/// The status of a user none of whose sockets is left: the guild says it by itself.
pub const OFFLINE: &str = "offline";

/// How a user is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// The user.
    pub user_id: UserId,
    /// In one word.
    pub status: String,
    /// Since when, by the guild's clock.
    pub occurred_at: Wall,
}
canonical!(struct Presence { user_id, status, occurred_at });
