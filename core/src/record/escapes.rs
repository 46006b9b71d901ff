//! How a text stands inside another one: with the escapes of JSON, or those of a URL.

use alloc::{string::String, vec::Vec};
use core::{fmt::Write as _, ops::Range};

/// The escapes that a text may have.
#[derive(Clone, Copy, Debug)]
pub(super) enum Escaping {
    /// Between the quotes of a JSON string.
    Json,
    /// Percent-encoded.
    Percent,
}

/// A text without its escapes.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) bytes: Vec<u8>,
    escapes: Vec<Escape>,
}

/// Where an escape stood, and what it stood for.
#[derive(Debug)]
struct Escape {
    written: Range<usize>,
    plain: Range<usize>,
}

impl Escaping {
    /// The text without its escapes; `None` where it has none. What is no whole escape is left as it
    /// stands.
    pub(super) fn decode(self, text: &[u8]) -> Option<Decoded> {
        let mark = match self {
            Self::Json => b'\\',
            Self::Percent => b'%',
        };
        if !text.contains(&mark) {
            return None;
        }
        let mut decoded = Decoded {
            bytes: Vec::with_capacity(text.len()),
            escapes: Vec::new(),
        };
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| *byte == mark) {
            let (before, after) = rest.split_at_checked(at)?;
            decoded.bytes.extend(before);
            let (plain, length) = match self {
                Self::Json => json(after),
                Self::Percent => percent(after),
            }
            .unwrap_or_else(|| (Plain::of(mark), 1));
            let written = text.len() - after.len();
            let start = decoded.bytes.len();
            decoded.bytes.extend(plain.bytes());
            if length > 1 {
                decoded.escapes.push(Escape {
                    written: written..written + length,
                    plain: start..decoded.bytes.len(),
                });
            }
            rest = after.get(length..)?;
        }
        decoded.bytes.extend(rest);
        (!decoded.escapes.is_empty()).then_some(decoded)
    }
}

/// What an escape stands for.
struct Plain {
    bytes: [u8; 4],
    length: usize,
}

impl Plain {
    fn of(byte: u8) -> Self {
        Self {
            bytes: [byte, 0, 0, 0],
            length: 1,
        }
    }

    fn char(char: char) -> Self {
        let mut bytes = [0; 4];
        let length = char.encode_utf8(&mut bytes).len();
        Self { bytes, length }
    }

    fn bytes(&self) -> impl Iterator<Item = &u8> {
        self.bytes.iter().take(self.length)
    }
}

/// The escape that a text begins with, and its length.
fn json(text: &[u8]) -> Option<(Plain, usize)> {
    let byte = match *text.get(1)? {
        byte @ (b'"' | b'\\' | b'/') => byte,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let first = unit(text)?;
            let pair = text.get(6..).and_then(unit).map(|second| [first, second]);
            let whole = pair.and_then(|pair| char::decode_utf16(pair).next()?.ok());
            return Some(match whole.filter(|char| char.len_utf16() == 2) {
                Some(char) => (Plain::char(char), 12),
                // Half of a pair is no text, and no part of a secret.
                None => (
                    Plain::char(
                        char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER),
                    ),
                    6,
                ),
            });
        }
        _ => return None,
    };
    Some((Plain::of(byte), 2))
}

/// The number in a `\u`.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?)
    })
}

fn percent(text: &[u8]) -> Option<(Plain, usize)> {
    let digit = |at| u8::try_from(char::from(*text.get(at)?).to_digit(16)?).ok();
    Some((Plain::of(digit(1)? << 4 | digit(2)?), 3))
}

/// What becomes of each byte of a text, where anything does.
pub(super) type Changes = Vec<Option<u8>>;

impl Decoded {
    /// What `changes` of this mean for `text`, which this was decoded from. Characters become others
    /// of the same lengths, so every escape keeps its form and its length; one of two characters can
    /// stand only for a slash or a backslash then. These changes are made instead of what `into` has
    /// in their places.
    pub(super) fn write_back(
        &self,
        changes: &[Option<u8>],
        (escaping, text): (Escaping, &[u8]),
        into: &mut Changes,
    ) {
        let (mut written, mut plain) = (0, 0);
        for escape in &self.escapes {
            let between = changes.get(plain..escape.plain.start);
            put(into, written, between.unwrap_or_default().iter().copied());
            (written, plain) = (escape.written.end, escape.plain.end);
            let change = changes.get(escape.plain.clone()).unwrap_or_default();
            if change.iter().all(Option::is_none) {
                continue;
            }
            let old = self.bytes.get(escape.plain.clone()).unwrap_or_default();
            let new = old.iter().zip(change).map(|(old, new)| new.unwrap_or(*old));
            let new: Vec<_> = new.collect();
            let before = text.get(escape.written.clone()).unwrap_or_default();
            let again = if new == old {
                before.to_vec()
            } else {
                rewritten(&new, escaping, before.len()).into_bytes()
            };
            put(into, escape.written.start, again.into_iter().map(Some));
        }
        let rest = changes.get(plain..).unwrap_or_default();
        put(into, written, rest.iter().copied());
    }
}

