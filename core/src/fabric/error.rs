//! The shape of a refusal: `{statusCode, error, message}`, as NestJS writes it.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

/// The body of every answer of 400 and above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The status code once more.
    pub status_code: u16,
    /// The status code's name.
    #[serde(default)]
    pub error: String,
    /// What is wrong.
    pub message: Words,
}

/// One sentence, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// The usual form.
    One(String),
    /// As a validator writes several faults.
    Many(Vec<String>),
}

impl ErrorBody {
    /// The body for `status` with what is wrong.
    pub fn new(status: u16, message: String) -> Self {
        Self {
            status_code: status,
            error: reason(status).into(),
            message: Words::One(message),
        }
    }
}

impl core::fmt::Display for Words {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::One(words) => f.write_str(words),
            Self::Many(words) => f.write_str(&words.join("; ")),
        }
    }
}

/// The standard reason phrase of the codes that Fabric uses.
pub const fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Payload Too Large",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString as _};

    use super::*;

    #[test]
    fn what_is_wrong_is_a_sentence_or_a_list_of_them() {
        for (message, shown) in [
            (r#""name: missing""#, "name: missing"),
            (
                r#"["name: missing","xType: unknown"]"#,
                "name: missing; xType: unknown",
            ),
        ] {
            let text = format!(r#"{{"statusCode":400,"error":"Bad Request","message":{message}}}"#);
            let body: ErrorBody = serde_json::from_str(&text).unwrap();
            assert_eq!(body.message.to_string(), shown);
            assert_eq!(serde_json::to_string(&body).unwrap(), text);
        }
    }
}
