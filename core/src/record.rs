//! Recordings: what an input must tell so that it can be written down, and the redaction of it.

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::cmp::Reverse;

use serde::{Serialize, de::DeserializeOwned};

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

impl Redactor {
    /// `input` as one line of JSON, without its secrets.
    ///
    /// # Errors
    ///
    /// Where the input does not serialise, which is a bug of its type.
    pub fn line(&mut self, input: &impl Recorded) -> Result<String, serde_json::Error> {
        let line = serde_json::to_string(input)?;
        let mut secrets = Vec::new();
        input.secrets(&mut |secret| {
            if !secret.is_empty() {
                secrets.push(secret.to_string());
            }
        });
        // Longest first, so that a secret which contains another one is replaced whole.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        Ok(secrets
            .iter()
            .fold(line, |line, secret| self.replace(&line, secret)))
    }

    /// Replaces a secret in JSON text: plain, and escaped once more where a frame or a body, itself
    /// JSON, stands inside a JSON string.
    fn replace(&mut self, line: &str, secret: &str) -> String {
        let placeholder = self.placeholder(secret);
        let once = escaped(secret);
        let twice = escaped(&once);
        let line = line.replace(&once, &placeholder);
        if twice == once {
            line
        } else {
            line.replace(&twice, &placeholder)
        }
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

/// `text` as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
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
