//! Recordings: what an input must tell so that it can be written down, and the redaction of it.

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cmp::Reverse;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// An input that can be written down and read back.
pub trait Recorded: Serialize + DeserializeOwned {
    /// Names every secret that this input holds, also those inside of frames and bodies: what is
    /// not named here is written in the clear.
    fn secrets(&self, found: &mut dyn FnMut(&str));
}

/// Replaces secrets by placeholders of the same length, the same one for the same secret.
///
/// Same length, so that sizes, limits and truncations replay as they happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redactor {
    placeholders: BTreeMap<String, String>,
    order: VecDeque<String>,
    known: u64,
}

/// How many secrets keep their placeholder. A process that has seen more (a guild with very many
/// logins) gives a secret that comes back after that a new one.
const SECRETS_MAX: usize = 10_000;

/// What is shorter is written as it is: it could be guessed anyway, and a peer that chooses its own
/// "secret" must not be able to change words of our own, such as a method's name.
pub const SECRET_BYTES_MIN: usize = 8;

impl Redactor {
    /// `input` as one line of JSON, without its secrets.
    ///
    /// # Errors
    ///
    /// Where the input does not serialise, which is a bug of its type.
    pub fn line<I: Recorded>(&mut self, input: &I) -> Result<String, serde_json::Error> {
        let mut secrets = Vec::new();
        input.secrets(&mut |secret| {
            if secret.len() >= SECRET_BYTES_MIN {
                secrets.push(secret.to_string());
            }
        });
        let mut tree = serde_json::to_value(input)?;
        // Longest first, so that a secret which contains another one is replaced whole.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        for secret in &secrets {
            let placeholder = self.placeholder(secret);
            replace(&mut tree, secret, &escaped(secret), &placeholder);
        }
        // Through the type, so that the fields keep their order and the line can be read back.
        let input: I = serde_json::from_value(tree)?;
        serde_json::to_string(&input)
    }

    fn placeholder(&mut self, secret: &str) -> String {
        if let Some(placeholder) = self.placeholders.get(secret) {
            return placeholder.clone();
        }
        if self.order.len() >= SECRETS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.placeholders.remove(&oldest);
        }
        let mut placeholder = format!("S{}-{}", self.known, "x".repeat(secret.len()));
        placeholder.truncate(secret.len());
        self.known += 1;
        self.order.push_back(secret.to_string());
        self.placeholders
            .insert(secret.to_string(), placeholder.clone());
        placeholder
    }
}

/// Replaces a secret in strings only, never in the names of fields and variants: plain, and escaped
/// where a frame or a body, itself JSON, is the string.
fn replace(tree: &mut Value, secret: &str, escaped: &str, placeholder: &str) {
    match tree {
        Value::String(text) => {
            for written in [secret, escaped] {
                if text.contains(written) {
                    *text = text.replace(written, placeholder);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                replace(item, secret, escaped, placeholder);
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                replace(field, secret, escaped, placeholder);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// `text` as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(&quoted)
        .to_string()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Toy {
        frame: String,
        token: String,
    }

    impl Recorded for Toy {
        fn secrets(&self, found: &mut dyn FnMut(&str)) {
            found(&self.token);
            found(r#"pass"word"#);
        }
    }

    #[test]
    fn secrets_become_stable_placeholders_of_the_same_length() {
        let toy = Toy {
            frame: r#"40/realtime,{"token":"header.claims.mac","password":"pass\"word"}"#.into(),
            token: "header.claims.mac".into(),
        };
        let mut redactor = Redactor::default();
        let line = redactor.line(&toy).unwrap();
        assert!(
            !line.contains("claims") && !line.contains("word\\\\\\\"}"),
            "{line}"
        );
        assert!(!line.contains("pass\\"), "{line}");
        let read: Toy = serde_json::from_str(&line).unwrap();
        assert_eq!(read.token.len(), toy.token.len());
        assert!(read.frame.contains(&read.token), "{line}");
        assert_eq!(redactor.line(&toy).unwrap(), line);
    }
}
