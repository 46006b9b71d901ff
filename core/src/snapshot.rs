//! Snapshots: the whole state of a machine written down, so that another one can go on from there.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};
use core::{num::NonZero, ops::Range, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;

use thiserror::Error;

use crate::{
    plugin,
    secret::Secret,
    small_map::SmallMap,
    socketio::event::RESERVED_NAMES,
    time::{Time, Wall},
};

/// State that can be written down and read back: what is read equals what was written.
///
/// [`canonical!`](crate::canonical) implements it next to the canonical hash, over every field: also
/// those that the hash leaves out.
pub trait Snapshot: Sized {
    /// The state as a tree.
    fn save(&self, saver: &mut Saver) -> Value;

    /// The state that a tree tells.
    ///
    /// # Errors
    ///
    /// Where it tells none: it is of another version, or no snapshot of this type.
    fn load(tree: Value) -> Result<Self, LoadError>;
}

/// Why a snapshot cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Error)]
#[error("the snapshot cannot be read at `{place}`")]
pub struct LoadError {
    /// The fields that lead there, the outermost first.
    place: String,
}

impl LoadError {
    /// At a place within a field.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        self.place = match self.place.as_str() {
            "" => name.into(),
            inner => format!("{name}.{inner}"),
        };
        self
    }

    /// In a field or a variant.
    pub fn at(name: &str) -> Self {
        Self { place: name.into() }
    }
}

/// Notes the secrets of a state while it is saved.
#[derive(Debug, Default)]
pub struct Saver {
    secrets: BTreeSet<Secret>,
}

/// A state that was written down. It holds the secrets as they are: only a
/// [`Redactor`](crate::record::Redactor) makes a line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub(crate) tree: Tree,
    pub(crate) secrets: BTreeSet<Secret>,
}

/// A tree whose `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) Value);

impl core::fmt::Debug for Tree {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tree(…)")
    }
}

impl Snapshot for Tree {
    fn save(&self, _: &mut Saver) -> Value {
        self.0.clone()
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        Ok(Self(tree))
    }
}

impl Saved {
    /// Writes a state down.
    pub fn of(state: &impl Snapshot) -> Self {
        let mut saver = Saver::default();
        let tree = Tree(state.save(&mut saver));
        Self {
            tree,
            secrets: saver.secrets,
        }
    }

    /// The state again.
    ///
    /// # Errors
    ///
    /// Where it was of another type.
    pub fn load<T: Snapshot>(self) -> Result<T, LoadError> {
        T::load(self.tree.0)
    }
}

