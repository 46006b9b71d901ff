//! Random packets of both protocols, every type of them, and how each is to stand on the wire.

#![expect(
    clippy::expect_used,
    reason = "a helper of tests fails the test: what is made here can be sent"
)]

use bytes::Bytes;
use selvedge_core::{
    Rng, engineio,
    socketio::{
        AckId, Namespace,
        event::{Attachment, Emission},
        packet,
    },
    ws,
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};
use serde_json::{json, value::RawValue};

use super::readings::filled;

/// One of `items`.
///
/// # Panics
///
/// If there is none.
pub fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    let at = rng.below(items.len() as u64) as usize;
    items.get(at).copied().expect("something to pick from")
}

/// Pieces that strings are made of.
const PIECES: &[&str] = &[
    "a",
    "Z",
    "0",
    "7",
    " ",
    "\"",
    "\\",
    "/",
    ",",
    "-",
    "{",
    "]",
    "\n",
    "\t",
    "\u{8}",
    "\u{c}",
    "\0",
    "\u{1f}",
    "\u{7f}",
    "\u{80}",
    "é",
    "ß",
    "€",
    "\u{2028}",
    "\u{feff}",
    "\u{fffd}",
    "\u{ffff}",
    "😀",
    "👩‍🚀",
    "word",
    "null",
    "\\u0041",
];

/// A string with something odd in it.
pub fn text(rng: &mut Rng) -> String {
    let count = rng.below(6);
    (0..count).map(|_| pick(rng, PIECES)).collect()
}

/// Names of namespaces that could be taken for something else.
const NAMESPACES: &[&str] = &[
    "/",
    "/",
    "/",
    "/a",
    "/chat",
    "/a?b=c&d",
    "//",
    "/a/b",
    "/1",
    "/-",
    "/ ",
    "/[",
    "/{\"a\":1}",
    "/\"",
    "/😀",
    "/é€",
    "/\u{feff}",
    "/0-",
    "/\\u0041",
    "/_placeholder",
];

/// JSON that Rust cannot hold, or that the two sides write differently.
const ODD: &[&str] = &[
    "\"\\ud83d\"",
    "\"\\udc00x\"",
    "1e999",
    "-0",
    "1.50",
    "1E+2",
    "123456789012345678901234567890",
    "\"\\u0041\\/\"",
];

