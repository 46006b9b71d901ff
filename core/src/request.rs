//! Questions to the world: typed ids, what each was asked for, and how long to wait.

use core::{cmp::Ordering, fmt, hash, marker::PhantomData, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    canon::{Canon, Canonical},
    deadlines::Deadlines,
    machine::Wakeup,
    small_map::SmallMap,
    snapshot::{self, Fields, LoadError, Saver, Snapshot, Value},
    time::Time,
};

/// The id of one question of kind `K`: an answer of another kind does not fit it.
pub struct RequestId<K> {
    number: u64,
    kind: PhantomData<fn() -> K>,
}

impl<K> RequestId<K> {
    /// An id from its number: for runtimes and tests; machines get theirs from [`Requests::ask`].
    pub const fn from_number(number: u64) -> Self {
        Self {
            number,
            kind: PhantomData,
        }
    }

    /// The number, unique among the questions of this kind of one machine.
    pub const fn number(self) -> u64 {
        self.number
    }
}

impl<K> Clone for RequestId<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for RequestId<K> {}
impl<K> PartialEq for RequestId<K> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl<K> Eq for RequestId<K> {}
impl<K> PartialOrd for RequestId<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for RequestId<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }
}
impl<K> hash::Hash for RequestId<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}
impl<K> fmt::Debug for RequestId<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.number)
    }
}
impl<K> Serialize for RequestId<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number.serialize(serializer)
    }
}
impl<'de, K> Deserialize<'de> for RequestId<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from_number)
    }
}
impl<K> Canonical for RequestId<K> {
    fn canonical(&self, canon: &mut Canon) {
        canon.id(core::any::type_name::<K>(), self.number);
    }
}

/// The open questions of kind `K`, each with its purpose `P` and its patience.
///
/// [`ask`](Self::ask) opens one, [`answer`](Self::answer) closes it and gives the purpose back;
/// what nobody answered in time comes out of [`expire`](Self::expire), and the owner then outputs
/// a `Forget`. An id that is not open any more answers to nothing.
pub struct Requests<K, P> {
    open: SmallMap<RequestId<K>, P>,
    patience: Deadlines<RequestId<K>>,
    next: u64,
}

impl<K, P> Default for Requests<K, P> {
    fn default() -> Self {
        Self {
            open: SmallMap::default(),
            patience: Deadlines::default(),
            next: 0,
        }
    }
}

impl<K, P> Requests<K, P> {
    /// Opens a question; with no `patience` it waits until it is answered or withdrawn.
    pub fn ask(&mut self, now: Time, patience: Option<Duration>, purpose: P) -> RequestId<K> {
        let id = RequestId::from_number(self.next);
        self.next += 1;
        self.open.insert(id, purpose);
        self.patience.set(id, patience.map(|span| now + span));
        id
    }

    /// Starts the patience of an open question anew.
    pub fn wait(&mut self, now: Time, id: RequestId<K>, patience: Duration) {
        if self.open.contains_key(&id) {
            self.patience.set(id, Some(now + patience));
        }
    }

    /// Closes a question; `None` where it is not open (late, repeated or unknown).
    pub fn answer(&mut self, id: RequestId<K>) -> Option<P> {
        let purpose = self.open.remove(&id)?;
        self.patience.set(id, None);
        Some(purpose)
    }

    /// Gives an open question another purpose.
    pub fn set_purpose(&mut self, id: RequestId<K>, purpose: P) {
        if let Some(open) = self.open.get_mut(&id) {
            *open = purpose;
        }
    }

    /// The purpose of an open question.
    pub fn purpose(&self, id: RequestId<K>) -> Option<&P> {
        self.open.get(&id)
    }

    /// Closes one question whose patience has run out.
    pub fn expire(&mut self, now: Time) -> Option<(RequestId<K>, P)> {
        let id = self.patience.pop_due(now)?;
        self.open.remove(&id).map(|purpose| (id, purpose))
    }

    /// Closes the first question whose purpose satisfies `unwanted`; call until `None`.
    pub fn withdraw(&mut self, mut unwanted: impl FnMut(&P) -> bool) -> Option<(RequestId<K>, P)> {
        let id = self
            .open
            .iter()
            .find(|(_, purpose)| unwanted(purpose))
            .map(|(id, _)| *id)?;
        self.answer(id).map(|purpose| (id, purpose))
    }

    /// When the next question runs out of patience.
    pub fn next_wakeup(&self, why: &'static str) -> Option<Wakeup> {
        self.patience.earliest().map(|at| Wakeup { at, why })
    }

    /// The open questions, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (RequestId<K>, &P)> {
        self.open.iter().map(|(id, purpose)| (*id, purpose))
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl<K, P: Clone> Clone for Requests<K, P> {
    fn clone(&self) -> Self {
        Self {
            open: self.open.clone(),
            patience: self.patience.clone(),
            next: self.next,
        }
    }
}
impl<K, P: PartialEq> PartialEq for Requests<K, P> {
    fn eq(&self, other: &Self) -> bool {
        self.open == other.open && self.patience == other.patience && self.next == other.next
    }
}
impl<K, P: Eq> Eq for Requests<K, P> {}
impl<K, P: fmt::Debug> fmt::Debug for Requests<K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.fmt(f)
    }
}
impl<K> Snapshot for RequestId<K> {
    fn save(&self, saver: &mut Saver) -> Value {
        self.number.save(saver)
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        u64::load(tree).map(Self::from_number)
    }
}
impl<K, P: Snapshot> Snapshot for Requests<K, P> {
    fn save(&self, saver: &mut Saver) -> Value {
        let Self {
            open,
            patience,
            next,
        } = self;
        let [open, patience, next] = [open.save(saver), patience.save(saver), next.save(saver)];
        snapshot::fields([("open", open), ("patience", patience), ("next", next)])
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        let mut fields = Fields::of(tree)?;
        Ok(Self {
            open: fields.take("open")?,
            patience: fields.take("patience")?,
            next: fields.take("next")?,
        })
    }
}
impl<K, P: Canonical> Canonical for Requests<K, P> {
    fn canonical(&self, canon: &mut Canon) {
        self.open.canonical(canon);
        self.patience.canonical(canon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Ping {}

    #[test]
    fn a_question_is_closed_exactly_once() {
        let now = Time::from_millis(1);
        let second = Duration::from_secs(1);
        let mut requests = Requests::<Ping, &str>::default();
        let a = requests.ask(now, Some(second), "a");
        let b = requests.ask(now, Some(second * 2), "b");
        let c = requests.ask(now, None, "c");
        assert_eq!(requests.answer(a), Some("a"));
        assert_eq!(requests.answer(a), None);
        assert_eq!(requests.expire(now + second), None);
        assert_eq!(requests.next_wakeup("ping").unwrap().at, now + second * 2);
        assert_eq!(requests.expire(now + second * 2), Some((b, "b")));
        assert_eq!(requests.expire(now + second * 9), None);
        assert_eq!(requests.answer(b), None);
        assert_eq!(requests.withdraw(|_| true), Some((c, "c")));
        assert!(requests.is_empty());
        assert_eq!(requests.next_wakeup("ping"), None);
    }
}
