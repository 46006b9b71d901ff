//! Events and answers as they arrive, and emissions as they leave: JSON arrays, kept as text.

use alloc::string::String;
use core::{fmt, fmt::Write as _, marker::PhantomData};

use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de,
    de::{IgnoredAny, SeqAccess, Visitor},
    forward_to_deserialize_any, ser,
};
use serde_json::value::RawValue;

use super::{AckId, Namespace, packet};
use crate::{canonical, engineio, text, ws};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    payload: ByteString,
    name: ByteString,
    arguments: ByteString,
    count: usize,
    ack: Option<AckId>,
}
canonical!(struct Event { payload, ack; - name, arguments, count });

impl Event {
    /// Reads the payload of an event packet: an array whose first element is the name.
    ///
    /// A name may be a number, as in the official parser; its text is taken for the name.
    pub(super) fn decode(
        payload: ByteString,
        ack: Option<AckId>,
    ) -> Result<Self, packet::DecodeError> {
        let bad = |_| packet::DecodeError::BadPayload(packet::Kind::Event);
        let mut json = serde_json::Deserializer::from_str(&payload);
        let (first, arguments, count) =
            json.deserialize_seq(NamedElements(&payload)).map_err(bad)?;
        json.end().map_err(bad)?;
        let name = match first.as_bytes().first() {
            Some(b'"') => match first.strip_prefix('"').and_then(|it| it.strip_suffix('"')) {
                Some(plain) if !plain.contains('\\') => payload.slice_ref(plain),
                Some(_) | None => serde_json::from_str::<String>(first).map_err(bad)?.into(),
            },
            Some(b'-' | b'0'..=b'9') => payload.slice_ref(first),
            Some(_) | None => {
                return Err(packet::DecodeError::BadPayload(packet::Kind::Event));
            }
        };
        if let Some(reserved) = RESERVED_NAMES.into_iter().find(|it| name == *it) {
            return Err(packet::DecodeError::ReservedName(reserved));
        }
        let arguments = payload.slice_ref(arguments);
        Ok(Self {
            name,
            arguments,
            count,
            ack,
            payload,
        })
    }

    /// What the event is called.
    pub fn name(&self) -> &str {
        &self.name
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
        arguments_of(&self.payload, 1)
    }

    /// The arguments after the name as they stand on the wire: JSON values with commas between
    /// them, without the brackets. Empty where there are none.
    pub fn raw_args(&self) -> &str {
        &self.arguments
    }

    /// How many arguments there are after the name.
    pub fn arg_count(&self) -> usize {
        self.count
    }

    /// Under which id the peer waits for an answer, if it does.
    pub fn ack(&self) -> Option<AckId> {
        self.ack
    }

    /// The whole JSON array.
    pub(super) fn payload(&self) -> &str {
        &self.payload
    }
}

/// The arguments of an answer that arrived. It owns its frame and shares it when it is cloned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    payload: ByteString,
    count: usize,
}
canonical!(struct Answer { payload; - count });

impl Answer {
    /// Reads the payload of an ack packet: an array.
    pub(super) fn decode(payload: ByteString) -> Result<Self, packet::DecodeError> {
        let bad = |_| packet::DecodeError::BadPayload(packet::Kind::Ack);
        let mut json = serde_json::Deserializer::from_str(&payload);
        let count = json.deserialize_seq(Elements).map_err(bad)?;
        json.end().map_err(bad)?;
        Ok(Self { count, payload })
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
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.payload)
    }
}
impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload = text::deserialize(deserializer)?;
        Self::decode(payload).map_err(de::Error::custom)
    }
}

/// Something to send: an event or an acknowledgement, encoded once.
///
/// It holds the whole Engine.IO frame, such as `42/realtime,["name",1]`. A clone shares the bytes,
/// and so does every connection it is sent on; only a call copies, because its id stands in the
/// middle of the frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Emission {
    frame: ByteString,
    payload: ByteString,
    namespace: Namespace,
    kind: Kind,
}
canonical!(struct Emission { frame; - payload, namespace, kind });

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Event,
    Answer,
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
        if RESERVED_NAMES.contains(&name) {
            return Err(ser::Error::custom(format_args!(
                "{name:?} is a reserved name"
            )));
        }
        let name = serde_json::to_string(name)?;
        let args = serde_json::to_string(args)?;
        let args = elements_of(&args)?;
        let mut frame = String::with_capacity(namespace.0.len() + name.len() + args.len() + 6);
        packet::open_frame(packet::Kind::Event, namespace, None, &mut frame);
        let start = frame.len();
        frame.push('[');
        frame.push_str(&name);
        if !args.is_empty() {
            frame.push(',');
            frame.push_str(args);
        }
        frame.push(']');
        Ok(Self::of_parts(frame.into(), start, namespace, Kind::Event))
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
        let args = serde_json::to_string(args)?;
        let args = elements_of(&args)?;
        let mut frame = String::with_capacity(namespace.0.len() + args.len() + 25);
        packet::open_frame(packet::Kind::Ack, namespace, Some(ack), &mut frame);
        let start = frame.len();
        frame.push('[');
        frame.push_str(args);
        frame.push(']');
        Ok(Self::of_parts(frame.into(), start, namespace, Kind::Answer))
    }

    fn of_parts(frame: ByteString, start: usize, namespace: &Namespace, kind: Kind) -> Self {
        let payload = frame.get(start..).unwrap_or_default();
        Self {
            payload: frame.slice_ref(payload),
            namespace: namespace.clone(),
            kind,
            frame,
        }
    }

    /// Where it goes.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The whole Engine.IO frame, shared.
    pub fn frame(&self) -> ws::Frame {
        ws::Frame::Text(self.frame.clone())
    }

    /// The frame of this event with an id for its answer: a copy. `None` for an acknowledgement.
    pub(super) fn frame_with_ack(&self, ack: AckId) -> Option<ws::Frame> {
        match self.kind {
            Kind::Answer => None,
            Kind::Event => {
                let mut frame = String::with_capacity(self.frame.len() + 20);
                packet::open_frame(packet::Kind::Event, &self.namespace, Some(ack), &mut frame);
                frame.push_str(&self.payload);
                Some(ws::Frame::Text(frame.into()))
            }
        }
    }
}

