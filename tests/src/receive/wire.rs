//! What is said on the wire: the frames of a guild's messages, and what a reader makes of them.

use std::fmt::Write as _;

use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// What a frame with a message begins with.
pub(super) const EVENT: &str = "42/realtime,";

/// How many digits the time has that the text of a message begins with.
const DIGITS: usize = 20;

/// What follows: the frame has some 650 bytes with it.
const FILLING: &str = "selvedge selvedge selvedge selvedge selvedge selvedge selvedge selvedge \
     selvedge selvedge selvedge selvedge selvedge selvedge selvedge selvedge selvedge selvedge \
     selvedge selvedge selvedge selvedge selvedge selvedge selvedge selvedge selvedge selvedge \
     selvedge selvedge selvedge selvedge";

/// What a channel is called.
pub(super) fn channel(number: usize) -> String {
    format!("c{number:016x}")
}

/// The frame of a message that wakes whoever gets it, as a guild writes it. Its text begins with the
/// time when it was made.
pub(super) fn frame(channel: &str, seq: u64) -> String {
    let mut frame = String::with_capacity(720);
    let now = nanos();
    // Writing to a text never fails.
    let _ = write!(
        frame,
        r#"{EVENT}["message.created",{{"id":"{channel}-{seq}","channelId":"{channel}","guildId":"local","seq":{seq},"author":{{"id":"u_0123456789abcdefghij","name":"user-1"}},"content":"{now:0DIGITS$} {FILLING}","replyToId":null,"mentions":[],"attachments":[],"createdAt":"2026-01-01T00:00:00.000Z","editedAt":null,"deletedAt":null,"nonce":null,"wakeup":true}}]"#
    );
    frame
}

/// The machine's clock, which all processes share, in nanoseconds.
pub(super) fn nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    number(now.tv_sec) * 1_000_000_000 + number(now.tv_nsec)
}

/// When the message with this text was made.
pub(super) fn made_at(content: &str) -> Option<u64> {
    content.get(..DIGITS)?.parse().ok()
}

/// A message as it stands in its frame: all of it, and nothing copied.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "it is to be read from the frame, whoever looks at it"
)]
pub(super) struct Message<'a> {
    id: &'a str,
    channel_id: &'a str,
    guild_id: Option<&'a str>,
    pub(super) seq: u64,
    #[serde(borrow)]
    author: Author<'a>,
    content: &'a str,
    reply_to_id: Option<&'a str>,
    mentions: Vec<&'a str>,
    attachments: Vec<&'a RawValue>,
    created_at: &'a str,
    edited_at: Option<&'a str>,
    deleted_at: Option<&'a str>,
    nonce: Option<&'a str>,
    wakeup: Option<bool>,
}

/// Who wrote it.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "as of the message")]
struct Author<'a> {
    id: &'a str,
    name: &'a str,
}

/// What a client asks in a frame: to get in, or something that it waits for.
pub(super) enum Asked {
    /// CONNECT to the namespace.
    Connect,
    /// An event whose answer has this number, and the channel that it names, if any.
    Event(u64, Option<String>),
}

/// What a frame of a client asks, if it asks anything.
pub(super) fn asked(frame: &str) -> Option<Asked> {
    if frame.starts_with("40/realtime,") {
        return Some(Asked::Connect);
    }
    let rest = frame.strip_prefix(EVENT)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, arguments) = rest.split_at_checked(digits)?;
    let number = number.parse().ok()?;
    let arguments: Vec<Value> = serde_json::from_str(arguments).ok()?;
    let join = arguments.first().and_then(Value::as_str) == Some("join_channel");
    let channel = arguments.get(1).filter(|_| join);
    let channel = channel.and_then(|named| named.get("channelId")?.as_str());
    Some(Asked::Event(number, channel.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_message_of_some_650_bytes() {
        let before = nanos();
        let frame = frame(&channel(7), 12_345);
        assert!((640..670).contains(&frame.len()), "{}", frame.len());
        let (event, message): (&str, Message<'_>) =
            serde_json::from_str(frame.strip_prefix(EVENT).unwrap()).unwrap();
        assert_eq!((event, message.seq), ("message.created", 12_345));
        let ours: (&str, selvedge_core::fabric::types::Message) =
            serde_json::from_str(frame.strip_prefix(EVENT).unwrap()).unwrap();
        assert_eq!(ours.1.wakeup, Some(true));
        let made = made_at(message.content).unwrap();
        assert!(before <= made && made <= nanos());
    }

    #[test]
    fn a_question_is_understood() {
        assert!(matches!(
            asked(r#"40/realtime,{"token":"t"}"#),
            Some(Asked::Connect)
        ));
        let join = asked(r#"42/realtime,12["join_channel",{"channelId":"c1"}]"#);
        assert!(matches!(join, Some(Asked::Event(12, Some(channel))) if channel == "c1"));
        let typing = asked(r#"42/realtime,3["typing",{"channelId":"c1"}]"#);
        assert!(matches!(typing, Some(Asked::Event(3, None))));
        assert!(asked("3").is_none());
    }
}
