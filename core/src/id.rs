//! Ids from the wire, each its own type.

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    canon::{Canon, Canonical},
    snapshot::{LoadError, Saver, Snapshot, Value},
};

/// The longest id that is taken from the wire, in bytes. Ids are keys of every map, so a peer that
/// sends longer ones is refused rather than remembered.
pub const ID_BYTES_MAX: usize = 128;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {
        $(
            $(#[$doc])*
            ///
            /// Cheap to clone. 1 to [`ID_BYTES_MAX`] bytes.
            #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(Arc<str>);

            impl $name {
                /// `None` where `id` is empty or too long.
                pub fn new(id: &str) -> Option<Self> {
                    (1..=ID_BYTES_MAX).contains(&id.len()).then(|| Self(id.into()))
                }

                /// The id as it is written.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }
            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }
            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Debug::fmt(&*self.0, f)
                }
            }
            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(&self.0)
                }
            }
            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_str(IdVisitor).map(Self)
                }
            }
            impl Canonical for $name {
                fn canonical(&self, canon: &mut Canon) {
                    self.0.canonical(canon);
                }
            }
            impl Snapshot for $name {
                fn save(&self, saver: &mut Saver) -> Value {
                    self.0.save(saver)
                }

                fn load(tree: Value) -> Result<Self, LoadError> {
                    let id = Arc::<str>::load(tree)?;
                    Self::new(&id).ok_or_else(LoadError::default)
                }
            }
        )*
    };
}

ids! {
    /// A user of Fabric: a person or an agent's account.
    UserId
    /// A guild: what channels and members belong to.
    GuildId
    /// A guild node: the server that a guild lives on.
    NodeId
    /// A channel; two guilds may use the same.
    ChannelId
    /// A message.
    MessageId
    /// A file.
    FileId
    /// One handing over of messages to an agent's host.
    TurnId
    /// One agent of the configuration.
    AgentId
}

struct IdVisitor;

impl de::Visitor<'_> for IdVisitor {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id of 1 to {ID_BYTES_MAX} bytes")
    }

    fn visit_str<E: de::Error>(self, id: &str) -> Result<Arc<str>, E> {
        match id.len() {
            1..=ID_BYTES_MAX => Ok(id.into()),
            length => Err(E::invalid_length(length, &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn an_id_is_neither_empty_nor_endless() {
        let long = "x".repeat(ID_BYTES_MAX);
        assert_eq!(UserId::new(&long).unwrap().as_str(), long);
        assert_eq!(UserId::new(&format!("{long}x")), None);
        assert_eq!(UserId::new(""), None);
        assert_eq!(
            serde_json::from_str::<UserId>("\"u_1\"").unwrap().as_str(),
            "u_1"
        );
        assert!(serde_json::from_str::<UserId>("\"\"").is_err());
        assert!(serde_json::from_str::<UserId>("1").is_err());
    }
}
