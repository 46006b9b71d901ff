//! Socket.IO packets, and how each stands in an Engine.IO message.

use alloc::string::{String, ToString as _};
use core::{fmt, fmt::Write as _};

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::{
    AckId, Namespace, attachment,
    event::{Answer, Event},
    refusal,
};
use crate::canonical;

/// The most attachments that a binary packet may announce, unless an end is set to another limit:
/// what the official parser takes by default, and so what a peer can count on. Each is a frame that
/// must be kept until all are there.
pub const ATTACHMENTS_MAX: u32 = 10;

/// The type of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `0`
    Connect,
    /// `1`
    Disconnect,
    /// `2`
    Event,
    /// `3`
    Ack,
    /// `4`
    ConnectError,
    /// `5`
    BinaryEvent,
    /// `6`
    BinaryAck,
}
canonical!(
    enum Kind {
        Connect,
        Disconnect,
        Event,
        Ack,
        ConnectError,
        BinaryEvent,
        BinaryAck,
    }
);

impl Kind {
    fn of_digit(digit: char) -> Option<Self> {
        match digit {
            '0' => Some(Self::Connect),
            '1' => Some(Self::Disconnect),
            '2' => Some(Self::Event),
            '3' => Some(Self::Ack),
            '4' => Some(Self::ConnectError),
            '5' => Some(Self::BinaryEvent),
            '6' => Some(Self::BinaryAck),
            _ => None,
        }
    }

    fn digit(self) -> char {
        match self {
            Self::Connect => '0',
            Self::Disconnect => '1',
            Self::Event => '2',
            Self::Ack => '3',
            Self::ConnectError => '4',
            Self::BinaryEvent => '5',
            Self::BinaryAck => '6',
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "CONNECT",
            Self::Disconnect => "DISCONNECT",
            Self::Event => "EVENT",
            Self::Ack => "ACK",
            Self::ConnectError => "CONNECT_ERROR",
            Self::BinaryEvent => "BINARY_EVENT",
            Self::BinaryAck => "BINARY_ACK",
        })
    }
}

/// One packet. Everything in it shares the memory of the message it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A client asks to join; a server grants it.
    Connect {
        /// Which one.
        namespace: Namespace,
        /// The JSON text of an object: the client's auth, or the server's `sid`.
        payload: Option<ByteString>,
    },
    /// A namespace is left, by either side.
    Disconnect {
        /// Which one.
        namespace: Namespace,
    },
    /// An event, by either side.
    Event {
        /// Where.
        namespace: Namespace,
        /// What.
        event: Event,
    },
    /// The answer to an event.
    Answer {
        /// Where.
        namespace: Namespace,
        /// To which event.
        ack: AckId,
        /// Its arguments.
        answer: Answer,
    },
    /// A server refuses a CONNECT.
    ConnectError {
        /// Which one.
        namespace: Namespace,
        /// The server's words.
        message: ByteString,
        /// Any JSON text; `null` counts as none.
        data: Option<ByteString>,
    },
    /// An event whose placeholders stand for the binary messages that follow.
    BinaryEvent {
        /// How many follow: 1 to [`ATTACHMENTS_MAX`].
        attachments: u32,
        /// Where.
        namespace: Namespace,
        /// What, with placeholders.
        event: Event,
    },
    /// An answer whose placeholders stand for the binary messages that follow.
    BinaryAnswer {
        /// How many follow: 1 to [`ATTACHMENTS_MAX`].
        attachments: u32,
        /// Where.
        namespace: Namespace,
        /// To which event.
        ack: AckId,
        /// Its arguments, with placeholders.
        answer: Answer,
    },
}

canonical!(
    enum Packet {
        Connect { namespace, payload },
        Disconnect { namespace },
        Event { namespace, event },
        Answer { namespace, ack, answer },
        ConnectError { namespace, message, data },
        BinaryEvent { attachments, namespace, event },
        BinaryAnswer { attachments, namespace, ack, answer },
    }
);

