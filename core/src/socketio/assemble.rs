//! The reassembly of packets with binary attachments: a header, then one binary message for each.

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    CloseReason, Namespace, packet,
    packet::{Kind, Packet},
};
use crate::{canonical, machine::Wakeup, time::Time, ws};

/// What the attachments of one packet may come to: 10,000,000 bytes by default, ten messages of the
/// official server's default size.
pub const ATTACHMENTS_BYTES_MAX: usize = 10_000_000;

/// From the header of a packet to its last attachment: 45 s by default, as long as a peer may take
/// over a CONNECT. The official peers wait for ever.
pub const ATTACHMENTS_TIMEOUT: Duration = Duration::from_secs(45);

/// What a peer may make this end hold while the attachments of a packet arrive. There is one such
/// packet at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many attachments a packet may announce; [`packet::ATTACHMENTS_MAX`] by default. Raised,
    /// a peer can make this end keep more small pieces.
    pub count_max: u32,
    /// How many bytes they may have together; [`ATTACHMENTS_BYTES_MAX`] by default. Each connection
    /// can make the process hold as much.
    pub bytes_max: usize,
    /// How long they may take to arrive; [`ATTACHMENTS_TIMEOUT`] by default. Raise it for slow
    /// lines; until it runs out, a peer that stops in the middle holds what has arrived.
    pub patience: Duration,
}
canonical!(struct Limits { count_max, bytes_max, patience });

impl Default for Limits {
    fn default() -> Self {
        Self {
            count_max: packet::ATTACHMENTS_MAX,
            bytes_max: ATTACHMENTS_BYTES_MAX,
            patience: ATTACHMENTS_TIMEOUT,
        }
    }
}

/// Turns messages into packets: a part, which the ends of a connection own. What it refuses ends the
/// connection, and then it is to be [cleared](Self::clear).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembler {
    limits: Limits,
    /// In a box, because it is large and hardly ever there.
    partial: Option<Box<Partial>>,
}
canonical!(struct Assembler { limits, partial });

/// A packet whose attachments have not all arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Partial {
    header: Packet,
    missing: u32,
    arrived: Vec<Bytes>,
    /// How many more bytes may arrive.
    room: usize,
    expires_at: Time,
}
canonical!(struct Partial { header, missing, arrived, room, expires_at });

