//! What a frame is, in few words.

use selvedge_core::ws::{Closed, Event, Frame};
use serde::Serialize;
use serde_json::Value;

use super::Kind;

/// How many characters of a frame or a body are told at most.
const DETAIL_CHARS: usize = 1_500;

/// The kind of something on a connection, what it is in few words, and all of it.
pub(super) fn told(event: &Event) -> (Kind, String, String) {
    match event {
        Event::Frame(Frame::Text(text)) => {
            let (kind, label) = packet(text);
            (kind, label, cut(text))
        }
        Event::Frame(Frame::Binary(bytes)) => {
            let label = format!("{} binary bytes", bytes.len());
            (Kind::Frame, label, cut(&format!("{bytes:?}")))
        }
        Event::Closed(closed) => {
            let label = match closed {
                Closed::Peer { code, .. } => format!("closed {code}"),
                Closed::Broken(_) => "broken".to_owned(),
                Closed::TooLarge => "closed: too large".to_owned(),
                Closed::Overrun => "closed: overrun".to_owned(),
            };
            (Kind::Dial, label, cut(&format!("{closed:?}")))
        }
    }
}

/// The beginning of a text that may be long.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS) {
        Some((at, _)) => {
            let head = text.split_at_checked(at).map_or("", |(head, _)| head);
            format!("{head}… ({} bytes)", text.len())
        }
        None => text.to_owned(),
    }
}

/// The name of a variant.
pub(super) fn name_of(of: &impl Serialize) -> String {
    let written = serde_json::to_value(of).unwrap_or_default();
    let name = match &written {
        Value::Object(fields) => fields.keys().next(),
        Value::String(name) => Some(name),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    };
    name.map_or_else(String::new, |name| name.replace('_', " "))
}

/// An Engine.IO packet, and the Socket.IO packet in it.
fn packet(text: &str) -> (Kind, String) {
    let plain = |kind, label: &str| (kind, label.to_owned());
    let Some(rest) = text.strip_prefix('4') else {
        return match text.chars().next() {
            Some('0') => plain(Kind::Frame, "open"),
            Some('1') => plain(Kind::Frame, "close"),
            Some('2') => plain(Kind::Beat, "ping"),
            Some('3') => plain(Kind::Beat, "pong"),
            _ => plain(Kind::Frame, "unknown frame"),
        };
    };
    let mut rest = rest.chars();
    let kind = rest.next();
    let rest = rest.as_str();
    let rest = match rest.split_once(',') {
        Some((namespace, rest)) if namespace.starts_with('/') => rest,
        _ => rest,
    };
    let payload = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let id = rest.strip_suffix(payload).unwrap_or_default();
    let label = match kind {
        Some('0') => "CONNECT".to_owned(),
        Some('1') => "DISCONNECT".to_owned(),
        Some('2') => {
            let event: Value = serde_json::from_str(payload).unwrap_or_default();
            let name = event.get(0).and_then(Value::as_str).unwrap_or("event");
            match id.is_empty() {
                true => name.to_owned(),
                false => format!("{name} (asks {id})"),
            }
        }
        Some('3') => format!("answer to {id}"),
        Some('4') => "CONNECT refused".to_owned(),
        _ => "unknown packet".to_owned(),
    };
    (Kind::Frame, label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_have_names() {
        let label = |text: &str| packet(text).1;
        assert_eq!(packet("2"), (Kind::Beat, "ping".to_owned()));
        assert_eq!(label("40/realtime,{\"sid\":\"x\"}"), "CONNECT");
        assert_eq!(
            label("42/realtime,7[\"join_channel\",{}]"),
            "join_channel (asks 7)"
        );
        assert_eq!(
            label("42/realtime,[\"message.created\",{}]"),
            "message.created"
        );
        assert_eq!(label("43/realtime,7[{\"ok\":true}]"), "answer to 7");
        assert_eq!(label("9"), "unknown frame");
        assert_eq!(label("42["), "event");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        let told = cut(&"é".repeat(DETAIL_CHARS + 1));
        assert!(told.ends_with("é… (3002 bytes)"), "{told}");
        assert_eq!(cut("é"), "é");
    }
}
