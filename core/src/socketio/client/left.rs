//! The namespaces that were left, from where packets may still be on their way.

use crate::{canonical, small_map::SmallMap, socketio::Namespace};

/// The namespaces that were left on this connection, until something of a later membership, or the
/// end from the other side, has arrived: a part.
///
/// A server does not answer a DISCONNECT. Where the namespace is asked for again at once, what the
/// server has sent before it heard of that belongs to nobody, and must not be taken for what comes
/// early to the new membership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Left(SmallMap<Namespace, ()>);
canonical!(struct Left(namespaces));

impl Left {
    /// A DISCONNECT is sent. Where there are `max` already, one is forgotten.
    pub(super) fn insert(&mut self, namespace: Namespace, max: usize) {
        if self.0.len() >= max {
            self.0.pop_first();
        }
        self.0.insert(namespace, ());
    }

    /// Nothing follows any more from before; whether something could until now.
    pub(super) fn remove(&mut self, namespace: &Namespace) -> bool {
        self.0.remove(namespace).is_some()
    }

    /// Whether what arrives is from before.
    pub(super) fn contains(&self, namespace: &Namespace) -> bool {
        self.0.contains_key(namespace)
    }

    /// The connection has ended.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