/// Implements [`Snapshot`](crate::snapshot::Snapshot) as [`canonical!`](crate::canonical) does the
/// hash, with the same words: for types that have a hash of their own making, or none.
///
/// What follows `; ~` is empty between steps, and made anew.
#[macro_export]
macro_rules! snapshot {
    (struct $name:ident $([$($param:ident $(: $bound:path)?),*])? {
        $($field:ident),* $(,)? $(; - $($skip:ident),* $(,)?)? $(; ~ $($scratch:ident),* $(,)?)?
    }) => {
        impl $(<$($param: $crate::snapshot::Snapshot $(+ $bound)?),*>)? $crate::snapshot::Snapshot for $name $(<$($param),*>)? {
            fn save(&self, saver: &mut $crate::snapshot::Saver) -> $crate::snapshot::Value {
                let _ = &saver;
                let Self { $($field,)* $($($skip,)*)? $($($scratch: _,)*)? } = self;
                $crate::snapshot::fields([
                    $((stringify!($field), $crate::snapshot::Snapshot::save($field, saver)),)*
                    $($((stringify!($skip), $crate::snapshot::Snapshot::save($skip, saver)),)*)?
                ])
            }

            fn load(tree: $crate::snapshot::Value) -> Result<Self, $crate::snapshot::LoadError> {
                let mut fields = $crate::snapshot::Fields::of(tree)?;
                let _ = &mut fields;
                Ok(Self {
                    $($field: fields.take(stringify!($field))?,)*
                    $($($skip: fields.take(stringify!($skip))?,)*)?
                    $($($scratch: Default::default(),)*)?
                })
            }
        }
    };
    (struct $name:ident ( $($item:ident),* $(,)? )) => {
        impl $crate::snapshot::Snapshot for $name {
            fn save(&self, saver: &mut $crate::snapshot::Saver) -> $crate::snapshot::Value {
                let Self($($item),*) = self;
                $crate::snapshot::fields([
                    $((stringify!($item), $crate::snapshot::Snapshot::save($item, saver)),)*
                ])
            }

            fn load(tree: $crate::snapshot::Value) -> Result<Self, $crate::snapshot::LoadError> {
                let mut fields = $crate::snapshot::Fields::of(tree)?;
                Ok(Self($(fields.take(stringify!($item))?),*))
            }
        }
    };
    (enum $name:ident $([$($param:ident $(: $bound:path)?),*])? {
        $($variant:ident $({ $($field:ident),* $(,)? })? $(( $($item:ident),* $(,)? ))?),* $(,)?
    }) => {
        impl $(<$($param: $crate::snapshot::Snapshot $(+ $bound)?),*>)? $crate::snapshot::Snapshot for $name $(<$($param),*>)? {
            fn save(&self, saver: &mut $crate::snapshot::Saver) -> $crate::snapshot::Value {
                let _ = &saver;
                let (name, inner) = match self {
                    $(Self::$variant $({ $($field),* })? $(( $($item),* ))? => (
                        stringify!($variant),
                        $crate::snapshot::fields([
                            $($((stringify!($field), $crate::snapshot::Snapshot::save($field, saver)),)*)?
                            $($((stringify!($item), $crate::snapshot::Snapshot::save($item, saver)),)*)?
                        ]),
                    ),)*
                };
                $crate::snapshot::fields([(name, inner)])
            }

            fn load(tree: $crate::snapshot::Value) -> Result<Self, $crate::snapshot::LoadError> {
                let (name, mut fields) = $crate::snapshot::Fields::of_variant(tree)?;
                let _ = &mut fields;
                match name.as_str() {
                    $(stringify!($variant) => {
                        $($(let $field = fields.take(stringify!($field))?;)*)?
                        $($(let $item = fields.take(stringify!($item))?;)*)?
                        Ok(Self::$variant $({ $($field),* })? $(( $($item),* ))?)
                    })*
                    _ => Err($crate::snapshot::LoadError::at(&name)),
                }
            }
        }
    };
}

/// What the macro names.
#[doc(hidden)]
pub use serde_json::Value;

/// The tree of some fields.
#[doc(hidden)]
pub fn fields<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let named = fields.into_iter().map(|(name, tree)| (name.into(), tree));
    Value::Object(named.collect())
}

/// Fields that are read one after the other.
#[doc(hidden)]
#[derive(Debug)]
pub struct Fields(serde_json::Map<String, Value>);