/// Makes changes from a place on, where there are any.
pub(super) fn put(into: &mut [Option<u8>], at: usize, what: impl Iterator<Item = Option<u8>>) {
    let place = into.get_mut(at..).unwrap_or_default();
    for (place, change) in place.iter_mut().zip(what) {
        *place = change.or(*place);
    }
}

/// A character as an escape of that length.
fn rewritten(plain: &[u8], escaping: Escaping, length: usize) -> String {
    let mut again = String::with_capacity(length);
    let text = core::str::from_utf8(plain).unwrap_or_default();
    // Writing to a string does not fail.
    let _ = match (escaping, length) {
        (Escaping::Percent, _) => plain
            .iter()
            .try_for_each(|byte| write!(again, "%{byte:02X}")),
        (Escaping::Json, 2) if text == r"\" => again.write_str(r"\\"),
        (Escaping::Json, 2) => again.write_str(r"\/"),
        (Escaping::Json, _) => text
            .encode_utf16()
            .try_for_each(|unit| write!(again, r"\u{unit:04x}")),
    };
    again
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn decoded(escaping: Escaping, text: &str) -> Option<String> {
        let decoded = escaping.decode(text.as_bytes())?;
        Some(String::from_utf8_lossy(&decoded.bytes).into_owned())
    }

    #[test]
    fn escapes_are_read_as_their_readers_do() {
        let json = r#"a\"b\\\/\n\u0041\u00e9\u20ac\ud83d\ude00é€"#;
        let read: String = serde_json::from_str(&alloc::format!("\"{json}\"")).unwrap();
        assert_eq!(decoded(Escaping::Json, json), Some(read));
        let url = "a%2Fb%2fc%C3%A9+%25";
        assert_eq!(decoded(Escaping::Percent, url), Some("a/b/cé+%".into()));
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in [r"\", r"\x", r"\u12", r"\u12g4", r"a\", "plain", ""] {
            assert_eq!(decoded(Escaping::Json, text), None, "{text}");
        }
        for text in ["%", "%1", "%x1", "%1x", "1%"] {
            assert_eq!(decoded(Escaping::Percent, text), None, "{text}");
        }
        let halves = r"\x\ud800\ud800\udc00\udc00\n";
        let read = "\\x\u{fffd}\u{10000}\u{fffd}\n";
        assert_eq!(decoded(Escaping::Json, halves).as_deref(), Some(read));
    }

    #[test]
    fn what_has_changed_is_written_with_the_same_escapes() {
        let written = |escaping: Escaping, text: &str, from: &str, to: &str| {
            let decoded = escaping.decode(text.as_bytes()).unwrap();
            let plain = String::from_utf8(decoded.bytes.clone()).unwrap();
            let changed = plain.replace(from, to);
            assert_eq!(changed.len(), plain.len());
            let changes: Vec<_> = changed
                .bytes()
                .zip(plain.bytes())
                .map(|(new, old)| (new != old).then_some(new))
                .collect();
            let mut into = vec![None; text.len()];
            decoded.write_back(&changes, (escaping, text.as_bytes()), &mut into);
            let text = text.bytes().zip(into);
            let text = text.map(|(old, new)| new.unwrap_or(old)).collect();
            String::from_utf8(text).unwrap()
        };
        let json = r#"<a\"\u0062\u00e9\ud83d\ude00c>\n"#;
        assert_eq!(
            written(Escaping::Json, json, "a\"bé😀c", "x\\xÿ\u{10000}x"),
            r"<x\\\u0078\u00ff\ud800\udc00x>\n"
        );
        let url = "<%61b%C3%A9>%41";
        assert_eq!(
            written(Escaping::Percent, url, "abé", "xxÿ"),
            "<%78x%C3%BF>%41"
        );
    }
}
