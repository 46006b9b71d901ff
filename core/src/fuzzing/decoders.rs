//! What is read from the wire can be written and read again, and keeps within its frame and limits.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::{fmt::Debug, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use super::frame;
use crate::{
    engineio::{self, HANDSHAKE_BYTES_MAX, Handshake, payload, transport::ServerEvent},
    machine::step,
    socketio::{
        assemble::{Assembler, Limits},
        client,
        event::{Answer, Event},
        hub, manager, packet, server,
        server::{RESUMPTION_BYTES_MAX, Server},
    },
    time::Time,
    ws,
};

/// What was read from an Engine.IO frame can be written and read again, and so can a handshake.
///
/// # Panics
///
/// Where that does not hold.
pub fn engineio_packet(input: &[u8]) {
    let frame = frame(input);
    if let ws::Frame::Text(text) = &frame {
        handshake(text);
    }
    let Ok(packet) = engineio::packet::decode(frame.clone()) else {
        return;
    };
    if let engineio::packet::Packet::Open(content) = &packet {
        handshake(content);
    }
    let encoded = engineio::packet::encode(packet.clone());
    // What stands behind the type of some packets means nothing, and is not kept.
    let is_whole = encoded.len() == frame.len();
    assert!(!is_whole || encoded == frame, "another frame");
    // In a body, binary is base64; a text of that kind is taken too.
    let is_message = matches!(packet, engineio::packet::Packet::Message(_));
    let is_base64 = matches!(&frame, ws::Frame::Text(text) if text.starts_with('b'));
    assert!(is_whole || !is_message || is_base64, "a part of a message");
    assert_eq!(engineio::packet::decode(encoded), Ok(packet));
}

fn handshake(content: &str) {
    if let Ok(handshake) = Handshake::decode(content) {
        assert!(content.len() <= HANDSHAKE_BYTES_MAX);
        assert!(!handshake.sid.is_empty() && handshake.max_payload != Some(0));
        let encoded = handshake.encode();
        if encoded.len() <= HANDSHAKE_BYTES_MAX {
            assert_eq!(Handshake::decode(&encoded), Ok(handshake));
        }
    }
}

/// What was read from an Engine.IO body can be written and read again, whole and in batches.
///
/// # Panics
///
/// Where that does not hold.
pub fn engineio_payload(input: &[u8]) {
    let max = input.len() as u64;
    let Ok(packets) = payload::decode(Bytes::copy_from_slice(input), max) else {
        return;
    };
    assert!(packets.len() <= payload::PACKETS_MAX, "too many packets");
    let less = payload::decode(Bytes::copy_from_slice(input), max.saturating_sub(1));
    assert!(input.is_empty() || less.is_err(), "above the limit");
    let encoded = packets.iter().cloned().map(engineio::packet::encode);
    let mut frames: VecDeque<_> = encoded.collect();
    assert!(frames.iter().all(payload::carries), "a text that cannot be");
    let body = payload::encode(&frames);
    let lengths = frames.iter().map(payload::encoded_len).sum::<u64>();
    assert_eq!(body.len() as u64, lengths + packets.len() as u64 - 1);
    let again = payload::decode(body.into_bytes(), u64::MAX);
    assert_eq!(again.as_ref(), Ok(&packets));
    let mut batched = Vec::new();
    while let Some(first) = frames.front() {
        let most = payload::encoded_len(first).max(max / 2);
        let body = payload::batch(&mut frames, max / 2);
        assert!(body.len() as u64 <= most, "a batch that is too large");
        if let Ok(packets) = payload::decode(body.into_bytes(), most) {
            batched.extend(packets);
        }
    }
    assert_eq!(batched, packets);
}

