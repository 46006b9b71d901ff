//! Tokens, keys and passwords: a type that does not show what it holds.

use alloc::sync::Arc;
use core::fmt;

use crate::canon::{Canon, Canonical};

/// Something that must not appear in a log, an error or a trace.
///
/// `Debug` is redacted, and there is no `Display` and no plain `Serialize`: a field that is
/// recorded is marked with `#[serde(with = "secret::recorded")]`, and the recorder replaces its
/// content by a placeholder before a byte is written (see [`record`](crate::record)).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a secret.
    pub fn new(content: &str) -> Self {
        Self(content.into())
    }

    /// The content, for the one place that must send or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Canonical for Secret {
    fn canonical(&self, canon: &mut Canon) {
        self.0.canonical(canon);
    }
}

/// `#[serde(with = "secret::recorded")]`: a secret that goes through the recorder.
pub mod recorded {
    use alloc::string::String;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Secret;

    /// Writes the content, for the recorder to replace.
    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    /// Reads the placeholder back.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(|content| Secret::new(&content))
    }

    /// `#[serde(with = "secret::recorded::option")]`: one that may be absent.
    pub mod option {
        use alloc::string::String;

        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        use super::Secret;

        /// Writes the content, for the recorder to replace, or null.
        pub fn serialize<S: Serializer>(
            secret: &Option<Secret>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            secret.as_ref().map(Secret::expose).serialize(serializer)
        }

        /// Reads the placeholder back.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Secret>, D::Error> {
            let content = Option::<String>::deserialize(deserializer)?;
            Ok(content.map(|content| Secret::new(&content)))
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