/// What is wrong with a packet. The peer is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A message without even a type.
    #[error("an empty message")]
    Empty,
    /// A message that starts with anything but a digit from 0 to 6.
    #[error("unknown packet type {0:?}")]
    UnknownType(char),
    /// The count of attachments is missing, not a number, or 0.
    #[error("an illegal count of attachments")]
    IllegalAttachments,
    /// More attachments than the limit, [`ATTACHMENTS_MAX`] by default.
    #[error("too many attachments")]
    TooManyAttachments,
    /// A placeholder with a number that none of the attachments has.
    #[error("a placeholder without its attachment")]
    BadPlaceholder,
    /// A name longer than [`NAMESPACE_BYTES_MAX`](super::NAMESPACE_BYTES_MAX).
    #[error("the name of the namespace is too long")]
    BadNamespace,
    /// An id that does not fit into 64 bits.
    #[error("an acknowledgement id beyond 64 bits")]
    BadAckId,
    /// An answer that does not say to what.
    #[error("an answer without the id of its event")]
    MissingAckId,
    /// The payload is not the JSON that belongs to the type.
    #[error("the payload does not belong to a packet of type {0}")]
    BadPayload(Kind),
    /// An event with one of [`RESERVED_NAMES`](super::event::RESERVED_NAMES).
    #[error("an event with the reserved name {0:?}")]
    ReservedName(&'static str),
    /// The answer to a CONNECT has no `sid`: a server of protocol 4 or older.
    #[error("the CONNECT reply has no sid; is the server older than Socket.IO 3?")]
    MissingSid,
}
canonical!(
    enum DecodeError {
        Empty,
        UnknownType(found),
        IllegalAttachments,
        TooManyAttachments,
        BadPlaceholder,
        BadNamespace,
        BadAckId,
        MissingAckId,
        BadPayload(kind),
        ReservedName(name),
        MissingSid,
    }
);

/// Reads the text of an Engine.IO message.
///
/// Where the official parser is lenient:
///
/// - the comma after a namespace may be missing at the end (`0/a`, `1/a`): taken, the official
///   test-suite does it;
/// - leading zeros of an id: taken; an id beyond 64 bits, which it would round: refused;
/// - a number for the name of an event: taken, its text is the name;
/// - the payload of a CONNECT_ERROR may be a bare string, be missing, or lack a `message`, and the
///   message may be any JSON: taken, with the text of that JSON, and so is a string with half of a
///   surrogate pair, which Rust cannot hold;
/// - an event or an answer without a payload, or an answer without an id: refused, nothing could
///   be done with it;
/// - a number before the payload of other types, which it skips: refused;
/// - white space for a type, in an id or in the count of attachments, or a count such as `1e0`, for
///   all of which JavaScript has a number: refused, and white space before a payload is no id;
/// - half of a surrogate pair in the name of an event: refused, it is no text;
/// - a placeholder whose number is a fraction, which it takes for nothing: refused, and so is a
///   binary packet that nests deeper than 127 levels.
///
/// # Errors
///
/// Where the text is not a packet by these rules.
pub fn decode(text: ByteString) -> Result<Packet, DecodeError> {
    decode_with(text, ATTACHMENTS_MAX)
}

/// The same, with another limit for the attachments that a packet announces.
pub(super) fn decode_with(text: ByteString, attachments_max: u32) -> Result<Packet, DecodeError> {
    let mut rest = text.chars();
    let digit = rest.next().ok_or(DecodeError::Empty)?;
    let kind = Kind::of_digit(digit).ok_or(DecodeError::UnknownType(digit))?;
    let rest = rest.as_str();
    match kind {
        Kind::Connect => {
            let (namespace, rest) = take_namespace(&text, rest)?;
            let payload = match rest {
                "" => None,
                json => Some(object(json).ok_or(DecodeError::BadPayload(kind))?),
            };
            Ok(Packet::Connect {
                namespace,
                payload: payload.map(|json| text.slice_ref(json)),
            })
        }
        Kind::Disconnect => match take_namespace(&text, rest)? {
            (namespace, "") => Ok(Packet::Disconnect { namespace }),
            (_, _) => Err(DecodeError::BadPayload(kind)),
        },
        Kind::ConnectError => {
            let (namespace, rest) = take_namespace(&text, rest)?;
            connect_error(&text, namespace, rest).ok_or(DecodeError::BadPayload(kind))
        }
        Kind::Event => {
            let (namespace, ack, payload) = take_address(&text, rest)?;
            let event = Event::decode(text, payload, ack)?;
            Ok(Packet::Event { namespace, event })
        }
        Kind::Ack => {
            let (namespace, ack, answer) = answer(&text, rest)?;
            Ok(Packet::Answer {
                namespace,
                ack,
                answer,
            })
        }
        Kind::BinaryEvent => {
            let (attachments, rest) = take_attachments(rest, attachments_max)?;
            let (namespace, ack, payload) = take_address(&text, rest)?;
            let event = Event::decode(text, payload, ack)?;
            check_placeholders(kind, event.payload(), attachments)?;
            Ok(Packet::BinaryEvent {
                attachments,
                namespace,
                event,
            })
        }
        Kind::BinaryAck => {
            let (attachments, rest) = take_attachments(rest, attachments_max)?;
            let (namespace, ack, answer) = answer(&text, rest)?;
            check_placeholders(kind, answer.raw_args(), attachments)?;
            Ok(Packet::BinaryAnswer {
                attachments,
                namespace,
                ack,
                answer,
            })
        }
    }
}

