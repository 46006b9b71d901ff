//! The canonical hash of a machine's state: equal for states that behave alike.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{rng::Rng, time::Time};

/// State that can be hashed independently of the moment and of the numbers of its ids.
///
/// Times are taken relative to now, ids are renumbered in the order in which they are met, and
/// generators are left out. Two states with the same hash are taken for the same state by the
/// exhaustive search, so leave out only what cannot change behaviour. Implement it with
/// [`canonical!`](crate::canonical), which makes a forgotten field a compile error.
pub trait Canonical {
    /// Feeds this value to `canon`.
    fn canonical(&self, canon: &mut Canon);
}

/// The canonical hash of `state` at `now`.
pub fn canonical_hash(state: &(impl Canonical + ?Sized), now: Time) -> u128 {
    let mut canon = Canon::new(now);
    state.canonical(&mut canon);
    canon.hash
}

/// What a part of a state contributes to a canonical hash, for as long as neither the part nor now
/// has changed: the hash of a whole is made of the digests of its parts, and only what was touched is
/// gone through again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    hash: u128,
    /// The ids in the order in which they are met, as they are: what they are renumbered to is
    /// decided by the whole.
    ids: Vec<(&'static str, u64)>,
}

impl Digest {
    /// Of this part at `now`.
    pub fn of(part: &(impl Canonical + ?Sized), now: Time) -> Self {
        let mut canon = Canon::new(now);
        part.canonical(&mut canon);
        let mut met: Vec<_> = canon.ids.into_iter().collect();
        met.sort_unstable_by_key(|(_, place)| *place);
        Self {
            hash: canon.hash,
            ids: met.into_iter().map(|(id, _)| id).collect(),
        }
    }
}

impl Canonical for Digest {
    fn canonical(&self, canon: &mut Canon) {
        canon.word(self.hash as u64);
        canon.word((self.hash >> 64) as u64);
        for (kind, number) in &self.ids {
            canon.id(kind, *number);
        }
    }
}

/// A running canonical hash (128 bits, eight bytes at a time: stable over machines and versions, and
/// no protection against who wants two states to look alike).
#[derive(Debug)]
pub struct Canon {
    now: Time,
    hash: u128,
    ids: BTreeMap<(&'static str, u64), u64>,
}

/// Where a hash begins, and an odd factor that spreads each bit over all higher ones.
const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FACTOR: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Canon {
    fn new(now: Time) -> Self {
        Self {
            now,
            hash: OFFSET,
            ids: BTreeMap::new(),
        }
    }

    /// Feeds bytes, with their length, so that neighbours cannot run into one another.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.word(u64::from_le_bytes(last));
        }
    }

    /// Feeds a number.
    pub fn number(&mut self, number: u64) {
        self.word(number);
    }

    /// Feeds a moment, relative to now.
    pub fn time(&mut self, time: Time) {
        self.number(time.as_micros().wrapping_sub(self.now.as_micros()));
    }

    /// Feeds an id of a kind, renumbered by order of appearance.
    pub fn id(&mut self, kind: &'static str, number: u64) {
        let next = self.ids.len() as u64;
        let renumbered = *self.ids.entry((kind, number)).or_insert(next);
        self.number(renumbered);
    }

    fn word(&mut self, word: u64) {
        let mixed = (self.hash ^ u128::from(word)).wrapping_mul(FACTOR);
        // The low bits are to depend on the high ones, too.
        self.hash = mixed ^ (mixed >> 67);
    }
}