impl Fields {
    pub fn of(tree: Value) -> Result<Self, LoadError> {
        match tree {
            Value::Object(fields) => Ok(Self(fields)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Err(LoadError::default()),
        }
    }

    /// Those of a variant, with its name.
    pub fn of_variant(tree: Value) -> Result<(String, Self), LoadError> {
        let variant = Self::of(tree)?.0.into_iter().next();
        let (name, inner) = variant.ok_or_else(LoadError::default)?;
        let fields = Self::of(inner).map_err(|error| error.within(&name))?;
        Ok((name, fields))
    }

    pub fn take<T: Snapshot>(&mut self, name: &str) -> Result<T, LoadError> {
        let tree = self.0.remove(name).ok_or_else(|| LoadError::at(name))?;
        T::load(tree).map_err(|error| error.within(name))
    }
}

/// What is read back with a condition.
fn checked<T: Snapshot, U>(
    tree: Value,
    check: impl FnOnce(T) -> Option<U>,
) -> Result<U, LoadError> {
    check(T::load(tree)?).ok_or_else(LoadError::default)
}

/// Few words of our own, which a peer's fault is told with.
impl Snapshot for &'static str {
    fn save(&self, _: &mut Saver) -> Value {
        (**self).into()
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        const WORDS: [&str; 11] = [
            "open",
            "close",
            "ping",
            "pong",
            "message",
            "upgrade",
            "noop",
            "sid",
            "pingInterval",
            "pingTimeout",
            "maxPayload",
        ];
        checked(tree, |text: String| {
            let mut words = WORDS.into_iter().chain(RESERVED_NAMES);
            words.find(|word| *word == text)
        })
    }
}

impl Snapshot for char {
    fn save(&self, saver: &mut Saver) -> Value {
        u32::from(*self).save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        checked(tree, Self::from_u32)
    }
}

/// As serde does, with nothing lost.
macro_rules! as_serde_does {
    ($($state:ty),* $(,)?) => {
        $(impl Snapshot for $state {
            fn save(&self, _: &mut Saver) -> Value {
                serde_json::to_value(self).unwrap_or_default()
            }

            fn load(tree: Value) -> Result<Self, LoadError> {
                serde_json::from_value(tree).map_err(|_| LoadError::default())
            }
        })*
    };
}
as_serde_does!(
    bool,
    u8,
    u16,
    u32,
    u64,
    usize,
    i64,
    NonZero<u32>,
    plugin::config::Config,
    plugin::status::LinkState,
    plugin::status::Ends,
);

impl Snapshot for () {
    fn save(&self, _: &mut Saver) -> Value {
        Value::Null
    }

    fn load(_: Value) -> Result<Self, LoadError> {
        Ok(())
    }
}

