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
    let mut canon = Canon {
        now,
        hash: OFFSET,
        ids: BTreeMap::new(),
    };
    state.canonical(&mut canon);
    canon.hash
}

/// A running canonical hash (FNV-1a, 128 bits: stable over machines and versions).
#[derive(Debug)]
pub struct Canon {
    now: Time,
    hash: u128,
    ids: BTreeMap<(&'static str, u64), u64>,
}

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

impl Canon {
    /// Feeds bytes, with their length, so that neighbours cannot run into one another.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Feeds a number.
    pub fn number(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
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

    fn raw(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
    }
}

/// Implements [`Canonical`](crate::canon::Canonical) field by field, or variant by variant.
///
/// `canonical!(struct Backoff { attempts, until; - rng })` leaves `rng` out;
/// `canonical!(struct Meters(number))` takes a tuple struct;
/// `canonical!(enum State { Idle, Waiting { until }, Open(a, b) })` hashes the variant's position
/// too.
#[macro_export]
macro_rules! canonical {
    (struct $name:ident $([$($generics:tt)*])? { $($field:ident),* $(,)? $(; - $($skip:ident),* $(,)?)? }) => {
        impl $(<$($generics)*>)? $crate::canon::Canonical for $crate::canonical!(@name $name $([$($generics)*])?) {
            fn canonical(&self, canon: &mut $crate::canon::Canon) {
                let Self { $($field,)* $($($skip: _,)*)? } = self;
                $($crate::canon::Canonical::canonical($field, canon);)*
                let _ = canon;
            }
        }
    };
    (struct $name:ident ( $($item:ident),* $(,)? )) => {
        impl $crate::canon::Canonical for $name {
            fn canonical(&self, canon: &mut $crate::canon::Canon) {
                let Self($($item),*) = self;
                $($crate::canon::Canonical::canonical($item, canon);)*
            }
        }
    };
    (enum $name:ident { $($variant:ident $({ $($field:ident),* $(,)? })? $(( $($item:ident),* $(,)? ))?),* $(,)? }) => {
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
    (@name $name:ident) => { $name };
    (@name $name:ident [$($param:ident $(: $bound:path)?),*]) => { $name<$($param),*> };
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
    use alloc::vec;

    use super::*;
    use crate::request::RequestId;

    struct Toy {
        id: RequestId<()>,
        due: Option<Time>,
        #[expect(dead_code, reason = "left out of the hash, which is what is tested")]
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
}