/// Implements [`Canonical`](crate::canon::Canonical) field by field, or variant by variant, and with
/// the same words [`Snapshot`](crate::snapshot::Snapshot).
///
/// `canonical!(struct Backoff { attempts, until; - rng })` leaves `rng` out of the hash;
/// what follows `; ~` is empty between steps, and in neither;
/// `canonical!(unsaved struct Census { rows })` is hashed and has no snapshot;
/// `canonical!(struct Meters(number))` takes a tuple struct;
/// `canonical!(enum State { Idle, Waiting { until }, Open(a, b) })` hashes the variant's position
/// too.
#[macro_export]
macro_rules! canonical {
    (unsaved struct $name:ident $([$($param:ident),*])? {
        $($field:ident),* $(,)? $(; - $($skip:ident),* $(,)?)? $(; ~ $($scratch:ident),* $(,)?)?
    }) => {
        impl $(<$($param: $crate::canon::Canonical),*>)? $crate::canon::Canonical for $name $(<$($param),*>)? {
            fn canonical(&self, canon: &mut $crate::canon::Canon) {
                let Self { $($field,)* $($($skip: _,)*)? $($($scratch: _,)*)? } = self;
                $($crate::canon::Canonical::canonical($field, canon);)*
                let _ = canon;
            }
        }
    };
    (unsaved struct $name:ident ( $($item:ident),* $(,)? )) => {
        impl $crate::canon::Canonical for $name {
            fn canonical(&self, canon: &mut $crate::canon::Canon) {
                let Self($($item),*) = self;
                $($crate::canon::Canonical::canonical($item, canon);)*
            }
        }
    };
    (unsaved enum $name:ident { $($variant:ident $({ $($field:ident),* $(,)? })? $(( $($item:ident),* $(,)? ))?),* $(,)? }) => {
        impl $crate::canon::Canonical for $name {
            fn canonical(&self, canon: &mut $crate::canon::Canon) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $($item),* ))? => {
                        canon.bytes(stringify!($variant).as_bytes());
                        $($($crate::canon::Canonical::canonical($field, canon);)*)?
                        $($($crate::canon::Canonical::canonical($item, canon);)*)?
                    })*
                }
            }
        }
    };
    (struct $($state:tt)*) => {
        $crate::canonical!(unsaved struct $($state)*);
        $crate::snapshot!(struct $($state)*);
    };
    (enum $($state:tt)*) => {
        $crate::canonical!(unsaved enum $($state)*);
        $crate::snapshot!(enum $($state)*);
    };
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Canonical for $number {
            fn canonical(&self, canon: &mut Canon) {
                canon.number(*self as u64);
            }
        })*
    };
}
numbers!(bool, char, u8, u16, u32, u64, usize, i64);

impl Canonical for Time {
    fn canonical(&self, canon: &mut Canon) {
        canon.time(*self);
    }
}
impl Canonical for Duration {
    fn canonical(&self, canon: &mut Canon) {
        canon.number(u64::try_from(self.as_micros()).unwrap_or(u64::MAX));
    }
}
impl Canonical for Rng {
    fn canonical(&self, _: &mut Canon) {}
}
impl Canonical for str {
    fn canonical(&self, canon: &mut Canon) {
        canon.bytes(self.as_bytes());
    }
}
impl Canonical for String {
    fn canonical(&self, canon: &mut Canon) {
        canon.bytes(self.as_bytes());
    }
}
impl Canonical for ByteString {
    fn canonical(&self, canon: &mut Canon) {
        canon.bytes(self.as_bytes());
    }
}
impl Canonical for Bytes {
    fn canonical(&self, canon: &mut Canon) {
        canon.bytes(self);
    }
}
impl Canonical for () {
    fn canonical(&self, _: &mut Canon) {}
}
impl<T: Canonical + ?Sized> Canonical for &T {
    fn canonical(&self, canon: &mut Canon) {
        (**self).canonical(canon);
    }
}
impl<T: Canonical + ?Sized> Canonical for Box<T> {
    fn canonical(&self, canon: &mut Canon) {
        (**self).canonical(canon);
    }
}
impl<T: Canonical + ?Sized> Canonical for alloc::sync::Arc<T> {
    fn canonical(&self, canon: &mut Canon) {
        (**self).canonical(canon);
    }
}
impl<T: Canonical> Canonical for Option<T> {
    fn canonical(&self, canon: &mut Canon) {
        canon.number(u64::from(self.is_some()));
        if let Some(value) = self {
            value.canonical(canon);
        }
    }
}
impl<T: Canonical> Canonical for Vec<T> {
    fn canonical(&self, canon: &mut Canon) {
        sequence(self.len(), self.iter(), canon);
    }
}
impl<T: Canonical> Canonical for VecDeque<T> {
    fn canonical(&self, canon: &mut Canon) {
        sequence(self.len(), self.iter(), canon);
    }
}
impl<T: Canonical> Canonical for BTreeSet<T> {
    fn canonical(&self, canon: &mut Canon) {
        sequence(self.len(), self.iter(), canon);
    }
}
impl<K: Canonical, V: Canonical> Canonical for BTreeMap<K, V> {
    fn canonical(&self, canon: &mut Canon) {
        sequence(self.len(), self.iter(), canon);
    }
}
impl<A: Canonical, B: Canonical> Canonical for (A, B) {
    fn canonical(&self, canon: &mut Canon) {
        self.0.canonical(canon);
        self.1.canonical(canon);
    }
}
impl<A: Canonical, B: Canonical, C: Canonical> Canonical for (A, B, C) {
    fn canonical(&self, canon: &mut Canon) {
        self.0.canonical(canon);
        self.1.canonical(canon);
        self.2.canonical(canon);
    }
}
impl<A: Canonical, B: Canonical, C: Canonical, D: Canonical> Canonical for (A, B, C, D) {
    fn canonical(&self, canon: &mut Canon) {
        self.0.canonical(canon);
        self.1.canonical(canon);
        self.2.canonical(canon);
        self.3.canonical(canon);
    }
}

