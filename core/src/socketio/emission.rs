//! Emissions: events and answers as they leave, encoded once.

use alloc::{borrow::Cow, format, string::String, vec::Vec};
use core::{fmt, iter};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::{AckId, Namespace, attachment, event::RESERVED_NAMES, packet};
use crate::{
    canonical,
    engineio::{self, packet::Size},
    snapshot, ws,
};

/// Something to send: an event or an acknowledgement, encoded once.
///
/// It holds the whole Engine.IO frame, such as `42/realtime,["name",1]`, and the binary frames that
/// follow it. A clone shares the bytes, and so does every connection it is sent on; only a call
/// copies, because its id stands in the middle of the frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Emission {
    frame: ByteString,
    /// Where in the frame the array starts that goes on to its end.
    payload: usize,
    namespace: Namespace,
    kind: Kind,
    attachments: Vec<Bytes>,
}
canonical!(struct Emission { frame, attachments; - payload, namespace, kind });

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Event,
    Answer,
}

snapshot!(
    enum Kind {
        Event,
        Answer,
    }
);

impl Kind {
    fn on_wire(self, attachments: usize) -> packet::Kind {
        match (self, attachments) {
            (Self::Event, 0) => packet::Kind::Event,
            (Self::Event, _) => packet::Kind::BinaryEvent,
            (Self::Answer, 0) => packet::Kind::Ack,
            (Self::Answer, _) => packet::Kind::BinaryAck,
        }
    }
}

impl Emission {
    /// An event. `args` is a tuple or an array of the arguments after the name: `(&message, 7)`,
    /// `(one,)`, or `()` for none.
    ///
    /// # Errors
    ///
    /// Where `name` is one of [`RESERVED_NAMES`], or `args` is not a tuple or an array, or does
    /// not serialise.
    pub fn event(
        namespace: &Namespace,
        name: &str,
        args: &(impl Serialize + ?Sized),
    ) -> Result<Self, serde_json::Error> {
        let head = Head::event(namespace, name)?;
        Self::new(head, &serde_json::to_string(args)?, Vec::new())
    }

    /// An event with binary attachments. `args` as in [`event`](Self::event), with an
    /// [`Attachment`](super::event::Attachment) wherever one of `attachments` belongs.
    ///
    /// One that has no place in `args` goes along for nothing: the official peers drop it.
    ///
    /// # Errors
    ///
    /// As [`event`](Self::event), and where there are more than
    /// [`ATTACHMENTS_MAX`](packet::ATTACHMENTS_MAX) attachments, or `args` has the place of one
    /// that is not there.
    pub fn event_with(
        namespace: &Namespace,
        name: &str,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
    ) -> Result<Self, serde_json::Error> {
        let head = Head::event(namespace, name)?;
        Self::new(head, &serde_json::to_string(args)?, attachments)?.checked()
    }

    /// The answer to the event that arrived with `ack`. `args` as in [`event`](Self::event).
    ///
    /// # Errors
    ///
    /// Where `args` is not a tuple or an array, or does not serialise.
    pub fn answer(
        namespace: &Namespace,
        ack: AckId,
        args: &(impl Serialize + ?Sized),
    ) -> Result<Self, serde_json::Error> {
        let head = Head::answer(namespace, ack);
        Self::new(head, &serde_json::to_string(args)?, Vec::new())
    }

