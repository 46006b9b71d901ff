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

/// `#[serde(with = "text::body")]` for bytes that are text unless a peer errs, so that a recording
/// can be read and its secrets replaced.
pub(crate) mod body {
    use alloc::borrow::Cow;

    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Recorded<'a> {
        Text(Cow<'a, str>),
        Binary(Cow<'a, [u8]>),
    }

    /// As a string where it is UTF-8, or else as numbers.
    pub(crate) fn serialize<S: Serializer>(body: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        let recorded = match core::str::from_utf8(body) {
            Ok(text) => Recorded::Text(text.into()),
            Err(_) => Recorded::Binary((&**body).into()),
        };
        recorded.serialize(serializer)
    }

    /// From either.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        Ok(match Recorded::deserialize(deserializer)? {
            Recorded::Text(text) => text.into_owned().into(),
            Recorded::Binary(bytes) => bytes.into_owned().into(),
        })
    }
}
