//! Faults of single requests, logins and frames.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a REST request of an agent goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestFault {
    /// The guild cannot be reached.
    Unreachable,
    /// The request is lost, and its connection breaks.
    LoseRequest,
    /// The request is carried out; its answer is lost, and its connection breaks.
    LoseAnswer,
    /// The request is lost, and nobody ever says so.
    HangRequest,
    /// The request is carried out, and its answer never comes.
    HangAnswer,
    /// The request arrives so many milliseconds late.
    LateRequest(u64),
    /// The answer arrives so many milliseconds late.
    LateAnswer(u64),
    /// The request is not carried out, and answered with this status.
    Status(u16),
    /// The request is carried out, and its answer is too large.
    TooLarge,
}

impl RestFault {
    /// Whether the request reaches its guild.
    pub const fn carries_out(self) -> bool {
        match self {
            Self::Unreachable | Self::LoseRequest | Self::HangRequest | Self::Status(_) => false,
            Self::LoseAnswer
            | Self::HangAnswer
            | Self::LateRequest(_)
            | Self::LateAnswer(_)
            | Self::TooLarge => true,
        }
    }

    /// How much later whoever asks hears of it.
    pub fn lasts(self) -> Duration {
        match self {
            Self::LateRequest(millis) | Self::LateAnswer(millis) => Duration::from_millis(millis),
            Self::Unreachable
            | Self::LoseRequest
            | Self::LoseAnswer
            | Self::HangRequest
            | Self::HangAnswer
            | Self::Status(_)
            | Self::TooLarge => Duration::ZERO,
        }
    }
}

/// How a login goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFault {
    /// Center cannot be reached.
    Unreachable,
    /// Center never answers.
    Hang,
    /// Center answers so many milliseconds late.
    Late(u64),
    /// Center answers with this status.
    Status(u16),
}

impl LoginFault {
    /// How much later whoever asks hears of it.
    pub fn lasts(self) -> Duration {
        match self {
            Self::Late(millis) => Duration::from_millis(millis),
            Self::Unreachable | Self::Hang | Self::Status(_) => Duration::ZERO,
        }
    }
}

/// How a frame to the agent is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// Its second half is missing.
    Truncated,
    /// Its first character is one that no packet begins with.
    Corrupt,
    /// It is binary where text is due.
    Binary,
    /// It is larger than the runtime takes: the connection ends.
    Oversized,
}