    /// The answer, with binary attachments, to the event that arrived with `ack`. `args` and
    /// `attachments` as in [`event_with`](Self::event_with).
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer), and where there are more than
    /// [`ATTACHMENTS_MAX`](packet::ATTACHMENTS_MAX) attachments, or `args` has the place of one
    /// that is not there.
    pub fn answer_with(
        namespace: &Namespace,
        ack: AckId,
        args: &(impl Serialize + ?Sized),
        attachments: Vec<Bytes>,
    ) -> Result<Self, serde_json::Error> {
        let head = Head::answer(namespace, ack);
        Self::new(head, &serde_json::to_string(args)?, attachments)?.checked()
    }

    /// From the JSON of the arguments.
    fn new(head: Head<'_>, args: &str, attachments: Vec<Bytes>) -> Result<Self, serde_json::Error> {
        let args = elements_of(args)?;
        let name = head.name.unwrap_or_default();
        // The brackets, the comma, and the quotes of the name, which rarely has escapes.
        let length = name.len() + args.len() + 5;
        let (kind, namespace) = (head.kind, head.namespace);
        let mut frame = open((kind, attachments.len()), namespace, head.ack, length);
        let payload = frame.len();
        frame.push('[');
        if let Some(name) = head.name {
            push_string(name, &mut frame)?;
            if !args.is_empty() {
                frame.push(',');
            }
        }
        frame.push_str(args);
        frame.push(']');
        Ok(Self {
            frame: frame.into(),
            payload,
            namespace: namespace.clone(),
            kind,
            attachments,
        })
    }

    /// Itself, if its attachments are not too many and all have their places.
    fn checked(self) -> Result<Self, serde_json::Error> {
        if self.attachments.len() > packet::ATTACHMENTS_MAX as usize {
            return Err(ser::Error::custom(packet::DecodeError::TooManyAttachments));
        }
        match attachment::check(self.payload(), self.attachments.len()) {
            Ok(()) => Ok(self),
            Err(attachment::Fault::Placeholder) => {
                Err(ser::Error::custom("a placeholder without its attachment"))
            }
            Err(attachment::Fault::TooDeep) => {
                Err(ser::Error::custom("nested too deep for a binary packet"))
            }
        }
    }

    /// The whole JSON array.
    fn payload(&self) -> &str {
        self.frame.get(self.payload..).unwrap_or_default()
    }

    /// The same event with one more argument at the end, under which a client can say that it has
    /// seen it: what the official server does where it offers recovery. An answer stays as it is.
    pub fn with_offset(&self, offset: &str) -> Self {
        let open = self.frame.trim_end().strip_suffix(']');
        let (Some(open), true) = (open, self.is_event()) else {
            return self.clone();
        };
        let offset = serde_json::Value::from(offset);
        let frame = format!("{open},{offset}]");
        Self {
            frame: frame.into(),
            ..self.clone()
        }
    }

    /// Where it goes.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The whole Engine.IO frame, shared. Where there are [`attachments`](Self::attachments), each
    /// is a binary frame that comes right after it, in order.
    pub fn frame(&self) -> ws::Frame {
        ws::Frame::Text(self.frame.clone())
    }

    /// The binary contents that follow the frame.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// The frames of this emission, in order; with an id for its answer, if it is a call.
    pub(super) fn frames(&self, ack: Option<AckId>) -> impl Iterator<Item = ws::Frame> {
        let frame = match ack {
            None => self.frame.clone(),
            Some(_) => {
                let (kind, payload) = ((self.kind, self.attachments.len()), self.payload());
                let mut frame = open(kind, &self.namespace, ack, payload.len());
                frame.push_str(payload);
                frame.into()
            }
        };
        let attachments = self.attachments.iter().cloned().map(ws::Frame::Binary);
        iter::once(ws::Frame::Text(frame)).chain(attachments)
    }

    /// The sizes of [`frames`](Self::frames).
    pub(super) fn sizes(&self, ack: Option<AckId>) -> impl Iterator<Item = Size> {
        let digits = ack.map_or(0, |ack| ack.0.checked_ilog10().unwrap_or(0) + 1);
        let attachments = self.attachments.iter().map(Bytes::len).map(Size::Binary);
        iter::once(Size::Text(self.frame.len() + digits as usize)).chain(attachments)
    }

    /// Whether it can have an answer: it is not one itself.
    pub(super) fn is_event(&self) -> bool {
        match self.kind {
            Kind::Event => true,
            Kind::Answer => false,
        }
    }

    /// How many bytes are held for it.
    pub(super) fn bytes(&self) -> usize {
        let attachments: usize = self.attachments.iter().map(Bytes::len).sum();
        self.frame.len() + attachments
    }
}

/// What stands before the arguments.
struct Head<'a> {
    kind: Kind,
    namespace: &'a Namespace,
    ack: Option<AckId>,
    name: Option<&'a str>,
}

impl<'a> Head<'a> {
    fn event(namespace: &'a Namespace, name: &'a str) -> Result<Self, serde_json::Error> {
        if RESERVED_NAMES.contains(&name) {
            return Err(ser::Error::custom(format_args!(
                "{name:?} is a reserved name"
            )));
        }
        Ok(Self {
            kind: Kind::Event,
            namespace,
            ack: None,
            name: Some(name),
        })
    }

    fn answer(namespace: &'a Namespace, ack: AckId) -> Self {
        Self {
            kind: Kind::Answer,
            namespace,
            ack: Some(ack),
            name: None,
        }
    }
}

