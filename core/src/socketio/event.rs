//! Events and answers as they arrive: JSON arrays, kept as text, with their attachments.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::{fmt, marker::PhantomData, ops::Range};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de,
    de::{IgnoredAny, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{AckId, packet};
pub use super::{attachment::Attachment, emission::Emission};
use crate::{
    canon::{Canon, Canonical},
    canonical, json,
    snapshot::{LoadError, Saver, Snapshot, Value},
};

/// Names that the official peers keep for themselves: an event with one of them is refused, in
/// both directions (socket.io-parser, `RESERVED_EVENTS`).
pub const RESERVED_NAMES: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// An event that arrived. It owns its frame and shares it when it is cloned; nothing is copied or
/// decoded until it is asked for.
#[derive(Clone, Debug)]
pub struct Event {
    /// The packet it came in; the other places are places in it.
    packet: ByteString,
    /// Where the array starts that goes on to the end.
    payload: usize,
    name: Name,
    arguments: Range<usize>,
    count: usize,
    ack: Option<AckId>,
    attachments: Vec<Bytes>,
}

#[derive(Clone, Debug)]
enum Name {
    Plain(Range<usize>),
    /// On the wire it has escapes.
    Escaped(String),
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (self.payload(), self.ack, &self.attachments)
            == (other.payload(), other.ack, &other.attachments)
    }
}
impl Eq for Event {}

impl Canonical for Event {
    fn canonical(&self, canon: &mut Canon) {
        self.payload().canonical(canon);
        self.ack.canonical(canon);
        self.attachments.canonical(canon);
    }
}

/// Its packet is read again.
impl Snapshot for Event {
    fn save(&self, saver: &mut Saver) -> Value {
        let Self {
            packet,
            payload,
            ack,
            attachments,
            ..
        } = self;
        let packet = (packet.clone(), *payload);
        (packet, *ack, attachments.clone()).save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        let ((packet, payload), ack, attachments) = Snapshot::load(tree)?;
        let mut event = Self::decode(packet, payload, ack).map_err(|_| LoadError::default())?;
        event.attach(attachments);
        Ok(event)
    }
}

impl Event {
    /// Reads an event packet from where its payload starts: an array whose first element is the
    /// name.
    ///
    /// A name may be a number, as in the official parser; its text is taken for the name.
    pub(super) fn decode(
        packet: ByteString,
        payload: usize,
        ack: Option<AckId>,
    ) -> Result<Self, packet::DecodeError> {
        const BAD: packet::DecodeError = packet::DecodeError::BadPayload(packet::Kind::Event);
        let (mut first, mut arguments, mut count) = (None, 0..0, 0);
        json::elements(&packet, payload, |place| {
            if first.is_none() {
                first = Some(place);
                return;
            }
            if count == 0 {
                arguments.start = place.start;
            }
            arguments.end = place.end;
            count += 1;
        })
        .ok_or(BAD)?;
        let first = first.ok_or(BAD)?;
        let json = packet.get(first.clone()).unwrap_or_default();
        let name = match json.as_bytes() {
            [b'"', plain @ .., b'"'] if !plain.contains(&b'\\') => {
                Name::Plain(first.start + 1..first.end - 1)
            }
            [b'"', ..] => Name::Escaped(serde_json::from_str(json).map_err(|_| BAD)?),
            [b'-' | b'0'..=b'9', ..] => Name::Plain(first),
            _ => return Err(BAD),
        };
        let event = Self {
            packet,
            payload,
            name,
            arguments,
            count,
            ack,
            attachments: Vec::new(),
        };
        let name = event.name();
        match RESERVED_NAMES.into_iter().find(|it| name == *it) {
            Some(reserved) => Err(packet::DecodeError::ReservedName(reserved)),
            None => Ok(event),
        }
    }

    /// Hands over the attachments that its header has announced.
    pub(super) fn attach(&mut self, attachments: Vec<Bytes>) {
        self.attachments = attachments;
    }

    /// What the event is called.
    pub fn name(&self) -> &str {
        match &self.name {
            Name::Plain(place) => self.packet.get(place.clone()).unwrap_or_default(),
            Name::Escaped(name) => name,
        }
    }