/// Feeds items, with their number.
pub(crate) fn sequence<T: Canonical>(
    len: usize,
    items: impl Iterator<Item = T>,
    canon: &mut Canon,
) {
    canon.number(len as u64);
    for item in items {
        item.canonical(canon);
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString as _, vec};

    use super::*;
    use crate::request::RequestId;

    struct Toy {
        id: RequestId<()>,
        due: Option<Time>,
        noise: Rng,
        log: Vec<String>,
    }
    canonical!(struct Toy { id, due, log; - noise });

    fn toy(id: u64, due: u64, seed: u64) -> Toy {
        Toy {
            id: RequestId::from_number(id),
            due: Some(Time::from_millis(due)),
            noise: Rng::from_number(seed),
            log: vec!["ab".into(), "c".into()],
        }
    }

    #[test]
    fn states_that_behave_alike_hash_alike() {
        let ms = Time::from_millis;
        let hash = canonical_hash(&toy(3, 10, 1), ms(4));
        assert_eq!(hash, canonical_hash(&toy(9, 110, 2), ms(104)));
        assert_ne!(hash, canonical_hash(&toy(3, 11, 1), ms(4)));
        let mut other = toy(3, 10, 1);
        other.log = vec!["a".into(), "bc".into()];
        assert_ne!(hash, canonical_hash(&other, ms(4)));
    }

    #[test]
    fn a_difference_in_any_byte_is_one_of_the_hash() {
        let hash = |text: &str| canonical_hash(text, Time::ZERO);
        let text = "some bytes, more than eight";
        for at in 0..text.len() {
            let mut other = text.to_string().into_bytes();
            other[at] ^= 1;
            assert_ne!(hash(text), hash(&String::from_utf8(other).unwrap()), "{at}");
        }
        assert_ne!(hash("a"), hash("a\0"));
    }

    #[test]
    fn a_whole_hashes_by_the_digests_of_its_parts_as_its_parts_do() {
        let ms = Time::from_millis;
        let digest = |id, due, now| Digest::of(&toy(id, due, 1), ms(now));
        let whole = |parts: [Digest; 2]| canonical_hash(&parts.to_vec(), ms(0));
        let same = whole([digest(3, 10, 4), digest(3, 10, 4)]);
        assert_eq!(same, whole([digest(9, 110, 104), digest(9, 110, 104)]));
        assert_ne!(same, whole([digest(3, 11, 4), digest(3, 10, 4)]));
        // Each part alone looks the same, but they do not speak of the same question any more.
        assert_ne!(same, whole([digest(3, 10, 4), digest(4, 10, 4)]));
    }
}
