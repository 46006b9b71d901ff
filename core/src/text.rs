//! `#[serde(with = "text")]` for a [`ByteString`]: its own serde feature links std.

use alloc::string::String;

use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serializer};

/// As a string.
pub(crate) fn serialize<S: Serializer>(
    text: &ByteString,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// From a string.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<ByteString, D::Error> {
    String::deserialize(deserializer).map(ByteString::from)
}

/// `#[serde(with = "text::option")]` for one that may be absent.
pub(crate) mod option {
    use alloc::string::String;

    use bytestring::ByteString;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// As a string, or null.
    pub(crate) fn serialize<S: Serializer>(
        text: &Option<ByteString>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        text.as_deref().serialize(serializer)
    }

    /// From a string, or null.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ByteString>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(ByteString::from))
    }
}
