//! HTTP as the machines see it: whole requests and whole answers.

use alloc::string::String;
use core::{fmt, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    canon::{Canon, Canonical},
    canonical,
    secret::{self, Secret},
    snapshot, text,
};

/// The methods that Fabric uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Read.
    Get,
    /// Create or act.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}
canonical!(
    enum Method {
        Get,
        Post,
        Put,
        Patch,
        Delete,
    }
);

impl Method {
    /// The method as it stands in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// One request that a machine was asked to answer, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

impl Canonical for CallId {
    fn canonical(&self, canon: &mut Canon) {
        canon.id("call", self.0);
    }
}
snapshot!(struct CallId(number));

/// A request without its origin: that is known to whoever carries it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded, from the first slash: `/api/channels?guildId=g`.
    pub target: String,
    /// The bearer token, if any.
    #[serde(with = "secret::recorded::option")]
    pub bearer: Option<Secret>,
    /// The body; JSON, or nothing.
    #[serde(with = "text::body")]
    pub body: Bytes,
}
canonical!(struct Request { method, target, bearer, body });

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header `Retry-After`, where it is a number of seconds.
    pub retry_after: Option<Duration>,
    /// The body.
    #[serde(with = "text::body")]
    pub body: Bytes,
}
canonical!(struct Response { status, retry_after, body });

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No connection could be made: the request was certainly not carried out.
    Unreachable(#[serde(with = "text")] ByteString),
    /// The connection broke after the request was sent: its outcome is unknown.
    Broken(#[serde(with = "text")] ByteString),
    /// The answer is larger than the limit for answers.
    TooLarge,
    /// A file of this machine could not be read or written: trying again does not mend it.
    Local(#[serde(with = "text")] ByteString),
}
canonical!(
    enum Failure {
        Unreachable(why),
        Broken(why),
        TooLarge,
        Local(why),
    }
);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "could not be reached: {why}"),
            Self::Broken(why) => write!(f, "the connection broke before the answer: {why}"),
            Self::Local(why) => f.write_str(why),
            Self::TooLarge => f.write_str("the answer is larger than the limit for answers"),
        }
    }
}