impl Assembler {
    /// With nothing announced.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            partial: None,
        }
    }

    /// Takes a message: the packet that is complete with it, if there is one.
    ///
    /// # Errors
    ///
    /// Where it is not a packet, or not what is due after the one before.
    pub fn take(&mut self, now: Time, message: ws::Frame) -> Result<Option<Packet>, CloseReason> {
        match message {
            ws::Frame::Text(text) => self.take_text(now, text),
            ws::Frame::Binary(bytes) => self.take_binary(bytes),
        }
    }

    fn take_text(&mut self, now: Time, text: ByteString) -> Result<Option<Packet>, CloseReason> {
        if self.partial.is_some() {
            return Err(CloseReason::MissingAttachments);
        }
        let packet =
            packet::decode_with(text, self.limits.count_max).map_err(CloseReason::BadPacket)?;
        match &packet {
            Packet::BinaryEvent { attachments, .. } | Packet::BinaryAnswer { attachments, .. } => {
                self.partial = Some(Box::new(Partial {
                    missing: *attachments,
                    arrived: Vec::new(),
                    room: self.limits.bytes_max,
                    expires_at: now + self.limits.patience,
                    header: packet,
                }));
                Ok(None)
            }
            Packet::Connect { .. }
            | Packet::Disconnect { .. }
            | Packet::Event { .. }
            | Packet::Answer { .. }
            | Packet::ConnectError { .. } => Ok(Some(packet)),
        }
    }

    fn take_binary(&mut self, bytes: Bytes) -> Result<Option<Packet>, CloseReason> {
        let partial = self.partial.as_mut().ok_or(CloseReason::Binary)?;
        partial.room = partial
            .room
            .checked_sub(bytes.len())
            .ok_or(CloseReason::AttachmentsTooLarge)?;
        partial.arrived.push(bytes);
        partial.missing -= 1;
        if partial.missing > 0 {
            return Ok(None);
        }
        Ok(self.partial.take().map(|whole| {
            let mut packet = whole.header;
            match &mut packet {
                Packet::BinaryEvent { event, .. } => event.attach(whole.arrived),
                Packet::BinaryAnswer { answer, .. } => answer.attach(whole.arrived),
                Packet::Connect { .. }
                | Packet::Disconnect { .. }
                | Packet::Event { .. }
                | Packet::Answer { .. }
                | Packet::ConnectError { .. } => {}
            }
            packet
        }))
    }

    /// What kind of packet waits for its attachments, and where it belongs.
    pub fn announced(&self) -> Option<(Kind, &Namespace)> {
        match &self.partial.as_ref()?.header {
            Packet::BinaryEvent { namespace, .. } => Some((Kind::BinaryEvent, namespace)),
            Packet::BinaryAnswer { namespace, .. } => Some((Kind::BinaryAck, namespace)),
            Packet::Connect { .. }
            | Packet::Disconnect { .. }
            | Packet::Event { .. }
            | Packet::Answer { .. }
            | Packet::ConnectError { .. } => None,
        }
    }

    /// Forgets what has arrived.
    pub fn clear(&mut self) {
        self.partial = None;
    }

    /// Whether the attachments have taken too long.
    ///
    /// # Errors
    ///
    /// Where they have.
    pub fn expire(&self, now: Time) -> Result<(), CloseReason> {
        match &self.partial {
            Some(partial) if partial.expires_at <= now => Err(CloseReason::AttachmentsTimeout),
            Some(_) | None => Ok(()),
        }
    }

    /// When [`expire`](Self::expire) is due.
    pub fn next_wakeup(&self) -> Option<Wakeup> {
        self.partial.as_ref().map(|partial| Wakeup {
            at: partial.expires_at,
            why: "socket.io attachments timeout",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        r#"52-/a,7["x",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;

    fn assembler() -> Assembler {
        Assembler::new(Limits {
            bytes_max: 5,
            ..Limits::default()
        })
    }

    fn text(content: &str) -> ws::Frame {
        ws::Frame::Text(content.into())
    }

    fn binary(content: &'static [u8]) -> ws::Frame {
        ws::Frame::Binary(Bytes::from_static(content))
    }

    fn take(assembler: &mut Assembler, message: ws::Frame) -> Result<Option<Packet>, CloseReason> {
        assembler.take(Time::ZERO, message)
    }

    #[test]
    fn a_packet_is_complete_with_its_last_attachment() {
        let mut assembler = assembler();
        let before = assembler.clone();
        assert_eq!(take(&mut assembler, text(HEADER)), Ok(None));
        let where_to = Namespace::new("/a").unwrap();
        assert_eq!(assembler.announced(), Some((Kind::BinaryEvent, &where_to)));
        assert_eq!(take(&mut assembler, binary(b"")), Ok(None));
        let Ok(Some(Packet::BinaryEvent { event, .. })) = take(&mut assembler, binary(b"\x1e1234"))
        else {
            panic!("not complete: {assembler:?}");
        };
        assert_eq!(event.attachments(), [&b""[..], b"\x1e1234"]);
        assert_eq!(assembler, before);
        assert_eq!(take(&mut assembler, text("61-/a,7[]")), Ok(None));
        let Ok(Some(Packet::BinaryAnswer { answer, .. })) = take(&mut assembler, binary(b"1"))
        else {
            panic!("not complete: {assembler:?}");
        };
        assert_eq!(answer.attachments(), [&b"1"[..]]);
        let plain = take(&mut assembler, text("2[\"a\"]"));
        assert!(matches!(plain, Ok(Some(Packet::Event { .. }))));
    }

    #[test]
    fn what_does_not_belong_is_named() {
        let mut assembler = assembler();
        let stray = take(&mut assembler, binary(b"1"));
        assert_eq!(stray, Err(CloseReason::Binary));
        let bad = text(r#"51-["x",{"_placeholder":true,"num":1}]"#);
        assert_eq!(
            take(&mut assembler, bad),
            Err(CloseReason::BadPacket(packet::DecodeError::BadPlaceholder))
        );
        assert_eq!(take(&mut assembler, text(HEADER)), Ok(None));
        let mut other = assembler.clone();
        assert_eq!(
            take(&mut other, text("2[\"a\"]")),
            Err(CloseReason::MissingAttachments)
        );
        assert_eq!(take(&mut assembler, binary(b"123")), Ok(None));
        assert_eq!(
            take(&mut assembler, binary(b"123")),
            Err(CloseReason::AttachmentsTooLarge)
        );
    }

    #[test]
    fn attachments_arrive_in_time() {
        let mut assembler = assembler();
        assert_eq!(assembler.next_wakeup(), None);
        let start = Time::from_millis(7);
        assert_eq!(assembler.take(start, text(HEADER)), Ok(None));
        let end = start + ATTACHMENTS_TIMEOUT;
        assert_eq!(assembler.next_wakeup().unwrap().at, end);
        assert_eq!(assembler.expire(start), Ok(()));
        assert_eq!(assembler.expire(end), Err(CloseReason::AttachmentsTimeout));
        assembler.clear();
        assert_eq!(assembler.next_wakeup(), None);
    }
}
