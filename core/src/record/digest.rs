//! A hash over anything that can be serialised, and with it what a step brought out in a few words.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, mem};

use serde::{
    Serialize, Serializer,
    ser::{
        SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
        SerializeTupleStruct, SerializeTupleVariant,
    },
};

use super::{Role, Substitute};

/// How many texts of a step are remembered with what they were hashed to: what goes to every socket of
/// a room is hashed once, and compared then.
const REMEMBERED: usize = 4;

/// The outputs of one step as a recording has them: `http 6b2c…`, or `transport*1000 91f0…` where several
/// of a kind follow one another.
///
/// Two lists are equal where the outputs are, byte for byte, but for one case in 2⁶⁴. What `substitute`
/// makes of a text is hashed in its place: so the outputs of a machine that knows a secret equal those of
/// one that knows its placeholder.
pub fn digests<O: Serialize>(outputs: &[O], substitute: &mut Substitute<'_>) -> Vec<String> {
    let mut texts = Texts {
        seen: Vec::new(),
        next: 0,
        substitute,
    };
    let mut texts = |text: &[u8], role| texts.hash(text, role);
    let mut groups: Vec<(&str, usize, u64)> = Vec::new();
    for output in outputs {
        let mut digest = Digest {
            hash: START,
            kind: None,
            role: Role::Other,
            texts: &mut texts,
        };
        // Nothing in it can fail, and if a type refuses, it does so every time.
        let _ = output.serialize(&mut digest);
        let (kind, hash) = (digest.kind.unwrap_or("output"), digest.hash);
        match groups.last_mut() {
            Some((last, count, all)) if *last == kind => {
                *count += 1;
                *all = round(*all, hash);
            }
            _ => groups.push((kind, 1, hash)),
        }
    }
    let words = groups.into_iter().map(|(kind, count, hash)| match count {
        1 => format!("{kind} {hash:016x}"),
        _ => format!("{kind}*{count} {hash:016x}"),
    });
    words.collect()
}

/// A hash that goes on with a value: equal for equal beginnings and equal values.
///
/// It tells two runs apart, and is not made against anybody who wants two to look alike.
pub fn fold(hash: u64, value: &(impl Serialize + ?Sized)) -> u64 {
    let mut digest = Digest {
        hash,
        kind: None,
        role: Role::Other,
        texts: &mut |text, _| rounds(START, text),
    };
    // As above.
    let _ = value.serialize(&mut digest);
    digest.hash
}

const START: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
const SALT: u64 = 0xa409_3822_299f_31d0;

/// One round over eight bytes: a multiplication whose halves are folded into one another.
fn round(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word ^ SALT) * u128::from(FACTOR);
    (product as u64) ^ ((product >> 64) as u64) ^ hash.rotate_left(23)
}

fn rounds(mut hash: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = round(hash, u64::from_le_bytes(*word));
    }
    let last = rest
        .iter()
        .rev()
        .fold(0, |last, byte| last << 8 | u64::from(*byte));
    hash = round(hash, last);
    round(hash, bytes.len() as u64)
}

/// Hashes texts as they are to be written down.
struct Texts<'s> {
    seen: Vec<(Vec<u8>, Role, u64)>,
    next: usize,
    substitute: &'s mut Substitute<'s>,
}

impl Texts<'_> {
    fn hash(&mut self, text: &[u8], role: Role) -> u64 {
        let mut seen = self.seen.iter();
        if let Some((_, _, hash)) = seen.find(|(known, of, _)| known == text && *of == role) {
            return *hash;
        }
        let other = (self.substitute)(text, role);
        let hash = rounds(START, other.as_deref().unwrap_or(text));
        match self.seen.get_mut(self.next) {
            Some(seen) => *seen = (text.to_vec(), role, hash),
            None => self.seen.push((text.to_vec(), role, hash)),
        }
        self.next = (self.next + 1) % REMEMBERED;
        hash
    }
}

struct Digest<'d> {
    hash: u64,
    /// The first variant that was met: what the output is called.
    kind: Option<&'static str>,
    /// Of the field that is being told.
    role: Role,
    /// What a text is hashed to.
    texts: &'d mut dyn FnMut(&[u8], Role) -> u64,
}

impl Digest<'_> {
    fn word(&mut self, word: u64) {
        self.hash = round(self.hash, word);
    }

    fn text(&mut self, text: &[u8]) {
        let hash = (self.texts)(text, self.role);
        self.word(hash);
    }

    fn variant(&mut self, index: u32, name: &'static str) {
        self.kind.get_or_insert(name);
        self.word(index.into());
    }
}

/// What has no content of its own, told apart by a number.
const NOTHING: u64 = 1;
const SOMETHING: u64 = 2;
const END: u64 = 3;

macro_rules! words {
    ($($method:ident $number:ty),*) => {
        $(fn $method(self, number: $number) -> Result<(), fmt::Error> {
            self.word(number as u64);
            Ok(())
        })*
    };
}

