//! What a codec read, in words that both sides share.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use bytestring::ByteString;
use selvedge_core::{
    Time,
    engineio::{packet, payload},
    socketio::{
        CloseReason,
        assemble::{Assembler, Limits},
        event::Attachment,
        packet::Packet,
    },
    ws,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::peer::{Answer, written};

/// A packet that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Its type, as the official parser calls it; a packet with attachments is called as one
    /// without.
    pub kind: String,
    /// Of a Socket.IO packet.
    #[serde(default)]
    pub namespace: String,
    /// The number for its answer, if there is one.
    #[serde(default)]
    pub id: Option<String>,
    /// The name of an event, or the message of a refusal.
    #[serde(default)]
    pub name: String,
    /// The content of an Engine.IO packet as [`written`], or the JSON text of the payload, with
    /// binary content as `{"$bytes":BASE64}`. Empty where there is none.
    #[serde(default)]
    pub data: String,
}

impl Reading {
    /// The JSON texts that are to be brought into one form before this is compared.
    pub fn json(&self) -> Vec<String> {
        vec![self.data.clone(), self.name.clone()]
    }

    /// Whether `other` says the same, when [`json`](Self::json) of this one in one form is `json`.
    ///
    /// Ids are numbers in JavaScript; a name that is JSON stands for the JSON.
    pub fn is(&self, json: &[Option<String>], other: &Self) -> bool {
        let number = |id: &Option<String>| id.as_ref().and_then(|id| id.parse::<f64>().ok());
        let form = |at: usize| json.get(at).and_then(Option::as_deref);
        self.kind == other.kind
            && self.namespace == other.namespace
            && self.id.is_some() == other.id.is_some()
            && number(&self.id) == number(&other.id)
            && (self.name == other.name || form(1) == Some(&*other.name))
            && form(0).unwrap_or_default() == other.data
    }
}

/// What came of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These packets.
    Read(Vec<Reading>),
    /// Nothing, and why.
    Refused(String),
}

impl Outcome {
    /// What the official parser said.
    pub fn of(answer: &Answer) -> Self {
        match &answer.error {
            Some(error) => Self::Refused(error.clone()),
            None => Self::Read(answer.packets.clone()),
        }
    }

    /// What was read, or nothing.
    pub fn packets(&self) -> &[Reading] {
        match self {
            Self::Read(packets) => packets,
            Self::Refused(_) => &[],
        }
    }

    /// Why nothing was.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Read(_) => None,
            Self::Refused(error) => Some(error),
        }
    }
}

/// What our codec reads from an Engine.IO frame.
pub fn engine_packet(frame: ws::Frame) -> Outcome {
    match packet::decode(frame) {
        Ok(packet) => Outcome::Read(vec![engine_reading(&packet)]),
        Err(error) => Outcome::Refused(format!("{error:?}")),
    }
}

/// What our codec reads from an Engine.IO body.
pub fn engine_payload(body: Bytes) -> Outcome {
    match payload::decode(body, u64::MAX) {
        Ok(packets) => Outcome::Read(packets.iter().map(engine_reading).collect()),
        Err(error) => Outcome::Refused(format!("{error:?}")),
    }
}

/// An Engine.IO packet in the shared words.
pub fn engine_reading(packet: &packet::Packet) -> Reading {
    use packet::Packet as P;
    let data = match packet {
        P::Open(text) | P::Ping(text) | P::Pong(text) => written(&ws::Frame::Text(text.clone())),
        P::Message(frame) => written(frame),
        P::Close | P::Upgrade | P::Noop => written(&ws::Frame::Text(ByteString::new())),
    };
    Reading {
        kind: packet.name().into(),
        data,
        ..Reading::default()
    }
}

/// What our codec reads from a Socket.IO message and as many attachments as that announces: the
/// contents that `parsers.mjs` gives too.
pub fn socket_packet(text: ByteString) -> Outcome {
    let mut assembler = Assembler::new(Limits::default());
    let mut taken = assembler.take(Time::ZERO, ws::Frame::Text(text));
    let mut number = 0_u8;
    while assembler.announced().is_some() && taken == Ok(None) {
        let content = vec![number; usize::from(number % 4)];
        taken = assembler.take(Time::ZERO, ws::Frame::Binary(content.into()));
        number += 1;
    }
    match taken {
        Ok(packet) => Outcome::Read(packet.iter().map(socket_reading).collect()),
        Err(CloseReason::BadPacket(error)) => Outcome::Refused(format!("{error:?}")),
        Err(error) => Outcome::Refused(format!("{error:?}")),
    }
}

/// A Socket.IO packet in the shared words.
pub fn socket_reading(packet: &Packet) -> Reading {
    let text = |text: &Option<ByteString>| text.as_deref().map(str::to_owned).unwrap_or_default();
    let of = |kind: &str, namespace: &dyn ToString| Reading {
        kind: kind.into(),
        namespace: namespace.to_string(),
        ..Reading::default()
    };
    match packet {
        Packet::Connect { namespace, payload } => Reading {
            data: text(payload),
            ..of("CONNECT", namespace)
        },
        Packet::Disconnect { namespace } => of("DISCONNECT", namespace),
        Packet::ConnectError {
            namespace,
            message,
            data,
        } => Reading {
            name: message.to_string(),
            data: text(data),
            ..of("CONNECT_ERROR", namespace)
        },
        Packet::Event { namespace, event }
        | Packet::BinaryEvent {
            namespace, event, ..
        } => Reading {
            id: event.ack().map(|ack| ack.number().to_string()),
            name: event.name().into(),
            data: filled(&format!("[{}]", event.raw_args()), event.attachments()),
            ..of("EVENT", namespace)
        },
        Packet::Answer {
            namespace,
            ack,
            answer,
        }
        | Packet::BinaryAnswer {
            namespace,
            ack,
            answer,
            ..
        } => Reading {
            id: Some(ack.number().to_string()),
            data: filled(answer.raw_args(), answer.attachments()),
            ..of("ACK", namespace)
        },
    }
}

/// `json` with the attachments in the places of their placeholders. It stays text, so that nothing
/// is lost which Rust cannot hold.
pub fn filled(json: &str, attachments: &[Bytes]) -> String {
    if attachments.is_empty() {
        return json.into();
    }
    if let Ok(place) = serde_json::from_str::<Attachment>(json)
        && let Some(content) = attachments.get(place.0)
    {
        return format!("{{\"$bytes\":\"{}\"}}", BASE64_STANDARD.encode(content));
    }
    let fill = |part: &RawValue| filled(part.get(), attachments);
    if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) {
        let elements: Vec<String> = elements.into_iter().map(fill).collect();
        format!("[{}]", elements.join(","))
    } else if let Ok(Entries(entries)) = serde_json::from_str(json) {
        let entries = entries.into_iter();
        let entries: Vec<String> = entries
            .map(|(key, value)| format!("{}:{}", key.get(), fill(value)))
            .collect();
        format!("{{{}}}", entries.join(","))
    } else {
        json.into()
    }
}

/// The entries of an object in their order, keys as they are written.
struct Entries<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