impl Snapshot for String {
    fn save(&self, _: &mut Saver) -> Value {
        self.as_str().into()
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        match tree {
            Value::String(text) => Ok(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => Err(LoadError::default()),
        }
    }
}

impl Snapshot for ByteString {
    fn save(&self, _: &mut Saver) -> Value {
        (**self).into()
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        String::load(tree).map(Self::from)
    }
}

impl Snapshot for Arc<str> {
    fn save(&self, _: &mut Saver) -> Value {
        (**self).into()
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        String::load(tree).map(Self::from)
    }
}

/// As text where it is any, so that its secrets are found with their escapes.
impl Snapshot for Bytes {
    fn save(&self, saver: &mut Saver) -> Value {
        match core::str::from_utf8(self) {
            Ok(text) => text.into(),
            Err(_) => list(self.iter(), saver),
        }
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        match tree {
            Value::String(text) => Ok(text.into()),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => Vec::<u8>::load(tree).map(Self::from),
        }
    }
}

impl Snapshot for Secret {
    fn save(&self, saver: &mut Saver) -> Value {
        saver.secrets.insert(self.clone());
        self.expose().into()
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        String::load(tree).map(|content| Self::new(&content))
    }
}

impl Snapshot for Time {
    fn save(&self, saver: &mut Saver) -> Value {
        self.as_micros().save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        u64::load(tree).map(Self::from_micros)
    }
}

impl Snapshot for Wall {
    fn save(&self, saver: &mut Saver) -> Value {
        self.as_millis().save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        i64::load(tree).map(Self::from_millis)
    }
}

impl Snapshot for Duration {
    fn save(&self, saver: &mut Saver) -> Value {
        (self.as_secs(), self.subsec_nanos()).save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        checked(tree, |(secs, nanos): (u64, u32)| {
            (nanos < 1_000_000_000).then(|| Self::new(secs, nanos))
        })
    }
}

impl<T: Snapshot> Snapshot for Range<T> {
    fn save(&self, saver: &mut Saver) -> Value {
        [self.start.save(saver), self.end.save(saver)]
            .into_iter()
            .collect()
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        let (start, end) = Snapshot::load(tree)?;
        Ok(start..end)
    }
}

impl<T: Snapshot> Snapshot for Box<T> {
    fn save(&self, saver: &mut Saver) -> Value {
        (**self).save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        T::load(tree).map(Self::new)
    }
}

/// Each that shares it has one of its own after that.
impl<T: Snapshot> Snapshot for Arc<T> {
    fn save(&self, saver: &mut Saver) -> Value {
        (**self).save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        T::load(tree).map(Self::new)
    }
}

/// A list of none or one, so that one of one that is none stays what it is.
impl<T: Snapshot> Snapshot for Option<T> {
    fn save(&self, saver: &mut Saver) -> Value {
        match self {
            None => Value::Null,
            Some(value) => list([value].into_iter(), saver),
        }
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        if tree.is_null() {
            return Ok(None);
        }
        checked(tree, |items: Vec<T>| items.into_iter().next()).map(Some)
    }
}

impl<T: Snapshot, E: Snapshot> Snapshot for Result<T, E> {
    fn save(&self, saver: &mut Saver) -> Value {
        match self {
            Ok(value) => fields([("Ok", value.save(saver))]),
            Err(error) => fields([("Err", error.save(saver))]),
        }
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        let mut fields = Fields::of(tree)?;
        match fields.0.contains_key("Ok") {
            true => fields.take("Ok").map(Ok),
            false => fields.take("Err").map(Err),
        }
    }
}

fn list<'a, T: Snapshot + 'a>(items: impl Iterator<Item = &'a T>, saver: &mut Saver) -> Value {
    items.map(|item| item.save(saver)).collect()
}

fn pairs<'a, K: Snapshot + 'a, V: Snapshot + 'a>(
    entries: impl Iterator<Item = (&'a K, &'a V)>,
    saver: &mut Saver,
) -> Value {
    let pair = |(key, value): (&K, &V)| Value::Array([key.save(saver), value.save(saver)].into());
    entries.map(pair).collect()
}

fn items<T: Snapshot, C: FromIterator<T>>(tree: Value) -> Result<C, LoadError> {
    match tree {
        Value::Array(items) => items.into_iter().map(T::load).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(LoadError::default())
        }
    }
}

macro_rules! lists {
    ($($list:ident $(: $bound:ident)?),*) => {
        $(impl<T: Snapshot $(+ $bound)?> Snapshot for $list<T> {
            fn save(&self, saver: &mut Saver) -> Value {
                list(self.iter(), saver)
            }

            fn load(tree: Value) -> Result<Self, LoadError> {
                items(tree)
            }
        })*
    };
}
lists!(Vec, VecDeque, BTreeSet: Ord);

