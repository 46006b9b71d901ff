//! The payload of a CONNECT_ERROR: why a server refuses, in its own words.

use alloc::string::String;
use core::fmt;

use serde::{
    Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// A message and its data, each the JSON text of what stands there. Neither counts where it is
/// `null`.
type Refusal<'a> = (Option<&'a str>, Option<&'a str>);

/// Reads an object with a `message` and `data`, a bare string, or nothing at all; `None` where it
/// is something else.
///
/// The last of two keys alike counts, as in JavaScript.
pub(super) fn decode(json: &str) -> Option<Refusal<'_>> {
    if json.is_empty() {
        return Some((None, None));
    }
    let whole: &RawValue = serde_json::from_str(json).ok()?;
    if whole.get().starts_with('"') {
        return Some((Some(whole.get()), None));
    }
    let mut json = serde_json::Deserializer::from_str(whole.get());
    json.deserialize_map(Entries).ok()
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Refusal<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut message, mut data) = (None, None);
        while let Some((key, value)) = entries.next_entry::<&RawValue, &RawValue>()? {
            let value = Some(value.get()).filter(|json| *json != "null");
            match serde_json::from_str::<String>(key.get()).as_deref() {
                Ok("message") => message = value,
                Ok("data") => data = value,
                Ok(_) | Err(_) => {}
            }
        }
        Ok((message, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_as_the_official_client_reads_it() {
        for (json, refusal) in [
            ("", (None, None)),
            ("{}", (None, None)),
            (" \"no\" ", (Some("\"no\""), None)),
            (
                r#" {"message": "no" , "data": [1] } "#,
                (Some("\"no\""), Some("[1]")),
            ),
            (r#"{"message":null,"data":null}"#, (None, None)),
            (r#"{"m\u0065ssage":"no"}"#, (Some("\"no\""), None)),
            (
                r#"{"message":1,"data":2,"message":3}"#,
                (Some("3"), Some("2")),
            ),
            (r#"{"\ud83d":"half a key","data":0}"#, (None, Some("0"))),
        ] {
            assert_eq!(decode(json), Some(refusal), "{json}");
        }
        for bad in ["1", "null", "[]", "{", "{}{}", "\"a"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