/// A frame up to its payload, with room for one of `length` bytes.
fn open(
    (kind, attachments): (Kind, usize),
    namespace: &Namespace,
    ack: Option<AckId>,
    length: usize,
) -> String {
    // Exact where there is neither a count of attachments nor an id, because room to spare makes
    // one more allocation when the text is shared; and enough where there is.
    let name = if namespace.is_root() {
        0
    } else {
        namespace.0.len() + 1
    };
    let count = if attachments == 0 { 0 } else { 21 };
    let id = if ack.is_none() { 0 } else { 20 };
    let mut frame = String::with_capacity(2 + name + count + id + length);
    let kind = kind.on_wire(attachments);
    packet::open_frame(kind, attachments, namespace, ack, &mut frame);
    frame
}

/// Writes a string as JSON.
fn push_string(text: &str, out: &mut String) -> Result<(), serde_json::Error> {
    let escapes = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().any(escapes) {
        out.push_str(&serde_json::to_string(text)?);
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
    Ok(())
}

impl fmt::Debug for Emission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("Emission");
        tuple.field(&self.frame);
        if !self.attachments.is_empty() {
            tuple.field(&self.attachments);
        }
        tuple.finish()
    }
}
/// An emission in a recording.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Recorded<'a> {
    Plain(Cow<'a, str>),
    Binary {
        frame: Cow<'a, str>,
        attachments: Cow<'a, [Bytes]>,
    },
}

impl Serialize for Emission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let frame = Cow::Borrowed(&*self.frame);
        let recorded = if self.attachments.is_empty() {
            Recorded::Plain(frame)
        } else {
            let attachments = Cow::Borrowed(&*self.attachments);
            Recorded::Binary { frame, attachments }
        };
        recorded.serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Emission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (frame, given) = match Recorded::deserialize(deserializer)? {
            Recorded::Plain(frame) => (ByteString::from(&*frame), Vec::new()),
            Recorded::Binary { frame, attachments } => {
                (ByteString::from(&*frame), attachments.into_owned())
            }
        };
        let engine = engineio::packet::decode(ws::Frame::Text(frame.clone()));
        let Ok(engineio::packet::Packet::Message(ws::Frame::Text(text))) = engine else {
            return Err(de::Error::custom("an emission is an Engine.IO message"));
        };
        let (payload, namespace, kind, announced) = match packet::decode(text) {
            Ok(packet::Packet::Event { namespace, event }) if event.ack().is_none() => {
                (event.payload().len(), namespace, Kind::Event, 0)
            }
            Ok(packet::Packet::BinaryEvent {
                attachments,
                namespace,
                event,
            }) if event.ack().is_none() => {
                let payload = event.payload().len();
                (payload, namespace, Kind::Event, attachments as usize)
            }
            Ok(packet::Packet::Answer {
                namespace, answer, ..
            }) => (answer.raw_args().len(), namespace, Kind::Answer, 0),
            Ok(packet::Packet::BinaryAnswer {
                attachments,
                namespace,
                answer,
                ..
            }) => {
                let payload = answer.raw_args().len();
                (payload, namespace, Kind::Answer, attachments as usize)
            }
            Ok(
                packet::Packet::Connect { .. }
                | packet::Packet::Disconnect { .. }
                | packet::Packet::Event { .. }
                | packet::Packet::ConnectError { .. }
                | packet::Packet::BinaryEvent { .. },
            )
            | Err(_) => {
                return Err(de::Error::custom("an emission is an event or an answer"));
            }
        };
        if given.len() != announced {
            return Err(de::Error::custom("not the attachments of the emission"));
        }
        Ok(Self {
            payload: frame.len().saturating_sub(payload),
            namespace,
            kind,
            frame,
            attachments: given,
        })
    }
}