impl<K: Snapshot + Ord, V: Snapshot> Snapshot for BTreeMap<K, V> {
    fn save(&self, saver: &mut Saver) -> Value {
        pairs(self.iter(), saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        items(tree)
    }
}

impl<K: Snapshot + Ord, V: Snapshot> Snapshot for SmallMap<K, V> {
    fn save(&self, saver: &mut Saver) -> Value {
        pairs(self.iter(), saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        let mut map = Self::default();
        map.extend(items::<_, Vec<(K, V)>>(tree)?);
        Ok(map)
    }
}

macro_rules! tuples {
    ($(($($item:ident $name:ident),*))*) => {
        $(impl<$($item: Snapshot),*> Snapshot for ($($item,)*) {
            fn save(&self, saver: &mut Saver) -> Value {
                let ($($name,)*) = self;
                Value::Array([$($name.save(saver)),*].into())
            }

            fn load(tree: Value) -> Result<Self, LoadError> {
                let mut items = items::<Tree, Vec<_>>(tree)?.into_iter();
                $(let $name = items.next().ok_or_else(LoadError::default)?;)*
                Ok(($($item::load($name.0)?,)*))
            }
        })*
    };
}
tuples!((A a, B b) (A a, B b, C c) (A a, B b, C c, D d));

impl<T: Snapshot, const N: usize> Snapshot for [T; N] {
    fn save(&self, saver: &mut Saver) -> Value {
        list(self.iter(), saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        checked(tree, |items: Vec<T>| items.try_into().ok())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString as _, vec};
    use core::fmt::Debug;

    use super::*;
    use crate::{canonical, deadlines::Deadlines, rng::Rng};

    fn kept<T: Snapshot + PartialEq + Debug>(state: T) {
        let saved = Saved::of(&state);
        assert_eq!(saved.clone().load::<T>().as_ref(), Ok(&state));
        // As text, too.
        let text = saved.tree.0.to_string();
        let tree = serde_json::from_str(&text).unwrap();
        assert_eq!(T::load(tree).as_ref(), Ok(&state), "{text}");
    }

    #[derive(Debug, PartialEq)]
    struct Toy {
        due: Option<Time>,
        state: State,
        secret: Secret,
        scratch: Vec<u8>,
    }
    canonical!(struct Toy { due, state; - secret; ~ scratch });

    #[derive(Debug, PartialEq)]
    enum State {
        Idle,
        Busy { since: Time },
        Over(String, u8),
    }
    canonical!(enum State { Idle, Busy { since }, Over(why, code) });

    fn toy(state: State) -> Toy {
        Toy {
            due: Some(Time::from_millis(1)),
            state,
            secret: Secret::new("hunter2"),
            scratch: Vec::new(),
        }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let busy = State::Busy { since: Time::ZERO };
        for state in [State::Idle, busy, State::Over("so".into(), 3)] {
            kept(toy(state));
        }
        for nested in [None, Some(None), Some(Some(7_u64))] {
            kept(nested);
        }
        kept((u64::MAX, i64::MIN, 'é', "pingTimeout"));
        kept([Bytes::from_static(b"{}"), Bytes::from_static(&[0xff, 0])]);
        kept([Duration::MAX, Duration::from_nanos(1)]);
        kept::<Result<(), Range<usize>>>(Err(3..7));
        kept(Wall::from_millis(1_790_000_000_123));
        let mut rng = Rng::from_number(7);
        kept(rng.clone());
        rng.next_u32();
        kept(rng);
        let mut deadlines = Deadlines::default();
        deadlines.set((3_u32, String::from("c")), Some(Time::from_millis(2)));
        deadlines.set((2, String::from("c")), Some(Time::from_millis(9)));
        kept(deadlines);
        let many: BTreeMap<_, _> = (0..20_u8).map(|key| (Some(key), vec![key])).collect();
        let mut small = SmallMap::default();
        small.extend(many.clone());
        kept(many);
        kept(small);
    }

    #[test]
    fn what_is_no_snapshot_is_refused_with_its_place() {
        let mut saved = Saved::of(&toy(State::Over("so".into(), 3)));
        saved.tree.0["state"]["Over"]["code"] = "three".into();
        let error = saved.load::<Toy>().unwrap_err();
        let said = "the snapshot cannot be read at `state.code`";
        assert_eq!(error.to_string(), said);
        let other: Result<State, _> = Snapshot::load(serde_json::json!({ "Asleep": {} }));
        assert!(other.is_err());
        assert!(<&str>::load("a word of somebody else".into()).is_err());
        assert!(Duration::load(serde_json::json!([0, 1_000_000_000])).is_err());
    }

    #[test]
    fn secrets_are_named_and_not_shown() {
        let saved = Saved::of(&vec![toy(State::Idle)]);
        assert_eq!(saved.secrets, [Secret::new("hunter2")].into());
        assert!(!format!("{saved:?}").contains("hunter2"));
    }
}