impl Serializer for &mut Digest<'_> {
    type Ok = ();
    type Error = fmt::Error;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    words!(
        serialize_bool bool, serialize_char char,
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64
    );

    fn serialize_f32(self, number: f32) -> fmt::Result {
        self.serialize_f64(number.into())
    }

    fn serialize_f64(self, number: f64) -> fmt::Result {
        self.word(number.to_bits());
        Ok(())
    }

    fn serialize_str(self, text: &str) -> fmt::Result {
        self.text(text.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> fmt::Result {
        self.text(bytes);
        Ok(())
    }

    fn serialize_none(self) -> fmt::Result {
        self.word(NOTHING);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> fmt::Result {
        self.word(SOMETHING);
        value.serialize(self)
    }

    fn serialize_unit(self) -> fmt::Result {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> fmt::Result {
        self.serialize_none()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
    ) -> fmt::Result {
        self.variant(index, variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> fmt::Result {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> fmt::Result {
        self.variant(index, variant);
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, fmt::Error> {
        self.word(SOMETHING);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, fmt::Error> {
        self.variant(index, variant);
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, fmt::Error> {
        self.word(SOMETHING);
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, fmt::Error> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, fmt::Error> {
        self.variant(index, variant);
        Ok(self)
    }
}

macro_rules! items {
    ($($of:ident $method:ident $end:expr),*) => {
        $(impl $of for &mut Digest<'_> {
            type Ok = ();
            type Error = fmt::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
                value.serialize(&mut **self)
            }

            fn end(self) -> fmt::Result {
                self.word($end);
                Ok(())
            }
        })*
    };
}
items!(
    SerializeSeq serialize_element END,
    SerializeTuple serialize_element END,
    SerializeTupleStruct serialize_field END,
    SerializeTupleVariant serialize_field END
);

macro_rules! fields {
    ($($of:ident),*) => {
        $(impl $of for &mut Digest<'_> {
            type Ok = ();
            type Error = fmt::Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> fmt::Result {
                // A field that is left out where it is empty must not make its neighbour take its place.
                self.hash = rounds(self.hash, name.as_bytes());
                let around = mem::replace(&mut self.role, Role::of_field(name));
                let told = value.serialize(&mut **self);
                self.role = around;
                told
            }

            fn end(self) -> fmt::Result {
                self.word(END);
                Ok(())
            }
        })*
    };
}
fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for &mut Digest<'_> {
    type Ok = ();
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> fmt::Result {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
        value.serialize(&mut **self)
    }

    fn end(self) -> fmt::Result {
        self.word(END);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString as _, vec};

    use super::*;

    #[derive(Serialize)]
    enum Output {
        Say(&'static str, Option<u32>),
        Two {
            left: &'static str,
            right: &'static str,
        },
        Nothing,
    }
    use Output::{Nothing, Say, Two};

    fn plain(outputs: &[Output]) -> Vec<String> {
        digests(outputs, &mut |_, _| None)
    }

    #[test]
    fn equal_outputs_are_told_alike_and_others_are_not() {
        let some = [Say("a", None), Say("b", Some(1)), Nothing];
        assert_eq!(
            plain(&some),
            plain(&[Say("a", None), Say("b", Some(1)), Nothing])
        );
        let told = plain(&some);
        let kinds: Vec<_> = told.iter().filter_map(|it| it.split(' ').next()).collect();
        assert_eq!(kinds, ["Say*2", "Nothing"]);
        let others = [
            vec![Say("b", Some(1)), Say("a", None), Nothing],
            vec![Say("a", Some(1)), Say("b", None), Nothing],
            vec![Say("a", None), Say("b", Some(2)), Nothing],
            vec![Say("a", None), Nothing],
            vec![Nothing, Say("a", None), Say("b", Some(1))],
        ];
        for other in others {
            assert_ne!(plain(&other), told);
        }
        let two = |left, right| plain(&[Two { left, right }]);
        assert_ne!(two("ab", "c"), two("a", "bc"));
        assert_ne!(two("", "a"), two("a", ""));
    }

    #[test]
    fn a_hash_that_goes_on_tells_where_things_differ() {
        let run = |outputs: &[Output]| outputs.iter().fold(1, fold);
        let first = run(&[Say("a", None), Nothing]);
        assert_eq!(first, run(&[Say("a", None), Nothing]));
        assert_ne!(first, run(&[Nothing, Say("a", None)]));
        assert_ne!(first, run(&[Say("a", Some(0)), Nothing]));
        assert_ne!(
            fold(1, "long enough for two words"),
            fold(1, "long enough for two wordz")
        );
        assert_ne!(fold(1, "a"), fold(2, "a"));
        assert_ne!(fold(1, "a"), fold(1, "a\0"));
    }

    #[test]
    fn a_text_counts_as_what_is_put_in_its_place() {
        let hide = |text: &[u8], _| (text == b"secret").then(|| b"S0----".to_vec());
        assert_eq!(
            digests(&[Say("secret", None)], &mut { hide }),
            plain(&[Say("S0----", None)])
        );
        assert_ne!(plain(&[Say("secret", None)]), plain(&[Say("S0----", None)]));
    }

    #[test]
    fn a_text_that_goes_to_many_is_looked_at_once() {
        let long = "x".repeat(700);
        let outputs: Vec<_> = (0..1_000)
            .map(|number| (number, long.to_string()))
            .collect();
        let mut looks = 0;
        digests(&outputs, &mut |_, _| {
            looks += 1;
            None
        });
        assert_eq!(looks, 1);
    }
}