    /// The arguments after the name, as a tuple: `event.args::<(Message, u64)>()`.
    ///
    /// One argument is a tuple of one, `(Message,)`; none is `()`. Strings are borrowed from the
    /// frame where `T` borrows. Surplus arguments at the end are tolerated: a server with
    /// connection-state recovery appends an offset that nobody asked for.
    ///
    /// # Errors
    ///
    /// Where the arguments are not what `T` expects: too few, or of another type.
    pub fn args<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        arguments_of(self.payload(), 1)
    }

    /// The arguments after the name as they stand on the wire: JSON values with commas between
    /// them, without the brackets. Empty where there are none.
    ///
    /// This costs nothing. As `&RawValue`, [`Event::args`] lends them, for one more walk by
    /// `serde_json`: it has no documented way to make one of what was walked already.
    pub fn raw_args(&self) -> &str {
        self.packet.get(self.arguments.clone()).unwrap_or_default()
    }

    /// How many arguments there are after the name.
    pub fn arg_count(&self) -> usize {
        self.count
    }

    /// Where the event stands in the server's log, if connection-state recovery is on there: the
    /// last argument, if that is a string.
    ///
    /// The server gives every event an offset that is neither volatile nor to be answered, and
    /// nothing tells an offset from a string of the application: of a volatile event that ends in a
    /// string this is that string, here as in the official client. An event that is to be answered
    /// has none.
    pub fn offset(&self) -> Option<Cow<'_, str>> {
        if self.ack.is_some() {
            return None;
        }
        let open = self.raw_args().strip_suffix('"')?;
        // Inside of a string every quote has an odd number of backslashes before it.
        let content = open.rmatch_indices('"').find_map(|(at, _)| {
            let (before, quoted) = open.split_at_checked(at)?;
            let escapes = before.len() - before.trim_end_matches('\\').len();
            let is_start = escapes.is_multiple_of(2);
            quoted.strip_prefix('"').filter(|_| is_start)
        })?;
        if !content.contains('\\') {
            return Some(Cow::Borrowed(content));
        }
        let json = ["\"", content, "\""].concat();
        serde_json::from_str(&json).ok().map(Cow::Owned)
    }

    /// Under which id the peer waits for an answer, if it does.
    pub fn ack(&self) -> Option<AckId> {
        self.ack
    }

    /// The binary contents that came with the event, by their numbers.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// What a placeholder among the arguments stands for. Those that arrived in a session all
    /// stand for something.
    pub fn attachment(&self, placeholder: &Attachment) -> Option<&Bytes> {
        placeholder.of(&self.attachments)
    }

    /// How many bytes are held for it.
    pub(super) fn bytes(&self) -> usize {
        let attachments: usize = self.attachments.iter().map(Bytes::len).sum();
        self.packet.len() + attachments
    }

    /// The whole JSON array.
    pub(super) fn payload(&self) -> &str {
        self.packet.get(self.payload..).unwrap_or_default()
    }
}

/// The arguments of an answer that arrived. It owns its frame and shares it when it is cloned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    payload: ByteString,
    count: usize,
    attachments: Vec<Bytes>,
}
canonical!(struct Answer { payload, attachments; - count });

impl Answer {
    /// Reads the payload of an ack packet: an array.
    pub(super) fn decode(payload: ByteString) -> Result<Self, packet::DecodeError> {
        let mut count = 0;
        json::elements(&payload, 0, |_| count += 1)
            .ok_or(packet::DecodeError::BadPayload(packet::Kind::Ack))?;
        Ok(Self {
            count,
            payload,
            attachments: Vec::new(),
        })
    }

    /// Hands over the attachments that its header has announced.
    pub(super) fn attach(&mut self, attachments: Vec<Bytes>) {
        self.attachments = attachments;
    }

    /// The arguments as a tuple, by the rules of [`Event::args`].
    ///
    /// # Errors
    ///
    /// Where the arguments are not what `T` expects: too few, or of another type.
    pub fn args<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        arguments_of(&self.payload, 0)
    }

    /// How many arguments there are.
    pub fn arg_count(&self) -> usize {
        self.count
    }

    /// The whole JSON array as it stands on the wire.
    pub fn raw_args(&self) -> &str {
        &self.payload
    }

    /// The binary contents that came with the answer, by their numbers.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// What a placeholder among the arguments stands for. Those that arrived in a session all
    /// stand for something.
    pub fn attachment(&self, placeholder: &Attachment) -> Option<&Bytes> {
        placeholder.of(&self.attachments)
    }
}

/// An answer in a recording.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Recorded<'a> {
    Plain(Cow<'a, str>),
    Binary {
        payload: Cow<'a, str>,
        attachments: Cow<'a, [Bytes]>,
    },
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let payload = Cow::Borrowed(&*self.payload);
        let recorded = if self.attachments.is_empty() {
            Recorded::Plain(payload)
        } else {
            let attachments = Cow::Borrowed(&*self.attachments);
            Recorded::Binary {
                payload,
                attachments,
            }
        };
        recorded.serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (payload, attachments) = match Recorded::deserialize(deserializer)? {
            Recorded::Plain(payload) => (payload, Vec::new()),
            Recorded::Binary {
                payload,
                attachments,
            } => (payload, attachments.into_owned()),
        };
        let mut answer = Self::decode(payload.as_ref().into()).map_err(de::Error::custom)?;
        answer.attach(attachments);
        Ok(answer)
    }
}

/// The elements of `payload` after the first `skip`, as a tuple.
fn arguments_of<'a, T: Deserialize<'a>>(
    payload: &'a str,
    skip: usize,
) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(payload);
    json.deserialize_seq(Arguments {
        skip,
        tuple: PhantomData,
    })
}

