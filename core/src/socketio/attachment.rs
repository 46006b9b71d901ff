//! Where binary attachments stand in JSON: placeholders, and the check of what they point to.

use core::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

/// The place of an attachment among the arguments of an event or an answer, by its number from 0:
/// `{"_placeholder":true,"num":0}` on the wire.
///
/// It stands wherever the binary content belongs, at any depth. To send,
/// `Emission::event_with(&namespace, "file", &("name", Attachment(0)), vec![content])`. To read,
/// take it out of the arguments and ask the event for its content:
///
/// ```
/// # use bytes::Bytes;
/// # use selvedge_core::socketio::event::{Attachment, Event};
/// fn content(event: &Event) -> Option<&Bytes> {
///     let (_name, file) = event.args::<(&str, Attachment)>().ok()?;
///     event.attachment(&file)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment(pub usize);

impl Attachment {
    /// The content it stands for.
    pub(super) fn of(self, attachments: &[Bytes]) -> Option<&Bytes> {
        attachments.get(self.0)
    }
}

/// A placeholder as it stands on the wire.
#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "_placeholder")]
    is_placeholder: bool,
    num: usize,
}

impl Serialize for Attachment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = Wire {
            is_placeholder: true,
            num: self.0,
        };
        wire.serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Attachment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        if !wire.is_placeholder {
            return Err(de::Error::custom("not a placeholder"));
        }
        Ok(Self(wire.num))
    }
}

/// Checks that every placeholder in `json` points to one of `count` attachments.
///
/// # Errors
///
/// Of the category `Data` where one does not. Of another where the JSON cannot be read whole: it
/// nests deeper than 127 levels, or has a number that is too large or half of a surrogate pair.
pub(super) fn check(json: &str, count: usize) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(json);
    Placeholders { count }.deserialize(&mut json)?;
    json.end()
}

#[derive(Clone, Copy)]
struct Placeholders {
    count: usize,
}

/// As much of a value as makes a placeholder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    True,
    Number(u64),
    Other,
}

impl<'de> DeserializeSeed<'de> for Placeholders {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Placeholders {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Seen, E> {
        Ok(if value { Seen::True } else { Seen::Other })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Seen, E> {
        Ok(Seen::Number(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Seen, A::Error> {
        while elements.next_element_seed(self)?.is_some() {}
        Ok(Seen::Other)
    }

    /// As the official parser reads it: of two keys alike the last one counts, and other keys of a
    /// placeholder mean nothing.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Seen, A::Error> {
        let (mut placeholder, mut num) = (Seen::Other, Seen::Other);
        while let Some(key) = entries.next_key::<Key>()? {
            let seen = entries.next_value_seed(self)?;
            match key {
                Key::Placeholder => placeholder = seen,
                Key::Num => num = seen,
                Key::Other => {}
            }
        }
        let is_there = match num {
            Seen::Number(number) => number < self.count as u64,
            Seen::True | Seen::Other => false,
        };
        if placeholder == Seen::True && !is_there {
            return Err(de::Error::custom("a placeholder without its attachment"));
        }
        Ok(Seen::Other)
    }
}

/// The key of an entry, as far as it can belong to a placeholder.
#[derive(Deserialize)]
enum Key {
    #[serde(rename = "_placeholder")]
    Placeholder,
    #[serde(rename = "num")]
    Num,
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[test]
    fn a_placeholder_stands_as_the_official_peers_write_it() {
        let text = r#"{"_placeholder":true,"num":3}"#;
        assert_eq!(serde_json::to_string(&Attachment(3)).unwrap(), text);
        let read = |text: &str| serde_json::from_str::<Attachment>(text);
        assert_eq!(read(text).unwrap(), Attachment(3));
        let other = r#"{"num":0,"more":[],"_placeholder":true}"#;
        assert_eq!(read(other).unwrap(), Attachment(0));
        for bad in [
            "{}",
            "3",
            r#"{"_placeholder":false,"num":0}"#,
            r#"{"_placeholder":true}"#,
            r#"{"_placeholder":true,"num":-1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_placeholder_must_have_its_attachment() {
        for good in [
            "[]",
            r#"[{"_placeholder":true,"num":0},{"a":[{"_placeholder":true,"num":1}]}]"#,
            r#"[{"_placeholder":true,"num":1,"more":{"deep":-1.5}}]"#,
            r#"[{"_placeholder":false,"num":7},{"_placeholder":1},{"num":9}]"#,
            r#"[{"_placeholder":true,"num":9,"num":1}]"#,
            r#"["\"_placeholder\":true",null,1,-1,1.5,false]"#,
        ] {
            assert!(check(good, 2).is_ok(), "{good}");
        }
        for bad in [
            r#"[{"_placeholder":true,"num":2}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
            r#"[{"_placeholder":true,"num":0.5}]"#,
            r#"[{"_placeholder":true,"num":"0"}]"#,
            r#"[{"_placeholder":true,"num":true}]"#,
            r#"[{"_placeholder":true}]"#,
            r#"[[[{"a":{"_\u0070laceholder":true,"num":2}}]]]"#,
            r#"[{"_placeholder":true,"num":1,"num":2}]"#,
            r#"[{"_placeholder":true,"num":18446744073709551616}]"#,
        ] {
            assert!(check(bad, 2).unwrap_err().is_data(), "{bad}");
        }
        let deep: String = ["[".repeat(200), "]".repeat(200)].concat();
        assert!(!check(&deep, 2).unwrap_err().is_data());
    }
}