/// Writes the text of an Engine.IO message.
pub fn encode(packet: &Packet) -> ByteString {
    let mut out = String::new();
    match packet {
        Packet::Connect { namespace, payload } => {
            push_header(Kind::Connect, namespace, None, &mut out);
            out.push_str(payload.as_deref().unwrap_or_default());
        }
        Packet::Disconnect { namespace } => {
            push_header(Kind::Disconnect, namespace, None, &mut out);
        }
        Packet::Event { namespace, event } => {
            push_header(Kind::Event, namespace, event.ack(), &mut out);
            out.push_str(event.payload());
        }
        Packet::Answer {
            namespace,
            ack,
            answer,
        } => {
            push_header(Kind::Ack, namespace, Some(*ack), &mut out);
            out.push_str(answer.raw_args());
        }
        Packet::ConnectError {
            namespace,
            message,
            data,
        } => {
            push_header(Kind::ConnectError, namespace, None, &mut out);
            out.push_str("{\"message\":");
            out.push_str(&serde_json::Value::from(&**message).to_string());
            if let Some(data) = data {
                out.push_str(",\"data\":");
                out.push_str(data);
            }
            out.push('}');
        }
        Packet::BinaryEvent {
            attachments,
            namespace,
            event,
        } => {
            push_binary(Kind::BinaryEvent, u64::from(*attachments), &mut out);
            push_address(namespace, event.ack(), &mut out);
            out.push_str(event.payload());
        }
        Packet::BinaryAnswer {
            attachments,
            namespace,
            ack,
            answer,
        } => {
            push_binary(Kind::BinaryAck, u64::from(*attachments), &mut out);
            push_address(namespace, Some(*ack), &mut out);
            out.push_str(answer.raw_args());
        }
    }
    out.into()
}

/// Whether `json` is the JSON text of an object; without the white space around it.
pub(super) fn object(json: &str) -> Option<&str> {
    any(json).filter(|json| json.starts_with('{'))
}

/// Whether `json` is JSON text; without the white space around it.
pub(super) fn any(json: &str) -> Option<&str> {
    serde_json::from_str::<&RawValue>(json)
        .ok()
        .map(RawValue::get)
}

/// Writes the beginning of an Engine.IO frame, up to the payload.
pub(super) fn open_frame(
    kind: Kind,
    attachments: usize,
    namespace: &Namespace,
    ack: Option<AckId>,
    out: &mut String,
) {
    out.push('4');
    match attachments {
        0 => out.push(kind.digit()),
        more => push_binary(kind, more as u64, out),
    }
    push_address(namespace, ack, out);
}

fn push_header(kind: Kind, namespace: &Namespace, ack: Option<AckId>, out: &mut String) {
    out.push(kind.digit());
    push_address(namespace, ack, out);
}

fn push_binary(kind: Kind, attachments: u64, out: &mut String) {
    out.push(kind.digit());
    push_number(attachments, out);
    out.push('-');
}

fn push_number(number: u64, out: &mut String) {
    // Writing to a `String` does not fail.
    let _ = write!(out, "{number}");
}

fn push_address(namespace: &Namespace, ack: Option<AckId>, out: &mut String) {
    if !namespace.is_root() {
        out.push_str(namespace.as_str());
        out.push(',');
    }
    if let Some(ack) = ack {
        push_number(ack.number(), out);
    }
}

fn take_attachments(rest: &str, max: u32) -> Result<(u32, &str), DecodeError> {
    let (digits, rest) = take_digits(rest);
    let rest = rest
        .strip_prefix('-')
        .ok_or(DecodeError::IllegalAttachments)?;
    if digits.bytes().all(|digit| digit == b'0') {
        return Err(DecodeError::IllegalAttachments);
    }
    match digits.parse() {
        Ok(count) if count <= max => Ok((count, rest)),
        Ok(_) | Err(_) => Err(DecodeError::TooManyAttachments),
    }
}

