//! Where binary attachments stand in JSON: placeholders, and the check of what they point to.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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

/// How deep the payload of a binary packet may nest: as deep as serde reads. What is open while it
/// is checked takes memory.
const DEPTH_MAX: usize = 127;

/// Why the payload of a binary packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A placeholder without its attachment.
    Placeholder,
    /// Deeper than [`DEPTH_MAX`].
    TooDeep,
}

/// Checks that every placeholder in `json`, which is JSON text, points to one of `count`
/// attachments.
///
/// It reads the tokens and no values, so it takes what JavaScript writes and Rust cannot hold: half
/// of a surrogate pair, and numbers without end.
pub(super) fn check(json: &str, count: usize) -> Result<(), Fault> {
    let mut open: Vec<Open> = Vec::new();
    let mut rest = json;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
        let mut tokens = rest.chars();
        let (value, after) = match tokens.next() {
            None => return Ok(()),
            Some(bracket @ ('{' | '[')) => {
                if open.len() >= DEPTH_MAX {
                    return Err(Fault::TooDeep);
                }
                open.push(Open::new(bracket == '{'));
                rest = tokens.as_str();
                continue;
            }
            Some('}' | ']') => {
                let closed = open.pop();
                let is_good = closed.is_none_or(|closed| closed.is_good(count));
                (Seen::Nested { is_good }, tokens.as_str())
            }
            Some('"') => {
                let (content, after) = take_string(tokens.as_str());
                (Seen::Text(content), after)
            }
            Some(_) => {
                let ends = |symbol| matches!(symbol, ' ' | '\t' | '\n' | '\r' | ',' | ']' | '}');
                let end = rest.find(ends).unwrap_or(rest.len());
                let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                (Seen::of_word(word), after)
            }
        };
        rest = after;
        match open.last_mut() {
            Some(around) => around.take(value),
            None if value == (Seen::Nested { is_good: false }) => return Err(Fault::Placeholder),
            None => {}
        }
    }
}

/// A string's content as it is written, and what follows it. The quote in front is taken already.
fn take_string(rest: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let ends = |symbol| {
        let ends = symbol == '"' && !is_escaped;
        is_escaped = symbol == '\\' && !is_escaped;
        ends
    };
    let end = rest.find(ends).unwrap_or(rest.len());
    let (content, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    (content, after.strip_prefix('"').unwrap_or(after))
}

/// As much of a value as makes a placeholder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen<'a> {
    True,
    Number(u64),
    Text(&'a str),
    Nested { is_good: bool },
    Other,
}

impl Seen<'_> {
    fn of_word(word: &str) -> Self {
        match word.parse() {
            Ok(number) => Self::Number(number),
            Err(_) if word == "true" => Self::True,
            Err(_) => Self::Other,
        }
    }
}

/// The key of an entry, as far as it can belong to a placeholder.
#[derive(Clone, Copy)]
enum Key {
    Placeholder,
    Num,
    Other,
}

impl Key {
    fn of(content: &str) -> Self {
        let is = |name: &str| {
            content == name
                || content.contains('\\')
                    && serde_json::from_str::<String>(&["\"", content, "\""].concat())
                        .is_ok_and(|key| key == name)
        };
        if is("_placeholder") {
            Self::Placeholder
        } else if is("num") {
            Self::Num
        } else {
            Self::Other
        }
    }
}

/// An array or an object that has begun.
struct Open {
    is_object: bool,
    /// Of the entry whose value is due.
    key: Option<Key>,
    is_placeholder: bool,
    num: Option<u64>,
    /// Whether all placeholders in what is nested here are good.
    is_good_inside: bool,
}

impl Open {
    fn new(is_object: bool) -> Self {
        Self {
            is_object,
            key: None,
            is_placeholder: false,
            num: None,
            is_good_inside: true,
        }
    }

    /// A key, a value or an element. Of two keys alike the last one counts, as in JavaScript.
    fn take(&mut self, seen: Seen<'_>) {
        match (self.key.take(), seen) {
            (None, Seen::Text(content)) if self.is_object => self.key = Some(Key::of(content)),
            (Some(Key::Placeholder), _) => self.is_placeholder = seen == Seen::True,
            (Some(Key::Num), Seen::Number(number)) => self.num = Some(number),
            (Some(Key::Num), _) => self.num = None,
            (Some(Key::Other) | None, _) => {}
        }
        if seen == (Seen::Nested { is_good: false }) {
            self.is_good_inside = false;
        }
    }

    /// The official parser puts the attachment in the place of a placeholder, whatever else stands
    /// in that.
    fn is_good(&self, count: usize) -> bool {
        if self.is_placeholder {
            self.num.is_some_and(|num| num < count as u64)
        } else {
            self.is_good_inside
        }
    }
}

#[cfg(test)]
mod tests {
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
            r#"[ "\\" , { "a" : "\"" , "_placeholder" : true , "num" : 1 } ]"#,
            r#"["_placeholder",true,"num",2,["_placeholder",{"a":"num"}]]"#,
            r#"[{"_placeholder":true,"num":0,"in":{"_placeholder":true,"num":7}}]"#,
        ] {
            assert_eq!(check(good, 2), Ok(()), "{good}");
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
            assert_eq!(check(bad, 2), Err(Fault::Placeholder), "{bad}");
        }
        let deep = |levels| ["[".repeat(levels), "]".repeat(levels)].concat();
        assert_eq!(check(&deep(127), 2), Ok(()));
        assert_eq!(check(&deep(128), 2), Err(Fault::TooDeep));
    }

    /// `"😀".slice(0, 1)` is a string in JavaScript, and `1e999` a number.
    #[test]
    fn what_rust_cannot_hold_does_not_matter() {
        let good = r#"["\ud83d",1e999,{"\ud83d":1,"_placeholder":true,"num":1}]"#;
        assert_eq!(check(good, 2), Ok(()));
        assert_eq!(check(good, 1), Err(Fault::Placeholder));
    }
}