/// Any JSON, with the places of attachments.
#[derive(Clone, Debug)]
enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Odd(&'static str),
    Place(usize),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Json {
    fn any(rng: &mut Rng, depth: u64, attachments: &mut Attachments) -> Self {
        match rng.below(if depth == 0 { 12 } else { 20 }) {
            0 => Self::Null,
            1 => Self::Bool(rng.chance(1, 2)),
            2 | 3 => Self::Int(rng.below(2_000) as i64 - 1_000),
            4 => Self::Int((rng.next_u64() >> rng.below(64)) as i64),
            5 => Self::Float(f64::from_bits(rng.next_u64())),
            6 => Self::Odd(pick(rng, ODD)),
            7 | 8 => attachments.place(rng),
            9..12 => Self::Text(text(rng)),
            12..16 => Self::list(rng, depth - 1, attachments),
            _ => Self::map(rng, depth - 1, attachments),
        }
    }

    fn list(rng: &mut Rng, depth: u64, attachments: &mut Attachments) -> Self {
        let count = rng.below(4);
        Self::List(
            (0..count)
                .map(|_| Self::any(rng, depth, attachments))
                .collect(),
        )
    }

    fn map(rng: &mut Rng, depth: u64, attachments: &mut Attachments) -> Self {
        let count = rng.below(4);
        let entries = (0..count).map(|_| (text(rng), Self::any(rng, depth, attachments)));
        Self::Map(entries.collect())
    }

    fn deep(levels: usize) -> Self {
        (0..levels).fold(Self::Int(1), |inner, level| match level % 2 {
            0 => Self::List(vec![inner]),
            _ => Self::Map(vec![("a".into(), inner)]),
        })
    }

    /// Whether both sides write the same bytes: JavaScript writes numbers as f64 and sorts keys
    /// that are numbers to the front, and of two keys alike it has the last one only.
    fn is_canonical(&self) -> bool {
        match self {
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::Place(_) => true,
            Self::Int(number) => number.unsigned_abs() <= 1 << 53,
            Self::Float(_) | Self::Odd(_) => false,
            Self::List(elements) => elements.iter().all(Self::is_canonical),
            Self::Map(entries) => entries.iter().enumerate().all(|(at, (key, value))| {
                let mut before = entries.iter().take(at);
                key.parse::<u64>().is_err()
                    && before.all(|(other, _)| other != key)
                    && value.is_canonical()
            }),
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Odd(json) => {
                let raw: &RawValue = serde_json::from_str(json).expect("JSON");
                raw.serialize(serializer)
            }
            Self::Place(number) => Attachment(*number).serialize(serializer),
            Self::List(elements) => {
                let mut list = serializer.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    list.serialize_element(element)?;
                }
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// The attachments of one packet.
struct Attachments {
    max: usize,
    contents: Vec<Bytes>,
}

impl Attachments {
    fn place(&mut self, rng: &mut Rng) -> Json {
        if self.contents.len() >= self.max {
            return Json::Null;
        }
        let length = rng.below(6);
        let content: Vec<u8> = (0..length).map(|_| rng.next_u32() as u8).collect();
        self.contents.push(content.into());
        Json::Place(self.contents.len() - 1)
    }
}

/// A Socket.IO packet to send.
#[derive(Clone, Debug)]
pub struct SocketPacket {
    /// As the official parser calls it.
    pub kind: &'static str,
    /// Where.
    pub namespace: Namespace,
    /// The number for its answer, or that it answers.
    pub id: Option<u64>,
    /// The name of an event, or the message of a refusal.
    pub name: String,
    /// The attachments.
    pub attachments: Vec<Bytes>,
    data: Option<Json>,
}

impl SocketPacket {
    /// Any that can be sent.
    ///
    /// # Panics
    ///
    /// Never: the names are good.
    pub fn any(rng: &mut Rng) -> Self {
        let kind = pick(
            rng,
            &[
                "CONNECT",
                "DISCONNECT",
                "EVENT",
                "EVENT",
                "EVENT",
                "ACK",
                "ACK",
                "CONNECT_ERROR",
            ],
        );
        let takes_attachments = matches!(kind, "EVENT" | "ACK") && rng.chance(1, 2);
        let mut attachments = Attachments {
            max: if takes_attachments { 10 } else { 0 },
            contents: Vec::new(),
        };
        let wants_id = kind == "ACK" || kind == "EVENT" && rng.chance(1, 2);
        let id = wants_id.then(|| rng.next_u64() >> (11 + rng.below(53)));
        let data = match kind {
            "CONNECT" => rng
                .chance(2, 3)
                .then(|| Json::map(rng, 2, &mut attachments)),
            "CONNECT_ERROR" => rng
                .chance(1, 2)
                .then(|| Json::map(rng, 2, &mut attachments)),
            "DISCONNECT" => None,
            _ if rng.chance(1, 40) => Some(Json::List(vec![Json::deep(rng.below(120) as usize)])),
            _ => Some(Json::list(rng, 4, &mut attachments)),
        };
        Self {
            kind,
            namespace: Namespace::new(pick(rng, NAMESPACES)).expect("a name"),
            id,
            name: match kind {
                "EVENT" | "CONNECT_ERROR" => text(rng),
                _ => String::new(),
            },
            attachments: attachments.contents,
            data,
        }
    }

    /// Its digit on the wire.
    fn digit(&self) -> u8 {
        match self.kind {
            "CONNECT" => 0,
            "DISCONNECT" => 1,
            "EVENT" => 2 + 3 * u8::from(!self.attachments.is_empty()),
            "ACK" => 3 + 3 * u8::from(!self.attachments.is_empty()),
            _ => 4,
        }
    }

    /// Whether both sides write the same bytes.
    pub fn is_canonical(&self) -> bool {
        self.data.as_ref().is_none_or(Json::is_canonical)
    }

    /// Its JSON as we send it, with placeholders; empty where there is none.
    fn payload(&self) -> String {
        let data = self
            .data
            .as_ref()
            .map(|data| serde_json::to_string(data).expect("any JSON can be written"));
        match (self.kind, data) {
            ("EVENT", Some(data)) => {
                let args = data.strip_prefix('[').unwrap_or_default();
                let comma = if args == "]" { "" } else { "," };
                format!("[{}{comma}{args}", json!(self.name))
            }
            ("CONNECT_ERROR", Some(data)) => {
                format!("{{\"message\":{},\"data\":{data}}}", json!(self.name))
            }
            ("CONNECT_ERROR", None) => json!({ "message": self.name }).to_string(),
            (_, data) => data.unwrap_or_default(),
        }
    }

    /// The JSON that a reader is to have of it, beside the name: as in a
    /// [`Reading`](super::readings::Reading).
    pub fn data(&self) -> String {
        let data = self
            .data
            .as_ref()
            .map(|data| serde_json::to_string(data).expect("any JSON can be written"));
        filled(&data.unwrap_or_default(), &self.attachments)
    }

    /// As the official parser takes it to write it.
    pub fn for_npm(&self) -> serde_json::Value {
        let data = filled(&self.payload(), &self.attachments);
        json!({
            "type": self.kind,
            "nsp": self.namespace.as_str(),
            "id": self.id,
            "data": (!data.is_empty()).then_some(data),
        })
    }

    /// Its text on the wire, written plainly.
    pub fn text(&self) -> String {
        let mut text = self.digit().to_string();
        if !self.attachments.is_empty() {
            text += &format!("{}-", self.attachments.len());
        }
        if !self.namespace.is_root() {
            text += &format!("{},", self.namespace);
        }
        if let Some(id) = self.id {
            text += &id.to_string();
        }
        text + &self.payload()
    }

    /// Its frames as our codec writes them. An event has no id there: only a session gives it one.
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn frames(&self) -> Vec<ws::Frame> {
        use packet::Packet;
        let namespace = self.namespace.clone();
        let data = self.data.clone().unwrap_or(Json::List(Vec::new()));
        let payload = || self.data.as_ref().map(|_| self.data().into());
        let emission = match self.kind {
            "EVENT" => {
                let contents = self.attachments.clone();
                Emission::event_with(&namespace, &self.name, &data, contents)
            }
            "ACK" => {
                let ack = AckId::from_number(self.id.unwrap_or_default());
                Emission::answer_with(&namespace, ack, &data, self.attachments.clone())
            }
            "CONNECT" => {
                let payload = payload();
                return message(packet::encode(&Packet::Connect { namespace, payload }));
            }
            "DISCONNECT" => return message(packet::encode(&Packet::Disconnect { namespace })),
            _ => {
                return message(packet::encode(&Packet::ConnectError {
                    namespace,
                    message: self.name.as_str().into(),
                    data: payload(),
                }));
            }
        };
        let emission = emission.expect("it can be sent");
        let frame = engineio::packet::decode(emission.frame());
        let Ok(engineio::packet::Packet::Message(header)) = frame else {
            return Vec::new();
        };
        let contents = emission.attachments().iter().cloned();
        let contents = contents.map(ws::Frame::Binary);
        [header].into_iter().chain(contents).collect()
    }
}

fn message(text: bytestring::ByteString) -> Vec<ws::Frame> {
    vec![ws::Frame::Text(text)]
}

/// Any Engine.IO packet.
pub fn engine_packet(rng: &mut Rng) -> engineio::packet::Packet {
    use engineio::packet::Packet;
    match rng.below(10) {
        0 => Packet::Open(text(rng).into()),
        1 => Packet::Close,
        2 => Packet::Ping(pick(rng, &["", "probe"]).into()),
        3 => Packet::Pong(pick(rng, &["", "probe"]).into()),
        4 => Packet::Upgrade,
        5 => Packet::Noop,
        6 | 7 => Packet::Message(ws::Frame::Text(SocketPacket::any(rng).text().into())),
        8 => Packet::Message(ws::Frame::Text(text(rng).into())),
        _ => {
            let length = rng.below(12);
            let content: Vec<u8> = (0..length).map(|_| rng.next_u32() as u8).collect();
            Packet::Message(ws::Frame::Binary(content.into()))
        }
    }
}