impl fmt::Debug for Emission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Emission").field(&self.frame).finish()
    }
}
impl Serialize for Emission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.frame)
    }
}
impl<'de> Deserialize<'de> for Emission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let frame = text::deserialize(deserializer)?;
        let engine = engineio::packet::decode(ws::Frame::Text(frame.clone()));
        let Ok(engineio::packet::Packet::Message(ws::Frame::Text(text))) = engine else {
            return Err(de::Error::custom("an emission is an Engine.IO message"));
        };
        let (payload_len, namespace, kind) = match packet::decode(text) {
            Ok(packet::Packet::Event { namespace, event }) if event.ack.is_none() => {
                (event.payload.len(), namespace, Kind::Event)
            }
            Ok(packet::Packet::Answer {
                namespace, answer, ..
            }) => (answer.payload.len(), namespace, Kind::Answer),
            Ok(
                packet::Packet::Connect { .. }
                | packet::Packet::Disconnect { .. }
                | packet::Packet::Event { .. }
                | packet::Packet::ConnectError { .. }
                | packet::Packet::BinaryEvent { .. }
                | packet::Packet::BinaryAnswer { .. },
            )
            | Err(_) => {
                return Err(de::Error::custom("an emission is an event or an answer"));
            }
        };
        let start = frame.len().saturating_sub(payload_len);
        Ok(Self::of_parts(frame, start, &namespace, kind))
    }
}

/// Writes a number of a header.
pub(super) fn push_number(number: u64, out: &mut String) {
    // Writing to a `String` does not fail.
    let _ = write!(out, "{number}");
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

/// The part of `whole` from the start of `first` to the end of `last`, both slices of it.
fn span<'a>(whole: &'a str, first: &str, last: &str) -> &'a str {
    let offset = |part: &str| (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    whole
        .get(offset(first)..offset(last).wrapping_add(last.len()))
        .unwrap_or_default()
}

/// Reads an array whole: its first element, what stands between that and the closing bracket, and
/// how many elements that is.
struct NamedElements<'a>(&'a str);

impl<'de> Visitor<'de> for NamedElements<'de> {
    type Value = (&'de str, &'de str, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array with the name of the event in front")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let name: &RawValue = elements
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let Some(first) = elements.next_element::<&RawValue>()? else {
            return Ok((name.get(), "", 0));
        };
        let (mut last, mut count) = (first, 1);
        while let Some(next) = elements.next_element::<&RawValue>()? {
            last = next;
            count += 1;
        }
        Ok((name.get(), span(self.0, first.get(), last.get()), count))
    }
}

/// Reads an array whole and counts its elements.
struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
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

    use super::*;

    fn event(payload: &str) -> Event {
        Event::decode(payload.into(), None).unwrap()
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
        let frame = event.payload.as_bytes().as_ptr_range();
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
                Event::decode(bad.into(), None),
                Err(packet::DecodeError::BadPayload(packet::Kind::Event)),
                "{bad}"
            );
        }
        assert_eq!(
            Event::decode(r#"["disc\u006fnnect"]"#.into(), None),
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

    #[test]
    fn an_emission_is_encoded_once() {
        let realtime = Namespace::new("/realtime").unwrap();
        let emission = Emission::event(&realtime, "a\"b", &("x", 7)).unwrap();
        assert_eq!(emission.frame, r#"42/realtime,["a\"b","x",7]"#);
        let again = emission.clone();
        assert_eq!(emission.frame.as_ptr(), again.frame.as_ptr());
        assert_eq!(
            emission.frame_with_ack(AckId(12)),
            Some(ws::Frame::Text(r#"42/realtime,12["a\"b","x",7]"#.into()))
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
        assert_eq!(answer.frame_with_ack(AckId(1)), None);
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Emission>(&text).unwrap(), answer);
        for bad in ["", "2", "40", "42{}", "421[\"a\"]"] {
            let text = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<Emission>(&text).is_err(), "{bad}");
        }
    }
}