fn check_placeholders(kind: Kind, payload: &str, attachments: u32) -> Result<(), DecodeError> {
    attachment::check(payload, attachments as usize).map_err(|fault| match fault {
        attachment::Fault::Placeholder => DecodeError::BadPlaceholder,
        attachment::Fault::TooDeep => DecodeError::BadPayload(kind),
    })
}

fn take_namespace<'a>(
    text: &ByteString,
    rest: &'a str,
) -> Result<(Namespace, &'a str), DecodeError> {
    if !rest.starts_with('/') {
        return Ok((Namespace::root(), rest));
    }
    let (name, rest) = rest.split_once(',').unwrap_or((rest, ""));
    let namespace = Namespace::of_frame(text.slice_ref(name)).ok_or(DecodeError::BadNamespace)?;
    Ok((namespace, rest))
}

fn take_ack(rest: &str) -> Result<(Option<AckId>, &str), DecodeError> {
    let (digits, rest) = take_digits(rest);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    let number = digits.parse().map_err(|_| DecodeError::BadAckId)?;
    Ok((Some(AckId::from_number(number)), rest))
}

fn take_digits(rest: &str) -> (&str, &str) {
    let end = rest
        .find(|symbol: char| !symbol.is_ascii_digit())
        .unwrap_or(rest.len());
    rest.split_at_checked(end).unwrap_or((rest, ""))
}

/// The namespace, the id, and where in `text` the payload starts.
fn take_address(
    text: &ByteString,
    rest: &str,
) -> Result<(Namespace, Option<AckId>, usize), DecodeError> {
    let (namespace, rest) = take_namespace(text, rest)?;
    let (ack, payload) = take_ack(rest)?;
    Ok((namespace, ack, text.len() - payload.len()))
}

fn answer(text: &ByteString, rest: &str) -> Result<(Namespace, AckId, Answer), DecodeError> {
    let (namespace, rest) = take_namespace(text, rest)?;
    let (ack, payload) = take_ack(rest)?;
    let ack = ack.ok_or(DecodeError::MissingAckId)?;
    Ok((namespace, ack, Answer::decode(text.slice_ref(payload))?))
}