/// What stands between the brackets of the JSON of a tuple or an array; `()` is `null`.
fn elements_of(json: &str) -> Result<&str, serde_json::Error> {
    if json == "null" {
        return Ok("");
    }
    json.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .map(str::trim)
        .ok_or_else(|| ser::Error::custom("arguments must be a tuple or an array"))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{super::event::Attachment, *};

    #[test]
    fn an_emission_is_encoded_once() {
        let realtime = Namespace::new("/realtime").unwrap();
        let emission = Emission::event(&realtime, "a\"b", &("x", 7)).unwrap();
        assert_eq!(emission.frame, r#"42/realtime,["a\"b","x",7]"#);
        let again = emission.clone();
        assert_eq!(emission.frame.as_ptr(), again.frame.as_ptr());
        assert_eq!(
            emission.frames(Some(AckId(12))).collect::<Vec<_>>(),
            [ws::Frame::Text(r#"42/realtime,12["a\"b","x",7]"#.into())]
        );
        let text = serde_json::to_string(&emission).unwrap();
        assert_eq!(serde_json::from_str::<Emission>(&text).unwrap(), emission);
    }

    #[test]
    fn emissions_take_tuples_arrays_and_nothing() {
        let root = Namespace::root();
        let text = |emission: Result<Emission, _>| emission.unwrap().frame;
        assert_eq!(text(Emission::event(&root, "e", &())), r#"42["e"]"#);
        assert_eq!(text(Emission::event(&root, "e", &[0; 0])), r#"42["e"]"#);
        assert_eq!(text(Emission::event(&root, "e", &[[1]])), r#"42["e",[1]]"#);
        assert!(Emission::event(&root, "e", "text").is_err());
        assert!(Emission::event(&root, "connect", &()).is_err());
        let answer = Emission::answer(&root, AckId(456), &("a",)).unwrap();
        assert_eq!(answer.frame, r#"43456["a"]"#);
        assert!(!answer.is_event());
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Emission>(&text).unwrap(), answer);
        for bad in ["", "2", "40", "42{}", "421[\"a\"]"] {
            let text = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<Emission>(&text).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_offset_is_one_more_argument() {
        let a = Namespace::new("/a").unwrap();
        let plain = Emission::event(&a, "e", &()).unwrap();
        let marked = plain.with_offset("1\"2");
        assert_eq!(marked.frame, r#"42/a,["e","1\"2"]"#);
        assert_eq!(marked.payload(), r#"["e","1\"2"]"#);
        let spaced: Emission = serde_json::from_str(r#""42/a,[\"e\", 1 ] ""#).unwrap();
        assert_eq!(spaced.with_offset("7").payload(), r#"["e", 1 ,"7"]"#);
        let contents = vec![Bytes::from_static(b"x")];
        let binary = Emission::event_with(&a, "e", &(Attachment(0),), contents).unwrap();
        let marked = binary.with_offset("7");
        assert_eq!(marked.attachments, binary.attachments);
        let text = serde_json::to_string(&marked).unwrap();
        assert_eq!(serde_json::from_str::<Emission>(&text).unwrap(), marked);
        let answer = Emission::answer(&a, AckId(7), &(1,)).unwrap();
        assert_eq!(answer.with_offset("7"), answer);
    }

    #[test]
    fn attachments_follow_the_frame() {
        let root = Namespace::root();
        let contents = |count: usize| vec![Bytes::from_static(b"\x1e"); count];
        let args = (Attachment(0), [Attachment(1)]);
        let emission = Emission::event_with(&root, "message", &args, contents(2)).unwrap();
        let header = r#"["message",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]"#;
        assert_eq!(emission.frame, ["452-", header].concat());
        let binary = ws::Frame::Binary(Bytes::from_static(b"\x1e"));
        assert_eq!(
            emission.frames(Some(AckId(789))).collect::<Vec<_>>(),
            [
                ws::Frame::Text(["452-789", header].concat().into()),
                binary.clone(),
                binary
            ]
        );
        for ack in [None, Some(0), Some(9), Some(10), Some(u64::MAX)] {
            let ack = ack.map(AckId);
            let frames = emission.frames(ack);
            assert!(emission.sizes(ack).eq(frames.map(|frame| Size::of(&frame))));
        }
        let a = Namespace::new("/a").unwrap();
        let answer = Emission::answer_with(&a, AckId(7), &(Attachment(0),), contents(1)).unwrap();
        assert_eq!(answer.frame, r#"461-/a,7[{"_placeholder":true,"num":0}]"#);
        for whole in [&emission, &answer] {
            let text = serde_json::to_string(whole).unwrap();
            assert_eq!(serde_json::from_str::<Emission>(&text).unwrap(), *whole);
        }
        let plain = Emission::event_with(&root, "e", &(1,), Vec::new()).unwrap();
        assert_eq!(plain.frame, "42[\"e\",1]");

        let max = packet::ATTACHMENTS_MAX as usize;
        let with = |count| Emission::event_with(&root, "e", &(), contents(count));
        assert!(with(max).is_ok());
        assert!(with(max + 1).is_err());
        assert!(Emission::event_with(&root, "e", &args, contents(1)).is_err());
        assert!(Emission::answer_with(&root, AckId(0), &args, contents(1)).is_err());
        for bad in [
            r#""451-[\"e\"]""#,
            r#"{"frame":"451-[\"e\"]","attachments":[]}"#,
            r#"{"frame":"42[\"e\"]","attachments":[[1]]}"#,
        ] {
            assert!(serde_json::from_str::<Emission>(bad).is_err(), "{bad}");
        }
    }
}
