//! Engine.IO payloads: how packets stand together in the body of a long-polling request or answer.
//!
//! A body is UTF-8: packets as in text frames, joined by the byte 0x1e, and binary messages as `b`
//! and base64 (protocol, "HTTP long-polling"). It is read only when all of it is there, so it does
//! not matter in which pieces it came. A packet that will be sent is a frame already, as
//! [`packet::encode`] makes it: the same frame goes into a body or onto a WebSocket.

use alloc::{collections::VecDeque, string::String, vec::Vec};

use bytes::Bytes;
use bytestring::ByteString;

use super::{packet, packet::Packet};
use crate::{canonical, ws};

/// What stands between two packets.
pub const SEPARATOR: char = '\u{1e}';

/// How many packets are read from one body. The official peers know no limit and put whatever they
/// have buffered into one; this bounds what a body of nothing but separators can make the reader
/// remember, at about half a megabyte.
pub const PACKETS_MAX: usize = 10_000;

/// What is wrong with a body. The peer is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A body above the limit that was announced in the handshake.
    #[error("a body of {bytes} bytes, above the announced limit of {max}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The announced `maxPayload`.
        max: u64,
    },
    /// More than [`PACKETS_MAX`].
    #[error("a body of {0} packets, above the limit of {PACKETS_MAX}")]
    TooManyPackets(usize),
    /// Not text at all.
    #[error("a body that is not UTF-8")]
    NotUtf8,
    /// A bad packet.
    #[error("packet {at} of the body is bad: {error}")]
    Packet {
        /// Which one, from 0.
        at: usize,
        /// Why.
        error: packet::DecodeError,
    },
}
canonical!(
    enum DecodeError {
        TooLarge { bytes, max },
        TooManyPackets(packets),
        NotUtf8,
        Packet { at, error },
    }
);

/// Reads a whole body of at most `max` bytes. The content of text packets is shared with the body.
///
/// # Errors
///
/// Where the body is too large, holds too many packets, is not UTF-8, or where one of its packets
/// cannot be read: then none of them counts. An empty body is one empty packet.
pub fn decode(body: Bytes, max: u64) -> Result<Vec<Packet>, DecodeError> {
    let bytes = body.len() as u64;
    if bytes > max {
        return Err(DecodeError::TooLarge { bytes, max });
    }
    let separators = body.iter().filter(|byte| **byte == SEPARATOR as u8).count();
    let count = separators + 1;
    if count > PACKETS_MAX {
        return Err(DecodeError::TooManyPackets(count));
    }
    let text = ByteString::try_from(body).map_err(|_| DecodeError::NotUtf8)?;
    let mut packets = Vec::with_capacity(count);
    for (at, part) in text.split(SEPARATOR).enumerate() {
        let packet = packet::decode(ws::Frame::Text(text.slice_ref(part)))
            .map_err(|error| DecodeError::Packet { at, error })?;
        packets.push(packet);
    }
    Ok(packets)
}

/// Writes a body. What stands in a text frame must not hold a [`SEPARATOR`]: see [`carries`].
pub fn encode<'a>(frames: impl IntoIterator<Item = &'a ws::Frame>) -> ByteString {
    let mut body = String::new();
    for (at, frame) in frames.into_iter().enumerate() {
        if at > 0 {
            body.push(SEPARATOR);
        }
        match frame {
            ws::Frame::Text(text) => body.push_str(text),
            ws::Frame::Binary(bytes) => packet::write_base64(bytes, &mut body),
        }
    }
    body.into()
}

/// Writes a body of as many packets as fit into `max` bytes, from the front, and takes them out.
/// The first one is taken however large it is: its size is checked where it is sent.
pub fn batch(frames: &mut VecDeque<ws::Frame>, max: u64) -> ByteString {
    let mut bytes = 0_u64;
    let fitting = frames.iter().enumerate().take_while(|(at, frame)| {
        bytes = bytes.saturating_add(encoded_len(frame) + u64::from(*at > 0));
        *at == 0 || bytes <= max
    });
    let count = fitting.count();
    let taken: Vec<_> = frames.drain(..count).collect();
    encode(&taken)
}

/// How many bytes a packet takes in a body, without a separator.
pub fn encoded_len(frame: &ws::Frame) -> u64 {
    packet::Size::of(frame).in_payload()
}

/// Whether a packet can stand in a body at all: the protocol has no way to write a text that holds
/// a [`SEPARATOR`]. JSON never does.
pub fn carries(frame: &ws::Frame) -> bool {
    match frame {
        ws::Frame::Text(text) => !text.contains(SEPARATOR),
        ws::Frame::Binary(_) => true,
    }
}

