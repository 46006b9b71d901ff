//! Why the guild says no, and how that looks on the wire.

use alloc::{format, string::String};
use core::time::Duration;

use crate::{
    canonical,
    fabric::error::ErrorBody,
    guild::answer,
    http::Response,
    id::{ChannelId, UserId},
};

/// A call is refused: with which status, and in words that say what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code, 400 or above.
    pub status: u16,
    /// What is wrong and what would be right.
    pub message: String,
    /// When to try again, where that helps.
    pub retry_after: Option<Duration>,
}
canonical!(struct Refusal { status, message, retry_after });

impl Refusal {
    /// A refusal for good.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
        }
    }

    /// A refusal for now.
    pub fn for_now(status: u16, message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: Some(retry_after),
        }
    }

    /// The answer that carries it.
    pub fn response(self) -> Response {
        Response {
            retry_after: self.retry_after,
            ..answer::json(self.status, &ErrorBody::new(self.status, self.message))
        }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(401, message)
    }

    pub(super) fn no_channel(channel: &ChannelId) -> Self {
        Self::new(
            404,
            format!("there is no channel `{channel}` in this guild; list the channels again"),
        )
    }

    pub(super) fn no_member(user: &UserId, channel: &ChannelId) -> Self {
        Self::new(
            403,
            format!(
                "`{user}` is not a member of channel `{channel}`: ask a member to add it, or join \
                 it where it is public"
            ),
        )
    }

    pub(super) fn shutting_down() -> Self {
        Self::for_now(
            503,
            "the guild is shutting down: try again in a moment",
            Duration::from_secs(1),
        )
    }
}