struct Arguments<T> {
    skip: usize,
    tuple: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Arguments<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<T, A::Error> {
        for _ in 0..self.skip {
            elements.next_element::<IgnoredAny>()?;
        }
        let tuple = T::deserialize(Rest(&mut elements))?;
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(tuple)
    }
}

/// The elements that are left, offered to whatever reads a tuple, a sequence or `()`.
struct Rest<'a, A>(&'a mut A);

impl<'de, A: SeqAccess<'de>> Deserializer<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_seq(self.0)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use serde_json::value::RawValue;

    use super::*;

    fn event(payload: &str) -> Event {
        Event::decode(payload.into(), 0, None).unwrap()
    }

    #[test]
    fn arguments_are_a_tuple_that_borrows_from_the_frame() {
        let event = event(r#"["join", {"id":"c1"} , [1,2],"tail" ]"#);
        assert_eq!(event.name(), "join");
        assert_eq!(event.arg_count(), 3);
        assert_eq!(event.raw_args(), r#"{"id":"c1"} , [1,2],"tail""#);
        let (object, list, tail) = event.args::<(&RawValue, Vec<u8>, &str)>().unwrap();
        assert_eq!(object.get(), r#"{"id":"c1"}"#);
        assert_eq!((list, tail), (Vec::from([1, 2]), "tail"));
        let frame = event.payload().as_bytes().as_ptr_range();
        assert!(frame.contains(&tail.as_ptr()));
        assert!(frame.contains(&event.name().as_ptr()));
    }

    #[test]
    fn surplus_arguments_are_tolerated_and_missing_ones_are_not() {
        let first = event(r#"["first",1,"Q7vcNid"]"#);
        assert_eq!(first.args::<(u8,)>().unwrap(), (1,));
        assert_eq!(first.args::<[&RawValue; 2]>().unwrap()[0].get(), "1");
        first.args::<()>().unwrap();
        assert!(first.args::<(u8, &str, u8)>().is_err());
        assert!(first.args::<(&str,)>().is_err());
        let plain = event(r#"["plain"]"#);
        plain.args::<()>().unwrap();
        assert_eq!((plain.arg_count(), plain.raw_args()), (0, ""));
        assert_eq!(plain.args::<Vec<&RawValue>>().unwrap().len(), 0);
    }

    #[test]
    fn the_offset_is_a_string_at_the_end_of_what_is_not_to_be_answered() {
        for (payload, offset) in [
            (r#"["first",1,"Q7vcNid"]"#, Some("Q7vcNid")),
            (r#"["first", "a" , "1-0" ]"#, Some("1-0")),
            (r#"["first",""]"#, Some("")),
            (r#"["first","a\\"]"#, Some("a\\")),
            (r#"["first","x","a\",\"b\\\"c"]"#, Some("a\",\"b\\\"c")),
            (r#"["first","\u0061é"]"#, Some("aé")),
            (r#"["first"]"#, None),
            (r#"["first",1]"#, None),
            (r#"["first",{"a":"b"}]"#, None),
            (r#"["first",["b"]]"#, None),
        ] {
            assert_eq!(event(payload).offset().as_deref(), offset, "{payload}");
            let asks = Event::decode(payload.into(), 0, Some(AckId::from_number(0)));
            assert_eq!(asks.unwrap().offset(), None);
        }
    }

    #[test]
    fn names_may_have_escapes_or_be_numbers() {
        assert_eq!(event(r#"["a\u0062\"c"]"#).name(), "ab\"c");
        assert_eq!(event(r#"["é—"]"#).name(), "é—");
        assert_eq!(event("[-1.5e3,true]").name(), "-1.5e3");
        for bad in [
            "[]",
            "{}",
            "",
            "null",
            "[null]",
            "[[]]",
            "[{}]",
            "[true]",
            r#"["a""#,
            r#"["a"]]"#,
            r#"["a",]"#,
            r#"["\ud800"]"#,
            "[\"a\nb\"]",
        ] {
            assert_eq!(
                Event::decode(bad.into(), 0, None),
                Err(packet::DecodeError::BadPayload(packet::Kind::Event)),
                "{bad}"
            );
        }
        assert_eq!(
            Event::decode(r#"["disc\u006fnnect"]"#.into(), 0, None),
            Err(packet::DecodeError::ReservedName("disconnect"))
        );
    }

    #[test]
    fn an_answer_is_any_array() {
        let answer = Answer::decode(r#"[{"ok":true},"id"]"#.into()).unwrap();
        assert_eq!(answer.arg_count(), 2);
        assert_eq!(answer.args::<(&RawValue, &str)>().unwrap().1, "id");
        Answer::decode("[]".into()).unwrap().args::<()>().unwrap();
        for bad in ["", "{}", "1", "[1", "[1]2"] {
            assert!(Answer::decode(bad.into()).is_err(), "{bad}");
        }
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
    }
}
