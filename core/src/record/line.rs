//! Where the values are that a line of a recording says with strings and with bytes.

use alloc::{borrow::Cow, string::String, vec::Vec};

use super::{Role, Substitute};

/// A line of JSON, as `serde_json` writes it, with other strings and other arrays of bytes in the places
/// of those for which `change` has something else; keys stay. `None` where it has nothing.
pub(super) fn replaced(line: &str, change: &mut Substitute<'_>) -> Option<String> {
    let mut role = Role::Other;
    let mut made = String::new();
    let mut rest = line;
    let mut copied = line;
    while let Some(at) = rest
        .bytes()
        .position(|byte| matches!(byte, b'"' | b'[' | b'}'))
    {
        let (_, begun) = rest.split_at_checked(at)?;
        let Some((value, after)) = Value::first(begun) else {
            if begun.starts_with('}') {
                role = Role::Other;
            }
            rest = begun.get(1..)?;
            continue;
        };
        rest = after;
        if let Value::Key(name) = &value {
            role = Role::of_field(name);
        }
        if let Some(other) = value.changed(role, change) {
            let before = copied.len() - begun.len();
            made.push_str(copied.get(..before)?);
            made.push_str(&other);
            copied = after;
        }
    }
    if copied.len() == line.len() {
        return None;
    }
    made.push_str(copied);
    Some(made)
}

/// What may be written in another way.
enum Value<'l> {
    Key(Cow<'l, str>),
    Text(Cow<'l, str>),
    Bytes(Vec<u8>),
}

impl<'l> Value<'l> {
    /// The one that a rest of a line begins with, and what is behind it.
    fn first(rest: &'l str) -> Option<(Self, &'l str)> {
        if let Some(rest) = rest.strip_prefix('[') {
            let end = rest
                .bytes()
                .position(|byte| !matches!(byte, b'0'..=b'9' | b','))?;
            let (numbers, after) = rest.split_at_checked(end)?;
            let bytes = numbers.split(',').map(|number| number.parse().ok());
            let bytes = bytes.collect::<Option<_>>()?;
            return Some((Self::Bytes(bytes), after.strip_prefix(']')?));
        }
        let inner = rest.strip_prefix('"')?;
        let mut end = 0;
        loop {
            let left = inner.as_bytes().get(end..)?;
            end += left.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            match inner.as_bytes().get(end)? {
                b'\\' => end += 2,
                _ => break,
            }
        }
        let (written, after) = inner.split_at_checked(end)?;
        let after = after.get(1..)?;
        let text = match written.contains('\\') {
            true => serde_json::from_str(rest.get(..end + 2)?).ok()?,
            false => Cow::Borrowed(written),
        };
        match after.starts_with(':') {
            true => Some((Self::Key(text), after)),
            false => Some((Self::Text(text), after)),
        }
    }

    /// It as JSON, where something else is to be written.
    fn changed(&self, role: Role, change: &mut Substitute<'_>) -> Option<String> {
        match self {
            Self::Key(_) => None,
            Self::Text(text) => {
                let other = change(text.as_bytes(), role)?;
                // Whole characters become others.
                serde_json::to_string(&String::from_utf8_lossy(&other)).ok()
            }
            Self::Bytes(bytes) => serde_json::to_string(&change(bytes, Role::Other)?).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn strings_and_bytes_become_others_and_keys_stay() {
        let line = json!({
            "secret": ["secret", "a \"secret\"\n", "other", ["secret"]],
            "more": { "secret": 1, "bytes": [115, 101, 99, 114, 101, 116], "x": [1, 300, "secret"] },
            "nothing": [[], "", {}, [[-1]], [1.5]],
            "written": [{ "content": "secret", "contents": ["a", "b"] }, "c"],
        })
        .to_string();
        let upper = |text: &[u8], role: Role| {
            if role == Role::Content {
                return Some(b"filled".to_vec());
            }
            let text = core::str::from_utf8(text).ok()?;
            text.contains("secret")
                .then(|| text.replace("secret", "SECRET").into_bytes())
        };
        let expected = json!({
            "secret": ["SECRET", "a \"SECRET\"\n", "other", ["SECRET"]],
            "more": { "secret": 1, "bytes": [83, 69, 67, 82, 69, 84], "x": [1, 300, "SECRET"] },
            "nothing": [[], "", {}, [[-1]], [1.5]],
            "written": [{ "content": "filled", "contents": ["filled", "filled"] }, "c"],
        })
        .to_string();
        assert_eq!(replaced(&line, &mut { upper }), Some(expected.clone()));
        let nothing = |_: &[u8], _| None;
        assert_eq!(replaced(&expected, &mut { nothing }), None);
    }
}
