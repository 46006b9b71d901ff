//! Engine.IO packets, and how each stands in a WebSocket frame.

use alloc::string::String;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytestring::ByteString;

use super::handshake::HandshakeError;
use crate::{canonical, ws};

/// Binary content where only text can stand. Peers differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One packet.
///
/// On a WebSocket a text frame is a digit and the content, and a binary frame is a message without
/// any prefix (protocol, "Packet encoding"). A client that was set to `forceBase64` writes a binary
/// message as `b` and base64 there too, as it stands in the body of a poll, and asks for the same by
/// `b64=1` in the query of the WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// `0`: the handshake, as JSON, from the server.
    Open(ByteString),
    /// `1`: the connection is over.
    Close,
    /// `2`: from the server; the content is `probe` during an upgrade, from the client, and empty
    /// otherwise.
    Ping(ByteString),
    /// `3`: the answer to a ping, with its content.
    Pong(ByteString),
    /// `4`, or a binary frame.
    Message(ws::Frame),
    /// `5`: the client moves to this transport.
    Upgrade,
    /// `6`: nothing.
    Noop,
}
canonical!(
    enum Packet {
        Open(text),
        Close,
        Ping(text),
        Pong(text),
        Message(frame),
        Upgrade,
        Noop,
    }
);

impl Packet {
    /// What the packet is called, for reasons and traces.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Close => "close",
            Self::Ping(_) => "ping",
            Self::Pong(_) => "pong",
            Self::Message(_) => "message",
            Self::Upgrade => "upgrade",
            Self::Noop => "noop",
        }
    }
}

/// How large a packet is, in bytes, before there is a frame of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Text, with the packet's type.
    Text(usize),
    /// The content of a binary message.
    Binary(usize),
}

impl Size {
    /// The size of the packet that is this frame.
    pub fn of(frame: &ws::Frame) -> Self {
        match frame {
            ws::Frame::Text(text) => Self::Text(text.len()),
            ws::Frame::Binary(bytes) => Self::Binary(bytes.len()),
        }
    }

    /// How many bytes it takes in a frame of its own.
    pub fn in_frame(self) -> u64 {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) => bytes as u64,
        }
    }

    /// How many bytes it takes in a payload, without a separator: binary is base64 there.
    pub fn in_payload(self) -> u64 {
        match self {
            Self::Text(bytes) => bytes as u64,
            Self::Binary(bytes) => 1 + (bytes as u64).div_ceil(3) * 4,
        }
    }
}

/// What is wrong with a packet. The peer is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A text frame without even a type.
    #[error("an empty frame")]
    Empty,
    /// A text frame that starts with anything but a digit from 0 to 6 or a `b`.
    #[error("unknown packet type {0:?}")]
    UnknownType(char),
    /// A binary message in a text frame that is not base64.
    #[error("a binary message that is not base64")]
    NotBase64,
    /// A packet that has no place at this moment or from this side.
    #[error("a packet of type {0:?} where it has no place")]
    Unexpected(&'static str),
    /// A handshake that cannot be lived with.
    #[error("a bad handshake: {0}")]
    Handshake(HandshakeError),
    /// A packet above the limit that was announced in the handshake.
    #[error("a packet of {bytes} bytes, above the announced limit of {max}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The announced `maxPayload`.
        max: u64,
    },
}
canonical!(
    enum DecodeError {
        Empty,
        UnknownType(found),
        NotBase64,
        Unexpected(name),
        Handshake(error),
        TooLarge { bytes, max },
    }
);

/// Reads a frame. The content is shared with the frame.
///
/// Content after a close, upgrade or noop packet is ignored, as the official parser's users do.
///
/// # Errors
///
/// Where a text frame has no known type in front, or is not the base64 that it says it is.
pub fn decode(frame: ws::Frame) -> Result<Packet, DecodeError> {
    let text = match frame {
        ws::Frame::Binary(_) => return Ok(Packet::Message(frame)),
        ws::Frame::Text(text) => text,
    };
    let mut rest = text.chars();
    let kind = rest.next().ok_or(DecodeError::Empty)?;
    let content = || text.slice_ref(rest.as_str());
    match kind {
        '0' => Ok(Packet::Open(content())),
        '1' => Ok(Packet::Close),
        '2' => Ok(Packet::Ping(content())),
        '3' => Ok(Packet::Pong(content())),
        '4' => Ok(Packet::Message(ws::Frame::Text(content()))),
        '5' => Ok(Packet::Upgrade),
        '6' => Ok(Packet::Noop),
        'b' => match BASE64.decode(rest.as_str()) {
            Ok(bytes) => Ok(Packet::Message(ws::Frame::Binary(bytes.into()))),
            Err(_) => Err(DecodeError::NotBase64),
        },
        unknown => Err(DecodeError::UnknownType(unknown)),
    }
}