fn connect_error(text: &ByteString, namespace: Namespace, json: &str) -> Option<Packet> {
    let (message, data) = refusal::decode(json)?;
    let message = match message {
        None => ByteString::new(),
        Some(json) => serde_json::from_str::<String>(json)
            .map_or_else(|_| text.slice_ref(json), ByteString::from),
    };
    Some(Packet::ConnectError {
        namespace,
        message,
        data: data.map(|json| text.slice_ref(json)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace::new(name).unwrap()
    }

    fn an_event(payload: &str, ack: Option<u64>) -> Event {
        Event::decode(payload.into(), 0, ack.map(AckId::from_number)).unwrap()
    }

    /// The vectors of socket.io-parser's tests and of the protocol text.
    #[test]
    fn packets_stand_as_the_protocol_says() {
        let answer = |payload: &str| Answer::decode(payload.into()).unwrap();
        for (packet, text) in [
            (
                Packet::Connect {
                    namespace: namespace("/woot"),
                    payload: Some(r#"{"token":"123"}"#.into()),
                },
                r#"0/woot,{"token":"123"}"#,
            ),
            (
                Packet::Connect {
                    namespace: Namespace::root(),
                    payload: None,
                },
                "0",
            ),
            (
                Packet::Disconnect {
                    namespace: namespace("/woot"),
                },
                "1/woot,",
            ),
            (
                Packet::Event {
                    namespace: Namespace::root(),
                    event: an_event(r#"["a",1,{}]"#, None),
                },
                r#"2["a",1,{}]"#,
            ),
            (
                Packet::Event {
                    namespace: namespace("/test"),
                    event: an_event(r#"["a",1,{}]"#, Some(1)),
                },
                r#"2/test,1["a",1,{}]"#,
            ),
            (
                Packet::Answer {
                    namespace: Namespace::root(),
                    ack: AckId::from_number(123),
                    answer: answer(r#"["a",1,{}]"#),
                },
                r#"3123["a",1,{}]"#,
            ),
            (
                Packet::ConnectError {
                    namespace: namespace("/random"),
                    message: "Invalid namespace".into(),
                    data: None,
                },
                r#"4/random,{"message":"Invalid namespace"}"#,
            ),
            (
                Packet::ConnectError {
                    namespace: Namespace::root(),
                    message: "no \"way\"".into(),
                    data: Some(r#"{"code":1}"#.into()),
                },
                r#"4{"message":"no \"way\"","data":{"code":1}}"#,
            ),
            (
                Packet::BinaryEvent {
                    attachments: 2,
                    namespace: namespace("/cool"),
                    event: an_event(r#"["a",{"_placeholder":true,"num":0}]"#, Some(23)),
                },
                r#"52-/cool,23["a",{"_placeholder":true,"num":0}]"#,
            ),
            (
                Packet::BinaryAnswer {
                    attachments: 10,
                    namespace: Namespace::root(),
                    ack: AckId::from_number(789),
                    answer: answer("[{}]"),
                },
                "610-789[{}]",
            ),
        ] {
            assert_eq!(encode(&packet), text);
            assert_eq!(decode(text.into()), Ok(packet));
        }
    }

    #[test]
    fn the_leniencies_are_those_of_the_documentation() {
        let same = |lenient: &str, strict: &str| {
            assert_eq!(
                decode(lenient.into()).unwrap(),
                decode(strict.into()).unwrap()
            );
        };
        same("0/random", "0/random,");
        same("1/custom", "1/custom,");
        same("0/,", "0");
        same("2007[\"a\"]", "27[\"a\"]");
        same("4\"Unauthorized\"", "4{\"message\":\"Unauthorized\"}");
        same("4", "4{\"message\":\"\"}");
        same("4{}", "4{\"message\":\"\",\"data\":null}");
        same(
            "4{\"message\":{\"a\":1}}",
            "4{\"message\":\"{\\\"a\\\":1}\"}",
        );
        same(r#"4"\ud83d""#, r#"4{"message":"\"\\ud83d\""}"#);
        let Ok(Packet::Event { event, .. }) = decode("2[1,2]".into()) else {
            panic!("an event");
        };
        assert_eq!(event.name(), "1");
    }

    /// The rejected vectors of socket.io-parser's tests, and some more.
    #[test]
    fn garbage_is_named() {
        use DecodeError as E;
        let deep = ["51-[\"a\",", &"[".repeat(127), &"]".repeat(128)].concat();
        for (text, error) in [
            ("", E::Empty),
            ("abc", E::UnknownType('a')),
            ("999", E::UnknownType('9')),
            ("é", E::UnknownType('é')),
            ("2", E::BadPayload(Kind::Event)),
            ("2{}", E::BadPayload(Kind::Event)),
            ("2abc[\"a\"]", E::BadPayload(Kind::Event)),
            ("442[\"some\",\"data\"", E::BadPayload(Kind::ConnectError)),
            ("0/admin,\"invalid\"", E::BadPayload(Kind::Connect)),
            ("0[]", E::BadPayload(Kind::Connect)),
            ("0{}{}", E::BadPayload(Kind::Connect)),
            ("07{}", E::BadPayload(Kind::Connect)),
            ("1/admin,{}", E::BadPayload(Kind::Disconnect)),
            ("2/admin,\"invalid", E::BadPayload(Kind::Event)),
            ("2/admin,{}", E::BadPayload(Kind::Event)),
            ("2[\"connect\"]", E::ReservedName("connect")),
            (
                "2[\"disconnecting\",\"x\"]",
                E::ReservedName("disconnecting"),
            ),
            ("3[]", E::MissingAckId),
            ("31{}", E::BadPayload(Kind::Ack)),
            ("299999999999999999999[\"a\"]", E::BadAckId),
            ("5", E::IllegalAttachments),
            ("5[\"a\"]", E::IllegalAttachments),
            ("5-[\"a\"]", E::IllegalAttachments),
            ("50-[\"a\"]", E::IllegalAttachments),
            ("51[\"a\"]", E::IllegalAttachments),
            ("511-[\"a\"]", E::TooManyAttachments),
            ("599999999999-[\"a\"]", E::TooManyAttachments),
            ("61-[\"a\"]", E::MissingAckId),
            (
                "51-[\"a\",{\"_placeholder\":true,\"num\":1}]",
                E::BadPlaceholder,
            ),
            (
                "61-0[[{\"_placeholder\":true,\"num\":-1}]]",
                E::BadPlaceholder,
            ),
            (&*deep, E::BadPayload(Kind::BinaryEvent)),
        ] {
            assert_eq!(decode(text.into()), Err(error), "{text}");
        }
        let long = alloc::format!("0/{}", "x".repeat(super::super::NAMESPACE_BYTES_MAX));
        assert_eq!(decode(long.into()), Err(E::BadNamespace));
    }
}