/// Every packet of a body, where the body is text.
pub(super) fn texts(body: &[u8], found: &mut dyn FnMut(&str)) {
    if let Ok(text) = core::str::from_utf8(body) {
        text.split(SEPARATOR).for_each(found);
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use super::*;

    fn text(content: &str) -> ws::Frame {
        ws::Frame::Text(content.into())
    }

    fn binary(content: &[u8]) -> ws::Frame {
        ws::Frame::Binary(Bytes::copy_from_slice(content))
    }

    fn read(body: &[u8]) -> Result<Vec<Packet>, DecodeError> {
        decode(Bytes::copy_from_slice(body), 100)
    }

    /// The vectors of engine.io-parser's tests.
    #[test]
    fn payloads_stand_as_the_protocol_says() {
        for (packets, body) in [
            (vec![Packet::Message(text("test"))], "4test"),
            (vec![Packet::Message(binary(&[1, 2, 3, 4]))], "bAQIDBA=="),
            (vec![Packet::Message(binary(b""))], "b"),
            (
                vec![
                    Packet::Open("".into()),
                    Packet::Close,
                    Packet::Ping("probe".into()),
                    Packet::Pong("probe".into()),
                    Packet::Message(text("test")),
                ],
                "0\u{1e}1\u{1e}2probe\u{1e}3probe\u{1e}4test",
            ),
            (
                vec![
                    Packet::Message(text("test")),
                    Packet::Message(binary(&[1, 2, 3, 4])),
                    Packet::Message(text("€")),
                ],
                "4test\u{1e}bAQIDBA==\u{1e}4€",
            ),
        ] {
            let frames: Vec<_> = packets.iter().cloned().map(packet::encode).collect();
            assert_eq!(encode(&frames), body);
            assert_eq!(read(body.as_bytes()), Ok(packets));
        }
    }

    #[test]
    fn padding_may_be_left_out() {
        assert_eq!(
            read(b"bAQIDBA"),
            Ok(vec![Packet::Message(binary(&[1, 2, 3, 4]))])
        );
    }

    #[test]
    fn garbage_is_named_with_its_place() {
        use packet::DecodeError as E;
        for (body, error) in [
            (
                &b""[..],
                DecodeError::Packet {
                    at: 0,
                    error: E::Empty,
                },
            ),
            (
                b"4a\x1e",
                DecodeError::Packet {
                    at: 1,
                    error: E::Empty,
                },
            ),
            (
                b"{",
                DecodeError::Packet {
                    at: 0,
                    error: E::UnknownType('{'),
                },
            ),
            (
                b"4a\x1eb!",
                DecodeError::Packet {
                    at: 1,
                    error: E::NotBase64,
                },
            ),
            (
                b"b\xc3\xa9",
                DecodeError::Packet {
                    at: 0,
                    error: E::NotBase64,
                },
            ),
            (b"4\xff", DecodeError::NotUtf8),
            (
                &[b'4'; 101],
                DecodeError::TooLarge {
                    bytes: 101,
                    max: 100,
                },
            ),
        ] {
            assert_eq!(read(body), Err(error), "{body:?}");
        }
        let many = Bytes::from(vec![b'\x1e'; PACKETS_MAX]);
        let error = DecodeError::TooManyPackets(PACKETS_MAX + 1);
        assert_eq!(
            error.to_string(),
            "a body of 10001 packets, above the limit of 10000"
        );
        assert_eq!(decode(many, u64::MAX), Err(error));
    }

    #[test]
    fn a_batch_takes_what_fits_and_at_least_one() {
        let mut frames = VecDeque::from([text("4aaaaaa"), binary(&[7]), text("4b"), text("4c")]);
        let mut bodies = Vec::new();
        while !frames.is_empty() {
            bodies.push(batch(&mut frames, 8));
        }
        assert_eq!(bodies, ["4aaaaaa", "bBw==\u{1e}4b", "4c"]);
        let mut large = VecDeque::from([text("4aaaaaa"), text("4")]);
        assert_eq!(batch(&mut large, 3), "4aaaaaa");
        assert_eq!(large.len(), 1);
        assert_eq!(batch(&mut VecDeque::new(), 3), "");
    }

    #[test]
    fn a_text_with_the_separator_cannot_be_carried() {
        assert!(!carries(&text("4a\u{1e}b")));
        assert!(carries(&text("4a")) && carries(&binary(b"\x1e")));
    }
}