/// Writes a packet as a frame. A binary message is shared, text is copied behind its digit.
pub fn encode(packet: Packet) -> ws::Frame {
    match packet {
        Packet::Open(content) => prefixed('0', &content),
        Packet::Close => fixed("1"),
        Packet::Ping(content) => prefixed('2', &content),
        Packet::Pong(content) => prefixed('3', &content),
        Packet::Message(ws::Frame::Text(content)) => prefixed('4', &content),
        Packet::Message(frame @ ws::Frame::Binary(_)) => frame,
        Packet::Upgrade => fixed("5"),
        Packet::Noop => fixed("6"),
    }
}

/// A packet that is a frame as [`encode`] makes it, for a peer that takes text alone.
pub fn in_text(frame: ws::Frame) -> ws::Frame {
    match frame {
        ws::Frame::Text(_) => frame,
        ws::Frame::Binary(bytes) => {
            let mut text = String::new();
            write_base64(&bytes, &mut text);
            ws::Frame::Text(text.into())
        }
    }
}

/// A binary message as text.
pub(super) fn write_base64(bytes: &[u8], text: &mut String) {
    text.push('b');
    BASE64.encode_string(bytes, text);
}

fn fixed(text: &'static str) -> ws::Frame {
    ws::Frame::Text(ByteString::from_static(text))
}

fn prefixed(kind: char, content: &str) -> ws::Frame {
    let mut text = String::with_capacity(1 + content.len());
    text.push(kind);
    text.push_str(content);
    ws::Frame::Text(text.into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn text(content: &str) -> ws::Frame {
        ws::Frame::Text(content.into())
    }

    /// The vectors of engine.io-parser's tests that apply to a WebSocket.
    #[test]
    fn packets_stand_as_the_protocol_says() {
        for (packet, frame) in [
            (
                Packet::Open("{\"sid\":\"x\"}".into()),
                text("0{\"sid\":\"x\"}"),
            ),
            (Packet::Close, text("1")),
            (Packet::Ping("".into()), text("2")),
            (Packet::Ping("probe".into()), text("2probe")),
            (Packet::Pong("probe".into()), text("3probe")),
            (Packet::Message(text("test")), text("4test")),
            (Packet::Message(text("")), text("4")),
            (
                Packet::Message(text("utf8 — string")),
                text("4utf8 — string"),
            ),
            (Packet::Upgrade, text("5")),
            (Packet::Noop, text("6")),
        ] {
            assert_eq!(encode(packet.clone()), frame);
            assert_eq!(decode(frame), Ok(packet));
        }
    }

    #[test]
    fn a_binary_frame_is_a_message_whatever_is_in_it() {
        for content in [&b""[..], b"\x1e", b"4abc", b"\xff\x00"] {
            let frame = ws::Frame::Binary(Bytes::copy_from_slice(content));
            assert_eq!(decode(frame.clone()), Ok(Packet::Message(frame.clone())));
            assert_eq!(encode(Packet::Message(frame.clone())), frame);
        }
    }

    #[test]
    fn a_text_frame_may_hold_a_binary_message_as_base64() {
        let message = |content: &'static [u8]| {
            Ok(Packet::Message(ws::Frame::Binary(Bytes::from_static(
                content,
            ))))
        };
        assert_eq!(decode(text("bAQIDBA==")), message(&[1, 2, 3, 4]));
        assert_eq!(decode(text("bAQIDBA")), message(&[1, 2, 3, 4]));
        assert_eq!(decode(text("b")), message(b""));
        assert_eq!(decode(text("b!")), Err(DecodeError::NotBase64));
    }

    #[test]
    fn garbage_is_named() {
        assert_eq!(decode(text("")), Err(DecodeError::Empty));
        assert_eq!(decode(text("abc")), Err(DecodeError::UnknownType('a')));
        assert_eq!(decode(text("7")), Err(DecodeError::UnknownType('7')));
        assert_eq!(decode(text("éabcd")), Err(DecodeError::UnknownType('é')));
    }
}