/// What was read from Socket.IO messages can be written and read again, the arguments of an event
/// can be read, and attachments stay within their limits. The input is messages with 0x1e between
/// them, of which one that starts with `b` is binary; or it is an input of a machine as JSON.
///
/// # Panics
///
/// Where that does not hold.
pub fn socketio_packet(input: &[u8]) {
    if input.starts_with(b"{") {
        recorded::<client::Input>(input);
        recorded::<server::Input>(input);
        recorded::<manager::Input>(input);
        recorded::<hub::Input>(input);
    }
    let limits = Limits {
        count_max: 3,
        bytes_max: 16,
        patience: Duration::from_secs(1),
    };
    let (mut assembler, mut arrived) = (Assembler::new(limits), Vec::new());
    for message in input.split(|byte| *byte == 0x1e) {
        let message = match message.strip_prefix(b"b") {
            Some(bytes) => ws::Frame::Binary(Bytes::copy_from_slice(bytes)),
            None => frame(message),
        };
        if let ws::Frame::Text(text) = &message {
            text_message(text);
        }
        if let ws::Frame::Binary(bytes) = &message {
            arrived.push(bytes.clone());
        }
        match assembler.take(Time::ZERO, message) {
            Ok(Some(whole)) => {
                assert_eq!(assembler.announced(), None);
                assert_eq!(attachments(&whole), arrived, "the attachments as they came");
                let bytes: usize = arrived.iter().map(Bytes::len).sum();
                assert!(arrived.len() <= 3 && bytes <= 16, "above the limit");
                arrived.clear();
            }
            Ok(None) => {
                assert!(assembler.announced().is_some() && assembler.next_wakeup().is_some());
                assert!(arrived.len() < 3, "one too many");
            }
            Err(_) => {
                assembler.clear();
                arrived.clear();
            }
        }
    }
}

fn attachments(packet: &packet::Packet) -> &[Bytes] {
    match packet {
        packet::Packet::Event { event, .. } | packet::Packet::BinaryEvent { event, .. } => {
            event.attachments()
        }
        packet::Packet::Answer { answer, .. } | packet::Packet::BinaryAnswer { answer, .. } => {
            answer.attachments()
        }
        packet::Packet::Connect { .. }
        | packet::Packet::Disconnect { .. }
        | packet::Packet::ConnectError { .. } => &[],
    }
}

fn text_message(text: &ByteString) {
    let Ok(packet) = packet::decode(text.clone()) else {
        return;
    };
    match &packet {
        packet::Packet::Event { event, .. } | packet::Packet::BinaryEvent { event, .. } => {
            arguments(event);
        }
        packet::Packet::Answer { answer, .. } | packet::Packet::BinaryAnswer { answer, .. } => {
            let arguments = answer.args::<Vec<&RawValue>>();
            assert!(arguments.is_ok_and(|it| it.len() == answer.arg_count()));
            let json = serde_json::to_string(answer).unwrap_or_default();
            let again = serde_json::from_str::<Answer>(&json).ok();
            assert_eq!(again.as_ref(), Some(answer));
        }
        packet::Packet::Connect { .. } => connect(text),
        packet::Packet::Disconnect { .. } | packet::Packet::ConnectError { .. } => {}
    }
    assert_eq!(packet::decode(packet::encode(&packet)), Ok(packet));
}

fn arguments(event: &Event) {
    let arguments = event.args::<Vec<&RawValue>>();
    assert!(arguments.is_ok_and(|it| it.len() == event.arg_count()));
    assert!(event.args::<()>().is_ok());
    if let Ok(values) = event.args::<Vec<Value>>() {
        let last = values.last().and_then(Value::as_str);
        let last = last.filter(|_| event.ack().is_none());
        assert_eq!(event.offset().as_deref(), last, "the offset");
    }
}

/// What a server makes of a CONNECT: who the client says that it was is what stands there.
fn connect(text: &ByteString) {
    let mut server = Server::new(server::Config::default(), "x".into(), Time::ZERO);
    let mut out = Vec::new();
    let message = ws::Frame::Text(["4", text].concat().into());
    let event = ServerEvent::WebSocket(ws::Event::Frame(message));
    let input = server::Input::Transport(event);
    step(&mut server, Time::ZERO, Some(input), &mut out);
    for output in out {
        if let server::Output::Admission {
            auth, resumption, ..
        } = output
            && let Some(resumption) = resumption
        {
            let [pid, offset] = [resumption.pid.expose(), &*resumption.offset];
            assert!(pid.len().max(offset.len()) <= RESUMPTION_BYTES_MAX);
            let auth = auth.and_then(|it| serde_json::from_str::<Value>(&it).ok());
            if let Some(auth) = auth {
                let read = ["pid", "offset"].map(|key| auth.get(key).and_then(Value::as_str));
                assert_eq!(read, [Some(pid), Some(offset)]);
            }
        }
    }
}

/// What can be read from a recording can be recorded and read again.
fn recorded<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(input) {
        let line: String = serde_json::to_string(&read).unwrap_or_default();
        let again = serde_json::from_str::<T>(&line).ok();
        assert_eq!(again.as_ref(), Some(&read), "{line}");
    }
}
